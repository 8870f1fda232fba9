"""Maxima and areas taken while stepping: against tight solutions, SciPy, and finite differences."""

from __future__ import annotations

import functools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.integrate import quad, solve_ivp

import carkinetics as ck
from carkinetics.equations import NUMERIC
from carkinetics.solve.codegen import generate
from carkinetics.solve.compiled import compile_curves, compile_system, solve_system
from carkinetics.solve.curves import latent_levels
from carkinetics.solve.curves_op import log_curves

BOTH, TOTAL = ("CD4", "CD8"), ("total",)
UNTIL = 60.0
VISITS = np.array([0.0, 7.0, 14.0, 28.0, 90.0])
AREA_DAYS = np.array([7.0, 28.0, 45.5])


@functools.cache
def solver(cell_types=BOTH):
    model = ck.load_model("cd4_cd8_expansion", cell_types)
    return model, compile_curves(model.system())


def prior_draws(model, n, seed):
    rng = np.random.default_rng(seed)
    priors = [model.parameters[name.split("[")[0]] for name in model.system().parameters]
    return np.column_stack([p.prior_for("cells/uL").sample(rng, n) for p in priors])


def curves_of(compiled, params, tolerance=1e-6, until=UNTIL, areas=AREA_DAYS):
    """Return peaks, areas (patient, day, cell_type), their Jacobians, and days of peaks."""
    n, cells = len(params), len(compiled.cell_types)
    columns = np.arange(cells + 1 if cells > 1 else cells)
    _, _, area, area_jacobian, peak, peak_jacobian, day, outcome, _ = compiled.solve(
        np.ascontiguousarray(params), np.arange(n + 1) * len(VISITS), np.tile(VISITS, n),
        np.arange(n + 1) * len(areas), np.tile(areas, n), until, columns, tolerance, 200_000,
    )  # fmt: skip
    assert (outcome == 0).all()
    shape = (n, len(areas), cells)
    return {
        "peak": peak, "peak_jacobian": peak_jacobian, "day": day, "area": area.reshape(shape),
        "area_jacobian": area_jacobian.reshape(*shape, -1),
    }  # fmt: skip


def test_a_curve_that_starts_below_the_smallest_number_has_its_peak_and_area():
    model, compiled = solver(TOTAL)
    values = model.typical() | {"doubling_time": 0.011, "level_at_gate": 600.0}
    found = curves_of(compiled, np.array([[values[n] for n in model.system().parameters]]))
    assert all(np.isfinite(array).all() for array in found.values())
    highest, _ = model.derived(values)["effector_peak_level[total]"]
    # Memory cells add a thousandth.
    assert found["peak"][0, 0] == pytest.approx(np.log(highest), abs=2e-3)


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_peaks_are_those_of_a_tight_solution(cell_types):
    """1e-5 of ln level at the default tolerance, all curves, 200 patients from the priors."""
    model, compiled = solver(cell_types)
    params = prior_draws(model, 200, seed=1)
    found = curves_of(compiled, params)
    days = np.arange(0, UNTIL + 0.001, 0.01)
    exact = latent_levels(model.system(), params, days, tolerance=1e-11)
    assert np.abs(found["peak"] - exact.log_level.max(axis=2)).max() < 3e-5
    assert np.abs(found["day"] - days[exact.log_level.argmax(axis=2)]).max() < 0.011


def test_areas_agree_with_scipy_quad_of_a_tight_scipy_solution():
    """1e-5 relative, as the total of both cell types and each alone."""
    model, compiled = solver()
    system = model.system()
    params = prior_draws(model, 6, seed=2)
    found = curves_of(compiled, params)["area"]
    for i, values in enumerate(params):
        curve = scipy_levels(system, values)
        for j in range(2):
            for k, day in enumerate(AREA_DAYS):
                points = [values[list(system.parameters).index("gate_day")]]
                exact = quad(
                    lambda t, j=j, curve=curve: curve(t)[j], 0, day, points=points, limit=500,
                    epsabs=0, epsrel=1e-10,
                )[0]  # fmt: skip
                assert found[i, k, j] == pytest.approx(np.log(exact), abs=1e-5)


