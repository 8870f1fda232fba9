"""The source of a solver, kept for the next process: it need not derive anything again."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy

from carkinetics import equations
from carkinetics.solve.codegen import generate, source_hash
from carkinetics.solve.kept import keep_text, kept_text

if TYPE_CHECKING:
    from carkinetics.model import System


def generated(system: System, **options: bool) -> str:
    """Generate the source of a solver, or return what an earlier process generated.

    Parameters
    ----------
    system : System
        Expanded scalar equations of a model.
    **options
        See `carkinetics.solve.codegen.generate`.
    """
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
    folders = Path(__file__).parent, Path(equations.__file__).parent
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return source_hash("".join(file.read_text(encoding="utf-8") for file in files))
