"""Log-likelihood of each patient's outcome at every draw, for what needs it after sampling.

The same terms as in `terms`, on arrays of draws instead of tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.endpoint import ORDINAL, SURVIVAL
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.extension import PIECEWISE, pieces

if TYPE_CHECKING:
    from carkinetics.outcomes.joint.extension import JointExtension

Array = NDArray[np.float64]

_WALK = (("log_hazard", ()), ("walk", ("cut",)))


def outcome_log_likelihood(
    extension: JointExtension, outcome: JointOutcome, draws: xr.Dataset, exposure: xr.DataArray
) -> xr.DataArray:
    """Compute the log-likelihood of an outcome, patient by patient and draw by draw.

    Parameters
    ----------
    extension : JointExtension
        How exposure and outcome are related.
    outcome : JointOutcome
        The outcome.
    draws : Dataset, dims (chain, draw, ...)
        Of the parameters of outcomes.
    exposure : DataArray, dims (chain, draw, patient)
        The exposure of every fitted patient, natural scale.

    Returns
    -------
    DataArray, dims (chain, draw, patient)
        Of the patients who have the outcome.

    Raises
    ------
    DataError
        For a hazard that follows the curve along time, of which single draws keep nothing.
    """
    linear = linear_predictor(extension, outcome, draws, exposure)
    return linear.copy(data=_terms(extension.hazard, outcome, draws, linear.values))


def linear_predictor(
    extension: JointExtension, outcome: JointOutcome, draws: xr.Dataset, exposure: xr.DataArray
) -> xr.DataArray:
    """Compute the log hazard or odds ratio of every draw and patient; as `outcome_log_likelihood`.

    Returns
    -------
    DataArray, dims (chain, draw, patient)

    Raises
    ------
    DataError
        For a hazard that follows the curve along time.
    """
    if extension.follow and outcome.kind == SURVIVAL:
        what = f"the hazard of {outcome.name} follows the curve along time"
        remedy = "Make a joint fit of the exposure itself to see what single patients do."
        raise DataError(Fault("joint fit", what, remedy, section=outcome.name))
    x = np.log(exposure.transpose("chain", "draw", "patient").values) - extension.center
    linear = draws[f"slope_{outcome.name}"].values[..., None] * x[..., outcome.patient]
    if len(outcome.covariates.columns):
        effect = draws[f"covariates_{outcome.name}"].transpose("chain", "draw", "covariate")
        linear = linear + effect.values @ outcome.covariates.to_numpy(float).T
    names = exposure["patient"].values[outcome.patient].astype(str)
    return xr.DataArray(
        linear,
        dims=("chain", "draw", "patient"),
        coords={"chain": draws["chain"], "draw": draws["draw"], "patient": names},
    )


def draws_of(draws: xr.Dataset, outcome: JointOutcome, kind: str, *dims: str) -> Array:
    """Take the draws of a parameter of an outcome; scalars get a last axis of one."""
    found = draws[f"{kind}_{outcome.name}"].transpose("chain", "draw", *dims).values
    return np.asarray(found if dims else found[..., None])


def cut_points(draws: xr.Dataset, outcome: JointOutcome) -> Array:
    """Give the cut-points of grades with infinite ends, shape (chain, draw, grade + 1)."""
    probabilities = draws_of(draws, outcome, "probabilities", f"grade_of_{outcome.name}")
    below = np.cumsum(probabilities, axis=-1)[..., :-1]
    above = np.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    ends = np.full((*below.shape[:-1], 1), np.inf)
    return np.concatenate([-ends, np.log(below) - np.log(above), ends], axis=-1)


def baseline(hazard: str, outcome: JointOutcome, draws: xr.Dataset) -> tuple[Array, Array]:
    """Give ln baseline hazard at the end of follow-up, and the cumulative hazard at risk.

    Returns
    -------
    log_hazard, cumulative : array, shape (chain, draw, patient)
    """
    if hazard == PIECEWISE:
        first, steps = (draws_of(draws, outcome, k, *d) for k, d in _WALK)
        later = first + draws_of(draws, outcome, "walk_sd") * np.cumsum(steps, axis=-1)
        log_hazard = np.concatenate([first, later], axis=-1)
        spent, piece = pieces(outcome.entry, outcome.day)
        return log_hazard[..., piece], np.exp(log_hazard) @ spent.T
    log_scale = draws_of(draws, outcome, "log_scale")
    shape = np.exp(draws_of(draws, outcome, "log_shape"))
    z = shape * (np.log(outcome.day) - log_scale)
    cumulative = np.exp(z)
    if (outcome.entry > 0).all():
        cumulative = cumulative - np.exp(shape * (np.log(outcome.entry) - log_scale))
    return np.log(shape) - np.log(outcome.day) + z, cumulative


def _terms(hazard: str, outcome: JointOutcome, draws: xr.Dataset, linear: Array) -> Array:
    if outcome.kind == ORDINAL:
        cuts, grade = cut_points(draws, outcome), outcome.value.astype(int)
        low, high = cuts[..., grade] - linear, cuts[..., grade + 1] - linear
        # ln of logistic(high) - logistic(low), exact in either tail.
        return np.asarray(
            special.log_expit(high) + special.log_expit(-low) + np.log(-np.expm1(low - high))
        )
    if outcome.kind != SURVIVAL:
        log_odds = draws_of(draws, outcome, "intercept") + linear
        return np.asarray(outcome.value * log_odds - np.logaddexp(0.0, log_odds))
    log_hazard, cumulative = baseline(hazard, outcome, draws)
    return outcome.value * (log_hazard + linear) - cumulative * np.exp(linear)
