"""Progression-free and overall survival, follow-up and causes of death."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import FollowUp, KaplanMeier, follow_up, kaplan_meier
from carkinetics.trial.roles import role_of

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

CLOCKS = {
    "pfs": ("Progression-free survival", "pfs_day", "pfs_event"),
    "os": ("Overall survival", "os_day", "died"),
    "ttp": ("Time to progression (death censored)", "ttp_day", "progressed"),
}


@dataclass(frozen=True)
class Clock:
    """One survival outcome.

    Parameters
    ----------
    name, label : str
        Such as ``"pfs"`` and what it is called.
    table : DataFrame
        Index patient: ``day`` [day] and ``event``.
    curve : KaplanMeier
        With limits on the scale it names.
    """

    name: str
    label: str
    table: pd.DataFrame
    curve: KaplanMeier


def clocks(
    cohort: Cohort, transform: str = "log-log", probability: float = 0.95
) -> dict[str, Clock]:
    """Estimate every survival outcome that the cohort has.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    transform : str
        Scale on which limits are symmetric, see `kaplan_meier`.
    probability : float
        Coverage of the limits.

    Returns
    -------
    dict of str to Clock
        Those among ``"pfs"``, ``"os"`` and ``"ttp"``.
    """
    found = {}
    for name, (label, day, event) in CLOCKS.items():
        if not {day, event} <= set(cohort.patients.columns):
            continue
        known = cohort.patients.set_index("patient")[[day, event]].dropna()
        if known.empty:
            continue
        table = pd.DataFrame({"day": known[day].astype(float), "event": known[event].astype(bool)})
        curve = kaplan_meier(
            table["day"], table["event"], transform=transform, probability=probability
        )
        found[name] = Clock(name, label, table, curve)
    return found


def trial_follow_up(
    cohort: Cohort, transform: str = "log-log", probability: float = 0.95
) -> FollowUp | None:
    """Give median follow-up both ways; None where survival is not known."""
    if not {"os_day", "died"} <= set(cohort.patients.columns):
        return None
    known = cohort.patients[["os_day", "died"]].dropna()
    if known.empty:
        return None
    return follow_up(
        known["os_day"].astype(float), known["died"].astype(bool), transform=transform,
        probability=probability,
    )  # fmt: skip


def death_table(cohort: Cohort) -> pd.DataFrame | None:
    """Count deaths by cause.

    Returns
    -------
    DataFrame or None
        ``cause`` and ``deaths``; None where deaths are not known.
    """
    if "died" not in cohort.patients.columns:
        return None
    table = cohort.patients.set_index("patient")
    dead = table.index[table["died"].fillna(False).astype(bool)]
    cause = role_of(cohort, "death_cause")
    if cause is None:
        return pd.DataFrame({"cause": ["not given"], "deaths": [len(dead)]})
    counts = cause[dead].fillna("not given").astype(str).value_counts()
    return counts.rename_axis("cause").rename("deaths").reset_index()


def causes_of_death(cohort: Cohort) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Tell when and of what patients died, for a cumulative incidence of each cause.

    Parameters
    ----------
    cohort : Cohort
        With ``os_day`` and ``died``; the cause is ``death_cause``.

    Returns
    -------
    table : DataFrame
        Index patient: ``day`` [day] and ``cause``, 0 for the living, else 1, 2, ...
    names : tuple of str
        Of the causes, the most frequent first.

    Raises
    ------
    DataError
        If the columns of overall survival are missing.
    """
    table = cohort.patients.set_index("patient")
    absent = {"os_day", "died"} - set(table.columns)
    if absent:
        what = f"death needs {', '.join(sorted(absent))}"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add the column(s)."))
    known = table.dropna(subset=["os_day", "died"])
    died = known["died"].astype(bool)
    given = role_of(cohort, "death_cause")
    cause = pd.Series("not given", index=known.index) if given is None else given[known.index]
    cause = cause.fillna("not given").astype(str)
    names = tuple(cause[died].value_counts().index)
    code = cause.map({name: k for k, name in enumerate(names, start=1)}).where(died, 0)
    found = pd.DataFrame({"day": known["os_day"].astype(float), "cause": code.astype(int)})
    return found, names
