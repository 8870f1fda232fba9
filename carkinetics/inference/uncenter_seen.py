"""Centering given what the patients' data say, as an operation of a model; see `centering`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba.extending import register_jitable
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key


class UncenterSeen(Op):
    """The sampler's coordinates to z, theta and the log volume.

    Inputs are x, shape (patient, effect), the location, shape (patient or 1, effect), log omega,
    shape (effect,), L, shape (effect, effect), w, shape (patient, effect), and what the data say:
    H, shape (patient, effect, effect), and h, shape (patient, effect). The last three carry no
    gradient. The log volume is the sum of ``w log omega``, ``log L_kk`` and ``log C_kk``.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node; see the class for the shapes."""
        tensors = [pt.as_tensor_variable(value, dtype="float64") for value in inputs]
        return Apply(self, tensors, [pt.dmatrix(), pt.dmatrix(), pt.dscalar()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        for storage, value in zip(outputs, _uncentered(*inputs), strict=True):
            storage[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Go back patient by patient."""
        gradients = UncenterSeenPullback()(*inputs, *cotangents)
        return [*gradients, *(disconnected_type() for _ in range(3))]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that weights and what the data say carry no gradient."""
        return [[True] * 3] * 4 + [[False] * 3] * 3


class UncenterSeenPullback(Op):
    """Gradients of `UncenterSeen` by x, location, log omega and L from inputs and cotangents."""

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


@register_jitable
def _effects_of(
    x: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    weights: np.ndarray,
    precision: np.ndarray,
    pull: np.ndarray,
    root: np.ndarray,
    toward: np.ndarray,
) -> np.ndarray:
    """Give a patient's effects u in units of omega; write C to ``root`` and t to ``toward``."""
    n = x.shape[0]
    omega, effects = np.exp(log_omega), np.empty(n)
    for k in range(n):
        for j in range(k + 1):
            left = omega[k] * precision[k, j] * omega[j] + (1.0 if j == k else 0.0)
            for q in range(j):
                left -= root[k, q] * root[j, q]
            root[k, j] = np.sqrt(left) if j == k else left / root[j, j]
        left = pull[k]
        for j in range(n):
            left -= precision[k, j] * location[j]
        left *= omega[k]
        for q in range(k):
            left -= root[k, q] * toward[q]
        toward[k] = left / root[k, k]
    for k in range(n - 1, -1, -1):
        left = np.exp(-weights[k] * log_omega[k]) * (x[k] - weights[k] * location[k]) + toward[k]
        for q in range(k + 1, n):
            left -= root[q, k] * effects[q]
        effects[k] = left / root[k, k]
    return effects


def _uncentered(
    x: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    factor: np.ndarray,
    weights: np.ndarray,
    precision: np.ndarray,
    pull: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = log_omega.shape[0]
    z, theta = np.empty(x.shape), np.empty(x.shape)
    root, toward, volume = np.zeros((n, n)), np.empty(n), 0.0
    for i in range(x.shape[0]):
        at = location[i if location.shape[0] > 1 else 0]
        u = _effects_of(x[i], at, log_omega, weights[i], precision[i], pull[i], root, toward)
        for k in range(n):
            theta[i, k] = at[k] + np.exp(log_omega[k]) * u[k]
            left = u[k]
            for q in range(k):
                left -= factor[k, q] * z[i, q]
            z[i, k] = left / factor[k, k]
            volume += weights[i, k] * log_omega[k] + np.log(factor[k, k] * root[k, k])
    return z, theta, np.asarray(volume)


def _pulled_back(
    x: np.ndarray,
    location: np.ndarray,
    log_omega: np.ndarray,
    factor: np.ndarray,
    weights: np.ndarray,
    precision: np.ndarray,
    pull: np.ndarray,
    of_z: np.ndarray,
    of_theta: np.ndarray,
    of_volume: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n = log_omega.shape[0]
    by_x, by_location = np.empty(x.shape), np.zeros(location.shape)
    by_log_omega, by_factor = np.zeros(n), np.zeros((n, n))
    root, toward = np.zeros((n, n)), np.empty(n)
    z, by_u, by_own, by_r = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    by_root, omega, volume = np.empty((n, n)), np.exp(log_omega), of_volume.item()
    for i in range(x.shape[0]):
        row = i if location.shape[0] > 1 else 0
        at = location[row]
        u = _effects_of(x[i], at, log_omega, weights[i], precision[i], pull[i], root, toward)
        # From z and theta to u.
        for k in range(n):
            left = u[k]
            for q in range(k):
                left -= factor[k, q] * z[q]
            z[k] = left / factor[k, k]
        for k in range(n - 1, -1, -1):
            left = of_z[i, k]
            for q in range(k + 1, n):
                left -= factor[q, k] * by_own[q]
            by_own[k] = left / factor[k, k]
            for q in range(k + 1):
                by_factor[k, q] -= by_own[k] * z[q]
            by_factor[k, k] += volume / factor[k, k]
            by_u[k] = by_own[k] + omega[k] * of_theta[i, k]
            by_location[row, k] += of_theta[i, k]
            by_log_omega[k] += of_theta[i, k] * omega[k] * u[k] + volume * weights[i, k]
        # C' u = t + own and C t = r: from u to own, t, r and C.
        for k in range(n):
            left = by_u[k]
            for q in range(k):
                left -= root[k, q] * by_own[q]
            by_own[k] = left / root[k, k]
        for k in range(n - 1, -1, -1):
            left = by_own[k]
            for q in range(k + 1, n):
                left -= root[q, k] * by_r[q]
            by_r[k] = left / root[k, k]
            for q in range(k + 1):
                by_root[k, q] = -u[k] * by_own[q] - by_r[k] * toward[q]
            by_root[k, k] += volume / root[k, k]
        for k in range(n):
            slope = np.exp(-weights[i, k] * log_omega[k])
            own, w = slope * (x[i, k] - weights[i, k] * at[k]), weights[i, k]
            by_x[i, k] = slope * by_own[k]
            by_location[row, k] -= w * by_x[i, k]
            by_log_omega[k] -= w * own * by_own[k]
            # r = omega (h - H location)
            left = pull[i, k]
            for q in range(n):
                left -= precision[i, k, q] * at[q]
                by_location[row, q] -= precision[i, k, q] * omega[k] * by_r[k]
            by_log_omega[k] += omega[k] * left * by_r[k]
        # C C' = 1 + omega H omega: Cholesky's factor backwards.
        for j in range(n - 1, -1, -1):
            for k in range(n - 1, j - 1, -1):
                if k == j:
                    slope = 0.5 * by_root[j, j] / root[j, j]
                else:
                    slope = by_root[k, j] / root[j, j]
                    by_root[j, j] -= slope * root[k, j]
                for q in range(j):
                    by_root[k, q] -= slope * root[j, q]
                    by_root[j, q] -= slope * root[k, q]
                moved = slope * omega[k] * precision[i, k, j] * omega[j]
                by_log_omega[k] += moved
                by_log_omega[j] += moved
    return by_x, by_location, by_log_omega, by_factor


# Part of the key under which PyTensor keeps machine code: raise it with every change of the three
# functions above.
_VERSION = 1


@register_funcify_default_op_cache_key(UncenterSeen)
def _numba_uncenter(op: UncenterSeen, **kwargs: Any) -> Any:
    return numba_njit(_uncentered), _VERSION


@register_funcify_default_op_cache_key(UncenterSeenPullback)
def _numba_pullback(op: UncenterSeenPullback, **kwargs: Any) -> Any:
    return numba_njit(_pulled_back), _VERSION
