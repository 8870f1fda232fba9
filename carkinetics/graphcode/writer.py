"""The text of a program while it is being written: stretches of plain code, and calls between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carkinetics.graphcode.views import View, number, whole_array


@dataclass(eq=False)
class Stretch:
    """Lines of plain code.

    Attributes
    ----------
    lines : list of str
        Statements.
    arrays : list of View
        Arrays that are made before the first line, filled by the lines.
    """

    lines: list[str] = field(default_factory=list)
    arrays: list[View] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a function that numba compiles.

    Attributes
    ----------
    function : str
        Its name in `Writer.functions`.
    arguments : list of View
        Numbers, and whole arrays.
    scalars : list of bool
        Which arguments are handed over as plain numbers, not as arrays without dimensions.
    results : list of View
        Numbers, and whole arrays whose sizes the results tell.
    """

    function: str
    arguments: list[View]
    scalars: list[bool]
    results: list[View]


class Writer:
    """A program so far.

    Attributes
    ----------
    pieces : list of Stretch or Call
        In the order of running.
    sizes : dict of str to str
        Names of sizes, and the expressions that give them, of sizes that come before.
    constants : dict of str to array
        Flat arrays that the code names.
    functions : dict of str to callable
        Functions that calls name.
    keys : list of str or None
        What tells each of them apart from other functions; None where nothing does.
    """

    def __init__(self) -> None:
        self.pieces: list[Stretch | Call] = [Stretch()]
        self.sizes: dict[str, str] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self.keys: list[str | None] = []
        self._given: set[str] = set()
        self._depth = 0
        self._names = 0
        self._same: set[tuple[str, str]] = set()

    def add(self, line: str) -> None:
        """Add a line at the present depth."""
        self._stretch().lines.append("    " * self._depth + line)

    def fresh(self, kind: str) -> str:
        """Make a name that nothing has yet."""
        self._names += 1
        return f"{kind}{self._names}"

    def let(self, expression: str) -> str:
        """Give the number of an expression a name; a name keeps its own."""
        if expression.isidentifier():
            return expression
        name = self.fresh("x")
        self.add(f"{name} = {expression}")
        return name

    def given_size(self, name: str) -> str:
        """Take the name of a size that somebody else knows."""
        self._given.add(name)
        return name

    def size(self, expression: str) -> str:
        """Give a size a name; its expression may contain sizes only."""
        if self.is_size(expression):
            return expression
        for name, known in self.sizes.items():
            if known == expression:
                return name
        name = self.fresh("n")
        self.sizes[name] = expression
        return name

    def is_size(self, text: str) -> bool:
        """Whether a text is a whole number or the name of a size."""
        return text.isdigit() or text in self.sizes or text in self._given

    @contextmanager
    def inside(self, line: str) -> Iterator[None]:
        """Write a block under a line."""
        self.add(line)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def loop(self, size: str) -> Iterator[str]:
        """Write a loop over a dimension and give the name of its index; none over one element."""
        if size == "1":
            yield "0"
            return
        index = self.fresh("i")
        with self.inside(f"for {index} in range({size}):"):
            yield index

    @contextmanager
    def loops(self, shape: Sequence[str]) -> Iterator[list[str]]:
        """Write nested loops over all dimensions and give the names of their indices."""
        if not shape:
            yield []
            return
        with self.loop(shape[0]) as index, self.loops(shape[1:]) as further:
            yield [index, *further]

    def array(self, shape: Sequence[str], dtype: str) -> View:
        """Make a new array and give it as a tensor."""
        made = whole_array(self.fresh("t"), dtype, [self.size(size) for size in shape])
        self._stretch().arrays.append(made)
        return made

    def call(
        self,
        function: Callable[..., Any],
        key: str | None,
        arguments: Sequence[View],
        scalars: Sequence[bool],
        results: Sequence[View],
    ) -> None:
        """Add a call."""
        name = f"f{len(self.functions)}"
        self.functions[name] = function
        self.keys.append(key)
        self.pieces.append(Call(name, list(arguments), list(scalars), list(results)))

    def constant(self, value: Any, dtype: str) -> View:
        """Give a constant as a tensor."""
        value = np.asarray(value)
        if value.ndim == 0:
            return number(literal(value.item(), dtype), dtype)
        name = self.fresh("k")
        self.constants[name] = np.ascontiguousarray(value).ravel()
        return whole_array(name, dtype, [str(n) for n in value.shape])

    def check_same(self, one: str, other: str) -> None:
        """Let the code stop where two sizes differ that have to be equal."""
        if one == other or (one, other) in self._same:
            return
        self._same |= {(one, other), (other, one)}
        self.stop_if(f"{one} != {other}")

    def stop_if(self, condition: str) -> None:
        """Let the code stop under a condition."""
        with self.inside(f"if {condition}:"):
            self.add("raise ValueError")

    def _stretch(self) -> Stretch:
        if isinstance(self.pieces[-1], Call):
            self.pieces.append(Stretch())
        last = self.pieces[-1]
        assert isinstance(last, Stretch)
        return last


def literal(value: Any, dtype: str) -> str:
    """Write a number as code."""
    if dtype == "bool":
        return str(bool(value))
    if not dtype.startswith("float"):
        return str(int(value))
    if np.isnan(value) or np.isinf(value):
        return {"nan": "nan", "inf": "inf", "-inf": "(-inf)"}[str(float(value))]
    text = repr(float(value))
    return f"({text})" if value < 0 else text
