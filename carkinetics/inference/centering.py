"""Partial centering of patient effects: what the sampler sees of them, and how to undo it.

The effects of a patient, in units of their between-patient SDs, are ``u = L z``: L is the Cholesky
factor of their correlation, z are independent and standard. The patient's parameters are
``theta = location + omega u``. Whatever the sampler sees of them describes the same prior: its
density by x is that of z times how much z moves with x (partial centering, Papaspiliopoulos et al.
2007, doi 10.1214/088342307000000014).

**Few patients**, of whose correlations the prior says more than the data. A deterministic fit
tells what each patient's data say of theta, as a Gaussian: the precision H and the pull h, so that
the log likelihood is ``h' theta - theta' H theta / 2`` (`Seen`). With the prior of independent
effects u is then expected at ``C'^-1 C^-1 r`` with the precision ``C C'``, where

    C C' = 1 + omega H omega,   r = omega (h - H location)

and the sampler sees how far it is from there, in units of what the data leave open:

    x = C' u - C^-1 r

Whatever location and omega are, x is about standard, and about independent of both and of the
other effects. Where the data say nothing x is u itself (non-centered). Where they say all, x is the
distance from the patient's own estimate, in its standard errors (centered).

A weight w may come on top, ``w location + omega ** w x`` in place of x, so that w = 1 with H = 0
is theta itself. The deterministic fit sees that; where it fails, w alone centers.

**Many patients** (`given_before`), of whom correlations are well known. Effect after effect,

    m_k = sum_{j before k} L_kj z_j                 (expected, given the effects before)
    c_k = location_k + omega_k m_k,  s_k = omega_k L_kk
    theta_k = c_k + s_k z_k
    x_k = v_k c_k + s_k ** w_k z_k

w is how far the patient's own data determine the effect, and so is v but for units. Data that
determine a share I of it move its expected value from c to ``c + I (y - c)``, and that of x to
``v c + s ** (w - 1) I (y - c)``, which no longer follows c where ``v = I s ** (w - 1)``. That is
w itself only for a parameter whose s is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# From here on correlations count as seen (see `effects.lkj_shape`).
MANY_PATIENTS = 25


@dataclass(frozen=True, eq=False)
class Given:
    """How effects are centered given those before them.

    Attributes
    ----------
    shares : array or tensor, shape (patient, effect)
        v.
    order : array or tensor of int, shape (effect,)
        Which effect comes first, second and so on: rows and columns of L.
    """

    shares: Any
    order: Any


@dataclass(frozen=True, eq=False)
class Seen:
    """What the patients' data say of their effects on the transformed scale, as a Gaussian.

    Attributes
    ----------
    precision : array or tensor, shape (patient, effect, effect)
        H, positive semidefinite.
    pull : array or tensor, shape (patient, effect)
        h: H times the patient's own estimate.
    """

    precision: Any
    pull: Any

    @classmethod
    def nothing(cls, patients: int, effects: int) -> Seen:
        """Say nothing of any patient: weights alone center."""
        return cls(np.zeros((patients, effects, effects)), np.zeros((patients, effects)))


@dataclass(frozen=True, eq=False)
class Centering:
    """How the effects of all patients are centered, and the assays' offset.

    Attributes
    ----------
    weights : dict of str to array, shape (patient,)
        w by the name of the effect: 1 centered, 0 not.
    given : Given or None
        How effects of many patients are centered given those before them.
    seen : Seen or None
        What is seen of few patients.
    """

    weights: dict[str, np.ndarray]
    given: Given | None = None
    seen: Seen | None = None


def given_before(n_patients: int, correlated: bool) -> bool:
    """Whether effects are centered given those before them."""
    return correlated and n_patients >= MANY_PATIENTS


def parameters_of(
    x: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    how: Given | Seen | None = None,
    factor: np.ndarray | None = None,
) -> np.ndarray:
    """Take the sampler's coordinates to the patients' parameters.

    Parameters
    ----------
    x : array, shape (..., patient, effect)
        What the sampler sees.
    location, omega : array, shape (..., patient or 1, effect)
        Expected value and between-patient SD, on the transformed scale.
    weights : array, shape (patient, effect)
        w.
    how : Given or Seen, optional
        How effects are centered given those before them, or what is seen of them; by the weights
        alone if left out.
    factor : array, shape (..., effect, effect), optional
        L, its rows and columns in the order of the effects as x has them; only for `Given`.

    Returns
    -------
    array, shape (..., patient, effect)
        theta, on the transformed scale.
    """
    if isinstance(how, Given):
        return _parameters_given(x, location, omega, weights, how, factor)
    away = omega**-weights * (x - weights * location)
    if how is not None:
        for i in range(x.shape[-2]):  # one patient of all draws at a time
            root, toward = _seen_at(how, location, omega, i)
            target = (away[..., i, :] + toward)[..., None]
            away[..., i, :] = np.linalg.solve(root.swapaxes(-1, -2), target)[..., 0]
    return location + omega * away


def coordinates_of(
    theta: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    how: Given | Seen | None = None,
    factor: np.ndarray | None = None,
) -> np.ndarray:
    """Take the patients' parameters to the sampler's coordinates; undoes `parameters_of`."""
    if isinstance(how, Given):
        return _coordinates_given(theta, location, omega, weights, how, factor)
    away = (theta - location) / omega
    if how is not None:
        for i in range(theta.shape[-2]):
            root, toward = _seen_at(how, location, omega, i)
            away[..., i, :] = np.einsum("...jk,...j->...k", root, away[..., i, :]) - toward
    return weights * location + omega**weights * away


def _seen_at(
    seen: Seen, location: np.ndarray, omega: np.ndarray, i: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give C and ``C^-1 r`` of one patient."""
    both = (np.atleast_2d(location), np.atleast_2d(omega))
    location, omega = (v[..., min(i, v.shape[-2] - 1), :] for v in both)
    inner = omega[..., :, None] * seen.precision[i] * omega[..., None, :]
    root = np.linalg.cholesky(np.eye(omega.shape[-1]) + inner)
    pull = omega * (seen.pull[i] - location @ seen.precision[i])
    return root, np.linalg.solve(root, pull[..., None])[..., 0]


def _parameters_given(
    x: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    given: Given,
    factor: Any,
) -> np.ndarray:
    theta, z = np.zeros(x.shape), np.zeros(x.shape)
    for k in given.order:
        center, spread = _conditional(z, location, omega, factor, k)
        z[..., k] = (x[..., k] - given.shares[:, k] * center) * spread ** -weights[:, k]
        theta[..., k] = center + spread * z[..., k]
    return theta


def _coordinates_given(
    theta: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    given: Given,
    factor: Any,
) -> np.ndarray:
    x, z = np.zeros(theta.shape), np.zeros(theta.shape)
    for k in given.order:
        center, spread = _conditional(z, location, omega, factor, k)
        z[..., k] = (theta[..., k] - center) / spread
        x[..., k] = given.shares[:, k] * center + spread ** weights[:, k] * z[..., k]
    return x


def _conditional(
    z: np.ndarray, location: np.ndarray, omega: np.ndarray, factor: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give center and SD of effect k, given those before it; L has zeros for those after it."""
    own = factor[..., k, k, None]
    before = np.einsum("...ij,...j->...i", z, factor[..., k, :]) - own * z[..., k]
    return location[..., k] + omega[..., k] * before, omega[..., k] * own
