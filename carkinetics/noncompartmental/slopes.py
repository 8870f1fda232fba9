"""Log-linear regressions of many profiles at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carkinetics.noncompartmental.rules import DEFAULT_RULES, Rules


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


@dataclass(frozen=True, eq=False)
class Slopes:
    """Log-linear declines of many profiles; arrays of shape (profile,), NaN where there is none.

    Parameters
    ----------
    rate : array
        Decline of ln(level) [1/day].
    intercept : array
        ln(level) on day 0 of the line.
    adjusted_r2, span : array
        Adjusted R-squared; days covered, in half-lives.
    n : array of int
        Points used; where none is found, the points there were.
    """

    rate: np.ndarray
    intercept: np.ndarray
    adjusted_r2: np.ndarray
    span: np.ndarray
    n: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Whether there is a decline."""
        return self.rate > 0


def regression(day: np.ndarray, level: np.ndarray, used: np.ndarray) -> Slopes:
    """Fit ln(level) by day through all points used.

    Parameters
    ----------
    day, level : array, shape (profile, point)
        Days [day] and levels [unit].
    used : array of bool, shape (profile, point)
        Points that count.

    Returns
    -------
    Slopes
        NaN with fewer than two points; adjusted R-squared needs three.
    """
    count = used.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = np.where(used, day, 0.0), np.where(used, np.log(np.where(used, level, 1.0)), 0.0)
        x_mean, y_mean = x.sum(axis=1) / count, y.sum(axis=1) / count
        x = np.where(used, x - x_mean[:, None], 0.0)
        y = np.where(used, y - y_mean[:, None], 0.0)
        slope = (x * y).sum(axis=1) / (x * x).sum(axis=1)
        total = (y * y).sum(axis=1)
        residual = ((y - slope[:, None] * x) ** 2).sum(axis=1)
        r2 = np.where(total > 0, 1 - residual / total, 0.0)
        adjusted = np.where(count > 2, 1 - (1 - r2) * (count - 1) / (count - 2), np.nan)
        few = count < 2
        slope = np.where(few, np.nan, slope)
        width = np.where(few, np.nan, np.ptp(np.where(used, x, 0.0), axis=1))
        return Slopes(-slope, y_mean - slope * x_mean, adjusted, width * -slope / np.log(2), count)


def best_tails(
    day: np.ndarray, level: np.ndarray, usable: np.ndarray, rules: Rules = DEFAULT_RULES
) -> Slopes:
    """Fit the log-linear decline to the last points, as many as fit well.

    Parameters
    ----------
    day, level : array, shape (profile, point)
        Days [day] and levels [unit].
    usable : array of bool, shape (profile, point)
        Points that may count; by rule the quantifiable ones after Tmax.
    rules : Rules
        Fewest points, and the adjusted R-squared that a longer tail may lose.

    Returns
    -------
    Slopes
        Of the tail with the best adjusted R-squared, or a longer one that is worse by less than
        the rule allows; without a decline, NaN.
    """
    from_end = usable[:, ::-1].cumsum(axis=1)[:, ::-1]
    count = usable.sum(axis=1)
    tails = [
        regression(day, level, usable & (from_end <= size) & (count >= size)[:, None])
        for size in range(rules.min_points, int(count.max(initial=0)) + 1)
    ]
    nothing = np.full(count.shape, np.nan)
    if not tails:
        return Slopes(nothing, nothing, nothing, nothing, count)
    fits = np.stack([np.where(t.found, t.adjusted_r2, -np.inf) for t in tails])
    good = np.isfinite(fits) & (fits >= fits.max(axis=0) - rules.r2_per_point)
    longest = len(tails) - 1 - good[::-1].argmax(axis=0)
    some, rows = good.any(axis=0), np.arange(count.size)

    def chosen(name: str) -> np.ndarray:
        values = np.stack([getattr(t, name) for t in tails])[longest, rows]
        return np.where(some, values, np.nan)

    return Slopes(
        chosen("rate"),
        chosen("intercept"),
        chosen("adjusted_r2"),
        chosen("span"),
        np.where(some, longest + rules.min_points, count),
    )


def terminal_slope(day: np.ndarray, level: np.ndarray) -> Slope | None:
    """Fit the log-linear decline of one profile; see `best_tails`.

    Parameters
    ----------
    day, level : array, shape (point,)
        Quantifiable points that may be used; by rule those after Tmax [day], [unit].

    Returns
    -------
    Slope or None
        None with fewer than three points or without a decline.
    """
    days, levels = np.asarray(day, float)[None], np.asarray(level, float)[None]
    found = best_tails(days, levels, np.ones(days.shape, dtype=bool))
    if not found.found[0]:
        return None
    return Slope(
        float(found.rate[0]), float(found.adjusted_r2[0]), int(found.n[0]), float(found.span[0])
    )
