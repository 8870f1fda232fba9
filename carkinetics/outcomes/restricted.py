"""Restricted mean: days without the event within a stated horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.survival import kaplan_meier

Array = NDArray[np.float64]

HORIZON = 180.0


@dataclass(frozen=True)
class RestrictedMean:
    """Mean time without the event up to a horizon.

    Parameters
    ----------
    estimate, lower, upper : float
        Days [day]; limits are normal.
    standard_error : float
        From Greenwood's variance [day].
    p_value : float
        Two-sided, of a difference; NaN for a single group.
    horizon : float
        Last day that counts [day].
    probability : float
        Coverage of the limits.
    reason : str
        Why the number is missing; empty where it is not.
    """

    estimate: float
    lower: float
    upper: float
    standard_error: float
    p_value: float
    horizon: float
    probability: float
    reason: str = ""


def restricted_mean(
    time: ArrayLike, event: ArrayLike, *, horizon: float = HORIZON, probability: float = 0.95
) -> RestrictedMean:
    """Average the days without the event up to a horizon.

    Needs no proportional hazards, and is told in days.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    horizon : float
        Last day that counts [day].
    probability : float
        Coverage of the interval.

    Returns
    -------
    RestrictedMean
        The area under the Kaplan-Meier curve. Missing, with the reason, where everyone was
        censored before the horizon and the curve has not reached 0: it is not known further.

    References
    ----------
    Royston and Parmar 2013, doi 10.1186/1471-2288-13-152.

    Examples
    --------
    >>> restricted_mean([10, 20, 30, 40], [1, 1, 1, 1], horizon=40).estimate
    25.0
    """
    if not horizon > 0:
        raise DataError(Fault("restricted_mean", f"horizon is {horizon!r}", "Give a day after 0."))
    curve = kaplan_meier(time, event)
    if curve.day[-1] < horizon and curve.survival[-1] > 0:
        reason = f"nobody was followed to day {horizon:g} (last day {curve.day[-1]:g})"
        gap = np.nan
        return RestrictedMean(gap, gap, gap, gap, gap, horizon, probability, reason)
    inside = curve.day < horizon
    days = np.concatenate([[0.0], curve.day[inside], [horizon]])
    shares = np.concatenate([[1.0], curve.survival[inside]])
    areas = shares * np.diff(days)
    # Area still to come after each event day: what one event there takes away.
    ahead = np.cumsum(areas[::-1])[::-1][1:]
    n, d = curve.n_at_risk[inside], curve.n_events[inside]
    left = np.where(n > d, n - d, np.inf)  # nothing is ahead once nobody is left
    se = float(np.sqrt((ahead**2 * d / (n * left)).sum()))
    mean, z = float(areas.sum()), float(stats.norm.ppf(0.5 + probability / 2.0))
    return RestrictedMean(mean, mean - z * se, mean + z * se, se, np.nan, horizon, probability)


def restricted_mean_difference(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    horizon: float = HORIZON,
    probability: float = 0.95,
) -> RestrictedMean:
    """Compare the restricted means of two groups.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    group : array_like of bool, shape (patient,)
        The difference is that of the patients marked true less that of the others.
    horizon : float
        Last day that counts [day].
    probability : float
        Coverage of the interval.

    Returns
    -------
    RestrictedMean
        A difference of days, with a normal p-value.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=bool)
    group = np.asarray(group, dtype=bool)
    gap = np.nan
    if not group.any() or group.all():
        reason = "there is one group only"
        return RestrictedMean(gap, gap, gap, gap, gap, horizon, probability, reason)
    high, low = (
        restricted_mean(time[some], event[some], horizon=horizon, probability=probability)
        for some in (group, ~group)
    )
    if high.reason or low.reason:
        reason = high.reason or low.reason
        return RestrictedMean(gap, gap, gap, gap, gap, horizon, probability, reason)
    difference = high.estimate - low.estimate
    se = float(np.hypot(high.standard_error, low.standard_error))
    z = float(stats.norm.ppf(0.5 + probability / 2.0))
    p = float(2.0 * stats.norm.sf(abs(difference) / se)) if se > 0 else np.nan
    return RestrictedMean(
        difference, difference - z * se, difference + z * se, se, p, horizon, probability
    )
