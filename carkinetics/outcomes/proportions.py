"""Shares of patients with exact intervals."""

from __future__ import annotations

import numpy as np
from scipy import stats


def clopper_pearson(events: int, n: int, probability: float = 0.95) -> tuple[float, float]:
    """Give the exact binomial interval of a share of patients.

    Parameters
    ----------
    events, n : int
        Patients with the event, and all patients.
    probability : float
        Coverage of the interval, at least.

    Returns
    -------
    lower, upper : float
        Between 0 and 1; NaN where there are no patients.

    References
    ----------
    Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> lower, upper = clopper_pearson(3, 16)
    >>> f"{lower:.1%} to {upper:.1%}"
    '4.0% to 45.6%'
    """
    if n == 0:
        return np.nan, np.nan
    tail = (1.0 - probability) / 2.0
    lower = 0.0 if events == 0 else float(stats.beta.ppf(tail, events, n - events + 1))
    upper = 1.0 if events == n else float(stats.beta.isf(tail, events + 1, n - events))
    return lower, upper
