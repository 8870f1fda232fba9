"""Brings levels and limits to the unit of their assay."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import Cells, cells_of
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.level_units import UNIT_OF, LevelUnit, parse_unit, why_unknown
from carkinetics.cohort.places import Places


def convert_units(samples: pd.DataFrame, places: Places, faults: FaultList) -> pd.DataFrame:
    """Convert `level`, `lloq` and `lod` to cells/uL (flow) or copies/ug (qpcr).

    A percentage of CD3 cells is multiplied by the CD3 count of the same row, its limit too.
    """
    cells = cells_of(samples["unit"])
    factor = np.full(len(samples), np.nan)
    percent = np.zeros(len(samples), dtype=bool)
    for assay in UNIT_OF:
        here = (samples["assay"] == assay).to_numpy()
        _convert_assay(assay, here, cells, places, faults, factor, percent)
    cd3 = samples["cd3_per_ul"].to_numpy()
    _check_percentages(samples, percent, cd3, places, faults)
    # A factor of 1 leaves the number exactly as it was read.
    factor = factor * np.where(percent, cd3, 1.0)
    return samples.assign(
        level=samples["level"] * factor,
        lloq=samples["lloq"] * factor,
        lod=samples["lod"] * factor,
        unit=samples["assay"].map(UNIT_OF),
    )


def _convert_assay(
    assay: str,
    here: np.ndarray,
    cells: Cells,
    places: Places,
    faults: FaultList,
    factor: np.ndarray,
    percent: np.ndarray,
) -> None:
    """Fill in the factor of the rows of one assay and whether they are percentages of CD3."""
    units: dict[str, LevelUnit] = {}
    for text in cells.labels:
        unit = parse_unit(text, assay)
        if unit is not None:
            units[text] = unit
    names = cells.each(lambda text: units[text].name if text in units else "", "", object)
    unknown = np.flatnonzero(here & (names == ""))
    fault = places.fault(
        "unit",
        lambda i: f"unknown unit {cells.at(i)!r}" if cells.at(i) else "has no unit",
        lambda i: why_unknown(cells.at(i), assay),
    )
    faults.add_rows("unknown unit", unknown, fault)
    _check_one_unit(assay, np.where(here, names, ""), places, faults)
    factors = cells.each(
        lambda text: units[text].factor if text in units else np.nan, np.nan, float
    )
    percents = cells.each(lambda text: text in units and units[text].percent_of_cd3, False, bool)
    factor[here] = factors[here]
    percent[here] = percents[here]


def _check_one_unit(assay: str, names: np.ndarray, places: Places, faults: FaultList) -> None:
    """One assay has one unit in one file: a second one is more often a slip than a choice."""
    found = [name for name in pd.unique(names) if name]
    first = {name: int(np.argmax(names == name)) for name in found}
    for name in found[1:]:
        what = (
            f"{assay} levels are in {name} here and in {found[0]} in row "
            f"{places.table.rows[first[found[0]]]} ({np.sum(names == name)} rows differ)"
        )
        fault = places.fault("unit", what, f"Give all {assay} levels in one unit.")
        faults.add("mixed units", fault(first[name]))


def _check_percentages(
    samples: pd.DataFrame,
    percent: np.ndarray,
    cd3: np.ndarray,
    places: Places,
    faults: FaultList,
) -> None:
    level = samples["level"].to_numpy()
    fault = places.fault(
        "level", lambda i: f"level {level[i]:g} % is above 100 %", "Correct the level or its unit."
    )
    faults.add_rows("percentage", np.flatnonzero(percent & (level > 100)), fault)
    fault = places.fault(
        "cd3_per_ul",
        "a level in % of CD3 needs the CD3 cells/uL of the same draw",
        "Give cd3_per_ul (above 0), or the level in cells/uL, or leave the row out.",
    )
    faults.add_rows("no CD3 count", np.flatnonzero(percent & ~(cd3 > 0)), fault)
