"""The explicit solver: Tsitouras 5(4), eight patients at once in SIMD lanes, sensitivities.

This file is a working solver for one built-in example, exponential decay. The code generator
copies it and replaces the part between the two marks with the functions of a real model; what it
emits is therefore this file with other equations.

The layout of all work arrays is ``[index * LANES + lane]``, one flat array each, so that the
inner loops over lanes are free of branches and become SIMD code. Each lane has its own step. A
lane that has reached its patient's last day takes the next patient, so that no lane idles for
long; no lane ever reads another, and a patient's result does not depend on the company.

Derivatives with respect to parameters are integrated along the accepted steps of the states:
value and gradient belong to the same discrete solution.

References
----------
Tsitouras, Ch. (2011). Runge-Kutta pairs of order 5(4) satisfying only the first column
simplifying assumption. Computers & Mathematics with Applications 62, 770-775,
doi 10.1016/j.camwa.2011.06.002 (coefficients and the free interpolant of order 4).
"""

from __future__ import annotations

import numpy as np
from numba import njit

# --- curve features: begin ---
from carkinetics.solve import curve_features as features

# --- curve features: end ---
from carkinetics.solve.fastmath import (  # noqa: F401
    exp,
    hill,
    hill_shape,
    hill_slope,
    log,
    logistic,
    softplus,
)

# --- model: begin ---
N_STATE, N_PAR, N_SHARED, N_SENS, N_OUT = 1, 2, 1, 2, 1
LOG_SCALE = np.array([False])
# The last moment before and the first after each known day on which the equations switch.
BEFORE, AFTER = np.empty(0), np.empty(0)


@njit(error_model="numpy")
def prepare(p, c, lane):
    """Compute what depends on the parameters only, for one lane."""
    c[lane] = -p[8 + lane]


@njit(error_model="numpy")
def start(p, c, y, s, lane):
    """Set states and sensitivities of one lane on day 0."""
    y[lane] = p[lane]
    s[lane] = 1.0
    s[8 + lane] = 0.0


@njit(error_model="numpy")
def right_side(t, y, p, c, dy):
    """Compute the time derivatives of the states."""
    for lane in range(t.shape[0]):
        dy[lane] = c[lane] * y[lane]


@njit(error_model="numpy")
def sensitivity_side(t, y, s, p, c, ds):
    """Compute the time derivatives of the sensitivities."""
    for lane in range(t.shape[0]):
        ds[lane] = c[lane] * s[lane]
        ds[8 + lane] = c[lane] * s[8 + lane] - y[lane]


@njit(error_model="numpy")
def level_scale(t, y, p, c, scale):
    """Compute how far each state must move to change a log level by one; 0 if none sees it."""
    for lane in range(t.shape[0]):
        scale[lane] = y[lane]


@njit(error_model="numpy")
def output(t, y, p, c, lane, level, slope):
    """Compute log levels and their time derivatives at one sample of one lane."""
    level[0] = log(y[0])
    slope[0] = c[lane]


@njit(error_model="numpy")
def output_sensitivity(t, y, s, p, c, lane, jacobian):
    """Compute the derivatives of the log levels at one sample of one lane."""
    jacobian[0, 0] = s[0] / y[0]
    jacobian[0, 1] = s[1] / y[0]


@njit(error_model="numpy")
def output_lanes(t, y, p, c, out):
    """Compute log levels, then their time derivatives, of all lanes."""
    for lane in range(t.shape[0]):
        out[lane] = log(y[lane])
        out[8 + lane] = c[lane]


@njit(error_model="numpy")
def output_sensitivity_lanes(t, y, s, p, c, jacobian):
    """Compute the derivatives of the log levels of all lanes."""
    for lane in range(t.shape[0]):
        jacobian[lane] = s[lane] / y[lane]
        jacobian[8 + lane] = s[8 + lane] / y[lane]


# --- model: end ---

LANES = 8
SIZE_Y, SIZE_S = N_STATE * LANES, N_SENS * LANES
SOLVED, TOO_MANY_STEPS, NOT_FINITE = 0, 1, 2
FIRST_STEP, SMALLEST_STEP = 0.5, 1e-9  # [day]
# Logarithm below which outputs take a state to be that small: a rate can still be divided by it.
LOWEST_LOG = -650.0
# Share of its largest value so far below which a state that no level shows counts as zero.
NEGLIGIBLE = 1e-9
ROUNDING = 1e-15

