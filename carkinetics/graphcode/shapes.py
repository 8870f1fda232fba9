"""The same numbers under another shape: no code, only other places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytensor.compile.ops import DeepCopyOp, ViewOp
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import (
    Alloc,
    ExtractDiag,
    ScalarFromTensor,
    TensorFromScalar,
)
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape

from carkinetics.graphcode.arithmetic import plus, product
from carkinetics.graphcode.calls import call
from carkinetics.graphcode.dispatch import Printer, print_op
from carkinetics.graphcode.views import View, number, row_strides


@print_op.register(DimShuffle)
def _shuffle(op: DimShuffle, node: Any, printer: Printer) -> list[View]:
    view = printer.view(node.inputs[0])
    shape = tuple("1" if k == "x" else view.shape[k] for k in op.new_order)
    if view.number:
        return [View(view.name, view.dtype, shape, ("0",) * len(shape), number=True)]
    strides = tuple("0" if k == "x" else view.strides[k] for k in op.new_order)
    whole = view.whole and strides == row_strides(shape)
    moved = View(view.name, view.dtype, shape, strides, view.offset, whole=whole)
    return [moved if shape else printer.held(moved)]


@print_op.register(ScalarFromTensor)
@print_op.register(TensorFromScalar)
def _number(op: Any, node: Any, printer: Printer) -> list[View]:
    return [printer.held(printer.view(node.inputs[0]))]


@print_op.register(DeepCopyOp)
@print_op.register(ViewOp)
def _same(op: Any, node: Any, printer: Printer) -> list[View]:
    return [printer.view(node.inputs[0])]


@print_op.register(SpecifyShape)
def _specified(op: SpecifyShape, node: Any, printer: Printer) -> list[View]:
    view = printer.view(node.inputs[0])
    shape = []
    for size, wanted in zip(view.shape, node.outputs[0].type.shape, strict=True):
        if wanted is not None:
            printer.writer.check_same(str(wanted), size)
        shape.append(size if wanted is None else str(wanted))
    return [View(view.name, view.dtype, tuple(shape), view.strides, view.offset, view.number,
                 view.whole)]  # fmt: skip


@print_op.register(CheckAndRaise)
def _checked(op: CheckAndRaise, node: Any, printer: Printer) -> list[View]:
    for condition in node.inputs[1:]:
        printer.writer.stop_if(f"{printer.number(condition)} == 0")
    return [printer.view(node.inputs[0])]


@print_op.register(Shape_i)
def _size(op: Shape_i, node: Any, printer: Printer) -> list[View]:
    return [number(printer.writer.size(printer.view(node.inputs[0]).shape[op.i]), "int64")]


@print_op.register(Shape)
def _sizes(op: Shape, node: Any, printer: Printer) -> list[View]:
    shape = printer.view(node.inputs[0]).shape
    result = printer.writer.array([str(len(shape))], "int64")
    for k, size in enumerate(shape):
        printer.writer.add(f"{result.at([str(k)])} = {size}")
    return [result]


@print_op.register(Alloc)
def _repeated(op: Alloc, node: Any, printer: Printer) -> list[View]:
    value, *sizes = node.inputs
    view, writer = printer.view(value), printer.writer
    known = node.outputs[0].type.shape
    found = [
        str(n) if n is not None else printer.size(size)
        for n, size in zip(known, sizes, strict=True)
    ]
    shape = tuple(n for n in found if n is not None)
    if len(shape) < len(found):
        return call(op, node, printer)
    if view.number:
        return [View(view.name, view.dtype, shape, ("0",) * len(shape), number=True)]
    new = len(shape) - len(view.shape)
    strides = ["0"] * new
    for k, stride in enumerate(view.strides):
        fixed = value.type.shape[k] == 1
        strides.append("0" if fixed else stride)
        if not fixed:
            writer.check_same(shape[new + k], view.shape[k])
    return [View(view.name, view.dtype, shape, tuple(strides), view.offset)]


@print_op.register(Reshape)
def _reshaped(op: Reshape, node: Any, printer: Printer) -> list[View]:
    view = printer.view(node.inputs[0])
    shape = _wanted_shape(node, view, printer)
    if shape is None:
        return call(op, node, printer)
    if not shape:
        return [printer.held(View(view.name, view.dtype, (), (), view.offset, view.number))]
    if view.number:
        return [View(view.name, view.dtype, tuple(shape), ("0",) * len(shape), number=True)]
    row = view if view.strides == row_strides(view.shape) else printer.copy(view)
    return [replace(row, shape=tuple(shape), strides=row_strides(shape))]


def _wanted_shape(node: Any, view: View, printer: Printer) -> list[str] | None:
    """Return the new shape; one size may be left to follow from the others."""
    known, writer = node.outputs[0].type.shape, printer.writer
    given = printer.sizes(node.inputs[1])
    if known.count(None) > 1 and given is None:
        return None
    sizes = [
        str(n) if n is not None else "-1" if given is None else given[k]
        for k, n in enumerate(known)
    ]
    if "-1" in sizes:
        rest = product(size for size in sizes if size != "-1")
        follows = writer.size(view.size if rest == "1" else f"({view.size}) // larger({rest}, 1)")
        sizes = [follows if size == "-1" else size for size in sizes]
    writer.check_same(writer.size(view.size), writer.size(product(sizes)))
    return sizes


@print_op.register(ExtractDiag)
def _diagonal(op: ExtractDiag, node: Any, printer: Printer) -> list[View]:
    view = printer.view(node.inputs[0])
    if op.offset != 0 or len(view.shape) != 2 or view.number:
        return call(op, node, printer)
    rows, columns = view.shape
    size = rows if rows == columns else printer.writer.size(f"smaller({rows}, {columns})")
    stride = printer.writer.size(plus(*view.strides))
    return [View(view.name, view.dtype, (size,), (stride,), view.offset)]
