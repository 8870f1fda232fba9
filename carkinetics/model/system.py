"""The scalar SymPy system that solver and inference consume: every cell type written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy
from sympy.core.relational import Relational

from carkinetics.equations.nodes import TIME, EquationFault, Expression, point_at
from carkinetics.equations.symbolic import Rounding, number, to_sympy
from carkinetics.errors import Fault, ModelFileError
from carkinetics.model.checks import dynamic_names
from carkinetics.model.sheet import Sheet


@dataclass(frozen=True)
class Dose:
    """An amount that enters a state on a day."""

    state: int
    day: float
    amount: sympy.Expr


@dataclass(frozen=True)
class System:
    """A model written out as scalar equations; constants and fixed values are numbers in it.

    Parameters
    ----------
    cell_types : tuple of str
        ``("CD4", "CD8")`` or ``("total",)``.
    time : Symbol
        Day since infusion.
    states, parameters : tuple of str
        Names, ``"E[CD4]"`` where there is one per cell type.
    state_symbols, parameter_symbols : tuple of Symbol
        The same as symbols.
    log_scale : tuple of bool, one per state
        Whether the state is to be integrated as logarithm.
    start, rhs : tuple of Expr, one per state
        Value on day 0 and derivative [per day], natural scale.
    levels : tuple of Expr, one per cell type
        The latent level, of states and parameters; in a closed form of time and parameters.
    closed_form : bool
        Whether there is nothing to integrate: no states, and `levels` is the curve.
    exact : mapping of str to Expr
        In a closed form, where given: ``auc`` (from day 0 to `time`), ``cmax``, ``tmax``.
    derived : mapping of str to (Expr, unit)
        Numbers that follow from the parameters.
    outputs : mapping of str to (Expr, unit)
        Curves that no fit sees, of states, parameters and time.
    doses : tuple of Dose
        What enters a state after day 0; what enters on day 0 is part of `start`.
    inputs, input_symbols : tuple
        What is known of each patient, where it is left open; else they are numbers.
    absent : tuple of str
        Names without a value; nothing can be solved before the user gives one.
    stiff : bool
        Whether an explicit solver would need very many steps.
    """

    cell_types: tuple[str, ...]
    time: sympy.Symbol
    states: tuple[str, ...]
    state_symbols: tuple[sympy.Symbol, ...]
    parameters: tuple[str, ...]
    parameter_symbols: tuple[sympy.Symbol, ...]
    log_scale: tuple[bool, ...]
    start: tuple[sympy.Expr, ...]
    rhs: tuple[sympy.Expr, ...]
    levels: tuple[sympy.Expr, ...]
    closed_form: bool
    exact: Mapping[str, sympy.Expr] = field(hash=False)
    derived: Mapping[str, tuple[sympy.Expr, str]] = field(hash=False)
    outputs: Mapping[str, tuple[sympy.Expr, str]] = field(default_factory=dict, hash=False)
    doses: tuple[Dose, ...] = ()
    inputs: tuple[str, ...] = ()
    input_symbols: tuple[sympy.Symbol, ...] = ()
    absent: tuple[str, ...] = ()
    stiff: bool = False

    @property
    def event_inputs(self) -> tuple[str, ...]:
        """Open inputs on which the day depends when an equation changes."""
        expressions = (*self.rhs, *self.levels)
        conditions = [c for e in expressions for c in e.atoms(Relational)]
        timed = [c.free_symbols for c in conditions if self.time in c.free_symbols]
        pairs = zip(self.inputs, self.input_symbols, strict=True)
        return tuple(name for name, symbol in pairs if any(symbol in found for found in timed))


def expanded_name(name: str, cell_type: str | None) -> str:
    """Return the name of a quantity for one cell type: ``E[CD4]``; plain where it has none."""
    return name if cell_type is None else f"{name}[{cell_type}]"


class _Writer:
    """Gives the SymPy expression of every name, for every cell type."""

    def __init__(self, sheet: Sheet, open_inputs: bool, rounding: float) -> None:
        self.sheet, self.open_inputs = sheet, open_inputs
        self.absent: list[str] = []
        self.time = sympy.Symbol(TIME, real=True)
        self.rounding = Rounding(self.time, rounding) if rounding else None
        self.known: dict[tuple[str, str | None], sympy.Expr] = {}

    def name(self, name: str, cell_type: str | None) -> sympy.Expr:
        """Return a name's expression."""
        if name == TIME:
            return self.time
        if name == "level" and name not in self.sheet.declared:
            solution = self.sheet.file.solution
            return self.write("solution.level", cell_type if solution and solution.over else None)
        cell = cell_type if self.sheet.declared[name].over else None
        if (name, cell) not in self.known:
            self.known[name, cell] = self._make(name, cell)
        return self.known[name, cell]

    def _make(self, name: str, cell: str | None) -> sympy.Expr:
        file, kind = self.sheet.file, self.sheet.declared[name].kind
        if kind == "terms":
            places = self.sheet.term_places[name]
            return self.write(places.get("") or places[str(cell)], cell)
        if kind == "constants":
            return number(file.constants[name].value)
        if kind == "states":
            positive = file.states[name].scale == "log"
            return sympy.Symbol(expanded_name(name, cell), real=True, positive=positive or None)
        if kind == "inputs":
            default = file.inputs[name].default
            if self.open_inputs:
                return sympy.Symbol(name, real=True)
            return self._missing(name) if default is None else number(default)
        table = file.parameters[name]
        if table.prior is None:
            values = list((table.value or {}).values())
            return number(values[0]) if values else self._missing(name)
        family = next(iter(table.prior.values())).strip()
        positive = not family.startswith("normal")
        return sympy.Symbol(expanded_name(name, cell), real=True, positive=positive or None)

    def _missing(self, name: str) -> sympy.Symbol:
        self.absent.append(name)
        return sympy.Symbol(name, real=True)

    def write(self, where: str, cell_type: str | None) -> sympy.Expr:
        """Return the expression at a place of the file."""
        expression = self.sheet.expressions[where]
        try:
            return to_sympy(
                expression.root, self.name, self.sheet.cell_types, cell_type, self.rounding
            )
        except EquationFault as fault:
            raise ModelFileError(_fault(where, expression, fault)) from fault

    def cells(self, over: object) -> tuple[str | None, ...]:
        """Return the cell types to write something for: all, or None once."""
        return self.sheet.cell_types if over else (None,)


