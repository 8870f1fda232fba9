"""The table of levels: from cells as given to one checked row per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import (
    Cells,
    below_limit,
    booleans_of,
    cells_of,
    number,
    numbers_of,
    why_no_number,
)
from carkinetics.cohort.columns import REQUIRED_LEVEL_COLUMNS, bare, did_you_mean
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.level_units import PERCENT_OF_CD3, UNIT_OF, parse_unit, why_unknown
from carkinetics.cohort.ranges import check_ranges
from carkinetics.cohort.tables import Table
from carkinetics.errors import Fault

CELL_TYPES = ("CD4", "CD8", "total")
OPTIONAL_NUMBERS = ("lloq", "wbc_per_ul", "cd3_per_ul", "events", "events_cd8", "dna_ug")

_ASSAYS = {
    "flow": "flow",
    "flowcytometry": "flow",
    "facs": "flow",
    "qpcr": "qpcr",
    "pcr": "qpcr",
    "dpcr": "qpcr",
    "ddpcr": "qpcr",
}
_CELL_TYPES = {
    "cd4": "CD4",
    "cd8": "CD8",
    "total": "total",
    "cd3": "total",
    "car": "total",
    "all": "total",
}


@dataclass(frozen=True)
class Places:
    """Where the rows of a table of levels stand, for messages."""

    table: Table
    patient: Cells
    day: Cells
    assay: Cells

    def fault(
        self, section: str, what: str | Callable[[int], str], remedy: str | Callable[[int], str]
    ) -> Callable[[int], Fault]:
        """Return a function that writes the fault of a row, given its position."""

        def write(position: int) -> Fault:
            row = int(self.table.rows[position])
            patient, day = self.patient.at(position), self.day.at(position)
            parts = [
                f"patient {patient}" if patient else "no patient",
                f"day {day}" if day else "no day",
                self.assay.at(position) or "no assay",
            ]
            return Fault(
                f"{self.table.file}, row {row} ({', '.join(parts)})",
                what if isinstance(what, str) else what(position),
                remedy if isinstance(remedy, str) else remedy(position),
                file=self.table.file,
                section=section,
                patient=patient or None,
                row=row,
            )

        return write


def level_columns(table: Table, faults: FaultList) -> tuple[pd.DataFrame, Places] | None:
    """Read each column of a table of levels; None where a required one is missing.

    Returns
    -------
    samples : pandas.DataFrame
        Columns of `Cohort.levels` in the units of the file, plus `percent_of_cd3`, `factor`,
        `flagged` (1, 0, -1 where not said) and `synthetic` (the same); in the order of the file.
    places : Places
        Where the rows stand.
    """
    frame = table.frame
    if not set(REQUIRED_LEVEL_COLUMNS) <= set(frame.columns):
        return None
    cells = {name: cells_of(frame[name]) for name in ("patient", "day", "assay", "cell_type")}
    places = Places(table, cells["patient"], cells["day"], cells["assay"])
    assay = cells["assay"].each(lambda text: _ASSAYS.get(bare(text), ""), "", object)
    samples = {
        "patient": cells["patient"].each(str, "", object),
        "day": _numbers("day", frame, places, faults),
        "assay": assay,
        "cell_type": _cell_types(cells["cell_type"], assay),
        **_levels(frame, places, faults),
    }
    for name in OPTIONAL_NUMBERS[1:]:
        samples[name] = _numbers(name, frame, places, faults)
    samples["synthetic"] = _flags("synthetic", frame, places, faults)
    samples["row"] = table.rows
    _check_words(samples, cells, places, faults)
    units = cells_of(frame["unit"])
    samples["factor"], samples["percent_of_cd3"] = _units(assay, units, places, faults)
    whole = pd.DataFrame(samples)
    check_ranges(whole, places, faults)
    return whole, places


def _numbers(name: str, frame: pd.DataFrame, places: Places, faults: FaultList) -> np.ndarray:
    """Values of an optional column of numbers, NaN where missing."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    values, wrong, cells = numbers_of(frame[name])
    if cells is not None and wrong.any():
        _report_text(name, cells, wrong, places, faults)
    return values


