"""The implicit solver: published stiff models, exact solutions, derivatives, doses, fits."""

from __future__ import annotations

import csv
import functools
import os
from pathlib import Path

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.solve.codegen import generate
from carkinetics.solve.compiled import compile_implicit, compile_system, solve_system
from carkinetics.solve.elimination import elimination_lines, plan_elimination, solution_lines
from carkinetics.solve.solvable import seen_states, solvable
from carkinetics.solve.trajectory import right_side, solve_states

FREE = {
    "hardiansyah_2019": ("rE", "dE", "aE", "kin", "kout"),
    "singh_2021": (),
}


@functools.cache
def stiff_model(name):
    """The published model; where nothing varies in it, with priors around its own numbers."""
    model = ck.load_model(name)
    text = model.text
    for parameter in FREE[name]:
        value = float(model.parameters[parameter].value)
        head = f"[parameters.{parameter}]\n"
        prior = f'prior = "lognormal(median={value}, gsd=1.2)"\n'
        if head in text:
            text = text.replace(head, head + prior)
        else:
            text = text.replace(f"\n{parameter} = {{ ", f"\n{parameter} = {{ {prior.strip()}, ")
    return ck.Model.from_text(text, name)


@functools.cache
def compiled(name):
    return compile_system(stiff_model(name).system())


def numbers(name, n, seed=1, spread=0.1):
    """Parameters of n patients around the published ones; the first has those."""
    model = stiff_model(name)
    values = model.typical()
    typical = np.array([values[q] for q in model.system().parameters])
    rng = np.random.default_rng(seed)
    return typical * np.exp(
        spread * rng.normal(size=(n, len(typical))) * (np.arange(n) > 0)[:, None]
    )


def solve(solver, params, days, **options):
    n = len(params)
    found = solve_system(solver, params, np.arange(n + 1) * len(days), np.tile(days, n), **options)
    assert {outcome.name for outcome in found.outcome} == {"SOLVED"}
    return found


def by_lsoda(system, params, days, tolerance=1e-11):
    equations = right_side(system)
    rows = []
    for p in params:
        states, outcome = solve_states(equations, p, days, tolerance)
        assert outcome.name == "SOLVED"
        rows.append(equations.log_levels(days, states, p)[0].T)
    return np.concatenate(rows)


GOLDEN = {
    "Hardiansyah2019_UPN1": ("hardiansyah_2019", {}, 90, 0.005, "CART_peak_1e9", 200.0),
    "Hardiansyah2019_UPN3": ("hardiansyah_2019", "UPN3", 90, 0.005, "CART_peak_1e9", 200.0),
    "Singh2021_50e6": ("singh_2021", {"dose": 50e6}, 70, 0.05, "transgene_peak", 1.0),
    "Singh2021_800e6": ("singh_2021", {"dose": 800e6}, 70, 0.05, "transgene_peak", 1.0),
}


@pytest.mark.real_data
@pytest.mark.parametrize("label", GOLDEN)
def test_golden_numbers_of_stiff_models_are_met_by_the_implicit_solver(label):
    """Peak and its day on the grid of the file; 1e-5, from a solution by another method."""
    folder = os.environ.get("CARKINETICS_REAL_DATA")
    if not folder:
        pytest.skip("CARKINETICS_REAL_DATA is not set")
    name, values, last, step, what, per_level = GOLDEN[label]
    with (Path(folder) / "golden_odes" / "golden_ode_outputs.csv").open(encoding="utf-8") as file:
        golden = {
            row["quantity"]: float(row["value"])
            for row in csv.DictReader(file)
            if row["model"] == label
        }
    model = ck.load_model(name)
    model = model.with_values(model.cases["UPN3"].values if values == "UPN3" else values)
    days = np.arange(1, round(last / step) + 1) * step
    days = days[days > 1] if name == "singh_2021" else days
    system = model.system()
    params = np.array([[model.typical()[q] for q in system.parameters]])
    level = np.exp(solve(compile_system(system), params, days, tolerance=1e-7).log_level[:, 0])
    assert level.max() / per_level == pytest.approx(golden[what], rel=1e-5)
    assert days[level.argmax()] == pytest.approx(golden["T_peak"], abs=1.001 * step)


@pytest.mark.parametrize("name", FREE)
def test_levels_agree_with_lsoda(name):
    """LSODA at 1e-11; the error follows the tolerance."""
    params, days = numbers(name, 3), np.array([0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 16.0, 28.0, 60.0])
    exact = by_lsoda(stiff_model(name).system(), params, days)
    for tolerance, largest in ((1e-4, 1e-3), (1e-6, 2e-5), (1e-8, 1e-6)):
        found = solve(compiled(name), params, days, tolerance=tolerance, max_steps=100_000)
        assert np.abs(found.log_level - exact).max() < largest


