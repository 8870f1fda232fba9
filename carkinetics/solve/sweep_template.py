"""The reverse sweep of a solver: derivatives by the parameters without any sensitivity.

The code generator appends this file to ``loop_template.py``, for models whose parameters far
outnumber their states, and replaces the part between the two marks. As it stands it belongs to
the example of ``stepper_template.py``, exponential decay. `solve_with_tape` writes every step down,
for all lanes at once; `sweep` reads the steps from the last to the first. A lane meets its patients
in reverse order; where the tape shows another patient, the lane begins with that one.
"""

# --- standing alone: begin ---
import numpy as np
from numba import njit, types

from carkinetics.solve import adjoint
from carkinetics.solve.lanes import LANES, Layout, any_lane, load, store, when
from carkinetics.solve.loop_template import SOLVED, blank_failures, integrate
from carkinetics.solve.queue import longest_first, workspace
from carkinetics.solve.stepper_template import (
    N_OUT,
    N_PAR,
    N_SHARED,
    N_STATE,
    RECORD,
    RECORD_SIZE,
    TOOK,
    prepare,
)
from carkinetics.solve.written import inlined, inlined_with

# --- standing alone: end ---

# --- model: begin ---
# Numbers through which parameters act; those that log levels depend on directly.
N_ACTING, FIRST_DIRECT, N_DIRECT = 2, 0, 0


def pull_back(stage, t, y, p, c, of_slopes, of_states, of_acting):
    """Go back through the equations: set cotangents of states, add to those of acting numbers."""
    of_slope, y0 = load(of_slopes, stage * N_STATE), load(y, stage * N_STATE)
    store(of_states, stage * N_STATE, load(c, 0) * of_slope)
    store(of_acting, 0, load(of_acting, 0) - of_slope * y0)


def output_back(t, y, p, c, of_levels, of_states, of_acting):
    """Go back through the log levels, to states and numbers that they depend on directly."""
    store(of_states, 0, load(of_levels, 0) / load(y, 0))


def start_back(p, of_acting, of_states, of_p):
    """Go back from the states of day 0 and the acting numbers to the parameters."""
    store(of_p, 0, load(of_states, 0) + load(of_acting, 1))
    store(of_p, 1, load(of_acting, 0))


# --- model: end ---
ADJOINT = adjoint.make_adjoint(N_STATE, N_ACTING, FIRST_DIRECT, N_DIRECT, pull_back, output_back)
BACK = Layout(
    # Patient, the row after the last that is not yet taken up, 1 where a sample is due.
    who=1, row=1, due=1,
    p=N_PAR, c=N_SHARED, of_p=N_PAR, of_levels=N_OUT, **ADJOINT.vectors,
)  # fmt: skip
BACK_SIZE = BACK.size
RECORD_WHO, RECORD_ROW, RECORD_MARK = map(RECORD.place, ("who", "row", "mark"))
WHO_BACK, ROW_BACK, DUE_BACK, P_BACK, OF_P = map(BACK.place, ("who", "row", "due", "p", "of_p"))
DAY_BACK, FRACTION_BACK, Y_BACK = map(BACK.place, ("day_at", "fraction", "y_at"))
OF_LEVELS, OF_END, OF_NEXT, OF_ACTING = map(
    BACK.place, ("of_levels", "of_end", "of_next", "of_acting")
)


@inlined_with(types.boolean)
def patients_change(room, tape, number):
    """Return whether a lane has another patient in this record than in the one after it."""
    at, record = BACK.arrays(room), RECORD.arrays(tape.part(1 + number * RECORD.size))
    return any_lane(load(at.who, 0) != load(record.who, 0))


@inlined
def prepare_back(room):
    """Compute what depends on the parameters only."""
    at = BACK.arrays(room)
    prepare(at.p, at.c)


@inlined_with(types.boolean)
def samples_left(room, tape, number):
    """Return whether a lane has a sample in this step that is not yet taken up."""
    at, record = BACK.arrays(room), RECORD.arrays(tape.part(1 + number * RECORD.size))
    return any_lane(load(at.row, 0) > load(record.row, 0))


@inlined
def see_samples(room, tape, number):
    """Take up one sample of each lane where one is due."""
    record = RECORD.arrays(tape.part(1 + number * RECORD.size))
    ADJOINT.see_samples(record, BACK.arrays(room))


