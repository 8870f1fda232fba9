"""The solver as PyTensor operations whose gradient comes from a reverse sweep.

For models with many parameters: the levels keep a tape of their steps, and the pullback sweeps
through it, see `carkinetics.solve.adjoint`. A Jacobian is computed only for patients whom the
implicit solver had to solve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import types
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import (
    numba_njit,
    register_funcify_default_op_cache_key,
)

from carkinetics.solve.by_name import name_solver, solver_by_name
from carkinetics.solve.compiled import CompiledSystem, Taped, load_solver
from carkinetics.solve.contraction import blank_failures, contract
from carkinetics.solve.second_try import (
    TOO_MANY_STEPS,
    Found,
    announce,
    key_of,
    second_try,
    second_try_if_needed,
)
from carkinetics.solve.solver_op import SolverOp, solver_inputs

# Operations are copied and hashed by PyTensor; they carry only the hash of their solver.
_COMPILED: dict[str, tuple[CompiledSystem, Taped]] = {}


class TapedLogLevels(SolverOp):
    """Natural log of the latent levels of all patients at their listed days, and the way there.

    Inputs are those of `carkinetics.solve.op.LogLevels`. Outputs are the log levels, shape
    (row, cell_type), and the solver outcome, shape (patient,): 0 where solved. The rows of a failed
    patient are zero. The others are for `SweptGradient`: outcomes of the explicit solver, its tape
    and samples (see ``sweep_template.py``), and the Jacobian of what the implicit one solved, shape
    (row, cell_type, parameter), or without rows where nobody needed it.

    Parameters: see `carkinetics.solve.solver_op.SolverOp`.
    """

    def make_node(self, params: Any, offsets: Any, days: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        inputs = solver_inputs(params, offsets, days)
        outputs = [
            pt.dmatrix(), pt.lvector(), pt.lvector(), pt.dvector(), pt.dmatrix(), pt.dtensor3()
        ]  # fmt: skip
        return Apply(self, inputs, outputs)

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Solve in Python mode (nutpie and PyTensor's numba mode use the numba form)."""
        params, offsets, days = (np.ascontiguousarray(value) for value in inputs)
        options = self.tolerance, self.max_steps
        solve = _function(self.source_hash, "solve_with_tape")
        level, slope, outcome, steps, tape, samples = solve(params, offsets, days, *options)
        first, again = outcome.copy(), (outcome == TOO_MANY_STEPS).any()
        jacobian = np.zeros((len(days) if again else 0, level.shape[1], params.shape[1]))
        implicit = (
            _COMPILED[self.source_hash][0].implicit if self.source_hash in _COMPILED else None
        )
        if again and implicit is not None:
            found = Found(level, slope, jacobian, outcome, steps)
            second_try(implicit, params, offsets, days, (*options, True), found)
        blank_failures(level, jacobian, offsets, outcome)
        found_all = level, outcome, first, tape, samples, jacobian
        for storage, value in zip(outputs, found_all, strict=True):
            storage[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Sweep back through the tape."""
        gradient = SweptGradient(self.source_hash)(cotangents[0], *inputs, *outputs[2:])
        return [gradient, disconnected_type(), disconnected_type()]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that only the levels carry gradients, and only to the parameters."""
        return [[True] + [False] * 5, [False] * 6, [False] * 6]


class SweptGradient(Op):
    """Gradient by the parameters, shape (patient, parameter), from that by the log levels.

    Inputs are the gradient by the log levels, shape (row, cell_type), the inputs of
    `TapedLogLevels`, and its outputs from the third on.

    Parameters
    ----------
    source_hash : str
        Hash of the generated solver.
    """

    __props__ = ("source_hash",)

    def __init__(self, source_hash: str) -> None:
        self.source_hash = source_hash

    def make_node(self, of_level: Any, params: Any, offsets: Any, days: Any, *kept: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        of_level = pt.as_tensor_variable(of_level, dtype="float64")
        inputs = [of_level, *solver_inputs(params, offsets, days), *kept]
        return Apply(self, inputs, [pt.dmatrix()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Sweep in Python mode."""
        of_level, params, offsets, days, first, tape, samples, jacobian = (
            np.ascontiguousarray(value) for value in inputs
        )
        sweep = _function(self.source_hash, "sweep")
        gradient = sweep(params, offsets, days, first, tape, samples, of_level)
        if len(jacobian):
            gradient += contract(of_level, jacobian, offsets)
        outputs[0][0] = gradient


def taped_log_levels(
    compiled: CompiledSystem,
    params: Any,
    offsets: Any,
    days: Any,
    *,
    tolerance: float,
    max_steps: int,
) -> tuple[Any, Any]:
    """Do what `carkinetics.solve.op.log_levels` does, for a system with ``compiled.taped``."""
    assert compiled.taped is not None
    taped = compiled.taped()
    key = taped.source_hash
    _COMPILED[key] = compiled, taped
    name_solver(_name("solve_with_tape", key), taped.solve_with_tape, _OF_SOLVE)
    name_solver(_name("sweep", key), taped.sweep, _OF_SWEEP)
    if compiled.implicit is not None:
        announce(key_of(key), compiled.implicit)
    operation = TapedLogLevels(key, float(tolerance), int(max_steps))
    level, outcome, *_ = operation(params, offsets, days)
    return level, outcome


def _function(source_hash: str, name: str) -> Any:
    """Return a function of a solver, also in a process that has only unpickled the operation."""
    if source_hash in _COMPILED:
        return getattr(_COMPILED[source_hash][1], name)
    return load_solver(source_hash, name)


_VECTOR, _MATRIX = (types.Array(types.float64, n, "C") for n in (1, 2))
_WHOLE = types.Array(types.int64, 1, "C")
# Types of arguments, in the order of ``sweep_template.py``.
_OF_SOLVE = (_MATRIX, _WHOLE, _VECTOR, types.float64, types.int64)
_OF_SWEEP = (_MATRIX, _WHOLE, _VECTOR, _WHOLE, _VECTOR, _MATRIX, _MATRIX)


def _name(function: str, source_hash: str) -> str:
    return f"carkinetics_{function}_{source_hash}"


# Part of the key under which PyTensor keeps machine code on disk: raise it with every change of
# the numba functions of this file.
_VERSION = 1


@register_funcify_default_op_cache_key(TapedLogLevels)
def _numba_taped_log_levels(op: TapedLogLevels, **kwargs: Any) -> Any:
    name, key = "solve_with_tape", key_of(op.source_hash)
    function = _function(op.source_hash, name)
    solve = solver_by_name(_name(name, op.source_hash), function, _OF_SOLVE)
    tolerance, max_steps = op.tolerance, op.max_steps
    blanked = numba_njit(blank_failures.py_func)

    @numba_njit
    def taped_log_levels_numba(params: Any, offsets: Any, days: Any) -> Any:
        params, offsets = np.ascontiguousarray(params), np.ascontiguousarray(offsets)
        days, most = np.ascontiguousarray(days), np.int64(max_steps)
        level, slope, outcome, steps, tape, samples = solve(
            (params, offsets, days, tolerance, most)
        )
        first, rows = outcome.copy(), 0
        for code in outcome:
            if code == TOO_MANY_STEPS:
                rows = days.shape[0]
        jacobian = np.zeros((rows, level.shape[1], params.shape[1]))
        second_try_if_needed(
            np.int64(key), params, offsets, days, tolerance, most,
            level, slope, jacobian, outcome, steps,
        )  # fmt: skip
        blanked(level, jacobian, offsets, outcome)
        return level, outcome, first, tape, samples, jacobian

    return taped_log_levels_numba, _VERSION


@register_funcify_default_op_cache_key(SweptGradient)
def _numba_swept_gradient(op: SweptGradient, **kwargs: Any) -> Any:
    function = _function(op.source_hash, "sweep")
    sweep = solver_by_name(_name("sweep", op.source_hash), function, _OF_SWEEP)
    contracted = numba_njit(contract.py_func)

    @numba_njit
    def swept_gradient_numba(
        of_level: Any, params: Any, offsets: Any, days: Any,
        first: Any, tape: Any, samples: Any, jacobian: Any,
    ) -> Any:  # fmt: skip
        of_level, params = np.ascontiguousarray(of_level), np.ascontiguousarray(params)
        offsets, days = np.ascontiguousarray(offsets), np.ascontiguousarray(days)
        first, tape = np.ascontiguousarray(first), np.ascontiguousarray(tape)
        samples = np.ascontiguousarray(samples)
        gradient = sweep((params, offsets, days, first, tape, samples, of_level))
        if jacobian.shape[0] > 0:
            gradient += contracted(of_level, jacobian, offsets)
        return gradient

    return swept_gradient_numba, _VERSION
