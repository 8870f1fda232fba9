"""Generated solver modules on disk: written once per model, imported by name, safe to share.

The source is kept in a cache folder under its own hash, so that numba's compile cache, which
stands beside it, survives the process; two processes that write the same file at once write the
same bytes and rename them into place.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from carkinetics.errors import SolverError, SolverOutcome
from carkinetics.solve.codegen import generate, source_hash
from carkinetics.solve.collection import without_collection
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
    return _compiled(system, _source(system), "solve")


@lru_cache(maxsize=64)
@without_collection()
def compile_implicit(system: System) -> CompiledSystem:
    """Do the same for the implicit solver, whatever the system says of itself."""
    return _compiled(system, _source(system, stiff=True), "solve")


@lru_cache(maxsize=64)
@without_collection()
def compile_curves(system: System) -> CompiledSystem:
    """Do the same for the solver that gives maxima and areas too; `solve` is its solve_curves."""
    return _compiled(system, _source(system, curves=True), "solve_curves")


def _source(system: System, **options: bool) -> str:
    """Generate the source of a solver, or return what an earlier process generated."""
    parts = [_told(system), str(options), _own_code(), sympy.__version__]
    key = source_hash("\n".join(parts))
    try:
        return str(json.loads(kept_text("source", key) or ""))
    except ValueError:  # there is none, or half of one
        source = generate(system, **options)
    keep_text("source", key, json.dumps(source))
    return source


def _told(value: Any) -> str:
    """Write down a system with every digit, and whatever is part of it."""
    if isinstance(value, sympy.Basic):
        return str(sympy.srepr(value))
    if dataclasses.is_dataclass(value):
        value = {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, tuple):
        return f"({', '.join(map(_told, value))})"
    return repr(value)


@functools.cache
def _own_code() -> str:
    """Return a hash of what generates: a version is seldom raised by who edits."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return source_hash("".join(file.read_text(encoding="utf-8") for file in files))


@lru_cache(maxsize=64)
def compile_taped(system: System) -> Taped:
    """Do the same for the solver with a tape, and the sweep."""
    source = generate(system, tape=True)
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


def cache_folder() -> Path:
    """Return the folder of generated solvers; CARKINETICS_CACHE overrides the user's cache."""
    chosen = os.environ.get("CARKINETICS_CACHE")
    if chosen:
        return Path(chosen)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "carkinetics"


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
    path = cache_folder() / f"{_name('solver', key)}.py"
    try:
        return getattr(load_module(path.read_text(encoding="utf-8")), function)
    except OSError as error:
        raise SolverError(
            f"the solver {key} is not in {cache_folder()}; load the model that it belongs to, "
            "with carkinetics.load_model and compile_system"
        ) from error


def _name(kind: str, key: str) -> str:
    return f"carkinetics_{kind}_{key}"


@lru_cache(maxsize=64)
def load_module(source: str, kind: str = "solver") -> ModuleType:
    """Import generated source from the cache folder, where numba keeps its machine code too.

    Parameters
    ----------
    source : str
        Python source.
    kind : str
        What it is, for the name of its file.

    Returns
    -------
    module
        The same one for the same source.
    """
    name = _name(kind, source_hash(source))
    path = _write(f"{name}.py", source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Numba finds a cached function again through the module's name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def keep_text(kind: str, key: str, text: str) -> None:
    """Keep a text in the cache folder, whole or not at all."""
    _write(f"{_name(kind, key)}.json", text)


def kept_text(kind: str, key: str) -> str | None:
    """Return a text of the cache folder, or generated source; None where there is none."""
    for ending in ("py", "json"):
        try:
            return (cache_folder() / f"{_name(kind, key)}.{ending}").read_text(encoding="utf-8")
        except OSError:
            continue
    return None


def _write(name: str, source: str) -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return _write_whole(folder / name, source)
    except OSError:
        pass
    # A folder that cannot be written only costs the reuse between processes.
    return _write_whole(_temporary_folder() / name, source)


@lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="carkinetics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _write_whole(path: Path, source: str) -> Path:
    """Write a file that is either absent or complete, and never write the same text twice.

    Numba ties its machine code to the file's time of change: a second process that replaced the
    file by an equal one would throw away the work of the first.
    """
    if _holds(path, source):
        return path
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(source)
    try:
        os.link(temporary, path)
    except OSError:
        # Another process was faster, or this file system has no hard links.
        if not _holds(path, source):
            os.replace(temporary, path)
            return path
    os.unlink(temporary)
    return path


def _holds(path: Path, source: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == source
    except (OSError, UnicodeDecodeError):
        return False
