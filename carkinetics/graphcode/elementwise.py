"""Operations on every element: loops in which each number is computed as far out as it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytensor.scalar import get_scalar_type
from pytensor.tensor.elemwise import Elemwise

from carkinetics.graphcode.calls import call
from carkinetics.graphcode.dispatch import Printer, print_op
from carkinetics.graphcode.scalars import Quantity, can_print, scalar_expression, unfold
from carkinetics.graphcode.views import View, number
from carkinetics.graphcode.writer import Writer


@print_op.register(Elemwise)
def _elementwise(op: Elemwise, node: Any, printer: Printer) -> list[View]:
    scalar_node = _scalar_node(op, node)
    if not can_print(scalar_node):
        return call(op, node, printer)
    inputs = [printer.view(variable) for variable in node.inputs]
    dtypes = [variable.type.dtype for variable in node.outputs]
    if node.outputs[0].type.ndim == 0:
        found = _straight(printer.writer, scalar_node, [view.at(()) for view in inputs])
        return [number(text, dtype) for text, dtype in zip(found, dtypes, strict=True)]
    shape = _common_shape(printer.writer, node, inputs)
    moving = [
        _stretched(view, variable) for view, variable in zip(inputs, node.inputs, strict=True)
    ]
    results = [printer.writer.array(shape, dtype) for dtype in dtypes]
    _in_loops(printer.writer, scalar_node, moving, results)
    return results


def _scalar_node(op: Elemwise, node: Any) -> Any:
    types = [variable.type.dtype for variable in node.inputs]
    return op.scalar_op.make_node(*[get_scalar_type(dtype)() for dtype in types])


def _straight(writer: Writer, node: Any, operands: Sequence[str]) -> list[str]:
    """Write an operation on single numbers; return the expressions of its results."""
    inputs = [Quantity(variable.type.dtype) for variable in node.inputs]
    steps, results = unfold(node, inputs)
    known = dict(zip(inputs, operands, strict=True))
    for step in steps:
        known[step.result] = writer.let(
            scalar_expression(step, [_text(known, q) for q in step.inputs])
        )
    return [_text(known, result) for result in results]


def _text(known: Mapping[Quantity, str], quantity: Quantity) -> str:
    return known[quantity] if quantity.constant is None else quantity.constant


def _in_loops(writer: Writer, node: Any, inputs: Sequence[View], results: Sequence[View]) -> None:
    """Write loops over the elements; what does not change in a loop stands before it."""
    quantities = [Quantity(view.dtype) for view in inputs]
    steps, wanted = unfold(node, quantities)
    depth = {q: view.depth() for q, view in zip(quantities, inputs, strict=True)}
    for step in steps:
        depth[step.result] = max((depth.get(q, 0) for q in step.inputs), default=0)
    known: dict[Quantity, str] = {}

    def level(now: int, indices: list[str]) -> None:
        for quantity, view in zip(quantities, inputs, strict=True):
            if depth[quantity] == now:
                further = ["0"] * (len(view.shape) - len(indices))
                known[quantity] = writer.let(view.at([*indices, *further]))
        for step in steps:
            if depth[step.result] == now:
                parts = [_text(known, q) for q in step.inputs]
                known[step.result] = writer.let(scalar_expression(step, parts))
        if now < len(results[0].shape):
            with writer.loop(results[0].shape[now]) as index:
                level(now + 1, [*indices, index])
            return
        for quantity, result in zip(wanted, results, strict=True):
            writer.add(f"{result.at(indices)} = {_text(known, quantity)}")

    level(0, [])


def _common_shape(writer: Writer, node: Any, inputs: Sequence[View]) -> list[str]:
    """Return the shape of the result, checked where it is known only when the code runs."""
    shape = []
    for k in range(node.outputs[0].type.ndim):
        sizes = [
            view.shape[k]
            for view, variable in zip(inputs, node.inputs, strict=True)
            if variable.type.shape[k] != 1
        ]
        fixed = [size for size in sizes if size.isdigit()]
        chosen = (fixed or sizes or ["1"])[0]
        for size in sizes:
            writer.check_same(chosen, size)
        shape.append(chosen)
    return shape


def _stretched(view: View, variable: Any) -> View:
    """Let dimensions of one stand still."""
    if view.number:
        return view
    strides = tuple(
        "0" if variable.type.shape[k] == 1 else stride for k, stride in enumerate(view.strides)
    )
    return View(view.name, view.dtype, view.shape, strides, view.offset)
