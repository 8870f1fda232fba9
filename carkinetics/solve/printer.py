"""Print SymPy expressions as numba source, with shared subexpressions and hoisted constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sympy
from sympy.printing.pycode import PythonCodePrinter

if TYPE_CHECKING:
    from carkinetics.solve.codegen import Solvable


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
            return f"np.sqrt({self._print(base)})"
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
    """

    def __init__(self, equations: Solvable, sensitivities: Sequence[sympy.Symbol]) -> None:
        self._equations = equations
        self._code = NumbaPrinter({"fully_qualified_modules": False})
        plain = {equations.time: sympy.Symbol("t_", real=True)}
        for prefix, symbols in (
            ("y", equations.states),
            ("p", equations.parameters),
            ("s", sensitivities),
        ):
            for i, symbol in enumerate(symbols):
                # Generated names never come from the model, so none can be captured.
                plain[symbol] = sympy.Symbol(f"{prefix}{i}_", real=True, **_sign(symbol))
        self._plain = plain
        self._varying = {plain[s] for s in (equations.time, *equations.states, *sensitivities)}
        self._shared: dict[sympy.Expr, sympy.Symbol] = {}

    def hoist(
        self, groups: Sequence[Sequence[sympy.Expr]]
    ) -> tuple[list[sympy.Expr], list[list[sympy.Expr]]]:
        """Pull out what depends on parameters only; return it and the groups rewritten."""
        rewritten = [[self._hoisted(e.xreplace(self._plain)) for e in group] for group in groups]
        return list(self._shared), rewritten

    def lane_function(
        self,
        name: str,
        arguments: str,
        expressions: Sequence[sympy.Expr],
        target: str,
        floored: bool = False,
    ) -> str:
        """Write a function that computes all expressions for eight lanes.

        With `floored` it is an output: no logarithm of a state is read below ``LOWEST_LOG``.
        """
        lines, results = self._body(expressions)
        reads = self._reads(expressions, "[{i} * 8 + lane]", floored)
        stores = [f"{target}[{i} * 8 + lane] = {r}" for i, r in enumerate(results)]
        # A trip count known to the compiler would be unrolled before it can be vectorized.
        body = [*reads, *lines, *stores] or ["pass"]
        return _function(name, arguments, ["for lane in range(t.shape[0]):", *_indent(body)])

    def start_function(
        self,
        name: str,
        arguments: str,
        expressions: Sequence[sympy.Expr],
        targets: tuple[str, str],
    ) -> str:
        """Write a function of the parameters of one lane.

        The first results, one per state, go to the first target, the others to the second; with
        an empty second target all go to the first.
        """
        plain = [e.xreplace(self._plain) for e in expressions]
        lines, results = self._body(plain)
        first = len(self._equations.states) if targets[1] else len(results)
        stores = [f"{targets[0]}[{i} * 8 + lane] = {r}" for i, r in enumerate(results[:first])]
        stores += [f"{targets[1]}[{i} * 8 + lane] = {r}" for i, r in enumerate(results[first:])]
        return _function(name, arguments, [*self._reads(plain, None), *lines, *stores])

    def point_function(
        self, name: str, arguments: str, targets: Mapping[str, Sequence[sympy.Expr]]
    ) -> str:
        """Write a function for one lane at one time; states come without a lane index."""
        expressions = [e for group in targets.values() for e in group]
        lines, results = self._body(expressions)
        names = [f"{target}[{i}]" for target, group in targets.items() for i in range(len(group))]
        stores = [f"{n} = {r}" for n, r in zip(names, results, strict=True)]
        return _function(
            name, arguments, [*self._reads(expressions, "[{i}]", floored=True), *lines, *stores]
        )

    def jacobian_function(self, expressions: Sequence[sympy.Expr], n_par: int) -> str:
        """Write the derivatives of the log levels by the parameters."""
        lines, results = self._body(expressions)
        stores = [f"jacobian[{k // n_par}, {k % n_par}] = {r}" for k, r in enumerate(results)]
        body = [*self._reads(expressions, "[{i}]", floored=True), *lines, *stores]
        return _function("output_sensitivity", "t, y, s, p, c, lane, jacobian", body)

    def _hoisted(self, expression: sympy.Expr) -> sympy.Expr:
        """Replace the largest parts without time, state or sensitivity by shared symbols."""
        if not expression.free_symbols & self._varying:
            return self._share(expression)
        if isinstance(expression, sympy.Symbol):
            return expression
        if isinstance(expression, (sympy.Add, sympy.Mul)):
            fixed = [a for a in expression.args if not a.free_symbols & self._varying]
            moving = [self._hoisted(a) for a in expression.args if a.free_symbols & self._varying]
            if fixed:
                moving.append(self._share(expression.func(*fixed)))
            return expression.func(*moving)
        if isinstance(expression, sympy.Piecewise):
            # Only values are shared: a branch is a pair, and a condition is no number.
            branches = [(self._hoisted(value), condition) for value, condition in expression.args]
            return sympy.Piecewise(*branches)
        return expression.func(*(self._hoisted(a) for a in expression.args))

    def _share(self, expression: sympy.Expr) -> sympy.Expr:
        if expression.is_number or not expression.free_symbols:
            return expression
        if expression not in self._shared:
            symbol = sympy.Symbol(f"c{len(self._shared)}_", real=True)
            self._shared[expression] = symbol
        return self._shared[expression]

    def _body(self, expressions: Sequence[sympy.Expr]) -> tuple[list[str], list[str]]:
        names = sympy.numbered_symbols("x", real=True)
        shared, reduced = sympy.cse(list(expressions), symbols=names, order="none")
        lines = [f"{symbol} = {self._code.doprint(value)}" for symbol, value in shared]
        return lines, [_as_float(self._code.doprint(e)) for e in reduced]

    def _reads(
        self,
        expressions: Iterable[sympy.Expr],
        state_index: str | None,
        floored: bool = False,
    ) -> list[str]:
        """Write the loads of the symbols that the expressions use."""
        used = sorted({str(s) for e in expressions for s in e.free_symbols})
        lines = []
        for name in used:
            kind, index = name[0], name[1:-1]
            if kind == "t":
                lines.append("t_ = t[lane]" if state_index == "[{i} * 8 + lane]" else "t_ = t")
            elif kind in "pc":
                lines.append(f"{name} = {kind}[{index} * 8 + lane]")
            else:
                assert state_index is not None
                value = f"{kind}{state_index.format(i=index)}"
                if floored and kind == "y" and self._equations.log_scale[int(index)]:
                    # Written so that NaN stays NaN.
                    value = f"LOWEST_LOG if {value} < LOWEST_LOG else {value}"
                lines.append(f"{name} = {value}")
        return lines


def _sign(symbol: Any) -> dict[str, bool]:
    return {"positive": True} if symbol.is_positive else {}


def _as_float(text: str) -> str:
    return f"{text}.0" if text.lstrip("-").isdigit() else text


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _function(name: str, arguments: str, body: Sequence[str]) -> str:
    decorator = '@njit(error_model="numpy", fastmath={"contract"})'
    return "\n".join([decorator, f"def {name}({arguments}):", *_indent(body or ["pass"])])
