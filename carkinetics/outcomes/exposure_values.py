"""One exposure per patient, from the posterior or straight from samples."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import find_observed, observed_quantities
from carkinetics.outcomes.association import OBSERVED_VALUE, POSTERIOR_MEAN
from carkinetics.outcomes.observed_level import ON_A_DAY, observed_level
from carkinetics.outcomes.scales import CHANCE, LOG, SLOPE

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

# Read off the last samples; a curve has no such thing.
OBSERVED_ONLY = ("clast", "tlast", "mean_level")
# Chances, or yes and no, have no doubling; a slope may be 0 or negative and has no logarithm.
_SCALES = {"detectable_": CHANCE, "quantifiable_": CHANCE, "slope_": SLOPE}

_AREA = re.compile(r"auc_(\d+)_(\d+)")


@dataclass(frozen=True)
class ExposureValues:
    """The exposure of every patient, ready for ranks and for regressions.

    Parameters
    ----------
    mode : str
        Where the values come from (see `carkinetics.outcomes.association.MODES`).
    table : DataFrame
        Index patient. ``value``, ``lower``, ``upper`` [unit]; ``x``, what regressions use: ln
        exposure, or the value itself on the other scales; ``rank``, what rank tests use, minus
        infinity below the limit; ``below_lloq``; ``reason`` where ``rank`` is missing.
    scale : str
        ``"log"``, ``"chance"`` or ``"slope"``; see `carkinetics.outcomes.scales`.
    unit : str
        Unit of the values.
    tmax : Series
        Day of the peak from the same source [day]; index patient.
    notes : tuple of str
        What to know about the values.
    reliability, shrinkage : float
        Of posterior means; NaN otherwise.
    draws : array, shape (patient, draw)
        Posterior draws of what regressions use (NaN where a draw has no log), in the order of
        ``table``; empty otherwise.
    """

    mode: str
    table: pd.DataFrame
    scale: str
    unit: str
    tmax: pd.Series
    notes: tuple[str, ...] = ()
    reliability: float = np.nan
    shrinkage: float = np.nan
    draws: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))


def has_observed(exposure: str) -> bool:
    """Tell whether an exposure can be read off samples."""
    try:
        find_observed(exposure)
    except DataError:
        return False
    return True


def observed_values(
    cohort: Cohort, exposure: str, assay: str, cell_type: str, rules: object = "default"
) -> ExposureValues:
    """Take an exposure straight from samples.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    exposure, assay, cell_type : str
        What to take.
    rules : Rules, str or mapping
        Of the noncompartmental analysis.

    Returns
    -------
    ExposureValues
        A patient wholly below the limit of quantification ranks lowest, tied with others like
        that. Regressions use the highest value such a patient can have, the limit (for an area:
        the limit times the length of the window); the notes count them.
    """
    day = ON_A_DAY.fullmatch(exposure)
    names = tuple(dict.fromkeys((*(() if day else (exposure,)), "cmax", "tmax")))
    found = observed_quantities(cohort, assay, cell_type, names, rules).set_index("patient")
    if day:
        level = observed_level(cohort, float(day[1]), assay, cell_type)
        value, reason, bound = level["value"], level["reason"], level["below"]
        below = bound.notna()
    else:
        value = found[f"observed_{exposure}"].astype(float)
        reason = found[f"observed_{exposure}_reason"]
        limit = found["observed_cmax_below"].astype(float)
        bound = _bound(exposure, limit)
        below = limit.notna() & bound.notna()
    with np.errstate(divide="ignore"):
        logs = np.log(value.where(value > 0))
    x = logs.mask(below, np.log(bound))
    rank = logs.mask(below, -np.inf)
    no_log = value.notna() & (value <= 0) & ~below
    scale = scale_of(exposure)
    if scale != LOG:
        x, rank, no_log = value, value, pd.Series(False, index=value.index)
    reason = reason.astype(str).mask(no_log, "not above 0").where(rank.isna(), "")
    table = pd.DataFrame(
        {
            "value": value.mask(below, bound),
            "lower": np.nan,
            "upper": np.nan,
            "x": x,
            "rank": rank,
            "below_lloq": below,
            "reason": reason,
        }
    )
    tmax = found["observed_tmax"].astype(float)
    unit = _unit_of(exposure, str(found["unit"].iloc[0]))
    notes = _observed_notes(exposure, assay, below)
    return ExposureValues(OBSERVED_VALUE, table, scale, unit, tmax, notes)


def scale_of(exposure: str) -> str:
    """Give the scale on which regressions use an exposure."""
    return next((s for start, s in _SCALES.items() if exposure.startswith(start)), LOG)


def _bound(exposure: str, limit: pd.Series) -> pd.Series:
    """Give the highest value of an exposure whose every level is below a limit."""
    area = _AREA.fullmatch(exposure)
    if area:
        return limit * (int(area[2]) - int(area[1]))
    return limit if exposure in ("cmax", "mean_level") else limit * np.nan


def _unit_of(exposure: str, level_unit: str) -> str:
    if _AREA.fullmatch(exposure):
        return f"{level_unit}*day"
    if ON_A_DAY.fullmatch(exposure):
        return level_unit
    return find_observed(exposure).unit(level_unit)


def _observed_notes(exposure: str, assay: str, below: pd.Series) -> tuple[str, ...]:
    notes = [
        f"observed {exposure} ({assay}) carries sampling and assay error, which weakens "
        "(attenuates) its associations"
    ]
    if below.any():
        notes.append(
            f"observed {exposure} is below the limit of quantification in {int(below.sum())} "
            f"patient(s) ({', '.join(map(str, below.index[below][:5]))}"
            f"{', ...' if below.sum() > 5 else ''}): lowest in rank tests, set to the limit, the "
            "highest value possible, in regressions"
        )
    return tuple(notes)


def posterior_values(
    exposure: Any, name: str, cell_type: str, probability: float
) -> ExposureValues:
    """Take the posterior mean of the log of an exposure.

    Parameters
    ----------
    exposure : Exposure
        Posterior draws of quantities.
    name, cell_type : str
        What to take.
    probability : float
        Coverage of the equal-tailed interval of each patient.

    Returns
    -------
    ExposureValues
        ``value`` is the exponential of the mean log: the geometric mean of the draws. Chances of
        detection and slopes stay on their own scale. Draws that are zero or not finite have
        no log: a patient for whom they are at least half is left out of regressions (and ranks
        lowest where they are zeros), for others the mean is over the rest.
    """
    draws = _draws(exposure, name, cell_type)
    unit = str(draws.attrs.get("units", ""))
    patients = pd.Index([str(p) for p in draws["patient"].values], name="patient")
    values = draws.transpose("patient", "chain", "draw").values.reshape(len(patients), -1)
    values = values.astype(float)
    scale = scale_of(name)
    linear = scale != LOG
    usable = np.isfinite(values) if linear else np.isfinite(values) & (values > 0)
    known = usable.mean(axis=1) > 0.5
    zeros = (values == 0).mean(axis=1) >= 0.5
    shown = values if linear else np.log(np.where(usable, values, 1.0))
    masked = np.ma.masked_array(shown, ~usable)
    mean = np.where(known, masked.mean(axis=1).filled(np.nan), np.nan)
    variance = np.where(known, masked.var(axis=1, ddof=1).filled(np.nan), np.nan)
    tail = (1.0 - probability) / 2.0
    ends = [
        np.quantile(row[ok], [tail, 1.0 - tail]) if good else (np.nan, np.nan)
        for row, ok, good in zip(values, usable, known, strict=True)
    ]
    zero = zeros & ~known & (not linear)
    table = pd.DataFrame(
        {
            "value": mean if linear else np.exp(mean),
            "lower": [low for low, _ in ends],
            "upper": [high for _, high in ends],
            "x": mean,
            "rank": np.where(zero, -np.inf, mean),
            "below_lloq": False,
            "reason": np.where(known | zero, "", f"{name} is missing in half of the draws or more"),
        },
        index=patients,
    )
    reliability, shrinkage = _reliability(mean[known], variance[known])
    partial = known & (usable.mean(axis=1) < 1)
    notes = _posterior_notes(name, linear, reliability, shrinkage, patients[partial], zero.sum())
    return ExposureValues(
        POSTERIOR_MEAN,
        table,
        scale,
        unit,
        _posterior_tmax(exposure, cell_type),
        notes,
        reliability,
        shrinkage,
        np.where(usable, shown, np.nan),
    )


def _draws(exposure: Any, name: str, cell_type: str) -> Any:
    data = exposure.data
    if name not in data:
        have = ", ".join(map(str, data.data_vars))
        remedy = f'Use summarize(fit, ["{name}", ...]); this one has {have}.'
        raise DataError(Fault("exposure", f"{name!r} is not in it", remedy, section=name))
    cell_types = [str(c) for c in data[name]["cell_type"].values]
    if cell_type not in cell_types:
        what, remedy = f"no cell type {cell_type!r}", f"Choose from {', '.join(cell_types)}."
        raise DataError(Fault(f"exposure, {name}", what, remedy, section="cell_type"))
    return data[name].sel(cell_type=cell_type)


def _posterior_tmax(exposure: Any, cell_type: str) -> pd.Series:
    if "tmax" not in exposure.data:
        return pd.Series(dtype=float)
    days = exposure.data["tmax"].sel(cell_type=cell_type).median(("chain", "draw"))
    return pd.Series(days.values.astype(float), index=[str(p) for p in days["patient"].values])


def _reliability(means: np.ndarray, variances: np.ndarray) -> tuple[float, float]:
    """Give lambda and shrinkage of posterior means (SD scale, as pharmacometrics has it)."""
    if means.size < 2:
        return np.nan, np.nan
    between, within = float(means.var(ddof=1)), float(variances.mean())
    if between + within == 0:
        return np.nan, np.nan
    reliability = between / (between + within)
    return reliability, 1.0 - reliability**0.5


def _posterior_notes(
    name: str,
    linear: bool,
    reliability: float,
    shrinkage: float,
    partial: pd.Index,
    n_zero: int,
) -> tuple[str, ...]:
    scale = name if linear else f"ln {name}"
    notes = []
    if np.isfinite(reliability):
        notes.append(
            f"posterior means of {scale}: reliability lambda = {reliability:.2f} (variance of the "
            "means over that plus the mean posterior variance), shrinkage "
            f"{shrinkage:.0%} (1 - square root of lambda)"
        )
    if len(partial):
        notes.append(
            f"{name} is zero or not finite in some draws of {len(partial)} patient(s) "
            f"({', '.join(partial[:5])}): their mean log is over the other draws"
        )
    if n_zero:
        notes.append(
            f"{name} is 0 in most draws of {n_zero} patient(s): lowest in rank tests, left out "
            "of regressions"
        )
    return tuple(notes)