def _report_text(
    name: str, cells: Cells, wrong: np.ndarray, places: Places, faults: FaultList
) -> None:
    fault = places.fault(
        name,
        lambda i: f"{name} is {cells.at(i)!r}, not a number",
        lambda i: why_no_number(cells.at(i)),
    )
    faults.add_rows(f"text in {name}", np.flatnonzero(wrong), fault)


def _levels(frame: pd.DataFrame, places: Places, faults: FaultList) -> dict[str, np.ndarray]:
    """Levels, limits and flags; "<50" and "BLQ" are levels below a limit."""
    level, wrong, cells = numbers_of(frame["level"])
    lloq = _numbers("lloq", frame, places, faults)
    flagged = _flags("below_lloq", frame, places, faults)
    if cells is not None and wrong.any():
        limits = {text: below_limit(text) for text in cells.labels}
        below = cells.each(lambda text: limits[text] is not None, False, bool)
        named = cells.each(lambda text: limits[text], np.nan, float)
        differs = below & ~np.isnan(named) & ~np.isnan(lloq) & (named != lloq)
        fault = places.fault(
            "level",
            lambda i: f"level {cells.at(i)!r} names another limit than lloq {lloq[i]:g}",
            "Make the two agree.",
        )
        faults.add_rows("two limits", np.flatnonzero(differs), fault)
        denied = below & (flagged == 0)
        fault = places.fault(
            "below_lloq",
            lambda i: f"level {cells.at(i)!r} is below a limit, but below_lloq is false",
            "Set below_lloq = true, or give the measured level.",
        )
        faults.add_rows("text against flag", np.flatnonzero(denied), fault)
        lloq = np.where(below & np.isnan(lloq), named, lloq)
        flagged = np.where(below, 1, flagged)
        _report_text("level", cells, wrong & ~below, places, faults)
        wrong = wrong & ~below
    silent = np.isnan(level) & (flagged != 1) & ~wrong
    fault = places.fault(
        "level", "has no level", "Give the level, or flag the sample below_lloq, or remove the row."
    )
    faults.add_rows("no level", np.flatnonzero(silent), fault)
    return {"level": level, "lloq": lloq, "flagged": flagged}


def _flags(name: str, frame: pd.DataFrame, places: Places, faults: FaultList) -> np.ndarray:
    """Yes (1), no (0), not said (-1)."""
    if name not in frame.columns:
        return np.full(len(frame), -1, dtype=np.int8)
    values, wrong, cells = booleans_of(frame[name])
    fault = places.fault(
        name, lambda i: f"{name} is {cells.at(i)!r}, neither yes nor no", "Write 1 or 0."
    )
    faults.add_rows(f"{name} unclear", np.flatnonzero(wrong), fault)
    return np.where(wrong, -1, values)


def _cell_types(cells: Cells, assay: np.ndarray) -> np.ndarray:
    """CD4, CD8 or total; "" where unknown. The transgene by qPCR is of all cells."""
    cell_type = cells.each(lambda text: _CELL_TYPES.get(_cell_word(text), ""), "", object)
    cell_type[cells.missing & (assay == "qpcr")] = "total"
    return cell_type


def _cell_word(text: str) -> str:
    """Bare name of a cell type, without the words every CAR T cell shares: "CAR+ CD4" -> "cd4"."""
    word = bare(text)
    for shared in ("positive", "pos", "cells", "cell"):
        word = word.replace(shared, "")
    if word in {"cart", "cartotal", "totalcar", "totalcart"}:
        return "total"
    return word.removeprefix("cart").removeprefix("car") or word


