"""Firth's penalized likelihood: finite under separation, less biased where events are few.

The penalty is half the log determinant of the information. On small, separated or outlying data the
usual Newton steps overshoot or stall in rounding, and limits found along them can lie on the wrong
side of the estimate; so the likelihood is maximized by line searches, and the limits are where its
profile crosses the chi-square bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from carkinetics.outcomes.binary import one_sided_outcome
from carkinetics.outcomes.hazards import no_hazards, partial_likelihood, risk_sets
from carkinetics.outcomes.regression import (
    Regression,
    design,
    likelihood_ratio_p,
    profile_interval,
)

Array = NDArray[np.float64]


def firth_logistic(x: ArrayLike, event: ArrayLike, *, probability: float = 0.95) -> Regression:
    """Fit a logistic regression by Firth's penalized likelihood.

    Finite under separation, where ordinary maximum likelihood is not.

    Parameters
    ----------
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure.
    event : array_like, shape (patient,)
        Whether the patient had the event.
    probability : float
        Coverage of the penalized profile-likelihood intervals.

    Returns
    -------
    Regression
        Log odds ratios per unit of each covariate, with p-values from the penalized likelihood
        ratio; ``intercepts`` holds the intercept.

    References
    ----------
    Heinze and Schemper 2002, doi 10.1002/sim.1047.
    """
    matrix, event = design(x), np.asarray(event, dtype=bool)
    columns, n, n_events = matrix.shape[1], event.size, int(event.sum())
    reason = one_sided_outcome(event)
    if not reason and (np.ptp(matrix, axis=0) == 0).any():
        reason = "the exposure is the same in all patients"
    center, spread = matrix.mean(axis=0), matrix.std(axis=0)
    scaled = np.column_stack([(matrix - center) / np.where(spread > 0, spread, 1.0), np.ones(n)])
    if not reason and np.linalg.matrix_rank(scaled) <= columns:
        reason = "one covariate is a combination of the others"
    if reason:
        return Regression.missing(reason, columns, n, n_events)
    penalized = _penalized_logistic(scaled, event)
    start = np.append(np.zeros(columns), special.logit(n_events / n))
    beta, loglik = _maximum(penalized, start, None)
    covariance = _covariance(scaled, beta)
    errors = np.sqrt(np.diag(covariance))[:columns]
    to_intercept = np.append(-center / spread, 1.0)
    limits, p_values = np.empty((columns, 2)), np.empty(columns)
    for j in range(columns):

        def profile(value: float, j: int = j) -> float:
            held = beta.copy()
            held[j] = value
            return _maximum(penalized, held, j)[1]

        p_values[j] = likelihood_ratio_p(loglik, profile(0.0))
        limits[j] = profile_interval(profile, beta[j], loglik, errors[j], probability)
    slopes = beta[:columns] / spread
    return Regression(
        slopes,
        errors / spread,
        limits[:, 0] / spread,
        limits[:, 1] / spread,
        p_values,
        intercepts=np.array([float(beta[columns] - slopes @ center)]),
        intercept_errors=np.sqrt([to_intercept @ covariance @ to_intercept]),
        # The penalty of the scaled covariates differs from that of the given ones.
        loglik=loglik + float(np.log(spread).sum()),
        n=n,
        n_events=n_events,
    )


def firth_slope(x: ArrayLike, event: ArrayLike) -> tuple[float, float]:
    """Give coefficient and variance of `firth_logistic` of one covariate, without its interval.

    Parameters
    ----------
    x, event : array_like, shape (patient,)
        As for `firth_logistic`.

    Returns
    -------
    coefficient, variance : float
        NaN where there is no estimate.
    """
    x, event = np.asarray(x, dtype=float), np.asarray(event, dtype=bool)
    if one_sided_outcome(event) or np.ptp(x) == 0:
        return np.nan, np.nan
    spread = float(x.std())
    scaled = np.column_stack([(x - x.mean()) / spread, np.ones(x.size)])
    start = np.array([0.0, special.logit(event.mean())])
    beta, _ = _maximum(_penalized_logistic(scaled, event), start, None)
    return float(beta[0]) / spread, float(_standard_errors(scaled, beta)[0] / spread) ** 2


def firth_logistic_p(x: ArrayLike, event: ArrayLike) -> float:
    """Give the p-value of `firth_logistic` of one covariate, alone.

    Parameters
    ----------
    x, event : array_like, shape (patient,)
        As for `firth_logistic`.

    Returns
    -------
    float
        NaN where there is no estimate.
    """
    x, event = np.asarray(x, dtype=float), np.asarray(event, dtype=bool)
    if one_sided_outcome(event) or np.ptp(x) == 0:
        return np.nan
    penalized = _penalized_logistic(
        np.column_stack([(x - x.mean()) / x.std(), np.ones(x.size)]), event
    )
    start = np.array([0.0, special.logit(event.mean())])
    top, null = (_maximum(penalized, start, held)[1] for held in (None, 0))
    return likelihood_ratio_p(top, null)


def firth_cox_p(x: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    """Give the p-value of `firth_cox`, alone.

    Parameters
    ----------
    x, time, event : array_like, shape (patient,)
        As for `firth_cox`.

    Returns
    -------
    float
        NaN where there is no estimate.
    """
    x, time = np.asarray(x, dtype=float), np.asarray(time, dtype=float)
    event = np.asarray(event, dtype=bool)
    if no_hazards(time, event, x[:, None], monotone=False):
        return np.nan
    penalized = _penalized_cox((x - x.mean()) / x.std(), time, event)
    found = optimize.minimize_scalar(lambda value: -penalized(value), bracket=(-0.5, 0.5))
    return likelihood_ratio_p(-float(found.fun), penalized(0.0))


def _penalized_cox(x: Array, time: Array, event: NDArray[np.bool_]) -> Callable[[float], float]:
    """Give the function that computes the penalized log partial likelihood."""
    risk = risk_sets(time, event, ties="breslow")

    def penalized(coefficient: float) -> float:
        loglik, information = partial_likelihood(risk, event, x, coefficient)
        return loglik + 0.5 * np.log(information) if information > 0 else -np.inf

    return penalized


def _standard_errors(x: Array, beta: Array) -> Array:
    return np.sqrt(np.diag(_covariance(x, beta)))


def _covariance(x: Array, beta: Array) -> Array:
    """Give the covariance from the data augmented by the penalty, as in the R package logistf."""
    share = special.expit(x @ beta)
    weight = share * (1.0 - share)
    leverage = _leverage(x, weight)
    information = (x * (weight * (1.0 + leverage))[:, None]).T @ x
    return np.linalg.inv(information)


def _leverage(x: Array, weight: Array) -> Array:
    """Give the diagonal of the hat matrix, shape (patient,)."""
    information = (x * weight[:, None]).T @ x
    return weight * (x * np.linalg.solve(information, x.T).T).sum(axis=1)


def _penalized_logistic(
    x: Array, event: NDArray[np.bool_]
) -> Callable[[Array], tuple[float, Array]]:
    """Give the function that computes the penalized log likelihood and its gradient."""
    sign = np.where(event, 1.0, -1.0)

    def penalized(beta: Array) -> tuple[float, Array]:
        linear = x @ beta
        share = special.expit(linear)
        weight = share * (1.0 - share)
        positive, log_determinant = np.linalg.slogdet((x * weight[:, None]).T @ x)
        if positive <= 0 or not np.isfinite(log_determinant):
            return -np.inf, np.zeros_like(beta)
        loglik = special.log_expit(sign * linear).sum() + 0.5 * log_determinant
        return float(loglik), x.T @ (event - share + _leverage(x, weight) * (0.5 - share))

    return penalized


def _maximum(
    penalized: Callable[[Array], tuple[float, Array]], start: Array, held: int | None
) -> tuple[Array, float]:
    """Maximize over all coefficients, or all but the one that is held."""
    free = np.arange(start.size) != (-1 if held is None else held)

    def negative(some: Array) -> tuple[float, Array]:
        beta = start.copy()
        beta[free] = some
        value, gradient = penalized(beta)
        return -value, -gradient[free]

    found = optimize.minimize(
        negative, start[free], jac=True, method="BFGS", options={"gtol": 1e-8}
    )
    beta = start.copy()
    beta[free] = found.x
    return beta, -float(found.fun)


def firth_cox(
    time: ArrayLike, event: ArrayLike, x: ArrayLike, *, probability: float = 0.95
) -> Regression:
    """Fit a proportional-hazards model by Firth's penalized partial likelihood.

    Finite where the ordinary likelihood is monotone, less biased where events are few. Events
    on the same day are treated after Breslow.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    x : array_like, shape (patient,)
        Covariate, such as ln exposure: one only, since few events carry no more.
    probability : float
        Coverage of the penalized profile-likelihood interval.

    Returns
    -------
    Regression
        Log hazard ratio per unit of `x`, with the p-value from the penalized likelihood ratio.

    References
    ----------
    Heinze and Schemper 2001, doi 10.1111/j.0006-341X.2001.00114.x.
    """
    time, matrix = np.asarray(time, dtype=float), design(x)
    event = np.asarray(event, dtype=bool)
    n, n_events = time.size, int(event.sum())
    reason = no_hazards(time, event, matrix, monotone=False)
    if matrix.shape[1] > 1:
        reason = "the penalized model takes one covariate"
    if reason:
        return Regression.missing(reason, matrix.shape[1], n, n_events)
    spread = matrix[:, 0].std()
    scaled = (matrix[:, 0] - matrix[:, 0].mean()) / spread

    penalized = _penalized_cox(scaled, time, event)
    found = optimize.minimize_scalar(lambda value: -penalized(value), bracket=(-0.5, 0.5))
    estimate, loglik = float(found.x), -float(found.fun)
    risk = risk_sets(time, event, ties="breslow")
    se = partial_likelihood(risk, event, scaled, estimate)[1] ** -0.5
    lower, upper = profile_interval(penalized, estimate, loglik, se, probability)
    return Regression(
        np.array([estimate]) / spread,
        np.array([se]) / spread,
        np.array([lower]) / spread,
        np.array([upper]) / spread,
        np.array([likelihood_ratio_p(loglik, penalized(0.0))]),
        # The penalty of the scaled covariate differs from that of the given one.
        loglik=loglik + float(np.log(spread)),
        n=n,
        n_events=n_events,
    )
