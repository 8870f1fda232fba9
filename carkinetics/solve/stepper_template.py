"""The solver's steps: many patients at once in SIMD lanes, with sensitivities.

This file and ``loop_template.py`` are a working solver for one built-in example, exponential decay.
The code generator copies both and replaces the part between the two marks with the functions of a
real model; what it emits is therefore these files with other equations. Where areas and maxima or a
reverse sweep are asked for, ``curves_template.py`` or ``sweep_template.py`` follows, and passages
that are marked for it stay in.

What is done for all lanes at once are functions of lanes: see `carkinetics.solve.lanes`. All their
arrays lie in one, ``room``, as `LAYOUT` says. Numba compiles the loop around them, and what is done
for single lanes.

How a step is made is the affair of a method: `carkinetics.solve.explicit`, or
`carkinetics.solve.implicit` for stiff models.
"""

from __future__ import annotations

import numpy as np
from numba import types

from carkinetics.solve import adjoint, explicit, implicit  # noqa: F401
from carkinetics.solve.control import SMALLEST_STEP, Sizes, step_factor
from carkinetics.solve.fastmath import (  # noqa: F401
    exp,
    hill,
    hill_shape,
    hill_slope,
    log,
    logistic,
    maximum,
    minimum,
    softplus,
)
from carkinetics.solve.lanes import (  # noqa: F401
    LANES,
    Layout,
    any_lane,
    each,
    load,
    select,
    sqrt,
    store,
    when,
)
from carkinetics.solve.written import inlined, inlined_with

# Logarithm below which outputs take a state to be that small: a rate can still be divided by it.
LOWEST_LOG = -650.0

# --- model: begin ---
N_STATE, N_PAR, N_SHARED, N_SENS, N_MEMO, N_OUT = 1, 2, 1, 2, 1, 1
# The last moment before and the first after each known day on which the equations switch, or a dose
# enters.
BEFORE, AFTER = np.empty(0), np.empty(0)


def prepare(p, c):
    """Compute what depends on the parameters only."""
    store(c, 0, -load(p, 1))


def start(p, c, y, s):
    """Compute states and sensitivities on day 0."""
    store(y, 0, load(p, 0))
    store(s, 0, 1.0)
    store(s, 1, 0.0)


def right_side(stage, t, y, p, c, dy, memo, scale):
    """Compute, at a stage, the time derivatives of the states and what sensitivities need.

    The scale of a state is how far it must move to change a log level by one; 0 if none sees it.
    """
    y0 = load(y, stage * N_STATE)
    store(dy, stage * N_STATE, load(c, 0) * y0)
    store(memo, stage * N_MEMO, -y0)
    store(scale, stage * N_STATE, y0)


def sensitivity_side(stage, memo, s, p, c, ds):
    """Compute the time derivatives of the sensitivities at a stage."""
    rate = load(c, 0)
    store(ds, stage * N_SENS, rate * load(s, 0))
    store(ds, stage * N_SENS + 1, rate * load(s, 1) + load(memo, stage * N_MEMO))


def output_lanes(t, y, p, c, out):
    """Compute log levels, then their time derivatives."""
    store(out, 0, log(load(y, 0)))
    store(out, 1, load(c, 0))


def output_sensitivity_lanes(t, y, s, p, c, jacobian):
    """Compute the derivatives of the log levels by all parameters."""
    store(jacobian, 0, load(s, 0) / load(y, 0))
    store(jacobian, 1, load(s, 1) / load(y, 0))


def take_dose(event, p, c, y, s, new_y, new_s):
    """Compute states and sensitivities after known day number `event`."""


METHOD = explicit.make_method(
    Sizes(N_STATE, N_PAR, N_SHARED, N_SENS, N_MEMO, N_OUT),
    (False,),
    right_side,
    ((N_SENS, sensitivity_side),),
)
HAS_DOSE = np.zeros(0, np.bool_)
# --- model: end ---

IDLE = -np.inf  # last day of a lane without a patient

