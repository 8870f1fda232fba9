"""Write what the implicit method needs beside the equations: matrix, second derivatives, time."""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from carkinetics.solve.elimination import elimination_lines, plan_elimination, solution_lines
from carkinetics.solve.printer import Printer, function
from carkinetics.solve.sensitivities import Sensitivities, total_derivative
from carkinetics.solve.solvable import Solvable


def linear_code(
    printer: Printer,
    equations: Solvable,
    sens: Sensitivities,
    increments: Sequence[sympy.Symbol],
) -> list[str]:
    """Write the functions of `carkinetics.solve.implicit.Linear`, and its value ``LINEAR``.

    Parameters
    ----------
    printer : Printer
        Knows all symbols.
    equations : Solvable
        The system in solver coordinates.
    sens : Sensitivities
        One symbol for every pair.
    increments : sequence of Symbol
        What the method adds to the states at a stage.
    """
    states, n = equations.states, len(equations.states)
    pairs = [pair for symbol in sens.symbols for pair, s in sens.where.items() if s is symbol]
    entries = {
        (i, j): sympy.diff(rate, state)
        for i, rate in enumerate(equations.rates)
        for j, state in enumerate(states)
        if state in rate.free_symbols
    }
    # The matrix times the increments; its derivative by the parameters, increments held fixed.
    products = [
        sympy.Add(*(entries[i, j] * increments[j] for j in range(n) if (i, j) in entries))
        for i in range(n)
    ]
    bent = [total_derivative(products[i], q, equations, sens.where) for i, q in pairs]
    in_time = [sympy.diff(rate, equations.time) for rate in equations.rates]
    s_in_time = [total_derivative(in_time[i], q, equations, sens.where) for i, q in pairs]
    _, groups = printer.hoist((list(entries.values()), bent, in_time, s_in_time))
    matrix, bent, in_time, s_in_time = groups
    second, bent = printer.remember(bent, "w")
    plan = plan_elimination(n, entries)
    lines, texts = printer.values([*matrix, *second])
    stores = [f"store(second, {i}, {text})" for i, text in enumerate(texts[len(matrix) :])]
    factorization = elimination_lines(plan, dict(zip(entries, texts, strict=False)))
    columns: dict[int, dict[int, str]] = {}
    for number, (i, q) in enumerate(pairs):
        columns.setdefault(q, {})[i] = f"stage * N_SENS + {number}"
    rows = {i: f"stage * N_STATE + {i}" for i in range(n)}
    return [
        function("factor", "shift, t, y, p, c, factors, second", [*lines, *stores, *factorization]),
        function("solve_states", "stage, factors, k", solution_lines(plan, rows)),
        function(
            "solve_sensitivities",
            "stage, factors, k",
            [line for column in columns.values() for line in solution_lines(plan, column)],
        ),
        printer.lane_function(
            "bend", "stage, second, s, k, p, c, bent", {"bent": bent}, place="stage"
        ),
        printer.lane_function(
            "slopes_in_time",
            "t, y, s, p, c, in_time, s_in_time",
            {"in_time": in_time, "s_in_time": s_in_time},
        ),
        "LINEAR = implicit.Linear(\n"
        "    factor, solve_states, solve_sensitivities, bend, slopes_in_time, "
        f"{len(plan.place)}, {len(second)}\n)",
    ]
