"""Write the function that adds doses to states, and to their derivatives by the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sympy

from carkinetics.equations.functions import softplus
from carkinetics.solve.printer import Printer, function
from carkinetics.solve.sensitivities import Sensitivities, total_derivative
from carkinetics.solve.solvable import Solvable, switch_days

if TYPE_CHECKING:
    from carkinetics.model.system import Dose


def dose_function(
    printer: Printer,
    doses: Sequence[Dose],
    equations: Solvable,
    sens: Sensitivities,
) -> tuple[list[tuple[float, bool]], str]:
    """Merge known days and doses, whose states are numbered as in the equations.

    Returns
    -------
    events : list of (float, bool)
        Days in rising order, and whether a dose enters then.
    source : str
        Function ``take_dose``.
    """
    dosed = {dose.day for dose in doses}
    events = [(day, day in dosed) for day in sorted(dosed | set(switch_days(equations)))]
    pairs = {symbol: pair for pair, symbol in sens.where.items()}
    body = []
    for number, (day, has_dose) in enumerate(events):
        if not has_dose:
            continue
        after: list[sympy.Expr] = list(equations.states)
        for dose in doses:
            if dose.day == day and equations.log_scale[dose.state]:
                log_amount = sympy.expand_log(sympy.log(dose.amount), force=True)
                after[dose.state] += softplus(log_amount - after[dose.state])
            elif dose.day == day:
                after[dose.state] += dose.amount
        derivatives = [
            total_derivative(after[pairs[symbol][0]], pairs[symbol][1], equations, sens.where)
            for symbol in sens.symbols
        ]
        lines = printer.lane_function("unused", "", {"new_y": after, "new_s": derivatives})
        body += [f"with when(event == {number}):", *lines.splitlines()[1:]]
    return events, function("take_dose", "event, p, c, y, s, new_y, new_s", body)
