"""The day on which a virtual patient relapses and leaves the schedule of visits."""

from __future__ import annotations

import re

import numpy as np

from carkinetics.errors import Fault, ModelFileError
from carkinetics.model import Model
from carkinetics.solve.trajectory import right_side, solve_states

_RULE = re.compile(r"\s*([A-Za-z]\w*)\s*>\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*\Z", re.ASCII)


def relapse_days(
    model: Model,
    numbers: np.ndarray,
    last_day: float,
    dropout: float | str,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the day of relapse of each patient, shape (patient,); infinite where there is none.

    Parameters
    ----------
    model : Model
        Gives the output that a rule is about.
    numbers : array, shape (patient, parameter + input)
        Natural scale.
    last_day : float
        End of the follow-up [day].
    dropout : float or str
        A hazard [1/day], the same on every day; or a rule such as ``"tumor > 113.8"`` about an
        output of the model: relapse is the day on which it comes to lie above the number, having
        been at or below it.
    rng : Generator
        Source of randomness of the hazard.
    """
    if not isinstance(dropout, str):
        if not (np.isfinite(dropout) and dropout >= 0):
            raise ModelFileError(Fault("dropout", f"is {dropout!r}", "Give a hazard per day."))
        waits = rng.standard_exponential(len(numbers))
        return waits / dropout if dropout > 0 else np.full(len(numbers), np.inf)
    output, limit = _read_rule(model, dropout)
    system = model.system(open_inputs=True)
    equations = right_side(system)
    column = list(system.outputs).index(output)
    days = np.linspace(0.0, last_day, 4 * int(np.ceil(last_day)) + 1)
    found = np.full(len(numbers), np.inf)
    for i, own in enumerate(numbers):
        states, _ = solve_states(equations, own, days, 1e-7)
        curve = equations.outputs(days, states, own)[column]
        crossing = np.flatnonzero((curve[:-1] <= limit) & (curve[1:] > limit))
        if crossing.size:
            a = crossing[0]
            share = (limit - curve[a]) / (curve[a + 1] - curve[a])
            found[i] = days[a] + share * (days[a + 1] - days[a])
    return found


def _read_rule(model: Model, rule: str) -> tuple[str, float]:
    shape = _RULE.match(rule)
    listed = ", ".join(model.outputs) or "none"
    if shape is None:
        raise ModelFileError(
            Fault("dropout", f"cannot be read: {rule[:60]!r}", 'Write it like "tumor > 100".')
        )
    if shape[1] not in model.outputs:
        raise ModelFileError(
            Fault(f"dropout of {model.name}", f"no output '{shape[1]}'", f"There are: {listed}.")
        )
    return shape[1], float(shape[2])
