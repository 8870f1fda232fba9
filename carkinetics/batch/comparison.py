"""What the variants say together: spread, sign, and one sentence per estimand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtri

if TYPE_CHECKING:
    from carkinetics.batch.runs import Runs

# A conclusion is called robust where so many variants agree in sign, and the estimates swing by
# less than this share of the base case's own uncertainty.
SAME_SIGN = 0.95
SWING = 0.5
_NO_SIGN = ("geometric mean", "elpd")


@dataclass(frozen=True)
class Comparison:
    """The variants of one estimand in numbers.

    Attributes
    ----------
    estimand : str
        What was estimated.
    null : float
        Value without association; NaN where an estimand has none.
    log : bool
        Whether distances are taken on the log scale.
    n, n_failed : int
        Variants with a number, and without.
    n_sign, n_excludes : int
        Variants on the same side of the null as the median, and those whose interval excludes it.
    median, low, high : float
        Of the estimates.
    swing : float
        Largest minus smallest estimate, in SDs of the base case; NaN without its interval.
    robust : bool
        By the two thresholds.
    """

    estimand: str
    null: float
    log: bool
    n: int
    n_failed: int
    n_sign: int
    n_excludes: int
    median: float
    low: float
    high: float
    swing: float
    robust: bool


def null_of(estimand: str) -> float:
    """Return the value that means no association; NaN where there is none."""
    if any(word in estimand for word in _NO_SIGN):
        return float("nan")
    if "ratio" in estimand:
        return 1.0
    return 0.5 if "chance" in estimand else 0.0


def is_ratio(estimand: str) -> bool:
    """Tell whether an estimand is drawn on a log axis."""
    return "ratio" in estimand or "geometric mean" in estimand


def compare(runs: Runs, estimand: str) -> Comparison:
    """Compare the variants of one estimand.

    Parameters
    ----------
    runs : Runs
        A batch.
    estimand : str
        One of its estimands.

    Returns
    -------
    Comparison
    """
    rows = runs.of(estimand)
    log, null = is_ratio(estimand), null_of(estimand)
    values = rows["estimate"].to_numpy(float)
    median = float(np.median(values))
    above = values > null
    side = median > null
    excludes = (rows["lo"] > null) | (rows["hi"] < null)
    swing = _swing(rows, log)
    share = float((above == side).mean()) if np.isfinite(null) else 1.0
    names = set(rows["analysis_id"])
    return Comparison(
        estimand=estimand,
        null=null,
        log=log,
        n=len(rows),
        n_failed=runs.table["analysis_id"].nunique() - len(names),
        n_sign=int((above == side).sum()) if np.isfinite(null) else 0,
        n_excludes=int(excludes.sum()) if np.isfinite(null) else 0,
        median=median,
        low=float(values.min()),
        high=float(values.max()),
        swing=swing,
        robust=bool(share >= SAME_SIGN and swing < SWING),
    )


def sentence(runs: Runs, estimand: str) -> str:
    """Say in one sentence whether an estimand is robust, and what that rests on."""
    c = compare(runs, estimand)
    scale = f"median {c.median:.3g}, range {c.low:.3g} to {c.high:.3g}"
    text = f"{estimand}: {'robust' if c.robust else 'not robust'} over {c.n} variants ({scale})"
    if np.isfinite(c.null):
        text += (
            f"; {c.n_sign} of {c.n} on the same side of {c.null:g}, {c.n_excludes} of {c.n} with "
            f"an interval that excludes {c.null:g}"
        )
    if np.isfinite(c.swing):
        text += f"; swing {c.swing:.2g} SD of the base case (robust: below {SWING:g})"
    else:
        text += "; swing not known, as the base case has no interval"
    if c.n_failed:
        text += f"; {c.n_failed} variant(s) without a number are not in this"
    return text + "."


def _swing(rows: pd.DataFrame, log: bool) -> float:
    base = rows[rows["is_base"]]
    if base.empty:
        return float("nan")
    one = base.iloc[0]
    ends = np.array([one["lo"], one["hi"]], dtype=float)
    values = rows["estimate"].to_numpy(float)
    if log:
        with np.errstate(divide="ignore"):
            ends, values = np.log(ends), np.log(values)
    z = float(ndtri(0.5 + float(one["probability"]) / 2))
    sd = float(ends[1] - ends[0]) / (2 * z)
    if not np.isfinite(sd) or sd <= 0:
        return float("nan")
    return float((values.max() - values.min()) / sd)
