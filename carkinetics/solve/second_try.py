"""A patient for whom the explicit solver needs too many steps is tried by the implicit one.

Compiled code reaches this file through a function that LLVM knows by name, and only when a solve
has failed: ordinary draws pay nothing, and the implicit solver, which takes some seconds to
compile, is compiled when it is first needed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np
from numba import njit, types
from numba.core.typing import signature

from carkinetics.errors import SolverOutcome

OUTCOMES = (SolverOutcome.SOLVED, SolverOutcome.TOO_MANY_STEPS, SolverOutcome.NOT_FINITE)
TOO_MANY_STEPS = OUTCOMES.index(SolverOutcome.TOO_MANY_STEPS)

# Gives the implicit solver of the system whose explicit one has this key, None where there is none.
_SECOND: dict[int, Callable[[], Callable[..., Any]]] = {}
_NAME = "carkinetics_second_try"


class Found(NamedTuple):
    """What a solver returns: see ``loop_template.solve``."""

    level: np.ndarray
    slope: np.ndarray
    jacobian: np.ndarray
    outcome: np.ndarray
    steps: np.ndarray


def second_try(
    implicit: Callable[[], Callable[..., Any]],
    params: np.ndarray,
    offsets: np.ndarray,
    days: np.ndarray,
    options: tuple[float, int, bool],
    found: Found,
) -> None:
    """Solve again, in place, the patients that needed too many steps.

    Parameters
    ----------
    implicit : callable
        Compiles and returns the implicit solver; called only where somebody needs it.
    params, offsets, days
        See ``loop_template.solve``.
    options : tolerance, max_steps, with_sensitivity
        As of the first try.
    found : Found
        What the first try gave; steps of both are added up.
    """
    again = np.flatnonzero(found.outcome == TOO_MANY_STEPS)
    if not again.size:
        return
    counts = np.diff(offsets)[again]
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in again])
    own = np.append(0, np.cumsum(counts))
    level, slope, jacobian, outcome, steps = implicit()(params[again], own, days[rows], *options)
    found.level[rows], found.slope[rows], found.outcome[again] = level, slope, outcome
    found.steps[again] += steps
    if options[2]:
        found.jacobian[rows] = jacobian


def announce(key: int, implicit: Callable[[], Callable[..., Any]]) -> None:
    """Let compiled code that solves the system of this key find its implicit solver."""
    _SECOND[key] = implicit


def key_of(source_hash: str) -> int:
    """Return the hash of a solver as the whole number under which compiled code asks."""
    return int.from_bytes(bytes.fromhex(source_hash), "big", signed=True)


@ctypes.CFUNCTYPE(None, ctypes.c_double, *([ctypes.c_int64] * 14))
def _called_from_compiled_code(tolerance, key, max_steps, n, n_par, n_row, n_out, *addresses):
    if key not in _SECOND:
        return
    shapes = [
        (n, n_par), (n + 1,), (n_row,), (n_row, n_out), (n_row, n_out), (n_row, n_out, n_par),
        (n,), (n,),
    ]  # fmt: skip
    whole = (1, 6, 7)
    params, offsets, days, *found = (
        _array(address, shape, k in whole)
        for k, (address, shape) in enumerate(zip(addresses, shapes, strict=True))
    )
    options = tolerance, max_steps, True
    second_try(_SECOND[key], params, offsets, days, options, Found(*found))


def _array(address: int, shape: tuple[int, ...], whole: bool) -> np.ndarray:
    kind = ctypes.c_int64 if whole else ctypes.c_double
    size = int(np.prod(shape))
    return np.ctypeslib.as_array((kind * size).from_address(address)).reshape(shape)


llvmlite.binding.add_symbol(_NAME, ctypes.cast(_called_from_compiled_code, ctypes.c_void_p).value)
_call = types.ExternalFunction(_NAME, signature(types.void, types.float64, *([types.int64] * 14)))


@njit(cache=True)
def second_try_if_needed(
    key, params, offsets, days, tolerance, max_steps, level, slope, jacobian, outcome, steps
):  # fmt: skip
    """Do the same from compiled code, with derivatives; the arrays lie in one piece."""
    needed = False
    for code in outcome:
        needed |= code == TOO_MANY_STEPS
    if needed:
        _call(
            tolerance, key, max_steps, params.shape[0], params.shape[1], days.shape[0],
            level.shape[1], params.ctypes.data, offsets.ctypes.data, days.ctypes.data,
            level.ctypes.data, slope.ctypes.data, jacobian.ctypes.data, outcome.ctypes.data,
            steps.ctypes.data,
        )  # fmt: skip
