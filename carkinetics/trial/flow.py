"""The flow of patients through a trial (CONSORT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import clopper_pearson
from carkinetics.trial.roles import arms

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_MANUFACTURING = "manufactur"


@dataclass(frozen=True)
class PatientFlow:
    """How many patients reached each step.

    Parameters
    ----------
    enrolled : int or None
        Patients enrolled; None where those not infused are not known.
    not_infused : dict of str to int
        Reason to count.
    infused : int
        Patients of the cohort: the denominator of every later table.
    arms : dict of str to int
        Infused patients by arm; empty with one arm.
    with_levels, with_response, with_follow_up : int
        Patients of the cohort with at least one sample after the infusion, with a response, with
        a day of follow-up.
    """

    enrolled: int | None
    not_infused: dict[str, int]
    infused: int
    arms: dict[str, int]
    with_levels: int
    with_response: int
    with_follow_up: int

    @property
    def manufactured(self) -> tuple[int, float, float] | None:
        """Patients with a product, of the enrolled, with exact 95 % limits; None if unknown."""
        if self.enrolled is None:
            return None
        failed = sum(n for why, n in self.not_infused.items() if _MANUFACTURING in why.lower())
        made = self.enrolled - failed
        return (made, *clopper_pearson(made, self.enrolled))


def patient_flow(
    cohort: Cohort, not_infused: Mapping[str, int] | pd.DataFrame | None = None
) -> PatientFlow:
    """Count patients at each step of a trial.

    Parameters
    ----------
    cohort : Cohort
        The infused patients.
    not_infused : mapping of str to int, or DataFrame, optional
        Reasons and counts of patients who were enrolled but not infused; or a table of all those
        enrolled with columns ``patient``, ``infused`` (yes or no) and ``reason``.

    Returns
    -------
    PatientFlow

    Raises
    ------
    DataError
        If the table of those enrolled does not go with the cohort.
    """
    reasons = _reasons(cohort, not_infused)
    levels = cohort.levels.loc[~cohort.levels["baseline"], "patient"].nunique()
    table = cohort.patients
    response = int(table["response"].notna().sum()) if "response" in table.columns else 0
    days = [name for name in ("os_day", "pfs_day", "ttp_day") if name in table.columns]
    followed = int(table[days].notna().any(axis=1).sum()) if days else 0
    return PatientFlow(
        None if reasons is None else cohort.n_patients + sum(reasons.values()),
        reasons or {},
        cohort.n_patients,
        {name: len(patients) for name, patients in arms(cohort).items()},
        int(levels),
        response,
        followed,
    )


def _reasons(
    cohort: Cohort, given: Mapping[str, int] | pd.DataFrame | None
) -> dict[str, int] | None:
    if given is None:
        return None
    where = f"cohort {cohort.name}, not_infused"
    if not isinstance(given, pd.DataFrame):
        wrong = {why: n for why, n in given.items() if not (isinstance(n, int) and n >= 0)}
        if wrong:
            raise DataError(Fault(where, f"no counts: {wrong}", "Give whole numbers."))
        return dict(given)
    lacking = {"patient", "infused", "reason"} - set(given.columns)
    if lacking:
        raise DataError(Fault(where, f"no column {', '.join(sorted(lacking))}", "Add it."))
    infused = given["infused"].astype(bool)
    told = set(given.loc[infused, "patient"].astype(str))
    differ = sorted(told ^ set(cohort.patient_ids))
    if differ:
        what = f"infused patients differ from those of the cohort: {', '.join(differ[:5])}"
        raise DataError(Fault(where, what, "Make the two tables agree."))
    counts = given.loc[~infused, "reason"].fillna("no reason given").astype(str).value_counts()
    return {str(why): int(n) for why, n in counts.items()}
