"""The table of patients: outcomes with our names, everything else kept as a covariate."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import Cells, cells_of, numbers_of
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.places import Places
from carkinetics.cohort.ranges import check_ranges
from carkinetics.cohort.readings import read_flags, read_numbers
from carkinetics.cohort.tables import Table

NUMBERS = (
    "ttp_day",
    "pfs_day",
    "os_day",
    "crs_grade",
    "crs_onset_day",
    "icans_grade",
    "iec_hs_day",
    "product_cd4_share",
    "dose",
)
FLAGS = ("progressed", "pfs_event", "died", "iec_hs", "synthetic")
GRADES = ("crs_grade", "icans_grade")
# Day of follow-up -> whether the event happened on it.
EVENT_OF = {"ttp_day": "progressed", "pfs_day": "pfs_event", "os_day": "died"}
# Codes such as center 007 are names, not numbers.
_CODE = re.compile(r"0\d+")


def patient_columns(table: Table, faults: FaultList) -> pd.DataFrame | None:
    """Read each column of a table of patients; None where the patient column is missing.

    Returns
    -------
    patients : pandas.DataFrame
        One row per patient in the order of the file: our columns with nullable types (grades are
        still floats here), and the covariates.
    """
    missing = [name for name in ("patient",) if name not in table.frame.columns]
    frame = table.frame.assign(**dict.fromkeys(missing, np.nan))
    cells = cells_of(frame["patient"])
    places = Places(table, cells)
    found = FaultList()
    columns = {}
    for name in frame.columns:
        if name in NUMBERS:
            columns[name] = read_numbers(name, frame[name], places, found)
        elif name in FLAGS:
            flags = pd.Series(read_flags(name, frame[name], places, found))
            columns[name] = (flags == 1).astype("boolean").mask(flags < 0)
        elif name in ("patient", "response"):
            columns[name] = _texts(cells_of(frame[name]))
        else:
            columns[name] = _covariate(frame[name]) if table.is_text else frame[name]
    patients = pd.DataFrame(columns)
    _check_patients(cells, places, found)
    check_ranges(patients, places, found)
    _check_events(frame, places, found)
    faults.extend(found, but_not=missing)
    return None if missing else patients.astype({"patient": object})


def _texts(cells: Cells) -> pd.Series:
    return pd.Series(cells.each(str, None, object), dtype="string")


def _covariate(column: pd.Series) -> pd.Series:
    """Find the kind of a column of text: whole numbers, numbers, or text as it is."""
    values, wrong, cells = numbers_of(column)
    if cells is None:
        return column
    labels = [str(label) for label in cells.labels]
    if not labels or wrong.any() or any(_CODE.fullmatch(label) for label in labels):
        return _texts(cells)
    if not all(label.lstrip("+-").isdigit() for label in labels):
        return pd.Series(values)
    return pd.Series(values).astype("Int64" if cells.missing.any() else np.int64)


def _check_patients(cells: Cells, places: Places, faults: FaultList) -> None:
    """Every row has a patient, and no patient has two."""
    fault = places.fault("patient", "has no patient", "Give the patient, or remove the row.")
    faults.add_rows("no patient", np.flatnonzero(cells.missing), fault)
    first: dict[int, int] = {}
    for code, row in zip(cells.codes, places.table.rows, strict=True):
        first.setdefault(int(code), int(row))
    again = pd.Series(cells.codes).duplicated().to_numpy() & ~cells.missing
    fault = places.fault(
        "patient",
        lambda i: f"a second row of this patient; the first is row {first[int(cells.codes[i])]}",
        "Keep one row per patient.",
    )
    faults.add_rows("duplicate patient", np.flatnonzero(again), fault)


def _check_events(frame: pd.DataFrame, places: Places, faults: FaultList) -> None:
    """Report a time without its event and an event without its time: neither can be used."""
    for day, event in EVENT_OF.items():
        here = [name for name in (day, event) if name in frame.columns]
        if len(here) == 1:
            lacking = event if here[0] == day else day
            what = f"column {here[0]!r} needs column {lacking!r}"
            remedy = f"Add {lacking!r}, or leave {here[0]!r} out."
            faults.add("missing column", places.header_fault(lacking, what, remedy))
        if len(here) < 2:
            continue
        no_day, no_event = cells_of(frame[day]).missing, cells_of(frame[event]).missing
        remedy = "Give both (the event is 0 where follow-up ended without it), or neither."
        fault = places.fault(day, f"{event} is given but {day} is not", remedy)
        faults.add_rows(f"{event} without day", np.flatnonzero(no_day & ~no_event), fault)
        fault = places.fault(event, f"{day} is given but {event} is not", remedy)
        faults.add_rows(f"{day} without event", np.flatnonzero(no_event & ~no_day), fault)
