"""Partial centering of patient effects: for draws by numpy, in a model as an operation.

The effects of a patient, in units of their between-patient SDs, are ``u = L z``: L is the Cholesky
factor of their correlation, z are independent and standard. Effect after effect,

    m_k = sum_{j before k} L_kj z_j                            (expected, given the effects before)
    theta_k = location_k + omega_k (m_k + L_kk z_k)            (the patient's parameter)
    x_k = w_k location_k + omega_k ** w_k (r_k m_k + L_kk ** r_k z_k)     (what the sampler sees)

With w = r = 1 x is the patient's own parameter (centered), with w = r = 0 the independent standard
effect (non-centered), and every w and r describe the same prior, whose density by x is that of z
divided by ``prod omega ** w L_kk ** r`` (partial centering, Papaspiliopoulos et al. 2007,
doi 10.1214/088342307000000014).

w is how far the patient's own data determine the effect. r is 1 for few patients, who say less of
correlations than the prior, and w for many: given the u of two hundred patients a correlation is
known far better than from their data, and hardly moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

# From here on correlations count as seen (see `effects.lkj_shape`).
MANY_PATIENTS = 25


def given_before(n_patients: int, correlated: bool) -> bool:
    """Whether r is w, and not 1."""
    return correlated and n_patients >= MANY_PATIENTS


def parameters_of(
    x: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
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
    factor : array, shape (..., effect, effect), optional
        L, where r is w; None where r is 1, and L does not matter.

    Returns
    -------
    array, shape (..., patient, effect)
        theta, on the transformed scale.
    """
    if factor is None:
        return location + omega ** (1.0 - weights) * (x - weights * location)
    u = omega**-weights * (x - weights * location)
    z = np.zeros(x.shape)
    for k in range(x.shape[-1]):
        own, r = factor[..., k, k, None], weights[:, k]
        z[..., k] = (u[..., k] - r * _expected(z, factor, k)) * own**-r
    return location + omega * np.einsum("...kj,...ij->...ik", factor, z)


def coordinates_of(
    theta: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    factor: np.ndarray | None = None,
) -> np.ndarray:
    """Take the patients' parameters to the sampler's coordinates; undoes `parameters_of`."""
    u = (theta - location) / omega
    if factor is None:
        return weights * location + omega**weights * u
    z, v = np.zeros(theta.shape), np.empty(theta.shape)
    for k in range(theta.shape[-1]):
        own, r, expected = factor[..., k, k, None], weights[:, k], _expected(z, factor, k)
        z[..., k] = (u[..., k] - expected) / own
        v[..., k] = r * expected + own**r * z[..., k]
    return weights * location + omega**weights * v


def _expected(z: np.ndarray, factor: np.ndarray, k: int) -> np.ndarray:
    """Give m_k of all patients."""
    return np.einsum("...ij,...j->...i", z[..., :k], factor[..., k, :k])


