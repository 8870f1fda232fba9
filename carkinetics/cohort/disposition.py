"""Death, last contact and further therapy, from DS-like events."""

from __future__ import annotations

import pandas as pd

from carkinetics.cohort.study_days import days_since_infusion
from carkinetics.errors import Fault

DEATH = ("DEATH", "DIED")
# Further therapy: where CAR T cells say nothing any more.
OTHER = {
    "NEW ANTI-CANCER THERAPY": "new_therapy_day",
    "NEW ANTINEOPLASTIC THERAPY": "new_therapy_day",
    "STEM CELL TRANSPLANT": "transplant_day",
    "HEMATOPOIETIC STEM CELL TRANSPLANT": "transplant_day",
    "HAEMATOPOIETIC STEM CELL TRANSPLANT": "transplant_day",
}


def last_contacts(
    table: pd.DataFrame, infusion_study_day: int, faults: list[Fault], notes: list[str]
) -> pd.DataFrame:
    """Read death, last contact and further therapy.

    Parameters
    ----------
    table : DataFrame
        DS, columns in capitals: USUBJID, DSDECOD, DSSTDY.
    infusion_study_day : int
        Study day of the infusion.
    faults, notes : list
        Receive what is wrong, and what was left out.

    Returns
    -------
    DataFrame
        Index patient: ``os_day`` [day] and ``died``; the first day of other therapy and of
        transplant [day] where there are such events. Every event counts as a contact.
    """
    absent = [name for name in ("DSDECOD", "DSSTDY") if name not in table.columns]
    if absent:
        remedy = f"The columns are: {', '.join(table.columns)}."
        faults.append(Fault("ds, header", f"column(s) {', '.join(absent)} missing", remedy))
        return pd.DataFrame()
    events = pd.DataFrame(
        {
            "patient": table["USUBJID"],
            "what": table["DSDECOD"].astype("string").str.upper().str.strip(),
            "day": days_since_infusion(table["DSSTDY"], infusion_study_day),
        }
    )
    died = events["what"].isin(DEATH).fillna(False).astype(bool)
    for patient in events.loc[died & events["day"].isna(), "patient"]:
        faults.append(
            Fault(f"ds, {patient}", "death has no study day", "Give DSSTDY.", patient=patient)
        )
    lacking = int((events["day"].isna() & ~died).sum())
    if lacking:
        notes.append(f"{lacking} disposition event(s) without a study day left out")
    events, died = events[events["day"].notna()], died[events["day"].notna()]
    deaths = events[died].groupby("patient")["day"].min()
    last = events.groupby("patient")["day"].max()
    for patient, day in deaths.items():
        if last[patient] > day:
            what = f"is in contact on day {last[patient]:g}, after death on day {day:g}"
            remedy = "Correct the days."
            faults.append(Fault(f"ds, {patient}", what, remedy, patient=str(patient)))
    dead = pd.Series(last.index.isin(deaths.index), index=last.index).astype("boolean")
    found = {"os_day": last.astype(float), "died": dead}
    for name in dict.fromkeys(OTHER.values()):
        rows = events[events["what"].map(OTHER) == name]
        if len(rows):
            found[name] = rows.groupby("patient")["day"].min()
    return pd.DataFrame(found)
