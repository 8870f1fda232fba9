"""Lines through samples: the points they pass, the area under them, the level on them."""

from __future__ import annotations

import numpy as np

from carkinetics.noncompartmental.profiles import Profiles
from carkinetics.noncompartmental.rules import Rules


def points(profiles: Profiles, rules: Rules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn samples into the points that lines are drawn through.

    Parameters
    ----------
    profiles : Profiles
        Samples.
    rules : Rules
        What day 0 and samples below the limit count as.

    Returns
    -------
    day, level : array, shape (profile, point)
        Days [day] and levels [unit]; the last point is repeated to fill a row.
    n : array of int, shape (profile,)
        Points of each profile.
    """
    level = substituted(profiles, rules)
    kept = profiles.sampled & _kept(profiles, rules.blq)
    day = profiles.day
    if rules.c0 == "zero":
        added = (profiles.fault == "") & ~(
            kept.any(axis=1) & (profiles.at(day, kept.argmax(axis=1)) == 0)
        )
        kept = np.concatenate([added[:, None], kept], axis=1)
        day = np.concatenate([np.zeros((len(day), 1)), day], axis=1)
        level = np.concatenate([np.zeros((len(day), 1)), level], axis=1)
    order = np.argsort(~kept, axis=1, kind="stable")
    n = kept.sum(axis=1)
    fill = np.minimum(np.arange(day.shape[1]), np.maximum(n - 1, 0)[:, None])
    order = np.take_along_axis(order, fill, axis=1)
    return np.take_along_axis(day, order, axis=1), np.take_along_axis(level, order, axis=1), n


def substituted(profiles: Profiles, rules: Rules) -> np.ndarray:
    """Give the level that every sample counts as (rule N-05), shape (profile, sample) [unit]."""
    at = np.arange(profiles.day.shape[1])
    if rules.blq == "first_half_lloq":
        stand_in = np.where(at > profiles.last[:, None], profiles.lloq / 2, 0.0)
    else:
        stand_in = {"half_lloq": profiles.lloq / 2, "lloq": profiles.lloq}.get(
            rules.blq, np.zeros(())
        )
    return np.where(profiles.below, stand_in, profiles.level)


def log_points(profiles: Profiles, rules: Rules) -> np.ndarray:
    """Mark the samples that have a logarithm under rule N-05, shape (profile, sample)."""
    if rules.blq == "stop_at_first":
        low = profiles.sampled & ~profiles.quantified
        low &= np.arange(low.shape[1]) > profiles.first[:, None]
        return profiles.quantified & (low.cumsum(axis=1) == 0)
    kept = profiles.sampled & _kept(profiles, rules.blq)
    return kept & (profiles.quantified | (substituted(profiles, rules) > 0))


def _kept(profiles: Profiles, blq: str) -> np.ndarray:
    """Tell which samples lines pass through, shape (profile, sample)."""
    below, at = profiles.below, np.arange(profiles.day.shape[1])
    if blq == "drop":
        return ~below
    if blq in ("zero", "half_lloq", "lloq"):
        return np.ones_like(below)
    none = ~profiles.quantified.any(axis=1)
    before = at < profiles.first[:, None]
    after = at > profiles.last[:, None]
    if blq in ("default", "first_half_lloq", "m3"):
        after = at == profiles.last[:, None] + 1
    elif blq == "stop_at_first":
        low = (below & ~before).cumsum(axis=1) > 0
        return (~below | before | none[:, None]) & ~(low & ~none[:, None])
    elif blq == "zero_then_drop":
        after = np.zeros_like(before)
    return ~below | before | after | none[:, None]


def segment_areas(day: np.ndarray, level: np.ndarray, interpolation: str) -> np.ndarray:
    """Compute the area between each point and the next.

    Parameters
    ----------
    day, level : array, shape (..., point)
        Days [day] and levels [unit].
    interpolation : {"lin_up_log_down", "linear"}
        Shape of the line between points.

    Returns
    -------
    array, shape (..., point - 1)
        Areas [unit * day].

    Examples
    --------
    >>> segment_areas([0, 14, 28], [0.0, 100.0, 0.0], "lin_up_log_down").sum()
    np.float64(1400.0)
    """
    day, level = np.asarray(day, float), np.asarray(level, float)
    width, before, after = np.diff(day), level[..., :-1], level[..., 1:]
    return _area(width, before, after, interpolation)


def _area(
    width: np.ndarray, before: np.ndarray, after: np.ndarray, interpolation: str
) -> np.ndarray:
    with np.errstate(over="ignore"):
        straight = width * (before + after) / 2
    if interpolation == "linear":
        return straight
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        falls = (after > 0) & (after < before)
        log_ratio = np.log(np.where(falls, before / after, 1.0))
        # c2 * expm1(x) / x keeps its digits where the two levels are almost equal.
        bent = width * after * np.expm1(log_ratio) / log_ratio
    return np.where(falls & (log_ratio > 0), bent, straight)


def _between(
    share: np.ndarray, before: np.ndarray, after: np.ndarray, interpolation: str
) -> np.ndarray:
    """Read the line between two points, at a share of the way; the ends are exact."""
    value = before + (after - before) * share
    if interpolation == "lin_up_log_down":
        with np.errstate(divide="ignore", invalid="ignore"):
            falls = (after > 0) & (after < before)
            value = np.where(falls, before * (after / before) ** share, value)
    return np.where(share <= 0, before, np.where(share >= 1, after, value))


def window_areas(
    day: np.ndarray, level: np.ndarray, start: np.ndarray, end: np.ndarray, interpolation: str
) -> np.ndarray:
    """Compute the area under lines within a window, shape (profile,) [unit * day].

    Parameters
    ----------
    day, level : array, shape (profile, point)
        Points.
    start, end : array, shape (profile,)
        The window [day]; what lies outside the points adds nothing.
    interpolation : str
        Shape of the line.

    Returns
    -------
    array, shape (profile,)
    """
    left, right = day[:, :-1], day[:, 1:]
    low = np.clip(start[:, None], left, right)
    high = np.clip(end[:, None], left, right)
    width = right - left
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [np.where(width > 0, (at - left) / width, 0.0) for at in (low, high)]
    ends = [_between(s, level[:, :-1], level[:, 1:], interpolation) for s in shares]
    area = _area(high - low, ends[0], ends[1], interpolation)
    return np.where(high > low, area, 0.0).sum(axis=1)


def levels_on(day: np.ndarray, level: np.ndarray, at: np.ndarray, interpolation: str) -> np.ndarray:
    """Read lines on one day of each profile, shape (profile,); 0 after the last point."""
    place = np.clip((day < at[:, None]).sum(axis=1) - 1, 0, day.shape[1] - 2)
    rows = np.arange(len(day))
    left, right = day[rows, place], day[rows, place + 1]
    width = right - left
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(width > 0, (at - left) / width, 1.0)
    found = _between(share, level[rows, place], level[rows, place + 1], interpolation)
    return np.where(at > day[:, -1], 0.0, found)


def days_above(
    day: np.ndarray, level: np.ndarray, limit: np.ndarray, interpolation: str
) -> np.ndarray:
    """Add up the days on which lines exceed a limit, shape (profile,) [day]."""
    width, before, after = np.diff(day), level[:, :-1], level[:, 1:]
    at = limit[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        straight = (at - before) / (after - before)
        bent = np.log(at / before) / np.log(after / before)
        falls = (after > 0) & (after < before) & (interpolation == "lin_up_log_down")
        share = np.where(falls, bent, straight)
    above = np.where(before > at, 1.0, 0.0)
    rises, sinks = (before <= at) & (after > at), (before > at) & (after <= at)
    above = np.where(rises, 1 - share, np.where(sinks, share, above))
    return np.where(width > 0, above * width, 0.0).sum(axis=1)
