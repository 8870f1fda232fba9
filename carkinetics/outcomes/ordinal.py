"""Grades by maximum likelihood: proportional odds, and its case of two grades."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from carkinetics.outcomes.binary import one_sided_outcome
from carkinetics.outcomes.regression import (
    Regression,
    design,
    likelihood_ratio_p,
    profile_interval,
)
from carkinetics.outcomes.separation import is_separated
from carkinetics.outcomes.trend import no_trend

Array = NDArray[np.float64]


def proportional_odds(x: ArrayLike, grade: ArrayLike, *, probability: float = 0.95) -> Regression:
    """Fit a cumulative logit model with one slope for all grades.

    Parameters
    ----------
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure.
    grade : array_like, shape (patient,)
        Ordered outcome. Grades nobody had are left out: they have no threshold.
    probability : float
        Coverage of the profile-likelihood intervals.

    Returns
    -------
    Regression
        Log odds ratios of a higher grade per unit of each covariate; ``intercepts`` holds the
        thresholds c in P(grade > k) = logistic(x b - c_k). Grades ordered by a covariate without
        overlap (separation) give no numbers but the reason.

    References
    ----------
    McCullagh 1980, doi 10.1111/j.2517-6161.1980.tb01109.x.
    """
    matrix, grade = design(x), np.asarray(grade, dtype=float)
    _, codes = np.unique(grade, return_inverse=True)
    n, n_events, columns = grade.size, int((codes > 0).sum()), matrix.shape[1]
    reason = no_odds(matrix, grade, codes)
    if reason:
        return Regression.missing(reason, columns, n, n_events)
    center, spread = matrix.mean(axis=0), matrix.std(axis=0)
    scaled = (matrix - center) / spread
    slopes, errors, thresholds, loglik = _fit_ordered(codes, scaled)
    shares = np.bincount(codes) / n
    null_thresholds = special.logit(np.cumsum(shares)[:-1])
    limits, p_values = np.empty((columns, 2)), np.empty(columns)
    for j in range(columns):
        others = np.delete(np.arange(columns), j)

        def profile(value: float, j: int = j, others: NDArray[np.intp] = others) -> float:
            # On the line through the two known maxima, from where no search gets lost.
            share = value / slopes[j] if slopes[j] else 0.0
            start = null_thresholds + share * (thresholds - null_thresholds)
            first = np.append(slopes[others], _steps(start))
            return _ordered_loglik(codes, value * scaled[:, j], scaled[:, others], first)

        null = float(np.log(shares[codes]).sum()) if columns == 1 else profile(0.0)
        p_values[j] = likelihood_ratio_p(loglik, null)
        limits[j] = profile_interval(profile, slopes[j], loglik, errors[j], probability)
    return Regression(
        slopes / spread,
        errors / spread,
        limits[:, 0] / spread,
        limits[:, 1] / spread,
        p_values,
        intercepts=thresholds + (slopes / spread) @ center,
        loglik=loglik,
        n=n,
        n_events=n_events,
    )


def proportional_odds_slope(x: ArrayLike, grade: ArrayLike) -> tuple[float, float]:
    """Give coefficient and variance of `proportional_odds` without its interval.

    Parameters
    ----------
    x, grade : array_like, shape (patient,)
        As for `proportional_odds`.

    Returns
    -------
    coefficient, variance : float
        NaN where there is no estimate.
    """
    matrix, grade = design(x), np.asarray(grade, dtype=float)
    _, codes = np.unique(grade, return_inverse=True)
    if no_odds(matrix, grade, codes):
        return np.nan, np.nan
    spread = float(matrix.std())
    scaled = (matrix[:, 0] - matrix.mean()) / spread
    shares = np.bincount(codes) / codes.size
    start = np.append(0.0, special.logit(np.cumsum(shares)[:-1]))
    gradient = _score(codes, scaled)
    found = optimize.root(gradient, start, jac=lambda at: _slopes(gradient, at), tol=1e-10)
    information = -_slopes(gradient, found.x)
    if not found.success or (np.linalg.eigvalsh(information) <= 0).any():
        return np.nan, np.nan
    variance = float(np.linalg.inv(information)[0, 0])
    return float(found.x[0]) / spread, variance / spread**2


def _score(codes: NDArray[np.intp], x: Array) -> Callable[[Array], Array]:
    """Give the gradient of the log likelihood in the slope and the thresholds."""
    last = int(codes.max())

    def gradient(at: Array) -> Array:
        ends = np.concatenate([[-np.inf], at[1:], [np.inf]])
        low, high = (special.expit(ends[codes + k] - at[0] * x) for k in (0, 1))
        chance = np.maximum(high - low, 1e-300)
        down, up = low * (1 - low) / chance, high * (1 - high) / chance
        steps = [up[codes == k].sum() - down[codes == k + 1].sum() for k in range(last)]
        return np.append(-(x * (up - down)).sum(), steps)

    return gradient


def _slopes(gradient: Callable[[Array], Array], at: Array) -> Array:
    """Differentiate a gradient by central differences, symmetrically."""
    step = 1e-5
    rows = [
        (gradient(at + step * unit) - gradient(at - step * unit)) / (2 * step)
        for unit in np.eye(at.size)
    ]
    found = np.array(rows)
    return np.asarray((found + found.T) / 2)


def no_odds(matrix: Array, grade: Array, codes: NDArray[np.intp]) -> str:
    """Say why a proportional-odds model cannot be fitted; empty when it can."""
    for column in matrix.T:
        reason = no_trend(column, grade)
        if reason:
            return reason
        if is_separated(column, codes):
            return (
                "exposure orders the outcome without overlap (separation), so that maximum "
                "likelihood has no finite estimate"
            )
    return ""


def _fit_ordered(codes: NDArray[np.intp], x: Array) -> tuple[Array, Array, Array, float]:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    model = OrderedModel(codes, x, distr="logit")
    with warnings.catch_warnings():
        # A start at the optimum ends with "precision loss", which is no loss here.
        warnings.simplefilter("ignore")
        start = model.fit(method="bfgs", disp=0, gtol=1e-7, maxiter=500, skip_hessian=True)
        fitted = model.fit(start.params, method="newton", disp=0, tol=1e-12, maxiter=50)
    thresholds = model.transform_threshold_params(fitted.params)[1:-1]
    columns = x.shape[1]
    slopes, errors = np.asarray(fitted.params)[:columns], np.asarray(fitted.bse)[:columns]
    return slopes, errors, thresholds, float(fitted.llf)


def _steps(thresholds: Array) -> Array:
    """Write thresholds as the model holds them: the first, and the logs of the steps."""
    return np.append(thresholds[0], np.log(np.maximum(np.diff(thresholds), 0.01)))


def _ordered_loglik(codes: NDArray[np.intp], offset: Array, others: Array, first: Array) -> float:
    """Maximize over thresholds and other slopes, from a start, at a given offset."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    model = OrderedModel(codes, others if others.size else None, offset=offset, distr="logit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(model.fit(first, method="bfgs", disp=0, maxiter=500, skip_hessian=True).llf)


def logistic(x: ArrayLike, event: ArrayLike, *, probability: float = 0.95) -> Regression:
    """Fit a logistic regression by ordinary maximum likelihood, where that exists.

    Parameters
    ----------
    x : array_like, shape (patient,)
        Covariate, such as ln exposure.
    event : array_like, shape (patient,)
        Whether the patient had the event.
    probability : float
        Coverage of the profile-likelihood interval.

    Returns
    -------
    Regression
        Log odds ratio per unit of `x`. Refused, with the reason, under separation:
        use `firth_logistic`.
    """
    event = np.asarray(event, dtype=bool)
    reason = one_sided_outcome(event)
    if reason:
        return Regression.missing(reason, 1, event.size, int(event.sum()))
    fitted = proportional_odds(x, event.astype(float), probability=probability)
    if not fitted.intercepts.size:
        return fitted
    return Regression(
        **{**vars(fitted), "intercepts": -fitted.intercepts},
    )
