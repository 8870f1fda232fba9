"""All states and outputs of single patients over time, by LSODA of SciPy.

Slower than the compiled solver and without derivatives, but there is nothing to compile, and it
takes what that one does not: events on days that differ between patients, and outputs that no assay
sees.

References
----------
Petzold L (1983). Automatic selection of methods for solving stiff and nonstiff systems of
ordinary differential equations. SIAM Journal on Scientific and Statistical Computing 4, 136-148,
doi 10.1137/0904010.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from scipy.integrate import solve_ivp

from carkinetics.equations import NUMERIC
from carkinetics.errors import SolverError, SolverOutcome
from carkinetics.model import System
from carkinetics.solve.solvable import known_days, log_levels_and_slopes, solvable

TOLERANCE = 1e-9
MAX_EVALUATIONS = 200_000
_MODULES: list[Any] = [NUMERIC, "numpy"]


class _TooLong(Exception):
    """The solver has evaluated the equations too often."""


class RightSide:
    """The equations of a system as functions of numbers.

    States are in the coordinates of the solver: the logarithm of a state where the model file
    says ``scale = "log"``. Numbers are the parameters of the system, then its open inputs.

    Parameters
    ----------
    system : System
        Without absent numbers.
    """

    def __init__(self, system: System) -> None:
        if system.absent:
            listed = ", ".join(system.absent)
            raise SolverError(f"no value for {listed}; give them with model.with_values(...)")
        equations = solvable(system)
        time, states, numbers = equations.time, equations.states, equations.parameters
        self.log_scale = np.array(system.log_scale, dtype=bool)
        self._rates = _function((time, states, numbers), equations.rates)
        self._start = _function((numbers,), equations.start)
        self._days = _function((numbers,), known_days(equations, system.input_symbols))
        self._doses = system.doses
        self._amounts = _function((numbers,), [dose.amount for dose in system.doses])
        levels, slopes = log_levels_and_slopes(equations)
        self._levels = _function((time, states, numbers), [*levels, *slopes])
        natural = (time, system.state_symbols, numbers)
        self._outputs = _function(natural, [output for output, _ in system.outputs.values()])

    def rates(self, day: float, state: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the derivative of the states by time [per day], shape (state,)."""
        return np.array(self._rates(day, state, numbers), dtype=float)

    def start(self, numbers: np.ndarray) -> np.ndarray:
        """Return the states on day 0, doses of that day included, shape (state,)."""
        return np.array(self._start(numbers), dtype=float)

    def to_natural(self, states: np.ndarray) -> np.ndarray:
        """Take states, shape (..., state), from solver coordinates to their units."""
        return np.where(self.log_scale, np.exp(np.where(self.log_scale, states, 0.0)), states)

    def log_levels(
        self, days: np.ndarray, states: np.ndarray, numbers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return log levels and their slopes, each of shape (cell_type, day)."""
        found = self._spread(self._levels, days, states, numbers)
        half = len(found) // 2
        return found[:half], found[half:]

    def outputs(self, days: np.ndarray, states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the outputs, shape (output, day)."""
        return self._spread(self._outputs, days, self.to_natural(states), numbers)

    def _spread(
        self, function: Any, days: np.ndarray, states: np.ndarray, numbers: np.ndarray
    ) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = function(days, states.T, numbers)
            rows = [np.broadcast_to(np.asarray(row, dtype=float), days.shape) for row in found]
        return np.stack(rows) if rows else np.empty((0, len(days)))

    def breaks(self, numbers: np.ndarray, last: float) -> list[float]:
        """Return the days strictly between 0 and the last on which something happens."""
        days = {float(day) for day in self._days(numbers)} | {dose.day for dose in self._doses}
        return sorted(day for day in days if 0 < day < last)

    def take_doses(self, day: float, state: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the states after the doses of a day."""
        state = state.copy()
        for dose, amount in zip(self._doses, self._amounts(numbers), strict=True):
            if dose.day == day and self.log_scale[dose.state]:
                state[dose.state] = np.logaddexp(state[dose.state], np.log(amount))
            elif dose.day == day:
                state[dose.state] += amount
        return state


def _function(arguments: Any, expressions: Sequence[sympy.Expr]) -> Any:
    return sympy.lambdify(arguments, list(expressions), modules=_MODULES, cse=True)


@lru_cache(maxsize=64)
def right_side(system: System) -> RightSide:
    """Return the equations of a system as functions; a second call is free."""
    return RightSide(system)


def solve_states(
    equations: RightSide,
    numbers: np.ndarray,
    days: np.ndarray,
    tolerance: float = TOLERANCE,
) -> tuple[np.ndarray, SolverOutcome]:
    """Solve one patient.

    Parameters
    ----------
    equations : RightSide
        From `right_side`.
    numbers : array, shape (parameter + input,)
        Natural scale.
    days : array, shape (day,)
        Not decreasing, from day 0 on; on the day of a dose the states are those after it [day].
    tolerance : float
        Local error, relative.

    Returns
    -------
    states : array, shape (day, state)
        In solver coordinates; NaN where the solve failed.
    outcome : SolverOutcome
        How it ended.
    """
    count = 0

    def rates(day: float, state: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        if count > MAX_EVALUATIONS:
            raise _TooLong
        # Up to an event the equations are those before it.
        return equations.rates(min(max(day, first), final), state, numbers)

    with np.errstate(all="ignore"):
        state = equations.start(numbers)
        floor = _absolute_tolerance(equations.log_scale, state, tolerance)
        found = np.full((len(days), len(state)), np.nan)
        found[days <= 0] = state
        begin, last = 0.0, float(days[-1])
        for end in (*equations.breaks(numbers, last), last):
            if end <= begin:
                break
            first, final = np.nextafter(begin, np.inf), np.nextafter(end, -np.inf)
            inside = (days > 0) & (days >= begin) & ((days < end) | (end == last))
            grid = np.unique(np.append(days[inside], end))
            try:
                part = solve_ivp(
                    rates, (begin, end), state, "LSODA", grid, rtol=tolerance, atol=floor
                )
            except _TooLong:
                return np.full_like(found, np.nan), SolverOutcome.TOO_MANY_STEPS
            if not part.success or not np.isfinite(part.y).all():
                return np.full_like(found, np.nan), SolverOutcome.NOT_FINITE
            found[inside] = part.y.T[np.searchsorted(grid, days[inside])]
            state, begin = equations.take_doses(end, part.y[:, -1], numbers), end
        found[days == begin] = state
    return found, SolverOutcome.SOLVED


def _absolute_tolerance(log_scale: np.ndarray, start: np.ndarray, tolerance: float) -> np.ndarray:
    """Return errors that do not matter: of a logarithm, and of a state near zero."""
    natural = np.abs(np.where(log_scale, 0.0, start))
    largest = max(float(natural.max(initial=0.0)), 1e-3)
    small = np.maximum(1e-2 * tolerance * natural, 1e-4 * tolerance * largest)
    return np.where(log_scale, tolerance, small)
