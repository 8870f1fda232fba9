"""The solver's loop over steps, and its function `solve`: what numba compiles.

The code generator appends this file to ``stepper_template.py``, whose functions of lanes it calls.
As it stands it solves that file's example. Each lane has its own step. A lane that has reached its
patient's last day takes the next patient, so that no lane idles for long; no lane ever reads
another, and a patient's result does not depend on the company.
"""

import numpy as np
from numba import njit

# --- curve features: begin ---
from carkinetics.solve import curve_features as features

# --- curve features: end ---
from carkinetics.solve.control import FIRST_STEP, SMALLEST_STEP
from carkinetics.solve.lanes import LANES
from carkinetics.solve.queue import longest_first, workspace

# --- standing alone: begin ---
from carkinetics.solve.stepper_template import (
    AFTER,
    BEFORE,
    BROKEN,
    DUE,
    ERROR,
    FIRST_S,
    FIRST_Y,
    FRACTION,
    FRESH,
    HAS_DOSE,
    IDLE,
    JAC,
    LAST_DAY,
    LIMIT,
    MARK,
    N_OUT,
    N_PAR,
    N_SENS,
    N_STATE,
    NEXT_DAY,
    OUT,
    PAST,
    RECORD_SIZE,
    ROW,
    SIZE,
    STEP,
    SWITCHED,
    TAKEN,
    TOOK,
    TRIED,
    WHO,
    Y_AT,
    H,
    P,
    S,
    T,
    Y,
    add_dose,
    admit,
    at_end,
    attempt,
    begin_anew,
    conclude,
    gradient,
    inside,
    keep_record,
    reach_samples,
)

# --- standing alone: end ---
from carkinetics.solve.written import compiled

SOLVED, TOO_MANY_STEPS, NOT_FINITE = 0, 1, 2


# --- tape: begin ---
@compiled
def with_room(tape, records):
    """Return the tape, or a longer one if one more record does not fit."""
    if (1 + (records + 1) * RECORD_SIZE) * LANES <= tape.shape[0]:
        return tape
    longer = np.empty(2 * tape.shape[0])
    longer[: tape.shape[0]] = tape
    return longer


# --- tape: end ---
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
