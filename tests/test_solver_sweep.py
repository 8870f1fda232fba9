"""Derivatives by a reverse sweep: those of the sensitivities, and of finite differences."""

from __future__ import annotations

import dataclasses
import functools
import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import carkinetics as ck
from carkinetics.errors import SolverOutcome
from carkinetics.solve import swept_op
from carkinetics.solve.compiled import compile_system, compile_taped, solve_system
from carkinetics.solve.contraction import contract
from carkinetics.solve.op import log_levels
from carkinetics.solve.optimize_once import optimize_once
from carkinetics.solve.swept_op import TapedLogLevels
from tests.test_solver_gradients import EVERYTHING
from tests.test_solver_wide import draws

DAYS = np.array([-1, 0, 0, 2, 4.5, 5, 6.25, 8, 11, 12, 13, 18, 28, 60, 120, 365.0])
MODELS = ["cd4_cd8_antigen", "antigen_escape", "cd4_cd8_expansion", "wu_2025", "everything"]


@functools.cache
def load(name):
    if name == "everything":
        return ck.Model.from_text(EVERYTHING, name)
    return ck.load_model(name)


def around_typical(model, n, seed, spread=0.3):
    """Parameters some tenths of their logarithm around the typical ones."""
    rng = np.random.default_rng(seed)
    typical = model.typical()
    values = np.array([typical[name] for name in model.system().parameters])
    return values * np.exp(spread * rng.standard_normal((n, len(values))))


def swept(system, params, offsets, days, weights, tolerance=1e-7, max_steps=20_000):
    """Return log levels, outcomes, and the gradient of the weighted sum of the levels."""
    taped = compile_taped(system)
    with optimize_once():
        level, _, outcome, _, tape, samples = taped.solve_with_tape(
            params, offsets, days, tolerance, max_steps
        )
        gradient = taped.sweep(params, offsets, days, outcome, tape, samples, weights)
    return level, outcome, gradient


def together(n, days=DAYS):
    return np.arange(n + 1) * len(days), np.tile(days, n)


def weights_for(system, rows, seed=3):
    return np.random.default_rng(seed).standard_normal((rows, len(system.cell_types)))


@pytest.mark.parametrize(("tolerance", "agreement"), [(1e-4, 1e-7), (1e-9, 1e-10)])
@pytest.mark.parametrize("name", MODELS)
def test_both_ways_give_the_derivatives_of_the_same_discrete_solution(name, tolerance, agreement):
    """Of a patient's largest slope: 1e-10, and 1e-7 at a loose tolerance, where a rounding error
    moves the next steps more. The discrete solution itself is wrong by far more than that. Days
    before the infusion, twice the same day and days of a switch are among them.
    """
    model = load(name)
    system, params = model.system(), around_typical(model, 21, seed=1)
    offsets, days = together(21)
    weights = weights_for(system, len(days))
    level, outcome, gradient = swept(system, params, offsets, days, weights, tolerance)
    known = solve_system(
        compile_system(system), params, offsets, days,
        tolerance=tolerance, max_steps=20_000, sensitivities=True,
    )  # fmt: skip
    assert (outcome == 0).all()
    assert level == pytest.approx(known.log_level, abs=agreement)
    exact = contract(weights, known.jacobian, offsets) * params
    largest = np.abs(exact).max(axis=1, keepdims=True)
    assert (np.abs(gradient * params - exact) <= agreement * largest).all()


@pytest.mark.parametrize("name", ["cd4_cd8_antigen", "everything"])
def test_the_sweep_agrees_with_finite_differences(name):
    """200 places; fourth-order differences at tolerance 1e-12, 1e-6 of a patient's largest slope.

    A curve of the antigen-driven model rises where its antigen does: some places are close to its
    maximum, and to a half saturation.
    """
    model = load(name)
    system, params = model.system(), around_typical(model, 200, seed=4, spread=0.2)
    offsets, days = together(200, DAYS[2:12])
    weights = weights_for(system, len(days))
    _, outcome, gradient = swept(system, params, offsets, days, weights, 1e-10)
    assert (outcome == 0).all()
    differences = np.empty(params.shape)
    for q in range(params.shape[1]):
        sums = []
        for k in (-2, -1, 1, 2):
            moved = params.copy()
            moved[:, q] *= 1 + 5e-4 * k
            level = swept(system, moved, offsets, days, weights, 1e-12, 100_000)[0]
            sums.append(np.add.reduceat((weights * level).sum(axis=1), offsets[:-1]))
        a, b, c, d = sums
        differences[:, q] = (a - 8 * b + 8 * c - d) / (12 * 5e-4)
    error = np.abs(gradient * params - differences).max(axis=1)
    assert (error / np.abs(differences).max(axis=1)).max() < 1e-6


