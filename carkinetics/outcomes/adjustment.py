"""Covariates that regressions adjust for, and those that they must not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.errors import DataError, Fault

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

# Words in the names of outcomes, so that a second grading (`crs_grade_astct`) is one as well.
TOXICITIES = ("crs", "icans", "iec_hs", "iechs", "hlh", "neurotox")
# Given because of toxicity: whether, when and how much follows from the grade.
TREATMENTS = (
    "tocilizumab", "toci", "steroid", "dexamethasone", "prednisolone", "prednisone",
    "hydrocortisone", "anakinra", "siltuximab", "ruxolitinib", "emapalumab", "vasopressor",
)  # fmt: skip
EVENTS_PER_COVARIATE = 10


def covariates(cohort: Cohort, names: Sequence[str], outcome: str) -> pd.DataFrame:
    """Take covariates from the table of patients.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    names : sequence of str
        Columns of numbers, of yes and no, or of two words.
    outcome : str
        What they adjust; for toxicities the treatments of toxicity are refused, since they are
        its consequence.

    Returns
    -------
    DataFrame
        Index patient, one column of numbers per covariate; two words become 0 and 1 in the order
        of the alphabet.

    Raises
    ------
    DataError
        With every covariate that cannot be used.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    table = cohort.patients.set_index("patient")
    faults = [fault for name in names for fault in [_fault(cohort, table, name, outcome)] if fault]
    if faults:
        raise DataError(faults)
    return pd.DataFrame({name: _numbers(table[name]) for name in names}, index=table.index)


def _fault(cohort: Cohort, table: pd.DataFrame, name: str, outcome: str) -> Fault | None:
    where = f"cohort {cohort.name}, adjust"
    before = name.lower().startswith(("prior_", "previous_", "baseline_"))
    if _names(outcome, TOXICITIES) and _names(name, TREATMENTS) and not before:
        what = (
            f"{name} is given because of toxicity: adjusting {outcome} for it conditions on a "
            "consequence of the outcome and can turn the association around"
        )
        return Fault(where, what, "Leave it out.", section=name)
    if name not in table.columns:
        close = difflib.get_close_matches(name, table.columns, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        known = ", ".join(map(str, table.columns))
        return Fault(where, f"no column {name!r}{hint}", f"Choose from {known}.", section=name)
    column = table[name].dropna()
    if not pd.api.types.is_numeric_dtype(column) and column.nunique() > 2:
        what = f"{name} has {column.nunique()} different words"
        return Fault(where, what, "Make a column of yes and no for each.", section=name)
    if column.nunique() < 2:
        return Fault(where, f"{name} is the same in all patients", "Leave it out.", section=name)
    return None


def _names(column: str, words: Sequence[str]) -> bool:
    """Tell whether the name of a column holds one of the words, whatever stands around it."""
    return any(word in column.lower() for word in words)


def _numbers(column: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(column):
        return column.astype("boolean").astype("Float64").astype(float)
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("Float64").astype(float)
    first = sorted(map(str, column.dropna().unique()))[0]
    return (column.astype("string") != first).astype("boolean").mask(column.isna()).astype(
        "Float64"
    ).astype(float)  # fmt: skip


def few_events(n_events: int, n_covariates: int) -> tuple[str, ...]:
    """Warn where events are few for the covariates, the exposure being one of them."""
    if n_events < 1 or n_events >= EVENTS_PER_COVARIATE * n_covariates:
        return ()  # without any event, or without events to speak of, the estimates say so
    if n_covariates == 1:
        return (
            f"{n_events} events, where about {EVENTS_PER_COVARIATE} are needed for one exposure: "
            "no basis for a prediction",
        )
    each = n_events / n_covariates
    return (
        f"{n_events} events for {n_covariates} covariates (the exposure and "
        f"{n_covariates - 1} more): {each:.1f} each, where about {EVENTS_PER_COVARIATE} are needed "
        "for estimates that can be relied on",
    )
