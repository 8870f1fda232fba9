"""Partial centering of patient effects: for draws by numpy, in a model as an operation.

The effects of a patient, in units of their between-patient SDs, are ``u = L z``: L is the Cholesky
factor of their correlation, z are independent and standard. Effect after effect,

    m_k = sum_{j before k} L_kj z_j                 (expected, given the effects before)
    c_k = location_k + omega_k m_k,  s_k = omega_k L_kk
    theta_k = c_k + s_k z_k                         (the patient's parameter)

Many patients (`given_before`) are centered given the effects before; few are not, who say less of
correlations than the prior. The sampler sees

    x_k = v_k c_k + s_k ** w_k z_k                               (many patients)
    x_k = w_k location_k + omega_k ** w_k (m_k + L_kk z_k)       (few)

With v = w = 1 x is the patient's own parameter (centered), with v = w = 0 the independent standard
effect (non-centered), and every v and w describe the same prior, whose density by x is that of z
divided by ``prod s ** w``, with few patients by ``prod omega ** w L_kk`` (partial centering,
Papaspiliopoulos et al. 2007, doi 10.1214/088342307000000014).

w is how far the patient's own data determine the effect, and so is v but for units. Data that
determine a share I of it move its expected value from c to ``c + I (y - c)``, and that of x to
``v c + s ** (w - 1) I (y - c)``, which no longer follows c where ``v = I s ** (w - 1)``. That is
w itself only for a parameter whose s is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

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


def given_before(n_patients: int, correlated: bool) -> bool:
    """Whether effects are centered given those before them."""
    return correlated and n_patients >= MANY_PATIENTS


def parameters_of(
    x: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    given: Given | None = None,
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
    given : Given, optional
        How effects are centered given those before them; None where they are not.
    factor : array, shape (..., effect, effect), optional
        L, its rows and columns in the order of the effects as x has them; only where ``given``.

    Returns
    -------
    array, shape (..., patient, effect)
        theta, on the transformed scale.
    """
    if given is None or factor is None:
        return location + omega ** (1.0 - weights) * (x - weights * location)
    theta, z = np.zeros(x.shape), np.zeros(x.shape)
    for k in given.order:
        center, spread = _conditional(z, location, omega, factor, k)
        z[..., k] = (x[..., k] - given.shares[:, k] * center) * spread ** -weights[:, k]
        theta[..., k] = center + spread * z[..., k]
    return theta


def coordinates_of(
    theta: np.ndarray,
    location: np.ndarray,
    omega: np.ndarray,
    weights: np.ndarray,
    given: Given | None = None,
    factor: np.ndarray | None = None,
) -> np.ndarray:
    """Take the patients' parameters to the sampler's coordinates; undoes `parameters_of`."""
    if given is None or factor is None:
        return weights * location + omega ** (weights - 1.0) * (theta - location)
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


