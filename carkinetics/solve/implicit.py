"""One linearly implicit step of all lanes (Rodas5P), and its derivatives by the parameters.

A stage i solves ``(I / (h gamma) - J) k_i = f(y + sum a_ij k_j) + h d_i f_t + sum c_ij k_j / h``,
J and the derivative f_t of the rates by time taken at the start of the step; the sum of all
increments is the end of the step. The sensitivities are those of these formulas themselves: each
stage is derived by the parameters, ``(I / (h gamma) - J) k_i' = (right side)' + J' k_i``, with the
same factorization. So value and gradient belong to the same discrete solution. Nothing is pivoted:
a step short enough makes the matrix diagonally dominant, and a step too long has a large error.

References
----------
Hairer E, Wanner G (1996). Solving Ordinary Differential Equations II, second edition, section IV.7,
doi 10.1007/978-3-642-05221-7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from carkinetics.solve.control import Method, Sizes, scaled_error
from carkinetics.solve.fastmath import maximum, minimum
from carkinetics.solve.lanes import Array, Table, Value, each, load, local, select, store, when
from carkinetics.solve.rodas import BETWEEN, DAY, GAMMA, IN_TIME, SIDE, STAGES, STATE


class Linear(NamedTuple):
    """Generated functions that only this method needs, and the sizes of what they fill.

    Attributes
    ----------
    factor : function (shift, t, y, p, c, factors, second)
        Factorize ``shift * I - J``, and keep the second derivatives of the rates.
    solve_states, solve_sensitivities : function (stage, factors, k)
        Solve for the right side in place.
    bend : function (stage, second, s, k, p, c, bent)
        Fill the derivative of ``J k``, k held fixed, by every parameter.
    slopes_in_time : function (t, y, s, p, c, in_time, s_in_time)
        Fill the derivatives of the rates by time, and their derivatives by every parameter.
    """

    factor: Callable[..., Any]
    solve_states: Callable[..., Any]
    solve_sensitivities: Callable[..., Any]
    bend: Callable[..., Any]
    slopes_in_time: Callable[..., Any]
    n_factor: int
    n_second: int


def make_method(
    sizes: Sizes,
    log_scale: tuple[bool, ...],
    right_side: Callable[..., Any],
    sensitivity_side: Callable[..., Any],
    linear: Linear,
) -> Method:
    """Make the functions of the method for the equations of one model; see the explicit one."""
    n_state, n_sens, n_memo = sizes.state, sizes.sens, sizes.memo
    n_factor, n_second = linear.n_factor, linear.n_second
    factor, solve_states, solve_sensitivities = linear[:3]
    bend, slopes_in_time = linear[3:5]
    # Increments k and ks instead of slopes, the factors of the matrix, the second derivatives, and
    # derivatives by time.
    vectors = {
        "k": STAGES * n_state, "stage_t": STAGES, "stage_y": STAGES * n_state,
        "slope": STAGES * n_state, "memo": STAGES * n_memo, "scale": STAGES * n_state,
        "factors": n_factor, "second": n_second, "in_time": n_state, "y_new": n_state,
        "ks": STAGES * n_sens, "s_stage": n_sens, "s_slope": STAGES * n_sens, "bent": n_sens,
        "s_in_time": n_sens, "s_new": n_sens,
    }  # fmt: skip

    def refresh(fresh, work, with_sensitivity):
        pass

    def try_step(h, tolerance, work):
        # A lane that waits takes a step of a day, which nobody keeps.
        moving = h > 0.0
        h = select(moving, h, 1.0)
        factor(1.0 / (h * GAMMA), work.t, work.y, work.p, work.c, work.factors, work.second)
        slopes_in_time(work.t, work.y, work.s, work.p, work.c, work.in_time, work.s_in_time)
        for stage in each(STAGES):
            day = minimum(load(work.t, 0) + DAY[stage] * h, load(work.limit, 0))
            store(work.stage_t, stage, day)
            for i in each(n_state):
                change = _combined(n_state, STATE, stage, i, work.k)
                store(work.stage_y, stage * n_state + i, load(work.y, i) + change)
            right_side(
                stage, work.stage_t, work.stage_y, work.p, work.c, work.slope, work.memo, work.scale
            )
            for i in each(n_state):
                side = load(work.slope, stage * n_state + i)
                side = side + h * (IN_TIME[stage] * load(work.in_time, i))
                side = side + _combined(n_state, SIDE, stage, i, work.k) / h
                store(work.k, stage * n_state + i, side)
            solve_states(stage, work.factors, work.k)
        error = 0.0
        for i in range(n_state):
            change = load(work.k, (STAGES - 1) * n_state + i)
            end = load(work.stage_y, (STAGES - 1) * n_state + i) + change
            store(work.y_new, i, select(moving, end, load(work.y, i)))
            shown, largest = load(work.scale, i), load(work.largest, i)
            ratio = scaled_error(
                change, load(work.y, i), end, shown, largest, tolerance, log_scale[i], 1e-14
            )
            error = maximum(error, ratio)
        return select(moving, error, 0.0)

    def sensitivity_step(h, work):
        moving = h > 0.0
        h = select(moving, h, 1.0)
        for stage in each(STAGES):
            for i in each(n_sens):
                change = _combined(n_sens, STATE, stage, i, work.ks)
                store(work.s_stage, i, load(work.s, i) + change)
            sensitivity_side(stage, work.memo, work.s_stage, work.p, work.c, work.s_slope)
            bend(stage, work.second, work.s, work.k, work.p, work.c, work.bent)
            for i in each(n_sens):
                side = load(work.s_slope, stage * n_sens + i) + load(work.bent, i)
                side = side + h * (IN_TIME[stage] * load(work.s_in_time, i))
                side = side + _combined(n_sens, SIDE, stage, i, work.ks) / h
                store(work.ks, stage * n_sens + i, side)
            solve_sensitivities(stage, work.factors, work.ks)
        for i in each(n_sens):
            end = load(work.s_stage, i) + load(work.ks, (STAGES - 1) * n_sens + i)
            store(work.s_new, i, select(moving, end, load(work.s, i)))

    def states_between(fraction, h, work, out):
        _between(n_state, fraction, h, work.y, work.k, out)

    def sensitivities_between(fraction, h, work, out):
        _between(n_sens, fraction, h, work.s, work.ks, out)

    def state_at_end(i, work):
        return load(work.y_new, i)

    def keep(accepted, work, with_sensitivity):
        for i in each(n_state):
            store(work.y, i, select(accepted, load(work.y_new, i), load(work.y, i)))
        with when(with_sensitivity):
            for i in each(n_sens):
                store(work.s, i, select(accepted, load(work.s_new, i), load(work.s, i)))

    return Method(
        vectors, refresh, try_step, sensitivity_step, states_between, sensitivities_between,
        state_at_end, keep,
    )  # fmt: skip


def _combined(n: int, factors: Table, stage: Any, i: Any, k: Array) -> Value:
    """Return the sum of the increments of the stages before, each with its factor."""
    total = local(1)
    store(total, 0, 0.0)
    for j in each(stage):
        store(total, 0, load(total, 0) + factors[stage, j] * load(k, j * n + i))
    return load(total, 0)


def _between(n: int, fraction: Value, h: Value, y: Array, k: Array, out: Array) -> None:
    """Fill n vectors at a fraction of the step; where there was no step, those of its start."""
    rest = 1.0 - fraction
    for i in each(n):
        total = 0.0
        for j in range(STAGES):
            bend = BETWEEN[0, j] + fraction * (BETWEEN[1, j] + fraction * BETWEEN[2, j])
            total = total + fraction * (STATE[STAGES, j] + rest * bend) * load(k, j * n + i)
        store(out, i, load(y, i) + select(h > 0.0, total, 0.0))
