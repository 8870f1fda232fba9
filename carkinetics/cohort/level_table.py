"""The table of levels: from cells as given to one checked row per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import Cells, below_limit, cells_of, numbers_of
from carkinetics.cohort.columns import REQUIRED_LEVEL_COLUMNS, bare, did_you_mean
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.level_units import UNIT_OF
from carkinetics.cohort.places import Places
from carkinetics.cohort.ranges import check_ranges
from carkinetics.cohort.readings import read_flags, read_numbers, report_text
from carkinetics.cohort.tables import Table

CELL_TYPES = ("CD4", "CD8", "total")
_OTHER_NUMBERS = ("wbc_per_ul", "cd3_per_ul", "events", "events_cd8", "dna_ug")
_ASSAYS = {
    "flow": "flow",
    "flowcytometry": "flow",
    "facs": "flow",
    "qpcr": "qpcr",
    "pcr": "qpcr",
    "dpcr": "qpcr",
    "ddpcr": "qpcr",
}
# What is left of a cell type without "CAR", "T", "+" and "cells".
_CELL_TYPES = {"cd4": "CD4", "cd8": "CD8", "": "total", "total": "total", "cd3": "total"}
_CELL_TYPES["all"] = "total"


def level_columns(table: Table, faults: FaultList) -> tuple[pd.DataFrame, Places] | None:
    """Read each column of a table of levels; None where a required one is missing.

    Where a column is missing, the others are checked all the same.

    Returns
    -------
    samples : pandas.DataFrame
        Columns `patient`, `day`, `assay`, `cell_type` ("" where unknown), `level`, `lloq` and `lod`
        (in the unit of the file), `unit` (as given), `flagged`, `detected` and `synthetic` (1, 0,
        -1 where not said), the other numbers and `row`; in the order of the file.
    places : Places
        Where the rows stand.
    """
    missing = [name for name in REQUIRED_LEVEL_COLUMNS if name not in table.frame.columns]
    frame = table.frame.assign(**dict.fromkeys(missing, np.nan))
    cells = {name: cells_of(frame[name]) for name in ("patient", "day", "assay", "cell_type")}
    places = Places(table, cells["patient"], (("day ", cells["day"]), ("", cells["assay"])))
    found = FaultList()
    assay = cells["assay"].each(lambda text: _ASSAYS.get(bare(text), ""), "", object)
    samples = {
        "patient": cells["patient"].each(str, "", object),
        "day": _days(frame["day"], places, found),
        "assay": assay,
        "cell_type": _cell_types(cells["cell_type"], assay),
        **_levels(frame, places, found),
        "unit": frame["unit"],
        "lod": _numbers("lod", frame, places, found),
        "detected": _flags("detected", frame, places, found),
        **{name: _numbers(name, frame, places, found) for name in _OTHER_NUMBERS},
        "synthetic": _flags("synthetic", frame, places, found),
        "row": table.rows,
    }
    _check_words(samples, cells, places, found)
    read = pd.DataFrame(samples)
    check_ranges(read, places, found)
    faults.extend(found, but_not=missing)
    return None if missing else (read, places)


def _numbers(name: str, frame: pd.DataFrame, places: Places, faults: FaultList) -> np.ndarray:
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return read_numbers(name, frame[name], places, faults)


def _flags(name: str, frame: pd.DataFrame, places: Places, faults: FaultList) -> np.ndarray:
    if name not in frame.columns:
        return np.full(len(frame), -1, dtype=np.int8)
    return read_flags(name, frame[name], places, faults)


def _days(column: pd.Series, places: Places, faults: FaultList) -> np.ndarray:
    """Read days; text is reported as such, and not as missing too."""
    day, wrong, cells = numbers_of(column)
    if cells is not None:
        report_text("day", cells, wrong, places, faults)
    fault = places.fault("day", "has no day", "Give the day, counted from the infusion (day 0).")
    faults.add_rows("no day", np.flatnonzero(np.isnan(day) & ~wrong), fault)
    return day


def _levels(frame: pd.DataFrame, places: Places, faults: FaultList) -> dict[str, np.ndarray]:
    """Read levels, limits and flags; "<50" and "BLQ" are levels below a limit."""
    level, wrong, cells = numbers_of(frame["level"])
    lloq = _numbers("lloq", frame, places, faults)
    flagged = _flags("below_lloq", frame, places, faults)
    if cells is not None and wrong.any():
        named = {text: below_limit(text) for text in cells.labels}
        below = cells.each(lambda text: named[text] is not None, False, bool)
        limit = cells.each(lambda text: named[text], np.nan, float)
        _check_texts(cells, below, limit, lloq, flagged, places, faults)
        lloq = np.where(below & np.isnan(lloq), limit, lloq)
        flagged = np.where(below, 1, flagged)
        report_text("level", cells, wrong & ~below, places, faults)
    # Of text that is no level the line above speaks; here it is about empty cells.
    silent = np.isnan(level) & (flagged != 1) & ~wrong
    remedy = "Give the level, or flag the sample below_lloq, or remove the row."
    fault = places.fault("level", "has no level", remedy)
    faults.add_rows("no level", np.flatnonzero(silent), fault)
    return {"level": level, "lloq": lloq, "flagged": flagged}


def _check_texts(
    cells: Cells,
    below: np.ndarray,
    limit: np.ndarray,
    lloq: np.ndarray,
    flagged: np.ndarray,
    places: Places,
    faults: FaultList,
) -> None:
    """Report texts such as "<50" that disagree with the limit or the flag of their row."""
    differs = below & ~np.isnan(limit) & ~np.isnan(lloq) & (limit != lloq)
    fault = places.fault(
        "level",
        lambda i: f"level {cells.at(i)!r} names another limit than lloq {lloq[i]:g}",
        "Make the two agree.",
    )
    faults.add_rows("two limits", np.flatnonzero(differs), fault)
    fault = places.fault(
        "below_lloq",
        lambda i: f"level {cells.at(i)!r} is below a limit, but below_lloq is false",
        "Set below_lloq = true, or give the measured level.",
    )
    faults.add_rows("text against flag", np.flatnonzero(below & (flagged == 0)), fault)


def _cell_types(cells: Cells, assay: np.ndarray) -> np.ndarray:
    """Read CD4, CD8 or total; "" where unknown. The transgene by qPCR is of all cells."""
    cell_type = cells.each(lambda text: _CELL_TYPES.get(_cell_word(text), ""), "", object)
    cell_type[cells.missing & (assay == "qpcr")] = "total"
    return cell_type


def _cell_word(text: str) -> str:
    """Leave out what every CAR T cell shares: "CD4+ CAR+ cells" -> "cd4"."""
    word = bare(text)
    for shared in ("positive", "pos", "cells", "cell", "cart", "car"):
        word = word.replace(shared, "")
    return word


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
    cell_type = samples["cell_type"]
    apart = (samples["assay"] == "qpcr") & ((cell_type == "CD4") | (cell_type == "CD8"))
    fault = places.fault(
        "cell_type",
        lambda i: f"qpcr of {cell_type[i]} cells cannot be used",
        "The transgene level is that of all cells: write total, or leave out qPCR of sorted cells.",
    )
    faults.add_rows("qpcr of sorted cells", np.flatnonzero(apart), fault)


def _unknown(name: str, cells: Cells, known: tuple[str, ...]) -> Callable[[int], str]:
    def what(position: int) -> str:
        text = cells.at(position)
        return f"unknown {name} {text!r}{did_you_mean(text, known)}" if text else f"has no {name}"

    return what
