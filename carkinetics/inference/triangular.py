"""Forward substitution for a small triangular matrix, as a PyTensor operation.

PyTensor's own triangular solve goes through LAPACK and takes numba ten times longer to compile
than these few lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key


class ForwardSubstitution(Op):
    """Solve ``L z_i = u_i`` for every row: inputs L, shape (effect, effect), u, (row, effect)."""

    __props__ = ()

    def make_node(self, factor: Any, rows: Any) -> Apply:
        """Build the node."""
        inputs = [pt.as_tensor_variable(factor), pt.as_tensor_variable(rows)]
        return Apply(self, inputs, [pt.dmatrix()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Solve in Python mode."""
        outputs[0][0] = _forward(*inputs)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Solve with the transpose: du = L^-T dz, dL = -sum du z^T, lower triangle."""
        factor, _ = inputs
        to_factor, to_rows = BackwardSubstitution()(factor, outputs[0], cotangents[0])
        return [to_factor, to_rows]


class BackwardSubstitution(Op):
    """Gradient of `ForwardSubstitution`: inputs L, z and the gradient by z."""

    __props__ = ()

    def make_node(self, factor: Any, solution: Any, gradient: Any) -> Apply:
        """Build the node."""
        inputs = [pt.as_tensor_variable(v) for v in (factor, solution, gradient)]
        return Apply(self, inputs, [pt.dmatrix(), pt.dmatrix()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Solve in Python mode."""
        outputs[0][0], outputs[1][0] = _backward(*inputs)


def _forward(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    result = np.empty(rows.shape)
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            value = rows[i, k]
            for j in range(k):
                value -= factor[k, j] * result[i, j]
            result[i, k] = value / factor[k, k]
    return result


def _backward(
    factor: np.ndarray, solution: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n = factor.shape[0]
    to_factor, to_rows = np.zeros((n, n)), np.empty(solution.shape)
    for i in range(solution.shape[0]):
        for k in range(n - 1, -1, -1):
            value = gradient[i, k]
            for j in range(k + 1, n):
                value -= factor[j, k] * to_rows[i, j]
            value /= factor[k, k]
            to_rows[i, k] = value
            for j in range(k + 1):
                to_factor[k, j] -= value * solution[i, j]
    return to_factor, to_rows


@register_funcify_default_op_cache_key(ForwardSubstitution)
def _numba_forward(op: ForwardSubstitution, **kwargs: Any) -> Any:
    return numba_njit(_forward)


@register_funcify_default_op_cache_key(BackwardSubstitution)
def _numba_backward(op: BackwardSubstitution, **kwargs: Any) -> Any:
    return numba_njit(_backward)
