"""Table 1: who the patients were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.cohort.columns import PATIENT_COLUMNS
from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import clopper_pearson
from carkinetics.trial.roles import ROLES, TREATMENTS, arms, find_role

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_FEW_WORDS = 6  # more different words are names, not categories
_BASELINE = ("product_cd4_share", "dose")  # of the columns with a meaning, those known before


def baseline_table(
    cohort: Cohort, variables: Sequence[str] | None = None, probability: float = 0.95
) -> pd.DataFrame:
    """Describe patients before the infusion, in all and by arm.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    variables : sequence of str, optional
        Columns; all that are no outcomes when left out.
    probability : float
        Coverage of exact intervals, which stand with the shares of all patients.

    Returns
    -------
    DataFrame
        One row per number (median and range) or per category (count, of the known, with its
        share): ``variable``, ``category``, ``statistic``, ``all``, one column per arm, ``lower``,
        ``upper`` (shares of all patients) and ``missing``.
    """
    names = tuple(variables) if variables is not None else baseline_columns(cohort)
    absent = [name for name in names if name not in cohort.patients.columns]
    if absent:
        where = f"cohort {cohort.name}, table 1"
        raise DataError(
            [Fault(where, f"no column {name!r}", "See cohort.patients.columns.") for name in absent]
        )
    table = cohort.patients.set_index("patient")
    groups = {"all": tuple(table.index), **arms(cohort)}
    rows: list[dict[str, object]] = []
    for name in names:
        rows += _describe(name, table[name], groups, probability)
    columns = ["variable", "category", "statistic", *groups, "lower", "upper", "missing"]
    return pd.DataFrame(rows, columns=columns)


def baseline_columns(cohort: Cohort) -> tuple[str, ...]:
    """List the columns that are no outcomes, in the order of the table."""
    outcomes = set(PATIENT_COLUMNS) - set(_BASELINE)
    for role, names in ROLES.items():
        if role not in ("age", "sex", "manufacturing_days"):
            outcomes |= set(names)
    outcomes |= {*TREATMENTS, "ttp_cause"}
    return tuple(name for name in cohort.patients.columns if name not in outcomes)


def _describe(
    name: str, column: pd.Series, groups: dict[str, tuple[str, ...]], probability: float
) -> list[dict[str, object]]:
    known = column.dropna()
    missing = int(column.isna().sum())
    if known.empty:
        return [{"variable": name, "category": "", "statistic": "no value", "missing": missing}]
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if numeric and not set(known.astype(float)) <= {0.0, 1.0}:
        found = {group: _range(known[known.index.isin(some)]) for group, some in groups.items()}
        row = {"variable": name, "category": "", "statistic": "median (range)", "missing": missing}
        return [row | found]
    if numeric or pd.api.types.is_bool_dtype(known):
        return [_count(name, "yes", known.astype(float) == 1, groups, probability, missing)]
    words = sorted(map(str, known.unique()))
    if len(words) > _FEW_WORDS:
        text = f"{len(words)} different values"
        return [{"variable": name, "category": "", "statistic": text, "missing": missing}]
    text_column = known.astype("string")
    return [_count(name, word, text_column == word, groups, probability, missing) for word in words]


def _range(values: pd.Series) -> str:
    if values.empty:
        return ""
    numbers = values.astype(float)
    low, middle, high = numbers.min(), numbers.median(), numbers.max()
    return f"{middle:,.10g} ({low:,.10g} to {high:,.10g})"


def _count(
    name: str,
    category: str,
    has: pd.Series,
    groups: dict[str, tuple[str, ...]],
    probability: float,
    missing: int,
) -> dict[str, object]:
    row: dict[str, object] = {"variable": name, "category": category, "statistic": "n of known"}
    for group, some in groups.items():
        inside = has[has.index.isin(some)]
        row[group] = f"{int(inside.sum())} of {len(inside)}"
    lower, upper = clopper_pearson(int(has.sum()), len(has), probability)
    return row | {"lower": lower, "upper": upper, "missing": missing}


def manufacturing_table(cohort: Cohort) -> pd.DataFrame | None:
    """Give median and range of the days of manufacturing; None where they are not known.

    Returns
    -------
    DataFrame or None
        ``n``, ``median``, ``lowest``, ``highest`` [day].
    """
    name = find_role(cohort, "manufacturing_days")
    if name is None or cohort.patients[name].dropna().empty:
        return None
    days = cohort.patients[name].dropna().astype(float)
    row = {"n": len(days), "median": days.median(), "lowest": days.min(), "highest": days.max()}
    return pd.DataFrame([row])
