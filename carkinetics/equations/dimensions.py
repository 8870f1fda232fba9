"""Check the units of an expression, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pint

from carkinetics.equations.nodes import COMPARISONS, Expression, Node, UnitFault
from carkinetics.units import format_unit, parse_unit, same_unit, scale_between

MAX_POWER = 20
# None stands for the unit of a bare zero, which fits every unit.
type Found = pint.Unit | None
_VERBS = {
    "+": "add {0} to {1}",
    "-": "subtract {1} from {0}",
    "where": "choose between {0} and {1}",
    "min": "choose between {0} and {1}",
    "max": "choose between {0} and {1}",
}


def unit_of(expression: Expression, units: Mapping[str, Found]) -> Found:
    """Return the unit of an expression.

    Parameters
    ----------
    expression : Expression
        A checked expression whose names are all declared.
    units : mapping of str to unit
        The unit of each name.

    Returns
    -------
    pint.Unit or None
        Its unit; None for a plain zero, which fits any.

    Raises
    ------
    UnitFault
        Where units do not agree.
    """
    return _unit(expression.root, expression, units)


def _unit(node: Node, text: Expression, units: Mapping[str, Found]) -> Found:
    if node.kind == "number":
        return None if node.value == 0 else parse_unit("1")
    if node.kind == "name":
        return units[node.name]
    found = [_unit(child, text, units) for child in node.children]
    if node.kind in ("negate", "total"):
        return found[0]
    if node.kind in ("+", "-", *COMPARISONS):
        return _alike(node, node.children, found, text)
    if node.kind == "where":
        return _alike(node, node.children[1:], found[1:], text)
    if node.kind in ("*", "/"):
        one, other = (_plain(unit) for unit in found)
        if node.kind == "*" and None in found:
            return None
        return _bounded(one * other if node.kind == "*" else one / other, node)
    if node.kind == "**":
        return _bounded(_power(node, found, text), node)
    if node.kind == "sqrt":
        return _plain(found[0]) ** 0.5
    if node.kind in ("min", "max"):
        return _alike(node, node.children, found, text)
    if node.kind == "hill":
        _alike(node, node.children[:2], found[:2], text)
        _bare(node.children[2], found[2], "hill(...)", text)
        return parse_unit("1")
    _bare(node.children[0], found[0], f"{node.kind}(...)", text)
    return parse_unit("1")


def _bounded(unit: Found, node: Node) -> Found:
    # A conversion factor to the power of thousands is no double-precision number any more.
    if unit is not None and any(abs(power) > MAX_POWER for power in unit._units.values()):
        raise UnitFault(f"has a unit to a power beyond {MAX_POWER}", node.start)
    return unit


def _plain(unit: Found) -> pint.Unit:
    return parse_unit("1") if unit is None else unit


def _alike(node: Node, children: tuple[Node, ...], found: list[Found], text: Expression) -> Found:
    one, other = found
    if one is None or other is None:
        return one if other is None else other
    if same_unit(one, other):
        return one
    shown = [f"'{text.part(c)}' [{format_unit(u)}]" for c, u in zip(children, found, strict=True)]
    what = _VERBS.get(node.kind, "compare {0} with {1}").format(*shown)
    scale = scale_between(one, other)
    hint = ""
    if scale is not None:
        hint = f"; 1 {format_unit(one)} is {scale:g} {format_unit(other)}"
    raise UnitFault(f"cannot {what}{hint}", children[0].start)


def _bare(node: Node, unit: Found, function: str, text: Expression) -> None:
    if unit is None or same_unit(unit, parse_unit("1")):
        return
    kind = "a ratio" if function == "log(...)" else "a number without unit"
    raise UnitFault(
        f"{function} needs {kind}, '{text.part(node)}' has [{format_unit(unit)}]", node.start
    )


def _power(node: Node, found: list[Found], text: Expression) -> Found:
    base, exponent = node.children
    _bare(exponent, found[1], "an exponent", text)
    unit = _plain(found[0])
    if same_unit(unit, parse_unit("1")):
        return parse_unit("1")
    if exponent.kind != "number":
        raise UnitFault(
            f"'{text.part(base)}' has [{format_unit(unit)}]; only a number without unit can be "
            "raised to a power that is not a constant",
            base.start,
        )
    power = Fraction(exponent.value).limit_denominator(100)
    return unit ** (int(power) if power.denominator == 1 else float(power))
