"""Proportional hazards with a Weibull baseline, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from carkinetics.outcomes.hazards import no_hazards
from carkinetics.outcomes.regression import (
    Regression,
    design,
    likelihood_ratio_p,
    profile_interval,
)

Array = NDArray[np.float64]
Likelihood = Callable[[Array], tuple[float, Array]]


def weibull_hazards(
    time: ArrayLike,
    event: ArrayLike,
    x: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    probability: float = 0.95,
) -> Regression:
    """Fit a proportional-hazards model whose baseline hazard is (k/l) (t/l)^(k-1).

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring, after 0 [day], and whether it was an event.
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure.
    entry : array_like, shape (patient,), optional
        Day from which the patient was at risk (left truncation, as at a landmark) [day].
    probability : float
        Coverage of the profile-likelihood intervals.

    Returns
    -------
    Regression
        Log hazard ratios per unit of each covariate; ``intercepts`` holds ln l [ln day] and ln k.
        The same model as accelerated failure times has coefficients -(log hazard ratio) / k.

    References
    ----------
    Kalbfleisch and Prentice 2002, doi 10.1002/9781118032985.
    """
    time, matrix = np.asarray(time, dtype=float), design(x)
    event = np.asarray(event, dtype=bool)
    start = np.zeros(time.size) if entry is None else np.asarray(entry, dtype=float)
    columns, n, n_events = matrix.shape[1], time.size, int(event.sum())
    reason = no_hazards(time, event, matrix)
    if not reason and (time <= start).any():
        reason = "a patient's time is not after the start of risk"
    if reason:
        return Regression.missing(reason, columns, n, n_events)
    center, spread = matrix.mean(axis=0), matrix.std(axis=0)
    scaled = (matrix - center) / spread
    negative = _negative(time, event, start, scaled)
    first = np.append(np.zeros(columns), [np.log(time.sum() / n_events), 0.0])
    beta, loglik = _minimum(negative, first, None)
    errors = np.sqrt(np.diag(np.linalg.inv(_information(negative, beta))))[:columns]
    limits, p_values = np.empty((columns, 2)), np.empty(columns)
    for j in range(columns):

        def profile(value: float, j: int = j) -> float:
            held = beta.copy()
            held[j] = value
            return _minimum(negative, held, j)[1]

        p_values[j] = likelihood_ratio_p(loglik, profile(0.0))
        limits[j] = profile_interval(profile, beta[j], loglik, errors[j], probability)
    slopes, log_shape = beta[:columns] / spread, beta[-1]
    # (t/l)^k exp(b x) with x counted from its mean is the same with another l.
    log_scale = beta[-2] + slopes @ center / np.exp(log_shape)
    return Regression(
        slopes,
        errors / spread,
        limits[:, 0] / spread,
        limits[:, 1] / spread,
        p_values,
        intercepts=np.array([log_scale, log_shape]),
        loglik=loglik,
        n=n,
        n_events=n_events,
    )


def _negative(time: Array, event: NDArray[np.bool_], start: Array, x: Array) -> Likelihood:
    """Give the function that computes the negative log likelihood and its gradient."""
    log_time = np.log(time)
    late = start > 0
    log_start = np.log(np.where(late, start, 1.0))

    def negative(beta: Array) -> tuple[float, Array]:
        log_scale, log_shape = beta[-2:]
        shape = np.exp(log_shape)
        linear = x @ beta[:-2]
        z, z0 = log_time - log_scale, log_start - log_scale
        with np.errstate(over="ignore"):
            hazard = np.exp(shape * z + linear)
            before = np.where(late, np.exp(shape * z0 + linear), 0.0)
        risk = hazard - before
        value = (event * (log_shape - log_time + shape * z + linear)).sum() - risk.sum()
        slope = x.T @ (event - risk)
        scale = -shape * (event.sum() - risk.sum())
        # The derivative of the shape on the log scale.
        form = (event * (1.0 + shape * z)).sum() - shape * (hazard * z - before * z0).sum()
        return -float(value), -np.append(slope, [scale, form])

    return negative


def _minimum(negative: Likelihood, start: Array, held: int | None) -> tuple[Array, float]:
    free = np.arange(start.size) != (-1 if held is None else held)

    def some(values: Array) -> tuple[float, Array]:
        beta = start.copy()
        beta[free] = values
        value, gradient = negative(beta)
        return value, gradient[free]

    found = optimize.minimize(some, start[free], jac=True, method="BFGS", options={"gtol": 1e-8})
    beta = start.copy()
    beta[free] = found.x
    return beta, -float(found.fun)


def _information(negative: Likelihood, beta: Array) -> Array:
    """Differentiate the gradient: exact to about 1e-9 by central differences."""
    step = 1e-5
    rows = [
        (negative(beta + step * unit)[1] - negative(beta - step * unit)[1]) / (2.0 * step)
        for unit in np.eye(beta.size)
    ]
    found = np.array(rows)
    return (found + found.T) / 2.0
