"""Reads the two tables of a trial into a `Cohort`, or lists everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from carkinetics.cohort.cohort import Cohort
from carkinetics.cohort.columns import LEVEL_COLUMNS, check_mapping, name_columns
from carkinetics.cohort.conversion import convert_units
from carkinetics.cohort.detection import apply_detection
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.level_table import level_columns
from carkinetics.cohort.limits import KEY, apply_limits, check_duplicates, stated_limits
from carkinetics.cohort.notices import Notice, about_patients, derived_notices
from carkinetics.cohort.patient_table import GRADES, patient_columns
from carkinetics.cohort.tables import Table, load_table
from carkinetics.cohort.totals import add_totals
from carkinetics.errors import Fault

_CANONICAL = [
    "patient",
    "day",
    "assay",
    "cell_type",
    "level",
    "unit",
    "lloq",
    "below_lloq",
    "lod",
    "detected",
    "baseline",
    "wbc_per_ul",
    "cd3_per_ul",
    "events",
    "events_cd8",
    "dna_ug",
    "row",
]


def read_cohort(
    levels: str | Path | pd.DataFrame,
    patients: str | Path | pd.DataFrame | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    flag_below_lloq: bool = False,
    lloq: Mapping[str, float] | None = None,
    name: str | None = None,
) -> Cohort:
    """Read and check the two tables of a trial.

    Parameters
    ----------
    levels : path or pandas.DataFrame
        One row per sample. Columns `patient`, `day` (from infusion), `assay` (flow, qpcr),
        `cell_type` (CD4, CD8, total), `level`, `unit` (flow: cells/uL, cells/mL, ..., or % of CD3
        with `cd3_per_ul`; qpcr: copies/ug, copies/50 ng, ...); optional `lloq` (in the same unit),
        `below_lloq`, `lod` (limit of detection, in the same unit), `detected` (whether cells were
        seen), `wbc_per_ul`, `cd3_per_ul`, `events`, `events_cd8`, `dna_ug`, `synthetic`.
        A file is CSV in UTF-8; lines that begin with ``#`` are comments. A level may be written
        "<50" or "BLQ".
    patients : path or pandas.DataFrame, optional
        One row per patient; see `Cohort`.
    columns : mapping of str to str, optional
        Your column names -> ours, for both tables. Common names such as USUBJID are known.
    flag_below_lloq : bool
        Flag levels below their LLOQ that are not flagged, rather than refuse them.
    lloq : mapping of str to float, optional
        Limit in cells/uL or copies/ug of samples that have none, such as ``{"flow": 0.5}``; those
        below it are flagged. CD4 and CD8 flow rows stay the split of the total.
    name : str, optional
        Name of the cohort; the name of the levels file by default.

    Returns
    -------
    Cohort
        The checked tables, with notices about everything unusual that was accepted.

    Raises
    ------
    DataError
        With all faults of both tables, each with its file, row, patient and remedy.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"patient": ["P1"], "day": [7], "assay": ["qpcr"], "cell_type": ["total"],
    ...      "level": [900.0], "unit": ["copies/ug"], "lloq": [50.0]}
    ... )
    >>> read_cohort(table).n_patients
    1
    """
    faults = FaultList()
    stated = stated_limits(lloq, faults)
    level_table = load_table(levels, "levels", faults)
    patient_table = None if patients is None else load_table(patients, "patients", faults)
    tables = [table for table in (level_table, patient_table) if table is not None]
    check_mapping(columns or {}, tables, faults)
    samples, notices = _read_levels(level_table, columns, stated, flag_below_lloq, faults)
    people = _read_patients(patient_table, columns, faults)
    synthetic = _synthetic(samples, people, faults)
    faults.raise_if_any()
    return _assemble(samples, people, notices, name or _name_of(levels), synthetic)


def _read_levels(
    table: Table | None,
    columns: Mapping[str, str] | None,
    stated: Mapping[str, float],
    flag_below_lloq: bool,
    faults: FaultList,
) -> tuple[pd.DataFrame | None, list[Notice]]:
    if table is None:
        return None, []
    table = name_columns(table, "levels", columns or {}, faults)
    read = level_columns(table, faults)
    if read is None:
        return None, []
    samples, places = read
    samples = convert_units(samples, places, faults)
    check_duplicates(samples, places, faults)
    samples, notices = apply_limits(samples, stated, flag_below_lloq, places, faults)
    samples = apply_detection(samples, places, faults)
    samples, more = add_totals(samples, stated.get("flow"), places, faults)
    return samples, [*_ignored(table), *notices, *more]


def _read_patients(
    table: Table | None, columns: Mapping[str, str] | None, faults: FaultList
) -> pd.DataFrame | None:
    if table is None:
        return None
    return patient_columns(name_columns(table, "patients", columns or {}, faults), faults)


def _ignored(table: Table) -> list[Notice]:
    """Name the columns of the levels that mean nothing to us: one may be misspelled."""
    extra = [str(name) for name in table.frame.columns if name not in LEVEL_COLUMNS]
    text = f"columns of {table.file} not used: {', '.join(extra)}"
    return [Notice("columns_not_used", len(extra), (), text)]


def _synthetic(
    samples: pd.DataFrame | None, people: pd.DataFrame | None, faults: FaultList
) -> bool:
    """Whether the tables say they are synthetic; a mix would lose the mark, so it is refused."""
    marks = []
    for table in (samples, people):
        if table is not None and "synthetic" in table.columns:
            marks.append(table["synthetic"].fillna(False).to_numpy(dtype=float) == 1)
    if samples is not None and bool((samples["synthetic"] < 0).all()):
        # The table of levels says nothing: the table of patients speaks for both.
        marks = marks[1:]
    marked = any(bool(mark.any()) for mark in marks)
    if marked and not all(bool(mark.all()) for mark in marks):
        what = "some rows are marked synthetic and others are not"
        remedy = "Keep synthetic and real patients in cohorts of their own."
        faults.add("synthetic", Fault("column synthetic", what, remedy, section="synthetic"))
    return marked


def _assemble(
    samples: pd.DataFrame,
    people: pd.DataFrame | None,
    notices: list[Notice],
    name: str,
    synthetic: bool,
) -> Cohort:
    """Sort both tables, give every patient a row, and count what is unusual."""
    samples = samples.assign(baseline=samples["day"] < 0)
    stated = [name for name in _CANONICAL if name in samples]
    levels = samples.sort_values(KEY, ignore_index=True)[stated]
    measured = levels["patient"].unique()
    if people is None:
        people = pd.DataFrame({"patient": measured})
    else:
        lacking = sorted(set(measured) - set(people["patient"]))
        notices.append(about_patients("without_outcomes", lacking, "without outcome row"))
        people = _with_rows(people, lacking)
    people = people.sort_values("patient", ignore_index=True)
    text = {"patient": str}
    levels, people = levels.astype(text), people.astype(text)
    found = [item for item in notices if item.count]
    return Cohort(levels, people, name, synthetic, (*found, *derived_notices(levels, people)))


def _with_rows(people: pd.DataFrame, lacking: list[str]) -> pd.DataFrame:
    """Add rows with nothing but the patient; whole numbers and yes/no keep their kind."""
    kinds = {name: "Int64" for name in GRADES if name in people.columns}
    if lacking:
        for name, dtype in people.dtypes.items():
            if pd.api.types.is_bool_dtype(dtype):
                kinds[name] = "boolean"
            elif pd.api.types.is_integer_dtype(dtype):
                kinds[name] = "Int64"
    people = people.astype(kinds)
    if not lacking:
        return people
    rows = pd.DataFrame({"patient": lacking}).reindex(columns=people.columns)
    return pd.concat([people, rows.astype(people.dtypes.to_dict())], ignore_index=True)


def _name_of(source: object) -> str:
    return Path(source).stem if isinstance(source, str | Path) else "cohort"
