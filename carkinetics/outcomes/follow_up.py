"""How long patients were followed: two medians that are often confused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.survival import KaplanMeier, kaplan_meier


@dataclass(frozen=True)
class FollowUp:
    """Median follow-up, both ways.

    Parameters
    ----------
    observed_median : float
        Median of the observed times, whatever ended them [day]; short where patients died early.
    reverse : KaplanMeier
        The curve in which death censors follow-up; its median is the potential follow-up.
    n : int
        Patients.
    """

    observed_median: float
    reverse: KaplanMeier
    n: int

    @property
    def reverse_median(self) -> float:
        """Reverse Kaplan-Meier median [day]; infinite where it is not reached."""
        return self.reverse.median


def follow_up(
    time: ArrayLike, died: ArrayLike, *, transform: str = "log-log", probability: float = 0.95
) -> FollowUp:
    """Tell the median follow-up as the plain median and by reverse Kaplan-Meier.

    Parameters
    ----------
    time, died : array_like, shape (patient,)
        Day of death or last contact [day], and whether it was death.
    transform : str
        Scale of the limits, see `kaplan_meier`.
    probability : float
        Coverage of the limits.

    Returns
    -------
    FollowUp
        Both, to be printed with their labels: the same trial may have 523 and 934 days.

    References
    ----------
    Schemper and Smith 1996, doi 10.1016/0197-2456(96)00075-X.
    """
    time, died = np.asarray(time, dtype=float), np.asarray(died, dtype=bool)
    if time.size == 0:
        raise DataError(Fault("follow_up", "there are no patients"))
    reverse = kaplan_meier(time, ~died, transform=transform, probability=probability)
    return FollowUp(float(np.median(time)), reverse, time.size)
