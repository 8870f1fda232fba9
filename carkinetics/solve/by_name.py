"""Call a compiled solver from other compiled code without copying it.

Numba links what a function calls into its machine code, and optimizes and translates it again: for
a solver that is some seconds in every density. Here LLVM knows the solver by a name, like a
function of the C library, and finds its address when the density is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from carkinetics.solve.optimize_once import optimize_once


def name_solver(name: str, solver: Any, arguments: Sequence[types.Type]) -> Any:
    """Compile or load a solver for its types of arguments and give its address a name.

    Parameters
    ----------
    name : str
        Different for every solver. Machine code that calls it may be loaded from now on.
    solver : numba dispatcher
        The solver.
    arguments : sequence of numba types
        Of its arguments.

    Returns
    -------
    CompileResult
        What numba knows of it.
    """
    kinds = tuple(arguments)
    with optimize_once():
        solver.compile(kinds)
    made = solver.overloads[kinds]
    address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
    llvmlite.binding.add_symbol(name, address)
    return made


def solver_by_name(
    name: str, solver: Any, arguments: Sequence[types.Type]
) -> Callable[[tuple[Any, ...]], Any]:
    """Return a function for compiled code: a tuple of the solver's arguments -> its results.

    Parameters
    ----------
    name, solver, arguments
        See `name_solver`.
    """
    made = name_solver(name, solver, arguments)
    result, of = made.signature.return_type, tuple(made.signature.args)

    @intrinsic
    def call(typing_context: Any, given: Any) -> Any:
        if tuple(given) != of:
            return None

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = context.call_conv.get_function_type(result, of)
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            parts = cgutils.unpack_tuple(builder, values[0])
            status, found = context.call_conv.call_function(builder, function, result, of, parts)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return found

        return result(given), generate

    return call
