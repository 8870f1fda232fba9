"""Loops over curves, compiled: no temporary arrays, and no interpreter lock, so threads help.

A curve is a row of ``level`` and ``slope`` (ln level and its derivative); between two days it is
the cubic ``y + u (a + u (b + u c))`` in u = (t - left) / width. ``day`` has one row per curve, or
a single one for all. A row with a value that is not finite gives NaN.

What every fit needs before its first draw, peaks and levels on a day, is done by numpy: as fast,
where numpy looks closely at few pieces of a curve, and nobody waits for a compiler.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")

_FIVE = np.polynomial.legendre.leggauss(5)
_THREE = np.polynomial.legendre.leggauss(3)
# exp() over a piece whose exponent varies by less than this: three nodes are exact to 1e-9.
_NEARLY_FLAT = 0.25
_HALVINGS = 60  # of one piece; more than the digits of a day
_AT_ONCE = 1 << 16  # numbers that numpy takes at once: they stay in the processor's cache
_ROUNDING = 1e-9  # more than the digits of ln level that the hull of a piece may lose


def finite_rows(level, slope):
    """Tell which curves are finite throughout, shape (curve,)."""
    with np.errstate(invalid="ignore"):  # a sum of opposite infinities
        return np.isfinite(level.sum(axis=1)) & np.isfinite(slope.sum(axis=1))


def _pieces(day, level, slope, i, j, k):
    """Give left day, width and coefficients of piece k of curve i, whose days are row j."""
    left, width = day[j, k], day[j, k + 1] - day[j, k]
    rise = level[i, k + 1] - level[i, k]
    a, right = width * slope[i, k], width * slope[i, k + 1]
    return left, width, level[i, k], a, 3 * rise - 2 * a - right, a + right - 2 * rise


piece = compiled(_pieces)


def _summits(a, b, c):
    """Find the places of the local maxima of cubics; NaN where one has none."""
    root = np.sqrt(b * b - 3 * a * c)
    # Two forms of one root of the derivative; each is exact where the other cancels.
    return np.where(b < 0, a / (root - b), (-b - root) / (3 * c))


def peaks(day, level, slope, good):
    """Find ln of the highest level and the first day it is reached, shape (2, curve)."""
    n, days = level.shape
    found = np.full((2, n), np.nan)
    size = max(1, _AT_ONCE // days)
    with np.errstate(all="ignore"):
        for first in range(0, n, size):
            rows = slice(first, first + size)
            own = day[rows] if len(day) > 1 else day
            found[:, rows] = _peaks_at_once(own, level[rows], slope[rows])
    found[:, ~good] = np.nan
    return found


def _peaks_at_once(day, level, slope):
    n, node = level.shape[0], level.argmax(axis=1)
    top = level[np.arange(n), node]
    # A cubic lies within the hull of its ends and of what their slopes reach a third of the width
    # away: most pieces need no closer look.
    gap = (top - _ROUNDING * (1 + abs(top)))[:, None] - level
    after = np.diff(day, append=day[:, -1:]) / 3 * slope >= gap
    before = np.diff(day, prepend=day[:, :1]) / -3 * slope >= gap
    i, k = np.divmod(np.flatnonzero(after[:, :-1] | before[:, 1:]), level.shape[1] - 1)
    left, wide, y, a, b, c = _pieces(day, level, slope, i, i if len(day) > 1 else 0 * i, k)
    u = _summits(a, b, c)
    inner = np.where((u > 0) & (u < 1), y + u * (a + u * (b + u * c)), -np.inf)
    # Of the nodes and the summits between them, the highest of each curve, the first of equals.
    curve = np.concatenate([np.arange(n), i])
    value = np.concatenate([top, inner])
    at = np.concatenate([day[np.arange(n) if len(day) > 1 else 0, node], left + u * wide])
    order = np.lexsort([np.concatenate([2 * node, 2 * k + 1]), -value, curve])
    best = order[np.searchsorted(curve[order], np.arange(n))]
    return value[best], at[best]


@compiled
def areas(day, level, slope, good, start, end):
    """Integrate the level over a window by Gauss-Legendre quadrature, shape (curve,)."""
    n, last = level.shape[0], level.shape[1] - 1
    found = np.full(n, np.nan)
    for i in range(n):
        if not good[i]:
            continue
        j = i if day.shape[0] > 1 else 0
        total = 0.0
        for k in range(last):
            if day[j, k] >= end:
                break
            low, high = max(day[j, k], start), min(day[j, k + 1], end)
            if high <= low:
                continue
            left, width, y, a, b, c = piece(day, level, slope, i, j, k)
            middle, half = ((low + high) / 2 - left) / width, (high - low) / 2 / width
            nodes, weights = _FIVE
            if abs(a) + abs(b) + abs(c) < _NEARLY_FLAT:
                nodes, weights = _THREE
            part = 0.0
            for m in range(nodes.shape[0]):
                u = middle + half * nodes[m]
                part += weights[m] * np.exp(y + u * (a + u * (b + u * c)))
            total += part * (high - low) / 2
        found[i] = total
    return found


def log_levels(day, level, slope, good, at):
    """Read ln level on a day of each curve (NaN gives NaN), shape (curve,)."""
    n, last = level.shape[0], level.shape[1] - 1
    found = np.full(n, np.nan)
    i = np.flatnonzero(good & ~np.isnan(at))
    if len(day) > 1:
        j, k = i, (day < at[:, None]).sum(axis=1)[i]
    else:
        j, k = 0 * i, np.searchsorted(day[0], at[i])
    left, width, y, a, b, c = _pieces(day, level, slope, i, j, np.clip(k - 1, 0, last - 1))
    with np.errstate(all="ignore"):
        u = np.where(width > 0, (at[i] - left) / width, 1.0)
    found[i] = y + u * (a + u * (b + u * c))
    return found


@compiled
def _root(y, a, b, c, low, high, limit):
    """Halve a stretch whose two ends lie on different sides of a limit."""
    above = y + low * (a + low * (b + low * c)) > limit
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (y + middle * (a + middle * (b + middle * c)) > limit) == above:
            low = middle
        else:
            high = middle
    return high


@compiled
def _stretches(a, b, c, end):
    """Cut [0, end] at the extremes of a cubic; four marks, of which some may coincide."""
    low = high = 0.0
    inside = b * b - 3 * a * c
    if inside > 0:
        root = np.sqrt(inside)
        one = a / (root - b) if b < 0 else (-b - root) / (3 * c)
        two = (root - b) / (3 * c) if b < 0 else a / (-b - root)
        low = min(max(one, 0.0), end) if np.isfinite(one) else 0.0
        high = min(max(two, 0.0), end) if np.isfinite(two) else 0.0
    return 0.0, min(low, high), max(low, high), end


@compiled
def crossings(day, level, slope, good, limit, horizon):
    """Find the last downward crossing before a horizon, and the time spent above the limit.

    Returns
    -------
    array, shape (3, curve)
        Day of the crossing: 0 where the level never exceeds the limit, the horizon where it still
        does there. Whether it still does. Days above the limit.
    """
    n, last = level.shape[0], level.shape[1] - 1
    found = np.full((3, n), np.nan)
    for i in range(n):
        if not good[i] or np.isnan(limit[i]):
            continue
        j = i if day.shape[0] > 1 else 0
        crossing, above, spent = 0.0, level[i, 0] > limit[i], 0.0
        for k in range(last):
            left, width, y, a, b, c = piece(day, level, slope, i, j, k)
            if left >= horizon or width <= 0:
                continue
            # The cubic lies within the hull of these four: most pieces need no closer look.
            one, two, end = y + a / 3, y + (2 * a + b) / 3, level[i, k + 1]
            whole = left + width <= horizon
            if whole and min(y, one, two, end) > limit[i] and above:
                spent += width
                continue
            if max(y, one, two, end) <= limit[i] and not above:
                continue
            marks = _stretches(a, b, c, min(1.0, (horizon - left) / width))
            for m in range(3):
                low, high = marks[m], marks[m + 1]
                if high <= low:
                    continue
                rises = y + high * (a + high * (b + high * c)) > limit[i]
                if high == 1.0:
                    rises = level[i, k + 1] > limit[i]
                if rises != above:
                    at = _root(y, a, b, c, low, high, limit[i])
                    if above:
                        crossing = left + at * width
                        spent += (at - low) * width
                    else:
                        spent += (high - at) * width
                elif above:
                    spent += (high - low) * width
                above = rises
        found[0, i] = horizon if above else crossing
        found[1, i], found[2, i] = (1.0 if above else 0.0), spent
    return found


@compiled
def steepest(day, level, slope, good, begin, end, sign):
    """Find the largest rise (sign 1) or fall (sign -1) of ln level between two days, (curve,)."""
    n, last = level.shape[0], level.shape[1] - 1
    found = np.full(n, np.nan)
    for i in range(n):
        if not good[i] or not begin[i] < end[i]:
            continue
        j = i if day.shape[0] > 1 else 0
        best = -np.inf
        for k in range(last):
            if day[j, k + 1] <= begin[i] or day[j, k] >= end[i]:
                continue
            left, width, _, a, b, c = piece(day, level, slope, i, j, k)
            low = max(0.0, (begin[i] - left) / width)
            high = min(1.0, (end[i] - left) / width)
            best = max(best, sign * (a + low * (2 * b + low * 3 * c)) / width)
            best = max(best, sign * (a + high * (2 * b + high * 3 * c)) / width)
            turn = -b / (3 * c) if c != 0 else -1.0
            if low < turn < high:
                best = max(best, sign * (a + turn * (2 * b + turn * 3 * c)) / width)
        found[i] = best
    return found


@compiled
def curvature_errors(day, level, slope, good):
    """Estimate how far ln level may lie from the cubic in each piece, shape (day - 1,), worst.

    The error of a cubic through values and slopes at two days is f''''/24 (t - left)^2
    (t - right)^2. The fourth derivative is estimated by the divided difference that takes in the
    value at a neighboring node, on either side; the larger one counts. A kink (a day given
    twice) is no neighbor.

    Returns
    -------
    by_piece : array, shape (day - 1,)
        The largest of all curves.
    by_curve : array, shape (curve,)
        The largest of all pieces.
    """
    n, last = level.shape[0], level.shape[1] - 1
    by_piece, by_curve = np.zeros(last), np.zeros(n)
    for i in range(n):
        if not good[i]:
            continue
        j = i if day.shape[0] > 1 else 0
        for k in range(last):
            left, width, y, a, b, c = piece(day, level, slope, i, j, k)
            if width <= 0:
                continue
            worst = 0.0
            for near in (k - 1, k + 2):
                if near < 0 or near > last:
                    continue
                u = (day[j, near] - left) / width
                if u == 0.0 or u == 1.0:
                    continue
                missed = level[i, near] - (y + u * (a + u * (b + u * c)))
                # The largest value of u^2 (1 - u)^2 inside the piece is 1/16.
                worst = max(worst, abs(missed) / (u * u * (1 - u) * (1 - u)) / 16)
            by_piece[k] = max(by_piece[k], worst)
            by_curve[i] = max(by_curve[i], worst)
    return by_piece, by_curve


@compiled
def with_total(log_level, slope, sets):
    """Arrange solver rows by curve, and add the total where there are several cell types.

    Parameters
    ----------
    log_level, slope : array, shape (set * day, cell_type)
        As the solver gives them.
    sets : int
        Number of parameter sets.

    Returns
    -------
    log_level, slope : array, shape (set, cell_type or cell_type + 1, day)
        The total last: the sum of the levels, and its slope, their mean weighted by level.
    """
    rows, cells = log_level.shape
    days = rows // sets
    wide = cells + 1 if cells > 1 else cells
    level_out, slope_out = np.empty((sets, wide, days)), np.empty((sets, wide, days))
    for i in range(sets):
        for k in range(days):
            row = i * days + k
            top = -np.inf
            for j in range(cells):
                level_out[i, j, k], slope_out[i, j, k] = log_level[row, j], slope[row, j]
                top = max(top, log_level[row, j])
            if cells > 1:
                whole, weighted = 0.0, 0.0
                for j in range(cells):
                    part = np.exp(log_level[row, j] - top)
                    whole += part
                    weighted += part * slope[row, j]
                level_out[i, cells, k] = top + np.log(whole)
                slope_out[i, cells, k] = weighted / whole
    return level_out, slope_out
