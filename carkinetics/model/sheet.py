"""From the tables of a model file to checked declarations; every fault is collected."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pint

from carkinetics.equations.nodes import (
    TIME,
    EquationFault,
    Expression,
    UnitFault,
    name_fault,
    point_at,
)
from carkinetics.equations.reading import read_expression
from carkinetics.errors import Fault, UnitError
from carkinetics.model.schema import did_you_mean
from carkinetics.model.tables import ModelFile
from carkinetics.units import parse_unit

_IN_EQUATIONS = ("states", "constants", "parameters", "inputs", "terms")


@dataclass(frozen=True)
class Declared:
    """A name that equations may use."""

    kind: str
    unit: pint.Unit | None
    over: bool


@dataclass
class Sheet:
    """A model file being checked.

    Expressions are keyed by their place in the file, such as ``"terms.share.CD4"``.
    """

    file: ModelFile
    cell_types: tuple[str, ...]
    faults: list[Fault] = field(default_factory=list)
    unit_faults: int = 0
    declared: dict[str, Declared] = field(default_factory=dict)
    expressions: dict[str, Expression] = field(default_factory=dict)
    # Places of each term's expressions: one, or one per cell type.
    term_places: dict[str, dict[str, str]] = field(default_factory=dict)
    term_order: tuple[str, ...] = ()
    # For each term, every name it depends on, through other terms too.
    reach: dict[str, frozenset[str]] = field(default_factory=dict)

    def fault(self, where: str, what: str, remedy: str = "") -> None:
        """Note a fault."""
        self.faults.append(Fault(where, what, remedy, section=where))

    def fault_at(self, where: str, text: str, found: EquationFault) -> None:
        """Note a fault at a place in an expression."""
        self.unit_faults += isinstance(found, UnitFault)
        self.fault(where, f"{found.what}\n{point_at(text, found.place)}")

    def reached(self, expression: Expression) -> frozenset[str]:
        """Return every name an expression depends on, through terms too."""
        names = {node.name for node in expression.names}
        return frozenset(names).union(*(self.reach.get(name, ()) for name in names))


def declare(file: ModelFile, cell_types: tuple[str, ...]) -> Sheet:
    """Read names, units and expressions of a file; cell types may differ from the file's."""
    sheet = Sheet(file, cell_types)
    _check_cell_types(sheet)
    _declare_names(sheet)
    for where, text in _texts(sheet):
        try:
            sheet.expressions[where] = read_expression(text)
        except EquationFault as found:
            sheet.fault_at(where, text, found)
    _check_names(sheet)
    _order_terms(sheet)
    return sheet


def _check_cell_types(sheet: Sheet) -> None:
    listed = sheet.file.subsets.cell_type
    for name in listed:
        what = None if name == "total" else name_fault(name)
        if what:
            sheet.fault("subsets.cell_type", what)
    if len(set(listed)) < len(listed):
        sheet.fault("subsets.cell_type", "a cell type is listed twice")
    if "total" in listed and len(listed) > 1:
        sheet.fault("subsets.cell_type", "'total' stands alone: it is the sum of all cell types")


def _declare_names(sheet: Sheet) -> None:
    file = sheet.file
    sheet.declared[TIME] = Declared("time", parse_unit("day"), False)
    sections: dict[str, Mapping[str, object]] = {
        "states": file.states,
        "constants": file.constants,
        "parameters": file.parameters,
        "inputs": file.inputs,
        "terms": file.terms,
        "derived": file.derived,
        "outputs": file.outputs,
        "doses": file.doses,
        "mixture": file.mixture,
    }
    first: dict[str, str] = {}
    for section, entries in sections.items():
        for name, entry in entries.items():
            where = f"{section}.{name[:80]}"
            what = name_fault(name)
            if what is None and name in first:
                what = f"the name '{name}' is already taken by {first[name]}.{name}"
            if what:
                sheet.fault(where, what)
            first.setdefault(name, section)
            unit = read_unit(sheet, where, getattr(entry, "unit", "1"))
            if what is None and section in _IN_EQUATIONS:
                over = getattr(entry, "over", None) is not None
                sheet.declared[name] = Declared(section, unit, over)


def read_unit(sheet: Sheet, where: str, text: str) -> pint.Unit:
    """Read a unit; note a fault and go on without unit where it is none."""
    try:
        return parse_unit(text)
    except UnitError as error:
        sheet.fault(where, str(error))
        sheet.unit_faults += 1
        return parse_unit("1")


def _texts(sheet: Sheet) -> Iterator[tuple[str, str]]:
    file = sheet.file
    for name, state in file.states.items():
        yield f"states.{name}.start", state.start
    for name, texts in file.terms.items():
        sheet.term_places[name] = _places_of_term(sheet, name, texts)
        for cell, where in sheet.term_places[name].items():
            yield where, texts[cell]
    for name, text in file.equations.items():
        yield f"equations.{name}", text
    if file.solution:
        for name in ("level", "auc", "cmax", "tmax"):
            if getattr(file.solution, name) is not None:
                yield f"solution.{name}", getattr(file.solution, name)
    for name, observed in file.observed.items():
        if observed.is_ is not None:
            yield f"observed.{name}.is", observed.is_
    for name, output in file.outputs.items():
        yield f"outputs.{name}.is", output.is_
    for name, dose in file.doses.items():
        yield f"doses.{name}.amount", dose.amount
    for name, derived in file.derived.items():
        if derived.is_ is not None:
            yield f"derived.{name}.is", derived.is_


def _places_of_term(sheet: Sheet, name: str, texts: Mapping[str, str]) -> dict[str, str]:
    if "" in texts and len(texts) == 1:
        return {"": f"terms.{name}"}
    known = [*sheet.file.subsets.cell_type, "total"]
    for cell in texts:
        if cell not in known:
            sheet.fault(f"terms.{name}", f"unknown cell type '{cell}'{did_you_mean(cell, known)}")
    for cell in sheet.cell_types:
        if cell not in texts:
            sheet.fault(f"terms.{name}", f"has no expression for cell type '{cell}'")
    return {cell: f"terms.{name}.{cell}" for cell in texts if cell in known}


def _check_names(sheet: Sheet) -> None:
    for where, expression in list(sheet.expressions.items()):
        known = dict(sheet.declared)
        if where.startswith("observed.") and sheet.file.solution:
            known["level"] = Declared("solution", None, False)
        unknown = [node for node in expression.names if node.name not in known]
        for node in unknown:
            hint = did_you_mean(node.name, list(known))
            what = f"unknown name '{node.name[:80]}'{hint}"
            sheet.fault_at(where, expression.text, EquationFault(what, node.start))
        if unknown:
            del sheet.expressions[where]


def _order_terms(sheet: Sheet) -> None:
    uses = {
        name: {
            node.name
            for where in places.values()
            if where in sheet.expressions
            for node in sheet.expressions[where].names
        }
        for name, places in sheet.term_places.items()
    }
    graph = {name: used & uses.keys() for name, used in uses.items()}
    try:
        sheet.term_order = tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        circle = " -> ".join(error.args[1])
        sheet.fault(f"terms.{error.args[1][0]}", f"terms go in a circle: {circle}")
        return
    for name in sheet.term_order:
        sheet.reach[name] = frozenset(uses[name]).union(
            *(sheet.reach[other] for other in graph[name])
        )
