"""Units that know cells, copies and the latent level of a fit as base dimensions."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache

import pint

from carkinetics.errors import UnitError

_LONGEST = 60
# The only shape of unit text that is read: names joined by * and /, whole-number powers.
_FACTOR = re.compile(r"\s*(1|[A-Za-z_][A-Za-z_]*)\s*(?:(?:\*\*|\^)\s*(-?\d{1,2}))?\s*")
_COMMON = (
    *("cells", "copies", "level", "uL", "mL", "L", "pg", "ng", "ug", "mg", "g", "kg"),
    *("day", "hour", "minute", "week", "month", "year", "percent", "mol", "nmol"),
)


@cache
def registry() -> pint.UnitRegistry:
    """Return the registry of units, made on first use.

    Returns
    -------
    pint.UnitRegistry
        The usual units, and three base dimensions of our own: ``cells``, ``copies`` and
        ``level``, the unit in which a fit states its latent level (cells/uL or copies/ug).
    """
    units = pint.UnitRegistry(cache_folder=None)
    units.define("cells = [cells] = _ = cell")
    units.define("copies = [copies] = _ = copy")
    units.define("level = [level]")
    return units


@cache
def parse_unit(text: str) -> pint.Unit:
    """Read a unit such as ``"cells/uL"``, ``"1/day"`` or ``"1"`` (no unit).

    Parameters
    ----------
    text : str
        Names joined by ``*`` and ``/``, with whole-number powers written ``**`` or ``^``.

    Returns
    -------
    pint.Unit
        The unit.

    Raises
    ------
    UnitError
        Where the text has another shape or names a unit that does not exist.
    """
    if len(text) > _LONGEST:
        raise UnitError(f"a unit of {len(text)} characters; at most {_LONGEST} are read")
    plain = text.strip().replace("\u00b5", "u").replace("\u03bc", "u").replace("%", "percent")
    if plain in ("", "1"):
        return registry().Unit("")
    unit, place, sign = registry().Unit(""), 0, 1
    while True:
        factor = _FACTOR.match(plain, place)
        if factor is None:
            raise UnitError(f"cannot read the unit '{text}'; write it like cells/uL or 1/day")
        if factor[1] != "1":
            unit = unit * _named(factor[1], text) ** (sign * int(factor[2] or 1))
        place = factor.end()
        if place == len(plain):
            return unit
        if plain[place] not in "*/":
            raise UnitError(f"cannot read the unit '{text}'; write it like cells/uL or 1/day")
        sign = 1 if plain[place] == "*" else -1
        place += 1


def _named(name: str, text: str) -> pint.Unit:
    # A plain name is all that reaches pint, so its own arithmetic is never run on foreign text.
    try:
        return registry().Unit(name)
    except (pint.errors.UndefinedUnitError, AttributeError, ValueError) as error:
        close = get_close_matches(name, _COMMON, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        place = "" if name == text else f" in '{text}'"
        raise UnitError(f"unknown unit '{name}'{place}{hint}") from error


def scale_between(one: pint.Unit, other: pint.Unit) -> float | None:
    """Return how many ``other`` are in one ``one``; None where they measure different things.

    Examples
    --------
    >>> scale_between(parse_unit("week"), parse_unit("day"))
    7.0
    """
    if one == other:
        return 1.0
    quotient, rest = registry().get_base_units(one / other)
    return None if rest.dimensionality else float(round(quotient, 12))


def same_unit(one: pint.Unit, other: pint.Unit) -> bool:
    """Say whether two units are the same in kind and in size."""
    return scale_between(one, other) == 1.0


def format_unit(unit: pint.Unit) -> str:
    """Write a unit the way model files do.

    Examples
    --------
    >>> format_unit(parse_unit("cells/uL/day"))
    'cells/uL/day'
    >>> format_unit(parse_unit("day") ** -2)
    '1/day^2'
    """
    powers = sorted(unit._units.items(), key=lambda item: (item[1] < 0, _symbol(item[0]) == "day"))
    top = "*".join(_symbol(name) + _power(power) for name, power in powers if power > 0)
    below = "".join(f"/{_symbol(name)}{_power(-power)}" for name, power in powers if power < 0)
    return (top or "1") + below


def _symbol(name: str) -> str:
    if name in ("cells", "copies", "level", "day", "hour", "week", "month", "year", "percent"):
        return name
    symbol = registry().get_symbol(name).replace("\u00b5", "u").replace("\u03bc", "u")
    return symbol[:-1] + "L" if name.endswith("liter") else symbol


def _power(power: float) -> str:
    return "" if power == 1 else f"^{power:g}"
