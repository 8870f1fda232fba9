"""Areas under samples, with an end of the window that need not be a sample."""

from __future__ import annotations

import numpy as np

from carkinetics.noncompartmental.lines import points, window_areas
from carkinetics.noncompartmental.profiles import Column, Profiles, column, sentence
from carkinetics.noncompartmental.rules import Rules
from carkinetics.noncompartmental.slopes import Slopes, best_tails

NO_ONSET = "no day of onset of cytokine release syndrome"


def area_in_window(
    profiles: Profiles, rules: Rules, start: float | np.ndarray, end: float | np.ndarray
) -> Column:
    """Compute the area under the samples in a window.

    Parameters
    ----------
    profiles : Profiles
        Samples.
    rules : Rules
        Interpolation, day 0, samples below the limit, and what follows the last sample.
    start, end : float, or array of shape (profile,)
        The window [day].

    Returns
    -------
    Column
        Area [unit * day]. A window that ends between samples is closed on the interpolated line
        (rule N-06). After a last sample below the limit the level is 0 (N-07, flag
        ``auc_closed_by_blq``); after a quantifiable last sample the area is extrapolated along an
        admissible terminal slope (N-08, flag ``auc_extrap_pct``) and otherwise missing, with a
        reason. A profile wholly below the limit has area 0 under the default rule, with the flag
        ``auc_all_blq``; ``auc_below`` then holds the area that the highest limit would have, under
        which the true one lies if the level stays below it, so that an analysis on the log scale
        can treat it as left-censored (N-14). Where death or progression came before the end of
        the window (N-09), the flag ``auc_event_before_end`` says so.
    """
    start, end = (np.broadcast_to(np.asarray(v, float), profiles.n.shape) for v in (start, end))
    day, level, n = points(profiles, rules)
    last = profiles.last_day
    place = np.maximum(profiles.n - 1, 0)
    with np.errstate(invalid="ignore"):
        closed = profiles.at(profiles.below, place) | (profiles.at(profiles.level, place) == 0)
        short = last < end
        event = profiles.stopped < end
        late = day[:, 0] > start
        known = window_areas(day, level, start, np.minimum(end, day[:, -1]), rules.interpolation)
    extra, percent, why = _tail(profiles, rules, known, start, end, short & ~closed)
    reasons = [
        (profiles.n == 0, lambda i: "no samples"),
        ((n == 0) | late, lambda i: f"no sample at or before day {start[i]:g}"),
        (_no_sample_at_end(profiles, rules, end), lambda i: f"no sample on day {end[i]:g}"),
        (
            event & short & (rules.after_event == "missing"),
            lambda i: f"death or progression on day {profiles.stopped[i]:g}, before day {end[i]:g}",
        ),
        (
            short & closed & (rules.blq_tail == "missing"),
            lambda i: f"sampling ended below the limit on day {last[i]:g}",
        ),
        (why != "", lambda i: why[i]),
    ]
    reason = np.full(n.shape, "", dtype=object)
    for rows, make in reasons:
        reason = np.where(reason == "", sentence(rows & (reason == ""), make), reason)
    return column(
        profiles,
        known + extra,
        reason,
        auc_extrap_pct=percent,
        auc_closed_by_blq=short & closed & (profiles.n > 0),
        auc_all_blq=(profiles.n > 0) & ~profiles.quantified.any(axis=1),
        auc_below=_most_hidden(profiles, end - start),
        auc_event_before_end=event,
    )


def _most_hidden(profiles: Profiles, width: np.ndarray) -> np.ndarray:
    """Give the largest area that a profile wholly below its limit may hide; NaN otherwise."""
    below = (profiles.n > 0) & (profiles.below | ~profiles.sampled).all(axis=1)
    limit = np.where(profiles.sampled & profiles.below, profiles.lloq, 0.0).max(axis=1)
    return np.where(below, limit * width, np.nan)


def _no_sample_at_end(profiles: Profiles, rules: Rules, end: np.ndarray) -> np.ndarray:
    if rules.window_end == "interpolate":
        return np.zeros(profiles.n.shape, dtype=bool)
    there = ((profiles.day == end[:, None]) & profiles.sampled).any(axis=1)
    return ~there & (profiles.last_day > end)


