"""Reads one column, and reports the cells that cannot be read."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import Cells, booleans_of, numbers_of, why_no_number
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.places import Places


def read_numbers(name: str, column: pd.Series, places: Places, faults: FaultList) -> np.ndarray:
    """Read a column of numbers.

    Returns
    -------
    numpy.ndarray of float, shape (n_rows,)
        NaN where missing or reported.
    """
    values, wrong, cells = numbers_of(column)
    if cells is not None:
        report_text(name, cells, wrong, places, faults)
    return values


def report_text(
    name: str, cells: Cells, wrong: np.ndarray, places: Places, faults: FaultList
) -> None:
    """Report text where a number should be."""
    fault = places.fault(
        name,
        lambda i: f"{name} is {cells.at(i)!r}, not a number",
        lambda i: why_no_number(cells.at(i)),
    )
    faults.add_rows(f"text in {name}", np.flatnonzero(wrong), fault)


def read_flags(name: str, column: pd.Series, places: Places, faults: FaultList) -> np.ndarray:
    """Read a column of yes and no.

    Returns
    -------
    numpy.ndarray of int8, shape (n_rows,)
        1 for yes, 0 for no, -1 where missing or reported.
    """
    values, wrong, cells = booleans_of(column)
    remedy = "Write 1 (yes) or 0 (no); leave it empty where unknown."
    if name == "iec_hs":
        remedy += " A grade of IEC-HS is a covariate: give it another name."
    fault = places.fault(name, lambda i: f"{name} is {cells.at(i)!r}, neither yes nor no", remedy)
    faults.add_rows(f"{name} unclear", np.flatnonzero(wrong), fault)
    return np.where(wrong, -1, values).astype(np.int8)
