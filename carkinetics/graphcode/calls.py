"""Operations that have no text here: PyTensor's own numba function is called."""

from __future__ import annotations

from typing import Any

from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key
from pytensor.scalar.basic import ScalarType

from carkinetics.graphcode.dispatch import Printer
from carkinetics.graphcode.views import View, number, whole_array


def call(op: Any, node: Any, printer: Printer) -> list[View]:
    """Write a call, its tensors handed over as arrays of their own dimensions."""
    function, key = numba_funcify_and_cache_key(op, node=node)
    arguments = [_argument(printer.view(variable), printer) for variable in node.inputs]
    scalars = [isinstance(variable.type, ScalarType) for variable in node.inputs]
    results = [_result(variable, printer) for variable in node.outputs]
    printer.writer.call(function, key, arguments, scalars, results)
    return results


def _argument(view: View, printer: Printer) -> View:
    return printer.whole(view) if view.shape else printer.held(view)


def _result(variable: Any, printer: Printer) -> View:
    writer, dtype = printer.writer, variable.type.dtype
    name = writer.fresh("r")
    if isinstance(variable.type, ScalarType) or variable.type.ndim == 0:
        return number(name, dtype)
    sizes = [writer.given_size(f"{name}_{k}") for k in range(variable.type.ndim)]
    return whole_array(name, dtype, sizes)
