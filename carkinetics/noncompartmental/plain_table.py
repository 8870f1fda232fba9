"""From a plain table of samples, without a cohort, to profiles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental.profiles import Profiles, from_table, with_total

_NEEDED = ("patient", "day", "level")
_NUMBERS = ("day", "level", "lloq", "lod")


class TableFacts:
    """What a result wants to know of its data, for a plain table."""

    synthetic = False
    name = "table"

    def __init__(self, table: pd.DataFrame) -> None:
        text = table.to_csv(index=False, lineterminator="\n")
        self.data_hash = hashlib.sha256(text.encode()).hexdigest()


def profiles_of_table(
    table: pd.DataFrame, assay: str, cell_types: Sequence[str] | None
) -> dict[str, Profiles]:
    """Check a plain table and sort it into profiles, by cell type; see `nca` for its columns."""
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        what = f"no column {', '.join(missing)}"
        raise DataError(Fault("table", what, f"It needs {', '.join(_NEEDED)}."))
    rows = table if "assay" not in table else table[table["assay"] == assay]
    if rows.empty:
        raise DataError(Fault(f"table: {assay}", "there are no samples", "Choose another assay."))
    faults = [
        Fault(f"table: {name}", f"holds {rows[name].dtype}, not numbers",
              "Convert it; text such as <5 becomes below_lloq and lloq, see read_cohort.")
        for name in _NUMBERS
        if name in rows and not is_numeric_dtype(rows[name])
    ]  # fmt: skip
    if rows["patient"].isna().any():
        faults.append(Fault("table: patient", "is missing in some rows", "Name every patient."))
    if faults:
        raise DataError(faults)
    units = sorted(map(str, rows["unit"].unique())) if "unit" in rows else [""]
    if len(units) > 1:
        what = f"units {units} are mixed"
        raise DataError(Fault(f"table: {assay}", what, "Convert them, or choose one assay."))
    filled = rows.assign(
        lloq=rows.get("lloq", np.nan), cell_type=rows.get("cell_type", "total")
    )  # fmt: skip
    lloq, level = filled["lloq"].to_numpy(float), filled["level"].to_numpy(float)
    with np.errstate(invalid="ignore"):
        below = level < lloq
    if "below_lloq" in filled:
        below = below | filled["below_lloq"].eq(True).to_numpy(bool)
    filled = filled.assign(below_lloq=below)
    if "lod" in filled or "detected" in filled:
        with np.errstate(invalid="ignore"):
            seen = below & (level >= filled.get("lod", np.nan))
        if "detected" in filled:
            said = filled["detected"]
            seen = np.where(said.isna(), seen, said.eq(True).to_numpy(bool))
        filled = filled.assign(detected=seen)
    cells = tuple(cell_types) if cell_types is not None else tuple(filled["cell_type"].unique())
    known = set(filled["cell_type"])
    if strange := [cell for cell in cells if cell not in known]:
        choices = f"The table has {', '.join(map(str, known))}."
        raise DataError([Fault("table", f"no cell type {cell!r}", choices) for cell in strange])
    patients = tuple(dict.fromkeys(filled["patient"]))
    stacked = {
        cell: from_table(filled[filled["cell_type"] == cell], patients, units[0] if units else "")
        for cell in cells
    }
    total = stacked.get("total")
    if total is None:
        return stacked
    return {cell: with_total(p, total, "first") for cell, p in stacked.items()}
