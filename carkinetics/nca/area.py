"""Areas under samples, with an end of the window that need not be a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carkinetics.nca.peak import OBSERVED, _peak
from carkinetics.nca.profile import DEFAULT_RULES, Measured, Profile, Rules
from carkinetics.quantities import register

_MIN_POINTS = 3
_MIN_ADJUSTED_R2 = 0.80
_MIN_SPAN = 1.5  # half-lives covered by the points of the terminal slope
_MAX_EXTRAPOLATED = 20.0  # percent
_R2_PER_POINT = 1e-4  # as PKNCA: a longer tail wins unless it fits worse by more than this


@dataclass(frozen=True)
class Slope:
    """Terminal decline of a profile.

    Parameters
    ----------
    rate : float
        Decline of ln(level) [1/day].
    adjusted_r2 : float
        Adjusted R-squared of the log-linear regression.
    n : int
        Points used.
    span : float
        Days covered, in half-lives.
    """

    rate: float
    adjusted_r2: float
    n: int
    span: float


def segment_areas(day: np.ndarray, level: np.ndarray, interpolation: str) -> np.ndarray:
    """Compute the area between each point and the next.

    Parameters
    ----------
    day, level : array, shape (point,)
        Days [day] and levels [unit].
    interpolation : {"lin_up_log_down", "linear"}
        Shape of the line between points.

    Returns
    -------
    array, shape (point - 1,)
        Areas [unit * day].

    Examples
    --------
    >>> segment_areas([0, 14, 28], [0.0, 100.0, 0.0], "lin_up_log_down").sum()
    np.float64(1400.0)
    """
    day, level = np.asarray(day, float), np.asarray(level, float)
    width, before, after = np.diff(day), level[:-1], level[1:]
    area = width * (before + after) / 2
    falls = (after > 0) & (after < before) & (interpolation == "lin_up_log_down")
    # c2 * expm1(x) / x keeps its digits where the two levels are almost equal.
    log_ratio = np.log(before[falls] / after[falls])
    area[falls] = width[falls] * after[falls] * np.expm1(log_ratio) / log_ratio
    return area


def level_between(day: np.ndarray, level: np.ndarray, at: float, interpolation: str) -> float:
    """Read the line through the points at one day; 0 after the last point.

    Parameters
    ----------
    day, level : array, shape (point,)
        Days [day] and levels [unit].
    at : float
        Day wanted, not before the first point [day].
    interpolation : {"lin_up_log_down", "linear"}
        Shape of the line between points.

    Returns
    -------
    float
        Level [unit].
    """
    after = int(np.searchsorted(day, at))
    if after == len(day):
        return 0.0
    if day[after] == at:
        return float(level[after])
    low, high = level[after - 1], level[after]
    share = (at - day[after - 1]) / (day[after] - day[after - 1])
    if 0 < high < low and interpolation == "lin_up_log_down":
        return float(low * (high / low) ** share)
    return float(low + (high - low) * share)


def terminal_slope(day: np.ndarray, level: np.ndarray) -> Slope | None:
    """Fit the log-linear decline to the last points, as many as fit well.

    Parameters
    ----------
    day, level : array, shape (point,)
        Quantifiable points that may be used; by rule those after Tmax [day], [unit].

    Returns
    -------
    Slope or None
        The last three or more points with the best adjusted R-squared, 1e-4 being granted to a
        longer tail; None with fewer than three points or without a decline.
    """
    day, log_level = np.asarray(day, float), np.log(np.asarray(level, float))
    tails = [_regression(day[-n:], log_level[-n:]) for n in range(_MIN_POINTS, day.size + 1)]
    tails = [tail for tail in tails if tail.rate > 0]
    if not tails:
        return None
    best = max(tail.adjusted_r2 for tail in tails)
    return max((t for t in tails if t.adjusted_r2 >= best - _R2_PER_POINT), key=lambda t: t.n)


def _regression(day: np.ndarray, log_level: np.ndarray) -> Slope:
    x, y = day - day.mean(), log_level - log_level.mean()
    slope = (x @ y) / (x @ x)
    residual, total = np.sum((y - slope * x) ** 2), y @ y
    r2 = 1 - residual / total if total > 0 else 0.0
    adjusted = 1 - (1 - r2) * (day.size - 1) / (day.size - 2)
    span = (day[-1] - day[0]) * -slope / np.log(2)
    return Slope(float(-slope), float(adjusted), day.size, float(span))


def auc(
    profile: Profile,
    rules: Rules = DEFAULT_RULES,
    start: float = 0.0,
    end: float = 28.0,
) -> Measured:
    """Compute the area under the samples in a window.

    Parameters
    ----------
    profile : Profile
        Samples of one patient.
    rules : Rules
        Interpolation, day 0 and samples below the limit.
    start, end : float
        The window [day].

    Returns
    -------
    Measured
        Area [unit * day]. A window that ends between samples is closed on the interpolated line.
        After a last sample below the limit the level is 0 (flag ``auc_closed_by_blq``); after
        a quantifiable last sample the area is extrapolated along an admissible terminal slope
        (flag ``auc_extrap_pct``) and otherwise missing, with a reason. A profile wholly below
        the limit has area 0 under the default rule, with the flag ``auc_all_blq``.

    Examples
    --------
    >>> round(auc(Profile(day=[14, 30], level=[100.0, 50.0])).value, 3)
    1749.696
    """
    flags: dict[str, object] = {
        "auc_extrap_pct": 0.0,
        "auc_closed_by_blq": False,
        "auc_all_blq": False,
    }
    if profile.day.size == 0:
        return Measured(np.nan, "no samples", flags)
    flags["auc_all_blq"] = profile.quantified.size == 0
    day, level = profile.points(rules)
    if day.size == 0 or day[0] > start:
        return Measured(np.nan, f"no sample at or before day {start:g}", flags)
    area = _area(day, level, start, min(end, day[-1]), rules.interpolation)
    if profile.day[-1] >= end:
        return Measured(area, "", flags)
    if profile.below_lloq[-1]:
        return Measured(area, "", flags | {"auc_closed_by_blq": True})
    return _extrapolated(profile, area, start, end, flags)


def _area(day: np.ndarray, level: np.ndarray, start: float, end: float, line: str) -> float:
    if end <= start:
        return 0.0
    inside = (day > start) & (day < end)
    edges = [level_between(day, level, at, line) for at in (start, end)]
    days = np.concatenate([[start], day[inside], [end]])
    levels = np.concatenate([edges[:1], level[inside], edges[1:]])
    return float(segment_areas(days, levels, line).sum())


def _extrapolated(
    profile: Profile, area: float, start: float, end: float, flags: dict[str, object]
) -> Measured:
    """Add what follows the last, quantifiable sample, if its decline is known well enough."""
    last_day, last_level = profile.day[-1], profile.level[-1]
    tail = profile.quantified[profile.quantified > _peak(profile)]
    slope = terminal_slope(profile.day[tail], profile.level[tail])
    missing = f"last sample on day {last_day:g} is quantifiable and "
    if slope is None:
        why = f"only {tail.size} points follow Tmax" if tail.size < _MIN_POINTS else "none declines"
        return Measured(np.nan, f"{missing}has no terminal slope: {why}", flags)
    if slope.adjusted_r2 < _MIN_ADJUSTED_R2:
        why = f"adjusted R-squared {slope.adjusted_r2:.2f} is below {_MIN_ADJUSTED_R2:.2f}"
        return Measured(np.nan, f"{missing}the terminal slope is poor: {why}", flags)
    if slope.span < _MIN_SPAN:
        why = f"its points span {slope.span:.1f} half-lives, {_MIN_SPAN:g} needed"
        return Measured(np.nan, f"{missing}the terminal slope is poor: {why}", flags)
    stop, limit = end, profile.lloq[-1]
    if limit > 0:
        stop = min(end, last_day + max(np.log(last_level / limit), 0.0) / slope.rate)
    decay = [np.exp(-slope.rate * (max(at, last_day) - last_day)) for at in (start, stop)]
    extra = last_level / slope.rate * max(decay[0] - decay[1], 0.0)
    percent = 100.0 * extra / (area + extra) if area + extra > 0 else 0.0
    flags = flags | {"auc_extrap_pct": float(percent)}
    if percent > _MAX_EXTRAPOLATED:
        why = f"{percent:.0f} % of the area would be extrapolated (limit {_MAX_EXTRAPOLATED:g} %)"
        return Measured(np.nan, missing + why, flags)
    return Measured(float(area + extra), "", flags)


@register(
    OBSERVED,
    label="Mean observed level",
    kind="level",
    cdisc="",
    definition="Area from day 0 to the last sample, divided by its day.",
    source="noncompartmental rules of the package documentation",
)
def mean_level(profile: Profile, rules: Rules = DEFAULT_RULES) -> Measured:
    """Average the level over the days observed [unit of the profile].

    An exposure that a short follow-up does not make smaller by itself; it needs no extrapolation.
    """
    if profile.day.size == 0 or profile.day[-1] == 0:
        return Measured(np.nan, profile.missing or "no sample after day 0")
    whole = auc(profile, rules, 0.0, float(profile.day[-1]))
    return Measured(whole.value / float(profile.day[-1]), whole.reason)
