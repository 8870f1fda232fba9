"""Proportional hazards by partial likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.exact_ties import exact_cox
from carkinetics.outcomes.regression import (
    Regression,
    design,
    likelihood_ratio_p,
    profile_interval,
)
from carkinetics.outcomes.separation import is_monotone

Array = NDArray[np.float64]

TIES = ("efron", "breslow", "exact")


def cox(
    time: ArrayLike,
    event: ArrayLike,
    x: ArrayLike,
    *,
    probability: float = 0.95,
    ties: str = "efron",
) -> Regression:
    """Fit a proportional-hazards model by partial likelihood.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure.
    probability : float
        Coverage of the profile-likelihood intervals.
    ties : {"efron", "breslow", "exact"}
        How events on the same day are treated. ``"exact"`` takes days as discrete and one
        covariate only.

    Returns
    -------
    Regression
        Log hazard ratios per unit of each covariate. A monotone likelihood gives no numbers but
        the reason: see `firth_cox`.

    Raises
    ------
    DataError
        If `ties` is unknown.

    References
    ----------
    Efron 1977, doi 10.1080/01621459.1977.10480613; Cox 1972, doi
    10.1111/j.2517-6161.1972.tb00899.x (discrete time).
    """
    from statsmodels.duration.hazard_regression import PHReg

    if ties not in TIES:
        raise DataError(Fault("cox", f"ties is {ties!r}", f"Choose from {', '.join(TIES)}."))

    time, matrix = np.asarray(time, dtype=float), design(x)
    event = np.asarray(event, dtype=bool)
    n, n_events = time.size, int(event.sum())
    reason = no_hazards(time, event, matrix)
    if ties == "exact" and matrix.shape[1] > 1:
        reason = "the exact treatment of ties takes one covariate"
    if reason:
        return Regression.missing(reason, matrix.shape[1], n, n_events)
    if ties == "exact":
        near = float(cox(time, event, matrix).coefficients[0])
        return exact_cox(time, event, matrix[:, 0], near, probability)
    centered = matrix - matrix.mean(axis=0)
    risk = risk_sets(time, event, ties)

    def model(columns: list[int], offset: Array | None = None) -> Any:
        return PHReg(time, centered[:, columns], event.astype(int), ties=ties, offset=offset)

    def maximum(columns: list[int], offset: Array) -> float:
        if not columns:
            return partial_likelihood(risk, event, offset, 1.0)[0]
        near = np.asarray(fitted.params)[columns]
        with np.errstate(all="ignore"):  # a search for limits may try values without a likelihood
            value = float(model(columns, offset).fit(start_params=near, disp=0).llf)
        return value if np.isfinite(value) else -np.inf

    start = _start(risk, event, centered)
    fitted = model(list(range(matrix.shape[1]))).fit(start_params=start, disp=0)
    loglik = float(fitted.llf)
    lower, upper, p_values = (np.empty(matrix.shape[1]) for _ in range(3))
    for j, (estimate, se) in enumerate(zip(fitted.params, fitted.bse, strict=True)):
        others = [k for k in range(matrix.shape[1]) if k != j]

        def profile(value: float, j: int = j, others: list[int] = others) -> float:
            return maximum(others, value * centered[:, j])

        p_values[j] = likelihood_ratio_p(loglik, maximum(others, np.zeros(n)))
        lower[j], upper[j] = profile_interval(profile, estimate, loglik, se, probability)
    return Regression(
        np.asarray(fitted.params, dtype=float),
        np.asarray(fitted.bse, dtype=float),
        lower,
        upper,
        p_values,
        loglik=loglik,
        n=n,
        n_events=n_events,
    )


def _start(risk: Array, event: NDArray[np.bool_], x: Array) -> Array:
    """Start at the maximum for one covariate, from 0 for several.

    From 0, Newton steps are thrown off by a single patient far below the others.
    """
    if x.shape[1] > 1:
        return np.zeros(x.shape[1])
    spread = float(x.std())
    found = optimize.minimize_scalar(
        lambda value: -partial_likelihood(risk, event, x[:, 0], value)[0],
        bracket=(-0.5 / spread, 0.5 / spread),
    )
    return np.array([found.x])


def no_hazards(time: Array, event: NDArray[Any], matrix: Array, monotone: bool = True) -> str:
    """Say why a proportional-hazards model cannot be fitted; empty when it can."""
    if not event.any():
        return f"there is no event among {time.size} patients"
    if (np.ptp(matrix, axis=0) == 0).any():
        return "the exposure is the same in all patients"
    at_risk = time >= time[event.astype(bool)].min()
    if (np.ptp(matrix[at_risk], axis=0) == 0).any():
        return "the exposure is the same in all patients at risk when events occur"
    if monotone and matrix.shape[1] == 1 and is_monotone(time, event, matrix[:, 0]):
        return (
            "every event strikes the highest (or the lowest) exposure at risk, so that the "
            "likelihood has no maximum (monotone likelihood); see the Firth estimate"
        )
    return ""


def risk_sets(time: Array, event: NDArray[np.bool_], ties: str) -> Array:
    """Tell who is at risk at each event, shape (event, patient).

    After Breslow, 1 or 0. After Efron, patients with an event on the same day leave one after
    another: the k-th of d such events (from 0) counts each of them as 1 - k / d.
    """
    days = time[event]
    at_risk = (time[None, :] >= days[:, None]).astype(float)
    if ties == "breslow":
        return at_risk
    same = days[:, None] == days[None, :]
    share = np.tril(same, -1).sum(axis=1) / same.sum(axis=1)
    struck = event[None, :] & (time[None, :] == days[:, None])
    return at_risk - share[:, None] * struck


def partial_likelihood(
    risk: Array, event: NDArray[np.bool_], x: Array, coefficient: float
) -> tuple[float, float]:
    """Compute the log partial likelihood of one coefficient, and its information.

    Parameters
    ----------
    risk : array, shape (event, patient)
        See `risk_sets`.
    event : array of bool, shape (patient,)
        Who had the event.
    x : array, shape (patient,)
        Covariate.
    coefficient : float
        Log hazard ratio per unit of `x`.

    Returns
    -------
    loglik, information : float
        At the coefficient.
    """
    linear = np.where(risk > 0, coefficient * x, -np.inf)
    top = linear.max(axis=1)
    weight = risk * np.exp(linear - top[:, None])
    total = weight.sum(axis=1)
    weight /= total[:, None]
    # Around the mean of each risk set: a difference of sums would be lost in rounding where one
    # patient carries nearly all the weight.
    variance = (weight * (x - (weight @ x)[:, None]) ** 2).sum(axis=1)
    loglik = coefficient * x[event].sum() - (top + np.log(total)).sum()
    return float(loglik), float(variance.sum())
