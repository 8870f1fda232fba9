"""Functions of lanes as operations of numba: see `carkinetics.solve.lanes`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from carkinetics.solve.lanes import DOUBLE, Array, Value, converted, written_by

# For functions that only compiled code calls. What a call from Python needs would have each of them
# optimized and made into machine code on its own.
compiled = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


class LaneFunction:
    """A function of lanes that compiled code may call, with arrays, named tuples and numbers.

    Where compiled code calls it, its instructions are written; another function of lanes calls it
    as it is.

    Attributes
    ----------
    py_func : callable
        The function itself.
    result : numba type
        What compiled code gets from it.
    """

    def __init__(self, py_func: Callable[..., Any], result: Any) -> None:
        functools.update_wrapper(self, py_func)
        self.py_func, self.result = py_func, result

        class Typing(AbstractTemplate):
            key = self

            def generic(self, args: Any, kws: Any) -> Any:
                return signature(result, *args)

        infer_global(self, types.Function(Typing))
        lower_builtin(self, types.VarArg(types.Any))(self._lower)

    def __call__(self, *arguments: Any) -> Any:
        """Call it from another function of lanes."""
        return self.py_func(*arguments)

    def _lower(self, context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        with written_by(builder):
            pairs = zip(sig.args, arguments, strict=True)
            found = self.py_func(*(_argument(context, builder, *pair) for pair in pairs))
            if self.result == types.void:
                return context.get_dummy_value()
            return converted(DOUBLE, False, found) if self.result == types.float64 else found.llvm


def _argument(context: Any, builder: Any, of: Any, value: Any) -> Any:
    """Return an argument of compiled code as functions of lanes know it."""
    if isinstance(of, types.Array):
        data = context.data_model_manager[of].get_field_position("data")
        return Array(builder.extract_value(value, data))
    if isinstance(of, types.BaseNamedTuple):
        parts = (builder.extract_value(value, i) for i in range(len(of.types)))
        named = zip(of.types, parts, strict=True)
        return of.instance_class(*(_argument(context, builder, *part) for part in named))
    if isinstance(of, types.Integer):
        if isinstance(value, ir.Constant):
            return int(value.constant)
        return Value(context.cast(builder, value, of, types.int64))
    return Value(value)


def inlined(function: Callable[..., Any]) -> LaneFunction:
    """Make a function of lanes that returns nothing to compiled code."""
    return LaneFunction(function, types.void)


def inlined_with(result: Any) -> Callable[[Callable[..., Any]], LaneFunction]:
    """Make one that returns a number of this numba type."""
    return lambda function: LaneFunction(function, result)