def _check_words(
    samples: Mapping[str, np.ndarray],
    cells: Mapping[str, Cells],
    places: Places,
    faults: FaultList,
) -> None:
    """Report missing patients and unknown assays and cell types."""
    fault = places.fault("patient", "has no patient", "Give the patient, or remove the row.")
    faults.add_rows("no patient", np.flatnonzero(cells["patient"].missing), fault)
    for name, known in (("assay", tuple(UNIT_OF)), ("cell_type", CELL_TYPES)):
        unknown = np.flatnonzero(samples[name] == "")
        fault = places.fault(name, _unknown(name, cells[name], known), f"Write {', '.join(known)}.")
        faults.add_rows(f"unknown {name}", unknown, fault)
    sorted_pcr = (samples["assay"] == "qpcr") & np.isin(samples["cell_type"], ("CD4", "CD8"))
    fault = places.fault(
        "cell_type",
        lambda i: f"qpcr of {samples['cell_type'][i]} cells cannot be used",
        "The transgene level is that of all cells: write total, or leave out qPCR of sorted cells.",
    )
    faults.add_rows("sorted qpcr", np.flatnonzero(sorted_pcr), fault)


def _unknown(name: str, cells: Cells, known: tuple[str, ...]) -> Callable[[int], str]:
    def what(position: int) -> str:
        text = cells.at(position)
        if not text:
            return f"has no {name}"
        return f"unknown {name} {text!r}{did_you_mean(text, known)}"

    return what


def _units(
    assay: np.ndarray, cells: Cells, places: Places, faults: FaultList
) -> tuple[np.ndarray, np.ndarray]:
    """Factor to the unit of the assay and whether the level is a percentage of CD3 cells."""
    factor = np.full(len(assay), np.nan)
    percent = np.zeros(len(assay), dtype=bool)
    for name in UNIT_OF:
        here = assay == name
        units = {text: parse_unit(text, name) for text in cells.labels}
        known = cells.each(lambda text: units[text] is not None, False, bool)  # noqa: B023
        fault = places.fault(
            "unit",
            lambda i: f"unknown unit {cells.at(i)!r}" if cells.at(i) else "has no unit",
            lambda i, name=name: why_unknown(cells.at(i), name),
        )
        faults.add_rows("unknown unit", np.flatnonzero(here & ~known), fault)
        names = cells.each(
            lambda text: units[text].name if units[text] else "", "", object  # noqa: B023
        )
        _check_one_unit(name, names, here & known, places, faults)
        factors = cells.each(
            lambda text: units[text].factor if units[text] else np.nan, np.nan, float  # noqa: B023
        )
        factor[here] = factors[here]
        percent[here] = names[here] == PERCENT_OF_CD3
    return factor, percent


def _check_one_unit(
    assay: str, names: np.ndarray, here: np.ndarray, places: Places, faults: FaultList
) -> None:
    """One assay has one unit in one file: a second one is more often a slip than a choice."""
    found = pd.unique(names[here])
    if len(found) < 2:
        return
    for name in found[1:]:
        at = np.flatnonzero(here & (names == name))
        first = int(np.flatnonzero(here & (names == found[0]))[0])
        what = (
            f"{assay} levels are in {name} here and in {found[0]} in row "
            f"{places.table.rows[first]} ({len(at)} rows differ)"
        )
        fault = places.fault("unit", what, f"Give all {assay} levels in one unit.")
        faults.add("mixed units", fault(int(at[0])))


def stated_limits(
    lloq: Mapping[str, float] | None, faults: FaultList
) -> dict[str, float]:
    """Check the limits a user states for samples without one."""
    checked = {}
    for assay, limit in dict(lloq or {}).items():
        value = number(str(limit))
        if assay not in UNIT_OF:
            what = f"unknown assay {assay!r}{did_you_mean(str(assay), UNIT_OF)}"
        elif not (np.isfinite(value) and value > 0):
            what = f"the limit of {assay} is {limit!r}"
        else:
            checked[assay] = value
            continue
        remedy = "Write for instance lloq={'flow': 0.5} (cells/uL; copies/ug for qpcr)."
        faults.add("lloq", Fault("lloq", what, remedy, section="lloq"))
    return checked
