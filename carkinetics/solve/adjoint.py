"""The steps of `carkinetics.solve.explicit` backwards: a discrete adjoint, for all lanes.

A sweep goes through the steps from the last to the first and carries the derivatives of one number,
say of a log likelihood, by the states: their cotangents. What that costs does not depend on the
number of parameters. The steps are those that were taken, with their lengths held fixed, as for
sensitivities: both give the derivatives of the same discrete solution.

With slopes k_j at the stages y_j of a step of length h, weights a_ij of the method and b_j of its
interpolation at a sample, a bar for a cotangent and J for the Jacobian of the equations,

    k_j bar = sum over samples of b_j y_sample bar + h sum over i > j of a_ij y_i bar
    y_j bar = J(y_j)^T k_j bar

from the last stage on, which is the first of the next step: it brings the cotangent of its slope
along. The cotangents of the numbers through which parameters act are summed over all stages.

References
----------
Alexe, M., Sandu, A. (2009). On the discrete adjoints of adaptive time stepping algorithms. Journal
of Computational and Applied Mathematics 233(4), 1005-1020.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from carkinetics.solve.fastmath import minimum
from carkinetics.solve.lanes import each, load, select, store, when
from carkinetics.solve.tsitouras import STAGE, WEIGHTS, interpolation_weights, slope_cotangents

STAGES = len(WEIGHTS)


class Adjoint(NamedTuple):
    """Functions of lanes; `work` holds the arrays of the sweep, `record` those of a step.

    A record has the day ``t`` and the length ``h`` of the step (0 where it was rejected), its
    ``limit`` (see `carkinetics.solve.control.Method`), its states ``y`` at all stages, and
    ``mark``, which is not zero where a lane began anew.

    Attributes
    ----------
    vectors : mapping of str to int
        Names and sizes of the arrays of its own.
    see_samples : function (record, work)
        Take up the cotangents of the log levels of a sample in the step, where one is due.
    step_back : function (record, work)
        Take the cotangents of the states from the end of the step to its start.
    begin_back : function (record, work)
        Go back through the first slope in the lanes that began anew.
    """

    vectors: Mapping[str, int]
    see_samples: Callable[..., Any]
    step_back: Callable[..., Any]
    begin_back: Callable[..., Any]


def make_adjoint(
    n_state: int,
    n_acting: int,
    first_direct: int,
    n_direct: int,
    pull_back: Callable[..., Any],
    output_back: Callable[..., Any],
) -> Adjoint:
    """Make the functions for the equations of one model.

    Parameters
    ----------
    n_state, n_acting : int
        States, and numbers through which parameters act.
    first_direct, n_direct : int
        Which of these numbers log levels depend on directly.
    pull_back : function of lanes (stage, t, y, p, c, of_slopes, of_states, of_acting)
        From the cotangents of the slopes at a stage, set those of its states and add to those of
        the numbers.
    output_back : function of lanes (t, y, p, c, of_levels, of_states, of_acting)
        From the cotangents of the log levels, set those of the states and of the direct numbers.
    """
    vectors = {
        # Cotangents: of all slopes and states of a step; of the state at its end, and of the slope
        # there that the next step brings; of the numbers; what samples add to the first state.
        "of_slopes": STAGES * n_state, "of_states": STAGES * n_state, "of_end": n_state,
        "of_next": n_state, "of_acting": n_acting, "of_first": n_state,
        # Days of the stages; a sample: day, place inside the step, states and their cotangents.
        "stage_t": STAGES, "day_at": 1, "fraction": 1, "y_at": n_state, "of_y_at": n_state,
        "of_direct": n_direct, "weights": STAGES,
    }  # fmt: skip

    def see_samples(record, work):
        due = load(work.due, 0) > 0.0
        output_back(
            work.day_at, work.y_at, work.p, work.c, work.of_levels, work.of_y_at, work.of_direct
        )
        interpolation_weights(load(work.fraction, 0), load(record.h, 0), work.weights)
        for i in each(n_state):
            seen = select(due, load(work.of_y_at, i), 0.0)
            store(work.of_first, i, load(work.of_first, i) + seen)
            for stage in range(STAGES):
                place = stage * n_state + i
                gained = load(work.weights, stage) * seen
                store(work.of_slopes, place, load(work.of_slopes, place) + gained)
        for q in each(n_direct):
            seen = select(due, load(work.of_direct, q), 0.0)
            place = first_direct + q
            store(work.of_acting, place, load(work.of_acting, place) + seen)

    def step_back(record, work):
        h, last = load(record.h, 0), (STAGES - 1) * n_state
        moved = h > 0.0
        for stage in range(STAGES):
            day = minimum(load(record.t, 0) + STAGE[stage] * h, load(record.limit, 0))
            store(work.stage_t, stage, day)
        for i in each(n_state):
            brought = select(moved, load(work.of_next, i), 0.0)
            store(work.of_slopes, last + i, load(work.of_slopes, last + i) + brought)
        for back in each(STAGES - 1):
            stage = STAGES - 1 - back
            slope_cotangents(n_state, stage, h, work.of_states, work.of_slopes)
            pull_back(
                stage, work.stage_t, record.y, work.p, work.c, work.of_slopes, work.of_states,
                work.of_acting,
            )  # fmt: skip
            with when(stage == STAGES - 1):
                for i in each(n_state):
                    own = load(work.of_states, last + i)
                    store(work.of_states, last + i, own + load(work.of_end, i))
        slope_cotangents(n_state, 0, h, work.of_states, work.of_slopes)
        for i in each(n_state):
            total = load(work.of_first, i)
            for stage in range(1, STAGES):
                total = total + load(work.of_states, stage * n_state + i)
            store(work.of_end, i, total)
            store(work.of_next, i, select(moved, load(work.of_slopes, i), load(work.of_next, i)))
            store(work.of_first, i, 0.0)
        for k in each(STAGES * n_state):
            store(work.of_slopes, k, 0.0)

    def begin_back(record, work):
        anew = load(record.mark, 0) > 0.0
        for i in each(n_state):
            store(work.of_slopes, i, select(anew, load(work.of_next, i), 0.0))
            store(work.of_next, i, select(anew, 0.0, load(work.of_next, i)))
        # The first stage, with the equations as they are on its day.
        pull_back(
            0, record.t, record.y, work.p, work.c, work.of_slopes, work.of_states, work.of_acting
        )
        for i in each(n_state):
            seen = select(anew, load(work.of_states, i), 0.0)
            store(work.of_end, i, load(work.of_end, i) + seen)
            store(work.of_slopes, i, 0.0)

    return Adjoint(vectors, see_samples, step_back, begin_back)