LAYOUT = Layout(
    p=N_PAR, c=N_SHARED, y=N_STATE, s=N_SENS, first_y=N_STATE, first_s=N_SENS, largest=N_STATE,
    # Day and planned step; its length, error and end, and the step after it; memory of the control.
    t=1, h=1, step=1, error=1, end=1, following=1, past=2,
    # The next switch of the equations, the next and the last day that is wanted; steps so far.
    limit=1, next_day=1, last_day=1, tried=1,
    # 1 where a lane has just taken a patient, must begin anew, has reached a sample; what is not
    # zero where a sample was not finite.
    taken=1, fresh=1, due=1, broken=1,
    # A place inside the step: day, states, sensitivities, log levels and slopes, derivatives.
    day_at=1, y_at=N_STATE, s_at=N_SENS, out=2 * N_OUT, jac=N_OUT * N_PAR,
    # --- tape: begin ---
    # Patient, his next row, the share of the step that lies before a sample; how he began it.
    who=1, row=1, fraction=1, mark=1,
    # --- tape: end ---
    **METHOD.vectors,
)  # fmt: skip
SIZE = LAYOUT.size
P, Y, S, FIRST_Y, FIRST_S = map(LAYOUT.place, ("p", "y", "s", "first_y", "first_s"))
T, H, PAST, STEP, ERROR = map(LAYOUT.place, ("t", "h", "past", "step", "error"))
LIMIT, NEXT_DAY, LAST_DAY, TRIED = map(LAYOUT.place, ("limit", "next_day", "last_day", "tried"))
TAKEN, FRESH, DUE, BROKEN = map(LAYOUT.place, ("taken", "fresh", "due", "broken"))
OUT, JAC = map(LAYOUT.place, ("out", "jac"))
# --- tape: begin ---
WHO, ROW, MARK = map(LAYOUT.place, ("who", "row", "mark"))
Y_AT, FRACTION = map(LAYOUT.place, ("y_at", "fraction"))
# What is kept of every step, see `carkinetics.solve.adjoint`; and the patient and his next row.
RECORD = Layout(t=1, h=1, limit=1, mark=1, row=1, who=1, y=7 * N_STATE)
# A mark where a lane began anew with this step: after a switch of the equations, with a patient.
SWITCHED, TOOK = 1.0, 2.0
RECORD_SIZE = RECORD.size
# --- tape: end ---


@inlined
def admit(room):
    """Compute the states of day 0 in the lanes that have just taken a patient."""
    at = LAYOUT.arrays(room)
    prepare(at.p, at.c)
    start(at.p, at.c, at.first_y, at.first_s)
    new = load(at.taken, 0) > 0.0
    for i in each(N_STATE):
        store(at.y, i, select(new, load(at.first_y, i), load(at.y, i)))
        store(at.largest, i, select(new, 0.0, load(at.largest, i)))
    for i in each(N_SENS):
        store(at.s, i, select(new, load(at.first_s, i), load(at.s, i)))


@inlined
def begin_anew(room, with_sensitivity):
    """Compute what a step begins with in the lanes that have a new state."""
    at = LAYOUT.arrays(room)
    METHOD.refresh(load(at.fresh, 0) > 0.0, at, with_sensitivity)
    store(at.fresh, 0, 0.0)


@inlined
def attempt(room, tolerance, with_sensitivity):
    """Try a step of every lane."""
    at = LAYOUT.arrays(room)
    for i in each(N_STATE):
        store(at.largest, i, maximum(load(at.largest, i), abs(load(at.y, i))))
    now, planned = load(at.t, 0), load(at.h, 0)
    stop = minimum(load(at.limit, 0), load(at.last_day, 0))
    length = maximum(0.0, minimum(planned, stop - now))
    errors = METHOD.try_step(length, tolerance, at)
    accepted = errors <= 1.0
    changed = length * step_factor(errors, at.past)
    with when(with_sensitivity):
        METHOD.sensitivity_step(length, at)
    # Cut short by a switch or by the last sample, and not by the error.
    cut = accepted & (length < planned)
    end = maximum(now, select(cut, stop, now + length))
    store(at.step, 0, length)
    store(at.error, 0, errors)
    store(at.end, 0, select(accepted, end, now))
    store(at.following, 0, select(cut, maximum(planned, changed), changed))


def not_finite(n, found):
    """Return zero where all of n numbers are finite, NaN elsewhere."""
    total = 0.0
    for i in range(n):
        total = total + (load(found, i) - load(found, i))
    return total