def scipy_levels(system, values):
    """Levels as a function of the day, by SciPy's DOP853 on the natural equations."""
    import sympy

    symbols = [system.time, *system.state_symbols, *system.parameter_symbols]
    rhs = sympy.lambdify(symbols, list(system.rhs), [NUMERIC, "numpy"])
    level = sympy.lambdify(symbols, list(system.levels), [NUMERIC, "numpy"])
    start = sympy.lambdify(list(system.parameter_symbols), list(system.start), [NUMERIC, "numpy"])
    solved = solve_ivp(
        lambda t, y: rhs(t, *y, *values), (0, 50), np.array(start(*values), float),
        method="DOP853", rtol=1e-12, atol=1e-14, dense_output=True, max_step=0.25,
    )  # fmt: skip
    return lambda t: level(t, *solved.sol(t), *values)


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
@pytest.mark.parametrize("what", ["peak", "area"])
def test_gradients_agree_with_finite_differences(cell_types, what):
    """1e-6 of the largest derivative of a patient; differences at tolerance 1e-12."""
    model, compiled = solver(cell_types)
    params = prior_draws(model, 12, seed=11)
    size = np.maximum(np.abs(params), 0.1)
    jacobian = curves_of(compiled, params, tolerance=1e-11)[f"{what}_jacobian"]
    columns = []
    for q in range(params.shape[1]):
        step = 2e-4 * size[:, q]
        moved = []
        for k in (-2, -1, 1, 2):
            other = params.copy()
            other[:, q] += k * step
            moved.append(curves_of(compiled, other, tolerance=1e-12)[what])
        a, b, c, d = moved
        columns.append((a - 8 * b + 8 * c - d) / (12 * 2e-4))
    exact = np.stack(columns, axis=-1).reshape(len(params), -1, params.shape[1])
    scaled = jacobian.reshape(exact.shape) * size[:, None, :]
    error = np.abs(scaled - exact).max(axis=(1, 2))
    assert (error / np.abs(exact).max(axis=(1, 2))).max() < 1e-6


def test_a_peak_before_its_day_is_the_end_point():
    """Growth goes on at the horizon: the maximum is there, whatever the area days are."""
    model, compiled = solver()
    params = prior_draws(model, 5, seed=3)
    params[:, list(model.system().parameters).index("gate_day")] = 20.0
    found = curves_of(compiled, params, until=10.0)
    exact = latent_levels(model.system(), params, np.array([0.0, 10.0]), tolerance=1e-11)
    np.testing.assert_allclose(found["day"], 10.0, atol=1e-9)
    np.testing.assert_allclose(found["peak"], exact.log_level[:, :, 1], atol=1e-5)
    plain = compile_system(model.system())
    level = solve_system(plain, params, np.arange(6), np.full(5, 10.0), sensitivities=True)
    np.testing.assert_allclose(found["peak_jacobian"][:, :2], level.jacobian, atol=1e-3)


TWO_HILLS = """
[model]
title = "Two hills"
summary = "The level rises and falls twice; a known day makes it jump in slope."
reference = "none"
time = "day"
[subsets]
cell_type = ["total"]
[constants.turn]
value = 12
unit = "day"
label = "day of the second maximum"
source = "test"
standing = "choice"
[constants.up]
value = 4
unit = "day"
label = "switch"
source = "test"
standing = "choice"
[constants.down]
value = 8
unit = "day"
label = "switch"
source = "test"
standing = "choice"
[states.E]
unit = "level"
scale = "log"
start = "level_0"
label = "cells"
[equations]
E = "where(t < up, first, where(t < down, -first, second * (1 - t / turn))) * E"
[observed.flow]
unit = "cells/uL"
is = "E"
error = "lognormal"
sigma = "halfnormal(0.4)"
label = "flow"
[parameters.level_0]
unit = "level"
label = "start"
prior = { "cells/uL" = "lognormal(median=1, gsd=2)" }
source = "test"
standing = "choice"
[parameters.first]
unit = "1/day"
label = "first slope"
prior = "lognormal(median=1, gsd=1.5)"
source = "test"
standing = "choice"
[parameters.second]
unit = "1/day"
label = "second slope"
prior = "lognormal(median=1, gsd=1.5)"
source = "test"
standing = "choice"
"""


