"""`patients_from_cdisc`: ADaM and SDTM tables as one table of patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from carkinetics.cohort.adverse_events import TERMS, worst_grades
from carkinetics.cohort.disposition import last_contacts
from carkinetics.cohort.study_days import UNITS
from carkinetics.errors import DataError, Fault

type Source = str | Path | pd.DataFrame

# PARAMCD -> our day of follow-up and our event.
PARAMETERS = {
    "TTP": ("ttp_day", "progressed"),
    "TTPROG": ("ttp_day", "progressed"),
    "PFS": ("pfs_day", "pfs_event"),
    "OS": ("os_day", "died"),
}
_SUBJECT = {"USUBJID": "patient", "AGE": "age_years", "SEX": "sex", "ARM": "arm", "TRT01A": "arm"}


def patients_from_cdisc(
    *,
    adsl: Source | None = None,
    adtte: Source | None = None,
    adae: Source | None = None,
    ds: Source | None = None,
    parameters: Mapping[str, tuple[str, str]] | None = None,
    terms: Mapping[str, str] | None = None,
    infusion_study_day: int = 1,
    aval_at_infusion: int = 0,
) -> pd.DataFrame:
    """Turn ADaM and SDTM tables into the table of patients of `read_cohort`.

    Parameters
    ----------
    adsl : path or DataFrame, optional
        One row per subject (USUBJID); AGE, SEX, ARM or TRT01A and other columns become covariates.
        It names the patients without adverse events; else those of the other tables count.
    adtte : path or DataFrame, optional
        USUBJID, PARAMCD, AVAL, CNSR and, where not days, AVALU. **CNSR is 0 for an event** and
        above 0 for censoring: the opposite of our columns.
    adae : path or DataFrame, optional
        USUBJID, AEDECOD, ASTDY (or AESTDY) and a grade: ATOXGRN, AETOXGR or ATOXGR. The worst
        grade after the infusion and the first onset are taken; a patient without the event has
        grade 0.
    ds : path or DataFrame, optional
        USUBJID, DSDECOD and DSSTDY: death and last contact, where there is no OS in `adtte`,
        and the day of other therapy or transplant.
    parameters : mapping of str to (str, str), optional
        PARAMCD to day and event, in addition to TTP, TTPROG, PFS and OS.
    terms : mapping of str to str, optional
        AEDECOD (capitals do not matter) to ``"crs"``, ``"icans"`` or ``"iec_hs"``, in addition
        to the terms of MedDRA.
    infusion_study_day : int
        Study day of the infusion in ASTDY and DSSTDY, which have no day 0: 1 where the infusion
        is the reference day, 6 where five days of lymphodepletion precede it.
    aval_at_infusion : {0, 1}
        AVAL of an event on the day of the infusion [day]: 0 where it is ADT - STARTDT, 1 where it
        is ADT - STARTDT + 1, as in many trials. Our days count from 0.

    Returns
    -------
    DataFrame
        One row per patient, with our columns; pass it to ``read_cohort(levels, patients=...)``.
        ``attrs["notes"]`` counts what was left out.

    Raises
    ------
    DataError
        With every fault of all tables.

    Examples
    --------
    >>> adtte = pd.DataFrame(
    ...     {"USUBJID": ["01", "02"], "PARAMCD": ["PFS", "PFS"], "AVAL": [77, 98], "CNSR": [0, 1]}
    ... )
    >>> patients_from_cdisc(adtte=adtte)["pfs_event"].tolist()
    [True, False]
    """
    sources = {"adsl": adsl, "adtte": adtte, "adae": adae, "ds": ds}
    faults: list[Fault] = []
    tables = {
        name: found
        for name, source in sources.items()
        if source is not None and (found := _table(name, source, faults)) is not None
    }
    if aval_at_infusion not in (0, 1):
        what = f"aval_at_infusion is {aval_at_infusion!r}"
        faults.append(Fault("patients_from_cdisc", what, "Give 0 or 1."))
    if not tables and not faults:
        faults.append(Fault("patients_from_cdisc", "no table is given", "Give adtte or adae."))
    notes: list[str] = []
    parts: list[pd.DataFrame] = []
    patients = _population(tables)
    if "adsl" in tables:
        parts.append(_subjects(tables["adsl"], faults))
    if "adtte" in tables:
        known = PARAMETERS | dict(parameters or {})
        parts.append(_times(tables["adtte"], known, aval_at_infusion, faults, notes))
    if "adae" in tables:
        wanted = TERMS | {term.upper(): kind for term, kind in (terms or {}).items()}
        found = worst_grades(tables["adae"], wanted, patients, infusion_study_day, faults, notes)
        parts.append(found)
    if "ds" in tables:
        parts.append(last_contacts(tables["ds"], infusion_study_day, faults, notes))
    table = _joined(parts, patients, faults)
    if faults:
        raise DataError(faults)
    table.attrs["notes"] = tuple(notes)
    return table


def _table(name: str, source: Source, faults: list[Fault]) -> pd.DataFrame | None:
    """Read a table with its columns in capitals; None where that is impossible."""
    if isinstance(source, pd.DataFrame):
        table = source.copy()
    else:
        try:
            table = pd.read_csv(source, dtype={"USUBJID": str}, comment="#")
        except (OSError, ValueError) as error:
            faults.append(Fault(f"{name}, {source}", f"cannot be read: {error}"))
            return None
    table.columns = [str(column).upper() for column in table.columns]
    if "USUBJID" not in table.columns:
        remedy = f"The columns are: {', '.join(table.columns)}."
        faults.append(Fault(f"{name}, header", "column 'USUBJID' is missing", remedy))
        return None
    nobody = table["USUBJID"].isna()
    if nobody.any():
        row = int(np.flatnonzero(nobody)[0]) + 2
        faults.append(Fault(f"{name}, row {row}", "USUBJID is missing", "Give it.", row=row))
    return table[~nobody].assign(USUBJID=table.loc[~nobody, "USUBJID"].astype(str))


def _population(tables: dict[str, pd.DataFrame]) -> list[str]:
    source = [tables["adsl"]] if "adsl" in tables else list(tables.values())
    return sorted({patient for table in source for patient in table["USUBJID"]})


def _subjects(table: pd.DataFrame, faults: list[Fault]) -> pd.DataFrame:
    for patient in sorted(table.loc[table["USUBJID"].duplicated(), "USUBJID"].unique()):
        faults.append(
            Fault(f"adsl, {patient}", "has two rows", "Keep one per subject.", patient=patient)
        )
    names: dict[str, str] = {}
    for column in table.columns:
        new = _SUBJECT.get(column, column.lower())
        if new not in names.values():
            names[column] = new
    found = table[list(names)].rename(columns=names).drop_duplicates("patient")
    return found.set_index("patient")


def _times(
    table: pd.DataFrame,
    parameters: Mapping[str, tuple[str, str]],
    first: int,
    faults: list[Fault],
    notes: list[str],
) -> pd.DataFrame:
    """Read times and events; CNSR 0 is the event."""
    absent = [c for c in ("PARAMCD", "AVAL", "CNSR") if c not in table.columns]
    if absent:
        remedy = f"The columns are: {', '.join(table.columns)}."
        faults.append(Fault("adtte, header", f"column(s) {', '.join(absent)} missing", remedy))
        return pd.DataFrame()
    codes = table["PARAMCD"].astype("string").str.upper()
    ignored = sorted(set(codes.dropna()) - set(parameters))
    if ignored:
        notes.append(f"ADTTE parameters not used: {', '.join(ignored)}")
    used = table.assign(PARAMCD=codes)[codes.isin(parameters).to_numpy(bool)]
    for (patient, code), rows in used.groupby(["USUBJID", "PARAMCD"]):
        if len(rows) > 1:
            where = f"adtte, {patient}, {code}"
            what, remedy = f"{len(rows)} rows", "Keep one per subject and parameter."
            faults.append(Fault(where, what, remedy, patient=str(patient)))
    used = used.drop_duplicates(["USUBJID", "PARAMCD"])
    _check_times(used, faults)
    unit = used["AVALU"] if "AVALU" in used.columns else pd.Series("DAYS", index=used.index)
    factor = unit.astype("string").fillna("DAYS").str.upper().map(UNITS).astype(float)
    day = pd.to_numeric(used["AVAL"], errors="coerce") * factor - first
    for row in used[(day < 0) & (pd.to_numeric(used["AVAL"], errors="coerce") >= 0)].itertuples():
        where, what = f"adtte, {row.USUBJID}, {row.PARAMCD}", f"AVAL is {row.AVAL!r}"
        remedy = "That is before the infusion, whose day aval_at_infusion says is 1."
        faults.append(Fault(where, what, remedy))
    event = (pd.to_numeric(used["CNSR"], errors="coerce") == 0).astype("boolean")
    columns: dict[str, pd.Series] = {}
    for code, (name, flag) in parameters.items():
        rows = used["PARAMCD"] == code
        if rows.any():
            patients = used.loc[rows, "USUBJID"]
            columns[name] = pd.Series(day[rows].to_numpy(float), index=patients)
            columns[flag] = pd.Series(event[rows].array, index=patients)
    return pd.DataFrame(columns)


def _check_times(table: pd.DataFrame, faults: list[Fault]) -> None:
    numbers = pd.to_numeric(table["AVAL"], errors="coerce")
    censor = pd.to_numeric(table["CNSR"], errors="coerce")
    unit = table["AVALU"].astype("string").str.upper() if "AVALU" in table.columns else None
    for i, row in zip(range(len(table)), table.itertuples(), strict=True):
        where = f"adtte, {row.USUBJID}, {row.PARAMCD}"
        if not numbers.iloc[i] >= 0:
            faults.append(Fault(where, f"AVAL is {row.AVAL!r}", "Give days from the infusion."))
        value = censor.iloc[i]
        if not (value >= 0 and value == round(value)):
            remedy = "Give 0 for an event and 1 or more for censoring."
            faults.append(Fault(where, f"CNSR is {row.CNSR!r}", remedy))
        if unit is not None and not pd.isna(unit.iloc[i]) and unit.iloc[i] not in UNITS:
            remedy = f"Choose from {', '.join(UNITS)}."
            faults.append(Fault(where, f"AVALU is {unit.iloc[i]!r}", remedy))


def _joined(parts: list[pd.DataFrame], patients: list[str], faults: list[Fault]) -> pd.DataFrame:
    """Put the tables side by side; times of ADTTE go before those of DS, if they agree."""
    table = pd.DataFrame(index=pd.Index(patients, name="patient"))
    for part in parts:
        for name in part.columns:
            column = part[name].reindex(table.index)
            if name not in table.columns:
                table[name] = column
                continue
            both = table[name].notna() & column.notna()
            differ = both & (table[name] != column)
            for patient in table.index[differ]:
                one, other = table.at[patient, name], column[patient]
                what = f"{name} is {one} in one table, {other} in another"
                remedy = "Correct one."
                if name.endswith("_day") and one == other + 1:
                    remedy += (
                        " If AVAL is 1 on the day of the infusion (ADT - STARTDT + 1), pass "
                        "aval_at_infusion=1."
                    )
                faults.append(Fault(f"{patient}", what, remedy, patient=str(patient)))
            table[name] = table[name].where(table[name].notna(), column)
    return table.reset_index()