@inlined_with(types.boolean)
def reach_samples(room, with_sensitivity):
    """Compute the outputs of the lanes whose next sample lies in their step, if there are any."""
    at = LAYOUT.arrays(room)
    now, end, length, day = (load(a, 0) for a in (at.t, at.end, at.step, at.next_day))
    reached = (load(at.error, 0) <= 1.0) & (day <= end)
    some = any_lane(reached)
    with when(some):
        within = reached & (day > now) & (length > 0.0)
        fraction = select(within, (day - now) / select(within, length, 1.0), 0.0)
        store(at.day_at, 0, day)
        # --- tape: begin ---
        store(at.fraction, 0, fraction)
        store(at.row, 0, load(at.row, 0) + select(reached, 1.0, 0.0))
        # --- tape: end ---
        METHOD.states_between(fraction, length, at, at.y_at)
        output_lanes(at.day_at, at.y_at, at.p, at.c, at.out)
        unsound = not_finite(2 * N_OUT, at.out)
        store(at.broken, 0, load(at.broken, 0) + select(reached, unsound, 0.0))
        with when(with_sensitivity):
            METHOD.sensitivities_between(fraction, length, at, at.s_at)
            output_sensitivity_lanes(at.day_at, at.y_at, at.s_at, at.p, at.c, at.jac)
            unsound = not_finite(N_OUT * N_PAR, at.jac)
            store(at.broken, 0, load(at.broken, 0) + select(reached, unsound, 0.0))
        store(at.due, 0, select(reached, 1.0, 0.0))
    return some


@inlined_with(types.boolean)
def conclude(room, max_steps, with_sensitivity):
    """End the step of every lane; return whether any lane must be looked at."""
    at = LAYOUT.arrays(room)
    accepted = load(at.error, 0) <= 1.0
    end, following, count = load(at.end, 0), load(at.following, 0), load(at.tried, 0) + 1.0
    idle = load(at.last_day, 0) == IDLE
    finished = (load(at.next_day, 0) == np.inf) & ~idle
    # --- curve features: begin ---
    finished = finished & (end >= load(at.last_day, 0))
    # --- curve features: end ---
    switched = accepted & (end >= load(at.limit, 0))
    stuck = ~accepted & (following < SMALLEST_STEP)
    exhausted = ~idle & ~finished & (count >= max_steps)
    store(at.t, 0, end)
    store(at.h, 0, following)
    store(at.tried, 0, count)
    METHOD.keep(accepted, at, with_sensitivity)
    return any_lane(finished | switched | stuck | exhausted)


@inlined
def add_dose(event, room):
    """Compute what every lane would hold after known day number `event`."""
    at = LAYOUT.arrays(room)
    take_dose(event, at.p, at.c, at.y, at.s, at.first_y, at.first_s)


# --- tape: begin ---
@inlined
def keep_record(room, tape, number):
    """Write down the step of every lane; a rejected one has no length and stays where it was."""
    at, record = LAYOUT.arrays(room), RECORD.arrays(tape.part(1 + number * RECORD.size))
    accepted = load(at.error, 0) <= 1.0
    store(record.h, 0, select(accepted, load(at.step, 0), 0.0))
    for name in ("t", "limit", "mark", "row", "who"):
        store(getattr(record, name), 0, load(getattr(at, name), 0))
    for i in each(N_STATE):
        store(record.y, i, load(at.y, i))
        for stage in range(1, 7):
            place = stage * N_STATE + i
            store(record.y, place, select(accepted, load(at.stage_y, place), load(at.y, i)))
    store(at.mark, 0, 0.0)


# --- tape: end ---
# --- curve features: begin ---
@inlined
def inside(room, place):
    """Fill log levels and slopes at a place inside the step of every lane."""
    at, fraction = LAYOUT.arrays(room), load(place.fraction, 0)
    step = load(at.step, 0)
    store(at.day_at, 0, load(at.t, 0) + fraction * step)
    METHOD.states_between(fraction, step, at, at.y_at)
    output_lanes(at.day_at, at.y_at, at.p, at.c, place.out)


@inlined
def at_end(room, place):
    """Fill log levels and slopes at the end of the step of every lane."""
    at = LAYOUT.arrays(room)
    store(at.day_at, 0, load(at.t, 0) + load(at.step, 0))
    for i in range(N_STATE):
        store(at.y_at, i, METHOD.state_at_end(i, at))
    output_lanes(at.day_at, at.y_at, at.p, at.c, place.out)


@inlined
def gradient(room, place):
    """Fill the derivatives of the log levels where `inside` has just been called."""
    at = LAYOUT.arrays(room)
    METHOD.sensitivities_between(load(place.fraction, 0), load(at.step, 0), at, at.s_at)
    output_sensitivity_lanes(at.day_at, at.y_at, at.s_at, at.p, at.c, place.jacobian)


# --- curve features: end ---
