"""The quantities of a curve, each next to its registration."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.quantities.curve import Curve, locate, or_nan, take, within
from carkinetics.quantities.registry import Quantity, register

QUANTITIES: dict[str, Quantity] = {}

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)
_HALVINGS = 60  # of one piece; more than the digits of a day
_FAMILY = re.compile(r"(auc)_(\d+)_(\d+)|(level|detectable)_(\d+)")
_LATENT = "latent curve, without assay error"


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
    u, top = curve.summits
    at_nodes = np.broadcast_to(curve.log_level, (*top.shape[:-1], top.shape[-1] + 1))
    node, inner = at_nodes.argmax(axis=-1), top.argmax(axis=-1)
    node_top, inner_top = take(at_nodes, node), take(top, inner)
    inner_day = take(curve.day, inner) + take(u, inner) * take(np.diff(curve.day), inner)
    higher = inner_top > node_top
    log_level = np.where(higher, inner_top, node_top)
    day = np.where(higher, inner_day, take(curve.day, node))
    with np.errstate(over="ignore"):
        return or_nan(curve, np.exp(log_level)), or_nan(curve, day)


@register(
    QUANTITIES,
    label="Cmax",
    kind="level",
    cdisc="CMAX",
    definition="Highest level of the curve.",
    source=_LATENT,
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
    source=_LATENT,
)
def tmax(curve: Curve) -> np.ndarray:
    """Find the first day of the highest level, shape (...) [day]."""
    return peak(curve)[1]


def auc(curve: Curve, start: float = 0.0, end: float = 28.0) -> np.ndarray:
    """Integrate the level over a window by Gauss-Legendre quadrature, 5 points per piece.

    Parameters
    ----------
    curve : Curve
        Latent levels; the days must cover the window.
    start, end : float
        The window [day].

    Returns
    -------
    array, shape (...)
        Area [unit of the level * day].
    """
    within(curve, start, end)
    touched = np.flatnonzero(
        np.atleast_2d((curve.day[..., 1:] > start) & (curve.day[..., :-1] < end)).any(axis=0)
    )
    pieces = slice(touched[0], touched[-1] + 1) if touched.size else slice(0, 0)
    y, a, b, c = (term[..., pieces] for term in curve.cubic)
    left, right = curve.day[..., :-1][..., pieces], curve.day[..., 1:][..., pieces]
    low, high = np.maximum(left, start), np.minimum(right, end)
    span, width = np.maximum(high - low, 0.0), np.where(right > left, right - left, 1.0)
    total = np.zeros(curve.log_level.shape[:-1])
    with np.errstate(over="ignore", invalid="ignore"):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            u = (low - left + span * (1 + node) / 2) / width
            level = np.exp(y + u * (a + u * (b + u * c)))
            total += weight / 2 * (level * span).sum(axis=-1)
    return or_nan(curve, total)


def level_at(curve: Curve, day: float) -> np.ndarray:
    """Read the level on one day, shape (...) [unit of the level]."""
    within(curve, day, day)
    piece, u = locate(curve, day)
    y, a, b, c = (take(term, piece) for term in curve.cubic)
    with np.errstate(over="ignore", invalid="ignore"):
        return or_nan(curve, np.exp(y + u * (a + u * (b + u * c))))


def detectable(curve: Curve, day: float) -> np.ndarray:
    """Tell whether the level exceeds the limit on one day: 1, 0 or NaN, shape (...).

    Its mean over posterior draws is the probability that the latent level exceeds the limit;
    that a sample would be quantifiable is another number, since assay error comes on top.
    """
    known = np.where(np.isfinite(curve.limit), 1.0, np.nan)
    return (level_at(curve, day) > curve.limit) * known * or_nan(curve, np.ones(()))


def loss(curve: Curve, horizon: float | None = None) -> Loss:
    """Find the last day on which the curve crosses its limit downward (definition P5).

    Parameters
    ----------
    curve : Curve
        Latent levels with a positive limit.
    horizon : float, optional
        Day after which nothing is said; the last day of the curve when left out [day].

    Returns
    -------
    Loss
        Day of the crossing and whether it lies beyond the horizon.
    """
    seen = curve if horizon is None else curve.until(_reached(curve, horizon))
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.log(np.broadcast_to(curve.limit, seen.log_level.shape[:-1]))
    unknown = seen.unusable | ~np.isfinite(limit)
    limit = np.where(unknown, np.inf, limit)[..., None]
    ends_above = seen.log_level[..., -1] > limit[..., 0]
    # A piece that begins above, or rises above inside, and ends below holds a last crossing.
    summit_above = seen.summits[1] > limit
    falls = (seen.log_level[..., :-1] > limit) | summit_above
    falls &= seen.log_level[..., 1:] <= limit
    last = falls.shape[-1] - 1 - falls[..., ::-1].argmax(axis=-1)
    begin = np.where(take(summit_above, last), take(seen.summits[0], last), 0.0)
    day = _crossing(seen, last, begin, limit[..., 0])
    day = np.where(falls.any(axis=-1), day, 0.0)
    day = np.where(ends_above, seen.day[..., -1], day)
    return Loss(np.where(unknown, np.nan, day), ends_above & ~unknown)


def _reached(curve: Curve, horizon: float) -> float:
    within(curve, horizon, horizon)
    return horizon


def _crossing(curve: Curve, piece: np.ndarray, begin: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Halve a piece that is above the limit at `begin` and not above it at its end."""
    y, a, b, c = (take(term, piece) for term in curve.cubic)
    low, high = begin, np.ones_like(begin)
    with np.errstate(invalid="ignore", over="ignore"):
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = y + middle * (a + middle * (b + middle * c)) > limit
            low, high = np.where(above, middle, low), np.where(above, high, middle)
    return take(curve.day, piece) + high * take(np.diff(curve.day), piece)


