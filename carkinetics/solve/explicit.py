"""One explicit step of all lanes (Tsitouras 5(4)), and the sensitivities along it.

Derivatives with respect to parameters are integrated along the accepted steps of the states:
value and gradient belong to the same discrete solution. What both need at a stage is computed with
the states and remembered in ``memo``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carkinetics.solve.control import Method, Sizes, scaled_error
from carkinetics.solve.fastmath import maximum, minimum
from carkinetics.solve.lanes import each, load, select, store, when
from carkinetics.solve.tsitouras import (
    STAGE,
    interpolate,
    interpolation_weights,
    local_error,
    stage_values,
)


def make_method(
    sizes: Sizes,
    log_scale: tuple[bool, ...],
    right_side: Callable[..., Any],
    sensitivity_sides: tuple[tuple[int, Callable[..., Any]], ...],
) -> Method:
    """Make the functions of the method for the equations of one model.

    Parameters
    ----------
    sizes : Sizes
        Numbers of states, sensitivities and so on.
    log_scale : tuple of bool
        Which states are logarithms.
    right_side : function of lanes
        See ``stepper_template.py``.
    sensitivity_sides : tuple of (int, function of lanes)
        Groups of sensitivities that do not need each other: the number after the last of each
        group, and the function that computes their time derivatives.
    """
    n_state, n_sens, n_memo = sizes.state, sizes.sens, sizes.memo
    # Slopes and states at the seven stages; the same of sensitivities.
    vectors = {
        "k": 7 * n_state, "stage_t": 7, "stage_y": 7 * n_state, "memo": 7 * n_memo,
        "scale": 7 * n_state, "ks": 7 * n_sens, "s_new": n_sens, "weights": 7,
        "fresh_k": n_state, "fresh_scale": n_state, "fresh_ks": n_sens,
    }  # fmt: skip

    def refresh(fresh, work, with_sensitivity):
        # Only where asked: compiled twice, the same formula may round in two ways.
        right_side(0, work.t, work.y, work.p, work.c, work.fresh_k, work.memo, work.fresh_scale)
        for i in each(n_state):
            store(work.k, i, select(fresh, load(work.fresh_k, i), load(work.k, i)))
            store(work.scale, i, select(fresh, load(work.fresh_scale, i), load(work.scale, i)))
        with when(with_sensitivity):
            for _, side in sensitivity_sides:
                side(0, work.memo, work.s, work.p, work.c, work.fresh_ks)
            for i in each(n_sens):
                store(work.ks, i, select(fresh, load(work.fresh_ks, i), load(work.ks, i)))

    def try_step(h, tolerance, work):
        for stage in each(1, 7):
            # Up to a switch of the equations, every stage sees them as they are before it.
            day = minimum(load(work.t, 0) + STAGE[stage] * h, load(work.limit, 0))
            store(work.stage_t, stage, day)
            states = (0, n_state)
            stage_values(n_state, states, stage, h, work.y, work.k, work.stage_y, stage * n_state)
            right_side(
                stage, work.stage_t, work.stage_y, work.p, work.c, work.k, work.memo, work.scale
            )
        error = 0.0
        for i in range(n_state):
            local, new = local_error(n_state, i, h, work.k), load(work.stage_y, 6 * n_state + i)
            shown, largest = load(work.scale, i), load(work.largest, i)
            ratio = scaled_error(
                local, load(work.y, i), new, shown, largest, tolerance, log_scale[i], 1e-15
            )
            error = maximum(error, ratio)
        return error

    def sensitivity_step(h, work):
        # All stages of a group before the next group: they stay in the nearest cache.
        low = 0
        for high, side in sensitivity_sides:
            for stage in each(1, 7):
                stage_values(n_sens, (low, high), stage, h, work.s, work.ks, work.s_new, 0)
                side(stage, work.memo, work.s_new, work.p, work.c, work.ks)
            low = high

    def states_between(fraction, h, work, out):
        interpolation_weights(fraction, h, work.weights)
        interpolate(n_state, work.weights, work.y, work.k, out)

    def sensitivities_between(fraction, h, work, out):
        interpolation_weights(fraction, h, work.weights)
        interpolate(n_sens, work.weights, work.s, work.ks, out)

    def state_at_end(i, work):
        return load(work.stage_y, 6 * n_state + i)

    def keep(accepted, work, with_sensitivity):
        # The last slope is the first of the next step.
        for i in each(n_state):
            store(work.y, i, select(accepted, load(work.stage_y, 6 * n_state + i), load(work.y, i)))
            last, first = load(work.k, 6 * n_state + i), load(work.k, i)
            store(work.k, i, select(accepted, last, first))
            last, first = load(work.scale, 6 * n_state + i), load(work.scale, i)
            store(work.scale, i, select(accepted, last, first))
        with when(with_sensitivity):
            for i in each(n_sens):
                store(work.s, i, select(accepted, load(work.s_new, i), load(work.s, i)))
                last, first = load(work.ks, 6 * n_sens + i), load(work.ks, i)
                store(work.ks, i, select(accepted, last, first))

    return Method(
        vectors, refresh, try_step, sensitivity_step, states_between, sensitivities_between,
        state_at_end, keep,
    )  # fmt: skip
