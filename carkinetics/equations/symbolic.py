"""Turn checked nodes into SymPy, watching every number that SymPy makes on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy

from carkinetics.equations.functions import hill, logistic, softplus
from carkinetics.equations.nodes import COMPARISONS, EquationFault, Node

_LARGEST = 1.7e308
_LARGEST_EXPONENT = 1000
_LARGEST_INTEGER = 2**53
_COMPARE = {
    "<": sympy.StrictLessThan,
    "<=": sympy.LessThan,
    ">": sympy.StrictGreaterThan,
    ">=": sympy.GreaterThan,
}
_FUNCTIONS: dict[str, Callable[..., sympy.Expr]] = {
    **{"exp": sympy.exp, "log": sympy.log, "sqrt": sympy.sqrt},
    **{"logistic": logistic, "softplus": softplus, "hill": hill},
    **{"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b},
    **{"/": lambda a, b: a / b, "negate": lambda a: -a},
}
Lookup = Callable[[str, str | None], sympy.Expr]


@dataclass(frozen=True)
class Rounding:
    """Rounds the kinks of a curve: what changes abruptly on a day changes within some hours.

    Only comparisons in which the time stands are rounded: ``max(a, b)`` to
    ``b + width softplus((a - b) / width)``, ``min`` alike, and ``where`` to a logistic mixture of
    both sides. What is known on each side of the day stays as it is some widths away from it.

    Attributes
    ----------
    time : Symbol
        The day.
    width : float
        In days.
    """

    time: sympy.Symbol
    width: float

    def extreme(self, kind: str, one: sympy.Expr, other: sympy.Expr) -> sympy.Expr | None:
        """Round ``min(one, other)`` or ``max(one, other)``; None where the time is not in it."""
        gap = one - other
        if self.time not in gap.free_symbols:
            return None
        sign = 1 if kind == "max" else -1
        return other + sign * self.width * softplus(sign * gap / self.width)

    def where(self, parts: list[sympy.Expr]) -> sympy.Expr | None:
        """Round ``where(condition, then, otherwise)``; None where the time is not in it."""
        condition, then, otherwise = parts
        if self.time not in condition.free_symbols:
            return None
        gap = condition.gts - condition.lts
        return otherwise + (then - otherwise) * logistic(gap / self.width)


def number(value: float) -> sympy.Expr:
    """Return a double as SymPy number; 0, 1 and -1 exact, so that they vanish from products."""
    return sympy.Integer(int(value)) if value in (0.0, 1.0, -1.0) else sympy.Float(value)


def to_sympy(
    node: Node,
    lookup: Lookup,
    cell_types: tuple[str, ...],
    cell_type: str | None = None,
    rounding: Rounding | None = None,
) -> sympy.Expr:
    """Convert a node, for one cell type or for none.

    Parameters
    ----------
    node : Node
        A checked node.
    lookup : callable
        Gives the SymPy expression of a name for a cell type.
    cell_types : tuple of str
        What ``total`` sums over.
    cell_type : str, optional
        The cell type for which the expression is written.
    rounding : Rounding, optional
        Round the kinks; without it the expression is as written.

    Raises
    ------
    EquationFault
        Where a number outside double precision, or none at all, comes out.
    """
    try:
        return _convert(node, lookup, cell_types, cell_type, rounding)
    except RecursionError as error:
        raise EquationFault("nested too deep; split it into [terms]", node.start) from error


def _convert(
    node: Node,
    lookup: Lookup,
    cell_types: tuple[str, ...],
    cell_type: str | None,
    rounding: Rounding | None,
) -> sympy.Expr:
    if node.kind == "number":
        return number(node.value)
    if node.kind == "name":
        return lookup(node.name, cell_type)
    if node.kind == "total":
        parts = [
            _convert(node.children[0], lookup, cell_types, cell, rounding) for cell in cell_types
        ]
        return _watched(sympy.Add(*parts), node)
    parts = [_convert(child, lookup, cell_types, cell_type, rounding) for child in node.children]
    if node.kind in COMPARISONS:
        return _COMPARE[node.kind](*parts)
    if node.kind == "where":
        return _where(parts, node, rounding)
    if node.kind in ("min", "max"):
        rounded = rounding.extreme(node.kind, *parts) if rounding else None
        return _watched(_extreme(node.kind, *parts) if rounded is None else rounded, node)
    if node.kind == "**":
        return _watched(_power(parts[0], parts[1], node), node)
    return _watched(_FUNCTIONS[node.kind](*parts), node)


def _where(parts: list[sympy.Expr], node: Node, rounding: Rounding | None) -> sympy.Expr:
    condition, then, otherwise = parts
    if condition in (sympy.true, sympy.false):
        raise EquationFault("this comparison never changes; leave out where", node.start)
    rounded = rounding.where(parts) if rounding else None
    if rounded is not None:
        return _watched(rounded, node)
    return sympy.Piecewise((then, condition), (otherwise, True))


def _extreme(kind: str, one: sympy.Expr, other: sympy.Expr) -> sympy.Expr:
    # Not SymPy's Min and Max, whose derivatives are step functions that nothing here prints.
    condition = one < other if kind == "min" else one > other
    return sympy.Piecewise((one, condition), (other, True))


def _power(base: sympy.Expr, exponent: sympy.Expr, node: Node) -> sympy.Expr:
    if exponent.is_Number:
        value = float(exponent)
        if abs(value) > _LARGEST_EXPONENT:
            raise EquationFault("this exponent is too large", node.children[1].start)
        # x**2 is cheaper and exact; a whole-number Float would become a general power.
        exponent = sympy.Integer(int(value)) if value == int(value) else exponent
    return base**exponent


def _watched(expression: sympy.Expr, node: Node) -> sympy.Expr:
    """Refuse numbers that SymPy made and double precision cannot hold.

    SymPy evaluates on its own where names cancel (``x - x + 9``), so folding constants in the
    text is not enough. Every operation starts from numbers within bounds: none can run away.
    """
    near = [expression, *expression.args]
    for argument in expression.args:
        near.extend(argument.args)
    for part in near:
        if part in (sympy.zoo, sympy.nan, sympy.oo, -sympy.oo, sympy.I):
            raise EquationFault("this is not a finite real number", node.start)
        if part.is_Rational:
            if max(abs(part.p), abs(part.q)) > _LARGEST_INTEGER:
                raise EquationFault("a number in here is too large", node.start)
        elif part.is_Float and abs(part) > _LARGEST:
            raise EquationFault("a number in here is too large", node.start)
        if part.is_Pow and part.exp.is_Number and abs(part.exp) > _LARGEST_EXPONENT:
            raise EquationFault("an exponent in here is too large", node.start)
    return expression
