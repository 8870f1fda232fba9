"""Which derivatives of the states have to be integrated, and how the others follow from them.

Fewer than states times parameters, for three reasons, each found from the equations and each exact:
a state does not depend on a parameter; a derivative never changes, or is a multiple of its state;
several parameters act only through one number, so that one derivative serves them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy

from carkinetics.solve.solvable import Solvable

# Pairs (state, parameter).
Where = dict[tuple[int, int], sympy.Expr]


@dataclass(frozen=True)
class Sensitivities:
    """What is integrated to get derivatives of the states, and where each is found.

    Attributes
    ----------
    symbols : list of Symbol
        One per derivative that is integrated.
    start, rates : list of Expr
        Its value on day 0, and its derivative by time.
    where : dict of (int, int) to Expr
        The derivative of a state by a parameter, of these symbols, states and parameters. A pair
        that is not listed is zero.
    """

    symbols: list[sympy.Symbol]
    start: list[sympy.Expr]
    rates: list[sympy.Expr]
    where: Where


def sensitivities(equations: Solvable) -> Sensitivities:
    """Choose what to integrate: derivatives by the parameters, or by what they act through."""
    direct = _reduced(equations)
    through, acting = acting_numbers(equations)
    if len(acting) >= len(equations.states) * len(equations.parameters):
        return direct
    indirect = _by_chain_rule(_reduced(through), acting, equations)
    return indirect if len(indirect.symbols) < len(direct.symbols) else direct


def all_sensitivities(equations: Solvable) -> Sensitivities:
    """Integrate the derivative of every state by every parameter that it depends on."""
    start = _start(equations)
    where: Where = {pair: sympy.Symbol(f"sens_{k}", real=True) for k, pair in enumerate(start)}
    rates = [total_derivative(equations.rates[i], q, equations, where) for i, q in start]
    return Sensitivities(list(where.values()), list(start.values()), rates, where)


def _start(equations: Solvable) -> Where:
    return {
        (i, q): sympy.diff(equations.start[i], equations.parameters[q])
        for i, q in equations.sensitivities
    }


def in_groups(sens: Sensitivities, size: int) -> tuple[Sensitivities, list[int]]:
    """Put next to each other what is integrated together.

    Parameters
    ----------
    sens : Sensitivities
        What is integrated.
    size : int
        Derivatives in a group, unless more than that need each other.

    Returns
    -------
    sens : Sensitivities
        The same in another order.
    ends : list of int
        Numbers after the last derivative of each group. No rate needs a derivative of another
        group.
    """
    sets = {symbol: [symbol] for symbol in sens.symbols}
    for symbol, rate in zip(sens.symbols, sens.rates, strict=True):
        for other in sens.symbols:
            if other in rate.free_symbols and sets[other] is not sets[symbol]:
                sets[symbol] += sets[other]
                sets |= dict.fromkeys(sets[other], sets[symbol])
    order: list[sympy.Symbol] = []
    ends: list[int] = []
    for together in {id(found): found for found in sets.values()}.values():
        order += together
        begin = ends[-2] if len(ends) > 1 else 0
        if ends and len(order) - begin <= size:
            ends.pop()
        ends.append(len(order))
    places = [sens.symbols.index(symbol) for symbol in order]
    start, rates = ([values[k] for k in places] for values in (sens.start, sens.rates))
    return Sensitivities(order, start, rates, sens.where), ends


def total_derivative(
    expression: sympy.Expr,
    parameter: int,
    equations: Solvable,
    where: Mapping[tuple[int, int], sympy.Expr],
) -> sympy.Expr:
    """Derive by a parameter, directly and through every state."""
    result = sympy.diff(expression, equations.parameters[parameter])
    for j, state in enumerate(equations.states):
        if (j, parameter) in where and state in expression.free_symbols:
            result += sympy.diff(expression, state) * where[j, parameter]
    return result


def _reduced(equations: Solvable) -> Sensitivities:
    """Leave out what never changes, and what is a multiple of its state."""
    start = _start(equations)
    symbols = {pair: sympy.Symbol(f"sens_{k}", real=True) for k, pair in enumerate(start)}
    # First everything is taken for constant. What contradicts that is integrated, until nothing
    # does: then the rest satisfies its own equations, which have one solution only.
    where: Where = dict(start)
    while True:
        changing = [
            (i, q)
            for i, q in where
            if (i, q) in start
            and where[i, q] is not symbols[i, q]
            and not _vanishes(total_derivative(equations.rates[i], q, equations, where))
        ]
        if not changing:
            break
        for pair in changing:
            where[pair] = symbols[pair]
    for i, q in start:
        if where[i, q] is symbols[i, q]:
            for multiple in _multiples(i, q, equations, start):
                tried = where | {(i, q): multiple * equations.states[i]}
                rate = total_derivative(equations.rates[i], q, equations, tried)
                if _vanishes(rate - multiple * equations.rates[i]):
                    where = tried
                    break
    kept = [pair for pair in start if where[pair] is symbols[pair]]
    return Sensitivities(
        [symbols[pair] for pair in kept],
        [start[pair] for pair in kept],
        [total_derivative(equations.rates[i], q, equations, where) for i, q in kept],
        where,
    )


def _multiples(i: int, q: int, equations: Solvable, start: Where) -> Iterator[sympy.Expr]:
    """Give factors by which the derivative could be its state, right on day 0."""
    if equations.log_scale[i]:
        return
    factors = [1 / equations.parameters[q]]
    factors += [start[j, q] for j, log in enumerate(equations.log_scale) if log and (j, q) in start]
    for factor in factors:
        if factor != 0 and _vanishes(factor * equations.start[i] - start[i, q]):
            yield factor


def _vanishes(expression: sympy.Expr) -> bool:
    """Return whether an expression is zero whatever its symbols are."""
    if expression == 0:
        return True
    # At some odd place first: a number that is not zero there costs little.
    symbols = sorted(expression.free_symbols, key=str)
    place = {s: sympy.Float(0.3 + 0.061 * ((7 * k) % 11), 30) for k, s in enumerate(symbols)}
    value = expression.xreplace(place).evalf(20)
    if not value.is_number or abs(value) > 1e-15:
        return False
    return bool(sympy.expand(expression) == 0 or sympy.simplify(expression) == 0)


def acting_numbers(equations: Solvable) -> tuple[Solvable, dict[sympy.Symbol, sympy.Expr]]:
    """Rewrite starts and rates in the numbers through which the parameters act.

    These are: the start of each state, the factor of each term of a rate that depends on time or
    states, and whatever inside such a term depends on parameters alone.

    Returns
    -------
    equations : Solvable
        The same, with these numbers for parameters; levels stay as they are.
    acting : dict of Symbol to Expr
        Each number, and what it is of the parameters.
    """
    found: dict[sympy.Expr, sympy.Symbol] = {}
    varying = {equations.time, *equations.states}

    def stand_in(expression: sympy.Expr) -> sympy.Expr:
        number, rest = sympy.expand(expression).as_coeff_Mul()
        if not rest.free_symbols:
            return expression
        if rest.could_extract_minus_sign():
            number, rest = -number, sympy.expand(-rest)
        if rest not in found:
            positive = rest.is_Symbol and rest.is_positive
            found[rest] = sympy.Symbol(f"acting_{len(found)}", real=True, positive=positive or None)
        return number * found[rest]

    def inside(expression: sympy.Expr) -> sympy.Expr:
        symbols = expression.free_symbols
        if not symbols & varying:
            return stand_in(expression)
        if isinstance(expression, sympy.Symbol):
            return expression
        if isinstance(expression, sympy.Piecewise):
            # A condition is compared and not derived: it keeps its parameters.
            return sympy.Piecewise(*((inside(value), c) for value, c in expression.args))
        if isinstance(expression, (sympy.Add, sympy.Mul)):
            fixed = [a for a in expression.args if not a.free_symbols & varying]
            moving = [inside(a) for a in expression.args if a.free_symbols & varying]
            if fixed:
                moving.append(stand_in(expression.func(*fixed)))
            return expression.func(*moving)
        return expression.func(*(inside(a) for a in expression.args))

    def rate(expression: sympy.Expr) -> sympy.Expr:
        factors: dict[sympy.Expr, sympy.Expr] = {}
        for term in sympy.Add.make_args(sympy.expand(expression, deep=False)):
            fixed, moving = term.as_independent(*varying, as_Add=False)
            factors[moving] = factors.get(moving, sympy.Integer(0)) + fixed
        return sympy.Add(*(stand_in(f) * inside(moving) for moving, f in factors.items()))

    rates = tuple(rate(expression) for expression in equations.rates)
    start = tuple(stand_in(expression) for expression in equations.start)
    acting = {symbol: expression for expression, symbol in found.items()}
    return dataclasses.replace(
        equations, parameters=tuple(acting), rates=rates, start=start
    ), acting


def _by_chain_rule(
    reduced: Sensitivities, acting: Mapping[sympy.Symbol, sympy.Expr], equations: Solvable
) -> Sensitivities:
    """Return derivatives by the parameters from those by the numbers they act through."""
    back = dict(acting)
    where: Where = {}
    for (i, k), derivative in reduced.where.items():
        expression = list(acting.values())[k]
        for q, parameter in enumerate(equations.parameters):
            if parameter in expression.free_symbols:
                part = sympy.diff(expression, parameter) * derivative.xreplace(back)
                where[i, q] = where.get((i, q), sympy.Integer(0)) + part
    return Sensitivities(
        reduced.symbols,
        [value.xreplace(back) for value in reduced.start],
        [rate.xreplace(back) for rate in reduced.rates],
        where,
    )
