"""Turn the equations of a model into numba source: right-hand side, sensitivities, outputs.

SymPy derives every derivative from the equation text, so value and gradient cannot disagree.
What depends on parameters only is computed once per solve; sensitivities that are zero by
structure, or never change, are not integrated; common subexpressions are shared.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sympy
from sympy.core.relational import Relational

from carkinetics.errors import SolverError
from carkinetics.solve.printer import Printer

if TYPE_CHECKING:
    from carkinetics.model import System

_BEGIN, _END = "# --- model: begin ---", "# --- model: end ---"
_FEATURES = re.compile(
    r" *# --- curve features: begin ---\n(.*?) *# --- curve features: end ---\n", re.DOTALL
)


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


def generate(system: System, *, curves: bool = False) -> str:
    """Write the source of a solver module for a system.

    Parameters
    ----------
    system : System
        Expanded scalar equations of a model.
    curves : bool
        Whether the solver also gives maxima and areas.

    Returns
    -------
    str
        Python source with a function ``solve``, and ``solve_curves`` if `curves`; see
        ``stepper_template.py`` for their signatures. Without `curves` nothing of it is in the
        source, so that a plain fit neither compiles nor runs it.
    """
    template = _FEATURES.sub(r"\1" if curves else "", _text_of("stepper_template.py"))
    if system.absent:
        listed = ", ".join(system.absent)
        raise SolverError(f"no value for {listed}; give them with model.with_values(...)")
    if system.doses or system.event_inputs or not system.levels:
        raise SolverError(
            "the compiled solver takes no doses after day 0, no days of events that differ between "
            "patients and no model without an assay; solve_states of carkinetics.solve.trajectory "
            "does"
        )
    head, rest = template.split(_BEGIN)
    _, tail = rest.split(_END)
    # Machine code is cached with the source; these functions are compiled into it.
    functions = f"# fastmath {source_hash(_text_of('fastmath.py'))}\n"
    if curves:
        functions += f"# curve_features {source_hash(_text_of('curve_features.py'))}\n"
    return f"{head}{functions}{_model_code(solvable(system), curves)}{tail.rstrip()}\n"


def source_hash(source: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of generated source."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


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


def _text_of(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _model_code(equations: Solvable, curves: bool) -> str:
    sens = _sensitivities(equations)
    outputs = _output_expressions(equations, sens.where)
    printer = Printer(equations, sens.symbols)
    hoisted, groups = printer.hoist(
        (
            equations.rates,
            sens.rates,
            outputs.levels,
            outputs.slopes,
            outputs.jacobian,
            _level_scales(equations),
        )
    )
    rates, sens_rates, levels, slopes, jacobian, scales = groups
    n_par = len(equations.parameters)
    sizes = (len(rates), n_par, len(hoisted), len(sens_rates), len(levels))
    days = switch_days(equations)
    before = [math.nextafter(day, -math.inf) for day in days]
    after = [math.nextafter(day, math.inf) for day in days]
    of_lanes = [
        printer.lane_function(
            "output_lanes", "t, y, p, c, out", [*levels, *slopes], "out", floored=True
        ),
        printer.lane_function(
            "output_sensitivity_lanes",
            "t, y, s, p, c, jacobian",
            jacobian,
            "jacobian",
            floored=True,
        ),
    ]
    return "\n\n".join(
        [
            f"N_STATE, N_PAR, N_SHARED, N_SENS, N_OUT = {', '.join(map(str, sizes))}\n"
            f"LOG_SCALE = np.array({list(equations.log_scale)})\n"
            f"BEFORE, AFTER = np.array({before}, np.float64), np.array({after}, np.float64)",
            printer.start_function("prepare", "p, c, lane", hoisted, ("c", "")),
            printer.start_function(
                "start", "p, c, y, s, lane", (*equations.start, *sens.start), ("y", "s")
            ),
            printer.lane_function("right_side", "t, y, p, c, dy", rates, "dy"),
            printer.lane_function("sensitivity_side", "t, y, s, p, c, ds", sens_rates, "ds"),
            printer.lane_function("level_scale", "t, y, p, c, scale", scales, "scale"),
            printer.point_function(
                "output", "t, y, p, c, lane, level, slope", {"level": levels, "slope": slopes}
            ),
            printer.jacobian_function(jacobian, n_par),
            *(of_lanes if curves else ()),
        ]
    )


@dataclass(frozen=True)
class _Sensitivities:
    """What is integrated to get derivatives of the states, and where each is found."""

    symbols: list[sympy.Symbol]
    start: list[sympy.Expr]
    rates: list[sympy.Expr]
    where: dict[tuple[int, int], sympy.Expr]


def _sensitivities(equations: Solvable) -> _Sensitivities:
    start = {
        (i, q): sympy.diff(equations.start[i], equations.parameters[q])
        for i, q in equations.sensitivities
    }
    symbols = {pair: sympy.Symbol(f"sens_{k}", real=True) for k, pair in enumerate(start)}
    where: dict[tuple[int, int], sympy.Expr] = dict(symbols)
    while True:
        rates = {
            (i, q): _total_derivative(equations.rates[i], q, equations, where) for i, q in symbols
        }
        constant = [pair for pair, rate in rates.items() if rate == 0]
        if not constant:
            break
        # A derivative that never changes is what it is at the start, a function of parameters.
        for pair in constant:
            where[pair] = start[pair]
            del symbols[pair]
    return _Sensitivities(
        list(symbols.values()), [start[pair] for pair in symbols], list(rates.values()), where
    )


def _total_derivative(
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


def _level_scales(equations: Solvable) -> list[sympy.Expr]:
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


@dataclass(frozen=True)
class _Outputs:
    levels: list[sympy.Expr]
    slopes: list[sympy.Expr]
    jacobian: list[sympy.Expr]


def _output_expressions(
    equations: Solvable, where: Mapping[tuple[int, int], sympy.Expr]
) -> _Outputs:
    levels, slopes = log_levels_and_slopes(equations)
    jacobian = [
        _total_derivative(log_level, q, equations, where)
        for log_level in levels
        for q in range(len(equations.parameters))
    ]
    return _Outputs(levels, slopes, jacobian)


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
