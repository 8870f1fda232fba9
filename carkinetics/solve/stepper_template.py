"""The solver: many patients at once in SIMD lanes, each with steps of its own, sensitivities.

This file is a working solver for one built-in example, exponential decay. The code generator
copies it and replaces the part between the two marks with the functions of a real model; what it
emits is therefore this file with other equations.

What is done for all lanes at once are functions of lanes: see `carkinetics.solve.lanes`. All their
arrays lie in one, ``room``, as `LAYOUT` says. Numba compiles the loop around them, and what is done
for single lanes. Each lane has its own step. A lane that has reached its patient's last day takes
the next patient, so that no lane idles for long; no lane ever reads another, and a patient's result
does not depend on the company.

How a step is made is the affair of a method: `carkinetics.solve.explicit`, or
`carkinetics.solve.implicit` for stiff models.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from carkinetics.solve import adjoint, explicit, implicit  # noqa: F401

# --- curve features: begin ---
from carkinetics.solve import curve_features as features

# --- curve features: end ---
from carkinetics.solve.control import FIRST_STEP, SMALLEST_STEP, Sizes, step_factor
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
from carkinetics.solve.queue import longest_first, workspace
from carkinetics.solve.written import compiled, inlined, inlined_with

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

SOLVED, TOO_MANY_STEPS, NOT_FINITE = 0, 1, 2
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


@compiled
def with_room(tape, records):
    """Return the tape, or a longer one if one more record does not fit."""
    if (1 + (records + 1) * RECORD_SIZE) * LANES <= tape.shape[0]:
        return tape
    longer = np.empty(2 * tape.shape[0])
    longer[: tape.shape[0]] = tape
    return longer


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
@compiled
def integrate(
    params, offsets, days, queue, tolerance, max_steps, with_sensitivity,
    level, slope, jacobian, outcome, steps,
    # --- curve features: begin ---
    wanted, found,
    # --- curve features: end ---
    # --- tape: begin ---
    samples,
    # --- tape: end ---
):  # fmt: skip
    """Solve the patients of the queue, as many at a time as there are lanes."""
    room = workspace(SIZE)
    cursor, last = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    patient, switch = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    waiting, running, stale = 0, 0, False
    for lane in range(LANES):
        patient[lane], room[LAST_DAY + lane], room[NEXT_DAY + lane] = -1, IDLE, np.inf
        room[LIMIT + lane] = np.inf
        if queue.shape[0] > 0:
            # A lane that never gets a patient computes with ordinary numbers.
            for q in range(N_PAR):
                room[P + q * LANES + lane] = params[queue[0], q]
    # --- curve features: begin ---
    t, step, error = room[T : T + LANES], room[STEP : STEP + LANES], room[ERROR : ERROR + LANES]
    progress = features.make_progress(N_OUT, N_PAR, wanted)
    place = features.make_place(N_OUT, N_PAR)
    # --- curve features: end ---
    # --- tape: begin ---
    records, tape = 0, np.empty((1 + 128 * (1 + queue.shape[0] // LANES) * RECORD_SIZE) * LANES)
    room[WHO : WHO + LANES] = -1.0
    # --- tape: end ---

    while True:
        if running < LANES and waiting < queue.shape[0]:
            for lane in range(LANES):
                room[TAKEN + lane] = 0.0
                if patient[lane] >= 0 or waiting == queue.shape[0]:
                    continue
                who = queue[waiting]
                for q in range(N_PAR):
                    room[P + q * LANES + lane] = params[who, q]
                room[TAKEN + lane] = room[FRESH + lane] = 1.0
                patient[lane], cursor[lane], last[lane] = who, offsets[who], offsets[who + 1]
                room[NEXT_DAY + lane] = days[cursor[lane]]
                room[LAST_DAY + lane] = days[last[lane] - 1]
                room[T + lane], room[H + lane], switch[lane] = 0.0, FIRST_STEP, 0
                room[PAST + lane] = room[PAST + LANES + lane] = 0.0
                room[TRIED + lane] = room[BROKEN + lane] = 0.0
                room[LIMIT + lane] = BEFORE[0] if BEFORE.shape[0] > 0 else np.inf
                # --- tape: begin ---
                room[WHO + lane], room[ROW + lane], room[MARK + lane] = who, offsets[who], TOOK
                # --- tape: end ---
                waiting, running, stale = waiting + 1, running + 1, True
                # --- curve features: begin ---
                room[LAST_DAY + lane] = features.begin(
                    lane, who, wanted, progress, room[LAST_DAY + lane]
                )
                # --- curve features: end ---
            admit(room)
        if running == 0:
            break
        if stale:
            begin_anew(room, with_sensitivity)
            stale = False
        attempt(room, tolerance, with_sensitivity)
        # --- tape: begin ---
        tape = with_room(tape, records)
        keep_record(room, tape, records)
        records += 1
        # --- tape: end ---
        # --- curve features: begin ---
        features.follow(
            inside, at_end, gradient, room, patient, error, t, step, wanted, progress, place, found
        )
        # --- curve features: end ---
        while reach_samples(room, with_sensitivity):
            for lane in range(LANES):
                if room[DUE + lane] > 0.0:
                    row = cursor[lane]
                    # --- tape: begin ---
                    for i in range(N_STATE):
                        samples[row, i] = room[Y_AT + i * LANES + lane]
                    samples[row, N_STATE] = room[FRACTION + lane]
                    # --- tape: end ---
                    for j in range(N_OUT):
                        level[row, j] = room[OUT + j * LANES + lane]
                        slope[row, j] = room[OUT + (N_OUT + j) * LANES + lane]
                        if with_sensitivity:
                            for q in range(N_PAR):
                                jacobian[row, j, q] = room[JAC + (j * N_PAR + q) * LANES + lane]
                    cursor[lane] = row + 1
                    room[NEXT_DAY + lane] = days[row + 1] if row + 1 < last[lane] else np.inf
        if not conclude(room, max_steps, with_sensitivity):
            continue
        for lane in range(LANES):
            who = patient[lane]
            if who < 0:
                continue
            done = room[NEXT_DAY + lane] == np.inf
            # --- curve features: begin ---
            done &= room[T + lane] >= room[LAST_DAY + lane]
            # --- curve features: end ---
            if room[H + lane] < SMALLEST_STEP and not done:
                outcome[who] = NOT_FINITE
            if room[TRIED + lane] >= max_steps and not done:
                outcome[who] = TOO_MANY_STEPS
            if room[T + lane] >= room[LIMIT + lane]:
                if HAS_DOSE[switch[lane]]:
                    add_dose(switch[lane], room)
                    for i in range(N_STATE):
                        room[Y + i * LANES + lane] = room[FIRST_Y + i * LANES + lane]
                    for i in range(N_SENS):
                        room[S + i * LANES + lane] = room[FIRST_S + i * LANES + lane]
                room[T + lane], room[FRESH + lane], stale = AFTER[switch[lane]], 1.0, True
                switch[lane] += 1
                # --- tape: begin ---
                room[MARK + lane] = SWITCHED
                # --- tape: end ---
                room[LIMIT + lane] = (
                    BEFORE[switch[lane]] if switch[lane] < BEFORE.shape[0] else np.inf
                )
                # --- curve features: begin ---
                progress.state[lane] = max(progress.state[lane], features.SWITCHED)
                # --- curve features: end ---
            if done or outcome[who] != SOLVED:
                if outcome[who] == SOLVED and room[BROKEN + lane] != 0.0:
                    outcome[who] = NOT_FINITE
                steps[who] = np.int64(room[TRIED + lane])
                patient[lane], room[LAST_DAY + lane], room[NEXT_DAY + lane] = -1, IDLE, np.inf
                room[LIMIT + lane], running = np.inf, running - 1
                # --- tape: begin ---
                room[WHO + lane] = -1.0
    tape[0] = records
    return tape
    # --- tape: end ---


@compiled
def blank_failures(offsets, level, slope, jacobian, outcome):
    """Leave no number in the rows of a failure."""
    for i in range(outcome.shape[0]):
        if outcome[i] != SOLVED:
            for row in range(offsets[i], offsets[i + 1]):
                level[row] = slope[row] = np.nan
                if jacobian.shape[0] > 0:
                    jacobian[row] = np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def solve(params, offsets, days, tolerance, max_steps, with_sensitivity):
    """Integrate every patient and report the log level at the listed days.

    Parameters
    ----------
    params : array, shape (patient, parameter)
        Parameters on their natural scale.
    offsets : array of int, shape (patient + 1,)
        ``days[offsets[i]:offsets[i + 1]]`` are the days of patient i, in rising order.
    days : array, shape (row,)
        Days from the infusion; before it, the level is that of day 0 [day].
    tolerance : float
        Local error per step, relative to the state.
    max_steps : int
        Steps, accepted and rejected, allowed to one patient.
    with_sensitivity : bool
        Whether the derivatives are integrated too.

    Returns
    -------
    level : array, shape (row, cell_type)
        Natural logarithm of the latent level; NaN where the solve failed.
    slope : array, shape (row, cell_type)
        Its derivative by time [1/day]; NaN where the solve failed.
    jacobian : array, shape (row, cell_type, parameter)
        Its derivatives by the parameters, NaN where the solve failed; empty without
        sensitivities.
    outcome : array of int, shape (patient,)
        0 solved, 1 too many steps, 2 not finite.
    steps : array of int, shape (patient,)
        Steps tried.
    """
    n_patient, n_row = params.shape[0], days.shape[0]
    level, slope = np.empty((n_row, N_OUT)), np.empty((n_row, N_OUT))
    jacobian = np.empty((n_row if with_sensitivity else 0, N_OUT, N_PAR))
    outcome, steps = np.zeros(n_patient, np.int64), np.zeros(n_patient, np.int64)
    queue = longest_first(offsets, days)
    # --- curve features: begin ---
    nothing = np.zeros(n_patient + 1, np.int64)
    wanted = features.Wanted(0.0, nothing[:0], nothing, np.empty(0))
    found = features.make_features(n_patient, N_OUT, N_PAR, wanted)
    # --- curve features: end ---
    integrate(
        params, offsets, days, queue, tolerance, max_steps, with_sensitivity,
        level, slope, jacobian, outcome, steps,
        # --- curve features: begin ---
        wanted, found,
        # --- curve features: end ---
        # --- tape: begin ---
        np.empty((n_row, N_STATE + 1)),
        # --- tape: end ---
    )  # fmt: skip
    blank_failures(offsets, level, slope, jacobian, outcome)
    return level, slope, jacobian, outcome, steps


# --- curve features: begin ---


@njit(cache=True, error_model="numpy", nogil=True)
def solve_curves(
    params, offsets, days, area_offsets, area_days, peak_until, curves, tolerance, max_steps
):  # fmt: skip
    """Integrate every patient; report log levels, areas and maxima with their derivatives.

    Parameters
    ----------
    params, offsets, days, tolerance, max_steps
        See `solve`; every patient has a day.
    area_offsets, area_days
        Days of each patient, after 0 and in rising order, up to which the area from day 0 is
        wanted [day].
    peak_until : float
        Day until which the maximum is looked for [day].
    curves : array of int, shape (curve,)
        Curves whose maximum is wanted: columns of the levels; the number after the last column is
        the total.

    Returns
    -------
    level, jacobian : array, shape (row, cell_type) and (row, cell_type, parameter)
        As in `solve`.
    log_area, area_jacobian : array, shape (area row, cell_type) and (..., parameter)
        Natural logarithm of the area, and its derivatives.
    log_peak, peak_jacobian : array, shape (patient, curve) and (..., parameter)
        Natural logarithm of the highest level, and its derivatives.
    peak_day : array, shape (patient, curve)
        First day of the highest level [day].
    outcome, steps : array of int, shape (patient,)
        As in `solve`.
    """
    n_patient, n_row = params.shape[0], days.shape[0]
    level, slope = np.empty((n_row, N_OUT)), np.empty((n_row, N_OUT))
    jacobian = np.empty((n_row, N_OUT, N_PAR))
    outcome, steps = np.zeros(n_patient, np.int64), np.zeros(n_patient, np.int64)
    wanted = features.Wanted(peak_until, curves, area_offsets, area_days)
    found = features.make_features(n_patient, N_OUT, N_PAR, wanted)
    queue = longest_first(offsets, days)
    integrate(
        params, offsets, days, queue, tolerance, max_steps, True,
        level, slope, jacobian, outcome, steps, wanted, found,
        # --- tape: begin ---
        np.empty((n_row, N_STATE + 1)),
        # --- tape: end ---
    )  # fmt: skip
    blank_failures(offsets, level, slope, jacobian, outcome)
    features.mark_failed_features(wanted, found, outcome, SOLVED, NOT_FINITE)
    return (
        level, jacobian, found.log_area, found.area_jacobian, found.log_peak,
        found.peak_jacobian, found.peak_day, outcome, steps,
    )  # fmt: skip


# --- curve features: end ---
