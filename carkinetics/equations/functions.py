"""The functions of the equation language that SymPy does not have, safe against overflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy


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
        """Differentiate; 1 - hill(x, k, n) is written hill(k, x, n)."""
        x, k, n = self.args
        slope = hill(x, k, n) * hill(k, x, n)
        return (n * slope / x, -n * slope / k, sympy.log(x / k) * slope)[argindex - 1]

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        x, k, n = (argument._eval_evalf(prec) for argument in self.args)
        if any(value is None or not value.is_Number for value in (x, k, n)):
            return None
        return x**n / (k**n + x**n)


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


# For sympy.lambdify(..., modules=[NUMERIC, "numpy"]).
NUMERIC: dict[str, Callable[..., Any]] = {
    "logistic": _logistic_array,
    "softplus": _softplus_array,
    "hill": _hill_array,
}
