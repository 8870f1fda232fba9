"""Outcomes as the joint model uses them: arrays of the fitted patients who have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.adjustment import covariates
from carkinetics.outcomes.competing import DEATH, PROGRESSION, causes_of_progression
from carkinetics.outcomes.endpoint import (
    CONTINUOUS,
    ORDINAL,
    SURVIVAL,
    Endpoint,
    after_landmark,
    read_endpoint,
)
from carkinetics.outcomes.guards import check_clock, check_landmark, check_time_dependent

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

DEATH_FIRST = "death_without_progression"
_HIGHEST_GRADE = 4  # grades that nobody has still have a probability


@dataclass(frozen=True, eq=False)
class JointOutcome:
    """One outcome of the fitted patients who have it.

    Parameters
    ----------
    name, label, kind : str
        What it is; see `Endpoint`.
    patient : array of int, shape (patient,)
        Index among the patients of the fit.
    value : array, shape (patient,)
        1 and 0 for events and yes-or-no outcomes, or a grade.
    day, entry : array, shape (patient,)
        Of event or censoring, and from which the patient was at risk (0: the infusion); empty
        without survival [day].
    covariates : DataFrame, shape (patient, covariate)
        Numbers per SD around their mean; yes and no stay 1 and 0.
    n_grades : int
        Number of grades; 0 for others.
    left_out : dict of str to str
        Patients who are not used, and why.
    clock : str
        Where time starts; empty without survival.
    notes : tuple of str
        What a reader has to know.
    """

    name: str
    label: str
    kind: str
    patient: np.ndarray
    value: np.ndarray
    day: np.ndarray
    entry: np.ndarray
    covariates: pd.DataFrame
    n_grades: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    clock: str = ""
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of patients used."""
        return len(self.patient)

    @property
    def n_events(self) -> int:
        """Events among them; patients with any grade above 0."""
        return int((self.value > 0).sum())


@dataclass(frozen=True)
class Clock:
    """How time is counted in survival outcomes.

    Parameters
    ----------
    landmark : float or None
        Day from which patients are at risk [day].
    time_dependent : bool
        Whether the exposure is followed along time.
    window : float
        Day by which the peak has been reached [day].
    allow_after_day_0 : bool
        Whether an exposure may be defined after the clock starts.
    """

    landmark: float | None = None
    time_dependent: bool = False
    window: float = 28.0
    allow_after_day_0: bool = False


def read_outcomes(
    cohort: Cohort,
    patients: Sequence[str],
    outcomes: Sequence[str],
    exposure: str,
    clock: Clock,
    *,
    competing: bool,
    adjust: Sequence[str],
    first_sample: np.ndarray,
) -> tuple[JointOutcome, ...]:
    """Read every outcome of a joint model.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    patients : sequence of str
        Patients of the fit.
    outcomes : sequence of str
        Their names.
    exposure : str
        The exposure they are related to.
    clock : Clock
        How time is counted.
    competing : bool
        Whether death without progression has a hazard of its own.
    adjust : sequence of str
        Covariates.
    first_sample : array, shape (patient,)
        First day after the infusion with a sample [day].

    Returns
    -------
    tuple of JointOutcome

    Raises
    ------
    DataError
        Where an outcome is unknown or has no patient, or its clock forbids the exposure.
    """
    endpoints = [read_endpoint(cohort, name) for name in outcomes]
    _check(cohort, endpoints, competing, clock)
    found: list[JointOutcome] = []
    for endpoint in endpoints:
        notes: tuple[str, ...] = ()
        if endpoint.kind == SURVIVAL:
            check_time_dependent(endpoint, clock.landmark, clock.time_dependent, cohort.name)
            notes = _clock_notes(cohort, endpoint, exposure, clock)
        design = _standardized(covariates(cohort, adjust, endpoint.name))
        one = _outcome(endpoint, patients, design, clock, first_sample, notes)
        if not one.n:
            what = "no patient has both a level that is fitted and this outcome"
            raise DataError(Fault(f"cohort {cohort.name}, {endpoint.name}", what, "Leave it out."))
        found += _causes(cohort, one, patients) if competing and one.name == "ttp" else [one]
    return tuple(found)


def _check(cohort: Cohort, endpoints: list[Endpoint], competing: bool, clock: Clock) -> None:
    names = [endpoint.name for endpoint in endpoints]
    where = f"cohort {cohort.name}"
    if not names:
        raise DataError(Fault("fit_joint", "no outcome is named", 'Try outcomes=("ttp",).'))
    if len(set(names)) < len(names):
        raise DataError(Fault("fit_joint", f"outcomes {', '.join(names)}", "Name each once."))
    for endpoint in endpoints:
        if endpoint.kind == CONTINUOUS:
            what = f"{endpoint.name} is a number, for which the joint model has no term"
            raise DataError(Fault(where, what, "Choose survival, grades, or yes and no."))
    if competing and "ttp" not in names:
        what = "competing risks belong to the time to progression"
        raise DataError(Fault("fit_joint", what, 'Add "ttp" to the outcomes.'))
    if clock.landmark is not None and not any(e.kind == SURVIVAL for e in endpoints):
        check_landmark(endpoints[0], clock.landmark, cohort.name)