def _fault(where: str, expression: Expression, fault: EquationFault) -> Fault:
    shown = point_at(expression.text, fault.place)
    return Fault(where, f"{fault.what}\n{shown}", section=where)


def write_system(sheet: Sheet, open_inputs: bool = False, rounding: float = 0.0) -> System:
    """Write out a checked sheet; inputs become numbers, or symbols where they are left open.

    With a `rounding` above 0, kinks of the curves are rounded over that many days.
    """
    writer, file = _Writer(sheet, open_inputs, rounding), sheet.file
    states = [(name, cell) for name, s in file.states.items() for cell in writer.cells(s.over)]
    used = dynamic_names(sheet)
    parameters = [
        (name, cell)
        for name, table in file.parameters.items()
        if name in used and table.prior is not None
        for cell in writer.cells(table.over)
    ]
    levels = [
        writer.write(f"observed.{name}.is", cell)
        for name, table in file.observed.items()
        if table.is_ is not None
        for cell in writer.cells(table.over)
    ]
    start, doses = _write_doses(writer, states)
    inputs = [name for name in file.inputs if open_inputs and name in used]
    return System(
        cell_types=sheet.cell_types,
        time=writer.time,
        states=tuple(expanded_name(*state) for state in states),
        state_symbols=tuple(writer.name(*state) for state in states),
        parameters=tuple(expanded_name(*parameter) for parameter in parameters),
        parameter_symbols=tuple(writer.name(*parameter) for parameter in parameters),
        log_scale=tuple(file.states[name].scale == "log" for name, _ in states),
        start=tuple(start),
        rhs=tuple(writer.write(f"equations.{name}", cell) for name, cell in states),
        levels=tuple(levels),
        closed_form=file.solution is not None,
        exact=_write_exact(writer),
        derived=_write_derived(writer),
        outputs={
            name: (writer.write(f"outputs.{name}.is", None), table.unit)
            for name, table in file.outputs.items()
        },
        doses=tuple(doses),
        inputs=tuple(inputs),
        input_symbols=tuple(writer.name(name, None) for name in inputs),
        absent=tuple(dict.fromkeys(writer.absent)),
        stiff=file.model.stiff,
    )


def _write_doses(
    writer: _Writer, states: list[tuple[str, str | None]]
) -> tuple[list[sympy.Expr], list[Dose]]:
    """Return the state on day 0, doses of that day included, and the doses of later days."""
    start = [writer.write(f"states.{name}.start", cell) for name, cell in states]
    later = []
    for name, table in writer.sheet.file.doses.items():
        amount = writer.write(f"doses.{name}.amount", None)
        into = states.index((table.into, None))
        for day, share in zip(table.days, table.fractions or [1.0], strict=True):
            if day == 0:
                start[into] += number(share) * amount
            else:
                later.append(Dose(into, day, number(share) * amount))
    return start, sorted(later, key=lambda dose: dose.day)


def _write_exact(writer: _Writer) -> dict[str, sympy.Expr]:
    solution = writer.sheet.file.solution
    if solution is None:
        return {}
    return {
        expanded_name(name, cell): writer.write(f"solution.{name}", cell)
        for name in ("auc", "cmax", "tmax")
        if getattr(solution, name) is not None
        for cell in writer.cells(solution.over)
    }


def _write_derived(writer: _Writer) -> dict[str, tuple[sympy.Expr, str]]:
    found = {}
    for name, table in writer.sheet.file.derived.items():
        for cell in writer.cells(table.over):
            if table.of is None:
                expression = writer.write(f"derived.{name}.is", cell)
            else:
                expression = writer.write(f"solution.{table.of}", cell)
            if table.at is not None:
                expression = expression.subs(writer.time, number(table.at))
            found[expanded_name(name, cell)] = (expression, table.unit)
    return found
