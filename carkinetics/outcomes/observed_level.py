"""The observed level on one day: an exposure that is settled early."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.noncompartmental import Profile, profiles

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

ON_A_DAY = re.compile(r"level_(\d+)")


def observed_level(cohort: Cohort, day: float, assay: str, cell_type: str) -> pd.DataFrame:
    """Read the level on a day off the samples of every patient.

    Parameters
    ----------
    cohort : Cohort
        Levels.
    day : float
        The day [day].
    assay, cell_type : str
        Which samples.

    Returns
    -------
    DataFrame
        Index patient. ``value`` [unit of the assay], on the line between the samples around the
        day (straight on the log scale); ``below``, the limit under which it is known to lie,
        where a sample around the day is below it; ``reason`` where there is neither; ``unit``.
    """
    rows = [(p.patient, *_on(p, day), p.unit) for p in profiles(cohort, assay, cell_type)]
    columns = ["patient", "value", "below", "reason", "unit"]
    return pd.DataFrame(rows, columns=columns).set_index("patient")


def _on(profile: Profile, day: float) -> tuple[float, float, str]:
    before = np.flatnonzero(profile.day <= day)
    after = np.flatnonzero(profile.day >= day)
    if not profile.day.size:
        return np.nan, np.nan, "no samples"
    if not after.size:
        return np.nan, np.nan, f"no sample on day {day:g} or later"
    if not before.size:
        return np.nan, np.nan, f"no sample by day {day:g}"
    left, right = before[-1], after[0]
    if left == right:
        if profile.below_lloq[left]:
            return np.nan, float(profile.lloq[left]), ""
        return float(profile.level[left]), np.nan, ""
    if profile.below_lloq[[left, right]].any():
        # Between a sample below the limit and another, no more is known than the higher bound.
        bounds = np.where(profile.below_lloq, profile.lloq, profile.level)[[left, right]]
        return np.nan, float(bounds.max()), ""
    share = (day - profile.day[left]) / (profile.day[right] - profile.day[left])
    logs = np.log(profile.level[[left, right]])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0]))), np.nan, ""
