"""The plain code of a program as a module of LLVM.

Every stretch becomes two functions: one tells how much memory its arrays take, one runs. Both find
everything in one table of 64-bit places: addresses, sizes, and the numbers and arrays that an
earlier stretch or call has left there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from llvmlite import ir

from carkinetics.graphcode.functions import call_function
from carkinetics.graphcode.translate import BOOL, DOUBLE, INT, STORED, Array, Translator
from carkinetics.graphcode.writer import Call, Stretch, Writer

_OF_NUMBERS: dict[str, ir.Type] = {"float64": DOUBLE, "float32": DOUBLE, "bool": BOOL}


@dataclass(eq=False)
class Table:
    """The places of everything that outlives a stretch.

    Attributes
    ----------
    places : dict of str to int
        Place of every name.
    arrays : dict of str to str
        Type of the elements, of the names that are arrays.
    numbers : dict of str to Type
        Type of the names that are numbers.
    """

    places: dict[str, int] = field(default_factory=dict)
    arrays: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, ir.Type] = field(default_factory=dict)

    def place(self, name: str) -> int:
        """Return the place of a name, a new one where it has none."""
        return self.places.setdefault(name, len(self.places))

    def add_results(self, call: Call) -> None:
        """Take in what a call gives."""
        for view in call.results:
            if view.shape:
                self.arrays[view.name] = view.dtype
            else:
                self.numbers[view.name] = _OF_NUMBERS.get(view.dtype, INT)


def memory_name(prefix: str, k: int) -> str:
    """Name the function that tells how many places of 8 bytes the arrays of stretch k take."""
    return f"{prefix}.memory.{k}"


def stretch_name(prefix: str, k: int) -> str:
    """Name the function that runs stretch k; it returns zero where nothing failed."""
    return f"{prefix}.stretch.{k}"


def translate_program(writer: Writer, table: Table, prefix: str) -> ir.Module:
    """Translate all stretches of a program.

    Parameters
    ----------
    writer : Writer
        The program.
    table : Table
        Places of the inputs and outputs; those of everything else are added.
    prefix : str
        First part of the names of all functions; different in every program.
    """
    module = ir.Module(prefix)
    trees = {k: ast.parse("\n".join(s.lines)) for k, s in _stretches(writer)}
    needed: set[str] = set()
    needs: dict[int, set[str]] = {}
    for k in reversed(range(len(writer.pieces))):
        piece = writer.pieces[k]
        needs[k] = set(needed)
        if isinstance(piece, Call):
            for view in piece.arguments:
                needed |= {view.name, *view.shape}
        else:
            needed |= {n.id for n in ast.walk(trees[k]) if isinstance(n, ast.Name)}
    for k, piece in enumerate(writer.pieces):
        if isinstance(piece, Call):
            table.add_results(piece)
            continue
        _Frame(writer, table, module, memory_name(prefix, k), k, piece).tell_memory()
        _Frame(writer, table, module, stretch_name(prefix, k), k, piece).run(trees[k], needs[k])
    return module


def _stretches(writer: Writer) -> Iterator[tuple[int, Stretch]]:
    for k, piece in enumerate(writer.pieces):
        if isinstance(piece, Stretch):
            yield k, piece


class _Frame:
    """One function: from the address of the table to a whole number."""

    def __init__(
        self, writer: Writer, table: Table, module: ir.Module, name: str, k: int, stretch: Stretch
    ) -> None:
        self._writer, self._table, self._k, self._stretch = writer, table, k, stretch
        function = ir.Function(module, ir.FunctionType(INT, [INT]), name)
        self._entry = ir.IRBuilder(function.append_basic_block("entry"))
        failed = function.append_basic_block("failed")
        ir.IRBuilder(failed).ret(ir.Constant(INT, 1))
        self._translator = Translator(self._entry, call_function, failed)
        self._base = self._entry.inttoptr(function.args[0], INT.as_pointer())

    def tell_memory(self) -> None:
        """Write the function that tells the memory."""
        total: ir.Value = ir.Constant(INT, 0)
        for view in self._stretch.arrays:
            total = self._entry.add(total, self._size(view.size))
        self._entry.ret(total)

    def run(self, tree: ast.Module, needed: set[str]) -> None:
        """Write the function that runs."""
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        self._make_arrays()
        for name in sorted(used - set(self._translator.names)):
            self._find(name)
        before = set(self._translator.names) - {view.name for view in self._stretch.arrays}
        self._translator.run(tree.body)
        self._leave(needed, before)
        self._translator.builder.ret(ir.Constant(INT, 0))

    def _make_arrays(self) -> None:
        offset: ir.Value = self._load(f"w{self._k}")
        for view in self._stretch.arrays:
            kind = STORED[view.dtype][0].as_pointer()
            self._translator.names[view.name] = Array(
                self._entry.inttoptr(offset, kind), view.dtype
            )
            self._table.arrays[view.name] = view.dtype
            length = self._entry.mul(self._size(view.size), ir.Constant(INT, 8))
            offset = self._entry.add(offset, length)

    def _find(self, name: str) -> None:
        """Make a name known that comes from elsewhere."""
        names, table, writer = self._translator.names, self._table, self._writer
        if name in names:
            return
        if name in writer.constants:
            names[name] = self._constant(name, writer.constants[name])
        elif writer.is_size(name):
            names[name] = self._size(name)
        elif name in table.arrays:
            dtype = table.arrays[name]
            pointer = self._entry.inttoptr(self._load(name), STORED[dtype][0].as_pointer())
            names[name] = Array(pointer, dtype)
        elif name in table.numbers:
            names[name] = self._number(self._load(name), table.numbers[name])

    def _size(self, text: str) -> ir.Value:
        """Translate an expression of sizes."""
        names = self._translator.names
        tree = ast.parse(text, mode="eval").body
        for node in ast.walk(tree):
            if not isinstance(node, ast.Name) or node.id in names:
                continue
            if self._writer.is_size(node.id):
                known = self._writer.sizes.get(node.id)
                names[node.id] = self._load(node.id) if known is None else self._size(known)
        return self._translator.whole(self._translator.value(tree))

    def _leave(self, needed: set[str], before: set[str]) -> None:
        """Store what later pieces need."""
        names, t = self._translator.names, self._translator
        for name in sorted(needed):
            if self._writer.is_size(name):
                if not name.isdigit() and name in self._writer.sizes:
                    self._store(name, self._size(name))
                continue
            if name in self._writer.constants and name not in names:
                names[name] = self._constant(name, self._writer.constants[name])
            value = t.variable(name)
            if isinstance(value, Array):
                self._store(name, t.builder.ptrtoint(value.pointer, INT))
            elif value is not None and name not in before:
                self._table.numbers[name] = value.type
                bits = t.builder.bitcast(value, INT) if value.type == DOUBLE else t.whole(value)
                self._store(name, bits)

    def _number(self, bits: ir.Value, kind: ir.Type) -> ir.Value:
        if kind == DOUBLE:
            return self._entry.bitcast(bits, DOUBLE)
        return bits if kind == INT else self._translator.truth(bits)

    def _constant(self, name: str, value: np.ndarray) -> Array:
        """Return a constant array, held in the module once."""
        module, dtype = self._entry.module, str(value.dtype)
        kind = STORED[dtype][0]
        held = f"{module.name}.{name}"
        if held not in module.globals:
            row = ir.ArrayType(kind, value.size)
            variable = ir.GlobalVariable(module, row, held)
            variable.global_constant, variable.linkage = True, "internal"
            stored = value.astype(np.int8) if dtype == "bool" else value
            variable.initializer = ir.Constant(row, [ir.Constant(kind, v) for v in stored.tolist()])
        pointer = self._translator.builder.bitcast(module.globals[held], kind.as_pointer())
        return Array(pointer, dtype)

    def _place(self, name: str) -> ir.Value:
        index = ir.Constant(INT, self._table.place(name))
        return self._translator.builder.gep(self._base, [index], inbounds=True)

    def _load(self, name: str) -> ir.Value:
        return self._translator.builder.load(self._place(name))

    def _store(self, name: str, value: ir.Value) -> None:
        self._translator.builder.store(value, self._place(name))
