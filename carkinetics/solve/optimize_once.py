"""Let LLVM work once for each piece of machine code that is kept.

Numba optimizes every function when it has compiled it, makes machine code of it, and does both
again with each function that calls it, since a callee is copied into its callers. With many small
functions on many levels most of that work is for copies that nobody runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event
from numba.core.caching import NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

from carkinetics.solve.collection import without_collection


class _Joined(JITCodeLibrary):
    """Code that its callers copy: left as it is until somebody asks for its address."""

    _has_address = False

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """What makes machine code; before there is any, what remembers the environments."""
        return self._codegen if self._has_address else _LEVELS

    def get_pointer_to_function(self, name: str) -> int:
        """Give the address of a function, 0 where it is not in this code."""
        self._ensure_finalized()
        if not self._has_address:
            if name not in {function.name for function in self.get_defined_functions()}:
                return 0
            self._has_address = True
            super()._optimize_final_module()
            super()._finalize_final_module()
        return int(super().get_pointer_to_function(name))

    @classmethod
    def _unserialize(cls, codegen: Any, state: Any) -> Any:
        # What comes from the disk has its machine code with it.
        codegen._library_class = JITCodeLibrary
        try:
            return JITCodeLibrary._unserialize(codegen, state)
        finally:
            codegen._library_class = cls


class _Levels(event.Listener):
    """Choose what becomes of the function whose compilation starts."""

    def __init__(self) -> None:
        self.mine = threading.local()

    def on_start(self, event: Any) -> None:
        """Only join what is not kept on disk itself."""
        if getattr(self.mine, "active", False):
            codegen = cpu_target.target_context.codegen()
            self.mine.before.append(codegen._library_class)
            # What is called back from Python has no cache at all, and needs an address.
            cache = getattr(event.data["dispatcher"], "_cache", None)
            kept = not isinstance(cache, NullCache)
            codegen._library_class = JITCodeLibrary if kept else _Joined

    def on_end(self, event: Any) -> None:
        """Go back to what its caller is."""
        if getattr(self.mine, "active", False):
            cpu_target.target_context.codegen()._library_class = self.mine.before.pop()

    def set_env(self, name: str, environment: Any) -> None:
        """Remember an environment, the globals of a function, until its code has an address."""
        self.mine.environments.append((name, environment))

    def set_environments(self) -> None:
        """Hand over what was remembered."""
        codegen = cpu_target.target_context.codegen()
        for name, environment in self.mine.environments:
            if codegen._engine.get_global_value_address(name):
                codegen.set_env(name, environment)


_LEVELS = _Levels()
# For good: a listener that comes and goes in one thread can hide an event from another's.
event.register("numba:compile", _LEVELS)


@contextmanager
def optimize_once() -> Iterator[None]:
    """Compile what is called from here with one optimization of every function that is kept.

    Functions with ``cache=True`` and C functions are optimized fully, with all that they call.
    Others are only joined to their callers. Numba holds its compiler lock while it compiles, so
    that other threads see nothing of it.
    """
    mine = _LEVELS.mine
    if getattr(mine, "active", False):
        yield
        return
    mine.active, mine.before, mine.environments = True, [], []
    try:
        with without_collection():
            yield
    finally:
        mine.active = False
        _LEVELS.set_environments()
