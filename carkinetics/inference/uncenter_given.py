"""Centering given the effects before, as an operation of a model; see `centering`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key


class UncenterGiven(Op):
    """The sampler's coordinates to z, theta and the log volume, ``sum w log s``.

    Inputs are x, shape (patient, effect), the location, shape (patient or 1, effect), log omega,
    shape (effect,), L, shape (effect, effect), w and v, shape (patient, effect), and the order of
    the rows of L, shape (effect,). The last three carry no gradient.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        *numbers, order = inputs
        tensors = [pt.as_tensor_variable(value, dtype="float64") for value in numbers]
        tensors.append(pt.as_tensor_variable(order, dtype="int64"))
        return Apply(self, tensors, [pt.dmatrix(), pt.dmatrix(), pt.dscalar()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        for storage, value in zip(outputs, _uncentered(*inputs), strict=True):
            storage[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Go back from effect to effect, the last one first."""
        gradients = UncenterGivenPullback()(outputs[0], *inputs[1:], *cotangents)
        return [*gradients, *(disconnected_type() for _ in range(3))]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that weights and order carry no gradient."""
        return [[True] * 3] * 4 + [[False] * 3] * 3


class UncenterGivenPullback(Op):
    """Gradients of `UncenterGiven` by x, location, log omega and L from z and the cotangents."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node."""
        inputs = tuple(pt.as_tensor_variable(value) for value in inputs)
        outputs = [pt.dmatrix(), pt.dmatrix(), pt.dvector(), pt.dmatrix()]
        return Apply(self, inputs, outputs)

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        for storage, value in zip(outputs, _pulled_back(*inputs), strict=True):
            storage[0] = value


def _uncentered(
    x: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    factor: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray,
    order: np.ndarray,
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
            center = location[i if location.shape[0] > 1 else 0, k] + omega * m
            power = weights[i, k] * (log_omega[k] + log_own)
            z[i, k] = (x[i, k] - shares[i, k] * center) * np.exp(-power)
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
            w, moved = weights[i, k], of_theta[i, k]
            whole = by_z[i, k] + spread * moved
            by_spread = spread * z[i, k] * moved - w * (z[i, k] * whole - volume)
            by_x[i, k] = np.exp(-w * (log_omega[k] + np.log(own))) * whole
            by_center = moved - shares[i, k] * by_x[i, k]
            by_location[i if location.shape[0] > 1 else 0, k] += by_center
            by_log_omega[k] += omega * m * by_center + by_spread
            by_factor[p, p] += by_spread / own
            for q in range(p):
                by_factor[p, q] += omega * by_center * z[i, order[q]]
                by_z[i, order[q]] += omega * by_center * factor[p, q]
    return by_x, by_location, by_log_omega, by_factor


# Part of the key under which PyTensor keeps machine code: raise it with every change of the two
# functions above.
_VERSION = 3


@register_funcify_default_op_cache_key(UncenterGiven)
def _numba_uncenter(op: UncenterGiven, **kwargs: Any) -> Any:
    return numba_njit(_uncentered), _VERSION


@register_funcify_default_op_cache_key(UncenterGivenPullback)
def _numba_pullback(op: UncenterGivenPullback, **kwargs: Any) -> Any:
    return numba_njit(_pulled_back), _VERSION
