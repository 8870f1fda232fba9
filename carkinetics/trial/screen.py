"""A screen of product attributes: every marker tested, all of them shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import auroc, benjamini_hochberg, hodges_lehmann, mann_whitney

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort


def screen_attributes(
    cohort: Cohort,
    attributes: Sequence[str] | pd.DataFrame,
    outcome: str | pd.Series,
    probability: float = 0.95,
    seed: int = 2026,
) -> pd.DataFrame:
    """Compare product attributes between patients with and without an outcome.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    attributes : sequence of str, or DataFrame
        Columns of numbers in the table of patients; or a table with a column ``patient`` and one
        column per attribute.
    outcome : str or Series
        A column of yes and no; or a Series of it, index patient.
    probability : float
        Coverage of the intervals.
    seed : int
        Of drawn permutations.

    Returns
    -------
    DataFrame
        One row per attribute, in the order of the p-values: ``attribute``, ``n_with``,
        ``n_without``, ``difference`` (Hodges-Lehmann, unit of the attribute) with ``lower`` and
        ``upper``, ``auroc`` with its limits, ``p`` (exact Mann-Whitney), ``q`` (Benjamini and
        Hochberg over all attributes) and ``reason`` where there is no number.

    Raises
    ------
    DataError
        If a column is missing or holds no numbers.
    """
    table = _attributes(cohort, attributes)
    event = _outcome(cohort, outcome)
    rows = []
    for name in table.columns:
        both = pd.DataFrame({"x": table[name], "event": event}).dropna()
        x, had = both["x"].to_numpy(float), both["event"].to_numpy(bool)
        test = mann_whitney(x, had, seed=seed)
        shift = hodges_lehmann(x, had, probability=probability)
        area = auroc(x, had, probability=probability)
        rows.append(
            {
                "attribute": name,
                "n_with": int(had.sum()),
                "n_without": int((~had).sum()),
                "difference": shift.estimate,
                "lower": shift.lower,
                "upper": shift.upper,
                "auroc": area.estimate,
                "auroc_lower": area.lower,
                "auroc_upper": area.upper,
                "p": test.p_value,
                "reason": test.reason,
            }
        )
    found = pd.DataFrame(rows)
    found.insert(len(found.columns) - 1, "q", benjamini_hochberg(found["p"]))
    return found.sort_values("p", kind="stable", ignore_index=True)


def _attributes(cohort: Cohort, attributes: Sequence[str] | pd.DataFrame) -> pd.DataFrame:
    if isinstance(attributes, pd.DataFrame):
        table = attributes.set_index("patient")
    else:
        absent = [name for name in attributes if name not in cohort.patients.columns]
        if absent or not len(attributes):
            what = f"no column(s) {', '.join(absent)}" if absent else "no attribute is given"
            raise DataError(Fault(f"cohort {cohort.name}, screen", what, "Name columns."))
        table = cohort.patients.set_index("patient")[list(attributes)]
    words = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        what = f"column(s) {', '.join(map(str, words))} hold no numbers"
        raise DataError(Fault(f"cohort {cohort.name}, screen", what, "Leave them out."))
    return table.astype("Float64").astype(float)


def _outcome(cohort: Cohort, outcome: str | pd.Series) -> pd.Series:
    column = outcome
    if isinstance(column, str):
        if column not in cohort.patients.columns:
            what = f"no column {column!r}"
            raise DataError(Fault(f"cohort {cohort.name}, screen", what, "Name a column."))
        column = cohort.patients.set_index("patient")[column]
    values = column.astype("boolean").astype("Float64").astype(float)
    if not set(values.dropna()) <= {0.0, 1.0} or np.isnan(values).all():
        where = f"cohort {cohort.name}, screen"
        raise DataError(Fault(where, "the outcome is not yes and no", "Make it so."))
    return values
