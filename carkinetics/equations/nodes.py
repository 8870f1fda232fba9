"""Checked pieces of equations, and how a place in an equation's text is shown."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_NAME = 60
FUNCTIONS = {
    **{"exp": 1, "log": 1, "sqrt": 1, "where": 3},
    **{"total": 1, "logistic": 1, "softplus": 1, "hill": 3, "min": 2, "max": 2},
}
TIME = "t"
COMPARISONS = ("<", "<=", ">", ">=")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class EquationFault(Exception):
    """What is wrong with an equation, and where in its text."""

    def __init__(self, what: str, place: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.place = place


class UnitFault(EquationFault):
    """Units in an equation do not agree."""


@dataclass(frozen=True)
class Node:
    """One checked piece of an expression.

    Parameters
    ----------
    kind : str
        ``"number"``, ``"name"``, ``"negate"``, an operator, a comparison or a function's name.
    start, end : int
        Its place in the text.
    children : tuple of Node
        Operands or arguments.
    name : str
        The name, where ``kind`` is ``"name"``.
    value : float
        The number, where ``kind`` is ``"number"``.
    """

    kind: str
    start: int
    end: int
    children: tuple[Node, ...] = ()
    name: str = ""
    value: float = math.nan

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, without recursion."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children)


@dataclass(frozen=True)
class Expression:
    """A checked expression together with its text."""

    text: str
    root: Node

    @property
    def names(self) -> tuple[Node, ...]:
        """The nodes that are names, in the order of the text."""
        found = [node for node in self.root.walk() if node.kind == "name"]
        return tuple(sorted(found, key=lambda node: node.start))

    def part(self, node: Node) -> str:
        """Return the text of one node."""
        return self.text[node.start : node.end]


def point_at(text: str, place: int | None) -> str:
    """Return up to 72 characters of the text around a place, with a caret under it.

    Examples
    --------
    >>> print(point_at("mu * E - gama * M", 9))
        mu * E - gama * M
                 ^
    """
    line = re.sub(r"\s", " ", text)
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    if place is None:
        return "    " + (line if len(line) <= 72 else line[:69] + "...")
    first = max(0, min(place - 36, len(line) - 72))
    return f"    {line[first : first + 72]}\n    {' ' * (place - first)}^"


def name_fault(name: str) -> str | None:
    """Say why a name cannot be declared; None where it can."""
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} characters; at most {MAX_NAME} are allowed"
    if not _NAME.match(name):
        return "a name starts with a letter and holds only the letters a-z, A-Z, digits and _"
    if name == TIME:
        return "'t' is the time in equations; choose another name"
    if name in FUNCTIONS:
        return f"'{name}' is a function of the equation language; choose another name"
    if keyword.iskeyword(name):
        return f"'{name}' is a reserved word of equations; choose another name"
    return None