def _clock_notes(
    cohort: Cohort, endpoint: Endpoint, exposure: str, clock: Clock
) -> tuple[str, ...]:
    if clock.time_dependent:
        return ()
    # The guard counts days from the landmark; the term itself keeps them from the infusion.
    shifted = endpoint
    if clock.landmark is not None:
        shifted = after_landmark(endpoint, clock.landmark)
    return check_clock(
        shifted,
        exposure,
        landmark=clock.landmark,
        window=clock.window,
        allow_after_day_0=clock.allow_after_day_0,
        cohort=cohort.name,
    )


def _outcome(
    endpoint: Endpoint,
    patients: Sequence[str],
    design: pd.DataFrame,
    clock: Clock,
    first_sample: np.ndarray,
    notes: tuple[str, ...],
) -> JointOutcome:
    survival = endpoint.kind == SURVIVAL
    left_out = {p: "no levels that are fitted" for p in endpoint.values.index if p not in patients}
    left_out |= {p: why for p, why in endpoint.left_out.items() if p in patients}
    incomplete = design.index[design.isna().any(axis=1)]
    left_out |= {str(p): "a covariate is missing" for p in incomplete if p not in left_out}
    if survival:
        entry = pd.Series(0.0, index=list(patients))
        if clock.landmark is not None:
            entry[:] = clock.landmark
        if clock.time_dependent:
            entry[:] = first_sample
        day = endpoint.values["day"].astype(float)
        for p in patients:
            if p not in left_out and not day[p] > entry[p]:
                left_out[p] = f"event or censoring by day {entry[p]:g}, where its risk begins"
    used = [p for p in patients if p in endpoint.values.index and p not in left_out]
    rows = endpoint.values.loc[used]
    value = rows["event" if survival else "outcome"].to_numpy(float)
    return JointOutcome(
        name=endpoint.name,
        label=endpoint.label,
        kind=endpoint.kind,
        patient=np.array([list(patients).index(p) for p in used], dtype=np.int64),
        value=value if endpoint.kind != ORDINAL else value.astype(int),
        day=rows["day"].to_numpy(float) if survival else np.empty(0),
        entry=entry[used].to_numpy(float) if survival else np.empty(0),
        covariates=design.loc[used],
        n_grades=_grades(endpoint) if endpoint.kind == ORDINAL else 0,
        left_out=left_out,
        clock=_clock_text(endpoint, clock) if survival else "",
        notes=notes,
    )


def _grades(endpoint: Endpoint) -> int:
    highest = int(endpoint.used["outcome"].max()) if len(endpoint.used) else 1
    return 1 + max(highest, _HIGHEST_GRADE if endpoint.name.endswith("_grade") else 1)


def _clock_text(endpoint: Endpoint, clock: Clock) -> str:
    if clock.landmark is not None:
        return f"{endpoint.clock}, at risk from the landmark, day {clock.landmark:g}"
    if clock.time_dependent:
        return f"{endpoint.clock}, at risk from the first sample after it"
    return endpoint.clock


def _causes(
    cohort: Cohort, outcome: JointOutcome, patients: Sequence[str]
) -> tuple[JointOutcome, JointOutcome]:
    """Split the time to progression into its two causes; other ends of follow-up censor both."""
    names = [patients[i] for i in outcome.patient]
    cause = causes_of_progression(cohort)["cause"].reindex(names).fillna(0).to_numpy(int)

    def of(number: int, name: str, label: str) -> JointOutcome:
        values = {f: getattr(outcome, f) for f in outcome.__dataclass_fields__}
        values |= {"name": name, "label": label, "value": (cause == number).astype(float)}
        return JointOutcome(**values)

    return (
        of(PROGRESSION, outcome.name, f"{outcome.label} (cause-specific)"),
        of(DEATH, DEATH_FIRST, "death without progression (cause-specific)"),
    )


def _standardized(table: pd.DataFrame) -> pd.DataFrame:
    """Give numbers per SD around their mean; yes and no stay as they are."""
    columns = {}
    for name in table.columns:
        column = table[name].astype(float)
        plain = set(column.dropna()) <= {0.0, 1.0}
        columns[name] = column if plain else (column - column.mean()) / column.std()
    return pd.DataFrame(columns, index=table.index.astype(str))
