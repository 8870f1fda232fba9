"""Patient effects: correlated, Normal or Student-t, each as centered as its data warrant.

The effects of a patient are built one after another through the Cholesky factor of their
correlation: effect k has, given the earlier ones, the mean
``m_k = location_k + omega_k * sum_j C[k, j] z_j`` and the SD ``s_k = omega_k * C[k, k]``. The
sampler sees ``x_k ~ N(w m_k, s_k ** w)`` and the effect is ``m_k + s_k ** (1 - w) * (x_k - w m_k)``:
w = 1 is centered, w = 0 non-centered, and every w gives the same prior (partial centering,
Papaspiliopoulos et al. 2007, doi 10.1214/088342307000000014). w is data, one number per patient
and effect, so that one compiled model serves every choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

# Prior of the degrees of freedom of Student-t effects and residuals: Gamma(2, 0.1) above 2.
_SHAPE, _RATE, _LOWEST = 2.0, 0.1, 2.0


@dataclass(frozen=True, eq=False)
class Effects:
    """The symbolic effects of all patients.

    Attributes
    ----------
    coordinates : tensor, shape (patient, effect)
        Patient parameters on their transformed scale.
    """

    coordinates: Any


def lkj_shape(n_patients: int) -> float:
    """Return the LKJ shape: 4 under 25 patients, where correlations are hardly seen, else 2."""
    return 4.0 if n_patients < 25 else 2.0


def degrees_of_freedom(name: str) -> Any:
    """Make the degrees of freedom of a Student-t: Gamma(2, 0.1), truncated above 2."""
    return pm.Truncated(name, pm.Gamma.dist(_SHAPE, _RATE), lower=_LOWEST)


def correlation_cholesky(size: int, shape: float) -> list[list[Any]]:
    """Build the Cholesky factor of an LKJ(shape) correlation from partial correlations.

    The canonical partial correlations of an LKJ matrix are independent Beta variables on (-1, 1)
    (Lewandowski, Kurowicka and Joe 2009, doi 10.1016/j.jmva.2009.04.008), which needs no matrix
    decomposition and keeps the prior of the correlations a variable of its own.

    Parameters
    ----------
    size : int
        Number of effects; at least 2.
    shape : float
        LKJ shape; 1 is uniform over correlation matrices.

    Returns
    -------
    list of list
        Lower triangle, rows of increasing length.
    """
    beta = np.concatenate([np.full(k, shape + (size - 1 - j) / 2 - 0.5) for k, j in _columns(size)])
    unit = pm.Beta("partial_correlation_unit", beta, beta, dims="effect_pair")
    partial = 2.0 * unit - 1.0
    rows: list[list[Any]] = [[pt.constant(1.0)]]
    at = {pair: i for i, pair in enumerate(_pairs(size))}
    for i in range(1, size):
        remaining, row = pt.constant(1.0), []
        for j in range(i):
            p = partial[at[i, j]]
            row.append(p * pt.sqrt(remaining))
            remaining = remaining * (1.0 - p**2)
        rows.append([*row, pt.sqrt(remaining)])
    return rows


def effect_pairs(names: Sequence[str]) -> list[str]:
    """Return the labels of the pairs of effects, in the order of their partial correlations."""
    return [f"{names[i]}:{names[j]}" for i, j in _pairs(len(names))]


def patient_effects(
    names: Sequence[str],
    locations: Sequence[Any],
    omegas: Sequence[Any],
    centering: Any,
    *,
    correlation_shape: float | None,
    student_t: bool,
) -> Effects:
    """Build the effects of all patients inside a PyMC model with dims patient and effect.

    Parameters
    ----------
    names : sequence of str
        Names of the varying parameters.
    locations, omegas : sequences of tensors
        Population location and between-patient SD of each, on the transformed scale.
    centering : tensor, shape (patient, effect)
        Weights w between 0 and 1.
    correlation_shape : float or None
        LKJ shape; None leaves the effects independent.
    student_t : bool
        Student-t effects with degrees of freedom ``nu_patients``, for cohorts in which some
        patients hardly expand; Normal otherwise.

    Returns
    -------
    Effects
    """
    nu = degrees_of_freedom("nu_patients") if student_t else None
    correlated = correlation_shape is not None and len(names) > 1
    factor = correlation_cholesky(len(names), correlation_shape) if correlated else None
    standardized: list[Any] = []
    coordinates: list[Any] = []
    for k, name in enumerate(names):
        mean, sd = locations[k], omegas[k]
        if factor is not None:
            for j, z in enumerate(standardized):
                mean = mean + omegas[k] * factor[k][j] * z
            sd = sd * factor[k][k]
        weight = centering[:, k]
        x = _draw(f"x_{name}", weight * mean, sd**weight, nu)
        value = mean + sd ** (1.0 - weight) * (x - weight * mean)
        standardized.append((value - mean) / sd)
        coordinates.append(value)
    if factor is not None:
        _record_correlation(factor)
    return Effects(pm.Deterministic(
        "patient_coordinates", pt.stack(coordinates, axis=1), dims=("patient", "effect")
    ))  # fmt: skip


def _draw(name: str, mean: Any, sd: Any, nu: Any) -> Any:
    if nu is None:
        return pm.Normal(name, mean, sd, dims="patient")
    return pm.StudentT(name, nu=nu, mu=mean, sigma=sd, dims="patient")


def _record_correlation(factor: list[list[Any]]) -> None:
    size = len(factor)
    padded = [pt.stack([*row, *[pt.constant(0.0)] * (size - len(row))]) for row in factor]
    lower = pt.stack(padded)
    pm.Deterministic("correlation", lower @ lower.T, dims=("effect", "effect_other"))


def _pairs(size: int) -> list[tuple[int, int]]:
    return [(i, j) for j in range(size - 1) for i in range(j + 1, size)]


def _columns(size: int) -> list[tuple[int, int]]:
    """Return (how many rows below, column) for every column of the lower triangle."""
    return [(size - 1 - j, j) for j in range(size - 1)]
