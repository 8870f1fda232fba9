"""Duration of response: with its origin, and by arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.errors import DataError
from carkinetics.outcomes import KaplanMeier, RankTest, kaplan_meier, mann_whitney
from carkinetics.outcomes.endpoint import read_endpoint
from carkinetics.trial.roles import arms

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

SELECTED = (
    "relapsers only: patients still in response are left out, so that this median is shorter than "
    "that of all responders"
)


@dataclass(frozen=True)
class Duration:
    """How long responses lasted.

    Parameters
    ----------
    origin : str
        Where time starts: ``"from response"`` or ``"from infusion"``.
    curve : KaplanMeier
        All responders (CR and PR), those without relapse censored.
    relapsers : DataFrame
        ``group`` (``"all"`` or an arm), ``n``, ``median``, ``lowest``, ``highest`` [day] of the
        patients in complete response who relapsed; see `SELECTED`.
    test : RankTest or None
        Exact Mann-Whitney comparison of relapsers between two arms.
    """

    origin: str
    curve: KaplanMeier
    relapsers: pd.DataFrame
    test: RankTest | None


def duration_of_response(
    cohort: Cohort, transform: str = "log-log", probability: float = 0.95
) -> Duration | None:
    """Describe the duration of response.

    Parameters
    ----------
    cohort : Cohort
        With ``response``, ``ttp_day`` and ``progressed``; durations count from ``response_day``
        where there is one, else from the infusion, and the result says which.
    transform : str
        Scale of the limits of the curve, see `kaplan_meier`.
    probability : float
        Their coverage.

    Returns
    -------
    Duration or None
        None where nobody responded or the columns are missing.
    """
    try:
        endpoint = read_endpoint(cohort, "dor")
    except DataError:
        return None
    used = endpoint.used
    if used.empty:
        return None
    event = used["event"].astype(bool)
    curve = kaplan_meier(
        used["day"].astype(float), event, transform=transform, probability=probability
    )
    response = cohort.patients.set_index("patient")["response"]
    days = used.loc[event & (response[used.index] == "CR"), "day"].astype(float)
    groups = {"all": tuple(used.index), **arms(cohort)}
    rows = [
        (name, len(some), some.median(), some.min(), some.max())
        for name, patients in groups.items()
        for some in [days[days.index.isin(patients)]]
    ]
    relapsers = pd.DataFrame(rows, columns=["group", "n", "median", "lowest", "highest"])
    test = None
    if len(groups) == 3 and len(days):
        first = days.index.isin(groups[list(groups)[1]])
        test = mann_whitney(days.to_numpy(), first)
    return Duration(endpoint.clock, curve, relapsers, test)
