"""Proportional hazards by likelihood ratio: Cox, and Firth's version for few events."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carkinetics.outcomes.regression import (
    Regression,
    design,
    likelihood_ratio_p,
    profile_interval,
)
from carkinetics.outcomes.separation import is_monotone

Array = NDArray[np.float64]


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
    ties : {"efron", "breslow"}
        How events on the same day are treated.

    Returns
    -------
    Regression
        Log hazard ratios per unit of each covariate. A monotone likelihood gives no numbers but
        the reason: see `firth_cox`.

    References
    ----------
    Efron 1977, doi 10.1080/01621459.1977.10480613.
    """
    from statsmodels.duration.hazard_regression import PHReg

    time, matrix = np.asarray(time, dtype=float), design(x)
    event = np.asarray(event, dtype=int)
    n, n_events = time.size, int(event.sum())
    reason = _unfit(time, event, matrix)
    if reason:
        return Regression.missing(reason, matrix.shape[1], n, n_events)
    centered = matrix - matrix.mean(axis=0)

    def maximum(columns: list[int], offset: Array | None) -> float:
        if not columns:
            whole = PHReg(time, np.zeros((n, 1)), status=event, ties=ties, offset=offset)
            return float(whole.loglike(np.zeros(1)))
        held = PHReg(time, centered[:, columns], status=event, ties=ties, offset=offset)
        return float(held.fit(disp=0).llf)

    fitted = PHReg(time, centered, status=event, ties=ties).fit(disp=0)
    loglik = float(fitted.llf)
    lower, upper, p_values = (np.empty(matrix.shape[1]) for _ in range(3))
    for j, (estimate, se) in enumerate(zip(fitted.params, fitted.bse, strict=True)):
        others = [k for k in range(matrix.shape[1]) if k != j]

        def profile(value: float, j: int = j, others: list[int] = others) -> float:
            return maximum(others, value * centered[:, j])

        p_values[j] = likelihood_ratio_p(loglik, maximum(others, None))
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
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure.
    probability : float
        Coverage of the penalized profile-likelihood intervals.

    Returns
    -------
    Regression
        Log hazard ratios per unit of each covariate.

    References
    ----------
    Heinze and Schemper 2001, doi 10.1111/j.0006-341X.2001.00114.x.
    """
    from firthmodels import FirthCoxPH

    time, matrix = np.asarray(time, dtype=float), design(x)
    event = np.asarray(event, dtype=bool)
    n, n_events = time.size, int(event.sum())
    reason = _unfit(time, event, matrix, monotone=False)
    if reason:
        return Regression.missing(reason, matrix.shape[1], n, n_events)
    center, spread = matrix.mean(axis=0), matrix.std(axis=0)
    outcome = np.empty(n, dtype=[("event", bool), ("time", float)])
    outcome["event"], outcome["time"] = event, time
    model = FirthCoxPH(backend="numpy", gtol=1e-8, xtol=1e-8, max_iter=200, max_halfstep=25)
    model.fit((matrix - center) / spread, outcome)
    model.lrt()
    limits = model.conf_int(1.0 - probability, method="pl", max_iter=200, tol=1e-8)
    return Regression(
        np.asarray(model.coef_) / spread,
        np.asarray(model.bse_) / spread,
        limits[:, 0] / spread,
        limits[:, 1] / spread,
        np.asarray(model.lrt_pvalues_),
        loglik=float(model.loglik_),
        n=n,
        n_events=n_events,
    )


def _unfit(time: Array, event: Array, matrix: Array, monotone: bool = True) -> str:
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
