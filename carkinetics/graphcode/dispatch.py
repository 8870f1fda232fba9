"""How an operation is written: one function for each of its types."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from pytensor.graph.basic import Constant
from pytensor.tensor.basic import MakeVector

from carkinetics.graphcode.views import View, number
from carkinetics.graphcode.writer import Writer, literal


class Printer:
    """The tensors of a graph as they are written down.

    Attributes
    ----------
    writer : Writer
        The program so far.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._views: dict[Any, View] = {}

    def set(self, variable: Any, view: View) -> None:
        """Remember where a tensor stands."""
        self._views[variable] = view

    def view(self, variable: Any) -> View:
        """Return where a tensor stands."""
        if variable not in self._views:
            if not isinstance(variable, Constant):
                raise KeyError(f"{variable} is no constant, and was not computed")
            constant = self.writer.constant(variable.data, variable.type.dtype)
            self._views[variable] = constant
        return self._views[variable]

    def run(self, graph: Any) -> None:
        """Write all operations of a graph whose inputs are known."""
        for node in graph.toposort():
            found = print_op(node.op, node, self)
            for variable, view in zip(node.outputs, found, strict=True):
                self.set(variable, view)

    def number(self, variable: Any) -> str:
        """Return the expression of a tensor or scalar with one element."""
        view = self.view(variable)
        return view.at(["0"] * len(view.shape))

    def size(self, variable: Any) -> str | None:
        """Return a whole number that only sizes decide, None for another."""
        if isinstance(variable, Constant):
            return literal(variable.data, "int64")
        view = self.view(variable)
        return view.name if view.number and self.writer.is_size(view.name) else None

    def sizes(self, variable: Any) -> list[str] | None:
        """Return the elements of a vector of sizes, None where something else decides them."""
        if isinstance(variable, Constant):
            return [str(n) for n in variable.data.tolist()]
        if variable.owner is None or not isinstance(variable.owner.op, MakeVector):
            return None
        found = [self.size(part) for part in variable.owner.inputs]
        known = [size for size in found if size is not None]
        return known if len(known) == len(found) else None

    def copy(self, view: View) -> View:
        """Write a copy that is a whole array of its own."""
        made = self.writer.array(view.shape, view.dtype)
        with self.writer.loops(view.shape) as indices:
            self.writer.add(f"{made.at(indices)} = {view.at(indices)}")
        return made

    def whole(self, view: View) -> View:
        """Return a tensor as a whole array, copied where it is none."""
        return view if view.whole else self.copy(view)

    def held(self, view: View) -> View:
        """Return a tensor without dimensions as a number with a name."""
        return view if view.number else number(self.writer.let(view.at(())), view.dtype)


@singledispatch
def print_op(op: Any, node: Any, printer: Printer) -> list[View]:
    """Write an operation and return where its outputs stand.

    Parameters
    ----------
    op : Op
        Its type chooses the function.
    node : Apply
        The operation with its inputs and outputs.
    printer : Printer
        Where the inputs stand, and where the text goes.
    """
    from carkinetics.graphcode.calls import call  # which needs a Printer itself

    return call(op, node, printer)
