"""Compile a PyMC model to machine code that outlives the process.

nutpie calls C functions: one for the log density with its gradient, one for the values to keep.
Those that it makes itself stay in the process, are made a second time for calls from Python, and
consist of hundreds of functions that numba compiles one by one. Here each is one program, kept on
disk beside the solvers, and serves Python as well. A record tells the next process which programs
belong to a model, so that it neither differentiates nor rewrites it again.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from nutpie.compile_pymc import CompiledPyMCModel, _prepare_dims_and_coords, make_user_data

from carkinetics.inference.c_functions import VERSIONS, load_c_function, make_c_function
from carkinetics.inference.flat_model import FlatModel
from carkinetics.solve.collection import without_collection
from carkinetics.solve.kept import keep_text, kept_text

# Answers of the C functions as nutpie reads them: 1 raised, 3 and 4 not finite.
_RAISED = 1
_RECORD = "record"
# C functions of density and values, and the data that they read.
_Functions = tuple[Any, Any, list[Any]]


@without_collection()
def compile_model(pymc_model: pm.Model, names: Sequence[str]) -> CompiledPyMCModel:
    """Compile the log density of a model, or load what an earlier process compiled.

    Parameters
    ----------
    pymc_model : pm.Model
        The model; its data stay exchangeable.
    names : sequence of str
        Variables to keep of every draw.

    Returns
    -------
    CompiledPyMCModel
        As nutpie's own function would give it.
    """
    flat = FlatModel(pymc_model, names)
    # Where each variable was made is written down for error messages, at a quarter of the time.
    with pytensor.config.change_flags(traceback__limit=0, traceback__compile_limit=0):
        key = _record_key(flat)
        found = None if key is None else _recorded(flat, key)
        if found is None:
            found = _compiled(flat, key)
    density, values, shared = found
    keys = {variable: f"data_{i}" for i, variable in enumerate(shared)}
    data = {keys[v]: np.array(v.get_value(), order="C", copy=True) for v in shared}
    for value in data.values():
        value.flags.writeable = False
    outputs = flat.outputs
    shapes = tuple(zip(*[(name, *place) for name, place in outputs.items()], strict=True))
    dims, coords = _prepare_dims_and_coords(pymc_model, shapes, flat.transformed)
    return CompiledPyMCModel(
        _n_dim=flat.size,
        dims=dims,
        _coords=coords,
        _shapes={name: shape for name, (_, shape) in outputs.items()},
        compiled_logp_func=density,
        compiled_expand_func=values,
        initial_point_func=_first_point(flat),
        shared_data=data,
        shared_var_keys=keys,
        user_data=make_user_data(keys, data),
        n_expanded=_length(flat),
        shape_info=shapes,
        logp_func=None,
        expand_func=None,
        reparameterized_names=flat.transformed,
    )


def _compiled(flat: FlatModel, key: str | None) -> _Functions:
    """Compile both functions, and leave a record of them."""
    density, values = flat.density(), flat.values()
    shared = list(dict.fromkeys([*density.get_shared(), *values.get_shared()]))
    made = {
        kind: make_c_function(kind, function, shared, flat.size, _length(flat))
        for kind, function in (("log_density", density), ("values", values))
    }
    code = {kind: place for kind, (_, place) in made.items()}
    data = [variable.name for variable in shared]
    if key is not None and None not in code.values() and _by_name(flat, data) is not None:
        keep_text(_RECORD, key, json.dumps(code | {"data": data}))
    return made["log_density"][0], made["values"][0], shared


def _recorded(flat: FlatModel, key: str) -> _Functions | None:
    """Load both functions by their record; None where there is none, or code is missing."""
    text = kept_text(_RECORD, key)
    if text is None:
        return None
    record = json.loads(text)
    shared = _by_name(flat, record["data"])
    density, values = (load_c_function(kind, record[kind]) for kind in ("log_density", "values"))
    if shared is None or density is None or values is None:
        return None
    return density, values, shared


def _record_key(flat: FlatModel) -> str | None:
    """Return a hash of the model, of how it is kept and of all packages that take part."""
    told = flat.told()
    if told is None:
        return None
    versions = [f"{name} {version(name)}" for name in VERSIONS]
    parts = [told, *flat.outputs, *versions, _own_code()]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def _own_code() -> str:
    """Return a hash of the code behind the operations: a version is seldom raised by who edits."""
    here = Path(__file__).parent
    files = sorted(here.parent.glob("graphcode/*.py")) + sorted(here.parent.glob("solve/*.py"))
    files += [*sorted(here.glob("*.py")), here.parent / "student_t.py"]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _by_name(flat: FlatModel, names: Sequence[str]) -> list[Any] | None:
    """Return the data of a model by their names; None where a name is not that of one."""
    found = [[v for v in flat.model.data_vars if v.name == name] for name in names]
    return [one[0] for one in found] if all(len(one) == 1 for one in found) else None


def _length(flat: FlatModel) -> int:
    return max(place.stop for place, _ in flat.outputs.values())


def _first_point(flat: FlatModel) -> Callable[[Any], np.ndarray]:
    def first(seed: Any = None) -> np.ndarray:
        point = flat.model.initial_point(seed)
        return np.concatenate([np.ravel(point[name]).astype(float) for name in flat.places])

    return first


def log_density(compiled: CompiledPyMCModel, point: np.ndarray) -> tuple[float, np.ndarray]:
    """Call the compiled log density, shape of the point and of the gradient (n_dim,).

    Minus infinity and NaN where it raised; ValueError for a point of another size.
    """
    point = np.ascontiguousarray(point, np.float64)
    value, gradient = np.empty(1), np.empty(point.size)
    address = compiled.compiled_logp_func.address
    places = (point.ctypes.data, gradient.ctypes.data, value.ctypes.data)
    code = _of_density(address)(point.size, *places, compiled.user_data.ctypes.data)
    if code == _RAISED:  # data of other sizes, or an operation that is called and raised
        return -np.inf, np.full(point.size, np.nan)
    if code < 0:
        raise ValueError(f"a point of {point.size} coordinates; it needs {compiled.n_dim}")
    return float(value[0]), gradient


def kept_values(compiled: CompiledPyMCModel, point: np.ndarray) -> np.ndarray:
    """Call the compiled function of the values that are kept, shape (n_expanded,)."""
    point = np.ascontiguousarray(point, np.float64)
    found = np.empty(compiled.n_expanded)
    call = _of_values(compiled.compiled_expand_func.address)
    places = (point.ctypes.data, found.ctypes.data, compiled.user_data.ctypes.data)
    if call(point.size, found.size, *places) != 0:
        raise ValueError(f"no values at {point}")
    return found


@lru_cache(maxsize=64)
def _of_density(address: int) -> Any:
    pointers = [ctypes.c_void_p] * 4
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *pointers)(address)


@lru_cache(maxsize=64)
def _of_values(address: int) -> Any:
    sizes, pointers = [ctypes.c_uint64] * 2, [ctypes.c_void_p] * 3
    return ctypes.CFUNCTYPE(ctypes.c_int64, *sizes, *pointers)(address)
