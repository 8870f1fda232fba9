"""Grades by maximum likelihood: the odds of each grade against the one below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from carkinetics.outcomes.ordinal import no_odds
from carkinetics.outcomes.regression import (
    Regression,
    design,
    likelihood_ratio_p,
    profile_interval,
)
from carkinetics.outcomes.trend import permuted_product

Array = NDArray[np.float64]

_STEPS, _HALVINGS = 100, 40
_SMALL = 1e-10


def adjacent_categories(x: ArrayLike, grade: ArrayLike, *, probability: float = 0.95) -> Regression:
    """Fit an adjacent-category logit model with one slope for all steps between grades.

    Parameters
    ----------
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure.
    grade : array_like, shape (patient,)
        Ordered outcome. Grades nobody had are left out: the step goes over them.
    probability : float
        Coverage of the profile-likelihood intervals.

    Returns
    -------
    Regression
        Log odds ratios of a grade against the one below it, per unit of each covariate;
        ``intercepts`` holds the a in P(grade k + 1) / P(grade k) = exp(a_k + x b). Grades ordered
        by a covariate without overlap (separation) give no numbers but the reason.

    References
    ----------
    Agresti 2010, Analysis of Ordinal Categorical Data, section 4.1, doi 10.1002/9780470594001.
    """
    matrix, grade = design(x), np.asarray(grade, dtype=float)
    _, codes = np.unique(grade, return_inverse=True)
    n, n_events, columns = grade.size, int((codes > 0).sum()), matrix.shape[1]
    if reason := no_odds(matrix, grade, codes):
        return Regression.missing(reason, columns, n, n_events)
    center, spread = matrix.mean(axis=0), matrix.std(axis=0)
    scaled = (matrix - center) / spread
    fitted = _maximize(codes, scaled, np.zeros(n))
    steps, slopes = fitted.at[: codes.max()], fitted.at[codes.max() :]
    errors = np.sqrt(np.diag(np.linalg.inv(fitted.information)))[codes.max() :]
    limits, p_values = np.empty((columns, 2)), np.empty(columns)
    for j in range(columns):
        others = np.delete(scaled, j, axis=1)

        def profile(value: float, j: int = j, others: Array = others) -> float:
            return _maximize(codes, others, value * scaled[:, j]).loglik

        p_values[j] = likelihood_ratio_p(fitted.loglik, profile(0.0))
        limits[j] = profile_interval(profile, slopes[j], fitted.loglik, errors[j], probability)
    return Regression(
        slopes / spread,
        errors / spread,
        limits[:, 0] / spread,
        limits[:, 1] / spread,
        p_values,
        intercepts=steps - (slopes / spread) @ center,
        loglik=fitted.loglik,
        n=n,
        n_events=n_events,
    )


def permuted_adjacent(x: ArrayLike, grade: ArrayLike, *, seed: int = 2026) -> float:
    """Test the slope of `adjacent_categories` by permutations of its score.

    Parameters
    ----------
    x, grade : array_like, shape (patient,)
        As for `adjacent_categories`.
    seed : int
        Of the permutations.

    Returns
    -------
    float
        Two-sided p-value. The score at no association is the covariate times the number of the
        grade among those that occur, so that no model is fitted.
    """
    _, codes = np.unique(np.asarray(grade, dtype=float), return_inverse=True)
    return permuted_product(x, codes, seed=seed)


@dataclass(frozen=True)
class _Maximum:
    """Steps between grades, then slopes; the log likelihood there and its information."""

    at: Array
    loglik: float
    information: Array


def _maximize(codes: NDArray[np.intp], x: Array, offset: Array) -> _Maximum:
    """Maximize a concave log likelihood by Newton steps, halved where one goes too far."""
    last = int(codes.max())
    # Grade k has the sum of the first k steps, and k times the slope.
    passed = np.tril(np.ones((last + 1, last)), -1)
    counts = np.arange(last + 1.0)
    shares = np.bincount(codes) / codes.size
    at = np.append(np.diff(np.log(shares)), np.zeros(x.shape[1]))
    value, score, information = _parts(codes, x, offset, at, passed, counts)
    for _ in range(_STEPS):
        step = np.linalg.solve(information, score)
        if np.abs(step).max() < _SMALL:
            break
        for _ in range(_HALVINGS):
            found = _parts(codes, x, offset, at + step, passed, counts)
            if found[0] >= value - 1e-12:
                break
            step = step / 2
        at, (value, score, information) = at + step, found
    return _Maximum(at, value, information)


def _parts(
    codes: NDArray[np.intp], x: Array, offset: Array, at: Array, passed: Array, counts: Array
) -> tuple[float, Array, Array]:
    """Give log likelihood, score and information at some steps and slopes."""
    last = passed.shape[1]
    linear = offset + x @ at[last:]
    logit = passed @ at[:last] + linear[:, None] * counts
    log_chance = logit - special.logsumexp(logit, axis=1, keepdims=True)
    chance = np.exp(log_chance)
    # Derivative of every grade's logit by every step and slope, shape (patient, grade, parameter).
    by_slope = counts[None, :, None] * x[:, None, :]
    by = np.concatenate([np.broadcast_to(passed, (len(codes), *passed.shape)), by_slope], axis=2)
    mean = np.einsum("ig,igp->ip", chance, by)
    rows = np.arange(codes.size)
    score = (by[rows, codes] - mean).sum(axis=0)
    information = np.einsum("ig,igp,igq->pq", chance, by, by) - mean.T @ mean
    return float(log_chance[rows, codes].sum()), score, information
