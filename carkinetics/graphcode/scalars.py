"""Operations on single numbers, as expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pytensor import scalar
from pytensor.scalar import math as special

from carkinetics.graphcode.writer import literal


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number of a scalar operation.

    Attributes
    ----------
    dtype : str
        Its type.
    constant : str or None
        Its text, where it is a constant.
    """

    dtype: str
    constant: str | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """A simple operation: one result, from numbers that come before."""

    node: Any
    inputs: list[Quantity]
    result: Quantity


def _joined(sign: str) -> Callable[..., str]:
    return lambda *parts: f" {sign} ".join(parts)


def _called(function: str) -> Callable[..., str]:
    return lambda *parts: f"{function}({', '.join(parts)})"


def _folded(function: str) -> Callable[..., str]:
    return lambda *parts: reduce(lambda a, b: f"{function}({a}, {b})", parts)


# Every operand is a name or a literal, so that no parentheses are needed inside.
_FLOATING: dict[type, Callable[..., str]] = {
    scalar.Add: _joined("+"),
    scalar.Mul: _joined("*"),
    scalar.Sub: _joined("-"),
    scalar.TrueDiv: _joined("/"),
    scalar.Neg: lambda x: f"-{x}",
    scalar.Reciprocal: lambda x: f"1.0 / {x}",
    scalar.Sqr: lambda x: f"{x} * {x}",
    scalar.Abs: _called("abs"),
    scalar.Floor: _called("floor"),
    scalar.Sqrt: _called("sqrt"),
    scalar.Exp: _called("exp"),
    scalar.Expm1: _called("expm1"),
    scalar.Log: _called("log"),
    scalar.Log1p: _called("log1p"),
    scalar.Sign: _called("sign"),
    special.Erf: _called("erf"),
    special.Erfc: _called("erfc"),
    special.Erfcx: _called("erfcx"),
    special.Sigmoid: _called("sigmoid"),
    special.Softplus: _called("softplus"),
    special.Log1mexp: _called("log1mexp"),
    special.GammaLn: _called("lgamma"),
    special.Psi: _called("digamma"),
    scalar.Maximum: _folded("larger"),
    scalar.Minimum: _folded("smaller"),
    scalar.Clip: lambda x, low, high: f"smaller(larger({x}, {low}), {high})",
}
_WHOLE = (scalar.Add, scalar.Mul, scalar.Sub, scalar.Neg)
_COMPARED = {
    scalar.LT: "<", scalar.LE: "<=", scalar.GT: ">", scalar.GE: ">=", scalar.EQ: "==",
    scalar.NEQ: "!=",
}  # fmt: skip
_LOGICAL = {scalar.AND: "&", scalar.OR: "|", scalar.XOR: "^"}


def unfold(node: Any, inputs: Sequence[Quantity]) -> tuple[list[Step], list[Quantity]]:
    """Take apart an operation that consists of others.

    Parameters
    ----------
    node : Apply
        Of a scalar operation.
    inputs : sequence of Quantity
        What it is applied to.

    Returns
    -------
    steps : list of Step
        Simple operations, in an order in which they can be computed.
    results : list of Quantity
        One for each output.
    """
    if not isinstance(node.op, scalar.Composite):
        result = Quantity(node.outputs[0].type.dtype)
        return [Step(node, list(inputs), result)], [result]
    graph, steps = node.op.fgraph, []
    known = dict(zip(graph.inputs, inputs, strict=True))

    def find(variable: Any) -> Quantity:
        if variable in known:
            return known[variable]
        dtype = variable.type.dtype
        return Quantity(dtype, literal(variable.data, dtype))

    for each in graph.toposort():
        further, found = unfold(each, [find(variable) for variable in each.inputs])
        steps += further
        known |= zip(each.outputs, found, strict=True)
    return steps, [find(variable) for variable in graph.outputs]


def can_print(node: Any) -> bool:
    """Whether every simple operation of a scalar operation has a text."""
    steps, _ = unfold(node, [Quantity(v.type.dtype) for v in node.inputs])
    try:
        for step in steps:
            scalar_expression(step, ["x"] * len(step.inputs))
    except NotImplementedError:
        return False
    return True


def scalar_expression(step: Step, parts: Sequence[str]) -> str:
    """Return the expression of a simple scalar operation; NotImplementedError where none is."""
    op, dtype, kind = step.node.op, step.result.dtype, type(step.node.op)
    types = [quantity.dtype for quantity in step.inputs]
    if kind in _COMPARED:
        return _joined(_COMPARED[kind])(*parts)
    if kind in (scalar.IsNan, scalar.IsInf):
        return _called("isnan" if kind is scalar.IsNan else "isinf")(*parts)
    if kind is scalar.Switch:
        condition = parts[0] if types[0] == "bool" else f"{parts[0]} != 0"
        return f"select({condition}, {', '.join(_typed(parts[1:], types[1:], dtype))})"
    if kind is scalar.Second:
        return _typed(parts[1:], types[1:], dtype)[0]
    if kind in (scalar.Cast, scalar.Identity):
        return f"{parts[0]} != 0" if dtype == "bool" else f"{dtype}({parts[0]})"
    if kind in _LOGICAL and dtype == "bool":
        return _joined(_LOGICAL[kind])(*parts)
    if kind is scalar.Invert and dtype == "bool":
        return f"not {parts[0]}"
    if dtype == "float64" and kind is scalar.Pow:
        return _power(*_typed(parts, types, dtype))
    if dtype == "float64" and kind in _FLOATING:
        return _FLOATING[kind](*_typed(parts, types, dtype))
    if dtype == "int64" and kind in _WHOLE:
        return f"int64({_FLOATING[kind](*parts)})"
    raise NotImplementedError(f"{op} of {dtype}")


def _typed(parts: Sequence[str], types: Sequence[str], dtype: str) -> list[str]:
    """Return operands in the type of the result: a whole number has no fractions otherwise."""
    pairs = zip(parts, types, strict=True)
    return [part if of == dtype else f"{dtype}({part})" for part, of in pairs]


def _power(base: str, exponent: str) -> str:
    known = {"0.5": f"sqrt({base})", "2.0": f"{base} * {base}", "float64(2)": f"{base} * {base}"}
    return known.get(exponent, f"power({base}, {exponent})")
