"""C functions around printed programs, with the signatures that nutpie calls.

Each stands in a file of the cache folder that is named by a hash of all that it is made from:
numba keeps its machine code beside it. The next process needs neither the graph nor its text.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numba
import pytensor
from numba import types
from numba.core.errors import NumbaError

from carkinetics.graphcode import Program, print_program
from carkinetics.solve.codegen import source_hash
from carkinetics.solve.kept import kept_text, load_module
from carkinetics.solve.optimize_once import optimize_once

# What machine code depends on besides the graph, whose key names operations and not their code.
VERSIONS = ("carkinetics", "llvmlite", "numba", "nutpie", "pymc", "pytensor")
_DOUBLES = types.CPointer(types.double)
_SIGNATURES = {
    "log_density": types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.voidptr),
    "values": types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr),
}
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
from numba import carray
from carkinetics.graphcode.driver import address, with_words
from carkinetics.solve.written import compiled
"""


def make_c_function(
    kind: str, function: Any, shared: Sequence[Any], n: int, kept: int
) -> tuple[Any, str | None]:
    """Compile a C function around a PyTensor function, or load it.

    Parameters
    ----------
    kind : str
        ``"log_density"`` or ``"values"``.
    function : pytensor Function
        Of the point alone, its graph rewritten for plain operations.
    shared : sequence of shared variables
        All data, in the order of their words.
    n, kept : int
        Size of the point, and of the values that are kept.

    Returns
    -------
    function : numba CFunc
    key : str or None
        Under which `load_c_function` finds it; None where it must not outlive the process.
    """
    words = _words(function.get_shared(), shared)
    # With its cache PyTensor tells operations apart that it would not tell apart without.
    with pytensor.config.change_flags(numba__cache=True):
        program = print_program(function.maker.fgraph, "program", words)
    source = _source(kind, program, len(words), n, kept)
    module = load_module(source, "density")
    module.__dict__.update(program.names)
    keep = program.key is not None
    return _compiled(module, kind, keep), source_hash(source) if keep else None


def load_c_function(kind: str, key: str) -> Any | None:
    """Return a C function that an earlier process has compiled, None where its code is gone."""
    source = kept_text("density", key)
    if source is None:
        return None
    try:
        return _compiled(load_module(source, "density"), kind, keep=True)
    except NumbaError:  # the text is there, its machine code is not
        load_module.cache_clear()  # numba remembers in the module that it failed
        return None


def _compiled(module: ModuleType, kind: str, keep: bool) -> Any:
    with optimize_once(), warnings.catch_warnings():
        # A graph with large constants: it works, and is compiled again in the next process.
        warnings.filterwarnings("ignore", "Cannot cache compiled function", numba.NumbaWarning)
        return numba.cfunc(_SIGNATURES[kind], cache=keep)(getattr(module, kind))


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
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    comment = "\n".join(
        f"# {line}" for line in [versions, str(program.key), *program.plain.split("\n")]
    )
    return f"{comment}\n{_IMPORTS}{program.text}\n{body}"
