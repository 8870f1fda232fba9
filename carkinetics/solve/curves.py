"""Latent levels of any parameters at any days, with or without a closed form, in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from carkinetics.equations import NUMERIC
from carkinetics.errors import SolverOutcome
from carkinetics.model import System
from carkinetics.solve.closed_form import floored_log, log_of
from carkinetics.solve.compiled import DEFAULT_TOLERANCE, compile_system, solve_system
from carkinetics.solve.trajectory import right_side, solve_states

# Rows solved at once: bounds memory at some hundred megabytes.
_ROWS = 1_000_000
# So many sets of a stiff model are solved one by one before compiling its solver pays.
_FEW = 200
# A level with this logarithm is no cell in any patient.
_NOTHING = -600.0


@dataclass(frozen=True, eq=False)
class LatentLevels:
    """Latent levels of many parameter sets.

    Attributes
    ----------
    log_level, slope : array, shape (set, cell_type, day)
        ln level and its derivative by time [1/day]; the total stands last where there are subsets.
        NaN where the solve failed.
    outcome : tuple of SolverOutcome, one per set
        How each solve ended.
    """

    log_level: np.ndarray
    slope: np.ndarray
    outcome: tuple[SolverOutcome, ...]

    @property
    def failed(self) -> np.ndarray:
        """Whether the solve of a set failed, shape (set,)."""
        return np.array([end is not SolverOutcome.SOLVED for end in self.outcome], dtype=bool)


def latent_levels(
    system: System,
    parameters: np.ndarray,
    days: np.ndarray,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
) -> LatentLevels:
    """Compute levels and slopes, of all cell types and their total.

    Parameters
    ----------
    system : System
        Equations of a model.
    parameters : array, shape (set, parameter)
        On the natural scale, in the order of ``system.parameters`` and, after them,
        ``system.inputs``.
    days : array, shape (day,) or (set, day)
        Not decreasing [day]. A day given twice in a closed form is a kink: the first slope is
        that before it.
    tolerance : float
        Local error of the solver.

    Returns
    -------
    LatentLevels
    """
    days = np.broadcast_to(np.asarray(days, float), (len(parameters), np.shape(days)[-1]))
    if system.closed_form:
        solve = _closed_form(system)
    elif (
        system.event_inputs
        or not system.levels
        or (len(parameters) < _FEW and (system.stiff or system.doses))
    ):
        solve = _one_by_one(system, tolerance)
    else:
        solve = _integrated(system, tolerance)
    size = max(1, _ROWS // max(days.shape[1], 1))
    parts = [solve(parameters[i : i + size], days[i : i + size]) for i in range(0, len(days), size)]
    log_level = np.concatenate([part[0] for part in parts])
    slope = np.concatenate([part[1] for part in parts])
    outcome = tuple(end for part in parts for end in part[2])
    if log_level.shape[1] > 1:
        log_level, slope = _with_total(log_level, slope)
    return LatentLevels(log_level, slope, outcome)


type _Solve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, tuple[Any, ...]]]


def _integrated(system: System, tolerance: float) -> _Solve:
    compiled = compile_system(system)

    def solve(parameters: np.ndarray, days: np.ndarray) -> Any:
        n, n_days = days.shape
        offsets = np.arange(n + 1) * n_days
        found = solve_system(compiled, parameters, offsets, days.ravel(), tolerance=tolerance)
        shape = (n, n_days, found.log_level.shape[1])
        return (
            found.log_level.reshape(shape).transpose(0, 2, 1),
            found.slope.reshape(shape).transpose(0, 2, 1),
            found.outcome,
        )

    return solve


def _one_by_one(system: System, tolerance: float) -> _Solve:
    equations = right_side(system)

    def solve(parameters: np.ndarray, days: np.ndarray) -> Any:
        levels, slopes, ends = [], [], []
        for numbers, own_days in zip(parameters, days, strict=True):
            states, outcome = solve_states(equations, numbers, own_days, min(tolerance, 1e-7))
            level, slope = equations.log_levels(own_days, states, numbers)
            finite = np.isfinite(level).all() and np.isfinite(slope).all()
            if outcome is SolverOutcome.SOLVED and not finite:
                outcome = SolverOutcome.NOT_FINITE
            levels.append(level if finite else np.full_like(level, np.nan))
            slopes.append(slope if finite else np.full_like(slope, np.nan))
            ends.append(outcome)
        return np.stack(levels), np.stack(slopes), tuple(ends)

    return solve


def _closed_form(system: System) -> _Solve:
    symbols = [*system.parameter_symbols, *system.input_symbols, system.time]
    modules = [NUMERIC | {"log": floored_log}, "numpy"]
    logs = [log_of(level) for level in system.levels]
    levels = [sympy.lambdify(symbols, log, modules) for log in logs]
    slopes = [sympy.lambdify(symbols, sympy.diff(log, system.time), modules) for log in logs]

    def solve(parameters: np.ndarray, days: np.ndarray) -> Any:
        # All of one shape: what SymPy prints for nested conditions does not broadcast.
        columns = [np.broadcast_to(column[:, None], days.shape) for column in parameters.T]
        with np.errstate(all="ignore"):
            log_level = [np.broadcast_to(f(*columns, days), days.shape) for f in levels]
            # The slope before a kink is that a moment earlier.
            early = np.where(np.diff(days, axis=1, append=np.inf) == 0, days - 1e-9, days)
            slope = [np.broadcast_to(f(*columns, early), days.shape) for f in slopes]
        stacked = np.stack(log_level, axis=1), np.stack(slope, axis=1)
        # Where a sum of exponentials is zero its slope is none; the floor is level.
        gone = np.isnan(stacked[1]) & (stacked[0] < _NOTHING)
        stacked = stacked[0], np.where(gone, 0.0, stacked[1])
        finite = np.isfinite(stacked[0]).all(axis=(1, 2)) & np.isfinite(stacked[1]).all(axis=(1, 2))
        ends = [SolverOutcome.SOLVED if ok else SolverOutcome.NOT_FINITE for ok in finite]
        return *stacked, tuple(ends)

    return solve


def _with_total(log_level: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(all="ignore"):  # a failed solve is not finite, and says so by its outcome
        total = np.logaddexp.reduce(log_level, axis=1)
        of_total = (np.exp(log_level - total[:, None]) * slope).sum(axis=1)
    return (
        np.concatenate([log_level, total[:, None]], axis=1),
        np.concatenate([slope, of_total[:, None]], axis=1),
    )
