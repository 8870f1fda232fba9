"""The limits a fit has to keep before it is summarized."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a trustworthy fit.

    Attributes
    ----------
    r_hat : float
        Largest rank-normalized split R-hat (Vehtari et al. 2021, doi 10.1214/20-BA1221).
    ess : float
        Smallest bulk and tail effective sample size.
    divergences : float
        Energy divergences per 1,000 draws.
    failed : int
        Evaluations that the solver could not do.
    e_bfmi : float
        Smallest energy Bayesian fraction of missing information.
    coverage_alarm : float
        Probability of a false alarm allowed when the share of samples inside their predictive
        interval is compared with its nominal value.
    slope : float
        Of the log density at the optimum of an approximate fit, per SD.
    curvature : float
        Smallest curvature there, along axes one SD long.
    accepted : float
        Smallest share of a patient's Metropolis steps that are accepted in an approximate fit.
    """

    r_hat: float = 1.01
    ess: float = 400.0
    divergences: float = 1.0
    failed: int = 0
    e_bfmi: float = 0.3
    coverage_alarm: float = 0.001
    slope: float = 0.1
    curvature: float = 0.05
    accepted: float = 0.2


DEFAULT_LIMITS = Limits()
