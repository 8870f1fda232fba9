"""Peak, area, level and persistence of a curve, each next to its registration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.quantities import kernel
from carkinetics.quantities.curve import Curve, within
from carkinetics.quantities.registry import LATENT, Quantity, register

QUANTITIES: dict[str, Quantity] = {}


@dataclass(frozen=True)
class Loss:
    """When curves fall below their limit for the last time.

    Parameters
    ----------
    day : array, shape (...)
        Day of the last downward crossing; 0 where the curve never exceeds its limit; the horizon
        where it still does so there; NaN without a limit or a finite curve [day].
    censored : array of bool, shape (...)
        Still above the limit at the horizon.
    """

    day: np.ndarray
    censored: np.ndarray


def peak(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Find the highest level and its day, exactly for the cubic between the days.

    Parameters
    ----------
    curve : Curve
        Latent levels.

    Returns
    -------
    level, day : array, shape (...)
        Highest level [unit of the level] and the first day it is reached [day].
    """
    log_level, day = curve.peaks
    with np.errstate(over="ignore"):
        return np.exp(log_level)[()], day[()]


@register(
    QUANTITIES,
    label="Cmax",
    kind="level",
    cdisc="CMAX",
    definition="Highest level of the curve.",
    source=LATENT,
)
def cmax(curve: Curve) -> np.ndarray:
    """Find the highest level, shape (...) [unit of the level]; not limited to the days given.

    Examples
    --------
    >>> day = np.array([0.0, 6.0, 14.0])
    >>> cmax(Curve(day, -((day - 7) ** 2) / 50, -(day - 7) / 25)).round(6)
    np.float64(1.0)
    """
    return peak(curve)[0]


@register(
    QUANTITIES,
    label="Tmax",
    kind="time",
    cdisc="TMAX",
    definition="First day of the highest level of the curve.",
    source=LATENT,
)
def tmax(curve: Curve) -> np.ndarray:
    """Find the first day of the highest level, shape (...) [day]."""
    return peak(curve)[1]


def auc(curve: Curve, start: float = 0.0, end: float = 28.0) -> np.ndarray:
    """Integrate the level over a window by Gauss-Legendre quadrature, piece by piece.

    Parameters
    ----------
    curve : Curve
        Latent levels; the days must cover the window.
    start, end : float
        The window [day].

    Returns
    -------
    array, shape (...)
        Area [unit of the level * day]. The quadrature is exact to 1e-9; the cubics lie within
        ``curve.error_bound`` of ln level, and the area within that share of the true one.
    """
    within(curve, start, end)
    return kernel.areas(*curve.rows, float(start), float(end)).reshape(curve.shape)[()]


def level_at(curve: Curve, day: float | np.ndarray) -> np.ndarray:
    """Read the level on one day, or on one day of each curve, shape (...) [unit of the level]."""
    days = np.asarray(day, dtype=float)
    known = days[~np.isnan(days)]
    if known.size:
        within(curve, known.max(), known.max())
        within(curve, known.min(), known.min())
    log_level = kernel.log_levels(*curve.rows, curve.per_row(days))
    with np.errstate(over="ignore"):
        return np.exp(log_level).reshape(curve.shape)[()]


def detectable(curve: Curve, day: float) -> np.ndarray:
    """Tell whether the level exceeds the limit on one day: 1, 0 or NaN, shape (...).

    Its mean over posterior draws is the probability that the latent level exceeds the limit;
    that a sample would be quantifiable is another number, since assay error comes on top.
    """
    level = level_at(curve, day)
    unknown = np.isnan(level) | ~np.isfinite(curve.limit)
    return np.where(unknown, np.nan, level > curve.limit)[()]


def quantifiable(curve: Curve, day: float) -> np.ndarray:
    """Give the probability that a sample of one day reaches the limit, shape (...).

    The assay's error comes on top of the latent level: ``assay_sd`` on the log scale, Normal or
    Student-t. NaN without a limit or an error.
    """
    from scipy import stats

    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.log(level_at(curve, day) / curve.limit) / curve.assay_sd
    df = np.asarray(curve.assay_df, dtype=float)
    heavy = np.isfinite(df)
    normal = stats.norm.cdf(distance)
    if not heavy.any():
        return normal[()]
    return np.where(heavy, stats.t.cdf(distance, np.where(heavy, df, 1.0)), normal)[()]


def loss(curve: Curve, horizon: float | None = None) -> Loss:
    """Find the last day on which the curve crosses its limit downward (definition P5).

    Parameters
    ----------
    curve : Curve
        Latent levels with a positive limit.
    horizon : float, optional
        Day after which nothing is said; that of the curve when left out [day].

    Returns
    -------
    Loss
        Day of the crossing and whether it lies beyond the horizon.
    """
    found = curve.crossings if horizon is None else curve.crossings_of(curve.limit, float(horizon))
    day, censored, _ = found
    return Loss(day, np.nan_to_num(censored).astype(bool))


@register(
    QUANTITIES,
    label="Persistence",
    kind="time",
    cdisc="",
    sponsor="PERSIST",
    needs="limit",
    definition=(
        "Day of the last downward crossing of the limit after the peak; 0 if the curve never "
        "exceeds it; the horizon where it still does (persistence definition P5)."
    ),
    source=LATENT,
)
def persistence(curve: Curve, horizon: float | None = None) -> np.ndarray:
    """Find the last day above the limit, shape (...) [day]; see `loss` for the censoring."""
    return loss(curve, horizon).day[()]


def time_above(curve: Curve, limit: float | None = None) -> np.ndarray:
    """Add up the days on which the level exceeds a limit, until the horizon.

    Parameters
    ----------
    curve : Curve
        Latent levels.
    limit : float, optional
        That of the curve when left out [unit of the level].

    Returns
    -------
    array, shape (...)
        Days above the limit [day]; NaN without one.
    """
    if limit is not None and not 0 < limit < np.inf:
        raise DataError(Fault("time_above", f"limit {limit:g}", "Give a positive level."))
    found = curve.crossings if limit is None else curve.crossings_of(limit, curve.end)
    return found[2][()]


def mean_level(curve: Curve) -> np.ndarray:
    """Average the level from day 0 to the last sample, shape (...) [unit of the level].

    An exposure that a short follow-up does not make smaller by itself.
    """
    last = float(curve.last_sample)
    if not last > 0:
        return np.full(curve.shape, np.nan)
    return auc(curve, 0.0, last) / last


register(
    QUANTITIES,
    label="Mean level",
    kind="level",
    cdisc="",
    sponsor="MEANLVL",
    needs="last_sample",
    definition="Area from day 0 to the last sample, divided by its day.",
    source=LATENT,
    undefined="no sample after day 0",
)(mean_level)
register(
    QUANTITIES,
    label="Time above the limit",
    kind="time",
    cdisc="TAT",
    needs="limit",
    definition="Days on which the level of the curve exceeds the limit, until the horizon.",
    source=LATENT,
)(time_above)
