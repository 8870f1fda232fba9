"""A graph told in words: two graphs that are told alike compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from pytensor.graph.basic import Constant
from pytensor.graph.op import HasInnerGraph, Op
from pytensor.graph.type import Type
from pytensor.scalar.basic import ScalarOp

_PLAIN = (bool, int, float, str, bytes, np.number, np.bool_, np.dtype)


class Untold(Exception):
    """An operation whose properties are not known."""


def tell_graph(inputs: Sequence[Any], outputs: Sequence[Any]) -> str | None:
    """Tell what a graph computes, the same in every process.

    Operations are told by their types and properties, as PyTensor itself decides whether two of
    them are equal.

    Parameters
    ----------
    inputs, outputs : sequences of Variable
        What else the outputs depend on, constants apart, is told by name and type.

    Returns
    -------
    str or None
        None where an operation has properties that cannot be told.
    """
    try:
        return _tell(inputs, outputs)
    except Untold:
        return None


def _tell(inputs: Sequence[Any], outputs: Sequence[Any]) -> str:
    places: dict[Any, str] = {v: f"input {k} {v.type}" for k, v in enumerate(inputs)}
    lines: list[str] = []

    def place(variable: Any) -> str:
        if variable not in places:
            places[variable] = _leaf(variable)
        return places[variable]

    for node in _in_order(inputs, outputs):
        arguments = ", ".join(place(variable) for variable in node.inputs)
        types = ", ".join(str(variable.type) for variable in node.outputs)
        for k, variable in enumerate(node.outputs):
            places[variable] = f"{len(lines)}.{k}"
        lines.append(f"{_told_op(node.op)}({arguments}) -> {types}")
    return "\n".join([*lines, *(place(variable) for variable in outputs)])


def _in_order(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """Return all operations, each behind those that it needs; their order follows from the graph.

    No recursion: sums of many terms are deep.
    """
    known, order = set(inputs), []
    waiting = [variable for variable in reversed(outputs)]
    while waiting:
        variable = waiting[-1]
        if variable in known or variable.owner is None:
            waiting.pop()
            continue
        missing = [v for v in variable.owner.inputs if v not in known and v.owner is not None]
        if missing:
            waiting.extend(reversed(missing))
            continue
        waiting.pop()
        known |= set(variable.owner.outputs)
        order.append(variable.owner)
    return order


def _leaf(variable: Any) -> str:
    if not isinstance(variable, Constant):
        return f"{variable.name!r} {variable.type}"
    value = variable.data
    if isinstance(value, np.ndarray | np.generic):
        held = np.ascontiguousarray(value)
        return f"{held.dtype.str} {np.shape(value)} {sha256(held.tobytes()).hexdigest()}"
    return _told(value)


def _told_op(op: Op) -> str:
    name = f"{type(op).__module__}.{type(op).__qualname__}"
    if isinstance(op, HasInnerGraph):
        properties = _told(getattr(op, "_props", tuple)())
        return f"{name}{properties}[{_tell(op.fgraph.inputs, op.fgraph.outputs)}]"
    if hasattr(op, "__props__"):
        return f"{name}{_told(op._props())}"
    if isinstance(op, ScalarOp):
        return name  # equal where types and the types of the results are
    raise Untold(name)


def _told(value: Any) -> str:
    if value is None or isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, tuple | list):
        return f"({', '.join(_told(one) for one in value)})"
    if isinstance(value, Mapping):
        return _told(sorted(value.items()))
    if isinstance(value, slice):
        return f"slice{_told((value.start, value.stop, value.step))}"
    if isinstance(value, Op):
        return _told_op(value)
    if isinstance(value, Type):
        return str(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    raise Untold(repr(value))
