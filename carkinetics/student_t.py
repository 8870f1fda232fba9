"""Log probability of a Student-t variable below a limit, with exact gradients, in both tails.

The regularized incomplete beta function underflows far below the limit with many degrees of
freedom, and its derivative by them is a long series in PyTensor. Here the continued fraction of
that function is taken in logs, its derivative carried along.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import njit
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

_LOG_2 = math.log(2.0)
# Beyond these nothing changes that a density could tell, and the arithmetic would overflow.
_FARTHEST = 1e150
_MOST_FREEDOM = 1e9
_MOST_TERMS = 1_000


@njit(cache=True)
def _digamma(x: float) -> float:
    total = 0.0
    while x < 10.0:
        total -= 1.0 / x
        x += 1.0
    s = 1.0 / (x * x)
    series = s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s / 132))))
    return total + math.log(x) - 0.5 / x - series


@njit(cache=True)
def _log_beta_half(a: float) -> tuple[float, float]:
    """Return ln B(a, 1/2) and its derivative by a; a plain difference is lost for a large a."""
    if a < 200.0:
        value = math.lgamma(a) + 0.5 * math.log(math.pi) - math.lgamma(a + 0.5)
        return value, _digamma(a) - _digamma(a + 0.5)
    # ln Gamma(a + 1/2) - ln Gamma(a) = ln(a) / 2 - 1/(8 a) + 1/(192 a^3) - 1/(640 a^5) + ...
    s = 1.0 / (a * a)
    rise = 0.5 * math.log(a) - (0.125 - s * (1 / 192 - s / 640)) / a
    slope = 0.5 / a + s * (0.125 - s * (3 / 192 - s * 5 / 640))
    return 0.5 * math.log(math.pi) - rise, -slope


@njit(cache=True)
def _log_fraction(
    a: float, b: float, x: float, da: float, db: float, dx: float
) -> tuple[float, float]:
    """Return the log of the continued fraction of I_x(a, b), and its derivative (Lentz)."""
    ratio, dratio = (a + b) / (a + 1), ((da + db) * (a + 1) - (a + b) * da) / (a + 1) ** 2
    c, dc = 1.0, 0.0
    d, dd = 1 - ratio * x, -dratio * x - ratio * dx
    d, dd = 1 / d, -dd / (d * d)
    value, slope = math.log(d), dd / d
    for m in range(1, _MOST_TERMS):
        for odd in (False, True):
            if odd:
                top, dtop = -(a + m) * (a + b + m), -(da * (a + b + m) + (a + m) * (da + db))
                base, dbase = (a + 2 * m) * (a + 2 * m + 1), da * (2 * a + 4 * m + 1)
            else:
                top, dtop = m * (b - m), m * db
                base, dbase = (a + 2 * m - 1) * (a + 2 * m), da * (2 * a + 4 * m - 1)
            e, de = top * x / base, (dtop * x + top * dx - top * x * dbase / base) / base
            d, dd = 1 + e * d, de * d + e * dd
            d, dd = 1 / d, -dd / (d * d)
            c, dc = 1 + e / c, de / c - e * dc / (c * c)
            value += math.log(c * d)
            slope += dc / c + dd / d
        if abs(c * d - 1) < 1e-15 and abs(dc / c + dd / d) < 1e-14 * (1e-3 + abs(slope)):
            break
    return value, slope


@njit(cache=True)
def _log_cdf(z: float, nu: float) -> tuple[float, float, float]:
    """Return ln P(T < z) of nu degrees of freedom, and its derivatives by z and by nu."""
    held = nu > _MOST_FREEDOM
    nu = min(nu, _MOST_FREEDOM)
    z = min(max(z, -_FARTHEST), _FARTHEST)
    a = nu / 2
    log_beta, dlog_beta = _log_beta_half(a)
    dlog_beta *= 0.5
    square = z * z
    far = math.log1p(square / nu)
    density = -log_beta - 0.5 * math.log(nu) - (a + 0.5) * far
    if square == 0.0:
        return -_LOG_2, math.exp(density + _LOG_2), 0.0
    near = math.log1p(nu / square)
    share = 1 / (1 + nu / square)
    dshare = -share / (nu + square)
    if share < 1.5 / (a + 2.5):
        fraction, slope = _log_fraction(0.5, a, share, 0.0, 0.5, dshare)
        log_i = -0.5 * near - a * far + _LOG_2 - log_beta + fraction
        dlog_i = -0.5 / (nu + square) - 0.5 * far + 0.5 * share - dlog_beta + slope
        signed = math.copysign(math.exp(log_i), z)
        value, dnu = math.log(0.5 * (1 + signed)), signed * dlog_i / (1 + signed)
    else:
        fraction, slope = _log_fraction(a, 0.5, 1 - share, 0.5, 0.0, -dshare)
        log_i = -a * far - 0.5 * near - math.log(a) - log_beta + fraction
        dlog_i = -0.5 * far + 0.5 * share - 0.5 / (nu + square) - 0.5 / a - dlog_beta + slope
        if z < 0:
            value, dnu = log_i - _LOG_2, dlog_i
        else:
            above = 0.5 * math.exp(log_i)
            value, dnu = math.log1p(-above), -above * dlog_i / (1 - above)
    return value, math.exp(density - value), 0.0 if held else dnu


@njit(cache=True)
def _log_cdfs(z: np.ndarray, nu: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value, dz, dnu = np.empty(z.size), np.empty(z.size), np.empty(z.size)
    for i in range(z.size):
        value[i], dz[i], dnu[i] = _log_cdf(z[i], nu[i])
    return value, dz, dnu


class StudentLogCdf(Op):
    """Log probability of a standard Student-t variable below z, and its derivatives.

    Inputs are z and the degrees of freedom, both of shape (sample,); outputs the log probability
    and its derivatives by z and by the degrees of freedom, of the same shape.
    """

    __props__ = ()

    def make_node(self, z: Any, nu: Any) -> Apply:
        """Build the node."""
        inputs = [pt.as_tensor_variable(value, dtype="float64") for value in (z, nu)]
        return Apply(self, inputs, [pt.dvector(), pt.dvector(), pt.dvector()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        """Compute in Python mode."""
        found = _log_cdfs(*(np.ascontiguousarray(value) for value in inputs))
        for output, value in zip(outputs, found, strict=True):
            output[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Multiply the gradient with the derivatives; those themselves have none."""
        return [cotangents[0] * outputs[1], cotangents[0] * outputs[2]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """State that only the log probability carries gradients."""
        return [[True, False, False], [True, False, False]]


# Part of the key under which PyTensor keeps machine code on disk: raise it with every change of
# the numba functions of this file.
_VERSION = 1


@register_funcify_default_op_cache_key(StudentLogCdf)
def _numba_log_cdf(op: StudentLogCdf, **kwargs: Any) -> Any:
    return _log_cdfs, _VERSION


def student_log_cdf(z: Any, nu: Any) -> Any:
    """Return ln P(T < z) of Student-t variables, finite in both tails.

    Parameters
    ----------
    z : tensor
        Standardized limit.
    nu : tensor
        Degrees of freedom, broadcast against ``z``.

    Returns
    -------
    tensor
        Of the shape of ``z`` and ``nu`` broadcast. Gradients go to both.
    """
    z, nu = pt.broadcast_arrays(pt.as_tensor_variable(z), pt.as_tensor_variable(nu))
    return StudentLogCdf()(z.flatten(), nu.flatten())[0].reshape(z.shape)
