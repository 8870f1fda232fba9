"""An outcome as `associate` uses it: its kind, and one value per patient."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

SURVIVAL, BINARY, ORDINAL, CONTINUOUS = "survival", "binary", "ordinal", "continuous"

_CLOCKS = {
    "ttp": ("ttp_day", "progressed", "time to progression"),
    "pfs": ("pfs_day", "pfs_event", "progression-free survival"),
    "os": ("os_day", "died", "overall survival"),
}
_DURATION = "dor"  # of response: made from the response and the time to progression
RESPONDERS = ("CR", "PR")
_BY_DAY = {day: name for name, (day, *_) in _CLOCKS.items()}
_LABELS = {"crs_grade": "CRS grade", "icans_grade": "ICANS grade", "iec_hs": "IEC-HS"}
# Outcome -> column with the day it began.
_ONSETS = {
    "crs_grade": "crs_onset_day",
    "icans_grade": "icans_onset_day",
    "iec_hs": "iec_hs_day",
}
_HIGHEST_GRADE = 10  # higher whole numbers are counts or days, not grades


@dataclass(frozen=True)
class Endpoint:
    """One outcome of every patient.

    Parameters
    ----------
    name, label, kind : str
        Column or clock, what figures call it, and survival, binary, ordinal or continuous.
    values : DataFrame
        Index patient. ``day`` and ``event`` for survival, else ``outcome`` (0 and 1, grades, or
        numbers); NaN where missing.
    left_out : dict
        Patient to the reason why the outcome is not used.
    onset : Series
        Day on which the outcome began, where the cohort has it; index patient.
    clock : str
        Where time starts; empty without survival.
    origin : Series
        Day after infusion on which each patient's clock starts [day]; index patient, empty where
        all start at infusion.
    """

    name: str
    label: str
    kind: str
    values: pd.DataFrame
    left_out: dict[str, str] = field(default_factory=dict)
    onset: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    clock: str = ""
    origin: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))

    @property
    def used(self) -> pd.DataFrame:
        """Rows of the patients that are not left out."""
        return self.values[~self.values.index.isin(list(self.left_out))]

    @property
    def starts(self) -> pd.Series:
        """Day after infusion on which the clock of each used patient starts [day]."""
        return self.origin.reindex(self.used.index).fillna(0.0)


def read_endpoint(cohort: Cohort, outcome: str) -> Endpoint:
    """Take an outcome from the table of patients.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    outcome : str
        ``"ttp"``, ``"pfs"``, ``"os"``, ``"dor"`` (duration of response), or a column. True and
        false (or 0 and 1) make a binary outcome, whole numbers from 0 to 10 an ordinal one, other
        numbers a continuous one; the whole numbers 0 to 5 stay grades when a missing one has
        turned them into fractions.
        Columns that end in ``_grade`` are always ordinal.

    Returns
    -------
    Endpoint
        Patients without the outcome are in ``left_out``.
    """
    table = cohort.patients.set_index("patient").drop(columns="synthetic", errors="ignore")
    if outcome in _CLOCKS:
        return _survival(cohort, table, outcome)
    if outcome == _DURATION:
        return _duration(cohort, table)
    if outcome not in table.columns or outcome in _BY_DAY:
        raise DataError(_unknown(cohort, table, outcome))
    kind, values = _kind_and_values(cohort, outcome, table[outcome])
    left_out = {str(p): f"no {outcome}" for p in values.index[values.isna()]}
    onset = table.get(_ONSETS.get(outcome, ""), pd.Series(dtype=float))
    return Endpoint(
        outcome,
        _LABELS.get(outcome, outcome),
        kind,
        pd.DataFrame({"outcome": values}),
        left_out,
        onset.astype(float),
    )


def _survival(cohort: Cohort, table: pd.DataFrame, outcome: str) -> Endpoint:
    day, event, label = _CLOCKS[outcome]
    absent = [column for column in (day, event) if column not in table.columns]
    if absent:
        what = f"{outcome} needs the column(s) {', '.join(absent)} in the table of patients"
        remedy = "Name them with read_cohort(..., columns={...}), or choose another outcome."
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy))
    values = pd.DataFrame(
        {"day": table[day].astype(float), "event": table[event].astype("boolean")}
    )
    missing = values.isna().any(axis=1)
    left_out = {str(p): f"no {day} or {event}" for p in values.index[missing]}
    return Endpoint(outcome, label, SURVIVAL, values, left_out, clock="from infusion")


def _duration(cohort: Cohort, table: pd.DataFrame) -> Endpoint:
    """Take the duration of response: responders only, from the day of response if it is known."""
    absent = [c for c in ("response", "ttp_day", "progressed") if c not in table.columns]
    if absent:
        what = f"dor needs the column(s) {', '.join(absent)} in the table of patients"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add them."))
    origin = table["response_day"].astype(float) if "response_day" in table.columns else 0.0
    values = pd.DataFrame(
        {"day": table["ttp_day"].astype(float) - origin,
         "event": table["progressed"].astype("boolean")}
    )  # fmt: skip
    responded = table["response"].isin(RESPONDERS)
    left_out = {str(p): "no response (CR or PR)" for p in table.index[~responded.fillna(False)]}
    unknown = values.isna().any(axis=1) | (values["day"] < 0).fillna(False)
    left_out |= {
        str(p): "no day of response, ttp_day or progressed"
        for p in table.index[unknown] if str(p) not in left_out
    }  # fmt: skip
    clock = "from response" if "response_day" in table.columns else "from infusion"
    label = "duration of response"
    starts = pd.Series(origin, index=table.index, dtype=float)
    return Endpoint(_DURATION, label, SURVIVAL, values, left_out, clock=clock, origin=starts)


def _kind_and_values(cohort: Cohort, outcome: str, column: pd.Series) -> tuple[str, pd.Series]:
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        return ORDINAL, column.cat.codes.astype(float).mask(column.isna())
    known = column.dropna()
    if pd.api.types.is_bool_dtype(column) or _all(known, bool | np.bool_):
        return BINARY, column.astype("boolean").astype("Float64").astype(float)
    if not pd.api.types.is_numeric_dtype(column):
        what = f"{outcome} holds text, whose order is not known"
        remedy = (
            "Make a true-or-false column (such as responded = response == 'CR') or number the "
            "grades in order."
        )
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy, section=outcome))
    values = column.astype("Float64").astype(float)
    distinct = set(values.dropna())
    if pd.api.types.is_float_dtype(column) and not distinct <= set(range(6)):
        return CONTINUOUS, values
    if distinct <= {0.0, 1.0} and not outcome.endswith("_grade"):
        return BINARY, values
    if distinct <= set(range(_HIGHEST_GRADE + 1)):
        return ORDINAL, values
    return CONTINUOUS, values


def _all(values: pd.Series, kind: object) -> bool:
    return len(values) > 0 and all(isinstance(value, kind) for value in values)  # type: ignore[arg-type]


def _unknown(cohort: Cohort, table: pd.DataFrame, outcome: str) -> Fault:
    if outcome in _BY_DAY:
        # The days alone would take censoring for an event.
        hint = f"; did you mean {_BY_DAY[outcome]!r}?"
    else:
        close = difflib.get_close_matches(outcome, [*_CLOCKS, *table.columns], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
    known = ", ".join([*_CLOCKS, _DURATION, *table.columns])
    what = f"no outcome {outcome!r}{hint}"
    return Fault(f"cohort {cohort.name}", what, f"Choose from {known}.", section=outcome)


def after_landmark(endpoint: Endpoint, landmark: float) -> Endpoint:
    """Restart the clock of a survival outcome at a landmark.

    Parameters
    ----------
    endpoint : Endpoint
        A survival outcome.
    landmark : float
        Day of its clock on which the new one starts [day]. Patients whose event or censoring
        came by then are left out.

    Returns
    -------
    Endpoint
        With days counted from the landmark.

    References
    ----------
    Anderson et al. 1983, doi 10.1200/JCO.1983.1.11.710.
    """
    values = endpoint.values.assign(day=endpoint.values["day"] - landmark)
    gone = values.index[(values["day"] <= 0).fillna(False)]
    reason = f"event or censoring by the landmark, day {landmark:g}"
    left_out = {str(p): reason for p in gone} | endpoint.left_out
    after = " after response" if endpoint.clock == "from response" else ""
    return replace(
        endpoint,
        values=values,
        left_out=left_out,
        clock=f"from the landmark, day {landmark:g}{after}",
        origin=endpoint.starts.reindex(values.index).fillna(0.0) + landmark,
    )
