"""Which column of the table of patients plays which part in a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.noncompartmental.select import END_OF_PFS, NEW_CELLS

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

# Part -> names of columns, the first one present is taken.
ROLES: dict[str, tuple[str, ...]] = {
    "arm": ("cohort", "arm", "trta", "dose_level"),
    "age": ("age_years", "age"),
    "sex": ("sex",),
    "mrd": ("mrd_flow_d28", "mrd"),
    "ngs_negative": ("ngs_mrd_negative", "ngs_negative"),
    "response_day": ("response_day",),
    "end_of_pfs": END_OF_PFS,
    "death_cause": ("death_cause", "cause_of_death"),
    **NEW_CELLS,
    "antigen_at_relapse": ("cd22_at_relapse", "antigen_at_relapse"),
    "detectable_at_relapse": ("car_detectable_at_relapse",),
    "duration": ("dor_days",),
    "dlt": ("dlt",),
    "manufacturing_days": ("mfg_days", "manufacturing_days"),
}
TREATMENTS = ("toci_first_day", "steroid_first_day", "anakinra_first_day")


def find_role(cohort: Cohort, role: str) -> str | None:
    """Give the column that plays a part, or None where the cohort has none."""
    return next((name for name in ROLES[role] if name in cohort.patients.columns), None)


def role_of(cohort: Cohort, role: str) -> pd.Series | None:
    """Give the values of a part, index patient; None where the cohort has none."""
    name = find_role(cohort, role)
    return None if name is None else cohort.patients.set_index("patient")[name]


def arms(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """Give the patients of each arm in the order of their names; empty with one arm or none."""
    found = role_of(cohort, "arm")
    if found is None or found.dropna().nunique() < 2:
        return {}
    names = sorted(map(str, found.dropna().unique()))
    return {name: tuple(found.index[found.astype("string") == name]) for name in names}
