"""Nonparametric maximum likelihood from intervals, with or without competing causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import optimize

from carkinetics.errors import DataError, Fault

_ROUNDS = 50  # of self-consistency, to begin with
_STEPS = 500  # of Newton's method; some ten are needed
_TOLERANCE = 1e-12  # of the optimality condition, relative
_SHORTEST = 1e-8  # part of a step


@dataclass(frozen=True, eq=False)
class Npmle:
    """Where the probability lies: in intervals, inside which nothing is known.

    Made by `turnbull`.

    Parameters
    ----------
    left, right : array, shape (interval,)
        Ends of the intervals (left, right]; a single day where they are equal [day].
    mass : array, shape (interval,)
        Probability of each; what is missing to 1 lies beyond the last day.
    cause : array of str, shape (interval,)
        Cause each belongs to.
    n : int
        Patients.
    gap : float
        How far the optimality condition is missed, relative; 0 is exact.
    """

    left: np.ndarray
    right: np.ndarray
    mass: np.ndarray
    cause: np.ndarray
    n: int
    gap: float

    def incidence(self, days: Sequence[float] | np.ndarray, cause: str) -> pd.DataFrame:
        """Give the share with the event by each day.

        Parameters
        ----------
        days : sequence of float
            Days [day].
        cause : str
            Which event.

        Returns
        -------
        DataFrame
            ``day``, ``lower`` and ``upper``: all that is known where a day lies inside an
            interval; equal elsewhere. They are no confidence limits.
        """
        at = np.asarray(days, dtype=float)[:, None]
        own = self.cause == cause
        over = (self.right <= at) & own
        begun = ((self.left < at) | (self.right <= at)) & own
        return pd.DataFrame(
            {
                "day": at[:, 0],
                "lower": (over * self.mass).sum(axis=1),
                "upper": (begun * self.mass).sum(axis=1),
            }
        )

    def median(self, cause: str) -> tuple[float, float]:
        """Give the interval that holds the day by which half have had the event [day].

        Returns
        -------
        left, right : float
            Infinite where fewer than half have it.
        """
        own = np.flatnonzero(self.cause == cause)
        order = own[np.argsort(self.right[own], kind="stable")]
        reached = np.flatnonzero(np.cumsum(self.mass[order]) >= 0.5 - 1e-9)
        if reached.size == 0:
            return np.inf, np.inf
        k = order[reached[0]]
        return float(self.left[k]), float(self.right[k])


def turnbull(
    left: np.ndarray, right: np.ndarray, cause: Sequence[str] | np.ndarray | None = None
) -> Npmle:
    """Estimate the distribution of a day known only to lie in intervals, by maximum likelihood.

    Parameters
    ----------
    left, right : array, shape (patient,)
        The day lies in (left, right]; on it where they are equal; after `left` where `right` is
        infinite (right-censored) [day].
    cause : sequence of str, optional
        What happened in each interval; not read where `right` is infinite. One cause by default.

    Returns
    -------
    Npmle

    Raises
    ------
    DataError
        For no patients, or an interval that ends before it begins.

    References
    ----------
    Turnbull 1976, doi 10.1111/j.2517-6161.1976.tb01597.x; with competing causes Hudgens, Satten
    and Longini 2001, doi 10.1111/j.0006-341X.2001.00074.x; the constrained Newton steps Wang 2007,
    doi 10.1111/j.1467-9868.2007.00583.x.

    Examples
    --------
    >>> found = turnbull(np.array([0.0, 1, 4]), np.array([2.0, 3, np.inf]))
    >>> found.left, found.right, found.mass.round(4)
    (array([1.]), array([2.]), array([0.6667]))
    """
    left, right = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    if left.size == 0 or left.shape != right.shape:
        raise DataError(Fault("intervals", "there are none, or their ends differ in number"))
    if np.isnan(left).any() or not (left <= right).all():
        what = "an interval ends before it begins"
        raise DataError(Fault("intervals", what, "Give left <= right."))
    event = np.isfinite(right)
    kinds = np.where(event, "event" if cause is None else np.asarray(cause, dtype=str), "")
    causes = list(dict.fromkeys(kinds[event]))
    low, high, of = _support(left, right, kinds, causes)
    # Rows patients, columns places that may hold the event; the last one is "later than all".
    inside = (low >= left[:, None]) & (high <= right[:, None])
    inside &= (low > left[:, None]) | (high > low) | (left == right)[:, None]
    own = (kinds[:, None] == of) | ~event[:, None]
    may = np.column_stack([inside & own, ~event]).astype(float)
    mass, gap = _maximized(may)
    kept = mass[:-1] > 1e-9
    return Npmle(low[kept], high[kept], mass[:-1][kept], of[kept], left.size, gap)


def _support(
    left: np.ndarray, right: np.ndarray, kinds: np.ndarray, causes: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the intervals that can hold mass: a left end next to a right end, for each cause."""
    low, high, of = [], [], []
    for cause in causes:
        own = kinds == cause
        exact = own & (left == right)
        # At one day: an exact day opens, then intervals close, then intervals open.
        marks = [(v, 0) for v in left[exact]] + [(v, 1) for v in right[own]]
        opening = ((kinds == "") | own) & ~exact
        marks += [(v, 2) for v in left[opening]]
        ordered = sorted(set(marks))
        for (before, kind), (after, next_kind) in pairwise(ordered):
            if kind != 1 and next_kind == 1:
                low.append(before)
                high.append(after)
                of.append(cause)
    return np.array(low), np.array(high), np.array(of, dtype=str)


def _maximized(may: np.ndarray) -> tuple[np.ndarray, float]:
    """Find the masses of the largest likelihood: self-consistency first, then Newton steps.

    Self-consistency alone slows down without end where a mass goes to zero. The steps minimize the
    quadratic that touches the likelihood, masses staying positive (constrained Newton method).
    """
    # A place that nobody may be in holds nothing.
    mass = may.any(axis=0).astype(float)
    mass /= mass.sum()
    for _ in range(_ROUNDS):
        mass = mass * _gradient(may, mass)
    gap = np.inf
    for _ in range(_STEPS):
        gradient = _gradient(may, mass)
        gap = max(float(gradient.max()) - 1.0, 0.0)
        if gap < _TOLERANCE:
            break
        better = _along(may, mass, _newton(may, mass))
        # Where rounding leaves nothing to gain along the step, self-consistency still may.
        mass = mass * gradient if better is None else better
    return mass, gap


def _gradient(may: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Give the slope of the mean log likelihood by each mass; 1 wherever there is mass at the top.

    Multiplying by it is a step of self-consistency: every patient is shared out over the places.
    """
    return np.asarray((may / (may @ mass)[:, None]).sum(axis=0) / len(may))


def _newton(may: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Maximize the quadratic that touches the log likelihood, over masses that add up to one."""
    ratios = may / (may @ mass)[:, None] - 2.0
    rows = np.vstack([ratios, np.ones(may.shape[1])])
    target = np.zeros(len(rows))
    target[-1] = 1.0  # the last row makes the sum one, once the result is scaled
    found, _ = optimize.nnls(rows, target, maxiter=50 * may.shape[1])
    return np.asarray(found / found.sum())


def _along(may: np.ndarray, mass: np.ndarray, goal: np.ndarray) -> np.ndarray | None:
    """Go as far towards the goal as the likelihood rises; None where it does not."""
    before, step = np.log(may @ mass).sum(), 1.0
    while step > _SHORTEST:
        there = mass + step * (goal - mass)
        with np.errstate(divide="ignore"):
            if np.log(may @ there).sum() > before:
                return there
        step /= 2
    return None
