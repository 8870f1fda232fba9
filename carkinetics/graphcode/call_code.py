"""Instructions of a call: arguments out of the table, results into it.

Numba's own types would take longer for these few lines than for the function that is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing import fold_arguments
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from carkinetics.graphcode.places import INT, Places
from carkinetics.graphcode.views import View
from carkinetics.graphcode.writer import Call


class CallCode:
    """A call whose types are known.

    Parameters
    ----------
    call : Call
        What is called with what.
    function : callable
        What stands behind its name.
    typing_context : numba typing context
        Compiles the function for the types of its arguments.
    """

    def __init__(self, call: Call, function: Callable[..., Any], typing_context: Any) -> None:
        self._call = call
        pairs = zip(call.arguments, call.scalars, strict=True)
        self._given = tuple(_type(view, scalar) for view, scalar in pairs)
        self._function = typing_context.resolve_value_type(function)
        self._signature = typing_context.resolve_function_type(self._function, self._given, {})

    def write(self, places: Places) -> None:
        """Write the instructions."""
        implementation = places.context.get_function(self._function, self._signature)
        found = implementation(places.builder, self._arguments(places))
        kind = self._signature.return_type
        if not isinstance(kind, types.BaseTuple):
            _keep(self._call.results[0], kind, found, places)
            return
        for k, view in enumerate(self._call.results):
            _keep(view, kind.types[k], places.builder.extract_value(found, k), places)

    def _arguments(self, places: Places) -> Sequence[ir.Value]:
        """Write the arguments as the function wants them, its defaults included."""
        context, builder, wanted = places.context, places.builder, self._signature.args
        pairs = zip(self._call.arguments, self._given, strict=True)
        given = [(_argument(view, kind, places), kind) for view, kind in pairs]

        def cast(one: tuple[ir.Value, Any], kind: Any) -> ir.Value:
            return context.cast(builder, *one, kind)

        if self._signature.pysig is None:
            return [cast(*pair) for pair in zip(given, wanted, strict=True)]
        folded: Sequence[ir.Value] = fold_arguments(
            self._signature.pysig,
            given,
            {},
            lambda k, _, one: cast(one, wanted[k]),
            lambda k, _, default: context.get_constant_generic(builder, wanted[k], default),
            lambda k, _, several: context.make_tuple(
                builder, wanted[k], [cast(*p) for p in zip(several, wanted[k], strict=True)]
            ),
        )
        return folded


def _type(view: View, scalar: bool) -> Any:
    number = from_dtype(np.dtype(view.dtype))
    return number if scalar else types.Array(number, len(view.shape), "C")


def _argument(view: View, kind: Any, places: Places) -> ir.Value:
    if not isinstance(kind, types.Array):
        return _number(view, kind, places)
    context, builder = places.context, places.builder
    stored = context.get_data_type(kind.dtype)
    if view.shape:
        data = builder.inttoptr(places.load(view.name), stored.as_pointer())
    else:
        with builder.goto_entry_block():
            data = builder.alloca(stored)
        number = _number(view, kind.dtype, places)
        builder.store(context.get_value_as_data(builder, kind.dtype, number), data)
    sizes = [_size(size, places) for size in view.shape]
    step = itemsize = ir.Constant(INT, context.get_abi_sizeof(stored))
    steps: list[ir.Value] = []
    for size in reversed(sizes):
        steps.insert(0, step)
        step = builder.mul(step, size)
    made = context.make_array(kind)(context, builder)
    populate_array(made, data, sizes, steps, itemsize, None)
    return made._getvalue()


def _size(size: str, places: Places) -> ir.Value:
    return ir.Constant(INT, int(size)) if size.isdigit() else places.load(size)


def _number(view: View, kind: Any, places: Places) -> ir.Value:
    """Return the number under a name, or the one that the name itself is."""
    context, builder, literal = places.context, places.builder, view.name.strip("()")
    if not literal.isidentifier() or literal in ("True", "False", "nan", "inf"):
        value = literal == "True" if view.dtype == "bool" else float(literal)
        return context.get_constant(kind, value if view.dtype.startswith("float") else int(value))
    bits = places.load(view.name)
    if view.dtype.startswith("float"):
        return context.cast(builder, builder.bitcast(bits, ir.DoubleType()), types.float64, kind)
    return context.cast(builder, bits, types.int64, kind)


def _keep(view: View, kind: Any, value: ir.Value, places: Places) -> None:
    """Put a result where later pieces find it."""
    context, builder = places.context, places.builder
    if isinstance(kind, types.Array) and view.shape:
        if kind.layout != "C":
            value, kind = _in_order(value, kind, places)
        found = context.make_array(kind)(context, builder, value)
        places.store(view.name, found.data)
        places.own(view.name, found.meminfo)
        for k, size in enumerate(view.shape):
            places.store(size, builder.extract_value(found.shape, k))
        return
    number, of = value, kind
    if isinstance(kind, types.Array):
        of = kind.dtype
        data = context.make_array(kind)(context, builder, value).data
        number = context.unpack_value(builder, of, data)
        context.nrt.decref(builder, kind, value)
    wide = types.float64 if view.dtype.startswith("float") else types.int64
    places.store(view.name, context.cast(builder, number, of, wide))


def _in_order(value: ir.Value, kind: Any, places: Places) -> tuple[ir.Value, Any]:
    """Copy an array whose elements do not stand one after another."""

    def in_order(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array)

    ordered = kind.copy(layout="C", readonly=False)
    copied = places.context.compile_internal(places.builder, in_order, ordered(kind), [value])
    places.context.nrt.decref(places.builder, kind, value)
    return copied, ordered
