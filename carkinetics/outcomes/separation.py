"""Data on which maximum likelihood runs off to infinity, found before it is tried."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike


def is_separated(x: ArrayLike, grade: ArrayLike) -> bool:
    """Tell whether an exposure orders the outcome without overlap.

    The slope of a logistic or proportional-odds model then has no finite maximum-likelihood
    estimate. Touching at one value (quasi-separation) counts.

    Parameters
    ----------
    x : array_like, shape (patient,)
        Exposure, on any monotone scale.
    grade : array_like, shape (patient,)
        Ordered outcome, or 0 and 1.

    Returns
    -------
    bool
        False where there is one outcome only, or one exposure only.

    References
    ----------
    Albert and Anderson 1984, doi 10.1093/biomet/71.1.1.

    Examples
    --------
    >>> is_separated([1, 2, 3, 4], [0, 0, 1, 1]), is_separated([1, 3, 2, 4], [0, 0, 1, 1])
    (True, False)
    """
    x = np.asarray(x, dtype=float)
    grade = np.asarray(grade)
    groups = [x[grade == level] for level in np.unique(grade)]
    if len(groups) < 2 or np.ptp(x) == 0:
        return False
    pairs = list(pairwise(groups))
    rising = all(low.max() <= high.min() for low, high in pairs)
    falling = all(low.min() >= high.max() for low, high in pairs)
    return rising or falling


def is_monotone(time: ArrayLike, event: ArrayLike, x: ArrayLike) -> bool:
    """Tell whether every event strikes the highest (or every one the lowest) exposure at risk.

    The Cox partial likelihood then rises without end and has no finite maximum.

    Parameters
    ----------
    time, event, x : array_like, shape (patient,)
        Day of event or censoring [day], whether it was an event, and the exposure.

    Returns
    -------
    bool
        False where there is no event.

    References
    ----------
    Heinze and Schemper 2001, doi 10.1111/j.0006-341X.2001.00114.x.
    """
    time, x = np.asarray(time, dtype=float), np.asarray(x, dtype=float)
    struck = np.flatnonzero(np.asarray(event, dtype=bool))
    if struck.size == 0:
        return False
    highest = all(x[i] >= x[time >= time[i]].max() for i in struck)
    lowest = all(x[i] <= x[time >= time[i]].min() for i in struck)
    return highest or lowest
