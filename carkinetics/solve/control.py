"""What every method of the solver shares: step-size control, and the form of a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from carkinetics.solve.fastmath import exp, log, maximum, minimum
from carkinetics.solve.lanes import Array, Value, load, select, store

FIRST_STEP, SMALLEST_STEP = 0.5, 1e-9  # [day]
# Share of its largest value so far below which a state that no level shows counts as zero.
_NEGLIGIBLE = 1e-9


class Sizes(NamedTuple):
    """How many states, parameters, shared numbers, sensitivities and so on a model has."""

    state: int
    par: int
    shared: int
    sens: int
    memo: int
    out: int


class Method(NamedTuple):
    """A method for the equations of one model: functions of lanes, see `carkinetics.solve.lanes`.

    They are handed the arrays of the lanes, `work`: their own, and those of the solver: ``p``
    (parameters), ``c`` (what follows from them), ``t`` (day), ``limit`` (end of what the equations
    allow), ``y`` and ``s`` (states and sensitivities), ``largest`` (largest states so far).

    Attributes
    ----------
    vectors : mapping of str to int
        Names and sizes of the arrays of its own.
    refresh : function (fresh, work, with_sensitivity)
        Compute what depends on the start of the next step, for lanes that begin or begin anew.
    try_step : function (h, tolerance, work) -> error
        Make a step of the states; return the largest scaled local error of each lane, see
        `scaled_error`.
    sensitivity_step : function (h, work)
        Make the same step of the sensitivities; h is zero where the step was rejected.
    states_between, sensitivities_between : function (fraction, h, work, out)
        Fill `out` at a place inside the step.
    state_at_end : function (i, work)
        Return a state at the end of the step.
    keep : function (accepted, work, with_sensitivity)
        Make the end of each accepted step the start of the next.
    """

    vectors: Mapping[str, int]
    refresh: Callable[..., Any]
    try_step: Callable[..., Any]
    sensitivity_step: Callable[..., Any]
    states_between: Callable[..., Any]
    sensitivities_between: Callable[..., Any]
    state_at_end: Callable[..., Any]
    keep: Callable[..., Any]


def step_factor(error: Value, past: Array) -> Value:
    """Return the factor for the next step: a PI controller, bounded to [0.2, 3].

    ``past`` holds the logarithm of the error of the last accepted step, and 1 where the last step
    was rejected: the step after that must not grow at once, or it is rejected again.
    """
    log_error, previous = log(maximum(error, 1e-10)), load(past, 0)
    accepted = error <= 1.0
    change = select(accepted, 0.06 * previous - 0.2 * log_error, -0.2 * log_error)
    largest = select(load(past, 1) > 0.0, 1.0, 3.0)
    store(past, 0, select(accepted, log_error, previous))
    store(past, 1, select(accepted, 0.0, 1.0))
    return minimum(largest, maximum(0.2, 0.8 * exp(change)))


def scaled_error(
    local: Value, old: Value, new: Value, shown: Value, largest: Value, tolerance: Value,
    is_log: bool, rounding: float,
) -> Value:  # fmt: skip
    """Divide the local error of a state by what is allowed.

    A state kept as its logarithm has an absolute error, which is a relative error of the state.
    Any other is measured against itself at the start of the step and against what would change
    the log level by one: a state that the level does not show yet needs no digits. One that no
    level ever shows is measured against itself, at both ends, and its largest value so far.

    Parameters
    ----------
    local, old, new : vectors
        Local error; the state at both ends of the step.
    shown, largest : vectors
        What would change the log level by one, 0 if no level sees it; largest value so far.
    tolerance : number
        Local error allowed, relative to the state.
    is_log : bool
        Whether the state is a logarithm.
    rounding : float
        Share of a state that is lost to rounding.
    """
    weight = tolerance
    if not is_log:
        seen = (shown > 0.0) & (shown < 1e300)
        unseen = maximum(maximum(abs(old), abs(new)), _NEGLIGIBLE * largest)
        weight = weight * select(seen, abs(old) + shown, unseen)
        weight = weight + (rounding * abs(new) + 1e-300)
    ratio = abs(local) / weight
    # What is not a number counts as a very large error.
    return select(ratio <= 1e30, ratio, 1e30)
