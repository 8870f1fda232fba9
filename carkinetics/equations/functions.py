"""The functions of the equation language that SymPy does not have, safe against overflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy

# Stands for zero where a logarithm is taken.
_TINY = 1e-300


class logistic(sympy.Function):
    """The function 1 / (1 + exp(-x)); its derivative is written so that nothing overflows."""

    nargs = (1,)
    is_real = True
    is_positive = True

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        """Evaluate at a number."""
        return sympy.Float(logistic_number(float(x))) if x.is_Number else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Differentiate: logistic(x) logistic(-x), with no difference of near-equal numbers."""
        (x,) = self.args
        return logistic(x) * logistic(-x)

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        x = self.args[0]._eval_evalf(prec)
        return None if x is None or not x.is_Number else 1 / (1 + sympy.exp(-x))


class softplus(sympy.Function):
    """The function log(1 + exp(x)): zero far left, x far right."""

    nargs = (1,)
    is_real = True
    is_nonnegative = True

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        """Evaluate at a number."""
        return sympy.Float(softplus_number(float(x))) if x.is_Number else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Differentiate: logistic(x)."""
        return logistic(self.args[0])

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        x = self.args[0]._eval_evalf(prec)
        return None if x is None or not x.is_Number else sympy.log(1 + sympy.exp(x))


class hill(sympy.Function):
    """The function x^n / (k^n + x^n): half at x = k, steeper with n."""

    nargs = (3,)
    is_real = True
    is_nonnegative = True

    @classmethod
    def eval(cls, x: sympy.Expr, k: sympy.Expr, n: sympy.Expr) -> sympy.Expr | None:
        """Evaluate at numbers."""
        if x.is_Number and k.is_Number and n.is_Number:
            return sympy.Float(hill_number(float(x), float(k), float(n)))
        return None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Differentiate, by functions of their own that are finite at x = 0."""
        x, k, n = self.args
        if argindex == 3:
            return hill_shape(x, k, n)
        slope = hill_slope(x, k, n)
        return slope if argindex == 1 else -slope * x / k

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        numbers = _evaluated(self.args, prec)
        if numbers is None:
            return None
        x, k, n = numbers
        return x**n / (k**n + x**n)


class hill_slope(sympy.Function):
    """The derivative of hill(x, k, n) by x, finite at x = 0 for n >= 1."""

    nargs = (3,)
    is_real = True

    @classmethod
    def eval(cls, x: sympy.Expr, k: sympy.Expr, n: sympy.Expr) -> sympy.Expr | None:
        """Evaluate at numbers."""
        if x.is_Number and k.is_Number and n.is_Number:
            return sympy.Float(_hill_slope_array(float(x), float(k), float(n)))
        return None

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        numbers = _evaluated(self.args, prec)
        return None if numbers is None else hill_slope(*numbers)


class hill_shape(sympy.Function):
    """The derivative of hill(x, k, n) by n, zero at x = 0."""

    nargs = (3,)
    is_real = True

    @classmethod
    def eval(cls, x: sympy.Expr, k: sympy.Expr, n: sympy.Expr) -> sympy.Expr | None:
        """Evaluate at numbers."""
        if x.is_Number and k.is_Number and n.is_Number:
            return sympy.Float(_hill_shape_array(float(x), float(k), float(n)))
        return None

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        numbers = _evaluated(self.args, prec)
        return None if numbers is None else hill_shape(*numbers)


def _evaluated(arguments: Sequence[sympy.Expr], prec: int) -> list[sympy.Expr] | None:
    values = [argument._eval_evalf(prec) for argument in arguments]
    return None if any(v is None or not v.is_Number for v in values) else values


def logistic_number(x: float) -> float:
    """Return 1 / (1 + exp(-x)) for a number of any size."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def softplus_number(x: float) -> float:
    """Return log(1 + exp(x)) for a number of any size."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def hill_number(x: float, k: float, n: float) -> float:
    """Return x^n / (k^n + x^n) for nonnegative x and positive k and n."""
    if x < 0 or k <= 0:
        raise ValueError("hill needs x >= 0 and k > 0")
    return 0.0 if x == 0 else logistic_number(n * math.log(x / k))


def _logistic_array(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(np.asarray(x) >= 0, 1.0, small) / (1.0 + small)


def _softplus_array(x: Any) -> Any:
    return np.logaddexp(0.0, x)


def _hill_array(x: Any, k: Any, n: Any) -> Any:
    with np.errstate(divide="ignore"):
        return _logistic_array(n * (np.log(x) - np.log(k)))


def _hill_slope_array(x: Any, k: Any, n: Any) -> Any:
    x = np.maximum(x, _TINY)
    u = n * (np.log(x) - np.log(k))
    return n * _logistic_array(u) * _logistic_array(-u) / x


def _hill_shape_array(x: Any, k: Any, n: Any) -> Any:
    distance = np.log(np.maximum(x, _TINY)) - np.log(k)
    return distance * _logistic_array(n * distance) * _logistic_array(-n * distance)


# For sympy.lambdify(..., modules=[NUMERIC, "numpy"]).
NUMERIC: dict[str, Callable[..., Any]] = {
    "logistic": _logistic_array,
    "softplus": _softplus_array,
    "hill": _hill_array,
    "hill_slope": _hill_slope_array,
    "hill_shape": _hill_shape_array,
}
