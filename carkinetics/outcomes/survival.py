"""Time to an event: Kaplan-Meier and log-rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from carkinetics.errors import DataError, Fault

Array = NDArray[np.float64]

# Name of the interval's scale: transform, its inverse, its derivative.
TRANSFORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "log-log": (
        lambda s: np.log(-np.log(s)),
        lambda g: np.exp(-np.exp(g)),
        lambda s: 1.0 / (s * np.log(s)),
    ),
    "log": (np.log, lambda g: np.minimum(np.exp(g), 1.0), lambda s: 1.0 / s),
    "plain": (lambda s: s, lambda g: np.clip(g, 0.0, 1.0), np.ones_like),
    "logit": (
        lambda s: np.log(s / (1.0 - s)),
        lambda g: 1.0 / (1.0 + np.exp(-g)),
        lambda s: 1.0 / (s * (1.0 - s)),
    ),
    "arcsine": (
        lambda s: np.arcsin(np.sqrt(s)),
        lambda g: np.sin(np.clip(g, 0.0, np.pi / 2)) ** 2,
        lambda s: 0.5 / np.sqrt(s * (1.0 - s)),
    ),
}
# A survival of one half is often held as 0.49999999999999994.
_HALF = 1e-9


@dataclass(frozen=True)
class KaplanMeier:
    """A Kaplan-Meier curve with pointwise limits and its median.

    Parameters
    ----------
    day, n_at_risk, n_events, survival, lower, upper : array, shape (day,)
        At every day with an event or a censoring; limits are NaN where they are undefined.
    median, median_lower, median_upper : float
        Day [day] on which survival first reaches one half; infinite where it is not reached.
    flat_at_half : bool
        Survival stays at exactly one half for a while, so that other programs may report the
        middle of that stretch as the median.
    transform : str
        Scale on which the limits are symmetric.
    probability : float
        Coverage of the limits.
    n, n_total_events : int
        Patients and events.
    """

    day: Array
    n_at_risk: Array
    n_events: Array
    survival: Array
    lower: Array
    upper: Array
    median: float
    median_lower: float
    median_upper: float
    flat_at_half: bool
    transform: str
    probability: float
    n: int
    n_total_events: int

    def at(self, day: float) -> float:
        """Give the survival on a day [day]."""
        before = int(np.searchsorted(self.day, day, side="right"))
        return 1.0 if before == 0 else float(self.survival[before - 1])


def kaplan_meier(
    time: ArrayLike, event: ArrayLike, *, transform: str = "log-log", probability: float = 0.95
) -> KaplanMeier:
    """Estimate the share of patients still free of the event, day by day.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    transform : {"log-log", "log", "plain", "logit", "arcsine"}
        Scale on which pointwise limits are symmetric. The same 16 patients can have a median of
        77 (31 to 119), 77 (42 to 523) or 77 (42 to 119) days by this choice alone, so it is
        always named.
    probability : float
        Coverage of the limits.

    Returns
    -------
    KaplanMeier
        The median's limits are the first days on which the limits reach one half.

    References
    ----------
    Brookmeyer and Crowley 1982, doi 10.2307/2530286.
    """
    if transform not in TRANSFORMS:
        what = f"transform {transform!r} is unknown"
        raise DataError(Fault("kaplan_meier", what, f"Choose from {', '.join(TRANSFORMS)}."))
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=bool)
    if time.size == 0:
        raise DataError(Fault("kaplan_meier", "there are no patients"))
    day = np.unique(time)
    at_risk = np.array([(time >= d).sum() for d in day], dtype=float)
    events = np.array([(event & (time == d)).sum() for d in day], dtype=float)
    survival = np.cumprod(1.0 - events / at_risk)
    lower, upper = _limits(survival, events, at_risk, transform, probability)
    median = _first_at_half(day, survival)
    return KaplanMeier(
        day=day,
        n_at_risk=at_risk,
        n_events=events,
        survival=survival,
        lower=lower,
        upper=upper,
        median=median,
        median_lower=_first_at_half(day, lower),
        # Once nobody is left free of the event, the median has been passed on any scale.
        median_upper=_first_at_half(day, np.where(survival == 0, 0.0, upper)),
        flat_at_half=bool(np.any((np.abs(survival - 0.5) < _HALF) & (events > 0))),
        transform=transform,
        probability=probability,
        n=time.size,
        n_total_events=int(event.sum()),
    )


def _limits(
    survival: Array, events: Array, at_risk: Array, transform: str, probability: float
) -> tuple[Array, Array]:
    """Give pointwise limits from Greenwood's variance on the scale named."""
    forward, back, slope = TRANSFORMS[transform]
    inside = (survival > 0) & (survival < 1)
    lower, upper = np.full(survival.size, np.nan), np.full(survival.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(events / (at_risk * (at_risk - events)))
    s = survival[inside]
    reach = stats.norm.ppf(0.5 + probability / 2.0) * np.abs(
        slope(s) * s * np.sqrt(greenwood[inside])
    )
    ends = np.stack([back(forward(s) - reach), back(forward(s) + reach)])
    lower[inside], upper[inside] = ends.min(axis=0), ends.max(axis=0)
    lower[survival == 1], upper[survival == 1] = 1.0, 1.0
    lower[survival == 0] = 0.0
    return lower, upper


def _first_at_half(day: Array, survival: Array) -> float:
    """Find the first day at which survival is at or below one half; infinite if none is."""
    reached = np.flatnonzero(survival <= 0.5 + _HALF)
    return float(day[reached[0]]) if reached.size else np.inf


@dataclass(frozen=True)
class LogRank:
    """Log-rank comparison of groups.

    Parameters
    ----------
    chi2, p_value : float
        NaN, with the reason, where fewer than two groups or no events are given.
    n_groups : int
        Groups compared.
    reason : str
        Why the numbers are missing; empty where they are not.
    """

    chi2: float
    p_value: float
    n_groups: int
    reason: str = ""


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> LogRank:
    """Compare the survival of groups.

    Parameters
    ----------
    time, event, group : array_like, shape (patient,)
        Day of event or censoring [day], whether it was an event, and the group.

    Returns
    -------
    LogRank
        Chi-square on one degree of freedom fewer than groups, and its p-value.
    """
    from statsmodels.duration.survfunc import survdiff

    event, group = np.asarray(event, dtype=int), np.asarray(group)
    n_groups = np.unique(group).size
    if n_groups < 2:
        return LogRank(np.nan, np.nan, n_groups, "there is one group only")
    if not event.any():
        return LogRank(np.nan, np.nan, n_groups, "there is no event")
    try:
        chi2, p = survdiff(np.asarray(time, dtype=float), event, group)
    except np.linalg.LinAlgError:
        return LogRank(np.nan, np.nan, n_groups, "no event comes while all groups are at risk")
    return LogRank(float(chi2), float(p), n_groups)