def decline(profiles: Profiles, rules: Rules) -> Slopes:
    """Fit the terminal decline of every profile; by rule Tmax itself is left out."""
    after = np.arange(profiles.day.shape[1]) - profiles.peak(rules.tmax_ties)[:, None]
    usable = profiles.quantified & ((after >= 0) if rules.include_tmax else (after > 0))
    return best_tails(profiles.day, profiles.level, usable, rules)


def last_level(profiles: Profiles, rules: Rules, slope: Slopes) -> np.ndarray:
    """Give the level from which areas are extrapolated (rule N-10), shape (profile,) [unit]."""
    if rules.clast == "observed":
        return profiles.at(profiles.level, profiles.last)
    day = profiles.at(profiles.day, profiles.last)
    with np.errstate(over="ignore"):
        return np.exp(slope.intercept - slope.rate * day)


def _tail(
    profiles: Profiles,
    rules: Rules,
    known: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Extrapolate where wanted: what it adds, its share in percent, why it is not admissible."""
    slope, last = decline(profiles, rules), profiles.last_day
    level, place = last_level(profiles, rules, slope), np.maximum(profiles.n - 1, 0)
    limit = profiles.at(profiles.lloq, place)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        reach = last + np.maximum(np.log(level / limit), 0.0) / slope.rate
        stop = np.where(limit > 0, np.minimum(end, reach), end)
        decay = [
            np.exp(-slope.rate * (np.maximum(at, last) - last)) for at in (start, stop)
        ]  # fmt: skip
        extra = level / slope.rate * np.maximum(decay[0] - decay[1], 0.0)
        percent = np.where(known + extra > 0, 100 * extra / (known + extra), 0.0)
    head = [f"last sample on day {day:g} is quantifiable and " for day in last]
    r2, span = rules.min_adjusted_r2, rules.min_span
    few = slope.n < rules.min_points
    tests = [
        (np.full(few.shape, rules.short_tail == "missing"), lambda i: "nothing is extrapolated"),
        (few, lambda i: f"has no terminal slope: only {slope.n[i]} points follow Tmax"),
        (~slope.found, lambda i: "has no terminal slope: none declines"),
        (
            slope.adjusted_r2 < r2,
            lambda i: (
                f"the terminal slope is poor: adjusted R-squared {slope.adjusted_r2[i]:.2f} "
                f"is below {r2:.2f}"
            ),
        ),
        (
            slope.span < span,
            lambda i: (
                f"the terminal slope is poor: its points span {slope.span[i]:.1f} "
                f"half-lives, {span:g} needed"
            ),
        ),
        (
            percent > rules.max_extrapolated,
            lambda i: (
                f"{percent[i]:.0f} % of the area would be extrapolated (limit "
                f"{rules.max_extrapolated:g} %)"
            ),
        ),
    ]
    why = np.full(known.shape, "", dtype=object)
    for rows, make in tests:
        open_ = wanted & rows & (why == "")
        why = np.where(why == "", sentence(open_, lambda i, m=make: head[i] + m(i)), why)
    added = wanted & slope.found & ~few & (rules.short_tail == "extrapolate")
    return np.where(added, extra, 0.0), np.where(added, percent, 0.0), why


def lambda_z_flags(slope: Slopes) -> dict[str, np.ndarray]:
    """Say how good a terminal slope is (rule N-11)."""
    return {
        "lambda_z_points": np.where(slope.found, slope.n, 0),
        "lambda_z_adjusted_r2": slope.adjusted_r2,
        "lambda_z_span": slope.span,
        "lambda_z_span_short": slope.span < 2.0,
    }


def no_slope(slope: Slopes, rules: Rules) -> np.ndarray:
    """Say why there is no terminal slope, shape (profile,); empty where there is one."""
    few = slope.n < rules.min_points
    reason = sentence(few & ~slope.found, lambda i: f"only {slope.n[i]} points follow Tmax")
    return np.where(slope.found, "", np.where(few, reason, "the points after Tmax do not decline"))
