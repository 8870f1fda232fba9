"""Log-rank test by permutation, for groups too small for its chi-square."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carkinetics.outcomes.permutation import DRAWN, EXACT, drawn_p
from carkinetics.outcomes.survival import LogRank, log_rank

Array = NDArray[np.float64]

FEW = 5  # patients in the smaller group below which the chi-square p-value is too small
_MOST = 200_000  # assignments that are counted one by one


def permuted_log_rank(
    time: ArrayLike, event: ArrayLike, group: ArrayLike, *, seed: int = 2026
) -> tuple[LogRank, str]:
    """Compare the survival of two groups by the log-rank statistic and its permutations.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    group : array_like of bool, shape (patient,)
        The two groups.
    seed : int
        Of the permutations drawn where counting all of them would take too long.

    Returns
    -------
    LogRank
        With the chi-square of `log_rank` and the p-value from permutations of the groups, which
        assumes that censoring does not depend on the group.
    str
        Where the p-value comes from.

    References
    ----------
    Heinze, Gnant and Schemper 2003, doi 10.1111/j.0006-341X.2003.00132.x.
    """
    event, group = np.asarray(event, dtype=bool), np.asarray(group, dtype=bool)
    found = log_rank(time, event, group)
    if found.reason:
        return found, ""
    scores = log_rank_scores(time, event)
    n, size = scores.size, int(min(group.sum(), (~group).sum()))
    smaller = group if group.sum() == size else ~group
    observed = float(scores[smaller].sum())
    if math.comb(n, size) > _MOST:

        def statistic(order: NDArray[np.intp]) -> Array:
            return np.asarray(scores[order][:, smaller].sum(axis=1))

        return LogRank(found.chi2, drawn_p(statistic, observed, n, seed), 2), DRAWN
    sums = np.array([sum(some) for some in itertools.combinations(scores.tolist(), size)])
    p = float((np.abs(sums) >= abs(observed) - 1e-9).mean())
    return LogRank(found.chi2, p, 2), EXACT


def log_rank_scores(time: ArrayLike, event: ArrayLike) -> Array:
    """Give each patient's score: event less expected events; they add up to 0.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.

    Returns
    -------
    array, shape (patient,)
        The sum over a group is its observed less its expected number of events.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=bool)
    days = np.unique(time[event])
    hazards = np.array([(event & (time == d)).sum() / (time >= d).sum() for d in days])
    reached = np.searchsorted(days, time, side="right")
    return event - np.concatenate([[0.0], np.cumsum(hazards)])[reached]