def test_the_highest_of_several_maxima_is_kept_kinks_included():
    """First hill: a kink on a known day. Second hill: smooth, on day 12."""
    model = ck.Model.from_text(TWO_HILLS, "two_hills")
    compiled = compile_curves(model.system())
    params = np.array([[1.0, 2.0, 0.1], [1.0, 0.2, 6.0]])
    found = curves_of(compiled, params, tolerance=1e-9, areas=np.array([20.0]))
    np.testing.assert_allclose(found["day"][:, 0], [4.0, 12.0], atol=1e-6)
    assert found["peak"][0, 0] == pytest.approx(8.0, abs=0.2)
    # At a kink the maximum moves with the slope that leads to it: d ln level(4) / d first = 4.
    assert found["peak_jacobian"][0, 0, 1] == pytest.approx(4.0, abs=1e-2)


def test_the_plain_solver_is_left_as_it_was():
    """Its source holds nothing of maxima and areas: no time to compile, none to run."""
    system = ck.load_model("cd4_cd8_expansion").system()
    assert "features" not in generate(system)
    assert "curve_features" in generate(system, curves=True)


def test_levels_are_those_of_the_plain_solver():
    """Within ten tolerances: rounding of other machine code may choose slightly other steps."""
    model, compiled = solver()
    params = prior_draws(model, 30, seed=5)
    n = len(params)
    offsets, days = np.arange(n + 1) * len(VISITS), np.tile(VISITS, n)
    plain = solve_system(compile_system(model.system()), params, offsets, days, sensitivities=True)
    empty = np.zeros(n + 1, np.int64)
    level, jacobian, *_ = compiled.solve(
        params, offsets, days, empty, np.empty(0), UNTIL, np.array([2]), 1e-6, 5000
    )
    np.testing.assert_allclose(level, plain.log_level, rtol=0, atol=1e-5)
    np.testing.assert_allclose(jacobian, plain.jacobian, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
def test_the_operation_gives_values_and_gradients_in_both_modes(mode):
    """Python and numba mode against the solver itself, one contraction of all three outputs."""
    model, compiled = solver()
    values = prior_draws(model, 4, seed=6)
    n, cells = len(values), 2
    params = pt.dmatrix("params")
    areas = np.arange(n + 1) * len(AREA_DAYS), np.tile(AREA_DAYS, n)
    visits = np.arange(n + 1) * len(VISITS), np.tile(VISITS, n)
    curves = log_curves(
        compiled, params, visits, areas, peak_until=UNTIL, curves=(2,), tolerance=1e-8
    )
    total = curves.log_level.sum() + 2 * curves.log_area.sum() + 3 * curves.log_peak.sum()
    function = pytensor.function(
        [params], [total, pt.grad(total, params), curves.peak_day, curves.outcome], mode=mode
    )
    value, gradient, day, outcome = function(values)
    found = curves_of(compiled, values, tolerance=1e-8)
    level, jacobian, *_ = compiled.solve(
        values, *visits, np.zeros(n + 1, np.int64), np.empty(0), 0.0, np.empty(0, np.int64), 1e-8,
        5000,
    )  # fmt: skip
    assert (outcome == 0).all()
    np.testing.assert_allclose(day, found["day"][:, 2:], atol=1e-6)
    expected = level.sum() + 2 * found["area"].sum() + 3 * found["peak"][:, 2].sum()
    assert value == pytest.approx(expected, rel=1e-9)
    by_patient = jacobian.reshape(n, len(VISITS) * cells, -1).sum(axis=1)
    by_patient += 2 * found["area_jacobian"].sum(axis=(1, 2)) + 3 * found["peak_jacobian"][:, 2]
    np.testing.assert_allclose(gradient, by_patient, rtol=1e-7, atol=1e-7)


def test_a_failed_solve_leaves_zeros_and_an_outcome():
    model, compiled = solver()
    values = prior_draws(model, 3, seed=7)
    values[1, 0] = np.inf
    visits = np.arange(4) * len(VISITS), np.tile(VISITS, 3)
    params = pt.dmatrix("params")
    curves = log_curves(
        compiled, params, visits, (np.arange(4), np.full(3, 28.0)), peak_until=UNTIL, curves=(2,)
    )
    total = curves.log_level.sum() + curves.log_area.sum() + curves.log_peak.sum()
    function = pytensor.function(
        [params], [curves.outcome, curves.log_peak, pt.grad(total, params)], mode="FAST_COMPILE"
    )
    outcome, peak, gradient = function(values)
    assert list(outcome != 0) == [False, True, False]
    assert peak[1, 0] == 0
    assert (gradient[1] == 0).all()
    assert np.isfinite(gradient).all()


STEIN_AS_EQUATIONS = """
[model]
title = "Stein 2019 as equations"
summary = "Growth until a known day, then two parts that fall at their own pace."
reference = "doi 10.1002/psp4.12388"
time = "day"
[subsets]
cell_type = ["total"]
[constants.peak_day]
value = 10
unit = "day"
label = "day of the peak"
source = "test"
standing = "choice"
[states.fast]
unit = "level"
scale = "log"
start = "cmax * (1 - memory_fraction) * exp(-growth * peak_day)"
label = "fast part"
[states.slow]
unit = "level"
scale = "log"
start = "cmax * memory_fraction * exp(-growth * peak_day)"
label = "slow part"
[equations]
fast = "where(t < peak_day, growth, -alpha) * fast"
slow = "where(t < peak_day, growth, -beta) * slow"
[observed.flow]
unit = "cells/uL"
is = "fast + slow"
error = "lognormal"
sigma = "halfnormal(0.4)"
label = "flow"
[parameters.cmax]
unit = "level"
label = "peak"
prior = { "cells/uL" = "lognormal(median=100, gsd=2)" }
source = "test"
standing = "choice"
[parameters.memory_fraction]
unit = "1"
label = "slow share"
prior = "logitnormal(median=0.01, sd=1)"
source = "test"
standing = "choice"
[parameters.growth]
unit = "1/day"
label = "growth rate"
prior = "lognormal(median=0.9, gsd=1.2)"
source = "test"
standing = "choice"
[parameters.alpha]
unit = "1/day"
label = "fast rate"
prior = "lognormal(median=0.16, gsd=1.5)"
source = "test"
standing = "choice"
[parameters.beta]
unit = "1/day"
label = "slow rate"
prior = "lognormal(median=0.01, gsd=1.5)"
source = "test"
standing = "choice"
"""


def test_peak_and_area_of_stein_as_equations_are_those_of_its_closed_form():
    """The kink is a known day: maxima and areas agree to 1e-7 at tolerance 1e-9."""
    model = ck.Model.from_text(STEIN_AS_EQUATIONS, "stein_as_equations")
    params = prior_draws(model, 40, seed=9)
    found = curves_of(compile_curves(model.system()), params, tolerance=1e-9)
    at = list(model.system().parameters)
    cmax, share, growth, alpha, beta = (
        params[:, at.index(n)] for n in ("cmax", "memory_fraction", "growth", "alpha", "beta")
    )
    np.testing.assert_allclose(found["peak"][:, 0], np.log(cmax), atol=1e-7)
    np.testing.assert_allclose(found["day"][:, 0], 10.0, atol=1e-9)
    gradient = found["peak_jacobian"][:, 0]
    np.testing.assert_allclose(gradient[:, at.index("cmax")], 1 / cmax, rtol=1e-7)
    np.testing.assert_allclose(gradient[:, at.index("alpha")], 0, atol=1e-7)
    for k, day in enumerate(AREA_DAYS):
        before, after = min(day, 10.0), max(day - 10.0, 0.0)
        area = (np.exp(growth * (before - 10)) - np.exp(-growth * 10)) / growth
        area += (1 - share) * (1 - np.exp(-alpha * after)) / alpha
        area += share * (1 - np.exp(-beta * after)) / beta
        np.testing.assert_allclose(found["area"][:, k, 0], np.log(cmax * area), atol=1e-6)
