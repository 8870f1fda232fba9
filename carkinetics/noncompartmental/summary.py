"""Center and spread over patients, with those below the limit in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carkinetics.noncompartmental.profiles import Column
from carkinetics.noncompartmental.rules import Rules

if TYPE_CHECKING:
    from carkinetics.quantities import Quantity

_LOG_KINDS = ("level", "area")


def summarize_column(
    quantity: Quantity, column: Column, unit: str, rules: Rules
) -> dict[str, object]:
    """Summarize one quantity over patients (rules N-13 and N-14).

    Parameters
    ----------
    quantity : Quantity
        What it is.
    column : Column
        Its values.
    unit : str
        Unit of the levels.
    rules : Rules
        ``summary`` and ``all_blq``.

    Returns
    -------
    dict
        The row of `ObservedExposure.summary`. The geometric CV is 100 sqrt(exp(s^2) - 1) of the
        SD s of the logarithms.
    """
    below = _below(quantity, column)
    hidden = ~np.isnan(below)
    value, below = column.value[~np.isnan(column.value) & ~hidden], below[hidden]
    row: dict[str, object] = {
        "quantity": quantity.name,
        "label": quantity.label,
        "n": value.size,
        "n_missing": int(np.isnan(column.value).sum()),
        "n_below": below.size,
        "n_zero": int((value == 0).sum()) if quantity.kind in _LOG_KINDS else 0,
        "geometric_mean": np.nan,
        "gcv_percent": np.nan,
        "mean": np.nan,
        "sd": np.nan,
    }
    geometric = quantity.kind in _LOG_KINDS and rules.summary == "geometric"
    if geometric:
        row["geometric_mean"], row["gcv_percent"] = _geometric(value, below, rules)
    elif value.size:
        row["mean"] = float(value.mean())
        row["sd"] = float(value.std(ddof=1)) if value.size > 1 else np.nan
    ordered = value if rules.all_blq == "drop" else np.concatenate([value, below])
    middle = float(np.median(ordered)) if ordered.size else np.nan
    return row | {
        "median": middle,
        "lowest": float(value.min()) if value.size else np.nan,
        "highest": float(value.max()) if value.size else np.nan,
        "unit": quantity.unit(unit),
    }


def _below(quantity: Quantity, column: Column) -> np.ndarray:
    """Limits that peaks and areas are known to lie under, shape (profile,); NaN elsewhere."""
    flag = "observed_cmax_below" if quantity.name == "cmax" else "auc_below"
    return column.flags.get(flag, np.full(column.value.shape, np.nan))


def _geometric(value: np.ndarray, below: np.ndarray, rules: Rules) -> tuple[float, float]:
    """Give geometric mean and CV; a measured 0 has no logarithm and is left out."""
    logs = np.log(value[value > 0])
    if rules.all_blq == "half_lloq":
        logs = np.concatenate([logs, np.log(below / 2)])
    if below.size and rules.all_blq == "censored":
        mean, sd = _censored_normal(logs, np.log(below))
    elif logs.size:
        mean, sd = float(logs.mean()), float(logs.std(ddof=1)) if logs.size > 1 else np.nan
    else:
        return np.nan, np.nan
    return float(np.exp(mean)), float(100 * np.sqrt(np.expm1(sd**2)))


def _censored_normal(logs: np.ndarray, limits: np.ndarray) -> tuple[float, float]:
    """Fit a Normal to values, some of which are known only to lie under a limit."""
    from scipy import optimize, stats

    if logs.size < 2:
        return np.nan, np.nan

    def loss(parameters: np.ndarray) -> float:
        mean, sd = parameters[0], np.exp(parameters[1])
        seen = stats.norm.logpdf(logs, mean, sd).sum()
        return -float(seen + stats.norm.logcdf(limits, mean, sd).sum())

    start = np.array([logs.mean(), np.log(logs.std(ddof=1) + 0.1)])
    found = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-8})
    return float(found.x[0]), float(np.exp(found.x[1]))
