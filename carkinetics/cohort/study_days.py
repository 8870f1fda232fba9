"""Study days of CDISC, which have no day 0, as days since the infusion."""

from __future__ import annotations

import numpy as np
import pandas as pd

# To days: a month is a twelfth of a year of 365.25 days.
UNITS = {"DAYS": 1.0, "DAY": 1.0, "WEEKS": 7.0, "WEEK": 7.0, "MONTHS": 30.4375, "MONTH": 30.4375,
         "YEARS": 365.25, "YEAR": 365.25}  # fmt: skip


def days_since_infusion(study_day: pd.Series, infusion_study_day: int = 1) -> pd.Series:
    """Turn study days into days since the infusion.

    Parameters
    ----------
    study_day : Series
        Day 1 is the reference day, the day before it is day -1, and there is no day 0.
    infusion_study_day : int
        Study day of the infusion.

    Returns
    -------
    Series
        Infusion = day 0 [day]; NaN where missing.

    Examples
    --------
    >>> days_since_infusion(pd.Series([-1, 1, 8])).tolist()
    [-1.0, 0.0, 7.0]
    """
    day = study_day.astype("Float64").astype(float)
    start = infusion_study_day - 1 if infusion_study_day > 0 else infusion_study_day
    return pd.Series(np.where(day > 0, day - 1, day) - start, index=study_day.index)