@pytest.mark.parametrize("factor", [1, 2])
def test_wide_priors_give_the_same_failures_and_gradients_as_sensitivities(factor):
    """1e-6 of a patient's largest slope; 4,000 draws, a fixed seed, so no false alarm."""
    params = draws("cd4_cd8_antigen", 4_000, 41, factor)
    system = load("cd4_cd8_antigen").system()
    offsets, days = together(4_000)
    weights = weights_for(system, len(days))
    _, outcome, gradient = swept(system, params, offsets, days, weights, 1e-6, 5_000)
    known = solve_system(
        compile_system(system), params, offsets, days, sensitivities=True, fall_back=False
    )
    solved = np.array([found is SolverOutcome.SOLVED for found in known.outcome])
    assert ((outcome == 0) == solved).all()
    exact = contract(weights, np.nan_to_num(known.jacobian), offsets) * params
    error = np.abs(gradient * params - exact).max(axis=1)[solved]
    assert (error <= 1e-6 * np.abs(exact).max(axis=1)[solved]).all()
    assert (gradient[~solved] == 0).all()


def test_nobody_sees_the_company_in_the_lanes():
    """Bit for bit: alone, or among others who are followed for longer, shorter or not at all."""
    model = load("cd4_cd8_antigen")
    system, params = model.system(), around_typical(model, 30, seed=5)
    rng = np.random.default_rng(6)
    own = [np.sort(rng.uniform(0, 200, count)) for count in rng.integers(0, 12, 30)]
    offsets = np.append(0, np.cumsum([len(days) for days in own]))
    weights = weights_for(system, offsets[-1])
    _, _, gradient = swept(system, params, offsets, np.concatenate(own), weights)
    assert (gradient[[len(days) == 0 for days in own]] == 0).all()
    for i, days in enumerate(own):
        rows = weights[offsets[i] : offsets[i + 1]]
        alone = swept(system, params[i : i + 1], np.array([0, len(days)]), days, rows)[2]
        assert (alone[0] == gradient[i]).all()


def test_a_failed_patient_has_no_gradient_and_disturbs_nobody():
    model = load("cd4_cd8_antigen")
    system, params = model.system(), around_typical(model, 20, seed=7)
    offsets, days = together(20)
    weights = weights_for(system, len(days))
    good = swept(system, params, offsets, days, weights)[2]
    params[[3, 17], 0] = np.nan, -np.inf
    _, outcome, gradient = swept(system, params, offsets, days, weights)
    assert np.flatnonzero(outcome).tolist() == [3, 17]
    assert (gradient[[3, 17]] == 0).all()
    others = np.delete(np.arange(20), [3, 17])
    assert (gradient[others] == good[others]).all()


def test_a_cohort_of_nobody_has_no_gradient():
    system = load("cd4_cd8_antigen").system()
    params, whole = np.empty((0, len(system.parameters))), np.zeros(1, np.int64)
    nothing = np.empty((0, len(system.cell_types)))
    assert swept(system, params, whole, np.empty(0), nothing)[2].shape == params.shape


def test_the_cheaper_way_is_chosen_by_the_number_of_derivatives():
    """Measured: docs/decisions/0003. Doses and stiff models keep their sensitivities."""
    names = [*MODELS, "singh_2021", "hardiansyah_2019"]
    solvers = {name: compile_system(load(name).system()) for name in names}
    swept = [name for name, found in solvers.items() if found.taped is not None]
    assert swept == ["cd4_cd8_antigen", "antigen_escape"]


