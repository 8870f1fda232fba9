"""Worst grade and first onset of the toxicities of CAR T cells, from ADAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from carkinetics.cohort.study_days import days_since_infusion
from carkinetics.errors import Fault

# MedDRA preferred terms in capitals -> toxicity.
TERMS = {
    "CYTOKINE RELEASE SYNDROME": "crs",
    "IMMUNE EFFECTOR CELL-ASSOCIATED NEUROTOXICITY SYNDROME": "icans",
    "IMMUNE EFFECTOR CELL-ASSOCIATED HAEMOPHAGOCYTIC LYMPHOHISTIOCYTOSIS-LIKE SYNDROME": "iec_hs",
    "HAEMOPHAGOCYTIC LYMPHOHISTIOCYTOSIS": "iec_hs",
    "HEMOPHAGOCYTIC LYMPHOHISTIOCYTOSIS": "iec_hs",
}
_GRADES = ("ATOXGRN", "AETOXGRN", "AETOXGR", "ATOXGR")
_DAYS = ("ASTDY", "AESTDY")
_COLUMNS = {"crs": ("crs_grade", "crs_onset_day"), "icans": ("icans_grade", "icans_onset_day"),
            "iec_hs": ("iec_hs", "iec_hs_day")}  # fmt: skip


def worst_grades(
    table: pd.DataFrame,
    terms: Mapping[str, str],
    patients: Sequence[str],
    infusion_study_day: int,
    faults: list[Fault],
    notes: list[str],
) -> pd.DataFrame:
    """Give the worst grade and the first onset of each toxicity after the infusion.

    Parameters
    ----------
    table : DataFrame
        ADAE, columns in capitals.
    terms : mapping of str to str
        Preferred term in capitals to ``"crs"``, ``"icans"`` or ``"iec_hs"``.
    patients : sequence of str
        All patients: those without a record had none.
    infusion_study_day : int
        Study day of the infusion.
    faults, notes : list
        Receive what is wrong, and what was left out.

    Returns
    -------
    DataFrame
        Index patient: grades (0 to 5; IEC-HS yes or no) and days of onset [day].
    """
    grade_name = next((name for name in _GRADES if name in table.columns), None)
    day_name = next((name for name in _DAYS if name in table.columns), None)
    absent = [
        text
        for text, name in (("AEDECOD", "AEDECOD" if "AEDECOD" in table.columns else None),
                           ("a grade (ATOXGRN or AETOXGR)", grade_name),
                           ("a day (ASTDY or AESTDY)", day_name))
        if name is None
    ]  # fmt: skip
    if absent:
        remedy = f"The columns are: {', '.join(table.columns)}."
        faults.append(Fault("adae, header", f"there is not {' and not '.join(absent)}", remedy))
        return pd.DataFrame()
    kind = table["AEDECOD"].astype("string").str.upper().str.strip().map(dict(terms))
    events = pd.DataFrame(
        {
            "patient": table["USUBJID"],
            "kind": kind,
            "grade": table[grade_name].astype("string").str.extract(r"(\d+)", expand=False),
            "day": days_since_infusion(table[day_name], infusion_study_day),
        }
    )[kind.notna()]
    events["grade"] = events["grade"].astype("Float64").astype(float)
    _check(events, faults)
    before = events["day"] < 0
    if before.any():
        notes.append(f"{int(before.sum())} adverse event(s) from before the infusion left out")
    events = events[~before]
    columns: dict[str, pd.Series] = {}
    index = pd.Index(patients, name="patient")
    for name, (grade, onset) in _COLUMNS.items():
        rows = events[events["kind"] == name].groupby("patient")
        worst = rows["grade"].max().reindex(index)
        first = rows["day"].min().reindex(index)
        if name == "iec_hs":
            had = pd.Series(index.isin(list(rows.groups)), index=index)
            columns[grade] = had.astype("boolean")
        else:
            columns[grade] = worst.fillna(0).astype("Int64")
        columns[onset] = first
    return pd.DataFrame(columns)


def _check(events: pd.DataFrame, faults: list[Fault]) -> None:
    for row in events.itertuples():
        where = f"adae, {row.patient}, {row.kind}"
        if not 1 <= row.grade <= 5:
            what = "has no grade" if pd.isna(row.grade) else f"grade {row.grade:g}"
            faults.append(Fault(where, what, "Give a grade from 1 to 5.", patient=row.patient))
        if pd.isna(row.day):
            remedy = "Give its study day."
            faults.append(Fault(where, "has no day of onset", remedy, patient=row.patient))
