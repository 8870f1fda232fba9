"""The listing of patients: one row each, everything that happened to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.noncompartmental import observed_quantities
from carkinetics.trial.roles import TREATMENTS, find_role

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_ROLES = ("arm", "age", "sex")
_OUTCOMES = (
    "response", "crs_grade", "crs_onset_day", "icans_grade", "iec_hs_day", "ttp_day", "progressed",
    "os_day", "died",
)  # fmt: skip


def patient_listing(cohort: Cohort, assay: str = "flow") -> pd.DataFrame:
    """List every patient with outcomes, treatment of toxicity and observed kinetics.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay : str
        Assay of the observed peak.

    Returns
    -------
    DataFrame
        One row per patient: who, outcomes, first day of tocilizumab, steroid and anakinra [day]
        (as far as the cohort has them), ``observed_cmax`` [unit of the assay] and
        ``observed_tmax`` [day].
    """
    roles = [name for role in _ROLES if (name := find_role(cohort, role)) is not None]
    columns = [*roles, *_OUTCOMES, *TREATMENTS]
    kept = [name for name in columns if name in cohort.patients.columns]
    table = cohort.patients[["patient", *kept]].copy()
    if assay not in cohort.assays:
        return table
    found = observed_quantities(cohort, assay, "total", ("cmax", "tmax"))
    return table.merge(found[["patient", "observed_cmax", "observed_tmax"]], on="patient")
