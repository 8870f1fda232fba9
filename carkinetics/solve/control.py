"""What every method of the solver shares: step-size control, and the form of a method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from carkinetics.solve.fastmath import exp, log, maximum, minimum
from carkinetics.solve.lanes import inlined, load, select, spread, store

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
    """The compiled functions of a method for the equations of one model.

    Attributes
    ----------
    make_work : function
        Make the arrays of the lanes.
    refresh : function (fresh, work, with_sensitivity)
        Compute what depends on the start of the next step, for lanes that begin or begin anew.
    try_step : function (h, tolerance, work) -> error
        Make a step of the states; return the largest scaled local error of each lane, see
        `make_scaled_error`.
    sensitivity_step : function (h, work)
        Make the same step of the sensitivities; h is zero where the step was rejected.
    states_between, sensitivities_between : function (fraction, h, work, out)
        Fill `out` at a place inside the step.
    state_at_end : function (i, work)
        Return a state at the end of the step.
    keep : function (accepted, work, with_sensitivity)
        Make the end of each accepted step the start of the next.
    """

    make_work: Callable[..., Any]
    refresh: Callable[..., Any]
    try_step: Callable[..., Any]
    sensitivity_step: Callable[..., Any]
    states_between: Callable[..., Any]
    sensitivities_between: Callable[..., Any]
    state_at_end: Callable[..., Any]
    keep: Callable[..., Any]


@inlined
def step_factor(error, past):
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


def make_scaled_error(log_scale: tuple[bool, ...], rounding: float) -> Callable[..., Any]:
    """Make the function that divides the local error of a state by what is allowed.

    A state kept as its logarithm has an absolute error, which is a relative error of the state.
    Any other is measured against itself at the start of the step and against what would change
    the log level by one: a state that the level does not show yet needs no digits. One that no
    level ever shows is measured against itself, at both ends, and its largest value so far.

    Parameters
    ----------
    log_scale : tuple of bool
        Which states are logarithms.
    rounding : float
        Share of a state that is lost to rounding.
    """

    @inlined
    def scaled_error(i, local, old, new, shown, largest, tolerance):
        weight = spread(tolerance)
        if not log_scale[i]:
            seen = (shown > 0.0) & (shown < 1e300)
            unseen = maximum(maximum(abs(old), abs(new)), _NEGLIGIBLE * largest)
            weight = weight * select(seen, abs(old) + shown, unseen)
            weight = weight + (rounding * abs(new) + 1e-300)
        ratio = abs(local) / weight
        # What is not a number counts as a very large error.
        return select(ratio <= 1e30, ratio, 1e30)

    return scaled_error
