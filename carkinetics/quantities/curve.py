"""A bundle of curves, exact between the days they are given on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from carkinetics.errors import DataError


@dataclass(frozen=True)
class Curve:
    """Levels over time, exact between the days given: a cubic through ln level and its slope.

    Parameters
    ----------
    day : array, shape (day,) or (..., day)
        Days, not decreasing [day]. A day given twice is a kink: the first carries the slope
        before it, the second the slope after it.
    log_level : array, shape (..., day)
        Natural logarithm of the level [ln of `unit`]. A curve with a value that is not finite
        has NaN for every quantity.
    slope : array, shape (..., day), optional
        d log_level / d day, as the equations give it [1/day]. Left out, it is estimated from
        neighboring days, which costs accuracy (the error then falls with the square of the
        spacing rather than its fourth power).
    limit : float or array, shape (...), optional
        Limit of detection or quantification on the scale of the level [unit].
    """

    day: np.ndarray
    log_level: np.ndarray
    slope: np.ndarray = None  # type: ignore[assignment]
    limit: np.ndarray = np.nan  # type: ignore[assignment]

    def __post_init__(self) -> None:
        day = np.asarray(self.day, dtype=float)
        log_level = np.asarray(self.log_level, dtype=float)
        if day.shape[-1] < 2 or log_level.shape[-1:] != day.shape[-1:]:
            raise DataError("a curve needs at least two days, and one level for each")
        if not (np.diff(day, axis=-1) >= 0).all():
            raise DataError("the days of a curve decrease or are not numbers; sort them")
        given = self.slope
        if given is None:
            given = np.asarray(np.gradient(log_level, day, axis=-1))
        object.__setattr__(self, "day", day)
        object.__setattr__(self, "log_level", log_level)
        object.__setattr__(self, "slope", np.asarray(given, dtype=float))
        object.__setattr__(self, "limit", np.asarray(self.limit, dtype=float))

    @cached_property
    def unusable(self) -> np.ndarray:
        """Curves with a value that is not finite, shape (...)."""
        return ~(np.isfinite(self.log_level) & np.isfinite(self.slope)).all(axis=-1)

    @cached_property
    def cubic(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients of every piece in u = (day - left) / width, shape (..., day - 1)."""
        y, width = self.log_level, np.diff(self.day, axis=-1)
        step, left, right = np.diff(y, axis=-1), self.slope[..., :-1], self.slope[..., 1:]
        left, right = width * left, width * right
        return y[..., :-1], left, 3 * step - 2 * left - right, left + right - 2 * step

    @cached_property
    def summits(self) -> tuple[np.ndarray, np.ndarray]:
        """Place u and ln level of the local maximum inside every piece; -inf where none."""
        y, a, b, c = self.cubic
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            root = np.sqrt(b * b - 3 * a * c)
            # Two forms of one root of the derivative; each is exact where the other cancels.
            u = np.where(b < 0, a / (root - b), (-b - root) / (3 * c))
            top = y + u * (a + u * (b + u * c))
        inside = (u > 0) & (u < 1)
        return np.where(inside, u, 0.0), np.where(inside, top, -np.inf)

    def until(self, end: float) -> Curve:
        """Cut the curve at a day; what lies before it is unchanged to the last digit."""
        beyond = self.day > end
        if not beyond.any():
            return self
        within(self, self.day[..., 0].max(), end)
        piece, u = locate(self, end)
        y, a, b, c = (take(term, piece) for term in self.cubic)
        width = take(np.diff(self.day, axis=-1), piece)
        at_end = y + u * (a + u * (b + u * c))
        slope = (a + u * (2 * b + u * 3 * c)) / width
        # Later days collapse onto the end: pieces of no width change no quantity.
        return Curve(
            np.minimum(self.day, end),
            np.where(beyond, at_end[..., None], self.log_level),
            np.where(beyond, slope[..., None], self.slope),
            self.limit,
        )


def within(curve: Curve, start: float, end: float) -> None:
    """Refuse a window that the days of the curve do not cover."""
    first, last = float(curve.day[..., 0].max()), float(curve.day[..., -1].min())
    if start < first or end > last:
        asked = f"day {end:g}" if start >= end else f"days {start:g} to {end:g}"
        raise DataError(f"{asked} asked of a curve of days {first:g} to {last:g}")


def locate(curve: Curve, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the piece that holds a day, and the place in it; shape (...)."""
    piece = np.clip((curve.day < at).sum(axis=-1) - 1, 0, curve.day.shape[-1] - 2)
    piece = np.broadcast_to(piece, curve.log_level.shape[:-1])
    left, width = take(curve.day, piece), take(np.diff(curve.day, axis=-1), piece)
    return piece, (at - left) / np.where(width > 0, width, 1.0)


def take(values: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Pick one entry per curve along the last axis, shape (...)."""
    if values.ndim == 1:
        return values[piece]
    return np.take_along_axis(values, piece[..., None], axis=-1)[..., 0]


def or_nan(curve: Curve, values: np.ndarray) -> np.ndarray:
    """Put NaN where the curve is not finite, shape (...)."""
    return np.where(curve.unusable, np.nan, values)
