"""Turn checked nodes into SymPy, watching every number that SymPy makes on the way."""

from __future__ import annotations

from collections.abc import Callable

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


def number(value: float) -> sympy.Expr:
    """Return a double as SymPy number; 0, 1 and -1 exact, so that they vanish from products."""
    return sympy.Integer(int(value)) if value in (0.0, 1.0, -1.0) else sympy.Float(value)


def to_sympy(
    node: Node, lookup: Lookup, cell_types: tuple[str, ...], cell_type: str | None = None
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

    Raises
    ------
    EquationFault
        Where a number outside double precision, or none at all, comes out.
    """
    try:
        return _convert(node, lookup, cell_types, cell_type)
    except RecursionError as error:
        raise EquationFault("nested too deep; split it into [terms]", node.start) from error


def _convert(
    node: Node, lookup: Lookup, cell_types: tuple[str, ...], cell_type: str | None
) -> sympy.Expr:
    if node.kind == "number":
        return number(node.value)
    if node.kind == "name":
        return lookup(node.name, cell_type)
    if node.kind == "total":
        parts = [_convert(node.children[0], lookup, cell_types, cell) for cell in cell_types]
        return _watched(sympy.Add(*parts), node)
    parts = [_convert(child, lookup, cell_types, cell_type) for child in node.children]
    if node.kind in COMPARISONS:
        return _COMPARE[node.kind](*parts)
    if node.kind == "where":
        return _where(parts, node)
    if node.kind in ("min", "max"):
        return _watched(_extreme(node.kind, *parts), node)
    if node.kind == "**":
        return _watched(_power(parts[0], parts[1], node), node)
    return _watched(_FUNCTIONS[node.kind](*parts), node)


def _where(parts: list[sympy.Expr], node: Node) -> sympy.Expr:
    condition, then, otherwise = parts
    if condition in (sympy.true, sympy.false):
        raise EquationFault("this comparison never changes; leave out where", node.start)
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
