"""Parts of tensors: numbers, ranges and lists of places, read and replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pytensor.graph.basic import Constant
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)
from pytensor.tensor.type_other import NoneConst

from carkinetics.graphcode.arithmetic import plus, times
from carkinetics.graphcode.calls import call
from carkinetics.graphcode.dispatch import Printer, print_op
from carkinetics.graphcode.views import View


@print_op.register(Subtensor)
def _part(op: Subtensor, node: Any, printer: Printer) -> list[View]:
    view = printer.view(node.inputs[0])
    part = _sliced(view, indices_from_subtensor(node.inputs[1:], op.idx_list), printer)
    if part is None:
        return call(op, node, printer)
    return [part if part.shape else printer.held(part)]


@print_op.register(IncSubtensor)
def _changed_part(op: IncSubtensor, node: Any, printer: Printer) -> list[View]:
    whole, values, *indices = node.inputs
    result = printer.copy(printer.view(whole))
    part = _sliced(result, indices_from_subtensor(indices, op.idx_list), printer)
    if part is None:
        return call(op, node, printer)
    sign = "=" if op.set_instead_of_inc else "+="
    value = _broadcast(values, part.shape, printer)
    with printer.writer.loops(part.shape) as places:
        printer.writer.add(f"{part.at(places)} {sign} {value.at(places)}")
    return [result]


def _sliced(view: View, indices: Sequence[Any], printer: Printer) -> View | None:
    """Return a part; None where the data decide how much of it there is."""
    shape, strides, offset = [], [], view.offset
    padded = [*indices, *[slice(None)] * (len(view.shape) - len(indices))]
    for index, size, stride in zip(padded, view.shape, view.strides, strict=True):
        if isinstance(index, slice):
            found = _range(index, size, printer)
            if found is None:
                return None
            first, count, step = found
            shape.append(count)
            strides.append("0" if count == "1" else times(step, stride))
        else:
            first = _place(index, size, printer)
        offset = plus(offset, times(first, stride))
    if shape == list(view.shape) and offset == view.offset and strides == list(view.strides):
        return view
    if not offset.isdigit():
        offset = printer.writer.let(offset)
    return replace(view, shape=tuple(shape), strides=tuple(strides), offset=offset, whole=False)


def _whole_number(index: Any) -> int | None:
    if isinstance(index, Constant):
        return int(index.data)
    return int(index) if isinstance(index, int) else None


def _place(index: Any, size: str, printer: Printer) -> str:
    """Return the place of one element; from the end where it is negative."""
    known = _whole_number(index)
    if known is not None and size.isdigit():
        if not -int(size) <= known < int(size):
            raise IndexError(f"element {known} of {size}")
        return str(known % int(size))
    text = str(known) if known is not None else printer.number(index)
    return printer.writer.let(f"element({text}, {size})")


def _range(index: slice, size: str, printer: Printer) -> tuple[str, str, str] | None:
    """Return first place, number of places and step of a range; None where data decide them."""
    bounds = [_absent(bound) for bound in (index.start, index.stop, index.step)]
    known = [None if bound is None else _whole_number(bound) for bound in bounds]
    fixed = all(bound is None or k is not None for bound, k in zip(bounds, known, strict=True))
    if bounds == [None, None, None]:
        return "0", size, "1"
    if fixed and size.isdigit():
        places = range(int(size))[slice(*known)]
        return str(places.start), str(len(places)), str(places.step)
    if bounds[:2] == [None, None] and known[2] == -1:
        return f"{size} - 1", size, "-1"
    step = 1 if known[2] is None else known[2]
    start, stop = (None if bound is None else printer.size(bound) for bound in bounds[:2])
    if (bounds[2] is not None and known[2] is None) or step < 0:
        return None
    if (bounds[0] is not None and start is None) or (bounds[1] is not None and stop is None):
        return None
    first, last = _clipped(start or "0", size, printer), _clipped(stop or size, size, printer)
    count = f"larger({last} - ({first}) + {step - 1}, 0)"
    return first, printer.writer.size(count if step == 1 else f"{count} // {step}"), str(step)


def _clipped(bound: str, size: str, printer: Printer) -> str:
    """Return a bound as Python reads it: from the end if negative, and never outside."""
    if bound in ("0", size):
        return bound
    from_end = f"{bound} + {size} * ({bound} < 0)"
    return printer.writer.size(f"smaller(larger({from_end}, 0), {size})")


def _absent(bound: Any) -> Any:
    return None if bound is None or bound is NoneConst else bound


@print_op.register(AdvancedSubtensor)
def _picked(op: AdvancedSubtensor, node: Any, printer: Printer) -> list[View]:
    view = printer.view(node.inputs[0])
    pattern = _lists(node.inputs[1:], op.idx_list)
    if pattern is None:
        return call(op, node, printer)
    first, lists = pattern
    writer, after = printer.writer, first + len(lists)
    shape = [*view.shape[:first], _length(lists, printer), *view.shape[after:]]
    result = writer.array(shape, view.dtype)
    with _at_places(view, pattern, shape, printer) as (place, indices):
        writer.add(f"{result.at(indices)} = {view.at(place)}")
    return [result]


@print_op.register(AdvancedIncSubtensor)
def _changed_places(op: AdvancedIncSubtensor, node: Any, printer: Printer) -> list[View]:
    whole, values, *inputs = node.inputs
    pattern = _lists(inputs, op.idx_list)
    if pattern is None or (op.ignore_duplicates and not op.set_instead_of_inc):
        return call(op, node, printer)
    first, lists = pattern
    result = printer.copy(printer.view(whole))
    sign = "=" if op.set_instead_of_inc else "+="
    shape = [*result.shape[:first], _length(lists, printer), *result.shape[first + len(lists) :]]
    value = _broadcast(values, shape, printer)
    with _at_places(result, pattern, shape, printer) as (place, indices):
        printer.writer.add(f"{result.at(place)} {sign} {value.at(indices)}")
    return [result]


@contextmanager
def _at_places(
    view: View, pattern: tuple[int, list[Any]], shape: Sequence[str], printer: Printer
) -> Iterator[tuple[list[str], list[str]]]:
    """Write loops over all places that lists name; give the place, and that in the result."""
    first, lists = pattern
    with printer.writer.loops(shape[:first]) as before, printer.writer.loop(shape[first]) as index:
        sizes = view.shape[first:]
        listed = [_listed(one, index, sizes[k], printer) for k, one in enumerate(lists)]
        with printer.writer.loops(shape[first + 1 :]) as after:
            yield [*before, *listed, *after], [*before, index, *after]


def _lists(inputs: Sequence[Any], idx_list: Sequence[Any]) -> tuple[int, list[Any]] | None:
    """Return where lists of places stand, and them; None for other patterns.

    Before and behind them everything is taken.
    """
    indices = indices_from_subtensor(inputs, idx_list)
    places = [k for k, index in enumerate(indices) if not isinstance(index, slice)]
    lists = [indices[k] for k in places]
    simple = all(one.type.ndim == 1 and one.type.dtype.startswith(("int", "uint")) for one in lists)
    together = places == list(range(places[0], places[0] + len(places))) if places else False
    free = all(index == slice(None) for index in indices if isinstance(index, slice))
    several = all(one.type.shape[0] != 1 for one in lists)
    return (places[0], lists) if simple and together and free and several else None


def _length(lists: Sequence[Any], printer: Printer) -> str:
    sizes = [printer.view(one).shape[0] for one in lists]
    for size in sizes:
        printer.writer.check_same(sizes[0], size)
    return sizes[0]


def _listed(one: Any, index: str, size: str, printer: Printer) -> str:
    """Return the place that a list names; checked, unless the list is known already."""
    text = printer.view(one).at([index])
    if isinstance(one, Constant) and size.isdigit() and one.data.min(initial=0) >= 0:
        if one.data.max(initial=0) >= int(size):
            raise IndexError(f"element {one.data.max()} of {size}")
        return printer.writer.let(text)
    return printer.writer.let(f"element({text}, {size})")


def _broadcast(variable: Any, shape: Sequence[str], printer: Printer) -> View:
    """Repeat a tensor along the dimensions that it does not have."""
    view = printer.view(variable)
    new = len(shape) - len(view.shape)
    for k, size in enumerate(view.shape):
        if variable.type.shape[k] != 1:
            printer.writer.check_same(shape[new + k], size)
    if view.number:
        return replace(view, shape=tuple(shape), strides=("0",) * len(shape))
    kept = tuple(
        "0" if variable.type.shape[k] == 1 else stride for k, stride in enumerate(view.strides)
    )
    return replace(view, shape=tuple(shape), strides=("0",) * new + kept, whole=False)
