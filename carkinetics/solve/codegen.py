"""Turn the equations of a model into numba source: right-hand side, sensitivities, outputs.

SymPy derives every derivative from the equation text, so value and gradient cannot disagree.
What depends on parameters only is computed once per solve; sensitivities that are zero by
structure are not integrated; common subexpressions are shared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sympy

from carkinetics.solve.printer import Printer

if TYPE_CHECKING:
    from carkinetics.model import System

# Weight below which a state on its natural scale counts as zero, in units of that state.
_FLOOR = 1e-6
_BEGIN, _END = "# --- model: begin ---", "# --- model: end ---"


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
                gained = set().union(*(depends[j] for j in others)) - depends[i] if others else set()
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
        parameters=tuple(system.parameter_symbols),
        log_scale=tuple(system.log_scale),
        start=tuple(starts),
        rates=tuple(rates),
        levels=tuple(level.xreplace(back) for level in system.levels),
    )


def generate(system: System) -> str:
    """Write the source of a solver module for a system.

    Parameters
    ----------
    system : System
        Expanded scalar equations of a model.

    Returns
    -------
    str
        Python source with a function ``solve``; see ``stepper_template.py`` for its signature.
    """
    template = Path(__file__).with_name("stepper_template.py").read_text(encoding="utf-8")
    head, rest = template.split(_BEGIN)
    _, tail = rest.split(_END)
    return head + _model_code(solvable(system)) + tail


def source_hash(source: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of generated source."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _model_code(equations: Solvable) -> str:
    pairs = equations.sensitivities
    sens = [sympy.Symbol(f"sens_{k}", real=True) for k in range(len(pairs))]
    where = {pair: symbol for pair, symbol in zip(pairs, sens, strict=True)}
    sens_rates = [
        _total_derivative(equations.rates[i], q, equations, where) for i, q in pairs
    ]
    level_rows = _output_expressions(equations, where)
    printer = Printer(equations, sens)
    hoisted, groups = printer.hoist(
        [list(equations.rates), sens_rates, level_rows.levels, level_rows.slopes,
         level_rows.jacobian]  # fmt: skip
    )
    rates, sens_rates, levels, slopes, jacobian = groups
    start = [sympy.sympify(e) for e in equations.start]
    start += [sympy.diff(equations.start[i], equations.parameters[q]) for i, q in pairs]
    floor = [-1.0 if log else _FLOOR for log in equations.log_scale]
    n_par = len(equations.parameters)
    sizes = (len(equations.states), n_par, len(hoisted), len(pairs), len(equations.levels))
    return "\n\n".join(
        [
            f"\nN_STATE, N_PAR, N_SHARED, N_SENS, N_OUT = {', '.join(map(str, sizes))}\n"
            f"FLOOR = np.array({floor})",
            printer.lane_function("prepare", "p, c", hoisted, "c"),
            printer.start_function(start, len(equations.states)),
            printer.lane_function("right_side", "t, y, p, c, dy", rates, "dy"),
            printer.lane_function("sensitivity_side", "t, y, s, p, c, ds", sens_rates, "ds"),
            printer.point_function(
                "output", "t, y, p, c, lane, level, slope", {"level": levels, "slope": slopes}
            ),
            printer.jacobian_function(jacobian, n_par),
        ]
    )


def _total_derivative(
    expression: sympy.Expr,
    parameter: int,
    equations: Solvable,
    where: dict[tuple[int, int], sympy.Symbol],
) -> sympy.Expr:
    """Derive by a parameter, directly and through every state."""
    result = sympy.diff(expression, equations.parameters[parameter])
    for j, state in enumerate(equations.states):
        if (j, parameter) in where and state in expression.free_symbols:
            result += sympy.diff(expression, state) * where[j, parameter]
    return result


@dataclass(frozen=True)
class _Outputs:
    levels: list[sympy.Expr]
    slopes: list[sympy.Expr]
    jacobian: list[sympy.Expr]


def _output_expressions(
    equations: Solvable, where: dict[tuple[int, int], sympy.Symbol]
) -> _Outputs:
    levels, slopes, jacobian = [], [], []
    for level in equations.levels:
        log_level = sympy.log(level)
        if isinstance(level, sympy.exp):
            log_level = level.args[0]
        levels.append(log_level)
        slope = sympy.diff(log_level, equations.time)
        for state, rate in zip(equations.states, equations.rates, strict=True):
            slope += sympy.diff(log_level, state) * rate
        slopes.append(slope)
        jacobian += [
            _total_derivative(log_level, q, equations, where)
            for q in range(len(equations.parameters))
        ]
    return _Outputs(levels, slopes, jacobian)
