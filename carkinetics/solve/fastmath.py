"""Elementary functions in plain arithmetic, so that a loop over lanes becomes SIMD code.

Numba from pip has no vector math library: a call of ``math.exp`` inside a loop falls back to one
scalar call per lane. Range reduction and a polynomial in plain arithmetic vectorize.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_LOG2E = 1.4426950408889634
# ln 2 split in two parts, the first with trailing zeros, so that k * LN2_HIGH is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2**52 rounds to the nearest integer and leaves it in the low bits of the mantissa.
_ROUND = 6755399441055744.0


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), emit


@intrinsic
def _from_bits(typing_context: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), emit


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def exp(x: float) -> float:
    """Return e to the power of x, relative error below 4e-16.

    Below -708 the result is that of -708 (about 3e-308), above 709 that of 709: a finite number
    on which a step-size controller can act.
    """
    # Written so that NaN stays NaN.
    x = -708.0 if x < -708.0 else x
    x = 709.0 if x > 709.0 else x
    shifted = x * _LOG2E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    # Taylor polynomial of degree 13 on |r| <= ln(2)/2: truncation 4e-18.
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _from_bits((_bits(shifted) + 1023) << 52)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    e = exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)
