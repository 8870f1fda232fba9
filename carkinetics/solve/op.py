"""The solver as a PyTensor operation, with exact gradients, for PyMC and nutpie.

One solve gives value and gradient: the operation has the levels and their Jacobian as outputs,
its pullback only contracts the Jacobian, and PyTensor merges the two appearances of the same
operation into one. Systems with many parameters have another operation, whose gradient comes from
a reverse sweep: `carkinetics.solve.swept_op`.
"""

from __future__ import annotations

from collections.abc import Callable
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
from carkinetics.solve.compiled import (
    DEFAULT_TOLERANCE,
    MAX_STEPS,
    CompiledSystem,
    load_solver,
)
from carkinetics.solve.contraction import blank_failures, contract
from carkinetics.solve.second_try import (
    Found,
    announce,
    key_of,
    second_try,
    second_try_if_needed,
)
from carkinetics.solve.solver_op import SolverOp, solver_inputs
from carkinetics.solve.swept_op import taped_log_levels

# Operations are copied and hashed by PyTensor; they carry only the hash of their solver.
_COMPILED: dict[str, CompiledSystem] = {}


class LogLevels(SolverOp):
    """Natural log of the latent levels of all patients at their listed days.

    Inputs are the parameters, shape (patient, parameter), the row offsets of the patients, shape
    (patient + 1,), and the days, shape (row,). Outputs are the log levels, shape
    (row, cell_type), their Jacobian, shape (row, cell_type, parameter), and the solver outcome,
    shape (patient,): 0 where solved. The rows of a failed patient are zero in both, so that
    the caller can reject the draw without a NaN reaching the likelihood.

    Parameters: see `carkinetics.solve.solver_op.SolverOp`.
    """

    def make_node(self, params: Any, offsets: Any, days: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        inputs = solver_inputs(params, offsets, days)
        return Apply(self, inputs, [pt.dmatrix(), pt.dtensor3(), pt.lvector()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Solve in Python mode (nutpie and PyTensor's numba mode use the numba form)."""
        params, offsets, days = (np.ascontiguousarray(value) for value in inputs)
        options = self.tolerance, self.max_steps, True
        found = Found(*_solver(self.source_hash)(params, offsets, days, *options))
        compiled = _COMPILED.get(self.source_hash)
        if compiled is not None and compiled.implicit is not None:
            second_try(compiled.implicit, params, offsets, days, options, found)
        level, _, jacobian, outcome, _ = found
        blank_failures(level, jacobian, offsets, outcome)
        outputs[0][0], outputs[1][0], outputs[2][0] = level, jacobian, outcome

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Contract the Jacobian with the gradient of the log levels."""
        gradient = contract_by_patient(cotangents[0], outputs[1], inputs[1])
        return [gradient, disconnected_type(), disconnected_type()]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that only the levels carry gradients, and only to the parameters."""
        return [[True, False, False], [False] * 3, [False] * 3]


class ContractByPatient(Op):
    """Sum gradient times Jacobian over the rows and cell types of each patient."""

    __props__ = ()

    def make_node(self, gradient: Any, jacobian: Any, offsets: Any) -> Apply:
        """Build the node; shapes (row, cell_type), (row, cell_type, parameter), (patient + 1,)."""
        inputs = [
            pt.as_tensor_variable(gradient, dtype="float64"),
            pt.as_tensor_variable(jacobian),
            pt.as_tensor_variable(offsets).astype("int64"),
        ]
        return Apply(self, inputs, [pt.dmatrix()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Contract in Python mode."""
        outputs[0][0] = contract(*(np.ascontiguousarray(value) for value in inputs))


def log_levels(
    compiled: CompiledSystem,
    params: Any,
    offsets: Any,
    days: Any,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> tuple[Any, Any]:
    """Build the symbolic log levels of all patients at their days.

    Parameters
    ----------
    compiled : CompiledSystem
        Solver of the model.
    params : tensor, shape (patient, parameter)
        Natural-scale parameters, columns as ``compiled.parameters``.
    offsets, days
        Rows of each patient and their days; see `solve_system`.
    tolerance, max_steps
        See `solve_system`.

    Returns
    -------
    log_level : tensor, shape (row, cell_type)
        Zero in the rows of a patient whose solve failed.
    outcome : tensor of int, shape (patient,)
        0 where solved.
    """
    if compiled.taped is not None:
        return taped_log_levels(
            compiled, params, offsets, days, tolerance=tolerance, max_steps=max_steps
        )
    _COMPILED[compiled.source_hash] = compiled
    name_solver(_name(compiled.source_hash), compiled.solve, _ARGUMENTS)
    if compiled.implicit is not None:
        announce(key_of(compiled.source_hash), compiled.implicit)
    operation = LogLevels(compiled.source_hash, float(tolerance), int(max_steps))
    level, _, outcome = operation(params, offsets, days)
    return level, outcome


def contract_by_patient(gradient: Any, jacobian: Any, offsets: Any) -> Any:
    """Sum gradient times Jacobian over each patient's rows; shape (patient, parameter)."""
    return ContractByPatient()(gradient, jacobian, offsets)


def _solver(source_hash: str) -> Callable[..., Any]:
    """Return the solver of an operation, also in a process that has only unpickled it."""
    if source_hash in _COMPILED:
        return _COMPILED[source_hash].solve
    return load_solver(source_hash)


# Types of the solver's arguments: parameters, offsets, days, tolerance, most steps, derivatives.
_ARGUMENTS = (
    types.Array(types.float64, 2, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.float64, 1, "C"),
    types.float64,
    types.int64,
    types.boolean,
)


def _name(source_hash: str) -> str:
    return f"carkinetics_solve_{source_hash}"


# Part of the key under which PyTensor keeps machine code on disk: raise it with every change of
# the numba functions of this file.
_VERSION = 5


@register_funcify_default_op_cache_key(LogLevels)
def _numba_log_levels(op: LogLevels, **kwargs: Any) -> Any:
    key = key_of(op.source_hash)
    solve = solver_by_name(_name(op.source_hash), _solver(op.source_hash), _ARGUMENTS)
    tolerance, max_steps = op.tolerance, op.max_steps
    blanked = numba_njit(blank_failures.py_func)

    @numba_njit
    def log_levels_numba(params: Any, offsets: Any, days: Any) -> Any:
        params, offsets = np.ascontiguousarray(params), np.ascontiguousarray(offsets)
        days, most = np.ascontiguousarray(days), np.int64(max_steps)
        level, slope, jacobian, outcome, steps = solve(
            (params, offsets, days, tolerance, most, np.bool_(True))
        )
        second_try_if_needed(
            np.int64(key), params, offsets, days, tolerance, most,
            level, slope, jacobian, outcome, steps,
        )  # fmt: skip
        blanked(level, jacobian, offsets, outcome)
        return level, jacobian, outcome

    return log_levels_numba, _VERSION


@register_funcify_default_op_cache_key(ContractByPatient)
def _numba_contract(op: ContractByPatient, **kwargs: Any) -> Any:
    return numba_njit(contract.py_func), _VERSION
