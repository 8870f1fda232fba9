"""A system in the coordinates of the solver, and what follows from its equations."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy
from sympy.core.relational import Relational

if TYPE_CHECKING:
    from carkinetics.model import System


@dataclass(frozen=True)
class Solvable:
    """The system in the coordinates of the solver: logarithms where the model says so."""

    time: sympy.Symbol
    states: tuple[sympy.Symbol, ...]
    parameters: tuple[sympy.Symbol, ...]
    log_scale: tuple[bool, ...]
    start: tuple[sympy.Expr, ...]
    rates: tuple[sympy.Expr, ...]
    levels: tuple[sympy.Expr, ...]

    @property
    def sensitivities(self) -> tuple[tuple[int, int], ...]:
        """Pairs (state, parameter) whose derivative is not zero by structure."""
        index = {symbol: i for i, symbol in enumerate(self.states)}
        depends = [
            (rate.free_symbols | start.free_symbols) & set(self.parameters)
            for rate, start in zip(self.rates, self.start, strict=True)
        ]
        needs = [{index[s] for s in rate.free_symbols if s in index} for rate in self.rates]
        changed = True
        while changed:
            changed = False
            for i, others in enumerate(needs):
                gained = (
                    set().union(*(depends[j] for j in others)) - depends[i] if others else set()
                )
                if gained:
                    depends[i] |= gained
                    changed = True
        return tuple(
            (i, q)
            for i in range(len(self.states))
            for q, parameter in enumerate(self.parameters)
            if parameter in depends[i]
        )


def solvable(system: System) -> Solvable:
    """Rewrite log-scale states as logarithms: d(ln Y)/dt = (dY/dt) / Y."""
    natural = dict(zip(system.state_symbols, system.log_scale, strict=True))
    logs = {s: sympy.Symbol(f"ln_{i}", real=True) for i, s in enumerate(natural) if natural[s]}
    back = {symbol: sympy.exp(log) for symbol, log in logs.items()}
    rates, starts = [], []
    for symbol, rate, start in zip(system.state_symbols, system.rhs, system.start, strict=True):
        if symbol in logs:
            relative = rate / symbol
            if symbol in relative.free_symbols:
                relative = sympy.expand(relative)
            rates.append(relative.xreplace(back))
            starts.append(sympy.expand_log(sympy.log(start), force=True))
        else:
            rates.append(rate.xreplace(back))
            starts.append(sympy.sympify(start))
    return Solvable(
        time=system.time,
        states=tuple(logs.get(symbol, symbol) for symbol in system.state_symbols),
        parameters=(*system.parameter_symbols, *system.input_symbols),
        log_scale=tuple(system.log_scale),
        start=tuple(starts),
        rates=tuple(rates),
        levels=tuple(level.xreplace(back) for level in system.levels),
    )


def seen_states(equations: Solvable) -> tuple[int, ...]:
    """Return the states that a level depends on, itself or through other states."""
    number = {symbol: i for i, symbol in enumerate(equations.states)}
    seen: set[int] = set()
    found = {s for level in equations.levels for s in level.free_symbols}
    while new := {number[s] for s in found if s in number} - seen:
        seen |= new
        found = {s for i in new for s in equations.rates[i].free_symbols}
    return tuple(sorted(seen))


def of_states(equations: Solvable, kept: tuple[int, ...]) -> Solvable:
    """Return the equations of some of the states, which depend on no other."""
    return dataclasses.replace(
        equations,
        states=tuple(equations.states[i] for i in kept),
        log_scale=tuple(equations.log_scale[i] for i in kept),
        start=tuple(equations.start[i] for i in kept),
        rates=tuple(equations.rates[i] for i in kept),
    )


def known_days(equations: Solvable, known: Collection[sympy.Symbol] = ()) -> tuple[sympy.Expr, ...]:
    """Return the days on which a ``where(t < day, ...)`` switches, as far as they are known.

    Parameters
    ----------
    equations : Solvable
        A system in solver coordinates.
    known : collection of Symbol
        Inputs, on which a day may depend.
    """
    found = []
    for expression in (*equations.rates, *equations.levels):
        for condition in expression.atoms(Relational):
            symbols = condition.free_symbols
            if equations.time in symbols and symbols <= {equations.time, *known}:
                difference = condition.lhs - condition.rhs
                speed = difference.diff(equations.time)
                if speed.is_number and speed != 0:
                    found.append(-difference.subs(equations.time, 0) / speed)
    return tuple(dict.fromkeys(found))


def switch_days(equations: Solvable) -> tuple[float, ...]:
    """Return the known days that are numbers, not before day 0, in rising order."""
    return tuple(sorted({float(day) for day in known_days(equations) if day >= 0}))


def log_levels_and_slopes(equations: Solvable) -> tuple[list[sympy.Expr], list[sympy.Expr]]:
    """Return the log of every level and its derivative by time."""
    levels, slopes = [], []
    for level in equations.levels:
        log_level = sympy.log(level)
        if isinstance(level, sympy.exp):
            log_level = level.args[0]
        levels.append(log_level)
        slope = sympy.diff(log_level, equations.time)
        for state, rate in zip(equations.states, equations.rates, strict=True):
            slope += sympy.diff(log_level, state) * rate
        slopes.append(slope)
    return levels, slopes


def level_scales(equations: Solvable) -> list[sympy.Expr]:
    """Return, for each state, the change of it that would change a log level by one.

    Zero for log-scale states, whose errors are relative anyway, and where no level sees it.
    """
    scales = []
    for state, log in zip(equations.states, equations.log_scale, strict=True):
        seen = [level for level in equations.levels if not log and state in level.free_symbols]
        found = [
            level / sympy.Abs(slope) for level in seen for slope in _branches(level.diff(state))
        ]
        scales.append(sympy.Min(*found) if found else sympy.Integer(0))
    return scales


def _branches(expression: sympy.Expr) -> list[sympy.Expr]:
    """Return what an expression can be, zero excepted, whatever its conditions say."""
    folded = sympy.piecewise_fold(expression)
    values = [v for v, _ in folded.args] if isinstance(folded, sympy.Piecewise) else [folded]
    return [value for value in dict.fromkeys(values) if value != 0]