@pytest.mark.parametrize("name", FREE)
def test_derivatives_of_stiff_models_agree_with_finite_differences(name):
    """Fourth-order differences at 1e-10, per relative change of a parameter."""
    params, days = numbers(name, 3), np.array([0.5, 2.0, 7.0, 14.0, 28.0, 60.0])
    options = {"tolerance": 1e-10, "max_steps": 200_000}
    found = solve(compiled(name), params, days, tolerance=1e-8, max_steps=200_000,
                  sensitivities=True)  # fmt: skip
    shape = (len(params), len(days), -1)
    for q in range(params.shape[1]):
        moved = []
        for k in (-2, -1, 1, 2):
            other = params.copy()
            other[:, q] *= 1 + 1e-3 * k
            moved.append(solve(compiled(name), other, days, **options).log_level)
        a, b, c, d = moved
        difference = ((a - 8 * b + 8 * c - d) / 12e-3).reshape(shape)
        exact = found.jacobian[:, 0, q].reshape(shape) * params[:, q][:, None, None]
        assert exact == pytest.approx(difference, rel=1e-4, abs=1e-4)


def test_both_methods_agree_where_nothing_is_stiff():
    """The default model: levels and derivatives of two methods that share no formula."""
    model = ck.load_model("cd4_cd8_expansion")
    system = model.system()
    values = model.typical("cells/uL")
    params = np.array([[values[q] for q in system.parameters]]) * np.ones((3, 1))
    params[1:] *= np.random.default_rng(2).lognormal(0, 0.2, params[1:].shape)
    days = np.array([0, 3, 7, 12, 14, 21, 28, 60, 180.0])
    options = {"tolerance": 1e-9, "max_steps": 20_000, "sensitivities": True}
    one = solve(compile_system(system), params, days, **options)
    two = solve(compile_implicit(system), params, days, **options)
    assert two.log_level == pytest.approx(one.log_level, abs=1e-7)
    assert two.slope == pytest.approx(one.slope, abs=1e-7)
    relative = params.repeat(len(days), axis=0)[:, None, :]
    assert two.jacobian * relative == pytest.approx(one.jacobian * relative, abs=1e-5)


def test_states_that_no_level_depends_on_are_left_out():
    """Three cytokines of Hardiansyah, and two proteins of Singh, follow the cells only."""
    for name, left_out in (("hardiansyah_2019", 3), ("singh_2021", 2)):
        equations = solvable(ck.load_model(name).system())
        assert len(equations.states) - len(seen_states(equations)) == left_out


def test_a_sparse_elimination_solves_its_equations():
    """Against numpy, on a matrix whose elimination makes new entries."""
    rng = np.random.default_rng(3)
    pattern = [(0, 1), (1, 2), (2, 0), (3, 1), (1, 3), (4, 0), (0, 4), (2, 2)]
    matrix = np.zeros((5, 5))
    for i, j in pattern:
        matrix[i, j] = rng.normal()
    plan = plan_elimination(5, pattern)
    assert len(plan.place) > len({*pattern, *((i, i) for i in range(5))})
    factors, k = np.zeros(len(plan.place)), rng.normal(size=5)
    expected = np.linalg.solve(3.0 * np.eye(5) - matrix, k)
    texts = {(i, j): repr(float(matrix[i, j])) for i, j in pattern}
    names = {
        "shift": 3.0, "factors": factors, "k": k,
        "load": lambda array, i: array[i], "store": lambda array, i, x: array.__setitem__(i, x),
    }  # fmt: skip
    lines = [*elimination_lines(plan, texts), *solution_lines(plan, {i: str(i) for i in range(5)})]
    exec("\n".join(lines), names)
    assert k == pytest.approx(expected, rel=1e-12)


def test_a_dose_is_a_known_day_of_the_explicit_solver_too():
    """Hardiansyah's split dose without its exchange with tissue, by LSODA."""
    system = stiff_model("hardiansyah_2019").with_values({"kin": 0.5, "kout": 0.5}).system()
    assert "HAS_DOSE = np.array([True, True]" in generate(system, stiff=False)
    solver = compile_system(system)
    values = stiff_model("hardiansyah_2019").typical()
    params = np.array([[values[q] for q in system.parameters]])
    days = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 4.0])
    found = solve(solver, params, days, tolerance=1e-9)
    assert found.log_level == pytest.approx(by_lsoda(system, params, days), abs=1e-6)


def test_a_stiff_model_has_the_density_and_gradient_of_a_fit():
    """Singh 2021 on simulated transgene levels: finite, and right by differences."""
    model = ck.load_model("singh_2021")
    cohort = ck.simulate(model, 3, seed=4)
    fitted = ck.build_model(model, cohort, assays=["qpcr"])
    point = fitted.initial_point()
    density, gradient = fitted.compile_logp(), fitted.compile_dlogp()
    assert np.isfinite(density(point))
    slopes, first = gradient(point), 0
    for variable in fitted.continuous_value_vars:
        value = np.asarray(point[variable.name], float)
        for place in list(np.ndindex(value.shape))[:2]:
            flat = int(np.ravel_multi_index(place, value.shape)) if place else 0
            step, pair = 1e-4, []
            for sign in (-1, 1):
                other = value.copy()
                other[place] += sign * step
                pair.append(density(point | {variable.name: other}))
            difference = (pair[1] - pair[0]) / (2 * step)
            assert slopes[first + flat] == pytest.approx(difference, rel=2e-3, abs=2e-2)
        first += value.size
