"""A patient whose curve is too stiff for the explicit solver is solved all the same in a fit."""

from __future__ import annotations

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba import njit

import carkinetics as ck
from carkinetics.solve import second_try
from carkinetics.solve.compiled import DEFAULT_TOLERANCE, compile_system, solve_system
from carkinetics.solve.op import log_levels
from carkinetics.solve.second_try import announce, key_of, second_try_if_needed

# The second patient is followed long enough for the explicit solver to run out of steps.
DAYS = np.array([1.0, 3.0, 5.0, 1.0, 3.0, 7.0, 14.0, 28.0, 1.0, 2.0])
OFFSETS = np.array([0, 3, 8, 10])
FEW_STEPS = 1_000


@functools.cache
def solver():
    """The model of Singh 2021, as if nobody had said that it is stiff."""
    text = ck.load_model("singh_2021").text.replace("stiff = true\n", "")
    model = ck.Model.from_text(text, "not_marked_as_stiff")
    return model, compile_system(model.system())


def solver_of(way):
    """Return the solver whose gradient comes from a sweep, or from sensitivities."""
    compiled = solver()[1]
    assert compiled.taped is not None
    return compiled if way == "sweep" else dataclasses.replace(compiled, taped=None)


def three_patients():
    model, compiled = solver()
    values = model.typical()
    typical = np.array([values[name] for name in compiled.parameters])
    return typical * np.array([[0.99], [1.0], [1.01]])


def function(mode, max_steps=FEW_STEPS, way="sweep"):
    """Compile params -> levels, outcomes, and the gradient of the sum of levels."""
    params = pt.dmatrix("params")
    level, outcome = log_levels(solver_of(way), params, OFFSETS, DAYS, max_steps=max_steps)
    gradient = pytensor.grad(level.sum(), params)
    return pytensor.function([params], [level[:, 0], outcome, gradient], mode=mode)


def explicitly(params, max_steps):
    return solve_system(
        solver()[1], params, OFFSETS, DAYS,
        max_steps=max_steps, sensitivities=True, fall_back=False,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["sweep", "sensitivities"])
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
def test_the_operation_tries_the_implicit_solver_before_it_calls_a_patient_failed(mode, way):
    """Levels to 1e-4 and derivatives to 1e-3 of an explicit solve with enough steps."""
    params = three_patients()
    few, enough = explicitly(params, FEW_STEPS), explicitly(params, 10_000)
    assert [outcome.name for outcome in few.outcome] == ["SOLVED", "TOO_MANY_STEPS", "SOLVED"]
    level, outcome, gradient = function(mode, way=way)(params)
    assert outcome.tolist() == [0, 0, 0]
    assert level == pytest.approx(enough.log_level[:, 0], abs=1e-4)
    slopes = np.add.reduceat(enough.jacobian[:, 0], OFFSETS[:-1])
    assert gradient * params == pytest.approx(slopes * params, rel=1e-3, abs=1e-3)
    # The others keep the numbers of the explicit solver, bit for bit.
    others = np.r_[0:3, 8:10]
    if way == "sweep":
        taped, options = solver()[1].taped(), (DEFAULT_TOLERANCE, FEW_STEPS)
        known = taped.solve_with_tape(params, OFFSETS, DAYS, *options)[0]
    else:
        known = few.log_level
    assert (level[others] == known[others, 0]).all()


@pytest.mark.parametrize("way", ["sweep", "sensitivities"])
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
def test_a_patient_that_neither_solver_solves_stays_a_counted_failure(mode, way):
    """Five steps are too few for both."""
    level, outcome, gradient = function(mode, max_steps=5, way=way)(three_patients())
    assert outcome.tolist() == [1, 1, 1]
    assert (level == 0).all()
    assert (gradient == 0).all()


@pytest.mark.parametrize("way", ["sweep", "sensitivities"])
def test_ordinary_draws_never_ask_for_the_implicit_solver(monkeypatch, way):
    """Nor does one whose numbers are not finite: no other method would help it."""
    asked = []
    run = function("NUMBA", max_steps=10_000, way=way)
    compiled = solver_of(way)
    key = key_of((compiled.taped() if way == "sweep" else compiled).source_hash)
    monkeypatch.setitem(second_try._SECOND, key, lambda: asked.append(1))
    params = three_patients()
    assert run(params)[1].tolist() == [0, 0, 0]
    params[1, 0] = np.nan
    assert run(params)[1].tolist() == [0, 2, 0]
    assert not asked


def test_chains_without_the_interpreter_lock_may_ask_at_once():
    """As in a sampler: several threads, none holding the lock, each with a patient of its own."""
    compiled = solver()[1]
    announce(key_of(compiled.source_hash), compiled.implicit)
    solve, key = compiled.solve, key_of(compiled.source_hash)

    @njit(nogil=True)
    def run(params, offsets, days, tolerance, most, wanted):
        level, slope, jacobian, outcome, steps = solve(
            params, offsets, days, tolerance, most, wanted
        )
        second_try_if_needed(
            key, params, offsets, days, tolerance, most, level, slope, jacobian, outcome, steps
        )
        return level, outcome

    options = 1e-6, np.int64(FEW_STEPS), np.bool_(True)
    params = three_patients()
    alone, outcome = run(params, OFFSETS, DAYS, *options)
    assert outcome.tolist() == [0, 0, 0]
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: run(params, OFFSETS, DAYS, *options), range(8)))
    for level, outcome in several:
        assert outcome.tolist() == [0, 0, 0]
        assert (level == alone).all()
