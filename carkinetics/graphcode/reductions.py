"""Sums, products and the like over dimensions, running sums, and products of matrices."""

from __future__ import annotations

from typing import Any

from pytensor import scalar
from pytensor.tensor.elemwise import CAReduce
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Dot

from carkinetics.graphcode.calls import call
from carkinetics.graphcode.dispatch import Printer, print_op
from carkinetics.graphcode.views import View, number

# First value and next value of a reduction.
_STEPS: dict[type, tuple[str, str]] = {
    scalar.Add: ("0", "{so_far} + {value}"),
    scalar.Mul: ("1", "{so_far} * {value}"),
    scalar.Maximum: ("-inf", "larger({so_far}, {value})"),
    scalar.Minimum: ("inf", "smaller({so_far}, {value})"),
    scalar.AND: ("True", "{so_far} & {value}"),
    scalar.OR: ("False", "{so_far} | {value}"),
}


@print_op.register(CAReduce)
def _reduce(op: CAReduce, node: Any, printer: Printer) -> list[View]:
    view, dtype = printer.view(node.inputs[0]), node.outputs[0].type.dtype
    kind = type(op.scalar_op)
    usual = {"bool": (scalar.AND, scalar.OR), "int64": (scalar.Add, scalar.Mul)}
    if kind not in _STEPS or kind not in usual.get(dtype, _STEPS if dtype == "float64" else ()):
        return call(op, node, printer)
    axes = range(len(view.shape)) if op.axis is None else [a % len(view.shape) for a in op.axis]
    kept = [k for k in range(len(view.shape)) if k not in axes]
    writer, first = printer.writer, _first(op, dtype)
    if not kept:
        total = writer.fresh("s")
        writer.add(f"{total} = {first}")
        with writer.loops(view.shape) as indices:
            writer.add(f"{total} = {_next(op, total, view.at(indices))}")
        return [number(total, dtype)]
    result = writer.array([view.shape[k] for k in kept], dtype)
    with writer.loops(result.shape) as outer:
        total = writer.fresh("s")
        writer.add(f"{total} = {first}")
        with writer.loops([view.shape[k] for k in axes]) as inner:
            place = dict(zip([*kept, *axes], [*outer, *inner], strict=True))
            value = view.at([place[k] for k in range(len(view.shape))])
            writer.add(f"{total} = {_next(op, total, value)}")
        writer.add(f"{result.at(outer)} = {total}")
    return [result]


def _first(op: CAReduce, dtype: str) -> str:
    first = _STEPS[type(op.scalar_op)][0]
    return f"float64({first})" if dtype == "float64" else first


def _next(op: CAReduce, so_far: str, value: str) -> str:
    return _STEPS[type(op.scalar_op)][1].format(so_far=so_far, value=value)


@print_op.register(CumOp)
def _running(op: CumOp, node: Any, printer: Printer) -> list[View]:
    view, dtype = printer.view(node.inputs[0]), node.outputs[0].type.dtype
    if op.mode not in ("add", "mul") or op.axis is None or dtype != "float64":
        return call(op, node, printer)
    axis = op.axis % len(view.shape)
    writer, result = printer.writer, printer.writer.array(view.shape, dtype)
    others = [size for k, size in enumerate(view.shape) if k != axis]
    sign, first = ("+", "0.0") if op.mode == "add" else ("*", "1.0")
    with writer.loops(others) as outer:
        total = writer.fresh("s")
        writer.add(f"{total} = {first}")
        with writer.loop(view.shape[axis]) as index:
            place = [*outer[:axis], index, *outer[axis:]]
            writer.add(f"{total} = {total} {sign} {view.at(place)}")
            writer.add(f"{result.at(place)} = {total}")
    return [result]


@print_op.register(Dot)
def _dot(op: Dot, node: Any, printer: Printer) -> list[View]:
    if node.outputs[0].type.dtype != "float64":
        return call(op, node, printer)
    left, right = (printer.view(variable) for variable in node.inputs)
    writer = printer.writer
    inner = left.shape[-1]
    writer.check_same(inner, right.shape[0])
    result = writer.array([*left.shape[:-1], *right.shape[1:]], "float64")
    n_left = len(left.shape) - 1
    with writer.loops(result.shape) as indices:
        total = writer.fresh("s")
        writer.add(f"{total} = 0.0")
        with writer.loop(inner) as k:
            one = left.at([*indices[:n_left], k])
            writer.add(f"{total} = {total} + {one} * {right.at([k, *indices[n_left:]])}")
        if result.shape:
            writer.add(f"{result.at(indices)} = {total}")
    return [result if result.shape else number(total, result.dtype)]
