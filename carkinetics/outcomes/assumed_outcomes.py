"""Outcomes drawn under an assumed association with exposure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]

# Stated in advance: of the size that published exposure-response analyses of CAR T cells have,
# and about 2 per SD of a log peak. A hazard falls with exposure, the odds of toxicity rise.
ASSUMED_RATIO = {"survival": 0.6, "ordinal": 1.7, "binary": 1.7}


def slope_of(ratio: float) -> float:
    """Turn a ratio per doubling into a coefficient per unit of ln exposure."""
    return float(np.log2(ratio))


def draw_events(
    rng: np.random.Generator, x: Array, ratio: float, share: float
) -> NDArray[np.bool_]:
    """Draw a yes-or-no outcome.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    x : array, shape (..., patient)
        ln exposure.
    ratio : float
        Odds ratio per doubling.
    share : float
        Expected share of patients with the event, 0 to 1.

    Returns
    -------
    array of bool, shape (..., patient)
    """
    linear = slope_of(ratio) * (x - x.mean())
    intercept = _intercept(linear, share)
    return np.asarray(rng.random(x.shape) < special.expit(intercept + linear))


def draw_grades(
    rng: np.random.Generator, x: Array, ratio: float, shares: Sequence[float]
) -> NDArray[np.intp]:
    """Draw ordered grades from a cumulative logit model.

    Parameters
    ----------
    rng, x : see `draw_events`
    ratio : float
        Odds ratio of a higher grade per doubling.
    shares : sequence of float
        Expected share of each grade from the lowest up; they add up to 1.

    Returns
    -------
    array of int, shape (..., patient)
        0 for the lowest grade.
    """
    linear = slope_of(ratio) * (x - x.mean())
    above = 1.0 - np.cumsum(shares)[:-1]
    intercepts = [_intercept(linear, share) for share in above]
    chance = rng.random(x.shape)
    return np.asarray(sum((chance < special.expit(a + linear)).astype(int) for a in intercepts))


def _intercept(linear: Array, share: float) -> float:
    """Find the intercept with which the expected share is the one wanted."""

    def excess(intercept: float) -> float:
        return float(special.expit(intercept + linear).mean()) - share

    reach = float(np.abs(linear).max()) + 40.0
    return float(optimize.brentq(excess, -reach, reach, xtol=1e-10))


def draw_times(
    rng: np.random.Generator, x: Array, ratio: float, rate: float, censoring: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Draw days of events with a constant hazard, censored at given days.

    Parameters
    ----------
    rng, x : see `draw_events`
    ratio : float
        Hazard ratio per doubling.
    rate : float
        Events per day at the mean of `x`.
    censoring : array, shape (..., patient)
        Day on which follow-up would end [day].

    Returns
    -------
    day : array, shape (..., patient)
        Day of event or censoring [day].
    event : array of bool, shape (..., patient)
    """
    hazard = rate * np.exp(slope_of(ratio) * (x - x.mean()))
    day = rng.exponential(size=x.shape) / hazard
    return np.minimum(day, censoring), day <= censoring
