"""The solver: many patients at once in SIMD lanes, each with steps of its own, sensitivities.

This file is a working solver for one built-in example, exponential decay. The code generator
copies it and replaces the part between the two marks with the functions of a real model; what it
emits is therefore this file with other equations.

All work arrays are flat, ``[index * LANES + lane]``, and are loaded and stored in whole vectors:
see `carkinetics.solve.lanes`. Each lane has its own step. A lane that has reached its patient's
last day takes the next patient, so that no lane idles for long; no lane ever reads another, and a
patient's result does not depend on the company.

How a step is made is the affair of a method: `carkinetics.solve.explicit`, or
`carkinetics.solve.implicit` for stiff models.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# --- curve features: begin ---
from carkinetics.solve import curve_features as features

# --- curve features: end ---
from carkinetics.solve import explicit, implicit  # noqa: F401
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
    any_lane,
    inlined,
    load,
    select,
    spread,
    sqrt,
    store,
)
from carkinetics.solve.queue import longest_first, workspace

# Logarithm below which outputs take a state to be that small: a rate can still be divided by it.
LOWEST_LOG = -650.0

# --- model: begin ---
N_STATE, N_PAR, N_SHARED, N_SENS, N_MEMO, N_OUT = 1, 2, 1, 2, 1, 1
# The last moment before and the first after each known day on which the equations switch, or a dose
# enters.
BEFORE, AFTER = np.empty(0), np.empty(0)


@inlined
def prepare(p, c):
    """Compute what depends on the parameters only."""
    store(c, 0, -load(p, 1))


@inlined
def start(p, c, y, s):
    """Compute states and sensitivities on day 0."""
    store(y, 0, load(p, 0))
    store(s, 0, 1.0)
    store(s, 1, 0.0)


@inlined
def right_side(stage, t, y, p, c, dy, memo, scale):
    """Compute, at a stage, the time derivatives of the states and what sensitivities need.

    The scale of a state is how far it must move to change a log level by one; 0 if none sees it.
    """
    y0 = load(y, stage * N_STATE)
    store(dy, stage * N_STATE, load(c, 0) * y0)
    store(memo, stage * N_MEMO, -y0)
    store(scale, stage * N_STATE, y0)


@inlined
def sensitivity_side(stage, memo, s, p, c, ds):
    """Compute the time derivatives of the sensitivities at a stage."""
    rate = load(c, 0)
    store(ds, stage * N_SENS, rate * load(s, 0))
    store(ds, stage * N_SENS + 1, rate * load(s, 1) + load(memo, stage * N_MEMO))


@inlined
def output_lanes(t, y, p, c, out):
    """Compute log levels, then their time derivatives."""
    store(out, 0, log(load(y, 0)))
    store(out, 1, load(c, 0))


@inlined
def output_sensitivity_lanes(t, y, s, p, c, jacobian):
    """Compute the derivatives of the log levels by all parameters."""
    store(jacobian, 0, load(s, 0) / load(y, 0))
    store(jacobian, 1, load(s, 1) / load(y, 0))


@inlined
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

(
    make_work, refresh, try_step, sensitivity_step, states_between, sensitivities_between,
    state_at_end, keep,
) = METHOD  # fmt: skip


@inlined
def write_row(row, lane, out, jac, level, slope, jacobian):
    """Write the outputs of one lane into the row of its sample."""
    for j in range(N_OUT):
        level[row, j] = out[j * LANES + lane]
        slope[row, j] = out[(N_OUT + j) * LANES + lane]
        if jacobian.shape[0] > 0:
            for q in range(N_PAR):
                jacobian[row, j, q] = jac[(j * N_PAR + q) * LANES + lane]


@inlined
def not_finite(n, found):
    """Return zero where all of n numbers are finite, NaN elsewhere."""
    total = spread(0.0)
    for i in range(n):
        total = total + (load(found, i) - load(found, i))
    return total


# --- curve features: begin ---
@inlined
def inside(lanes, t, h, place):
    """Fill log levels and slopes at a place inside the step of every lane."""
    fraction, step = load(place.fraction, 0), load(h, 0)
    store(lanes.day, 0, load(t, 0) + fraction * step)
    states_between(fraction, step, lanes.work, lanes.y_at)
    output_lanes(lanes.day, lanes.y_at, lanes.work.p, lanes.work.c, place.out)


@inlined
def at_end(lanes, t, h, place):
    """Fill log levels and slopes at the end of the step of every lane."""
    store(lanes.day, 0, load(t, 0) + load(h, 0))
    for i in range(N_STATE):
        store(lanes.y_at, i, state_at_end(i, lanes.work))
    output_lanes(lanes.day, lanes.y_at, lanes.work.p, lanes.work.c, place.out)


@inlined
def gradient(lanes, t, h, place):
    """Fill the derivatives of the log levels where `inside` has just been called."""
    sensitivities_between(load(place.fraction, 0), load(h, 0), lanes.work, lanes.s_at)
    output_sensitivity_lanes(
        lanes.day, lanes.y_at, lanes.s_at, lanes.work.p, lanes.work.c, place.jacobian
    )


# --- curve features: end ---
@njit(error_model="numpy", fastmath={"contract"})
def integrate(
    params, offsets, days, queue, tolerance, max_steps, with_sensitivity,
    level, slope, jacobian, outcome, steps,
    # --- curve features: begin ---
    wanted, found,
    # --- curve features: end ---
):  # fmt: skip
    """Solve the patients of the queue, as many at a time as there are lanes."""
    work = make_work()
    p, c, t, y, s, limit = work.p, work.c, work.t, work.y, work.s, work.limit
    first_y, first_s = workspace(N_STATE), workspace(N_SENS)
    h, step, error, past = workspace(1), workspace(1), workspace(1), workspace(2)
    last_day, next_day, tried, broken = workspace(1), workspace(1), workspace(1), workspace(1)
    taken, fresh, due, day_at = workspace(1), workspace(1), workspace(1), workspace(1)
    y_at, s_at = workspace(N_STATE), workspace(N_SENS)
    out, jac = workspace(2 * N_OUT), workspace(N_OUT * N_PAR)
    cursor, last = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    patient, switch = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    waiting, running, stale = 0, 0, False
    for lane in range(LANES):
        patient[lane], last_day[lane], next_day[lane] = -1, IDLE, np.inf
        limit[lane] = np.inf
        if queue.shape[0] > 0:
            # A lane that never gets a patient computes with ordinary numbers.
            for q in range(N_PAR):
                p[q * LANES + lane] = params[queue[0], q]
    # --- curve features: begin ---
    lanes = features.Lanes(work, workspace(1), workspace(N_STATE), workspace(N_SENS))
    progress = features.make_progress(LANES, N_OUT, N_PAR, wanted)
    place = features.make_place(LANES, N_OUT, N_PAR)
    # --- curve features: end ---

    while True:
        if running < LANES and waiting < queue.shape[0]:
            for lane in range(LANES):
                taken[lane] = 0.0
                if patient[lane] >= 0 or waiting == queue.shape[0]:
                    continue
                who = queue[waiting]
                for q in range(N_PAR):
                    p[q * LANES + lane] = params[who, q]
                taken[lane] = fresh[lane] = 1.0
                patient[lane], cursor[lane], last[lane] = who, offsets[who], offsets[who + 1]
                next_day[lane], last_day[lane] = days[cursor[lane]], days[last[lane] - 1]
                t[lane], h[lane], switch[lane] = 0.0, FIRST_STEP, 0
                past[lane], past[LANES + lane] = 0.0, 0.0
                tried[lane], broken[lane] = 0.0, 0.0
                limit[lane] = BEFORE[0] if BEFORE.shape[0] > 0 else np.inf
                waiting, running, stale = waiting + 1, running + 1, True
                # --- curve features: begin ---
                last_day[lane] = features.begin(lane, who, wanted, progress, last_day[lane])
                # --- curve features: end ---
            prepare(p, c)
            start(p, c, first_y, first_s)
            new = load(taken, 0) > 0.0
            for i in range(N_STATE):
                store(y, i, select(new, load(first_y, i), load(y, i)))
                store(work.largest, i, select(new, 0.0, load(work.largest, i)))
            for i in range(N_SENS):
                store(s, i, select(new, load(first_s, i), load(s, i)))
        if running == 0:
            break
        if stale:
            refresh(load(fresh, 0) > 0.0, work, with_sensitivity)
            store(fresh, 0, 0.0)
            stale = False
        for i in range(N_STATE):
            store(work.largest, i, maximum(load(work.largest, i), abs(load(y, i))))

        now, planned = load(t, 0), load(h, 0)
        stop = minimum(load(limit, 0), load(last_day, 0))
        length = maximum(0.0, minimum(planned, stop - now))
        errors = try_step(length, tolerance, work)
        accepted = errors <= 1.0
        changed = length * step_factor(errors, past)
        if with_sensitivity:
            sensitivity_step(length, work)

        # --- curve features: begin ---
        store(step, 0, length)
        store(error, 0, errors)
        features.follow(
            inside, at_end, gradient, lanes, patient, error, t, step, wanted, progress, place, found
        )
        # --- curve features: end ---
        # Cut short by a switch or by the last sample, and not by the error.
        cut = accepted & (length < planned)
        end = maximum(now, select(cut, stop, now + length))
        end = select(accepted, end, now)
        following = select(cut, maximum(planned, changed), changed)
        idle = load(last_day, 0) == IDLE
        while True:
            day = load(next_day, 0)
            reached = accepted & (day <= end)
            if not any_lane(reached):
                break
            within = reached & (day > now) & (length > 0.0)
            fraction = select(within, (day - now) / select(within, length, 1.0), 0.0)
            store(day_at, 0, day)
            states_between(fraction, length, work, y_at)
            output_lanes(day_at, y_at, p, c, out)
            unsound = not_finite(2 * N_OUT, out)
            if with_sensitivity:
                sensitivities_between(fraction, length, work, s_at)
                output_sensitivity_lanes(day_at, y_at, s_at, p, c, jac)
                unsound = unsound + not_finite(N_OUT * N_PAR, jac)
            store(broken, 0, load(broken, 0) + select(reached, unsound, 0.0))
            store(due, 0, select(reached, 1.0, 0.0))
            for lane in range(LANES):
                if due[lane] > 0.0:
                    write_row(cursor[lane], lane, out, jac, level, slope, jacobian)
                    cursor[lane] += 1
                    next_day[lane] = days[cursor[lane]] if cursor[lane] < last[lane] else np.inf

        count = load(tried, 0) + 1.0
        finished = (load(next_day, 0) == np.inf) & ~idle
        # --- curve features: begin ---
        finished = finished & (end >= load(last_day, 0))
        # --- curve features: end ---
        switched = accepted & (end >= load(limit, 0))
        stuck = ~accepted & (following < SMALLEST_STEP)
        exhausted = ~idle & ~finished & (count >= max_steps)
        store(t, 0, end)
        store(h, 0, following)
        store(tried, 0, count)
        keep(accepted, work, with_sensitivity)
        if not any_lane(finished | switched | stuck | exhausted):
            continue
        for lane in range(LANES):
            who = patient[lane]
            if who < 0:
                continue
            done = next_day[lane] == np.inf
            # --- curve features: begin ---
            done &= t[lane] >= last_day[lane]
            # --- curve features: end ---
            if h[lane] < SMALLEST_STEP and not done:
                outcome[who] = NOT_FINITE
            if tried[lane] >= max_steps and not done:
                outcome[who] = TOO_MANY_STEPS
            if t[lane] >= limit[lane]:
                if HAS_DOSE[switch[lane]]:
                    take_dose(switch[lane], p, c, y, s, first_y, first_s)
                    for i in range(N_STATE):
                        y[i * LANES + lane] = first_y[i * LANES + lane]
                    for i in range(N_SENS):
                        s[i * LANES + lane] = first_s[i * LANES + lane]
                t[lane], fresh[lane], stale = AFTER[switch[lane]], 1.0, True
                switch[lane] += 1
                limit[lane] = BEFORE[switch[lane]] if switch[lane] < BEFORE.shape[0] else np.inf
                # --- curve features: begin ---
                progress.state[lane] = max(progress.state[lane], features.SWITCHED)
                # --- curve features: end ---
            if done or outcome[who] != SOLVED:
                if outcome[who] == SOLVED and broken[lane] != 0.0:
                    outcome[who] = NOT_FINITE
                steps[who] = np.int64(tried[lane])
                patient[lane], last_day[lane], next_day[lane] = -1, IDLE, np.inf
                limit[lane], running = np.inf, running - 1


@njit(error_model="numpy")
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
    # A lane whose samples are all behind it looks one day further than its last.
    padded = np.append(days, np.inf)
    queue = longest_first(offsets, days)
    integrate(
        params, offsets, padded, queue, tolerance, max_steps, True,
        level, slope, jacobian, outcome, steps, wanted, found,
    )  # fmt: skip
    blank_failures(offsets, level, slope, jacobian, outcome)
    features.mark_failed_features(wanted, found, outcome, SOLVED, NOT_FINITE)
    return (
        level, jacobian, found.log_area, found.area_jacobian, found.log_peak,
        found.peak_jacobian, found.peak_day, outcome, steps,
    )  # fmt: skip


# --- curve features: end ---
