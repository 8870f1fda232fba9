"""The table of patients: outcomes with our names, everything else kept as a covariate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import Cells, booleans_of, cells_of, numbers_of, why_no_number
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.ranges import check_ranges
from carkinetics.cohort.tables import Table
from carkinetics.errors import Fault

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
BOOLEANS = ("progressed", "pfs_event", "died", "iec_hs")
GRADES = ("crs_grade", "icans_grade")
# Day of follow-up -> whether the event happened on it.
EVENT_OF = {"ttp_day": "progressed", "pfs_day": "pfs_event", "os_day": "died"}


@dataclass(frozen=True)
class PatientPlaces:
    """Where the rows of a table of patients stand, for messages."""

    table: Table
    patient: Cells

    def fault(
        self, section: str, what: str | Callable[[int], str], remedy: str | Callable[[int], str]
    ) -> Callable[[int], Fault]:
        """Return a function that writes the fault of a row, given its position."""

        def write(position: int) -> Fault:
            row, patient = int(self.table.rows[position]), self.patient.at(position)
            named = f"patient {patient}" if patient else "no patient"
            return Fault(
                f"{self.table.file}, row {row} ({named})",
                what if isinstance(what, str) else what(position),
                remedy if isinstance(remedy, str) else remedy(position),
                file=self.table.file,
                section=section,
                patient=patient or None,
                row=row,
            )

        return write


def patient_columns(table: Table, faults: FaultList) -> pd.DataFrame | None:
    """Read each column of a table of patients; None where the patient column is missing.

    Returns
    -------
    patients : pandas.DataFrame
        One row per patient: our columns with nullable types, then the covariates in their order.
    """
    frame = table.frame
    if "patient" not in frame.columns:
        return None
    cells = cells_of(frame["patient"])
    places = PatientPlaces(table, cells)
    columns: dict[str, object] = {"patient": cells.each(str, "", object)}
    for name in frame.columns:
        if name in NUMBERS:
            columns[name] = _numbers(name, frame[name], places, faults)
        elif name in BOOLEANS:
            columns[name] = _booleans(name, frame[name], places, faults)
        elif name == "response":
            columns[name] = _texts(cells_of(frame[name]))
        elif name != "patient":
            columns[name] = _covariate(frame[name])
    patients = pd.DataFrame(columns)
    _check_patients(patients, cells, places, faults)
    check_ranges(patients, places, faults)
    _check_events(patients, places, faults)
    for name in set(GRADES) & set(columns):
        if len(faults) == 0:
            patients[name] = patients[name].astype("Int64")
    return patients


def _numbers(
    name: str, column: pd.Series, places: PatientPlaces, faults: FaultList
) -> np.ndarray:
    values, wrong, cells = numbers_of(column)
    if cells is not None and wrong.any():
        fault = places.fault(
            name,
            lambda i: f"{name} is {cells.at(i)!r}, not a number",
            lambda i: why_no_number(cells.at(i)),
        )
        faults.add_rows(f"text in {name}", np.flatnonzero(wrong), fault)
    return values


def _booleans(
    name: str, column: pd.Series, places: PatientPlaces, faults: FaultList
) -> pd.Series:
    values, wrong, cells = booleans_of(column)
    remedy = "Write 1 (yes) or 0 (no); leave it empty where unknown."
    if name == "iec_hs":
        remedy += " A grade of IEC-HS is a covariate: give it another name."
    fault = places.fault(name, lambda i: f"{name} is {cells.at(i)!r}, neither yes nor no", remedy)
    faults.add_rows(f"{name} unclear", np.flatnonzero(wrong), fault)
    return pd.Series(values == 1, dtype="boolean").mask(values < 0)


def _texts(cells: Cells) -> pd.Series:
    return pd.Series(cells.each(str, None, object), dtype="string")


def _covariate(column: pd.Series) -> pd.Series:
    """Keep a covariate as it is; text of a file becomes whole numbers or numbers if all are."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column
    values, wrong, cells = numbers_of(column)
    if cells is None or wrong.any() or cells.missing.all():
        return _texts(cells) if cells is not None else column
    whole = [str(label).lstrip("+-").isdigit() for label in cells.labels]
    if not all(whole):
        return pd.Series(values)
    if np.isnan(values).any():
        return pd.Series(values).astype("Int64")
    return pd.Series(values.astype(np.int64))


def _check_patients(
    patients: pd.DataFrame, cells: Cells, places: PatientPlaces, faults: FaultList
) -> None:
    fault = places.fault("patient", "has no patient", "Give the patient, or remove the row.")
    faults.add_rows("no patient", np.flatnonzero(cells.missing), fault)
    again = patients["patient"].duplicated().to_numpy() & ~cells.missing
    first = dict(zip(patients["patient"][::-1], places.table.rows[::-1], strict=True))
    fault = places.fault(
        "patient",
        lambda i: f"a second row of this patient; the first is row {first[cells.at(i)]}",
        "Keep one row per patient.",
    )
    faults.add_rows("duplicate patient", np.flatnonzero(again), fault)


def _check_events(patients: pd.DataFrame, places: PatientPlaces, faults: FaultList) -> None:
    """A time without its event, or an event without its time, cannot be used."""
    for day, event in EVENT_OF.items():
        here = [name for name in (day, event) if name in patients.columns]
        if not here:
            continue
        if len(here) == 1:
            lacking = event if here[0] == day else day
            what = f"column {here[0]!r} needs column {lacking!r}"
            faults.add(
                "missing column",
                Fault(
                    f"{places.table.file}, header",
                    what,
                    f"Add {lacking!r}, or remove {here[0]!r}.",
                    file=places.table.file,
                    section=lacking,
                ),
            )
            continue
        known, said = patients[day].notna().to_numpy(), patients[event].notna().to_numpy()
        remedy = "Give both (the event is 0 where follow-up ended without it), or neither."
        fault = places.fault(day, f"{event} is given but {day} is not", remedy)
        faults.add_rows(f"{event} without day", np.flatnonzero(said & ~known), fault)
        fault = places.fault(event, f"{day} is given but {event} is not", remedy)
        faults.add_rows(f"{day} without event", np.flatnonzero(known & ~said), fault)
