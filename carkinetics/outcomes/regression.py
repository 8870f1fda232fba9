"""What every regression here returns, and its profile-likelihood interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]

_STEPS = 40  # doubling steps before a limit counts as infinite
_FAR_BELOW = 1e6


@dataclass(frozen=True)
class Regression:
    """Coefficients of a regression, with likelihood-based p-values and intervals.

    Parameters
    ----------
    coefficients, standard_errors, lower, upper, p_values : array, shape (covariate,)
        Per unit of each covariate. Limits and p-values come from the (penalized) likelihood
        ratio, never from the standard error.
    intercepts : array
        Intercept, or thresholds between grades; empty where the model has none.
    intercept_errors : array
        Standard errors of the intercepts, where they are computed.
    loglik : float
        Maximum of the (penalized, partial) log likelihood.
    n, n_events : int
        Patients and events.
    reason : str
        Why the numbers are missing; empty where they are not.
    """

    coefficients: Array
    standard_errors: Array
    lower: Array
    upper: Array
    p_values: Array
    intercepts: Array = field(default_factory=lambda: np.empty(0))
    intercept_errors: Array = field(default_factory=lambda: np.empty(0))
    loglik: float = np.nan
    n: int = 0
    n_events: int = 0
    reason: str = ""

    @classmethod
    def missing(cls, reason: str, columns: int, n: int, n_events: int) -> Regression:
        """Make a result without numbers that says why."""
        gap = np.full(columns, np.nan)
        return cls(gap, gap, gap, gap, gap, n=n, n_events=n_events, reason=reason)


def design(x: object) -> Array:
    """Give covariates as a matrix of shape (patient, covariate)."""
    matrix = np.asarray(x, dtype=float)
    return matrix[:, np.newaxis] if matrix.ndim == 1 else matrix


def likelihood_ratio_p(loglik: float, loglik_null: float) -> float:
    """Give the p-value of one coefficient from two maximized log likelihoods."""
    return float(stats.chi2.sf(max(2.0 * (loglik - loglik_null), 0.0), df=1))


def profile_interval(
    profile: Callable[[float], float],
    estimate: float,
    loglik: float,
    scale: float,
    probability: float,
) -> tuple[float, float]:
    """Find where the profile log likelihood has fallen by half a chi-square quantile.

    Parameters
    ----------
    profile : callable
        Coefficient to maximized log likelihood.
    estimate, loglik : float
        The maximum.
    scale : float
        First step of the search, such as the standard error.
    probability : float
        Coverage of the interval.

    Returns
    -------
    lower, upper : float
        Infinite where the likelihood never falls so far.
    """
    drop = 0.5 * float(stats.chi2.ppf(probability, df=1))

    def excess(value: float) -> float:
        # Far out a penalized likelihood may be zero; root finding needs a number.
        return min(loglik - profile(value) - drop, _FAR_BELOW)

    def limit(sign: float) -> float:
        inner, step = estimate, scale
        for _ in range(_STEPS):
            outer = estimate + sign * step
            above = excess(outer)
            if not np.isfinite(above):
                return sign * np.inf
            if above > 0:
                ends = sorted((inner, outer))
                return float(optimize.brentq(excess, *ends, xtol=1e-7 * scale))
            inner, step = outer, 2.0 * step
        return sign * np.inf

    return limit(-1.0), limit(1.0)
