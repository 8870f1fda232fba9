"""What the expressions of a model must satisfy: cell types, units, size, completeness."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pint

from carkinetics.equations.dimensions import unit_of
from carkinetics.equations.nodes import EquationFault, Expression, Node, UnitFault
from carkinetics.model.schema import did_you_mean
from carkinetics.model.sheet import Declared, Sheet
from carkinetics.units import format_unit, parse_unit, same_unit

MAX_EXPANDED = 3000
MAX_WHOLE = 10_000
MAX_DEPTH = 100
MAX_STATES = 100
# Kinds of names that may not be reached from these sections.
_CLOSED_TO = {
    "states": ("time", "states"),
    "derived": ("time", "states"),
    "doses": ("time", "states"),
    "solution": ("states",),
}


def check(sheet: Sheet) -> None:
    """Note every fault of a declared sheet."""
    _check_completeness(sheet)
    if len(sheet.term_order) < len(sheet.term_places):
        return
    for name in sheet.term_order:
        _check_term(sheet, name)
    for where, expression in sheet.expressions.items():
        section, name = where.split(".")[:2]
        # A rate of change of nothing is named above; whether it has a cell type nobody knows.
        if section != "terms" and (section != "equations" or name in sheet.file.states):
            _check_expression(sheet, where, expression)
    _check_sizes(sheet)
    _check_used(sheet)


def _check_completeness(sheet: Sheet) -> None:
    file = sheet.file
    if file.solution and (file.states or file.equations):
        sheet.fault("solution", "stands instead of [states] and [equations], not beside them")
    if not file.solution and not file.states:
        sheet.fault("states", "a model needs [states] with [equations], or a [solution]")
    missing = [name for name in file.states if name not in file.equations]
    if missing:
        sheet.fault("equations", f"no equation for state(s) {missing[:10]}")
    for name in file.equations:
        if name not in file.states:
            hint = did_you_mean(name, list(file.states))
            sheet.fault(f"equations.{name[:80]}", f"'{name[:80]}' is no state{hint}")
    each = sum(len(sheet.cell_types) if state.over else 1 for state in file.states.values())
    if each > MAX_STATES:
        sheet.fault("states", f"{each} states over all cell types; at most {MAX_STATES} are solved")
    _check_observed(sheet)


def _check_observed(sheet: Sheet) -> None:
    if not sheet.file.observed:
        if not sheet.file.outputs:
            sheet.fault("observed", "a model needs an assay in [observed], or [outputs]")
        return
    if sheet.file.outputs and sheet.file.solution:
        sheet.fault("outputs", "go with [states]; a [solution] has its level alone")
    own = {name: o.is_ for name, o in sheet.file.observed.items() if o.is_ is not None}
    if len(set(own.values())) != 1:
        sheet.fault(
            "observed",
            "exactly one latent level is needed: one 'is = ...'",
            'Declare the other assay with link = "assay_link".',
        )
    for name, observed in sheet.file.observed.items():
        if (observed.is_ is None) == (observed.link is None):
            sheet.fault(f"observed.{name}", "needs either 'is' or 'link'")


def _check_term(sheet: Sheet, name: str) -> None:
    """Find the unit of a term and whether it differs between cell types."""
    places = sheet.term_places[name]
    found: list[pint.Unit | None] = []
    over = "" not in places
    for where in places.values():
        expression = sheet.expressions.get(where)
        if expression is None:
            continue
        over = over or any(_varying(sheet, expression.root))
        try:
            _check_totals(sheet, expression)
            found.append(unit_of(expression, _units(sheet)))
        except EquationFault as fault:
            sheet.fault_at(where, expression.text, fault)
    units = [unit for unit in found if unit is not None]
    if any(not same_unit(units[0], unit) for unit in units[1:]):
        shown = ", ".join(f"[{format_unit(unit)}]" for unit in units)
        sheet.fault(f"terms.{name}", f"has another unit for each cell type: {shown}")
    unit = units[0] if units else (None if found else parse_unit("1"))
    sheet.declared[name] = Declared("terms", unit, over)


def _units(sheet: Sheet) -> dict[str, pint.Unit | None]:
    units = {name: declared.unit for name, declared in sheet.declared.items()}
    if sheet.file.solution:
        units["level"] = parse_unit("level")
    return units


def _varying(sheet: Sheet, node: Node) -> list[Node]:
    """Return the names outside ``total`` that have one value per cell type."""
    if node.kind == "total":
        return []
    if node.kind == "name":
        solution = sheet.file.solution
        if node.name == "level" and node.name not in sheet.declared and solution:
            return [node] if solution.over else []
        return [node] if sheet.declared[node.name].over else []
    return [name for child in node.children for name in _varying(sheet, child)]


def _check_totals(sheet: Sheet, expression: Expression) -> None:
    for node in expression.root.walk():
        if node.kind == "total" and not _varying(sheet, node.children[0]):
            inner = expression.part(node.children[0])
            raise EquationFault(
                f"'{inner}' is the same for all cell types; leave out total", node.start
            )


def _check_expression(sheet: Sheet, where: str, expression: Expression) -> None:
    section, name, *_ = where.split(".")
    try:
        _check_totals(sheet, expression)
        if not _is_over(sheet, section, name):
            for node in _varying(sheet, expression.root):
                raise EquationFault(
                    f"'{node.name}' has one value per cell_type; write total({node.name})",
                    node.start,
                )
        _check_reach(sheet, section, expression)
        _check_switches(sheet, section, expression)
        _check_unit(sheet, section, name, expression)
    except EquationFault as fault:
        sheet.fault_at(where, expression.text, fault)


def _is_over(sheet: Sheet, section: str, name: str) -> bool:
    if section == "solution":
        return bool(sheet.file.solution and sheet.file.solution.over)
    if section in ("outputs", "doses"):
        return False
    if section == "equations":
        return name in sheet.file.states and sheet.file.states[name].over is not None
    return getattr(sheet.file, section)[name].over is not None


def _check_reach(sheet: Sheet, section: str, expression: Expression) -> None:
    closed = _CLOSED_TO.get(section, ())
    for node in expression.names:
        for name in {node.name} | sheet.reach.get(node.name, set()):
            kind = sheet.declared[name].kind if name in sheet.declared else ""
            if kind in closed:
                through = "" if name == node.name else f" (through '{node.name}')"
                what = "the time" if kind == "time" else "a state"
                raise EquationFault(
                    f"'{name}'{through} is {what} and cannot stand here", node.start
                )


def _check_switches(sheet: Sheet, section: str, expression: Expression) -> None:
    """Refuse a hard switch at an estimated time inside a differential equation."""
    if section != "equations":
        return
    used = {node.name for node in expression.names}
    places = [w for term in used | sheet.reached(expression) for w in _places(sheet, term)]
    for other in (expression, *(sheet.expressions[w] for w in places if w in sheet.expressions)):
        for node in other.root.walk():
            if node.kind != "where":
                continue
            names = {part.name for part in node.children[0].walk() if part.kind == "name"}
            names = names.union(*(sheet.reach.get(name, ()) for name in names))
            kinds = {sheet.declared[name].kind for name in names}
            if "parameters" in kinds:
                inside = node.start if other is expression else expression.root.start
                raise EquationFault(
                    "where(...) switches at an estimated place, which no solver can differentiate; "
                    "use logistic((place - t) / width), or a [solution]",
                    inside,
                )


def _places(sheet: Sheet, term: str) -> tuple[str, ...]:
    return tuple(sheet.term_places.get(term, {}).values())


def _check_unit(sheet: Sheet, section: str, name: str, expression: Expression) -> None:
    unit = unit_of(expression, _units(sheet))
    wanted = _wanted_unit(sheet, section, name, expression)
    if unit is None or wanted is None or same_unit(unit, wanted):
        return
    # What has the unit of the latent level is seen in the unit of the assay.
    if section == "observed" and same_unit(unit, parse_unit("level")):
        return
    raise UnitFault(
        f"has unit [{format_unit(unit)}], declared [{format_unit(wanted)}]", expression.root.start
    )


def _wanted_unit(sheet: Sheet, section: str, name: str, expression: Expression) -> pint.Unit | None:
    if section == "solution":
        level, day = parse_unit("level"), parse_unit("day")
        return {"level": level, "cmax": level, "tmax": day, "auc": level * day}[name]
    if section == "equations":
        state = sheet.declared.get(name)
        return state.unit / parse_unit("day") if state and state.unit is not None else None
    if section == "doses":
        state = sheet.declared.get(sheet.file.doses[name].into)
        return state.unit if state else None
    if section == "states":
        return sheet.declared[name].unit if name in sheet.declared else None
    try:
        return parse_unit(getattr(sheet.file, section)[name].unit)
    except ValueError:
        return None


def _check_sizes(sheet: Sheet) -> None:
    """Bound what every expression becomes once its terms are put in."""
    n_cells = len(sheet.cell_types)
    sizes: dict[str, tuple[int, int]] = {}
    for name in sheet.term_order:
        texts = [sheet.expressions[w] for w in _places(sheet, name) if w in sheet.expressions]
        measured = [_measure(text.root, sizes, n_cells) for text in texts] or [(1, 1)]
        sizes[name] = (max(size for size, _ in measured), max(depth for _, depth in measured))
        if _too_large(sizes[name]):
            sheet.fault(f"terms.{name}", _size_fault(sizes[name]))
            sizes[name] = (1, 1)
    whole = 0
    for where, expression in sheet.expressions.items():
        if where.startswith("terms."):
            continue
        size = _measure(expression.root, sizes, n_cells)
        whole += size[0] * (n_cells if _is_over(sheet, *where.split(".")[:2]) else 1)
        if _too_large(size):
            sheet.fault(where, _size_fault(size))
    if whole > MAX_WHOLE:
        sheet.fault("file", f"{whole:,} parts in all equations; at most {MAX_WHOLE:,} are solved")


def _too_large(size: tuple[int, int]) -> bool:
    return size[0] > MAX_EXPANDED or size[1] > MAX_DEPTH


def _size_fault(size: tuple[int, int]) -> str:
    return (
        f"grows to {size[0]:,} parts, {size[1]} deep, once its terms are put in; "
        f"at most {MAX_EXPANDED:,} parts and a depth of {MAX_DEPTH} are allowed"
    )


def _measure(node: Node, sizes: Mapping[str, tuple[int, int]], n_cells: int) -> tuple[int, int]:
    if node.kind == "name":
        return sizes.get(node.name, (1, 1))
    below = [_measure(child, sizes, n_cells) for child in node.children]
    # min and max write their arguments twice: in the comparison and as the result.
    times = {"total": n_cells, "min": 2, "max": 2}.get(node.kind, 1)
    size = sum(part for part, _ in below) * times
    # Bounded, so that long chains of terms do not make numbers of thousands of digits.
    return min(size + 1, 10**9), 1 + max((depth for _, depth in below), default=0)


def _check_used(sheet: Sheet) -> None:
    if sheet.faults or sheet.cell_types != tuple(sheet.file.subsets.cell_type):
        return
    used = dynamic_names(sheet)
    for section in ("constants", "parameters", "inputs"):
        for name in getattr(sheet.file, section):
            derived = section != "parameters" and any(
                name in sheet.reached(e) for w, e in sheet.expressions.items() if w[:7] == "derived"
            )
            if name not in used and not derived:
                sheet.fault(f"{section}.{name}", "no equation uses it", "Use it or leave it out.")


def dynamic_names(sheet: Sheet) -> frozenset[str]:
    """Return every name that starts, equations, solution or observed levels depend on."""
    found: frozenset[str] = frozenset()
    for where, expression in sheet.expressions.items():
        if re.match(r"(states|equations|solution|observed|outputs|doses)\.", where):
            found |= reach_here(sheet, expression)
    return found


def reach_here(sheet: Sheet, expression: Expression) -> frozenset[str]:
    """Return the names an expression depends on for the cell types in use."""
    found: set[str] = set()
    waiting = [node.name for node in expression.names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for cell, where in sheet.term_places.get(name, {}).items():
            if cell in ("", *sheet.cell_types) and where in sheet.expressions:
                waiting.extend(node.name for node in sheet.expressions[where].names)
    return frozenset(found)
