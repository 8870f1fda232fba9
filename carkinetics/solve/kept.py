"""Generated modules and texts on disk: written once, imported by name, safe to share.

A source is kept in a cache folder under its own hash, so that numba's compile cache, which stands
beside it, survives the process; two processes that write the same file at once write the same bytes
and rename them into place.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from carkinetics.solve.codegen import source_hash


def cache_folder() -> Path:
    """Return the folder of generated solvers; CARKINETICS_CACHE overrides the user's cache."""
    chosen = os.environ.get("CARKINETICS_CACHE")
    if chosen:
        return Path(chosen)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "carkinetics"


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