@inlined_with(types.boolean)
def step_back(room, tape, number):
    """Go back one step; return whether a lane has come to the start of its patient."""
    at, record = BACK.arrays(room), RECORD.arrays(tape.part(1 + number * RECORD.size))
    ADJOINT.step_back(record, at)
    with when(any_lane(load(record.mark, 0) > 0.0)):
        ADJOINT.begin_back(record, at)
    took = any_lane(load(record.mark, 0) == TOOK)
    with when(took):
        start_back(at.p, at.of_acting, at.of_end, at.of_p)
    return took


@njit(cache=True, error_model="numpy", nogil=True)
def solve_with_tape(params, offsets, days, tolerance, max_steps):
    """Integrate every patient without derivatives, and keep what `sweep` needs for them.

    Parameters
    ----------
    params, offsets, days, tolerance, max_steps
        See `solve`.

    Returns
    -------
    level, slope : array, shape (row, cell_type)
        As in `solve`.
    outcome, steps : array of int, shape (patient,)
        As in `solve`.
    tape : array
        First the number of records, then the records, each for all lanes.
    samples : array, shape (row, state + 1)
        States at the days, and the share of the step before them.
    """
    n_patient, n_row = params.shape[0], days.shape[0]
    level, slope = np.empty((n_row, N_OUT)), np.empty((n_row, N_OUT))
    outcome, steps = np.zeros(n_patient, np.int64), np.zeros(n_patient, np.int64)
    samples = np.empty((n_row, N_STATE + 1))
    queue = longest_first(offsets, days)
    tape = integrate(
        params, offsets, days, queue, tolerance, max_steps, False,
        level, slope, np.empty((0, N_OUT, N_PAR)), outcome, steps, samples,
    )  # fmt: skip
    blank_failures(offsets, level, slope, np.empty((0, N_OUT, N_PAR)), outcome)
    return level, slope, outcome, steps, tape, samples


@njit(cache=True, error_model="numpy", nogil=True)
def sweep(params, offsets, days, outcome, tape, samples, of_level):
    """Go back through the tape of `solve_with_tape`.

    Parameters
    ----------
    params, offsets, days
        As they were solved.
    outcome, tape, samples
        What came out.
    of_level : array, shape (row, cell_type)
        Derivatives of one number by the log levels.

    Returns
    -------
    array, shape (patient, parameter)
        Derivatives of the same number by the parameters; zero for a patient who was not solved.
    """
    result = np.zeros((params.shape[0], N_PAR))
    room = workspace(BACK_SIZE)
    for lane in range(LANES):
        room[WHO_BACK + lane] = -1.0
    for number in range(int(tape[0]) - 1, -1, -1):
        base = (1 + number * RECORD_SIZE) * LANES
        if patients_change(room, tape, number):
            for lane in range(LANES):
                seen = tape[base + RECORD_WHO + lane]
                if seen == room[WHO_BACK + lane]:
                    continue
                room[WHO_BACK + lane], room[ROW_BACK + lane] = seen, 0.0
                for i in range(N_STATE):
                    room[OF_END + i * LANES + lane] = room[OF_NEXT + i * LANES + lane] = 0.0
                for q in range(N_ACTING):
                    room[OF_ACTING + q * LANES + lane] = 0.0
                who = int(seen)
                if who < 0:
                    continue
                for q in range(N_PAR):
                    room[P_BACK + q * LANES + lane] = params[who, q]
                if outcome[who] == SOLVED:
                    room[ROW_BACK + lane] = offsets[who + 1]
            prepare_back(room)
        while samples_left(room, tape, number):
            for lane in range(LANES):
                due = room[ROW_BACK + lane] > tape[base + RECORD_ROW + lane]
                room[DUE_BACK + lane] = 1.0 if due else 0.0
                if due:
                    room[ROW_BACK + lane] -= 1.0
                    row = int(room[ROW_BACK + lane])
                    room[DAY_BACK + lane] = days[row]
                    room[FRACTION_BACK + lane] = samples[row, N_STATE]
                    for i in range(N_STATE):
                        room[Y_BACK + i * LANES + lane] = samples[row, i]
                    for j in range(N_OUT):
                        room[OF_LEVELS + j * LANES + lane] = of_level[row, j]
            see_samples(room, tape, number)
        if step_back(room, tape, number):
            for lane in range(LANES):
                who = int(tape[base + RECORD_WHO + lane])
                began = tape[base + RECORD_MARK + lane] == TOOK
                if began and who >= 0 and outcome[who] == SOLVED:
                    for q in range(N_PAR):
                        result[who, q] = room[OF_P + q * LANES + lane]
    return result