C2, C3, C4, C5 = 0.161, 0.327, 0.9, 0.9800255409045097
A21 = 0.161
A31, A32 = -0.008480655492356989, 0.335480655492357
A41, A42, A43 = 2.8971530571054935, -6.359448489975075, 4.3622954328695815
A51, A52, A53, A54 = (
    5.325864828439257,
    -11.748883564062828,
    7.4955393428898365,
    -0.09249506636175525,
)
A61, A62, A63, A64, A65 = (
    5.86145544294642,
    -12.92096931784711,
    8.159367898576159,
    -0.071584973281401,
    -0.028269050394068383,
)
A71, A72, A73, A74, A75, A76 = (
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
)
E1, E2, E3, E4, E5, E6, E7 = (
    -0.00178001105222577714,
    -0.0008164344596567469,
    0.007880878010261995,
    -0.1447110071732629,
    0.5823571654525552,
    -0.45808210592918697,
    0.015151515151515152,
)
STAGE = np.array([0.0, C2, C3, C4, C5, 1.0, 1.0])


@njit(error_model="numpy")
def interpolation_weights(x, b):
    """Fill the weights of the seven slopes at the fraction x of a step (order 4)."""
    b[0] = (
        -1.0530884977290216
        * x
        * (x - 1.3299890189751412)
        * (x * x - 1.4364028541716351 * x + 0.7139816917074209)
    )
    b[1] = 0.1017 * x * x * (x * x - 2.1966568338249754 * x + 1.2949852507374631)
    b[2] = 2.490627285651252793 * x * x * (x * x - 2.38535645472061657 * x + 1.57803468208092486)
    b[3] = -16.54810288924490272 * (x - 1.21712927295533244) * (x - 0.61620406037800089) * x * x
    b[4] = 47.37952196281928122 * (x - 1.203071208372362603) * (x - 0.658047292653547382) * x * x
    b[5] = -34.87065786149660974 * (x - 1.2) * (x - 0.666666666666666667) * x * x
    b[6] = 2.5 * (x - 1.0) * (x - 0.6) * x * x


def _stage_function(m):
    """Make the function that sets out = y + h * sum(a[stage, j] * k[j]); h repeated per index.

    The size is fixed, and each stage is one long loop, written out: that is what the compiler
    turns into SIMD code without a check per pass.
    """

    @njit(error_model="numpy", fastmath={"contract"})
    def stage_values(stage, h, y, k, out):
        if stage == 1:
            for i in range(m):
                out[i] = y[i] + h[i] * A21 * k[i]
        elif stage == 2:
            for i in range(m):
                out[i] = y[i] + h[i] * (A31 * k[i] + A32 * k[m + i])
        elif stage == 3:
            for i in range(m):
                out[i] = y[i] + h[i] * (A41 * k[i] + A42 * k[m + i] + A43 * k[2 * m + i])
        elif stage == 4:
            for i in range(m):
                out[i] = y[i] + h[i] * (
                    A51 * k[i] + A52 * k[m + i] + A53 * k[2 * m + i] + A54 * k[3 * m + i]
                )
        elif stage == 5:
            for i in range(m):
                out[i] = y[i] + h[i] * (
                    A61 * k[i]
                    + A62 * k[m + i]
                    + A63 * k[2 * m + i]
                    + A64 * k[3 * m + i]
                    + A65 * k[4 * m + i]
                )
        else:
            for i in range(m):
                out[i] = y[i] + h[i] * (
                    A71 * k[i]
                    + A72 * k[m + i]
                    + A73 * k[2 * m + i]
                    + A74 * k[3 * m + i]
                    + A75 * k[4 * m + i]
                    + A76 * k[5 * m + i]
                )

    return stage_values


stage_states, stage_sensitivities = _stage_function(SIZE_Y), _stage_function(SIZE_S)


