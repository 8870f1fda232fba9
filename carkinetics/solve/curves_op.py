"""The solver as a PyTensor operation that also gives areas and maxima, with exact gradients.

The joint model needs more of a curve than its levels at visits. It is an operation of its own, so
that a plain fit neither compiles nor runs what it does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import njit, types
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
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
from carkinetics.solve.op import contract_by_patient
from carkinetics.solve.solver_op import SolverOp, solver_inputs

# Operations are copied and hashed by PyTensor; they carry only the hash of their solver.
_COMPILED: dict[str, CompiledSystem] = {}


@dataclass(frozen=True, eq=False)
class SymbolicCurves:
    """What is known of the curves of all patients, as tensors.

    Attributes
    ----------
    log_level : tensor, shape (row, cell_type)
        ln level at the listed days.
    log_area : tensor, shape (area row, cell_type)
        ln of the area from day 0 to the listed days.
    log_peak : tensor, shape (patient, curve)
        ln of the highest level.
    peak_day : tensor, shape (patient, curve)
        First day of the highest level; it carries no gradient [day].
    outcome : tensor of int, shape (patient,)
        0 where solved; everything else is 0 where not.
    """

    log_level: Any
    log_area: Any
    log_peak: Any
    peak_day: Any
    outcome: Any


class LogCurves(SolverOp):
    """Log levels, log areas and log maxima of the latent curves of all patients.

    Inputs are the parameters, shape (patient, parameter), row offsets and days of the levels, and
    row offsets and days of the areas. Outputs are the three logarithms, each followed by its
    Jacobian, then the days of the maxima and the solver outcomes.

    Parameters
    ----------
    source_hash, tolerance, max_steps
        See `carkinetics.solve.solver_op.SolverOp`.
    peak_until : float
        Day until which the maximum is looked for [day].
    curves : tuple of int
        Curves whose maximum is wanted: cell types; their number is the total.
    """

    __props__ = (*SolverOp.__props__, "curves", "peak_until")

    def __init__(
        self,
        source_hash: str,
        tolerance: float,
        max_steps: int,
        peak_until: float,
        curves: tuple[int, ...],
    ) -> None:
        super().__init__(source_hash, tolerance, max_steps)
        self.peak_until = peak_until
        self.curves = curves

    def make_node(
        self, params: Any, offsets: Any, days: Any, area_offsets: Any, area_days: Any
    ) -> Apply:
        """Build the node; see the class for the shapes."""
        inputs = [
            *solver_inputs(params, offsets, days),
            pt.as_tensor_variable(area_offsets).astype("int64"),
            pt.as_tensor_variable(area_days, dtype="float64"),
        ]
        three = [kind() for _ in range(3) for kind in (pt.dmatrix, pt.dtensor3)]
        return Apply(self, inputs, [*three, pt.dmatrix(), pt.lvector()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Solve in Python mode (nutpie and PyTensor's numba mode use the numba form)."""
        arrays = [np.require(value, requirements=["C", "W"]) for value in inputs]
        found = _solver(self.source_hash)(
            *arrays, self.peak_until, np.array(self.curves, np.int64), self.tolerance,
            self.max_steps,
        )[:-1]  # fmt: skip
        _blank_failures(*found, arrays[1], arrays[3])
        for output, value in zip(outputs, found, strict=True):
            output[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Contract the three Jacobians with the gradients of their logarithms."""
        patients = pt.arange(inputs[0].shape[0] + 1)
        rows = (inputs[1], inputs[3], patients)
        parts = [
            contract_by_patient(cotangents[2 * k], outputs[2 * k + 1], rows[k])
            for k in range(3)
            if not isinstance(cotangents[2 * k].type, DisconnectedType)
        ]
        gradient = sum(parts[1:], parts[0])
        return [gradient, *(disconnected_type() for _ in range(4))]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that only the logarithms carry gradients, and only to the parameters."""
        carries = [k in (0, 2, 4) for k in range(8)]
        return [carries, *([False] * 8 for _ in range(4))]


def log_curves(
    compiled: CompiledSystem,
    params: Any,
    levels: tuple[Any, Any],
    areas: tuple[Any, Any],
    *,
    peak_until: float = 0.0,
    curves: tuple[int, ...] = (),
    tolerance: float = DEFAULT_TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> SymbolicCurves:
    """Build the symbolic levels, areas and maxima of all patients.

    Parameters
    ----------
    compiled : CompiledSystem
        From `carkinetics.solve.compiled.compile_curves`.
    params : tensor, shape (patient, parameter)
        Natural-scale parameters, columns as ``compiled.parameters``.
    levels : offsets and days
        Rows of each patient, at least one, and their days; see `solve_system` [day].
    areas : offsets and days
        The same for areas; days are above 0 [day].
    peak_until, curves
        See `LogCurves`.
    tolerance, max_steps
        See `solve_system`.

    Returns
    -------
    SymbolicCurves
    """
    _COMPILED[compiled.source_hash] = compiled
    name_solver(_name(compiled.source_hash), compiled.solve, _ARGUMENTS)
    operation = LogCurves(
        compiled.source_hash, float(tolerance), int(max_steps), float(peak_until), tuple(curves)
    )
    level, _, area, _, peak, _, day, outcome = operation(params, *levels, *areas)
    return SymbolicCurves(level, area, peak, day, outcome)


def _solver(source_hash: str) -> Callable[..., Any]:
    """Return the solver of an operation, also in a process that has only unpickled it."""
    if source_hash in _COMPILED:
        return _COMPILED[source_hash].solve
    return load_solver(source_hash, "solve_curves")


@njit(cache=True)
def _blank_failures(
    level, jacobian, area, area_jacobian, peak, peak_jacobian, day, outcome, offsets, area_offsets
):  # fmt: skip
    for i in range(outcome.shape[0]):
        if outcome[i] != 0:
            level[offsets[i] : offsets[i + 1]] = 0.0
            jacobian[offsets[i] : offsets[i + 1]] = 0.0
            area[area_offsets[i] : area_offsets[i + 1]] = 0.0
            area_jacobian[area_offsets[i] : area_offsets[i + 1]] = 0.0
            peak[i], day[i] = 0.0, 0.0
            peak_jacobian[i] = 0.0


# Types of the solver's arguments, in the order of ``curves_template.solve_curves``.
_ARGUMENTS = (
    types.Array(types.float64, 2, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.float64, 1, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.float64, 1, "C"),
    types.float64,
    types.Array(types.int64, 1, "C"),
    types.float64,
    types.int64,
)


def _name(source_hash: str) -> str:
    return f"carkinetics_solve_curves_{source_hash}"


# Part of the key under which PyTensor keeps machine code on disk: raise it with every change of
# the numba functions of this file.
_VERSION = 3


@register_funcify_default_op_cache_key(LogCurves)
def _numba_log_curves(op: LogCurves, **kwargs: Any) -> Any:
    blank_failures = numba_njit(_blank_failures.py_func)
    solve = solver_by_name(_name(op.source_hash), _solver(op.source_hash), _ARGUMENTS)
    tolerance, max_steps, peak_until = op.tolerance, op.max_steps, op.peak_until
    curves = np.array(op.curves, np.int64)

    @numba_njit
    def log_curves_numba(
        params: Any, offsets: Any, days: Any, area_offsets: Any, area_days: Any
    ) -> Any:
        level, jacobian, area, area_jacobian, peak, peak_jacobian, day, outcome, _ = solve(
            (
                np.ascontiguousarray(params),
                np.ascontiguousarray(offsets),
                np.ascontiguousarray(days),
                np.ascontiguousarray(area_offsets),
                np.ascontiguousarray(area_days),
                peak_until,
                curves.copy(),
                tolerance,
                np.int64(max_steps),
            )
        )
        blank_failures(
            level, jacobian, area, area_jacobian, peak, peak_jacobian, day, outcome, offsets,
            area_offsets,
        )  # fmt: skip
        return level, jacobian, area, area_jacobian, peak, peak_jacobian, day, outcome

    return log_curves_numba, _VERSION
