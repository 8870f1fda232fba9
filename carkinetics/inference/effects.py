"""Patient effects: correlated, Normal or heavy-tailed, each as centered as its data warrant.

How the sampler's x becomes the patients' parameters is written in `centering`. What it takes
beside the population, weights and what the data say, is data of the model, so that one compiled
model serves every choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from carkinetics.inference.centering import MANY_PATIENTS, Given, Seen
from carkinetics.inference.uncenter_given import UncenterGiven
from carkinetics.inference.uncenter_seen import UncenterSeen

# Prior of degrees of freedom: Gamma(2, rate) above 2. For residuals it lies mostly near the Normal.
# Who asks for heavy-tailed patients means tails that hold a patient without expansion: with the
# rate of residuals such patients became late ones instead, in each chain another way (decision 15).
_SHAPE, LOWEST_FREEDOM = 2.0, 2.0
RESIDUAL_RATE, EFFECT_RATE = 0.1, 0.5


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
    return 4.0 if n_patients < MANY_PATIENTS else 2.0


def degrees_of_freedom(name: str, rate: float) -> Any:
    """Make the degrees of freedom of a Student-t: Gamma(2, rate), truncated above 2."""
    return pm.Truncated(name, pm.Gamma.dist(_SHAPE, rate), lower=LOWEST_FREEDOM)


def freedom_text(rate: float) -> str:
    """Tell the prior of degrees of freedom in words."""
    return f"gamma(shape={_SHAPE:g}, rate={rate:g}) above {LOWEST_FREEDOM:g}"


def correlation_cholesky(size: int, shape: float) -> Any:
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
    tensor, shape (size, size)
        Lower triangular.
    """
    pairs = _pairs(size)
    beta = np.array([shape + (size - 2 - j) / 2 for _, j in pairs])
    unit = pm.Beta("partial_correlation_unit", beta, beta, dims="effect_pair")
    row, column = np.array(pairs).T
    partial = pt.set_subtensor(pt.zeros((size, size))[row, column], 2.0 * unit - 1.0)
    # Entry (i, j) is its partial correlation times the root of what the columns before it left.
    remaining = pt.log1p(-(partial**2))
    left = pt.cumsum(remaining, axis=1) - remaining
    return (partial + np.eye(size)) * pt.exp(0.5 * left)


def cholesky_from_unit(unit: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Do what `correlation_cholesky` does, for numbers.

    Parameters
    ----------
    unit : array, shape (..., effect_pair)
        Partial correlations on the interval from 0 to 1.
    order : array of int, shape (effect,)
        Which effect comes first, second and so on.

    Returns
    -------
    array, shape (..., effect, effect)
        Rows and columns where the model has the effects.
    """
    size = len(order)
    row, column = np.array(_pairs(size)).T
    partial = np.zeros((*unit.shape[:-1], size, size))
    partial[..., row, column] = 2.0 * unit - 1.0
    remaining = np.log1p(-(partial**2))
    left = np.cumsum(remaining, axis=-1) - remaining
    factor = (partial + np.eye(size)) * np.exp(0.5 * left)
    place = np.argsort(order)
    return factor[..., place[:, None], place]


def effect_pairs(names: Sequence[str]) -> list[str]:
    """Return the labels of the pairs of effects, in the order of their partial correlations."""
    return [f"{names[i]}:{names[j]}" for i, j in _pairs(len(names))]


def order_of_pairs(pairs: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return the order of effects that labels of their pairs were made with.

    Parameters
    ----------
    pairs : sequence of str
        See `effect_pairs`.
    names : sequence of str
        Effects as the model has them.

    Returns
    -------
    array of int, shape (effect,)
    """
    later, first = zip(*(pair.split(":") for pair in pairs[: len(names) - 1]), strict=True)
    return np.array([list(names).index(name) for name in (first[0], *later)])


def patient_effects(
    locations: Sequence[Any],
    omegas: Sequence[Any],
    centering: Any,
    how: Given | Seen,
    *,
    correlation_shape: float | None,
    heavy: Sequence[bool],
    shift: Any = None,
) -> Effects:
    """Build the effects of all patients inside a PyMC model with dims patient and effect.

    Parameters
    ----------
    locations, omegas : sequences of tensors
        Population location and between-patient SD of each effect, on the transformed scale.
    centering : tensor, shape (patient, effect)
        Weights w between 0 and 1.
    how : Given or Seen
        How effects are centered given those before them, or what is seen of them, as data. See
        `centering`.
    correlation_shape : float or None
        LKJ shape; None leaves the effects independent.
    heavy : sequence of bool
        Effects that are Student-t with degrees of freedom ``nu_patients``; the others are Normal.
    shift : tensor, shape (patient, effect), optional
        What covariates add to the location of each patient.

    Returns
    -------
    Effects
        The sampler's variable is ``x``; its prior is the potential ``prior_of_effects``.
    """
    size = len(locations)
    location = pt.stack(locations)[None, :]
    if shift is not None:
        location = location + shift
    x = pm.Flat("x", dims=("patient", "effect"))
    factor: Any = np.eye(size)
    if correlation_shape is not None:
        factor = correlation_cholesky(size, correlation_shape)
    population = (location, pt.log(pt.stack(omegas)), factor)
    if isinstance(how, Given):
        z, value, log_volume = UncenterGiven()(x, *population, centering, how.shares, how.order)
    else:
        z, value, log_volume = UncenterSeen()(x, *population, centering, how.precision, how.pull)
    density = pt.sum(pm.logp(pm.Normal.dist(), z))
    if any(heavy):
        tails = z[:, np.flatnonzero(heavy)]
        student = pm.StudentT.dist(nu=degrees_of_freedom("nu_patients", EFFECT_RATE))
        density += pt.sum(pm.logp(student, tails) - pm.logp(pm.Normal.dist(), tails))
    pm.Potential("prior_of_effects", density - log_volume)
    return Effects(pm.Deterministic("patient_coordinates", value, dims=("patient", "effect")))


def _pairs(size: int) -> list[tuple[int, int]]:
    return [(i, j) for j in range(size - 1) for i in range(j + 1, size)]
