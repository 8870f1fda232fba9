"""From a cohort or a plain table to profiles of one assay and cell type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental.profile import Profile
from carkinetics.noncompartmental.profiles import Profiles, from_table

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

# After these, samples no longer speak of the same cells. Part -> names of columns, the first one
# present is taken.
NEW_CELLS: dict[str, tuple[str, ...]] = {
    "transplant_day": ("hct_day", "transplant_day"),
    "new_therapy_day": ("new_therapy_day",),
}
# Other therapy may also be told as what ended progression-free survival.
END_OF_PFS = ("pfs_end_type", "pfs_reason")
OTHER_THERAPY = ("alternative_therapy", "new_therapy")
_EVENTS = (("pfs_day", "pfs_event"), ("ttp_day", "progressed"), ("os_day", "died"))


def samples_of(cohort: Cohort, assay: str, cell_type: str) -> tuple[pd.DataFrame, str]:
    """Select the samples after infusion of one assay and cell type, and their unit.

    A subset without a limit of its own counts as below the limit where the total of the same
    sample does: the total's limit bounds the subset too, since a part is never larger than the
    whole.
    """
    levels = cohort.levels
    of_assay = levels[(levels["assay"] == assay) & ~levels["baseline"].astype(bool)]
    wanted = of_assay[of_assay["cell_type"] == cell_type]
    units = sorted(set(wanted["unit"]))
    if len(units) != 1:
        what, remedy = f"units {units} are mixed", "One assay has one unit; see cohort.levels."
        if not units:
            known = sorted({f"{a}, {c}" for a in cohort.assays for c in cohort.cell_types(a)})
            what, remedy = "there are no samples", f"The cohort has {'; '.join(known)}."
        raise DataError(Fault(f"{cohort.name}: {assay}, {cell_type}", what, remedy))
    if cell_type != "total":
        wanted = _limited_by_total(wanted, of_assay[of_assay["cell_type"] == "total"])
    return wanted, units[0]


def _limited_by_total(subset: pd.DataFrame, total: pd.DataFrame) -> pd.DataFrame:
    limits = total[["patient", "day", "below_lloq", "lloq"]]
    both = subset.merge(limits, on=["patient", "day"], how="left", suffixes=("", "_total"))
    hidden = both["lloq"].isna() & both["below_lloq_total"].eq(True)
    both["below_lloq"] = both["below_lloq"].astype(bool) | hidden
    both.loc[hidden, "lloq"] = both.loc[hidden, "lloq_total"]
    if "detected" in both:  # that the total was seen does not say which cells were
        both.loc[hidden, "detected"] = False
    return both[list(subset.columns)]


def cohort_profiles(cohort: Cohort, assay: str, cell_type: str) -> Profiles:
    """Stack the profiles of a cohort, one per patient, with the days of events that matter."""
    rows, unit = samples_of(cohort, assay, cell_type)
    found = from_table(rows, cohort.patient_ids, unit)
    people = cohort.patients.set_index("patient").reindex(cohort.patient_ids)
    return replace(
        found,
        stopped=_first_event(people),
        onset=_day(people, "crs_onset_day"),
        new_cells=np.fmin(*new_cells(people).values()),
    )


def new_cells(people: pd.DataFrame) -> dict[str, np.ndarray]:
    """Find the days after which samples no longer speak of the same cells.

    Parameters
    ----------
    people : DataFrame
        One row per patient.

    Returns
    -------
    dict of str to array, shape (patient,)
        ``"transplant"`` and ``"new therapy"``: NaN where it did not happen or is not known [day].
    """
    days = {}
    for kind, names in zip(("transplant", "new therapy"), NEW_CELLS.values(), strict=True):
        name = next((n for n in names if n in people), "")
        days[kind] = _day(people, name)
    end = next((name for name in END_OF_PFS if name in people), None)
    if end is not None and "pfs_day" in people:
        told = people[end].astype("string").str.lower()
        other = told.isin(OTHER_THERAPY).fillna(False).to_numpy(bool)
        days["new therapy"] = np.fmin(
            days["new therapy"], np.where(other, _day(people, "pfs_day"), np.nan)
        )
    return days


def _day(people: pd.DataFrame, name: str) -> np.ndarray:
    if name not in people:
        return np.full(len(people), np.nan)
    return people[name].to_numpy(float)


def _first_event(people: pd.DataFrame) -> np.ndarray:
    """Day of the first of progression and death, NaN where neither is known [day]."""
    found = np.full(len(people), np.inf)
    for day, event in _EVENTS:
        if day in people and event in people:
            happened = people[event].eq(True).fillna(False).to_numpy(bool)
            found = np.fmin(found, np.where(happened, _day(people, day), np.inf))
    return np.where(np.isfinite(found), found, np.nan)


def profiles(cohort: Cohort, assay: str, cell_type: str) -> Iterator[Profile]:
    """Give the samples of one assay and cell type, patient by patient.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay, cell_type : str
        Which samples.

    Yields
    ------
    Profile
        One per patient of the cohort, empty where the patient has no such sample.
    """
    wanted, unit = samples_of(cohort, assay, cell_type)
    by_patient = dict(tuple(wanted.groupby("patient", sort=False)))
    for patient in cohort.patient_ids:
        rows = by_patient.get(patient, wanted.iloc[:0]).sort_values("day")
        yield Profile(
            rows["day"].to_numpy(float),
            rows["level"].to_numpy(float),
            rows["below_lloq"].to_numpy(bool),
            rows["lloq"].to_numpy(float),
            unit,
            str(patient),
            rows["detected"].to_numpy(bool) if "detected" in rows else None,
        )
