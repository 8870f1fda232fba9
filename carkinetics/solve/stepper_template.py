"""The explicit solver: Tsitouras 5(4), eight patients per SIMD lane group, forward sensitivities.

This file is a working solver for one built-in example, exponential decay. The code generator
copies it and replaces the part between the two marks with the functions of a real model; what it
emits is therefore this file with other equations.

The layout of all work arrays is ``[index * LANES + lane]``, one flat array each, so that the
inner loops over lanes are free of branches and of aliasing doubts, and become SIMD code.

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

from carkinetics.solve.fastmath import exp, logistic  # noqa: F401

# --- model: begin ---
N_STATE, N_PAR, N_SHARED, N_SENS, N_OUT = 1, 2, 1, 2, 1
FLOOR = np.array([1e-6])


@njit(error_model="numpy")
def prepare(p, c):
    for lane in range(8):
        c[lane] = -p[8 + lane]


@njit(error_model="numpy")
def start(p, c, y, s, lane):
    y[lane] = p[lane]
    s[lane] = 1.0
    s[8 + lane] = 0.0


@njit(error_model="numpy")
def right_side(t, y, p, c, dy):
    for lane in range(t.shape[0]):
        dy[lane] = c[lane] * y[lane]


@njit(error_model="numpy")
def sensitivity_side(t, y, s, p, c, ds):
    for lane in range(t.shape[0]):
        ds[lane] = c[lane] * s[lane]
        ds[8 + lane] = c[lane] * s[8 + lane] - y[lane]


@njit(error_model="numpy")
def output(t, y, p, c, lane, level, slope):
    level[0] = np.log(y[0])
    slope[0] = c[lane]


@njit(error_model="numpy")
def output_sensitivity(t, y, s, p, c, lane, jacobian):
    jacobian[0, 0] = s[0] / y[0]
    jacobian[0, 1] = s[1] / y[0]


# --- model: end ---

LANES = 8
SOLVED, TOO_MANY_STEPS, NOT_FINITE = 0, 1, 2
FIRST_STEP, SMALLEST_STEP = 0.5, 1e-9  # [day]

C = np.array([0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0])
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
ERROR = np.array(
    [
        -0.00178001105222577714,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        0.015151515151515152,
    ]
)


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
    b[3] = (
        -16.54810288924490272
        * (x - 1.21712927295533244)
        * (x - 0.61620406037800089)
        * x
        * x
    )
    b[4] = (
        47.37952196281928122 * (x - 1.203071208372362603) * (x - 0.658047292653547382) * x * x
    )
    b[5] = -34.87065786149660974 * (x - 1.2) * (x - 0.666666666666666667) * x * x
    b[6] = 2.5 * (x - 1.0) * (x - 0.6) * x * x


@njit(error_model="numpy", fastmath={"contract"})
def stage_values(m, stage, h, y, k, out):
    """Set out = y + h * sum(a[stage, j] * k[j]); all arrays flat, h repeated per index."""
    # One long loop per stage, written out: short loops would pay for aliasing checks each time.
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


@njit(error_model="numpy", fastmath={"contract"})
def scaled_error(h, y, y_new, k, tolerance, error):
    """Set error to the largest scaled local error of the states, lane by lane."""
    for lane in range(LANES):
        error[lane] = 0.0
    for i in range(N_STATE):
        for lane in range(LANES):
            at = i * LANES + lane
            e = 0.0
            for j in range(7):
                e += ERROR[j] * k[j * N_STATE * LANES + at]
            size = max(abs(y[at]), abs(y_new[at]))
            # FLOOR < 0 marks a state kept as its logarithm: an absolute error there is a
            # relative error of the state itself.
            weight = tolerance * (size + FLOOR[i] if FLOOR[i] >= 0.0 else 1.0)
            ratio = abs(h[lane] * e) / weight
            # "not <=" instead of ">" so that NaN counts as the largest error.
            if not ratio <= error[lane]:
                error[lane] = ratio


@njit(error_model="numpy")
def next_step(error, previous, accepted):
    """Return the factor for the next step: a PI controller, bounded to [0.2, 6]."""
    if not np.isfinite(error):
        return 0.2
    e = max(error, 1e-10)
    if accepted:
        return min(6.0, max(0.2, 0.9 * e ** (-0.14) * max(previous, 1e-10) ** 0.08))
    return max(0.2, 0.9 * e ** (-0.2))


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
def accept(n, lane, y, y_new, k):
    """Make the end of the step the start of the next (the last slope becomes the first)."""
    m = n * LANES
    for i in range(n):
        at = i * LANES + lane
        y[at] = y_new[at]
        k[at] = k[6 * m + at]


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
def solve_lanes(
    params, offsets, days, lanes, n_lanes, tolerance, max_steps, with_sensitivity,
    level, slope, jacobian, outcome, steps,
):  # fmt: skip
    """Solve one lane group; ``lanes`` holds the patients, ``n_lanes`` how many of them are real."""
    n, m = N_STATE * LANES, N_SENS * LANES
    p, c = np.empty(N_PAR * LANES), np.zeros(max(N_SHARED, 1) * LANES)
    y, k, stage_y = np.zeros(n), np.zeros(7 * n), np.zeros((7, n))
    s, ks, s_new = np.zeros(m), np.zeros(7 * m), np.zeros(m)
    t, h, stage_t = np.zeros(LANES), np.full(LANES, FIRST_STEP), np.zeros((7, LANES))
    step_y, step_s = np.zeros(n), np.zeros(m)
    error, previous = np.zeros(LANES), np.ones(LANES)
    cursor, last = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    done = np.zeros(LANES, np.bool_)
    weights, y_at, s_at = np.empty(7), np.empty(N_STATE), np.empty(max(N_SENS, 1))

    for lane in range(LANES):
        patient = lanes[min(lane, n_lanes - 1)]
        for q in range(N_PAR):
            p[q * LANES + lane] = params[patient, q]
        cursor[lane], last[lane] = offsets[patient], offsets[patient + 1]
    prepare(p, c)
    for lane in range(LANES):
        start(p, c, y, s, lane)
        if lane < n_lanes:
            cursor[lane] = record(
                0.0, lane, cursor[lane], last[lane], days, 0.0, 0.0, y, k, s, ks, p, c, weights,
                y_at, s_at, with_sensitivity, level, slope, jacobian,
            )  # fmt: skip
        done[lane] = lane >= n_lanes or cursor[lane] >= last[lane]
    right_side(t, y, p, c, k[:n])
    if with_sensitivity:
        sensitivity_side(t, y, s, p, c, ks[:m])

    for _ in range(max_steps):
        running = False
        for lane in range(LANES):
            running |= not done[lane]
            h[lane] = 0.0 if done[lane] else min(h[lane], days[last[lane] - 1] - t[lane])
        if not running:
            return
        for i in range(N_STATE):
            step_y[i * LANES : (i + 1) * LANES] = h
        for stage in range(1, 7):
            stage_values(n, stage, step_y, y, k, stage_y[stage])
            for lane in range(LANES):
                stage_t[stage, lane] = t[lane] + C[stage] * h[lane]
            right_side(stage_t[stage], stage_y[stage], p, c, k[stage * n : (stage + 1) * n])
        scaled_error(h, y, stage_y[6], k, tolerance, error)
        if with_sensitivity:
            # A rejected step has length zero for the sensitivities: they follow accepted steps.
            for i in range(N_SENS):
                for lane in range(LANES):
                    step_s[i * LANES + lane] = h[lane] if error[lane] <= 1.0 else 0.0
            for stage in range(1, 7):
                stage_values(m, stage, step_s, s, ks, s_new)
                sensitivity_side(
                    stage_t[stage], stage_y[stage], s_new, p, c, ks[stage * m : (stage + 1) * m]
                )
        for lane in range(LANES):
            if done[lane]:
                continue
            steps[lanes[lane]] += 1
            if error[lane] <= 1.0:
                end, last_day = t[lane] + h[lane], days[last[lane] - 1]
                if last_day - end <= 1e-12 * last_day:
                    end = last_day
                cursor[lane] = record(
                    end, lane, cursor[lane], last[lane], days, t[lane], h[lane], y, k, s, ks, p,
                    c, weights, y_at, s_at, with_sensitivity, level, slope, jacobian,
                )  # fmt: skip
                accept(N_STATE, lane, y, stage_y[6], k)
                if with_sensitivity:
                    accept(N_SENS, lane, s, s_new, ks)
                t[lane] = end
                h[lane] *= next_step(error[lane], previous[lane], True)
                previous[lane] = error[lane]
                done[lane] = cursor[lane] >= last[lane]
            else:
                h[lane] *= next_step(error[lane], previous[lane], False)
                if h[lane] < SMALLEST_STEP:
                    outcome[lanes[lane]], done[lane] = NOT_FINITE, True
    for lane in range(n_lanes):
        if not done[lane]:
            outcome[lanes[lane]] = TOO_MANY_STEPS


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
        Days from the infusion [day].
    tolerance : float
        Local error per step, relative to the state.
    max_steps : int
        Steps, accepted and rejected, allowed to one lane group.
    with_sensitivity : bool
        Whether the derivatives are integrated too.

    Returns
    -------
    level : array, shape (row, cell_type)
        Natural logarithm of the latent level; NaN where the solve failed.
    slope : array, shape (row, cell_type)
        Its derivative by time [1/day].
    jacobian : array, shape (row, cell_type, parameter)
        Its derivatives by the parameters; empty without sensitivities.
    outcome : array of int, shape (patient,)
        0 solved, 1 too many steps, 2 not finite.
    steps : array of int, shape (patient,)
        Steps tried.
    """
    n_patient, n_row = params.shape[0], days.shape[0]
    level, slope = np.full((n_row, N_OUT), np.nan), np.full((n_row, N_OUT), np.nan)
    jacobian = np.zeros((n_row if with_sensitivity else 0, N_OUT, N_PAR))
    outcome, steps = np.zeros(n_patient, np.int64), np.zeros(n_patient, np.int64)
    # Patients followed equally long share a lane group, so that few lanes idle.
    follow_up = np.zeros(n_patient)
    for i in range(n_patient):
        if offsets[i + 1] > offsets[i]:
            follow_up[i] = days[offsets[i + 1] - 1]
    order = np.argsort(follow_up)
    for first in range(0, n_patient, LANES):
        n_lanes = min(LANES, n_patient - first)
        solve_lanes(
            params, offsets, days, order[first : first + n_lanes], n_lanes, tolerance, max_steps,
            with_sensitivity, level, slope, jacobian, outcome, steps,
        )  # fmt: skip
    for i in range(n_patient):
        for row in range(offsets[i], offsets[i + 1]):
            for j in range(N_OUT):
                if not np.isfinite(level[row, j]) and outcome[i] == SOLVED:
                    outcome[i] = NOT_FINITE
        if outcome[i] != SOLVED:
            level[offsets[i] : offsets[i + 1]] = np.nan
    return level, slope, jacobian, outcome, steps
