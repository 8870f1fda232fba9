"""Proportional hazards in discrete time: events of one day as a draw from those at risk.

The likelihood of a day with d events is the chance that these d of the patients at risk were
struck and no other d: the exact treatment of ties that come from days being counted whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from carkinetics.outcomes.regression import Regression, likelihood_ratio_p, profile_interval

Array = NDArray[np.float64]

_STEP = 1e-3  # of the second difference, in units of 1 / SD of the covariate


def exact_partial_likelihood(time: Array, event: NDArray[np.bool_], linear: Array) -> float:
    """Compute the log likelihood of hazards that are proportional in odds on every day.

    Parameters
    ----------
    time, event : array, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    linear : array, shape (patient,)
        Linear predictor.

    Returns
    -------
    float
    """
    total = 0.0
    for day in np.unique(time[event]):
        struck = linear[event & (time == day)]
        total += struck.sum() - _log_of_all_choices(linear[time >= day], struck.size)
    return float(total)


def _log_of_all_choices(linear: Array, size: int) -> float:
    """Log of the sum, over all choices of `size` patients, of the product of their hazards."""
    found = np.full(size + 1, -np.inf)
    found[0] = 0.0
    for value in linear:
        found[1:] = np.logaddexp(found[1:], value + found[:-1])
    return float(found[-1])


def exact_cox(
    time: Array, event: NDArray[np.bool_], x: Array, start: float, probability: float
) -> Regression:
    """Fit one covariate by the exact treatment of ties.

    Parameters
    ----------
    time, event, x : array, shape (patient,)
        Days, events, and the covariate; with a likelihood that has a maximum.
    start : float
        Coefficient to search from, such as that after Efron.
    probability : float
        Coverage of the profile-likelihood interval.

    Returns
    -------
    Regression
    """
    spread = float(x.std())
    scaled = (x - x.mean()) / spread

    def loglik(value: float) -> float:
        return exact_partial_likelihood(time, event, value * scaled)

    found = optimize.minimize_scalar(
        lambda value: -loglik(value), bracket=(start * spread - 0.5, start * spread + 0.5)
    )
    best, top = float(found.x), -float(found.fun)
    error = 1.0 / np.sqrt(_information(loglik, best))
    lower, upper = profile_interval(loglik, best, top, error, probability)
    return Regression(
        np.array([best / spread]),
        np.array([error / spread]),
        np.array([lower / spread]),
        np.array([upper / spread]),
        np.array([likelihood_ratio_p(top, loglik(0.0))]),
        loglik=top,
        n=time.size,
        n_events=int(event.sum()),
    )


def _information(loglik: Callable[[float], float], at: float) -> float:
    around = loglik(at + _STEP) + loglik(at - _STEP) - 2.0 * loglik(at)
    return -around / _STEP**2
