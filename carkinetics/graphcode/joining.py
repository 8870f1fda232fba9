"""Tensors put together from others, and taken apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytensor.compile.builders import OpFromGraph
from pytensor.tensor.basic import Join, MakeVector, Split

from carkinetics.graphcode.arithmetic import plus, times
from carkinetics.graphcode.calls import call
from carkinetics.graphcode.dispatch import Printer, print_op
from carkinetics.graphcode.views import View


@print_op.register(MakeVector)
def _vector(op: MakeVector, node: Any, printer: Printer) -> list[View]:
    result = printer.writer.array([str(len(node.inputs))], op.dtype)
    for k, variable in enumerate(node.inputs):
        printer.writer.add(f"{result.at([str(k)])} = {printer.number(variable)}")
    return [result]


@print_op.register(Join)
def _join(op: Join, node: Any, printer: Printer) -> list[View]:
    writer, axis = printer.writer, op.axis % node.outputs[0].type.ndim
    parts = [printer.view(variable) for variable in node.inputs]
    sizes = [part.shape[axis] for part in parts]
    starts = ["0"]
    for size in sizes:
        starts.append(plus(starts[-1], size))
    shape = list(parts[0].shape)
    for k in set(range(len(shape))) - {axis}:
        for part in parts:
            writer.check_same(shape[k], part.shape[k])
    shape[axis] = starts.pop()
    result = writer.array(shape, node.outputs[0].type.dtype)
    for part, start in zip(parts, starts, strict=True):
        with writer.loops(part.shape) as indices:
            place = [plus(start, i) if k == axis else i for k, i in enumerate(indices)]
            writer.add(f"{result.at(place)} = {part.at(indices)}")
    return [result]


@print_op.register(Split)
def _split(op: Split, node: Any, printer: Printer) -> list[View]:
    whole, lengths = node.inputs
    sizes, writer = printer.sizes(lengths), printer.writer
    if sizes is None:
        return call(op, node, printer)
    view, first, parts = printer.view(whole), "0", []
    axis = op.axis % len(view.shape)
    for size in sizes:
        shape = [size if k == axis else n for k, n in enumerate(view.shape)]
        offset = plus(view.offset, times(first, view.strides[axis]))
        parts.append(replace(view, shape=tuple(shape), offset=offset, whole=False))
        first = plus(first, size)
    writer.check_same(writer.size(first), view.shape[axis])
    return parts


@print_op.register(OpFromGraph)
def _inner(op: OpFromGraph, node: Any, printer: Printer) -> list[View]:
    for inside, outside in zip(op.fgraph.inputs, node.inputs, strict=True):
        printer.set(inside, printer.view(outside))
    printer.run(op.fgraph)
    return [printer.view(variable) for variable in op.fgraph.outputs]
