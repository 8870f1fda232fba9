"""Compile a PyMC model to machine code that outlives the process.

nutpie calls C functions: one for the log density with its gradient, one for the values to keep.
Those that it makes itself stay in the process, are made a second time for calls from Python, and
contain functions that LLVM has optimized once for every level above them. Here each C function is
kept on disk beside the solvers, under a hash of all that it is made from, serves Python as well,
and is optimized once, as a whole.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numba
import numpy as np
import pymc as pm
import pytensor
from numba import types
from numba.core.caching import NullCache
from nutpie.compile_pymc import (
    CompiledPyMCModel,
    _make_functions,
    _prepare_dims_and_coords,
    make_user_data,
)
from pymc.initial_point import make_initial_point_fn
from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS
from pytensor.link.numba.dispatch import basic

from carkinetics.graphcode import Program, print_program
from carkinetics.solve.compiled import load_module
from carkinetics.solve.optimize_once import optimize_once

# What machine code depends on besides the graph, whose key names operations and not their code.
_VERSIONS = ("carkinetics", "llvmlite", "numba", "nutpie", "pymc", "pytensor")
_DOUBLES = types.CPointer(types.double)
_SIGNATURES = {
    "log_density": types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.voidptr),
    "values": types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr),
}
# Answers of the C functions as nutpie reads them: 1 raised, 3 and 4 not finite.
_RAISED = 1
# Compiled code can tell its C caller only a number, and numba knows no narrower `except`.
# Every word of the data is handed on; what stands where, the program knows.
_SOURCES = {
    "log_density": """
def log_density(dim, point_, gradient_, value_, data_):
    if dim != {n}:
        return -1
    try:
        gradient, value = carray(gradient_, ({n},)), carray(value_, (1,))
        table = with_words({size}, carray(data_, ({words},), np.int64))
        table[{point}], table[{length}] = address(carray(point_, ({n},))), {n}
        table[{first}], table[{second}] = address(value), address(gradient)
        if program(table) != 0:
            return 1
        for i in range({n}):
            if not np.isfinite(gradient[i]):
                return 3
        if not np.isfinite(value[0]):
            return 4
    except Exception:
        return 1
    return 0
""",
    "values": """
def values(dim, size, point_, values_, data_):
    if dim != {n} or size != {kept}:
        return -1
    try:
        table = with_words({size}, carray(data_, ({words},), np.int64))
        table[{point}], table[{length}] = address(carray(point_, ({n},))), {n}
        table[{first}] = address(carray(values_, ({kept},)))
        if program(table) != 0:
            return -2
    except Exception:
        return -2
    return 0
