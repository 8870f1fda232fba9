"""Generated solver modules on disk: written once per model, imported by name, safe to share.

The source is kept in a cache folder under its own hash, so that numba's compile cache, which
stands beside it, survives the process; two processes that write the same file at once write the
same bytes and rename them into place.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.errors import SolverOutcome
from carkinetics.solve.codegen import generate, source_hash

if TYPE_CHECKING:
    from carkinetics.model import System

DEFAULT_TOLERANCE = 1e-5
MAX_STEPS = 5_000

OUTCOMES = (SolverOutcome.SOLVED, SolverOutcome.TOO_MANY_STEPS, SolverOutcome.NOT_FINITE)


@dataclass(frozen=True)
class CompiledSystem:
    """A system with its compiled solver.

    Attributes
    ----------
    parameters : tuple of str
        Expanded parameter names, in the order of the solver's columns.
    cell_types : tuple of str
        Columns of the levels.
    source_hash : str
        Hash of the generated source, the identity of the solver in caches.
    solve : callable
        The compiled function; see ``stepper_template.solve``.
    """

    parameters: tuple[str, ...]
    cell_types: tuple[str, ...]
    source_hash: str
    solve: Callable[..., Any]


@dataclass(frozen=True)
class Solution:
    """Log levels of many patients at many days.

    Attributes
    ----------
    log_level, slope : array, shape (row, cell_type)
        Natural log of the latent level and its time derivative [1/day]; NaN where failed.
    jacobian : array, shape (row, cell_type, parameter) or (0, ...)
        Derivatives of the log level.
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
        Days from the infusion, rising within a patient [day].
    tolerance : float
        Local error per step, relative to each state.
    max_steps : int
        Steps allowed before a solve is called a failure.
    sensitivities : bool
        Whether to return the derivatives by the parameters.

    Returns
    -------
    Solution
    """
    level, slope, jacobian, outcome, steps = compiled.solve(
        np.ascontiguousarray(params, dtype=np.float64),
        np.ascontiguousarray(offsets, dtype=np.int64),
        np.ascontiguousarray(days, dtype=np.float64),
        tolerance,
        max_steps,
        sensitivities,
    )
    return Solution(level, slope, jacobian, tuple(OUTCOMES[code] for code in outcome), steps)


def compile_system(system: System) -> CompiledSystem:
    """Generate and load the solver of a system; a second call with the same equations is free."""
    source = generate(system)
    return CompiledSystem(
        parameters=tuple(system.parameters),
        cell_types=tuple(system.cell_types),
        source_hash=source_hash(source),
        solve=_load(source_hash(source), source).solve,
    )


def cache_folder() -> Path:
    """Return the folder of generated solvers; CARKINETICS_CACHE overrides the user's cache."""
    chosen = os.environ.get("CARKINETICS_CACHE")
    if chosen:
        return Path(chosen)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "carkinetics"


@lru_cache(maxsize=64)
def _load(key: str, source: str) -> ModuleType:
    name = f"carkinetics_solver_{key}"
    path = _write(name, source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Numba finds a cached function again through the module's name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _write(name: str, source: str) -> Path:
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return _write_whole(folder / f"{name}.py", source)
    except OSError:
        # A read-only home only costs the reuse between processes.
        return _write_whole(Path(tempfile.mkdtemp(prefix="carkinetics-")) / f"{name}.py", source)


def _write_whole(path: Path, source: str) -> Path:
    if path.exists() and path.read_text(encoding="utf-8") == source:
        return path
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(source)
    os.replace(temporary, path)
    return path
