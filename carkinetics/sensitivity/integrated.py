"""Leave one patient out by importance sampling, integrated over the patient's own effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from carkinetics.sensitivity.weights import Weights, pareto_weights

# Of eight effects at once. With 300 one patient had k-hat 1.5 and an elpd 1.6 nat too low; with
# 2,000 k-hat is 0.6, and the fit without the patient says the same to 0.05 nat.
PROPOSALS = 2000
DEGREES_OF_FREEDOM = 5.0
_WIDER = 1.3


@dataclass(frozen=True, eq=False)
class Proposal:
    """Effects of one patient drawn from around that patient's own posterior.

    Attributes
    ----------
    effects : array, shape (proposal, effect)
        On the transformed scale.
    log_density : array, shape (proposal,)
        Of the distribution they were drawn from.
    """

    effects: np.ndarray
    log_density: np.ndarray


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What is known of one patient from the others.

    Attributes
    ----------
    weights : Weights
        Of the draws, as if this patient had not been in the data.
    elpd : float
        Log predictive density of this patient's data given the others [nat].
    refitted : bool
        Whether `elpd` is that of a fit without the patient.
    """

    weights: Weights
    elpd: float
    refitted: bool = False

    @property
    def usable(self) -> bool:
        """Whether `elpd` can be trusted: k-hat is at most 0.7, or the model was fitted again."""
        return self.refitted or self.weights.usable


def propose(own: np.ndarray, rng: np.random.Generator, count: int = PROPOSALS) -> Proposal:
    """Draw proposals from a Student-t around a patient's own posterior draws.

    Parameters
    ----------
    own : array, shape (draw, effect)
        Posterior draws of the patient's effects.
    rng : numpy.random.Generator
        Source of randomness.
    count : int
        Number of proposals.

    Returns
    -------
    Proposal
        Degrees of freedom 5, SDs 1.3 times those of the draws.

    Notes
    -----
    Proposals from the population instead hardly ever hit where the patient's data are: 200 of
    them leave an error of 2.3 nat, as many of these 0.04.
    """
    center = own.mean(axis=0)
    spread = np.atleast_2d(np.cov(own, rowvar=False)) * _WIDER**2
    # An effect of which nothing is known beyond one value would make the matrix singular.
    spread += np.eye(len(center)) * 1e-10 * max(float(np.trace(spread)), 1e-12)
    found = stats.multivariate_t(center, spread, df=DEGREES_OF_FREEDOM, seed=rng)
    effects = np.asarray(found.rvs(count)).reshape(count, len(center))
    return Proposal(effects, np.atleast_1d(found.logpdf(effects)))


def leave_out(log_joint: np.ndarray, proposal: Proposal) -> LeftOut:
    """Leave one patient out.

    Parameters
    ----------
    log_joint : array, shape (draw, proposal)
        Log density of the patient's data and of the proposed effects, given what all patients
        share.
    proposal : Proposal
        The proposed effects.

    Returns
    -------
    LeftOut

    References
    ----------
    Merkle, Furr and Rabe-Hesketh 2019, doi 10.1007/s11336-019-09679-0.
    """
    joint = log_joint - proposal.log_density
    marginal = special.logsumexp(joint, axis=1) - np.log(joint.shape[1])
    weights = pareto_weights(-marginal)
    with np.errstate(divide="ignore"):
        elpd = float(special.logsumexp(np.log(weights.values) + marginal))
    return LeftOut(weights, elpd)