class Uncentering(Op):
    """The sampler's coordinates to z, theta and the log volume, ``sum w log s``.

    Inputs are x, shape (patient, effect), the location, shape (patient or 1, effect), log omega,
    shape (effect,), L, shape (effect, effect), w and v, shape (patient, effect), and the order of
    the rows of L, shape (effect,). The last three carry no gradient; v is not used where effects
    are not centered given those before them.

    Parameters
    ----------
    given_before : bool
        Whether they are.
    """

    __props__ = ("given_before",)

    def __init__(self, given_before: bool) -> None:
        self.given_before = given_before

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        *numbers, order = inputs
        tensors = [pt.as_tensor_variable(value, dtype="float64") for value in numbers]
        tensors.append(pt.as_tensor_variable(order, dtype="int64"))
        return Apply(self, tensors, [pt.dmatrix(), pt.dmatrix(), pt.dscalar()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        arguments = [*inputs, self.given_before]
        for storage, value in zip(outputs, _uncentered(*arguments), strict=True):
            storage[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Go back from effect to effect, the last one first."""
        gradients = UncenteringPullback(self.given_before)(outputs[0], *inputs[1:], *cotangents)
        return [*gradients, *(disconnected_type() for _ in range(3))]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that weights and order carry no gradient."""
        return [[True] * 3] * 4 + [[False] * 3] * 3


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
    shares: np.ndarray,
    order: np.ndarray,
    given_before: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, theta = np.empty(x.shape), np.empty(x.shape)
    volume = 0.0
    for p in range(log_omega.shape[0]):
        k = order[p]
        omega, log_own = np.exp(log_omega[k]), np.log(factor[p, p])
        for i in range(x.shape[0]):
            m = 0.0
            for q in range(p):
                m += factor[p, q] * z[i, order[q]]
            at, w = location[i if location.shape[0] > 1 else 0, k], weights[i, k]
            center = at + omega * m
            if given_before:
                power = w * (log_omega[k] + log_own)
                z[i, k] = (x[i, k] - shares[i, k] * center) * np.exp(-power)
            else:
                power = w * log_omega[k] + log_own
                z[i, k] = ((x[i, k] - w * at) * np.exp(-w * log_omega[k]) - m) / factor[p, p]
            theta[i, k] = center + omega * factor[p, p] * z[i, k]
            volume += power
    return z, theta, np.asarray(volume)


def _pulled_back(
    z: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    factor: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray,
    order: np.ndarray,
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
    for p in range(n - 1, -1, -1):
        k = order[p]
        omega, own = np.exp(log_omega[k]), factor[p, p]
        spread = omega * own
        for i in range(z.shape[0]):
            m = 0.0
            for q in range(p):
                m += factor[p, q] * z[i, order[q]]
            row, w = i if location.shape[0] > 1 else 0, weights[i, k]
            moved = of_theta[i, k]
            whole = by_z[i, k] + spread * moved
            by_spread = spread * z[i, k] * moved
            if given_before:
                r, v = w, shares[i, k]
                by_x[i, k] = np.exp(-w * (log_omega[k] + np.log(own))) * whole
                by_center = moved - v * by_x[i, k]
                by_location[row, k] += by_center
                by_log_omega[k] += omega * m * by_center
                by_m = omega * by_center
            else:
                r = 1.0
                by_x[i, k] = np.exp(-w * log_omega[k]) / own * whole
                by_location[row, k] += moved - w * by_x[i, k]
                by_log_omega[k] += m * (omega * moved - w * whole / own)
                by_m = omega * moved - whole / own
            by_log_omega[k] += by_spread - w * (z[i, k] * whole - volume)
            by_factor[p, p] += (by_spread - r * (z[i, k] * whole - volume)) / own
            for q in range(p):
                by_factor[p, q] += by_m * z[i, order[q]]
                by_z[i, order[q]] += by_m * factor[p, q]
    return by_x, by_location, by_log_omega, by_factor


# Part of the key under which PyTensor keeps machine code: raise it with every change of the two
# functions above.
_VERSION = 2


@register_funcify_default_op_cache_key(Uncentering)
def _numba_uncentering(op: Uncentering, **kwargs: Any) -> Any:
    inner, given_before = numba_njit(_uncentered), op.given_before

    @numba_njit
    def uncentering(
        x: Any, location: Any, log_omega: Any, factor: Any, weights: Any, shares: Any, order: Any
    ) -> Any:
        return inner(x, location, log_omega, factor, weights, shares, order, given_before)

    return uncentering, _VERSION


@register_funcify_default_op_cache_key(UncenteringPullback)
def _numba_pullback(op: UncenteringPullback, **kwargs: Any) -> Any:
    inner, given_before = numba_njit(_pulled_back), op.given_before

    @numba_njit
    def uncentering_pullback(
        z: Any, location: Any, log_omega: Any, factor: Any, weights: Any, shares: Any, order: Any,
        of_z: Any, of_theta: Any, of_volume: Any,
    ) -> Any:  # fmt: skip
        return inner(
            z, location, log_omega, factor, weights, shares, order, of_z, of_theta, of_volume,
            given_before,
        )  # fmt: skip

    return uncentering_pullback, _VERSION