@register(
    QUANTITIES,
    label="Persistence",
    kind="time",
    cdisc="",
    definition=(
        "Day of the last downward crossing of the limit after the peak; 0 if the curve never "
        "exceeds it; the horizon where it still does (persistence definition P5)."
    ),
    source=_LATENT,
)
def persistence(curve: Curve, horizon: float | None = None) -> np.ndarray:
    """Find the last day above the limit, shape (...) [day]; see `loss` for the censoring."""
    return loss(curve, horizon).day


def find_quantity(name: str) -> Quantity:
    """Look a quantity up by name, windows and days included.

    Parameters
    ----------
    name : str
        A name of `QUANTITIES`, ``"auc_<first day>_<last day>"``, ``"level_<day>"`` or
        ``"detectable_<day>"``.

    Returns
    -------
    Quantity
        Its ``compute`` takes a `Curve`.

    Examples
    --------
    >>> find_quantity("auc_0_28").unit("cells/uL")
    'cells/uL*day'
    """
    if name in QUANTITIES:
        return QUANTITIES[name]
    match = _FAMILY.fullmatch(name)
    if match is None or (match[1] and int(match[2]) >= int(match[3])):
        known = ", ".join([*QUANTITIES, "auc_<day>_<day>", "level_<day>", "detectable_<day>"])
        raise DataError(Fault(f"quantity {name!r}", "is unknown", f"Choose from {known}."))
    if match[1]:
        return _area_quantity(name, float(match[2]), float(match[3]))
    return _day_quantity(name, match[4], float(match[5]))


def _area_quantity(name: str, start: float, end: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"AUC{start:g}-{end:g}d",
        kind="area",
        cdisc="AUCINT",
        definition=f"Area under the curve from day {start:g} to day {end:g}, linear scale.",
        source=_LATENT,
        compute=lambda curve: auc(curve, start, end),
    )


def _day_quantity(name: str, family: str, day: float) -> Quantity:
    of_level = Quantity(
        name=name,
        label=f"Level on day {day:g}",
        kind="level",
        cdisc="",
        definition=f"Level of the curve on day {day:g}.",
        source=_LATENT,
        compute=lambda curve: level_at(curve, day),
    )
    if family == "level":
        return of_level
    return replace(
        of_level,
        label=f"Detectable on day {day:g}",
        kind="probability",
        definition=f"Level of the curve on day {day:g} exceeds the limit.",
        compute=lambda curve: detectable(curve, day),
    )
