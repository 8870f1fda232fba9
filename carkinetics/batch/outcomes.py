"""Outcomes as they are written in a plan, grades at least this high among them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from carkinetics.cohort import Cohort
from carkinetics.errors import CarkineticsError
from carkinetics.outcomes.endpoint import read_endpoint

RECORDED, CENSORED, OVER_TIME = "recorded", "censor", "time_dependent"
TRANSPLANT_DAY = "hct_day"
_AT_LEAST = re.compile(r"(\w+)\s*>=\s*(\d+)\Z")
# Columns that, where they are missing, take a patient out of an outcome.
_COLUMNS = {"ttp": "ttp_day", "pfs": "pfs_day", "os": "os_day", "dor": "ttp_day"}
_CLOCKS = {"ttp_day": "progressed", "pfs_day": "pfs_event", "os_day": "died"}


def outcome_fault(cohort: Cohort, level: Any) -> str:
    """Say why a cohort has no such outcome, or nothing."""
    if not isinstance(level, str) or not level:
        return f"is {level!r}; give an outcome, such as 'ttp' or 'crs_grade'"
    match = _AT_LEAST.match(level)
    if match and match[1] not in cohort.patients.columns:
        return f"is {level!r}, but the table of patients has no column {match[1]!r}"
    try:
        read_endpoint(*with_outcome(cohort, level))
    except CarkineticsError as error:
        return str(error)
    return ""


def with_outcome(cohort: Cohort, outcome: str) -> tuple[Cohort, str]:
    """Give the cohort and the name of a column for an outcome of a plan.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    outcome : str
        As for `associate`, or a grade at least this high, such as ``"crs_grade >= 2"``, which
        becomes a column of its own.

    Returns
    -------
    Cohort and str

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> cohort, name = with_outcome(synthetic_cohort(), "crs_grade >= 2")
    >>> name, int(cohort.patients[name].sum())
    ('crs_grade_2_or_higher', 7)
    """
    match = _AT_LEAST.match(outcome)
    if match is None:
        return cohort, outcome
    name = f"{match[1]}_{match[2]}_or_higher"
    grade = cohort.patients[match[1]]
    column = (grade >= int(match[2])).astype("boolean").mask(grade.isna())
    return replace(cohort, patients=cohort.patients.assign(**{name: column})), name


def without_outcome(cohort: Cohort, outcome: str, kept: tuple[str, ...]) -> Cohort:
    """Take away the outcome of all but some patients: their curves stay, they are not analyzed."""
    column = _COLUMNS.get(outcome, outcome)
    out = ~cohort.patients["patient"].isin(kept)
    values = cohort.patients[column]
    if values.dtype.kind in "bu":
        values = values.astype("boolean")
    elif values.dtype.kind == "i":
        values = values.astype("Int64")
    return replace(cohort, patients=cohort.patients.assign(**{column: values.mask(out)}))


def with_transplant(cohort: Cohort, rule: str) -> Cohort:
    """Let the clocks of survival outcomes go on after a transplant as recorded, or end with it.

    Parameters
    ----------
    cohort : Cohort
        For ``"censor"`` with ``hct_day``, the day of the transplant after the infusion [day].
    rule : {"recorded", "censor", "time_dependent"}
        ``"censor"``: whoever has had no event by the day of a transplant is censored on it. The
        others leave the clocks alone.

    Returns
    -------
    Cohort
        The same object where nothing changes. Taken as a competing event, a transplant gives the
        same cause-specific hazard ratio as censoring does.

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> patients = with_transplant(synthetic_cohort(), "censor").patients.set_index("patient")
    >>> float(patients.loc["VP03", "os_day"])
    98.0
    """
    if rule != CENSORED:
        return cohort
    patients = cohort.patients
    transplant = patients[TRANSPLANT_DAY].astype("Float64").astype(float)
    changed = {}
    for day, event in _CLOCKS.items():
        if day in patients.columns and event in patients.columns:
            after = (patients[day].astype("Float64").astype(float) > transplant).to_numpy()
            changed[day] = patients[day].mask(after, transplant)
            changed[event] = patients[event].mask(after, False)
    return replace(cohort, patients=patients.assign(**changed))
