"""Response: best response, minimal residual disease, arms, and what became of responders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from scipy import stats

from carkinetics.errors import DataError, Fault
from carkinetics.trial.roles import arms, role_of
from carkinetics.trial.shares import share_table

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

RESPONSES = ("CR", "PR", "SD", "PD")  # best first
RESPONDERS = ("CR", "PR")
NEGATIVE = ("neg", "negative", "mrd-", "mrdneg", "0", "false")


def response_table(cohort: Cohort, probability: float = 0.95) -> pd.DataFrame:
    """Count responses, with exact intervals, in all patients and by arm.

    Parameters
    ----------
    cohort : Cohort
        With ``response``.
    probability : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        As `share_table`, with ``arm`` (``"all"`` or its name). Negative minimal residual disease
        counts patients in complete response, of all patients with a response.
    """
    if "response" not in cohort.patients.columns:
        what, remedy = "there is no response", "Add a column `response` of CR, PR, SD and PD."
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy))
    parts = []
    for name, patients in {"all": cohort.patient_ids, **arms(cohort)}.items():
        table = share_table(_counts(cohort, patients), probability)
        parts.append(table.assign(arm=name))
    return pd.concat(parts, ignore_index=True)


def _counts(cohort: Cohort, patients: tuple[str, ...]) -> list[tuple[str, int, int]]:
    table = cohort.patients.set_index("patient").loc[list(patients)]
    response = table["response"].dropna().astype(str)
    of = len(response)
    counts = [("CR + PR", int(response.isin(RESPONDERS).sum()), of)]
    counts += [(name, int((response == name).sum()), of) for name in RESPONSES]
    for role, label in (("mrd", "CR, MRD negative"), ("ngs_negative", "CR, NGS negative")):
        column = role_of(cohort, role)
        if column is None:
            continue
        negative = is_negative(column, role).reindex(response.index)
        counts.append((label, int((negative & (response == "CR")).sum()), of))
    return counts


def is_negative(column: pd.Series, role: str) -> pd.Series:
    """Tell who is negative for residual disease; unknown counts as not negative."""
    if role == "ngs_negative":
        return column.astype("Float64").fillna(0) == 1
    return column.astype("string").str.lower().isin(NEGATIVE)


@dataclass(frozen=True)
class ArmComparison:
    """Complete response in two arms.

    Parameters
    ----------
    arms : tuple of str
        Their names.
    responded, n : tuple of int
        Patients in complete response, and patients, by arm.
    p_value : float
        Fisher's exact test, two-sided.
    """

    arms: tuple[str, str]
    responded: tuple[int, int]
    n: tuple[int, int]
    p_value: float


def compare_arms(cohort: Cohort) -> ArmComparison | None:
    """Compare complete response between two arms by Fisher's exact test.

    Returns
    -------
    ArmComparison or None
        None unless there are two arms and responses.

    References
    ----------
    Fisher 1922, doi 10.2307/2340521.
    """
    groups = arms(cohort)
    if len(groups) != 2 or "response" not in cohort.patients.columns:
        return None
    response = cohort.patients.set_index("patient")["response"].dropna().astype(str)
    names = tuple(groups)
    known = [response[response.index.isin(groups[name])] for name in names]
    complete = [int((some == "CR").sum()) for some in known]
    table = [[c, len(some) - c] for c, some in zip(complete, known, strict=True)]
    p = float(stats.fisher_exact(table).pvalue)
    n = tuple(map(len, known))
    return ArmComparison((names[0], names[1]), (complete[0], complete[1]), (n[0], n[1]), p)


def fate_table(cohort: Cohort) -> pd.DataFrame | None:
    """Cross molecular negativity with transplant, relapse and death among complete responders.

    Returns
    -------
    DataFrame or None
        One row per patient in complete response: ``patient``, ``mrd_negative``, ``ngs_negative``,
        ``transplant_day`` [day], ``relapsed``, ``died``; None where responses or progression
        are not known.
    """
    table = cohort.patients.set_index("patient")
    if not {"response", "progressed"} <= set(table.columns):
        return None
    complete = table.index[(table["response"] == "CR").fillna(False)]
    columns: dict[str, pd.Series] = {}
    for role, name in (("mrd", "mrd_negative"), ("ngs_negative", "ngs_negative")):
        found = role_of(cohort, role)
        if found is not None:
            columns[name] = is_negative(found, role)[complete]
    day = role_of(cohort, "transplant_day")
    if day is not None:
        columns["transplant_day"] = day[complete].astype(float)
    columns["relapsed"] = table.loc[complete, "progressed"].astype("boolean")
    if "died" in table.columns:
        columns["died"] = table.loc[complete, "died"].astype("boolean")
    return pd.DataFrame(columns, index=complete).rename_axis("patient").reset_index()
