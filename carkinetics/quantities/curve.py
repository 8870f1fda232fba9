"""A bundle of curves, exact between the days they are given on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from carkinetics.errors import DataError
from carkinetics.quantities import kernel


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
        has NaN for every quantity. Quantities of one cell type against another take the axis
        before the last for the cell types, the total last.
    slope : array, shape (..., day), optional
        d log_level / d day, as the equations give it [1/day]. Left out, it is estimated from
        neighboring days, which costs accuracy (the error then falls with the square of the
        spacing rather than its fourth power).
    limit : float or array, shape (...), optional
        Limit of detection or quantification on the scale of the level [unit].
    horizon : float, optional
        Day up to which something is said; the last day of the curve when left out [day].
    last_sample : float, optional
        Day of the last sample, for means over the observed time [day].
    onset : float, optional
        Day on which cytokine release syndrome began [day].
    assay_sd, assay_df : array, shape broadcasts to (...), optional
        SD of the assay's error on ln level, and the degrees of freedom of its Student-t
        distribution (infinite: Normal).
    """

    day: np.ndarray
    log_level: np.ndarray
    slope: np.ndarray = None  # type: ignore[assignment]
    limit: np.ndarray | float = np.nan
    horizon: float | None = None
    last_sample: float = np.nan
    onset: float = np.nan
    assay_sd: np.ndarray | float = np.nan
    assay_df: np.ndarray | float = np.inf

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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the bundle, without the days."""
        return self.log_level.shape[:-1]

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Days (one row, or one per curve), ln levels, slopes, whether finite: one row a curve."""
        count = self.log_level.shape[-1]
        day = self.day if self.day.ndim == 1 else np.broadcast_to(self.day, self.log_level.shape)
        level = np.ascontiguousarray(self.log_level.reshape(-1, count))
        slope = np.broadcast_to(self.slope, self.log_level.shape).reshape(-1, count)
        slope = np.ascontiguousarray(slope)
        day = np.ascontiguousarray(day.reshape(-1, count))
        return day, level, slope, kernel.finite_rows(level, slope)

    @property
    def unusable(self) -> np.ndarray:
        """Curves with a value that is not finite, shape (...)."""
        return ~self.rows[3].reshape(self.shape)

    @property
    def end(self) -> float:
        """Day up to which something is said [day]."""
        return float(self.day[..., -1].min()) if self.horizon is None else float(self.horizon)

    @cached_property
    def peaks(self) -> np.ndarray:
        """Find ln of the highest level and the first day it is reached, shape (2, ...)."""
        return kernel.peaks(*self.rows).reshape(2, *self.shape)

    @cached_property
    def crossings(self) -> np.ndarray:
        """Find the last downward crossing of the limit, whether censored, days above, (3, ...)."""
        return self.crossings_of(self.limit, self.end)

    def crossings_of(self, limit: object, end: float) -> np.ndarray:
        """Do the same for another limit or horizon; NaN without a positive, finite limit."""
        within(self, end, end)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_limit = np.log(np.asarray(limit, dtype=float))
        log_limit = np.where(np.isfinite(log_limit), log_limit, np.nan)
        return kernel.crossings(*self.rows, self.per_row(log_limit), end).reshape(3, *self.shape)

    @cached_property
    def error_bound(self) -> np.ndarray:
        """Largest distance of ln level from the cubics between the days, estimated, shape (...)."""
        return kernel.curvature_errors(*self.rows)[1].reshape(self.shape)

    def per_row(self, values: object) -> np.ndarray:
        """Give one number per row, for a number or an array that broadcasts to the bundle."""
        whole = np.broadcast_to(np.asarray(values, dtype=float), self.shape)
        return np.ascontiguousarray(whole.reshape(-1))


def within(curve: Curve, start: float, end: float) -> None:
    """Refuse a window that the days of the curve do not cover."""
    first, last = float(curve.day[..., 0].max()), float(curve.day[..., -1].min())
    if start < first or end > last:
        asked = f"day {end:g}" if start >= end else f"days {start:g} to {end:g}"
        raise DataError(f"{asked} asked of a curve of days {first:g} to {last:g}")
