"""Closed-form models as PyTensor expressions: no solver, and its oracle."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
import sympy

from carkinetics.model import System

SMALLEST = float(np.finfo(float).tiny)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": pt.exp,
    # Far out a sum of exponentials is zero; it counts as the smallest number instead.
    "log": lambda x: pt.log(pt.switch(pt.and_(x >= 0, x < SMALLEST), SMALLEST, x)),
    "logistic": pt.sigmoid,
    "softplus": pt.softplus,
    "Abs": pt.abs,
    # A logarithm of zero would poison the gradient.
    "hill": lambda x, k, n: pt.sigmoid(n * (pt.log(pt.maximum(x, 1e-300)) - pt.log(k))),
}
_RELATIONS = {
    "StrictLessThan": pt.lt,
    "LessThan": pt.le,
    "StrictGreaterThan": pt.gt,
    "GreaterThan": pt.ge,
}


def floored_log(x: Any) -> Any:
    """Take the logarithm, that of the smallest number for zero; for numpy."""
    return np.log(np.where((x >= 0) & (x < SMALLEST), SMALLEST, x))


def closed_form_log_levels(system: System, columns: Sequence[Any], days: Any) -> Any:
    """Write the log levels of a closed-form system as a PyTensor expression.

    Parameters
    ----------
    system : System
        A system with ``closed_form`` true.
    columns : sequence of tensors, shape (row,)
        Natural-scale parameters, in the order of ``system.parameters``, then of ``system.inputs``.
    days : array or tensor, shape (row,)
        Days from the infusion [day].

    Returns
    -------
    tensor, shape (row, cell_type)
        ln level.
    """
    symbols = (*system.parameter_symbols, *system.input_symbols)
    values = dict(zip(symbols, columns, strict=True))
    values[system.time] = pt.as_tensor_variable(days).astype("float64")
    return pt.stack([to_tensor(log_of(level), values) for level in system.levels], axis=1)


def columns_of(system: System, parameters: Any) -> list[Any]:
    """Split a tensor of shape (row, parameter) into those of the system's parameters and inputs."""
    count = len(system.parameter_symbols) + len(system.input_symbols)
    return [parameters[:, k] for k in range(count)]


def to_tensor(expression: sympy.Expr, values: dict[sympy.Symbol, Any]) -> Any:
    """Translate a SymPy expression into PyTensor, symbol by symbol."""
    if isinstance(expression, sympy.Symbol):
        return values[expression]
    if expression.is_Number or expression.is_NumberSymbol:
        return pt.constant(float(expression))
    if isinstance(expression, sympy.Piecewise):
        return _piecewise(expression, values)
    arguments = [to_tensor(a, values) for a in expression.args]
    if isinstance(expression, sympy.Add):
        return sum(arguments[1:], arguments[0])
    if isinstance(expression, sympy.Mul):
        product = arguments[0]
        for factor in arguments[1:]:
            product = product * factor
        return product
    if isinstance(expression, sympy.Pow):
        return arguments[0] ** arguments[1]
    return _FUNCTIONS[type(expression).__name__](*arguments)


def log_of(level: sympy.Expr) -> sympy.Expr:
    """Take the logarithm inside the branches: exact for a single exponential, far down too."""
    if isinstance(level, sympy.Piecewise):
        return sympy.Piecewise(*((log_of(value), condition) for value, condition in level.args))
    return sympy.expand_log(sympy.log(level), force=True)


def _piecewise(expression: sympy.Piecewise, values: dict[sympy.Symbol, Any]) -> Any:
    branches = list(expression.args)
    result = to_tensor(branches[-1][0], values)
    for value, condition in reversed(branches[:-1]):
        result = pt.switch(_condition(condition, values), to_tensor(value, values), result)
    return result


def _condition(condition: Any, values: dict[sympy.Symbol, Any]) -> Any:
    if isinstance(condition, sympy.ITE):
        return pt.switch(*(_condition(a, values) for a in condition.args))
    if isinstance(condition, sympy.Not):
        return pt.invert(_condition(condition.args[0], values))
    if isinstance(condition, sympy.And | sympy.Or):
        join = pt.and_ if isinstance(condition, sympy.And) else pt.or_
        return functools.reduce(join, (_condition(a, values) for a in condition.args))
    left, right = (to_tensor(a, values) for a in condition.args)
    return _RELATIONS[type(condition).__name__](left, right)
