"""Print SymPy expressions as numba source over lanes, with shared parts computed once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sympy
from sympy.printing.pycode import PythonCodePrinter

from carkinetics.equations import logistic

if TYPE_CHECKING:
    from carkinetics.solve.solvable import Solvable


class NumbaPrinter(PythonCodePrinter):
    """Print what numba compiles to plain arithmetic.

    SymPy prints ``x**(-2)``, which numba turns into a call that raises on zero; here an integer
    power becomes a product, and any other power goes through ``exp`` and ``log``.
    """

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        base, exponent = expr.as_base_exp()
        if exponent.is_Integer and abs(int(exponent)) <= 8:
            factor = f"({self._print(base)})"
            product = " * ".join([factor] * abs(int(exponent)))
            return f"({product})" if exponent > 0 else f"(1.0 / ({product}))"
        if exponent == sympy.Rational(1, 2):
            return f"sqrt({self._print(base)})"
        return f"exp(({self._print(exponent)}) * log({self._print(base)}))"

    def _print_exp(self, expr: sympy.exp) -> str:
        return f"exp({self._print(expr.args[0])})"

    def _print_log(self, expr: sympy.log) -> str:
        return f"log({self._print(expr.args[0])})"

    def _print_logistic(self, expr: sympy.Function) -> str:
        return f"logistic({self._print(expr.args[0])})"

    def _print_softplus(self, expr: sympy.Function) -> str:
        return f"softplus({self._print(expr.args[0])})"

    def _print_hill(self, expr: sympy.Function) -> str:
        arguments = ", ".join(self._print(argument) for argument in expr.args)
        return f"{type(expr).__name__}({arguments})"

    _print_hill_slope = _print_hill_shape = _print_hill

    def _print_Abs(self, expr: sympy.Abs) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_Min(self, expr: sympy.Min) -> str:
        first, *others = (self._print(argument) for argument in expr.args)
        for other in others:
            first = f"minimum({first}, {other})"
        return first

    def _print_Piecewise(self, expr: sympy.Piecewise) -> str:
        *branches, (otherwise, _) = expr.args
        text = self._print(otherwise)
        for value, condition in reversed(branches):
            text = f"select({self._print(condition)}, {self._print(value)}, {text})"
        return text

    def _print_Relational(self, expr: sympy.core.relational.Relational) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_And(self, expr: sympy.And) -> str:
        return f"({' & '.join(self._print(argument) for argument in expr.args)})"

    def _print_Or(self, expr: sympy.Or) -> str:
        return f"({' | '.join(self._print(argument) for argument in expr.args)})"

    def _print_Not(self, expr: sympy.Not) -> str:
        return f"(~{self._print(expr.args[0])})"

    def _print_ITE(self, expr: sympy.logic.boolalg.ITE) -> str:
        return self._print(expr.to_nnf())

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return f"{int(expr)}.0"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return f"({expr.p}.0 / {expr.q}.0)"

    def _print_Float(self, expr: sympy.Float) -> str:
        return repr(float(expr))

    def _print_NumberSymbol(self, expr: sympy.Expr) -> str:
        return repr(float(expr))

    _print_Pi = _print_Exp1 = _print_NumberSymbol


class Printer:
    """Write the functions of one model.

    Parameters
    ----------
    equations : Solvable
        The system in solver coordinates.
    sensitivities : sequence of Symbol
        One symbol per sensitivity that is integrated.
    increments : sequence of Symbol
        One symbol per state, for what an implicit method adds to it at a stage.
    cotangents : mapping of str to sequence of Symbol
        What a reverse sweep carries, by the first letter of `_ARRAYS`.
    """

    def __init__(
        self,
        equations: Solvable,
        sensitivities: Sequence[sympy.Symbol],
        increments: Sequence[sympy.Symbol] = (),
        cotangents: Mapping[str, Sequence[sympy.Symbol]] | None = None,
    ) -> None:
        carried = dict(cotangents or {})
        self._equations = equations
        self._code = NumbaPrinter({"fully_qualified_modules": False})
        plain = {equations.time: sympy.Symbol("t_", real=True)}
        for prefix, symbols in (
            ("y", equations.states),
            ("p", equations.parameters),
            ("s", sensitivities),
            ("v", increments),
            *carried.items(),
        ):
            for i, symbol in enumerate(symbols):
                # Generated names never come from the model, so none can be captured.
                plain[symbol] = sympy.Symbol(f"{prefix}{i}_", real=True, **_sign(symbol))
        self._plain = plain
        later = (*sensitivities, *increments, *itertools.chain(*carried.values()))
        self._later = {plain[s] for s in later}
        self._varying = {plain[s] for s in (equations.time, *equations.states)} | self._later
        self._shared: dict[sympy.Expr, sympy.Symbol] = {}

    def hoist(
        self, groups: Sequence[Sequence[sympy.Expr]]
    ) -> tuple[list[sympy.Expr], list[list[sympy.Expr]]]:
        """Pull out what depends on parameters only; return it and the groups rewritten."""
        pull = _Pulling("c", self._varying, self._shared)
        rewritten = [[pull.out_of(e.xreplace(self._plain)) for e in group] for group in groups]
        return list(self._shared), rewritten

    def remember(
        self, expressions: Sequence[sympy.Expr], prefix: str
    ) -> tuple[list[sympy.Expr], list[sympy.Expr]]:
        """Pull out what depends on time and states, but on no sensitivity and no increment.

        The steps of the states compute it; the steps of the sensitivities, which follow, find it.
        Returned are these parts, and the expressions with symbols in their place: ``m0_`` and so
        on for the prefix "m".
        """
        found: dict[sympy.Expr, sympy.Symbol] = {}
        pull = _Pulling(prefix, self._later, found, self._varying - self._later)
        rewritten = [pull.out_of(expression) for expression in expressions]
        return list(found), rewritten

    def lane_function(
        self,
        name: str,
        arguments: str,
        targets: Mapping[str, Sequence[sympy.Expr]],
        place: str = "0",
        floored: bool = False,
    ) -> str:
        """Write a function that computes expressions for all lanes and stores them.

        Parameters
        ----------
        name, arguments : str
            Its name, and its arguments as text.
        targets : mapping of str to sequence of expressions
            What is stored in which array. The key ``"dy"`` stores from the beginning of ``dy``,
            ``"dy at stage * N"`` from that place on.
        place : str
            Stage whose day and states are read.
        floored : bool
            Whether it is an output: no logarithm of a state is read below ``LOWEST_LOG``.
        """
        expressions = [e.xreplace(self._plain) for group in targets.values() for e in group]
        lines, texts = self.values(expressions, place, floored)
        results, stores = iter(texts), []
        for target, group in targets.items():
            array, _, first = target.partition(" at ")
            first = f"{first} + " if first else ""
            stores += [f"store({array}, {first}{i}, {next(results)})" for i in range(len(group))]
        return function(name, arguments, [*lines, *stores])

    def values(
        self, expressions: Sequence[sympy.Expr], place: str = "0", floored: bool = False
    ) -> tuple[list[str], list[str]]:
        """Write the lines that expressions need, and each expression as text."""
        names = sympy.numbered_symbols("x", real=True)
        shared, reduced = sympy.cse(list(expressions), symbols=names, order="none")
        once = _Once(names)
        for symbol, value in shared:
            once.lines.append((symbol, once.in_(value)))
        texts = [_as_float(self._code.doprint(once.in_(e))) for e in reduced]
        lines = [f"{symbol} = {self._code.doprint(value)}" for symbol, value in once.lines]
        return [*self._reads(expressions, place, floored), *lines], texts

    def _reads(self, expressions: Iterable[sympy.Expr], place: str, floored: bool) -> list[str]:
        """Write the loads of the symbols that the expressions use."""
        used = sorted({str(s) for e in expressions for s in e.free_symbols})
        first = {"y": "N_STATE", "v": "N_STATE", "b": "N_STATE", "m": "N_MEMO"}
        lines = []
        for name in used:
            kind, index = name[0], name[1:-1]
            if kind == "t":
                lines.append(f"t_ = load(t, {place})")
            elif kind in "pcswagl" or place == "0":
                lines.append(f"{name} = load({_ARRAYS[kind]}, {index})")
            else:
                lines.append(f"{name} = load({_ARRAYS[kind]}, {place} * {first[kind]} + {index})")
            if floored and kind == "y" and self._equations.log_scale[int(index)]:
                # Written so that NaN stays NaN.
                lines.append(f"{name} = select({name} < LOWEST_LOG, LOWEST_LOG, {name})")
        return lines


_ARRAYS = {
    "y": "y", "v": "k", "p": "p", "c": "c", "s": "s", "m": "memo", "w": "second",
    # Cotangents: of slopes, of the numbers through which parameters act, of log levels, of states.
    "b": "of_slopes", "a": "of_acting", "g": "of_levels", "l": "of_states",
}  # fmt: skip


class _Pulling:
    """Pulls parts that depend on nothing of a set of symbols out of expressions.

    Parameters
    ----------
    prefix : str
        First letter of the symbols that stand for the parts.
    varying : set of Symbol
        What a part may not contain.
    found : dict
        The parts so far, and their symbols; grows.
    needed : set of Symbol, optional
        A part is only worth a symbol if it contains one of these.
    """

    def __init__(
        self,
        prefix: str,
        varying: set[sympy.Symbol],
        found: dict[sympy.Expr, sympy.Symbol],
        needed: set[sympy.Symbol] | None = None,
    ) -> None:
        self._prefix, self._varying, self._found, self._needed = prefix, varying, found, needed

    def out_of(self, expression: sympy.Expr) -> sympy.Expr:
        """Replace the largest such parts of an expression by symbols."""
        if not expression.free_symbols & self._varying:
            return self._share(expression)
        if isinstance(expression, sympy.Symbol):
            return expression
        if isinstance(expression, (sympy.Add, sympy.Mul)):
            fixed = [a for a in expression.args if not a.free_symbols & self._varying]
            moving = [self.out_of(a) for a in expression.args if a.free_symbols & self._varying]
            if fixed:
                moving.append(self._share(expression.func(*fixed)))
            return expression.func(*moving)
        if isinstance(expression, sympy.Piecewise):
            # Only values are shared: a branch is a pair, and a condition is no number.
            branches = [(self.out_of(value), condition) for value, condition in expression.args]
            return sympy.Piecewise(*branches)
        return expression.func(*(self.out_of(a) for a in expression.args))

    def _share(self, expression: sympy.Expr) -> sympy.Expr:
        symbols = expression.free_symbols
        if expression.is_number or not symbols:
            return expression
        if self._needed is not None and not symbols & self._needed:
            return expression
        if expression.could_extract_minus_sign():
            return -self._share(-expression)
        if expression not in self._found:
            symbol = sympy.Symbol(f"{self._prefix}{len(self._found)}_", real=True)
            self._found[expression] = symbol
        return self._found[expression]


class _Once:
    """Computes once what is costly and what SymPy writes in several ways.

    These are the exponential of a number and of its multiples, the inverse of a number and its
    powers, and the logistic function of a number and of its negative: the last two share an
    exponential and a division once they are functions of the same number.

    Parameters
    ----------
    names : iterator of Symbol
        Names for the lines.
    """

    def __init__(self, names: Iterator[sympy.Symbol]) -> None:
        self.lines: list[tuple[sympy.Symbol, sympy.Expr]] = []
        self._names = names
        self._found: dict[sympy.Expr, sympy.Symbol] = {}

    def in_(self, expression: sympy.Expr) -> sympy.Expr:
        """Rewrite an expression by symbols of lines, which are added where they are missing."""
        if not expression.args:
            return expression
        if isinstance(expression, sympy.exp):
            times, of = expression.args[0].as_coeff_Mul()
            if times in range(1, 9):
                return self._line(sympy.exp(self.in_(of))) ** times
        if isinstance(expression, sympy.Pow) and expression.exp in range(-8, 0):
            inverse = sympy.Pow(self.in_(expression.base), -1, evaluate=False)
            return self._line(inverse) ** -expression.exp
        if isinstance(expression, logistic):
            of = sympy.expand(self.in_(expression.args[0]))
            negative = sympy.expand(-of)
            return logistic(-self._found[negative] if negative in self._found else self._line(of))
        return expression.func(*(self.in_(part) for part in expression.args))

    def _line(self, value: sympy.Expr) -> sympy.Symbol:
        if value.is_Symbol:
            self._found[value] = value
        elif value not in self._found:
            self._found[value] = next(self._names)
            self.lines.append((self._found[value], value))
        return self._found[value]


def _sign(symbol: Any) -> dict[str, bool]:
    return {"positive": True} if symbol.is_positive else {}


def _as_float(text: str) -> str:
    return f"{text}.0" if text.lstrip("-").isdigit() else text


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def function(name: str, arguments: str, body: Sequence[str]) -> str:
    """Write a function of lanes from the lines of its body."""
    return "\n".join([f"def {name}({arguments}):", *_indent(body or ["pass"])])