@njit(error_model="numpy", fastmath={"contract"})
def try_step(t, step, limit, y, p, c, step_y, stage_t, stage_y, k):
    """Compute all stages of one step of every lane; the last one is the end of the step."""
    for i in range(N_STATE):
        for lane in range(step.shape[0]):
            step_y[i * LANES + lane] = step[lane]
    for stage in range(1, 7):
        at = stage_t[stage * LANES : (stage + 1) * LANES]
        for lane in range(t.shape[0]):
            # Up to a switch of the equations, every stage sees them as they are before it.
            at[lane] = min(t[lane] + STAGE[stage] * step[lane], limit[lane])
        here = stage_y[stage * SIZE_Y : (stage + 1) * SIZE_Y]
        stage_states(stage, step_y, y, k, here)
        right_side(at, here, p, c, k[stage * SIZE_Y : (stage + 1) * SIZE_Y])


@njit(error_model="numpy", fastmath={"contract"})
def scaled_errors(step_y, tolerance, y, y_new, k, scale, largest, raw, error):
    """Set error to the largest scaled local error of the states of each lane.

    A state kept as its logarithm has an absolute error, which is a relative error of the state.
    Any other is measured against itself at the start of the step and against what would
    change the log level by one: a state that the level does not show yet needs no digits. One
    that no level ever shows is measured against its largest value so far instead.
    """
    for i in range(SIZE_Y):
        raw[i] = step_y[i] * (
            E1 * k[i]
            + E2 * k[SIZE_Y + i]
            + E3 * k[2 * SIZE_Y + i]
            + E4 * k[3 * SIZE_Y + i]
            + E5 * k[4 * SIZE_Y + i]
            + E6 * k[5 * SIZE_Y + i]
            + E7 * k[6 * SIZE_Y + i]
        )
    for lane in range(error.shape[0]):
        error[lane] = 0.0
    for i in range(N_STATE):
        for lane in range(error.shape[0]):
            at = i * LANES + lane
            weight = tolerance
            if not LOG_SCALE[i]:
                new = abs(y_new[at])
                unseen = NEGLIGIBLE * max(largest[at], new)
                weight *= abs(y[at]) + (scale[at] if 0.0 < scale[at] < 1e300 else unseen)
                weight += ROUNDING * new + 1e-300
            ratio = abs(raw[at]) / weight
            # What is not a number counts as a very large error.
            ratio = ratio if ratio <= 1e30 else 1e30
            error[lane] = max(error[lane], ratio)


@njit(error_model="numpy", fastmath={"contract"})
def step_factors(error, log_previous, factor):
    """Set the factors for the next step: a PI controller, bounded to [0.2, 6]."""
    for lane in range(error.shape[0]):
        log_error = log(max(error[lane], 1e-10))
        accepted = error[lane] <= 1.0
        change = -0.14 * log_error + 0.08 * log_previous[lane] if accepted else -0.2 * log_error
        factor[lane] = min(6.0, max(0.2, 0.9 * exp(change)))
        log_previous[lane] = log_error if accepted else log_previous[lane]


@njit(error_model="numpy")
def accepted_steps(n, step, error, taken):
    """Set the step of each index: zero in lanes whose step was rejected."""
    for i in range(n):
        for lane in range(step.shape[0]):
            taken[i * LANES + lane] = step[lane] if error[lane] <= 1.0 else 0.0


@njit(error_model="numpy", fastmath={"contract"})
def keep_accepted(m, taken, y, y_new, k):
    """Make the end of each accepted step the start of the next; the last slope is the first."""
    for i in range(m):
        y[i] = y_new[i] if taken[i] > 0.0 else y[i]
        k[i] = k[6 * m + i] if taken[i] > 0.0 else k[i]


@njit(error_model="numpy")
def interpolate(n, lane, h, y, k, weights, at_sample):
    """Fill the states (or sensitivities) of one lane inside the step just made."""
    m = n * LANES
    for i in range(n):
        at, value = i * LANES + lane, 0.0
        for j in range(7):
            value += weights[j] * k[j * m + at]
        at_sample[i] = y[at] + h * value