""",
}
_IMPORTS = """
import numpy as np
from numba import carray, njit
from carkinetics.graphcode.driver import address, with_words
"""
# The rewriting of PyTensor for plain operations: each result in an array of its own.
_MODE = Mode(
    linker="py",
    optimizer=RewriteDatabaseQuery(
        include=["fast_run"], exclude=["inplace", "BlasOpt", "scan", "cxx_only"]
    ),
)


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
    initial = make_initial_point_fn(
        model=pymc_model, jitter_rvs=set(pymc_model.free_RVs), return_transformed=True
    )
    n, size, density, values, first, shapes, transformed = _make_functions(
        pymc_model,
        mode=_MODE,
        compute_grad=True,
        join_expanded=True,
        pymc_initial_point_fn=initial,
        var_names=names,
    )
    shared = list(dict.fromkeys([*density.get_shared(), *values.get_shared()]))
    keys = {variable: f"data_{i}" for i, variable in enumerate(shared)}
    data = {keys[v]: np.array(v.get_value(), order="C", copy=True) for v in shared}
    for value in data.values():
        value.flags.writeable = False
    dims, coords = _prepare_dims_and_coords(pymc_model, shapes, transformed)
    return CompiledPyMCModel(
        _n_dim=n,
        dims=dims,
        _coords=coords,
        _shapes={name: tuple(shape) for name, _, shape in zip(*shapes, strict=True)},
        compiled_logp_func=_c_function("log_density", density, shared, n, size),
        compiled_expand_func=_c_function("values", values, shared, n, size),
        initial_point_func=first,
        shared_data=data,
        shared_var_keys=keys,
        user_data=make_user_data(keys, data),
        n_expanded=size,
        shape_info=shapes,
        logp_func=density,
        expand_func=values,
        reparameterized_names=transformed,
    )


def log_density(compiled: CompiledPyMCModel, point: np.ndarray) -> tuple[float, np.ndarray]:
    """Call the compiled log density, shape of the point and of the gradient (n_dim,).

    Minus infinity and NaN where it raised; ValueError for a point of another size.
    """
    point = np.ascontiguousarray(point, np.float64)
    value, gradient = np.empty(1), np.empty(point.size)
    address = compiled.compiled_logp_func.address
    places = (point.ctypes.data, gradient.ctypes.data, value.ctypes.data)
    code = _of_density(address)(point.size, *places, compiled.user_data.ctypes.data)
    if code == _RAISED:  # a division by an SD that has shrunk to nothing, far from any mode
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


def _c_function(kind: str, function: Any, shared: Sequence[Any], n: int, kept: int) -> Any:
    """Make or load the C function around a PyTensor function."""
    words = _words(function.get_shared(), shared)
    with pytensor.config.change_flags(numba__cache=True), _equal_functions_once():
        program = print_program(function.maker.fgraph, "program", words)
    module = load_module(_source(kind, program, len(words), n, kept), "density")
    module.__dict__.update(program.names)
    with optimize_once(), warnings.catch_warnings():
        # A graph with large constants: it works, and is compiled again in the next process.
        warnings.filterwarnings("ignore", "Cannot cache compiled function", numba.NumbaWarning)
        keep = program.key is not None
        return numba.cfunc(_SIGNATURES[kind], cache=keep)(getattr(module, kind))


class _Remembered(NullCache):
    """What was compiled for a key of PyTensor and a signature, for the time of one compilation."""

    def __init__(self, key: str, known: dict[tuple[str, Any], Any]) -> None:
        self._key, self._known = key, known

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        known = self._known.get((self._key, sig))
        # Numba times every result once; a result without metadata is one that was loaded.
        return None if known is None else known._replace(metadata=None)

    def save_overload(self, sig: Any, cres: Any) -> None:
        self._known[self._key, sig] = cres


@contextmanager
def _equal_functions_once() -> Iterator[None]:
    """Let PyTensor compile equal functions once, and keep none of them on disk.

    Two hundred products are one function. PyTensor finds that through its files, for which every
    function is optimized and made machine code.
    """
    usual = basic.numba_njit
    known: dict[tuple[str, Any], Any] = {}

    def numba_njit(*functions: Any, **options: Any) -> Any:
        keys = [CACHED_SRC_FUNCTIONS.get(function) for function in functions]
        if not options.get("cache") or keys in ([], [None]):
            return usual(*functions, **options)
        made = usual(*functions, **options | {"cache": False})
        made._cache = _Remembered(keys[0], known)
        return made

    basic.numba_njit = numba_njit
    try:
        yield
    finally:
        basic.numba_njit = usual


def _words(mine: Sequence[Any], shared: Sequence[Any]) -> list[str]:
    """Name the words of `make_user_data`: addresses of all arrays, their lengths, their shapes."""
    places = {variable: k for k, variable in enumerate(mine, start=1)}
    names = [places.get(variable) for variable in shared]
    addresses = [f"unused_{i}" if k is None else f"a{k}" for i, k in enumerate(names)]
    lengths = [f"length_{i}" for i in range(len(shared))]
    shapes = [
        f"unused_{i}_{d}" if k is None else f"a{k}_{d}"
        for i, (k, variable) in enumerate(zip(names, shared, strict=True))
        for d in range(variable.ndim)
    ]
    return [*addresses, *lengths, *shapes]


def _source(kind: str, program: Program, words: int, n: int, kept: int) -> str:
    """Write the module of a C function: what it computes as a comment, and what numba compiles."""
    body = _SOURCES[kind].format(
        n=n,
        kept=kept,
        words=words,
        size=program.size,
        # The last place, which nobody reads, for what the program does not ask for.
        point=program.places.get("a0", -1),
        length=program.places.get("a0_0", -1),
        first=program.places["out0"],
        second=program.places.get("out1"),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    comment = "\n".join(
        f"# {line}" for line in [versions, str(program.key), *program.plain.split("\n")]
    )
    return f"{comment}\n{_IMPORTS}{program.text}\n{body}"
