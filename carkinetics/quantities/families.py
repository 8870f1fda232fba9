"""Quantities with a day or a limit in their name, and the look-up of all of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from carkinetics.errors import DataError, Fault
from carkinetics.quantities import onset, rates, subsets  # noqa: F401  (they register themselves)
from carkinetics.quantities.measures import (
    QUANTITIES,
    auc,
    detectable,
    level_at,
    quantifiable,
    time_above,
)
from carkinetics.quantities.rates import growth
from carkinetics.quantities.registry import LATENT, Quantity
from carkinetics.quantities.subsets import share_at

_DAY = r"(\d+(?:\.\d+)?)"
FAMILIES = {
    "auc_<day>_<day>": re.compile(f"auc_{_DAY}_{_DAY}"),
    "slope_<day>_<day>": re.compile(f"slope_{_DAY}_{_DAY}"),
    "level_<day>": re.compile(f"level_{_DAY}"),
    "detectable_<day>": re.compile(f"detectable_{_DAY}"),
    "quantifiable_<day>": re.compile(f"quantifiable_{_DAY}"),
    "share_<day>": re.compile(f"share_{_DAY}"),
    "time_above_<level>": re.compile(f"time_above_{_DAY}"),
}


def family_of(name: str) -> tuple[str, tuple[float, ...]] | None:
    """Take a name with numbers apart, such as ``"auc_0_28"``: its family, and the numbers.

    Returns
    -------
    tuple or None
        None where it belongs to no family, or where a window does not rise.

    Examples
    --------
    >>> family_of("auc_0_28")
    ('auc_<day>_<day>', (0.0, 28.0))
    """
    for family, pattern in FAMILIES.items():
        if match := pattern.fullmatch(name):
            numbers = tuple(float(part) for part in match.groups())
            rising = len(numbers) == 1 or numbers[0] < numbers[1]
            positive = family != "time_above_<level>" or numbers[0] > 0
            return (family, numbers) if rising and positive else None
    return None


def days_in(name: str) -> tuple[float, ...]:
    """Give the days that a name speaks of, none for ``"cmax"`` or a limit."""
    found = family_of(name)
    return () if found is None or found[0] == "time_above_<level>" else found[1]


def is_window(name: str) -> bool:
    """Tell whether a name speaks of a window of two days."""
    found = family_of(name)
    return found is not None and len(found[1]) == 2


def unknown_quantity(name: str, known: list[str]) -> DataError:
    """Say that no quantity is called so, and which one may have been meant."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    choices = ", ".join([*known, *FAMILIES])
    return DataError(Fault(f"quantity {name!r}", f"is unknown{hint}", f"Choose from {choices}."))


def find_quantity(name: str) -> Quantity:
    """Look a quantity up by name, windows and days included.

    Parameters
    ----------
    name : str
        A name of `QUANTITIES`, or one of a family: ``"auc_<day>_<day>"``, ``"level_<day>"``,
        ``"detectable_<day>"``, ``"quantifiable_<day>"``, ``"share_<day>"``,
        ``"slope_<day>_<day>"``, ``"time_above_<level>"``.

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
    found = family_of(name)
    if found is None:
        raise unknown_quantity(name, list(QUANTITIES))
    family, numbers = found
    return _MAKERS[family](name, *numbers)


def _auc(name: str, start: float, end: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"AUC{start:g}-{end:g}d",
        kind="area",
        cdisc="AUCINT",
        definition=f"Area under the curve from day {start:g} to day {end:g}, linear scale.",
        source=LATENT,
        compute=lambda curve: auc(curve, start, end),
    )


def _slope(name: str, start: float, end: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"Growth, day {start:g}-{end:g}",
        kind="rate",
        cdisc="",
        sponsor="SLOPE",
        definition=f"Mean slope of ln level from day {start:g} to day {end:g}.",
        source=LATENT,
        compute=lambda curve: growth(curve, start, end),
    )


def _level(name: str, day: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"Level on day {day:g}",
        kind="level",
        cdisc="",
        sponsor="LEVEL",
        definition=f"Level of the curve on day {day:g}.",
        source=LATENT,
        compute=lambda curve: level_at(curve, day),
    )


def _detectable(name: str, day: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"Detectable on day {day:g}",
        kind="probability",
        cdisc="",
        sponsor="DETECT",
        needs="limit",
        definition=f"Level of the curve on day {day:g} exceeds the limit.",
        source=LATENT,
        compute=lambda curve: detectable(curve, day),
    )


def _quantifiable(name: str, day: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"Sample quantifiable, day {day:g}",
        kind="probability",
        cdisc="",
        sponsor="QUANTIF",
        needs="assay",
        definition=f"A sample of day {day:g} reaches the limit, assay error included.",
        source="latent curve, with assay error",
        compute=lambda curve: quantifiable(curve, day),
    )


def _share(name: str, day: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"Share on day {day:g}",
        kind="share",
        cdisc="",
        sponsor="SHARE",
        needs="total",
        definition=f"Share of the cell type in the total on day {day:g}.",
        source=LATENT,
        compute=lambda curve: share_at(curve, day),
    )


def _time_above(name: str, limit: float) -> Quantity:
    return Quantity(
        name=name,
        label=f"Time above {limit:g}",
        kind="time",
        cdisc="TAT",
        definition=f"Days on which the level of the curve exceeds {limit:g}, until the horizon.",
        source=LATENT,
        compute=lambda curve: time_above(curve, limit),
    )


_MAKERS: dict[str, Callable[..., Quantity]] = {
    "auc_<day>_<day>": _auc,
    "slope_<day>_<day>": _slope,
    "level_<day>": _level,
    "detectable_<day>": _detectable,
    "quantifiable_<day>": _quantifiable,
    "share_<day>": _share,
    "time_above_<level>": _time_above,
}
