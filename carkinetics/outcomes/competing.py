"""What keeps progression from being seen: death, and transplant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.outcomes.endpoint import Endpoint
from carkinetics.outcomes.transplant import transplant_days

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

PROGRESSION, DEATH, TRANSPLANT = 1, 2, 3


def causes_of_progression(cohort: Cohort, *, transplant_competes: bool = False) -> pd.DataFrame:
    """Tell which came first: progression, death without it, or the end of follow-up.

    Parameters
    ----------
    cohort : Cohort
        With ``ttp_day`` and ``progressed``; death needs ``os_day`` and ``died``.
    transplant_competes : bool
        Count transplant before progression as an event of its own; it needs its day.

    Returns
    -------
    DataFrame
        Index patient: ``day`` [day] and ``cause`` (0 censored, 1 progression, 2 death without
        progression by the end of assessment, 3 transplant before either), for patients with a
        known time to progression.
    """
    table = cohort.patients.set_index("patient")
    known = table.dropna(subset=["ttp_day", "progressed"])
    progressed = known["progressed"].astype(bool).to_numpy()
    day = known["ttp_day"].to_numpy(float)
    dead = np.zeros(day.size, dtype=bool)
    if {"os_day", "died"} <= set(known.columns):
        died = known["died"].fillna(False).astype(bool).to_numpy()
        dead = died & (known["os_day"].to_numpy(float) <= day) & ~progressed
    cause = np.where(progressed, PROGRESSION, np.where(dead, DEATH, 0))
    if transplant_competes:
        own = transplant_days(cohort).reindex(known.index).to_numpy()
        first = (own < day) | ((own == day) & (cause == 0))
        day, cause = np.where(first, own, day), np.where(first, TRANSPLANT, cause)
    return pd.DataFrame({"day": day, "cause": cause}, index=known.index)


def competing(cohort: Cohort, endpoint: Endpoint) -> tuple[str, ...]:
    """Say what becomes of deaths without progression in an analysis of time to progression."""
    if endpoint.name != "ttp":
        return ()
    causes = causes_of_progression(cohort)["cause"].reindex(endpoint.used.index)
    n_dead = int((causes == DEATH).sum())
    if not n_dead:
        return ()
    return (
        f"{n_dead} patient(s) died without progression: the hazard ratio is cause-specific "
        "(they leave the risk set), and the share that progresses is an Aalen-Johansen "
        "cumulative incidence, not 1 - Kaplan-Meier",
    )
