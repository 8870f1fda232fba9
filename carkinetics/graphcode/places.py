"""The table of a program, as instructions that numba does not write find it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from carkinetics.graphcode.machine import Table

INT = ir.IntType(64)
_MEMORY = types.MemInfoPointer(types.voidptr)


class Places:
    """Loads and stores of 64-bit places, and the memory that arrays in them need.

    Parameters
    ----------
    context : numba target context
        Knows how numba lays things out.
    builder : IRBuilder
        At the place where the function goes on.
    here : Value
        Address of the table.
    table : Table
        The place of every name.
    """

    def __init__(self, context: Any, builder: ir.IRBuilder, here: ir.Value, table: Table) -> None:
        self.context, self.builder, self.here = context, builder, here
        self._table = table
        self._base = builder.inttoptr(here, INT.as_pointer())

    def address(self, name: str) -> ir.Value:
        """Return the address of a place."""
        index = ir.Constant(INT, self._table.places[name])
        return self.builder.gep(self._base, [index], inbounds=True)

    def load(self, name: str) -> ir.Value:
        """Return what stands in a place, as a whole number."""
        return self.builder.load(self.address(name))

    def store(self, name: str, value: ir.Value) -> None:
        """Put a whole number, a double or an address into a place."""
        if isinstance(value.type, ir.PointerType):
            value = self.builder.ptrtoint(value, INT)
        elif value.type == ir.DoubleType():
            value = self.builder.bitcast(value, INT)
        self.builder.store(value, self.address(name))

    def own_nothing(self, name: str) -> None:
        """Say that the array of a name needs no memory yet."""
        self.store(owner(name), ir.Constant(INT, 0))

    def own(self, name: str, memory: ir.Value) -> None:
        """Keep memory, whose users numba counts, until it is released."""
        self.store(owner(name), memory)

    def release(self, name: str) -> None:
        """Give the memory of a name back, if there is any."""
        kind = self.context.get_value_type(_MEMORY)
        memory = self.builder.inttoptr(self.load(owner(name)), kind)
        self.context.nrt.decref(self.builder, _MEMORY, memory)


def owner(name: str) -> str:
    """Name the place of what keeps the memory of an array alive."""
    return f"{name}_owner"