def op_function(compiled, mode, offsets, days, **options):
    """Compile params -> loss, gradient, outcome."""
    params = pt.dmatrix("params")
    level, outcome = log_levels(compiled, params, offsets, days, **options)
    weights = np.cos(np.arange(len(days) * 2)).reshape(-1, 2)
    loss = (level * weights).sum() + (level**2).sum() / 100
    results = [loss, pytensor.grad(loss, params), outcome]
    return pytensor.function([params], results, mode=mode)


def test_the_operation_gives_the_same_by_sweep_and_by_sensitivities_in_both_modes():
    """1e-10 of the largest slope; one of the patients fails."""
    model = load("cd4_cd8_antigen")
    compiled = compile_system(model.system())
    params = around_typical(model, 10, seed=8)
    params[4, 2] = np.nan
    offsets, days = together(10)
    by_sensitivities = dataclasses.replace(compiled, taped=None)
    known = op_function(by_sensitivities, "NUMBA", offsets, days)(params)
    for mode in ("FAST_COMPILE", "NUMBA"):
        loss, gradient, outcome = op_function(compiled, mode, offsets, days)(params)
        assert outcome.tolist() == known[2].tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
        assert loss == pytest.approx(known[0], rel=1e-12)
        difference, exact = (gradient - known[1]) * params, known[1] * params
        assert np.nanmax(np.abs(difference)) <= 1e-10 * np.nanmax(np.abs(exact))
        assert (gradient[4] == 0).all()


def test_one_solve_and_one_sweep_give_value_and_gradient():
    offsets, days = together(3)
    compiled = compile_system(load("cd4_cd8_antigen").system())
    run = op_function(compiled, "FAST_COMPILE", offsets, days)
    kinds = [type(node.op).__name__ for node in run.maker.fgraph.toposort()]
    assert kinds.count("TapedLogLevels") == kinds.count("SweptGradient") == 1
    assert "LogLevels" not in kinds


def test_an_operation_finds_its_solver_again_in_another_process(monkeypatch):
    """Unpickled where the model was never loaded: the solver comes from the cache folder."""
    model = load("cd4_cd8_antigen")
    taped = compile_taped(model.system())
    operation = TapedLogLevels(taped.source_hash, 1e-6, 5000)
    other = pickle.loads(pickle.dumps(operation))
    assert other == operation
    monkeypatch.setattr(swept_op, "_COMPILED", {})
    offsets, days = together(2)
    params = around_typical(model, 2, seed=9)
    inputs = pt.dmatrix(), pt.lvector(), pt.dvector()
    level = other(*inputs)[0]
    f = pytensor.function(inputs, pytensor.grad(level.sum(), inputs[0]), mode="FAST_COMPILE")
    ones = np.ones((len(days), 2))
    exact = swept(model.system(), params, offsets, days, ones, 1e-6)[2]
    assert f(params, offsets, days) == pytest.approx(exact, rel=1e-12)


def test_a_patient_solved_by_the_implicit_method_gets_his_gradient_from_its_jacobian():
    """Here nobody but him; `tests/test_solver_second_try.py` has one among others."""
    text = ck.load_model("singh_2021").text.replace("stiff = true\n", "")
    compiled = compile_system(ck.Model.from_text(text, "not_marked_as_stiff").system())
    assert compiled.taped is not None
    typical = ck.load_model("singh_2021").typical()
    params = np.array([[typical[name] for name in compiled.parameters]])
    offsets, days = np.array([0, 5]), np.array([1.0, 3, 7, 14, 28])
    p = pt.dmatrix()
    level, outcome = log_levels(compiled, p, offsets, days, max_steps=1_000)
    f = pytensor.function([p], [level, outcome, pytensor.grad(level.sum(), p)], mode="NUMBA")
    found, outcome, gradient = f(params)
    assert compiled.implicit is not None
    known = compiled.implicit()(params, offsets, days, 1e-6, 1_000, True)
    assert outcome.tolist() == [0]
    assert found == pytest.approx(known[0], rel=1e-12)
    assert gradient == pytest.approx(contract(np.ones((5, 1)), known[2], offsets), rel=1e-9)
