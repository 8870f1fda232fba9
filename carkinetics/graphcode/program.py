"""A whole graph as a program: text for numba, code for LLVM, and what names them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

# Each of these modules says how some operations are written.
from carkinetics.graphcode import (  # noqa: F401
    call_code,
    contraction,
    driver,
    elementwise,
    indexing,
    joining,
    places,
    reductions,
    shapes,
)
from carkinetics.graphcode.dispatch import Printer
from carkinetics.graphcode.machine import Table, translate_program
from carkinetics.graphcode.views import whole_array
from carkinetics.graphcode.writer import Stretch, Writer


@dataclass(frozen=True, eq=False)
class Program:
    """A function of one table.

    Attributes
    ----------
    plain : str
        What it computes, in plain Python, for a reader.
    text : str
        The function for numba.
    names : dict of str to object
        What its module has to be given.
    places : dict of str to int
        Where in the table each name stands.
    key : str or None
        What tells its code from that of the same text elsewhere; None where machine code must
        not outlive the process.
    """

    plain: str
    text: str
    names: dict[str, Any]
    places: dict[str, int]
    key: str | None

    @property
    def size(self) -> int:
        """How many places the table has."""
        return len(self.places)


def print_program(graph: Any, name: str, first: Sequence[str] = ()) -> Program:
    """Print a graph as a function.

    Parameters
    ----------
    graph : FunctionGraph
        Rewritten; no operation of it may change its inputs.
    name : str
        Of the function. It takes a table of whole numbers in which these places are filled: for
        input k the address ``a{k}`` of its elements, in order, and its sizes ``a{k}_{dimension}``;
        for output k the address ``out{k}`` of the array to be filled. It returns zero, or one
        where sizes do not agree, an element does not exist or a condition does not hold.
    first : sequence of str
        What stands in the first places of the table, if the caller wants to choose.

    Returns
    -------
    Program
    """
    writer, table = Writer(), Table()
    for one in first:
        table.place(one)
    _write(graph, writer, table)
    plain = _plain(writer)
    prefix = f"{name}.{sha256(plain.encode()).hexdigest()[:24]}"
    code = str(translate_program(writer, table, prefix))
    names = writer.functions | {
        "address": driver.address,
        "run_pieces": driver.make_driver(code, prefix, writer, table),
    }
    key = None
    if None not in writer.keys:
        parts = [code, *map(inspect.getsource, (call_code, driver, places)), *map(str, writer.keys)]
        key = sha256("\n".join(parts).encode()).hexdigest()
    return Program(plain, driver.TEXT.format(name=name), names, dict(table.places), key)


def _write(graph: Any, writer: Writer, table: Table) -> None:
    printer = Printer(writer)
    for k, variable in enumerate(graph.inputs):
        sizes = [writer.given_size(f"a{k}_{d}") for d in range(variable.type.ndim)]
        known = [
            n if s is None else str(s) for n, s in zip(sizes, variable.type.shape, strict=True)
        ]
        table.arrays[f"a{k}"] = variable.type.dtype
        printer.set(variable, whole_array(f"a{k}", variable.type.dtype, known))
        for size, wanted in zip(sizes, known, strict=True):
            writer.check_same(wanted, size)
    printer.run(graph)
    for k, variable in enumerate(graph.outputs):
        view = printer.view(variable)
        table.arrays[f"out{k}"] = view.dtype
        result = whole_array(f"out{k}", view.dtype, view.shape)
        with writer.loops(view.shape) as indices:
            place = f"out{k}[0]" if not view.shape else result.at(indices)
            writer.add(f"{place} = {view.at(indices)}")


def _plain(writer: Writer) -> str:
    """Return the program as a reader sees it."""
    lines = [f"{name} = {expression}" for name, expression in writer.sizes.items()]
    for name, value in writer.constants.items():
        lines.append(f"{name} = {value.dtype} {sha256(value.tobytes()).hexdigest()[:16]}")
    for piece in writer.pieces:
        if isinstance(piece, Stretch):
            lines += [f"{a.name} = array[{', '.join(a.shape)}]" for a in piece.arrays]
            lines += piece.lines
        else:
            arguments = ", ".join(view.name for view in piece.arguments)
            results = ", ".join(view.name for view in piece.results)
            lines.append(f"{results} = {piece.function}({arguments})")
    return "\n".join(lines)
