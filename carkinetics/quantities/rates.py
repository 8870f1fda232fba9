"""How fast a curve rises and falls, each next to its registration."""

from __future__ import annotations

import numpy as np

from carkinetics.quantities import kernel
from carkinetics.quantities.curve import Curve, within
from carkinetics.quantities.measures import QUANTITIES, level_at, peak
from carkinetics.quantities.registry import LATENT, register


def _time_of(rate: np.ndarray) -> np.ndarray:
    """Turn a rate of ln level into a doubling time or half-life; NaN where it is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rate > 0, np.log(2) / rate, np.nan)[()]


def _steepest(curve: Curve, begin: object, end: object, sign: float) -> np.ndarray:
    found = kernel.steepest(*curve.rows, curve.per_row(begin), curve.per_row(end), sign)
    return found.reshape(curve.shape)


@register(
    QUANTITIES,
    label="Doubling time",
    kind="time",
    cdisc="",
    sponsor="DBLTIME",
    definition="ln 2 over the fastest growth of ln level before the peak.",
    source=LATENT,
    undefined="the curve does not rise before its peak",
)
def doubling_time(curve: Curve) -> np.ndarray:
    """Find the shortest doubling time before the peak, shape (...) [day]."""
    return _time_of(_steepest(curve, curve.day[..., 0].max(), peak(curve)[1], 1.0))


@register(
    QUANTITIES,
    label="Contraction half-life",
    kind="time",
    cdisc="",
    sponsor="CONTRHL",
    definition="ln 2 over the fastest decline of ln level after the peak, until the horizon.",
    source=LATENT,
    undefined="the curve does not fall after its peak",
)
def contraction_half_life(curve: Curve) -> np.ndarray:
    """Find the shortest half-life after the peak, shape (...) [day]."""
    return _time_of(_steepest(curve, peak(curve)[1], curve.end, -1.0))


@register(
    QUANTITIES,
    label="Terminal half-life",
    kind="time",
    # Not LAMZHL: that is a regression of the last samples.
    cdisc="",
    sponsor="TERMHL",
    definition="ln 2 over the decline of ln level at the horizon.",
    source=LATENT,
    undefined="the curve does not fall at the horizon",
)
def terminal_half_life(curve: Curve) -> np.ndarray:
    """Find the half-life at the horizon, shape (...) [day]; never pooled with contraction."""
    within(curve, curve.end, curve.end)
    # The decline over the last thousandth of a day; a cubic bends by nothing in that time.
    return _time_of(_steepest(curve, curve.end - 1e-3, curve.end, -1.0))


def growth(curve: Curve, start: float, end: float | np.ndarray) -> np.ndarray:
    """Give the mean slope of ln level between two days, shape (...) [1/day]."""
    width = np.asarray(end, dtype=float) - start
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.log(level_at(curve, end)) - np.log(level_at(curve, start))
        return np.where(width > 0, rise / width, np.nan)[()]
