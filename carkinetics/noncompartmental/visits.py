"""Median and quartiles of a cohort, visit by visit, with samples below the limit in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.noncompartmental.select import profiles

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_QUANTILES = {"lower": 0.25, "median": 0.5, "upper": 0.75}
_SHIFT_DAYS, _SHIFT_SHARE = 3.0, 0.1  # samples this far apart may be one visit
_WEEK = 6.0  # ... and so may samples of consecutive days within a week


def visit_quantiles(
    cohort: Cohort,
    assay: str = "flow",
    cell_type: str = "total",
    visits: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Compute median and quartiles of the levels at each visit.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients; samples before the infusion are left out.
    assay, cell_type : str
        Which samples.
    visits : sequence of float, optional
        Planned days; a sample belongs to the nearest one [day]. Left out, neighboring days are
        taken together as long as no patient was sampled on both and they lie within 3 days (or
        10 % of the day, later on), or follow each other day by day for no more than a week.

    Returns
    -------
    DataFrame
        One row per visit: ``day`` (median of the actual days) [day], ``first_day``, ``last_day``,
        ``n`` samples, ``n_blq`` of them below the limit, ``lower``, ``median``, ``upper``
        [unit of the assay], and ``lower_below``, ``median_below``, ``upper_below``: true where
        the quantile falls among samples below the limit, so that it is known to lie under the
        number given, and no more. Nothing is substituted.
    """
    samples = pd.concat(
        pd.DataFrame(
            {
                "patient": profile.patient,
                "day": profile.day,
                "level": np.where(profile.below_lloq, 0.0, profile.level),
                "bound": np.where(profile.below_lloq, profile.lloq, profile.level),
                "below": profile.below_lloq,
            }
        )
        for profile in profiles(cohort, assay, cell_type)
    ).sort_values("day", ignore_index=True)
    if visits is None:
        visit = _group_days(samples)
    else:
        planned = np.sort(np.asarray(visits, dtype=float))
        visit = np.abs(samples["day"].to_numpy()[:, None] - planned).argmin(axis=1)
    return pd.DataFrame([_row(rows) for _, rows in samples.groupby(visit)])


def _group_days(samples: pd.DataFrame) -> np.ndarray:
    """Assign visits: a new one begins where a patient returns or the days lie too far apart."""
    number, first, previous, seen = -1, -np.inf, -np.inf, set[str]()
    of_day = {}
    for day, rows in samples.groupby("day"):
        patients = set(rows["patient"])
        near = day - first <= max(_SHIFT_DAYS, _SHIFT_SHARE * first)
        near |= day - previous <= 1 and day - first <= _WEEK
        if not near or patients & seen:
            number, first, seen = number + 1, day, set()
        seen |= patients
        previous = day
        of_day[day] = number
    return samples["day"].map(of_day).to_numpy()


def _row(rows: pd.DataFrame) -> dict[str, object]:
    days = rows["day"]
    row: dict[str, object] = {
        "day": float(days.median()),
        "first_day": float(days.min()),
        "last_day": float(days.max()),
        "n": len(rows),
        "n_blq": int(rows["below"].sum()),
    }
    for name, share in _QUANTILES.items():
        # Between these two lies the quantile of the levels behind the limits.
        low, high = (float(np.quantile(rows[column], share)) for column in ("level", "bound"))
        row |= {name: high, f"{name}_below": low < high}
    return row
