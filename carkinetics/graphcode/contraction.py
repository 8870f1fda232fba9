"""The pullback of the solver: sums over the rows of each patient."""

from __future__ import annotations

from typing import Any

from carkinetics.graphcode.dispatch import Printer, print_op
from carkinetics.graphcode.views import View
from carkinetics.solve.op import ContractByPatient


@print_op.register(ContractByPatient)
def _contracted(op: ContractByPatient, node: Any, printer: Printer) -> list[View]:
    writer, (gradient, jacobian) = printer.writer, map(printer.view, node.inputs[:2])
    offsets = printer.whole(printer.view(node.inputs[2]))
    rows, cells, parameters = jacobian.shape
    writer.check_same(gradient.shape[0], rows)
    writer.check_same(gradient.shape[1], cells)
    patients = writer.size(f"{offsets.shape[0]} - 1")
    result = writer.array([patients, parameters], "float64")
    with writer.loops(result.shape) as indices:
        writer.add(f"{result.at(indices)} = 0.0")
    with writer.loop(patients) as i:
        first, last = (writer.let(offsets.at([k])) for k in (i, f"{i} + 1"))
        row = writer.fresh("i")
        with writer.inside(f"for {row} in range({first}, {last}):"), writer.loop(cells) as j:
            factor = writer.let(gradient.at([row, j]))
            with writer.loop(parameters) as q:
                product = f"{factor} * {jacobian.at([row, j, q])}"
                writer.add(f"{result.at([i, q])} += {product}")
    return [result]
