"""Log-likelihood of each patient's outcome at every draw, for what needs it after sampling.

The same terms as in `terms`, on arrays of draws instead of tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        _terms(extension.hazard, outcome, draws, linear),
        dims=("chain", "draw", "patient"),
        coords={"chain": draws["chain"], "draw": draws["draw"], "patient": names},
    )


def _terms(hazard: str, outcome: JointOutcome, draws: xr.Dataset, linear: Array) -> Array:
    def of(kind: str, *dims: str) -> Any:
        found = draws[f"{kind}_{outcome.name}"].transpose("chain", "draw", *dims).values
        return found if dims else found[..., None]

    if outcome.kind == ORDINAL:
        return _ordinal(outcome, of("probabilities", f"grade_of_{outcome.name}"), linear)
    if outcome.kind != SURVIVAL:
        log_odds = of("intercept") + linear
        return np.asarray(outcome.value * log_odds - np.logaddexp(0.0, log_odds))
    if hazard == PIECEWISE:
        first, steps = of("log_hazard"), of("walk", "cut")
        later = first + of("walk_sd") * np.cumsum(steps, axis=-1)
        log_hazard = np.concatenate([first, later], axis=-1)
        spent, piece = pieces(outcome.entry, outcome.day)
        cumulative = np.exp(log_hazard) @ spent.T
        return np.asarray(
            outcome.value * (log_hazard[..., piece] + linear) - cumulative * np.exp(linear)
        )
    return _weibull(outcome, of("log_scale"), np.exp(of("log_shape")), linear)


def _weibull(outcome: JointOutcome, log_scale: Array, shape: Array, linear: Array) -> Array:
    log_day = np.log(outcome.day)
    z = shape * (log_day - log_scale)
    found = outcome.value * (np.log(shape) - log_day + z + linear) - np.exp(z + linear)
    if (outcome.entry > 0).all():
        found = found + np.exp(shape * (np.log(outcome.entry) - log_scale) + linear)
    return np.asarray(found)


def _ordinal(outcome: JointOutcome, probabilities: Array, linear: Array) -> Array:
    below = np.cumsum(probabilities, axis=-1)[..., :-1]
    above = np.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    ends = np.full((*below.shape[:-1], 1), np.inf)
    cuts = np.concatenate([-ends, np.log(below) - np.log(above), ends], axis=-1)
    grade = outcome.value.astype(int)
    low, high = cuts[..., grade] - linear, cuts[..., grade + 1] - linear
    # ln of logistic(high) - logistic(low), exact in either tail.
    return np.asarray(
        special.log_expit(high) + special.log_expit(-low) + np.log(-np.expm1(low - high))
    )
