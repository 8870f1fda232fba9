"""Patients that an outcome picks by what happened to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.outcomes.endpoint import SURVIVAL, Endpoint

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_EVENTS = {"progressed": "progressed", "died": "died"}


def selected(cohort: Cohort, endpoint: Endpoint) -> tuple[str, ...]:
    """Label an outcome that only patients with an event have.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    endpoint : Endpoint
        The outcome.

    Returns
    -------
    tuple of str
        A note, or nothing. The days to relapse of those who relapsed, say, leave out the
        patients who did best.
    """
    if endpoint.kind == SURVIVAL:
        return ()
    table = cohort.patients.set_index("patient")
    has = endpoint.values["outcome"].notna()
    for column, word in _EVENTS.items():
        if column not in table.columns:
            continue
        event = table[column].reindex(has.index).astype("boolean")
        if has.any() and event[has].fillna(False).all() and not has.all():
            others = int((~has).sum())
            return (
                f"SELECTED: only patients who {word} have {endpoint.name}; {others} patient(s) "
                "without it, among them those who did best, are not in the analysis. For times "
                'use outcome="dor" (or "ttp"), which keeps them as censored',
            )
    return ()


def before_onset(endpoint: Endpoint, exposure: str) -> tuple[str, ...]:
    """Offer exposures that are known before an outcome begins.

    Parameters
    ----------
    endpoint : Endpoint
        ``onset`` holds the days the outcome began.
    exposure : str
        Name of a quantity.

    Returns
    -------
    tuple of str
        A note that names exposures settled by a day before most onsets, and who had begun by
        then; nothing where there are no onsets.
    """
    onset = endpoint.onset.dropna()
    if onset.empty:
        return ()
    day = max(int(pd.Series(onset).median()) - 1, 1)
    offered = (f"level_{day}", f"auc_0_{day}")
    names = " and ".join(offered)
    if exposure.endswith("_to_onset"):
        return (
            f"the window of {exposure} ends at the onset: patients in whom {endpoint.label} began "
            "early have less of it by construction, those without have none. "
            f"{names} compare all patients on the same day",
        )
    if exposure not in offered:
        return (f"known before most onsets of {endpoint.label}: {names}",)
    early = onset.index[onset <= day]
    if early.empty:
        return ()
    shown = ", ".join(map(str, early[:5])) + (", ..." if len(early) > 5 else "")
    return (
        f"{endpoint.label} had begun by day {day} in {len(early)} of {len(onset)} patients "
        f"({shown}): for them {exposure} is not from before the onset",
    )
