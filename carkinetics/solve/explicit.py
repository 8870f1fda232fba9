"""One explicit step of all lanes (Tsitouras 5(4)), and the sensitivities along it.

Derivatives with respect to parameters are integrated along the accepted steps of the states:
value and gradient belong to the same discrete solution. What both need at a stage is computed with
the states and remembered in ``memo``.
"""

from __future__ import annotations

import itertools
from collections import namedtuple
from collections.abc import Callable
from typing import Any

from carkinetics.solve.control import Method, Sizes, make_scaled_error
from carkinetics.solve.fastmath import maximum, minimum
from carkinetics.solve.lanes import inlined, load, select, spread, store
from carkinetics.solve.queue import workspace
from carkinetics.solve.tsitouras import (
    STAGE,
    interpolation_weights,
    local_error,
    make_interpolation,
    make_stages,
)

# Arrays of the lanes: parameters, numbers that follow from them, begin and end of what the
# equations allow; states, slopes and states at the seven stages; the same of sensitivities.
Work = namedtuple(
    "Work",
    "p c t limit y k stage_t stage_y memo scale largest s ks s_new weights "
    "fresh_k fresh_scale fresh_ks",
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
    right_side : compiled function
        See ``stepper_template.py``.
    sensitivity_sides : tuple of (int, compiled function)
        Groups of sensitivities that do not need each other: the number after the last of each
        group, and the function that computes their time derivatives.
    """
    n_state, n_sens, n_memo = sizes.state, sizes.sens, sizes.memo
    n_par, n_shared = sizes.par, sizes.shared
    stage_states = make_stages(n_state, 0, n_state)
    all_sides, sensitivity_step = _nothing, _nothing
    for (low, _), (high, side) in itertools.pairwise(((0, _nothing), *sensitivity_sides)):
        all_sides = _one_after_the_other(all_sides, side)
        step = _make_group_step(n_sens, low, high, side)
        sensitivity_step = _one_after_the_other(sensitivity_step, step)
    scaled_error = make_scaled_error(log_scale, 1e-15)
    states_at, sensitivities_at = make_interpolation(n_state), make_interpolation(n_sens)

    @inlined
    def make_work():
        return Work(
            workspace(n_par), workspace(n_shared), workspace(1), workspace(1),
            workspace(n_state), workspace(7 * n_state), workspace(7), workspace(7 * n_state),
            workspace(7 * n_memo), workspace(7 * n_state), workspace(n_state),
            workspace(n_sens), workspace(7 * n_sens), workspace(n_sens), workspace(7),
            workspace(n_state), workspace(n_state), workspace(n_sens),
        )  # fmt: skip

    @inlined
    def refresh(fresh, work, with_sensitivity):
        # Only where asked: compiled twice, the same formula may round in two ways.
        right_side(0, work.t, work.y, work.p, work.c, work.fresh_k, work.memo, work.fresh_scale)
        for i in range(n_state):
            store(work.k, i, select(fresh, load(work.fresh_k, i), load(work.k, i)))
            store(work.scale, i, select(fresh, load(work.fresh_scale, i), load(work.scale, i)))
        if with_sensitivity:
            all_sides(0, work.memo, work.s, work.p, work.c, work.fresh_ks)
            for i in range(n_sens):
                store(work.ks, i, select(fresh, load(work.fresh_ks, i), load(work.ks, i)))

    @inlined
    def try_step(h, tolerance, work):
        for stage in range(1, 7):
            # Up to a switch of the equations, every stage sees them as they are before it.
            day = minimum(load(work.t, 0) + STAGE[stage] * h, load(work.limit, 0))
            store(work.stage_t, stage, day)
            stage_states(stage, h, work.y, work.k, work.stage_y, stage * n_state)
            right_side(
                stage, work.stage_t, work.stage_y, work.p, work.c, work.k, work.memo, work.scale
            )
        error = spread(0.0)
        for i in range(n_state):
            local, new = local_error(n_state, i, h, work.k), load(work.stage_y, 6 * n_state + i)
            shown, largest = load(work.scale, i), load(work.largest, i)
            ratio = scaled_error(i, local, load(work.y, i), new, shown, largest, tolerance)
            error = maximum(error, ratio)
        return error

    @inlined
    def states_between(fraction, h, work, out):
        interpolation_weights(fraction, h, work.weights)
        states_at(work.weights, work.y, work.k, out)

    @inlined
    def sensitivities_between(fraction, h, work, out):
        interpolation_weights(fraction, h, work.weights)
        sensitivities_at(work.weights, work.s, work.ks, out)

    @inlined
    def state_at_end(i, work):
        return load(work.stage_y, 6 * n_state + i)

    @inlined
    def keep(accepted, work, with_sensitivity):
        # The last slope is the first of the next step.
        for i in range(n_state):
            store(work.y, i, select(accepted, load(work.stage_y, 6 * n_state + i), load(work.y, i)))
            last, first = load(work.k, 6 * n_state + i), load(work.k, i)
            store(work.k, i, select(accepted, last, first))
            last, first = load(work.scale, 6 * n_state + i), load(work.scale, i)
            store(work.scale, i, select(accepted, last, first))
        if with_sensitivity:
            for i in range(n_sens):
                store(work.s, i, select(accepted, load(work.s_new, i), load(work.s, i)))
                last, first = load(work.ks, 6 * n_sens + i), load(work.ks, i)
                store(work.ks, i, select(accepted, last, first))

    return Method(
        make_work, refresh, try_step, sensitivity_step, states_between, sensitivities_between,
        state_at_end, keep,
    )  # fmt: skip


def _make_group_step(n: int, low: int, high: int, side: Callable[..., Any]) -> Callable[..., Any]:
    """Make the step of the sensitivities from number `low` to the one before `high`.

    All stages of a group are done before the next group: they stay in the nearest cache.
    """
    stages = make_stages(n, low, high)

    @inlined
    def step(h, work):
        for stage in range(1, 7):
            stages(stage, h, work.s, work.ks, work.s_new, 0)
            side(stage, work.memo, work.s_new, work.p, work.c, work.ks)

    return step


@inlined
def _nothing(*arguments):
    pass


def _one_after_the_other(
    first: Callable[..., Any], second: Callable[..., Any]
) -> Callable[..., Any]:
    @inlined
    def both(*arguments):
        first(*arguments)
        second(*arguments)

    return both
