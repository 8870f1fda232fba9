"""Write what the reverse sweep needs of one model: its equations backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy

from carkinetics.solve.printer import Printer
from carkinetics.solve.sensitivities import acting_numbers
from carkinetics.solve.solvable import Solvable


@dataclass(frozen=True)
class Backwards:
    """The equations of the sweep, by the numbers through which the parameters act.

    Attributes
    ----------
    cotangents : dict of str to list of Symbol
        Symbols of what the sweep carries, by their letters in `Printer`.
    states, acting : list of Expr
        What the slopes at a stage give the states and, in sums, the first of the acting numbers.
    output_states, output_direct : list of Expr
        What the log levels give the states, and the numbers that they depend on directly.
    parameters : list of Expr
        What the states of day 0 and all acting numbers give the parameters.
    """

    cotangents: dict[str, list[sympy.Symbol]]
    states: list[sympy.Expr]
    acting: list[sympy.Expr]
    output_states: list[sympy.Expr]
    output_direct: list[sympy.Expr]
    parameters: list[sympy.Expr]

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers that the template needs."""
        return {
            "N_ACTING": len(self.cotangents["a"]),
            "FIRST_DIRECT": len(self.acting),
            "N_DIRECT": len(self.output_direct),
        }


def backwards(equations: Solvable, log_levels: list[sympy.Expr]) -> Backwards:
    """Derive the equations of the sweep."""
    through, values = acting_numbers(equations)
    in_rates = {symbol for rate in through.rates for symbol in rate.free_symbols}
    moving = [symbol for symbol in values if symbol in in_rates]
    direct = [
        q for q in equations.parameters if any(q in level.free_symbols for level in log_levels)
    ]
    only_start = [symbol for symbol in values if symbol not in in_rates]
    of_slopes, of_states = (_symbols(letter, len(equations.states)) for letter in "bl")
    of_levels = _symbols("g", len(log_levels))
    of_acting = _symbols("a", len(moving) + len(direct) + len(only_start))
    slopes = _sum(of_slopes, through.rates)
    outputs = _sum(of_levels, log_levels)
    starts = _sum(of_states, through.start)
    values |= {q: q for q in direct}
    total = [
        (values[number], carried + sympy.diff(starts, number))
        for number, carried in zip([*moving, *direct, *only_start], of_acting, strict=True)
    ]
    return Backwards(
        {"b": of_slopes, "a": of_acting, "g": of_levels, "l": of_states},
        [sympy.diff(slopes, y).xreplace(values) for y in equations.states],
        [
            carried + sympy.diff(slopes, number).xreplace(values)
            for number, carried in zip(moving, of_acting, strict=False)
        ],
        [sympy.diff(outputs, y) for y in equations.states],
        [sympy.diff(outputs, q) for q in direct],
        [
            sympy.Add(*(whole * sympy.diff(value, q) for value, whole in total))
            for q in equations.parameters
        ],
    )


def sweep_functions(printer: Printer, found: Backwards) -> list[str]:
    """Write the functions of ``sweep_template.py`` for one model; `found` has been hoisted."""
    return [
        printer.lane_function(
            "pull_back",
            "stage, t, y, p, c, of_slopes, of_states, of_acting",
            {"of_states at stage * N_STATE": found.states, "of_acting": found.acting},
            place="stage",
        ),
        printer.lane_function(
            "output_back",
            "t, y, p, c, of_levels, of_states, of_acting",
            {"of_states": found.output_states, "of_acting": found.output_direct},
            floored=True,
        ),
        printer.lane_function(
            "start_back", "p, of_acting, of_states, of_p", {"of_p": found.parameters}
        ),
    ]


def _symbols(letter: str, number: int) -> list[sympy.Symbol]:
    return [sympy.Symbol(f"cotangent_{letter}{i}", real=True) for i in range(number)]


def _sum(cotangents: Sequence[sympy.Symbol], values: Sequence[sympy.Expr]) -> sympy.Expr:
    pairs = zip(cotangents, values, strict=True)
    return sympy.Add(*(cotangent * value for cotangent, value in pairs))