@njit(error_model="numpy")
def record(
    upto, lane, cursor, last, days, t, h, y, k, s, ks, p, c, weights, y_at, s_at,
    with_sensitivity, level, slope, jacobian,
):  # fmt: skip
    """Write the output of one lane at its samples up to a day; return the next sample."""
    while cursor < last and days[cursor] <= upto:
        fraction = (days[cursor] - t) / h if h > 0.0 and days[cursor] > t else 0.0
        interpolation_weights(fraction, weights)
        interpolate(N_STATE, lane, h, y, k, weights, y_at)
        output(days[cursor], y_at, p, c, lane, level[cursor], slope[cursor])
        if with_sensitivity:
            interpolate(N_SENS, lane, h, s, ks, weights, s_at)
            output_sensitivity(days[cursor], y_at, s_at, p, c, lane, jacobian[cursor])
        cursor += 1
    return cursor


@njit(error_model="numpy")
def workspace(size):
    """Return zeros that begin where a cache line begins, so that SIMD loads touch one line."""
    buffer = np.zeros(size + 8)
    skip = (8 - (buffer.ctypes.data // 8) % 8) % 8
    return buffer[skip : skip + size]


@njit(error_model="numpy")
def longest_first(offsets, days):
    """Return the patients that have samples, those followed longest first (a Shell sort).

    Long ones first keeps all lanes busy until the end; a plain loop compiles faster than a
    library sort.
    """
    queue, follow_up, n = np.empty(offsets.shape[0], np.int64), np.empty(offsets.shape[0]), 0
    for i in range(offsets.shape[0] - 1):
        if offsets[i + 1] > offsets[i]:
            queue[n], follow_up[n] = i, days[offsets[i + 1] - 1]
            n += 1
    gap = 1
    while gap < n:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            patient, day, j = queue[i], follow_up[i], i
            while j >= gap and follow_up[j - gap] < day:
                queue[j], follow_up[j] = queue[j - gap], follow_up[j - gap]
                j -= gap
            queue[j], follow_up[j] = patient, day
        gap //= 3
    return queue[:n]


@njit(error_model="numpy")
def take_patient(lane, values, p, c, y, s, largest):
    """Put a patient into a lane, at the day of infusion."""
    for q in range(N_PAR):
        p[q * LANES + lane] = values[q]
    prepare(p, c, lane)
    start(p, c, y, s, lane)
    for i in range(N_STATE):
        largest[i * LANES + lane] = abs(y[i * LANES + lane])


# --- curve features: begin ---
@njit(error_model="numpy")
def lane_weights(fraction, h, weights, repeated):
    """Set the interpolation weights of all lanes, times the step, and repeat them per state."""
    for lane in range(fraction.shape[0]):
        interpolation_weights(fraction[lane], weights)
        for j in range(7):
            repeated[j * LANES + lane] = h[lane] * weights[j]


def _interpolation(n):
    """Make the function that fills states (or sensitivities) of all lanes at a place."""
    m = n * LANES

    @njit(error_model="numpy", fastmath={"contract"})
    def interpolate_lanes(b, y, k, out):
        for i in range(n):
            first = i * LANES
            for lane in range(b.shape[0] // 7):
                at = first + lane
                out[at] = y[at] + (
                    b[lane] * k[at]
                    + b[LANES + lane] * k[m + at]
                    + b[2 * LANES + lane] * k[2 * m + at]
                    + b[3 * LANES + lane] * k[3 * m + at]
                    + b[4 * LANES + lane] * k[4 * m + at]
                    + b[5 * LANES + lane] * k[5 * m + at]
                    + b[6 * LANES + lane] * k[6 * m + at]
                )

    return interpolate_lanes


states_at, sensitivities_at = _interpolation(N_STATE), _interpolation(N_SENS)


@njit(error_model="numpy")
def inside(lanes, t, h, place):
    """Fill log levels and slopes at a place inside the step of every lane."""
    for lane in range(t.shape[0]):
        lanes.day[lane] = t[lane] + place.fraction[lane] * h[lane]
    lane_weights(place.fraction, h, lanes.weights, lanes.repeated)
    states_at(lanes.repeated, lanes.y, lanes.k, lanes.y_at)
    output_lanes(lanes.day, lanes.y_at, lanes.p, lanes.c, place.out)


@njit(error_model="numpy")
def at_end(lanes, t, h, place):
    """Fill log levels and slopes at the end of the step of every lane."""
    for lane in range(t.shape[0]):
        lanes.day[lane] = t[lane] + h[lane]
    output_lanes(lanes.day, lanes.y_new, lanes.p, lanes.c, place.out)


@njit(error_model="numpy")
def gradient(lanes, t, h, place):
    """Fill the derivatives of the log levels where `inside` has just been called."""
    sensitivities_at(lanes.repeated, lanes.s, lanes.ks, lanes.s_at)
    output_sensitivity_lanes(lanes.day, lanes.y_at, lanes.s_at, lanes.p, lanes.c, place.jacobian)


# --- curve features: end ---
@njit(error_model="numpy")
def integrate(
    params, offsets, days, queue, tolerance, max_steps, with_sensitivity,
    level, slope, jacobian, outcome, steps,
    # --- curve features: begin ---
    wanted, found,
    # --- curve features: end ---
):  # fmt: skip
    """Solve the patients of the queue, eight at a time."""
    p, c = workspace(N_PAR * LANES), workspace(N_SHARED * LANES)
    y, k, stage_y = workspace(SIZE_Y), workspace(7 * SIZE_Y), workspace(7 * SIZE_Y)
    s, ks, s_new = workspace(SIZE_S), workspace(7 * SIZE_S), workspace(SIZE_S)
    step_y, step_s, raw = workspace(SIZE_Y), workspace(SIZE_S), workspace(SIZE_Y)
    scale, largest = workspace(SIZE_Y), workspace(SIZE_Y)
    t, h, step, limit = workspace(LANES), workspace(LANES), workspace(LANES), workspace(LANES)
    stage_t, error = workspace(7 * LANES), workspace(LANES)
    log_previous, factor = workspace(LANES), workspace(LANES)
    cursor, last = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    patient, switch = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    weights, y_at, s_at = np.empty(7), np.empty(N_STATE), np.empty(N_SENS)
    y_new = stage_y[6 * SIZE_Y :]
    waiting, running, fresh = 0, 0, False
    for lane in range(LANES):
        patient[lane] = -1
    # --- curve features: begin ---
    lanes = features.Lanes(
        y, y_new, k, s, ks, p, c, weights,
        workspace(LANES), workspace(7 * LANES), workspace(SIZE_Y), workspace(SIZE_S),
    )  # fmt: skip
    progress = features.make_progress(LANES, N_OUT, N_PAR, wanted)
    place, final = features.make_place(LANES, N_OUT, N_PAR), np.zeros(LANES)
    # --- curve features: end ---

    while True:
        for lane in range(LANES):
            if patient[lane] < 0 and waiting < queue.shape[0]:
                who = queue[waiting]
                take_patient(lane, params[who], p, c, y, s, largest)
                patient[lane], cursor[lane], last[lane] = who, offsets[who], offsets[who + 1]
                t[lane], h[lane], log_previous[lane], switch[lane] = 0.0, FIRST_STEP, 0.0, 0
                waiting, running, fresh = waiting + 1, running + 1, True
                # --- curve features: begin ---
                final[lane] = features.begin(lane, who, wanted, progress, days[last[lane] - 1])
                # --- curve features: end ---
        if running == 0:
            return
        if fresh:
            # The other lanes get again what they have: the slope at the end of their last step.
            right_side(t, y, p, c, k[:SIZE_Y])
            if with_sensitivity:
                sensitivity_side(t, y, s, p, c, ks[:SIZE_S])
            fresh = False

        for lane in range(LANES):
            limit[lane], step[lane] = np.inf, 0.0
            if switch[lane] < BEFORE.shape[0]:
                limit[lane] = BEFORE[switch[lane]]
            if patient[lane] >= 0:
                end = min(limit[lane], days[last[lane] - 1])
                # --- curve features: begin ---
                end = min(limit[lane], final[lane])
                # --- curve features: end ---
                step[lane] = max(0.0, min(h[lane], end - t[lane]))
        try_step(t, step, limit, y, p, c, step_y, stage_t, stage_y, k)
        level_scale(t, y, p, c, scale)
        scaled_errors(step_y, tolerance, y, y_new, k, scale, largest, raw, error)
        step_factors(error, log_previous, factor)
        if with_sensitivity:
            accepted_steps(N_SENS, step, error, step_s)
            for stage in range(1, 7):
                stage_sensitivities(stage, step_s, s, ks, s_new)
                sensitivity_side(
                    stage_t[stage * LANES : (stage + 1) * LANES],
                    stage_y[stage * SIZE_Y : (stage + 1) * SIZE_Y],
                    s_new, p, c, ks[stage * SIZE_S : (stage + 1) * SIZE_S],
                )  # fmt: skip

        # --- curve features: begin ---
        features.follow(
            inside, at_end, gradient, lanes, patient, error, t, step, wanted, progress, place, found
        )
        # --- curve features: end ---
        for lane in range(LANES):
            who = patient[lane]
            if who < 0:
                continue
            steps[who] += 1
            before, h[lane] = h[lane], step[lane] * factor[lane]
            if error[lane] <= 1.0:
                end, last_day = t[lane] + step[lane], days[last[lane] - 1]
                # --- curve features: begin ---
                last_day = final[lane]
                # --- curve features: end ---
                if step[lane] < before:
                    # Cut short by a switch or by the last sample, and not by the error.
                    end, h[lane] = min(limit[lane], last_day), max(before, h[lane])
                end = max(end, t[lane])
                if days[cursor[lane]] <= end:
                    cursor[lane] = record(
                        end, lane, cursor[lane], last[lane], days, t[lane], step[lane],
                        y, k, s, ks, p, c, weights, y_at, s_at, with_sensitivity,
                        level, slope, jacobian,
                    )  # fmt: skip
                t[lane] = end
                if end >= limit[lane]:
                    t[lane], fresh = AFTER[switch[lane]], True
                    switch[lane] += 1
                    # --- curve features: begin ---
                    progress.state[lane] = max(progress.state[lane], features.SWITCHED)
                    # --- curve features: end ---
            elif h[lane] < SMALLEST_STEP:
                outcome[who] = NOT_FINITE
            if steps[who] >= max_steps and cursor[lane] < last[lane]:
                outcome[who] = TOO_MANY_STEPS
            # --- curve features: begin ---
            if steps[who] >= max_steps and t[lane] < final[lane]:
                outcome[who] = TOO_MANY_STEPS
            if cursor[lane] >= last[lane] and t[lane] < final[lane] and outcome[who] == SOLVED:
                continue
            # --- curve features: end ---
            if cursor[lane] >= last[lane] or outcome[who] != SOLVED:
                patient[lane], running = -1, running - 1
        accepted_steps(N_STATE, step, error, step_y)
        keep_accepted(SIZE_Y, step_y, y, y_new, k)
        for i in range(SIZE_Y):
            largest[i] = max(largest[i], abs(y[i]))
        if with_sensitivity:
            keep_accepted(SIZE_S, step_s, s, s_new, ks)


@njit(error_model="numpy")
def mark_failures(offsets, level, slope, jacobian, outcome):
    """Name what came out without being finite; leave no number in the rows of a failure."""
    for i in range(outcome.shape[0]):
        finite = True
        for row in range(offsets[i], offsets[i + 1]):
            for j in range(N_OUT):
                finite &= np.isfinite(level[row, j]) and np.isfinite(slope[row, j])
                for q in range(N_PAR if jacobian.shape[0] > 0 else 0):
                    finite &= np.isfinite(jacobian[row, j, q])
        if not finite and outcome[i] == SOLVED:
            outcome[i] = NOT_FINITE
        if outcome[i] != SOLVED:
            for row in range(offsets[i], offsets[i + 1]):
                for j in range(N_OUT):
                    level[row, j] = slope[row, j] = np.nan
                    for q in range(N_PAR if jacobian.shape[0] > 0 else 0):
                        jacobian[row, j, q] = np.nan


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
    mark_failures(offsets, level, slope, jacobian, outcome)
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
    mark_failures(offsets, level, slope, jacobian, outcome)
    features.mark_failed_features(wanted, found, outcome, SOLVED, NOT_FINITE)
    return (
        level, jacobian, found.log_area, found.area_jacobian, found.log_peak,
        found.peak_jacobian, found.peak_day, outcome, steps,
    )  # fmt: skip


# --- curve features: end ---
