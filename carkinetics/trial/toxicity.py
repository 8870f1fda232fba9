"""Toxicity: grades, onsets, IEC-HS and dose-limiting toxicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import CumulativeIncidence, clopper_pearson, cumulative_incidence
from carkinetics.trial.shares import share_table

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

GRADED = {"crs_grade": ("CRS", "crs_onset_day"), "icans_grade": ("ICANS", "icans_onset_day")}
ONSET, DEATH_FIRST = 1, 2


def toxicity_table(cohort: Cohort, probability: float = 0.95) -> pd.DataFrame:
    """Count every grade of CRS and ICANS, and IEC-HS, with exact intervals.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    probability : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        As `share_table`; of the patients whose grade is known.
    """
    counts: list[tuple[str, int, int]] = []
    for column, (name, _) in GRADED.items():
        if column not in cohort.patients.columns:
            continue
        grade = cohort.patients[column].dropna().astype(int)
        counts.append((f"{name}, any grade", int((grade > 0).sum()), len(grade)))
        counts += [
            (f"{name} grade {g}", int((grade == g).sum()), len(grade))
            for g in range(1, int(grade.max()) + 1 if len(grade) else 1)
        ]
        counts.append((f"{name} grade 3 or higher", int((grade >= 3).sum()), len(grade)))
    if "iec_hs" in cohort.patients.columns:
        had = cohort.patients["iec_hs"].dropna().astype(bool)
        counts.append(("IEC-HS", int(had.sum()), len(had)))
    return share_table(counts, probability)


def onset_table(cohort: Cohort) -> pd.DataFrame:
    """Give median and range of the day each toxicity began, in patients who had it.

    Returns
    -------
    DataFrame
        ``what``, ``n``, ``median``, ``lowest``, ``highest`` [day] and ``days`` (all of them where
        there are five or fewer).
    """
    columns = {name: onset for name, onset in GRADED.values()} | {"IEC-HS": "iec_hs_day"}
    rows = []
    for name, column in columns.items():
        if column not in cohort.patients.columns:
            continue
        days = cohort.patients[column].dropna().astype(float).sort_values()
        if days.empty:
            continue
        shown = ", ".join(f"{d:g}" for d in days) if len(days) <= 5 else ""
        rows.append((name, len(days), days.median(), days.min(), days.max(), shown))
    return pd.DataFrame(rows, columns=["what", "n", "median", "lowest", "highest", "days"])


def onset_incidence(cohort: Cohort, outcome: str, probability: float = 0.95) -> CumulativeIncidence:
    """Estimate the cumulative incidence of the onset of a toxicity, death competing.

    Parameters
    ----------
    cohort : Cohort
        Patients; follow-up is ``os_day``.
    outcome : {"crs_grade", "icans_grade", "iec_hs"}
        Its onset day has to be known for those who had it.
    probability : float
        Coverage of the limits.

    Returns
    -------
    CumulativeIncidence
        Causes 1 (onset) and 2 (death before it).

    Raises
    ------
    DataError
        If the onset or the follow-up is not in the table.
    """
    column = "iec_hs_day" if outcome == "iec_hs" else GRADED[outcome][1]
    absent = [c for c in (outcome, column, "os_day", "died") if c not in cohort.patients.columns]
    if absent:
        what = f"the incidence of {outcome} needs {', '.join(absent)}"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add the column(s)."))
    table = cohort.patients.dropna(subset=[outcome, "os_day", "died"])
    onset = table[column].astype(float)
    had = table[outcome].astype(float) > 0
    unknown = had & onset.isna()
    table, onset, had = table[~unknown], onset[~unknown], had[~unknown]
    day = np.where(had, onset, table["os_day"].astype(float))
    cause = np.where(had, ONSET, np.where(table["died"].astype(bool), DEATH_FIRST, 0))
    return cumulative_incidence(day, cause, probability=probability)


@dataclass(frozen=True)
class DoseLimiting:
    """Dose-limiting toxicity against the highest acceptable rate.

    Parameters
    ----------
    events, n : int
        Patients with dose-limiting toxicity, and evaluable patients.
    acceptable : float
        Highest acceptable rate.
    share, lower, upper : float
        Rate with its exact interval.
    posterior : float
        Probability that the rate is below `acceptable`, after a uniform prior.
    """

    events: int
    n: int
    acceptable: float
    share: float
    lower: float
    upper: float
    posterior: float


def dose_limiting(
    events: int, n: int, acceptable: float = 0.30, probability: float = 0.95
) -> DoseLimiting:
    """Compare the rate of dose-limiting toxicity with the highest acceptable one.

    Parameters
    ----------
    events, n : int
        Patients with dose-limiting toxicity, and evaluable patients.
    acceptable : float
        Highest acceptable rate, 0 to 1.
    probability : float
        Coverage of the exact interval.

    Returns
    -------
    DoseLimiting
        The posterior is Beta(1 + events, 1 + n - events).

    Raises
    ------
    DataError
        If the numbers are no counts, or the rate is none.

    Examples
    --------
    >>> round(dose_limiting(2, 16).posterior, 3)
    0.923
    """
    if not (0 <= events <= n and n > 0 and 0 < acceptable < 1):
        what = f"{events} of {n} with an acceptable rate of {acceptable}"
        raise DataError(Fault("dose_limiting", what, "Give counts, and a rate between 0 and 1."))
    lower, upper = clopper_pearson(events, n, probability)
    posterior = float(stats.beta.cdf(acceptable, 1 + events, 1 + n - events))
    return DoseLimiting(events, n, acceptable, events / n, lower, upper, posterior)
