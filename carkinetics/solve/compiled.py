"""The solver of a system: generated and loaded once, called for many patients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.errors import SolverError, SolverOutcome
from carkinetics.solve.codegen import source_hash
from carkinetics.solve.collection import without_collection
from carkinetics.solve.generated import generated
from carkinetics.solve.kept import cache_folder, kept_text, load_module
from carkinetics.solve.optimize_once import optimize_once
from carkinetics.solve.second_try import OUTCOMES, Found, second_try

if TYPE_CHECKING:
    from carkinetics.model import System

DEFAULT_TOLERANCE = 1e-6
MAX_STEPS = 5_000
# So many derivatives cost as much as a reverse sweep and a second solver to compile
# (docs/decisions/0003).
AS_CHEAP_AS_A_SWEEP = 25


@dataclass(frozen=True)
class CompiledSystem:
    """A system with its compiled solver.

    Attributes
    ----------
    parameters : tuple of str
        Expanded parameter names, then open inputs, in the order of the solver's columns.
    cell_types : tuple of str
        Columns of the levels.
    source_hash : str
        Hash of the generated source, the identity of the solver in caches.
    solve : callable
        The compiled function; see ``loop_template.solve``.
    implicit : callable, optional
        Compiles and returns the implicit solver of the same system; None where `solve` is that
        already, and for the solver of maxima and areas.
    taped : callable, optional
        Generates and returns the solver with a tape, where a reverse sweep is the cheaper way to a
        gradient; None where sensitivities are.
    """

    parameters: tuple[str, ...]
    cell_types: tuple[str, ...]
    source_hash: str
    solve: Callable[..., Any]
    implicit: Callable[[], Callable[..., Any]] | None = None
    taped: Callable[[], Taped] | None = None


@dataclass(frozen=True)
class Taped:
    """A solver that keeps its steps, and the reverse sweep through them.

    Attributes
    ----------
    source_hash : str
        Hash of their generated source.
    solve_with_tape, sweep : callable
        See ``sweep_template.py``.
    """

    source_hash: str
    solve_with_tape: Callable[..., Any]
    sweep: Callable[..., Any]


@dataclass(frozen=True)
class Solution:
    """Log levels of many patients at many days.

    Attributes
    ----------
    log_level, slope : array, shape (row, cell_type)
        Natural log of the latent level and its time derivative [1/day]; NaN where failed.
    jacobian : array, shape (row, cell_type, parameter) or (0, ...)
        Derivatives of the log level by the parameters; NaN where failed.
    outcome : tuple of SolverOutcome
        One per patient.
    steps : array of int, shape (patient,)
        Steps tried.
    """

    log_level: np.ndarray
    slope: np.ndarray
    jacobian: np.ndarray
    outcome: tuple[SolverOutcome, ...]
    steps: np.ndarray


def solve_system(
    compiled: CompiledSystem,
    params: np.ndarray,
    offsets: np.ndarray,
    days: np.ndarray,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
    max_steps: int = MAX_STEPS,
    sensitivities: bool = False,
    fall_back: bool = True,
) -> Solution:
    """Solve a system for many patients.

    Parameters
    ----------
    compiled : CompiledSystem
        From `compile_system`.
    params : array, shape (patient, parameter)
        Parameters on their natural scale, columns as in ``compiled.parameters``.
    offsets : array of int, shape (patient + 1,)
        Rows of each patient in ``days``.
    days : array, shape (row,)
        Days from the infusion, rising within a patient; before day 0 the level is that of
        day 0 [day].
    tolerance : float
        Local error per step, relative to the level; the log levels end up about this exact.
    max_steps : int
        Steps allowed to a patient before the solve is called a failure.
    sensitivities : bool
        Whether to return the derivatives by the parameters.
    fall_back : bool
        Whether a patient who needs too many steps of the explicit solver, as stiff equations do,
        is tried with the implicit one, which is compiled when it is first needed (some seconds).

    Returns
    -------
    Solution

    Raises
    ------
    SolverError
        Where the shapes do not belong together. A solve that fails does not raise: see
        ``Solution.outcome``.
    """
    # Writable copies of what is read-only: numba would compile the solver again for those.
    params = np.require(params, np.float64, ["C", "W"])
    offsets = np.require(offsets, np.int64, ["C", "W"])
    days = np.require(days, np.float64, ["C", "W"])
    _check_shapes(compiled, params, offsets, days)
    options = float(tolerance), int(max_steps), bool(sensitivities)
    with optimize_once():
        found = Found(*compiled.solve(params, offsets, days, *options))
        if fall_back and compiled.implicit is not None:
            second_try(compiled.implicit, params, offsets, days, options, found)
    level, slope, jacobian, outcome, steps = found
    return Solution(level, slope, jacobian, tuple(OUTCOMES[code] for code in outcome), steps)


def _check_shapes(
    compiled: CompiledSystem, params: np.ndarray, offsets: np.ndarray, days: np.ndarray
) -> None:
    """Refuse what would make the compiled code read beyond an array."""
    wanted = len(compiled.parameters)
    if params.ndim != 2 or params.shape[1] != wanted:
        raise SolverError(f"params has shape {params.shape}; it needs {wanted} columns")
    if offsets.shape != (len(params) + 1,) or days.ndim != 1:
        raise SolverError(
            f"offsets has shape {offsets.shape}, days {days.shape}; {len(params)} patients need "
            f"{len(params) + 1} offsets and one list of days"
        )
    if offsets[0] != 0 or offsets[-1] != len(days) or (np.diff(offsets) < 0).any():
        raise SolverError(f"offsets must rise from 0 to {len(days)}, the number of days")


@lru_cache(maxsize=64)
@without_collection()
def compile_system(system: System) -> CompiledSystem:
    """Generate and load the solver of a system; a second call with the same equations is free."""
    return _compiled(system, generated(system), "solve")


@lru_cache(maxsize=64)
@without_collection()
def compile_implicit(system: System) -> CompiledSystem:
    """Do the same for the implicit solver, whatever the system says of itself."""
    return _compiled(system, generated(system, stiff=True), "solve")


@lru_cache(maxsize=64)
@without_collection()
def compile_curves(system: System) -> CompiledSystem:
    """Do the same for the solver that gives maxima and areas too; `solve` is its solve_curves."""
    return _compiled(system, generated(system, curves=True), "solve_curves")


@lru_cache(maxsize=64)
@without_collection()
def compile_taped(system: System) -> Taped:
    """Do the same for the solver with a tape, and the sweep."""
    source = generated(system, tape=True)
    module = load_module(source)
    return Taped(source_hash(source), module.solve_with_tape, module.sweep)


def _compiled(system: System, source: str, function: str) -> CompiledSystem:
    explicit = function == "solve" and not system.stiff
    module = load_module(source)
    swept = explicit and not system.doses and module.N_SENS > AS_CHEAP_AS_A_SWEEP
    return CompiledSystem(
        parameters=(*system.parameters, *system.inputs),
        cell_types=tuple(system.cell_types),
        source_hash=source_hash(source),
        solve=getattr(module, function),
        implicit=functools.partial(_implicit_solve, system) if explicit else None,
        taped=functools.partial(compile_taped, system) if swept else None,
    )


def _implicit_solve(system: System) -> Callable[..., Any]:
    return compile_implicit(system).solve


def load_solver(key: str, function: str = "solve") -> Callable[..., Any]:
    """Return the solver with this hash from the cache folder: its equations are not at hand.

    Parameters
    ----------
    key : str
        Hash of its source.
    function : str
        ``"solve"``, ``"solve_curves"`` for the solver that gives maxima and areas too, or
        ``"solve_with_tape"`` and ``"sweep"``.

    Raises
    ------
    SolverError
        Where this machine never compiled it.
    """
    source = kept_text("solver", key)
    if source is None:
        raise SolverError(
            f"the solver {key} is not in {cache_folder()}; load the model that it belongs to, "
            "with carkinetics.load_model and compile_system"
        )
    return getattr(load_module(source), function)
