"""Equation text -> checked nodes -> SymPy; the only reader of math text in the package."""

from carkinetics.equations.functions import NUMERIC, hill, logistic, softplus
from carkinetics.equations.nodes import Expression, Node
from carkinetics.equations.reading import read_constant, read_expression
from carkinetics.equations.symbolic import to_sympy

__all__ = [
    "NUMERIC",
    "Expression",
    "Node",
    "hill",
    "logistic",
    "read_constant",
    "read_expression",
    "softplus",
    "to_sympy",
]
