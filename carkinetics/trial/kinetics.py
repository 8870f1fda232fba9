"""Kinetics in a few observed numbers: the peak, its day, CD8 against CD4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from carkinetics.noncompartmental import observed_quantities, subset_at_peak, visit_quantiles

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort


def kinetics_table(cohort: Cohort, assay: str = "flow") -> pd.DataFrame:
    """Summarize observed peak, its day and the area of the first 28 days.

    Parameters
    ----------
    cohort : Cohort
        Levels.
    assay : str
        Which assay.

    Returns
    -------
    DataFrame
        ``what``, ``unit``, ``n`` (patients with the number), ``missing``, ``geometric_mean``,
        ``gcv`` (geometric coefficient of variation [%]; both NaN for days), ``median``,
        ``lowest``, ``highest``.
    """
    names = {"cmax": "Peak (Cmax)", "auc_0_28": "AUC0-28d", "tmax": "Day of the peak (Tmax)"}
    found = observed_quantities(cohort, assay, "total", tuple(names))
    unit = str(found["unit"].iloc[0])
    units = {"cmax": unit, "auc_0_28": f"{unit}*day", "tmax": "day"}
    rows = []
    for name, label in names.items():
        values = found[f"observed_{name}"].dropna().astype(float)
        logs = np.log(values[values > 0])
        many = name != "tmax" and len(logs) > 1
        rows.append(
            {
                "what": label,
                "unit": units[name],
                "n": len(values),
                "missing": len(found) - len(values),
                "geometric_mean": float(np.exp(logs.mean())) if many else np.nan,
                "gcv": 100 * float(np.sqrt(np.expm1(logs.var()))) if many else np.nan,
                "median": values.median(),
                "lowest": values.min(),
                "highest": values.max(),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class PeakDays:
    """Two answers to "when is the peak?".

    Parameters
    ----------
    median_of_days : float
        Median over patients of the day of their peak [day].
    day_of_median : float
        Day on which the median profile is highest [day].
    """

    median_of_days: float
    day_of_median: float


def peak_days(cohort: Cohort, assay: str = "flow") -> PeakDays:
    """Give the median Tmax, and the Tmax of the median profile: they may differ."""
    days = observed_quantities(cohort, assay, "total", ("tmax",))["observed_tmax"]
    profile = visit_quantiles(cohort, assay)
    seen = profile[~profile["median_below"] & (profile["n"] >= 3)]
    top = seen.loc[seen["median"].idxmax(), "day"] if len(seen) else np.nan
    return PeakDays(float(days.median()), float(top))


@dataclass(frozen=True)
class SubsetPeak:
    """CD8 against CD4 at the peak of the total.

    Parameters
    ----------
    n : int
        Patients with both.
    median_cd4, median_cd8 : float
        Observed levels [unit].
    ratio, lower, upper : float
        CD8 over CD4, geometric mean with 95 % Student-t limits; NaN with fewer than two patients.
    unit : str
        Of the levels.
    """

    n: int
    median_cd4: float
    median_cd8: float
    ratio: float
    lower: float
    upper: float
    unit: str


def subset_peak(cohort: Cohort, assay: str = "flow", at: str = "total_peak") -> SubsetPeak | None:
    """Compare CD8 and CD4 at the peak; None where they were not counted apart."""
    if not {"CD4", "CD8"} <= set(cohort.cell_types(assay)):
        return None
    table = subset_at_peak(cohort, assay, at)
    both = table.dropna(subset=["CD4", "CD8"])
    ratio = lower = upper = np.nan
    if len(both) > 1:
        logs = np.log(both["CD8"].astype(float) / both["CD4"].astype(float)).to_numpy()
        reach = float(stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs))
        middle = float(logs.mean())
        ratio, lower, upper = (float(np.exp(middle + s * reach)) for s in (0, -1, 1))
    unit = str(table["unit"].iloc[0])
    four, eight = float(both["CD4"].median()), float(both["CD8"].median())
    return SubsetPeak(len(both), four, eight, ratio, lower, upper, unit)
