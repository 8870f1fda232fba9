"""How far covariates move each patient's parameters: as a tensor, in a start, in draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from carkinetics.inference.covariates import CovariateModel

SCALE_DATA = "prior_scale_covariates"


def covariate_shift(covariates: CovariateModel, names: Sequence[str], n_patients: int) -> Any:
    """Make the coefficients inside a PyMC model, and what they add to the location.

    Parameters
    ----------
    covariates : CovariateModel
        The covariates of the fit. The matrices become ``pm.Data``.
    names : sequence of str
        Parameters that vary between patients.
    n_patients : int
        Number of patients.

    Returns
    -------
    tensor, shape (patient, effect)
        On the transformed scale.
    """
    factor = pm.Data(SCALE_DATA, 1.0)
    shifts = {}
    for design in covariates.designs:
        matrix = pm.Data(design.data, design.matrix, dims=("patient", design.dim))
        beta = pm.Normal(
            design.variable,
            mu=np.array([prior.location for prior in design.priors]),
            sigma=np.array([prior.spread for prior in design.priors]) * factor,
            dims=design.dim,
        )
        shifts[design.parameter] = pt.dot(matrix, beta)
    none = pt.zeros(n_patients)
    return pt.stack([shifts.get(name, none) for name in names], axis=1)


def drawn_shift(
    covariates: CovariateModel, names: Sequence[str], posterior: xr.Dataset
) -> np.ndarray:
    """Compute the same from draws, shape (chain, draw, patient, effect)."""
    first = covariates.designs[0]
    shape = (*posterior[first.variable].shape[:2], first.matrix.shape[0], len(names))
    shift = np.zeros(shape)
    for design in covariates.designs:
        beta = posterior[design.variable].values
        shift[..., list(names).index(design.parameter)] = beta @ design.matrix.T
    return shift