class Uncentering(Op):
    """The sampler's coordinates to z, theta and the log volume, ``sum w log omega + r log L_kk``.

    Inputs are x and w, shape (patient, effect), the location, shape (patient or 1, effect), log
    omega, shape (effect,), and L, shape (effect, effect). Only w carries no gradient.

    Parameters
    ----------
    given_before : bool
        Whether r is w, and not 1.
    """

    __props__ = ("given_before",)

    def __init__(self, given_before: bool) -> None:
        self.given_before = given_before

    def make_node(self, x: Any, location: Any, log_omega: Any, factor: Any, weights: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        inputs = [
            pt.as_tensor_variable(value, dtype="float64")
            for value in (x, location, log_omega, factor, weights)
        ]
        return Apply(self, inputs, [pt.dmatrix(), pt.dmatrix(), pt.dscalar()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        arguments = [*inputs, self.given_before]
        for storage, value in zip(outputs, _uncentered(*arguments), strict=True):
            storage[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Go back from effect to effect, the last one first."""
        gradients = UncenteringPullback(self.given_before)(outputs[0], *inputs[1:], *cotangents)
        return [*gradients, disconnected_type()]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that the weights carry no gradient."""
        return [[True] * 3] * 4 + [[False] * 3]


class UncenteringPullback(Op):
    """Gradients of `Uncentering` by x, location, log omega and L from z and the cotangents."""

    __props__ = ("given_before",)

    def __init__(self, given_before: bool) -> None:
        self.given_before = given_before

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node."""
        inputs = tuple(pt.as_tensor_variable(value) for value in inputs)
        outputs = [pt.dmatrix(), pt.dmatrix(), pt.dvector(), pt.dmatrix()]
        return Apply(self, inputs, outputs)

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        arguments = [*inputs, self.given_before]
        for storage, value in zip(outputs, _pulled_back(*arguments), strict=True):
            storage[0] = value


def _uncentered(
    x: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    factor: np.ndarray,
    weights: np.ndarray,
    given_before: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, theta = np.empty(x.shape), np.empty(x.shape)
    volume = 0.0
    for k in range(log_omega.shape[0]):
        omega, own = np.exp(log_omega[k]), factor[k, k]
        log_own = np.log(own)
        for i in range(x.shape[0]):
            m = 0.0
            for j in range(k):
                m += factor[k, j] * z[i, j]
            center, w = location[i if location.shape[0] > 1 else 0, k], weights[i, k]
            r = w if given_before else 1.0
            u = (x[i, k] - w * center) * np.exp(-w * log_omega[k])
            z[i, k] = (u - r * m) * np.exp(-r * log_own)
            theta[i, k] = center + omega * (m + own * z[i, k])
            volume += w * log_omega[k] + r * log_own
    return z, theta, np.asarray(volume)


def _pulled_back(
    z: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    factor: np.ndarray,
    weights: np.ndarray,
    of_z: np.ndarray,
    of_theta: np.ndarray,
    of_volume: np.ndarray,
    given_before: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n = log_omega.shape[0]
    by_x, by_location = np.empty(z.shape), np.zeros(location.shape)
    by_log_omega, by_factor = np.zeros(n), np.zeros((n, n))
    by_z = of_z.copy()
    volume = of_volume.item()
    for k in range(n - 1, -1, -1):
        omega, own = np.exp(log_omega[k]), factor[k, k]
        log_own = np.log(own)
        for i in range(z.shape[0]):
            m = 0.0
            for j in range(k):
                m += factor[k, j] * z[i, j]
            w = weights[i, k]
            r = w if given_before else 1.0
            power = np.exp(-r * log_own)
            moved = omega * of_theta[i, k]
            whole = by_z[i, k] + own * moved
            by_x[i, k] = np.exp(-w * log_omega[k]) * power * whole
            by_location[i if location.shape[0] > 1 else 0, k] += of_theta[i, k] - w * by_x[i, k]
            by_log_omega[k] += (
                (m + own * z[i, k]) * moved - w * (z[i, k] + r * m * power) * whole + w * volume
            )
            by_factor[k, k] += z[i, k] * moved + r * (volume - z[i, k] * whole) / own
            by_m = moved - r * power * whole
            for j in range(k):
                by_factor[k, j] += by_m * z[i, j]
                by_z[i, j] += by_m * factor[k, j]
    return by_x, by_location, by_log_omega, by_factor


# Part of the key under which PyTensor keeps machine code: raise it with every change of the two
# functions above.
_VERSION = 1


@register_funcify_default_op_cache_key(Uncentering)
def _numba_uncentering(op: Uncentering, **kwargs: Any) -> Any:
    inner, given_before = numba_njit(_uncentered), op.given_before

    @numba_njit
    def uncentering(x: Any, location: Any, log_omega: Any, factor: Any, weights: Any) -> Any:
        return inner(x, location, log_omega, factor, weights, given_before)

    return uncentering, _VERSION


@register_funcify_default_op_cache_key(UncenteringPullback)
def _numba_pullback(op: UncenteringPullback, **kwargs: Any) -> Any:
    inner, given_before = numba_njit(_pulled_back), op.given_before

    @numba_njit
    def uncentering_pullback(
        z: Any, location: Any, log_omega: Any, factor: Any, weights: Any,
        of_z: Any, of_theta: Any, of_volume: Any,
    ) -> Any:  # fmt: skip
        return inner(
            z, location, log_omega, factor, weights, of_z, of_theta, of_volume, given_before
        )

    return uncentering_pullback, _VERSION
