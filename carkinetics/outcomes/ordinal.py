"""Grades by maximum likelihood: proportional odds, and its case of two grades."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

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
    x : array_like, shape (patient,)
        Covariate, such as ln exposure.
    grade : array_like, shape (patient,)
        Ordered outcome. Grades nobody had are left out: they have no threshold.
    probability : float
        Coverage of the profile-likelihood interval.

    Returns
    -------
    Regression
        Log odds ratio of a higher grade per unit of `x`; ``intercepts`` holds the thresholds c in
        P(grade > k) = logistic(x b - c_k). Grades ordered by exposure without overlap
        (separation) give no numbers but the reason.

    References
    ----------
    McCullagh 1980, doi 10.1111/j.2517-6161.1980.tb01109.x.
    """
    x, grade = design(x)[:, 0], np.asarray(grade, dtype=float)
    _, codes = np.unique(grade, return_inverse=True)
    n, n_events = x.size, int((codes > 0).sum())
    reason = no_trend(x, grade)
    if not reason and is_separated(x, codes):
        reason = (
            "exposure orders the outcome without overlap (separation), so that maximum "
            "likelihood has no finite estimate"
        )
    if reason:
        return Regression.missing(reason, 1, n, n_events)
    center, spread = x.mean(), x.std()
    scaled = (x - center) / spread
    slope, se, thresholds, loglik = _fit_ordered(codes, scaled)
    shares = np.bincount(codes) / n
    null = float(np.log(shares[codes]).sum())
    null_thresholds = special.logit(np.cumsum(shares)[:-1])

    def profile(value: float) -> float:
        # On the line through the two known maxima, from where no search gets lost.
        share = value / slope if slope else 0.0
        start = null_thresholds + share * (thresholds - null_thresholds)
        return _ordered_loglik(codes, value * scaled, start)

    lower, upper = profile_interval(profile, slope, loglik, se, probability)
    return Regression(
        np.array([slope]) / spread,
        np.array([se]) / spread,
        np.array([lower]) / spread,
        np.array([upper]) / spread,
        np.array([likelihood_ratio_p(loglik, null)]),
        intercepts=thresholds + slope * center / spread,
        loglik=loglik,
        n=n,
        n_events=n_events,
    )


def _fit_ordered(codes: NDArray[np.intp], x: Array) -> tuple[float, float, Array, float]:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    model = OrderedModel(codes, x[:, np.newaxis], distr="logit")
    with warnings.catch_warnings():
        # A start at the optimum ends with "precision loss", which is no loss here.
        warnings.simplefilter("ignore")
        start = model.fit(method="bfgs", disp=0, gtol=1e-7, maxiter=500, skip_hessian=True)
        fitted = model.fit(start.params, method="newton", disp=0, tol=1e-12, maxiter=50)
    thresholds = model.transform_threshold_params(fitted.params)[1:-1]
    return float(fitted.params[0]), float(fitted.bse[0]), thresholds, float(fitted.llf)


def _ordered_loglik(codes: NDArray[np.intp], offset: Array, start: Array) -> float:
    """Maximize over the thresholds, from a start, at a given linear predictor."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    model = OrderedModel(codes, None, offset=offset, distr="logit")
    # The model holds the first threshold and the logs of the steps to the following ones.
    first = np.append(start[0], np.log(np.maximum(np.diff(start), 0.01)))
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
