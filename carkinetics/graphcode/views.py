"""Where the numbers of a tensor stand: in a flat array, or under one name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carkinetics.graphcode.arithmetic import plus, product, times


@dataclass(frozen=True)
class View:
    """A tensor.

    Attributes
    ----------
    name : str
        Of the flat array; of the number itself where ``number``.
    dtype : str
        Type of its numbers.
    shape, strides : tuple of str
        Expressions, one per dimension: how many, and how far apart in the array.
    offset : str
        Place of the first.
    number : bool
        Whether all of it is one number with a name.
    whole : bool
        Whether it is all of the array, in order.
    """

    name: str
    dtype: str
    shape: tuple[str, ...] = ()
    strides: tuple[str, ...] = ()
    offset: str = "0"
    number: bool = False
    whole: bool = False

    @property
    def size(self) -> str:
        """How many numbers it has, as an expression."""
        return product(self.shape)

    def at(self, indices: Sequence[str]) -> str:
        """Return the expression of one of its numbers."""
        if self.number:
            return self.name
        place = self.offset
        for index, stride in zip(indices, self.strides, strict=True):
            place = plus(place, times(index, stride))
        return f"{self.name}[{place}]"

    def depth(self) -> int:
        """Return the number of loops, from the outside, that an element depends on."""
        moving = [i + 1 for i, stride in enumerate(self.strides) if stride != "0"]
        return 0 if self.number else max(moving, default=0)


def whole_array(name: str, dtype: str, shape: Sequence[str]) -> View:
    """Return the tensor of a whole flat array, its last dimension the fastest."""
    return View(name, dtype, tuple(shape), row_strides(shape), whole=True)


def number(name: str, dtype: str) -> View:
    """Return the tensor of a single number."""
    return View(name, dtype, number=True)


def row_strides(shape: Sequence[str]) -> tuple[str, ...]:
    """Return how far apart neighbors are, the last dimension the fastest.

    A dimension of one has a stride of zero: it does not move.
    """
    strides, step = [], "1"
    for size in reversed(shape):
        strides.append("0" if size == "1" else step)
        step = times(step, size)
    return tuple(reversed(strides))
