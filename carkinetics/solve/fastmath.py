"""Elementary functions in plain arithmetic, for single numbers and for whole lanes.

Numba from pip has no vector math library: a call of ``math.exp`` inside a loop falls back to one
scalar call per lane. Range reduction and a polynomial in plain arithmetic work on vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from carkinetics.solve.lanes import bits, from_bits, select
from carkinetics.solve.written import inlined_with

_LOG2E = 1.4426950408889634
# ln 2 split in two parts, the first with trailing zeros, so that k * LN2_HIGH is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2**52 rounds to the nearest integer and leaves it in the low bits of the mantissa.
_ROUND = 6755399441055744.0


@inlined_with(types.float64)
def minimum(x: Any, y: Any) -> Any:
    """Return the smaller one; `y` where a number is missing."""
    return select(x < y, x, y)


@inlined_with(types.float64)
def maximum(x: Any, y: Any) -> Any:
    """Return the larger one; `y` where a number is missing."""
    return select(x > y, x, y)


@inlined_with(types.float64)
def exp(x: Any) -> Any:
    """Return e to the power of x, relative error below 4e-16.

    Below -708 the result is that of -708 (about 3e-308), above 709 that of 709: a finite number
    on which a step-size controller can act.
    """
    # Written so that NaN stays NaN.
    x = select(x < -708.0, -708.0, x)
    x = select(x > 709.0, 709.0, x)
    shifted = x * _LOG2E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    # Taylor polynomial of degree 13 on |r| <= ln(2)/2: truncation 4e-18. Summed in pairs, so that
    # the processor can work on several at once.
    r2 = r * r
    r4 = r2 * r2
    p0 = 0.5 + r * (1.0 / 6.0)
    p1 = 1.0 / 24.0 + r * (1.0 / 120.0)
    p2 = 1.0 / 720.0 + r * (1.0 / 5040.0)
    p3 = 1.0 / 40320.0 + r * (1.0 / 362880.0)
    p4 = 1.0 / 3628800.0 + r * (1.0 / 39916800.0)
    p5 = 1.0 / 479001600.0 + r * (1.0 / 6227020800.0)
    p = (p0 + r2 * p1) + r4 * ((p2 + r2 * p3) + r4 * (p4 + r2 * p5))
    p = 1.0 + (r + r2 * p)
    return p * from_bits((bits(shifted) + 1023) << 52)


@inlined_with(types.float64)
def logistic(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)) without overflow."""
    # Written so that the function of x and that of -x share the exponential and the division.
    e = exp(-abs(x))
    large = 1.0 / (1.0 + e)
    return select(x >= 0.0, large, e * large)


_MANTISSA = 0x000FFFFFFFFFFFFF
_ROOT_HALF = 0x3FE6A09E00000000  # bits of the square root of 1/2, cut after 20 digits
_ONE = 0x3FF0000000000000
# Bits of 2**52: an integer below 2**52 in the low bits, minus 2**52, is that integer as float.
_TWO52_BITS, _TWO52 = 0x4330000000000000, 4503599627370496.0


@inlined_with(types.float64)
def log(x: Any) -> Any:
    """Return the natural logarithm of x, relative error below 4e-16.

    Of zero it is minus infinity, of a negative number NaN.
    """
    tiny = x < 2.2250738585072014e-308
    scaled = select(tiny, x * 18014398509481984.0, x)  # 2**54
    shifted = bits(scaled) + (_ONE - _ROOT_HALF)
    k = from_bits((shifted >> 52) | _TWO52_BITS) - _TWO52 - select(tiny, 1077.0, 1023.0)
    m = from_bits((shifted & _MANTISSA) + _ROOT_HALF)
    # The method of fdlibm (Sun Microsystems, 1993): log(1 + f) in s = f / (2 + f).
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    r: Any = 1.479819860511658591e-01
    r = r * z + 1.531383769920937332e-01
    r = r * z + 1.818357216161805012e-01
    r = r * z + 2.222219843214978396e-01
    r = r * z + 2.857142874366239149e-01
    r = r * z + 3.999999999940941908e-01
    r = r * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    result = k * _LN2_HIGH - ((half - (s * (half + r * z) + k * _LN2_LOW)) - f)
    result = select(x == np.inf, x, result)
    result = select(x == 0.0, -np.inf, result)
    # Written so that NaN stays NaN.
    return select(x >= 0.0, result, np.nan)


@inlined_with(types.float64)
def softplus(x: Any) -> Any:
    """Return log(1 + exp(x)), with all its digits where it is tiny, too."""
    e = exp(-abs(x))
    u = 1.0 + e
    # log1p: the rounding of u is undone by the ratio (Kahan).
    small = select(u == 1.0, e, log(u) * (e / select(u > 1.0, u - 1.0, 1.0)))
    return select(x > 0.0, x, 0.0) + small


@inlined_with(types.float64)
def hill(x: Any, k: Any, n: Any) -> Any:
    """Return x^n / (k^n + x^n); 0 at x = 0 for n > 0."""
    return logistic(n * (log(x) - log(k)))


@inlined_with(types.float64)
def hill_slope(x: Any, k: Any, n: Any) -> Any:
    """Return the derivative of `hill` by x: finite at x = 0 for n >= 1."""
    x = select(x == 0.0, 1e-300, x)
    u = n * (log(x) - log(k))
    return n * logistic(u) * logistic(-u) / x


@inlined_with(types.float64)
def hill_shape(x: Any, k: Any, n: Any) -> Any:
    """Return the derivative of `hill` by n: zero at x = 0."""
    distance = log(select(x == 0.0, 1e-300, x)) - log(k)
    return distance * logistic(n * distance) * logistic(-n * distance)
