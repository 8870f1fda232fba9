"""The solver agrees with SciPy, with closed forms, and with the published Stein numbers."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import sympy
from numba import njit
from scipy.integrate import solve_ivp

import carkinetics as ck
from carkinetics.equations import NUMERIC
from carkinetics.errors import SolverError
from carkinetics.solve import fastmath
from carkinetics.solve.compiled import DEFAULT_TOLERANCE, compile_system, solve_system


def for_numbers(name):
    """Let Python call a function of lanes with single numbers."""
    function = getattr(fastmath, name)
    return njit(lambda x: function(x), error_model="numpy")


def for_three_numbers(name):
    function = getattr(fastmath, name)
    return njit(lambda x, k, n: function(x, k, n), error_model="numpy")


exp, log, logistic, softplus = map(for_numbers, ("exp", "log", "logistic", "softplus"))
hill, hill_slope, hill_shape = map(for_three_numbers, ("hill", "hill_slope", "hill_shape"))
DAYS = np.unique(np.concatenate([np.arange(0, 40, 0.5), np.arange(40, 366, 25), [365]]))
BOTH, TOTAL = ("CD4", "CD8"), ("total",)


@functools.cache
def expansion(cell_types=BOTH):
    return ck.load_model("cd4_cd8_expansion", cell_types)


@functools.cache
def solver(cell_types=BOTH):
    """Compile, once per cell types."""
    return compile_system(expansion(cell_types).system())


def prior_draws(model, n, seed):
    """Draw all parameters from their priors, without the widening of between-patient SDs."""
    rng = np.random.default_rng(seed)
    priors = [model.parameters[name.split("[")[0]] for name in model.system().parameters]
    return np.column_stack([p.prior_for("cells/uL").sample(rng, n) for p in priors])


def solve(compiled, params, days=DAYS, **options):
    """Solve patients at the same days; log level and slope of shape (patient, day, cell_type)."""
    params = np.atleast_2d(params)
    n, rows = len(params), len(days)
    solution = solve_system(
        compiled, params, np.arange(n + 1) * rows, np.tile(days, n), max_steps=200_000, **options
    )
    assert {outcome.name for outcome in solution.outcome} == {"SOLVED"}
    shape = (n, rows, len(compiled.cell_types))
    return solution.log_level.reshape(shape), solution.slope.reshape(shape)


def by_scipy(system, params, days=DAYS):
    """Solve by DOP853 at 1e-12, each log-scale state as its logarithm; shape as `solve`."""
    n = len(params)
    logs = dict(zip(system.state_symbols, system.log_scale, strict=True))
    take = [sympy.exp(s) if logs[s] else s for s in system.state_symbols]
    natural = dict(zip(system.state_symbols, take, strict=True))
    symbols = (system.time, system.state_symbols, system.parameter_symbols)
    rates = [
        (rate / s if logs[s] else rate).subs(natural, simultaneous=True)
        for s, rate in zip(system.state_symbols, system.rhs, strict=True)
    ]
    right = sympy.lambdify(symbols, rates, modules=[NUMERIC, "numpy"], cse=True)
    levels = [sympy.log(level.subs(natural, simultaneous=True)) for level in system.levels]
    level = sympy.lambdify(symbols, levels, modules=[NUMERIC, "numpy"])
    first = [sympy.log(e) if logs[s] else e for s, e in zip(logs, system.start, strict=True)]
    start = sympy.lambdify((system.parameter_symbols,), first, modules=[NUMERIC, "numpy"])
    columns = list(params.T)

    def stacked(values):
        return np.concatenate([np.broadcast_to(v, n) for v in values])

    found = solve_ivp(
        lambda t, y: stacked(right(t, y.reshape(-1, n), columns)),
        (0, days[-1]),
        stacked(start(columns)).astype(float),
        method="DOP853",
        rtol=1e-12,
        atol=1e-14,
        t_eval=days,
        max_step=1.0,
    )
    assert found.success
    states = found.y.reshape(-1, n, len(days))
    at = [level(t, states[:, :, j], columns) for j, t in enumerate(days)]
    return np.array([[np.broadcast_to(v, n) for v in row] for row in at]).transpose(2, 0, 1)


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_log_levels_agree_with_scipy(cell_types):
    """DOP853 at 1e-12, 12 draws from the priors, days 0 to 365."""
    model = expansion(cell_types)
    params = prior_draws(model, 12, seed=1)
    exact = by_scipy(model.system(), params)
    for tolerance, largest in [(DEFAULT_TOLERANCE, 1e-4), (1e-8, 1e-6), (1e-10, 1e-8)]:
        found, _ = solve(solver(cell_types), params, tolerance=tolerance)
        assert np.abs(found - exact).max() < largest


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_error_stays_near_the_tolerance_for_two_thousand_prior_draws(cell_types):
    """Against the same solver at 1e-11; also where the level is far below any limit."""
    params = prior_draws(expansion(cell_types), 2000, seed=2)
    days = np.array([0, 3, 7, 10, 12, 14, 17, 21, 28, 42, 60, 90, 180, 270, 365.0])
    exact, exact_slope = solve(solver(cell_types), params, days, tolerance=1e-11)
    for tolerance in (1e-5, 1e-6, 1e-8):
        found, slope = solve(solver(cell_types), params, days, tolerance=tolerance)
        assert np.abs(found - exact).max() < 100 * tolerance
        assert np.abs(slope - exact_slope).max() < 300 * tolerance


def test_slope_is_the_time_derivative_of_the_log_level():
    params = prior_draws(expansion(), 5, seed=3)
    middle, step = np.array([2.0, 8.3, 12.0, 13.1, 20.0, 60.0, 200.0]), 1e-3
    days = np.sort(np.concatenate([middle - step, middle, middle + step]))
    level, slope = solve(solver(), params, days, tolerance=1e-11)
    difference = (level[:, 2::3] - level[:, 0::3]) / (2 * step)
    assert slope[:, 1::3] == pytest.approx(difference, rel=1e-5, abs=1e-5)


def effector(model, params, cell_type, days=DAYS, width=0.25):
    """ln E = ln(level_at_gate * share) + rho (t - gate) - (rho + alpha) w softplus(...)."""
    p = dict(zip(model.system().parameters, params.T, strict=True))
    sign = {"CD4": -0.5, "CD8": 0.5, "total": 0.0}[cell_type]
    rho = np.log(2) / p["doubling_time"] + sign * p.get("growth_difference", 0)
    alpha = np.log(2) / p["contraction_half_life"] + sign * p.get("contraction_difference", 0)
    share = {"CD4": 1 - p.get("cd8_share", 0), "CD8": p.get("cd8_share"), "total": 1}[cell_type]
    x = days - p["gate_day"][:, None]
    turn = (rho + alpha)[:, None] * width * np.logaddexp(0, x / width)
    return np.log(p["level_at_gate"] * share)[:, None] + rho[:, None] * x - turn, rho, alpha


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_effector_is_its_closed_form(cell_types):
    """Without memory the level is the effector; agreement to 1e-8 at tolerance 1e-10."""
    model = expansion(cell_types)
    params = prior_draws(model, 20, seed=4)
    params[:, model.system().parameters.index("memory_fraction")] = 0.0
    found, _ = solve(solver(cell_types), params, tolerance=1e-10)
    for j, cell_type in enumerate(cell_types):
        exact, *_ = effector(model, params, cell_type)
        assert np.abs(found[:, :, j] - exact).max() < 1e-8


def stein(t, cmax, tmax, rho, alpha, memory, beta):
    """The published closed form: exponential rise, then a fast and a slow exponential."""
    after = np.maximum(t - tmax, 0)
    fall = (1 - memory) * np.exp(-alpha * after) + memory * np.exp(-beta * after)
    return cmax * np.exp(rho * np.minimum(t - tmax, 0)) * fall


def test_an_abrupt_gate_gives_two_stein_curves_with_an_error_proportional_to_its_width():
    """Largest at the gate, where ln E is lower by (rho + alpha) w ln 2."""
    given = expansion()
    text = given.text.replace("[constants.gate_width]\nvalue = 0.25", "[parameters.gate_width]")
    text = text.replace(
        'label = "time scale of the change', 'prior = "gamma(1, 1)"\nlabel = "time scale'
    )
    model = ck.Model.from_text(text, "free_width")
    names = list(model.system().parameters)
    value = model.typical("cells/uL") | {"gate_day": 12.0, "gate_width": 0.0}
    days = np.unique(np.concatenate([np.linspace(0, 120, 121), np.linspace(11, 13, 201)]))
    errors = []
    for width in (0.04, 0.02, 0.01):
        value["gate_width"] = width
        params = np.array([[value[name] for name in names]])
        found, _ = solve(compile_system(model.system()), params, days, tolerance=1e-10)
        for j, cell_type in enumerate(BOTH):
            _, (rho,), (alpha,) = effector(model, params, cell_type)
            beta = np.log(2) / model.derived(value)["memory_half_life"][0]
            memory = value["memory_fraction"] * alpha / (alpha - beta)
            curve = stein(days, value["level_at_gate"] / 2, 12.0, rho, alpha, memory, beta)
            error = np.abs(found[0, :, j] - np.log(curve))
            errors.append(error.max() / width)
            assert errors[-1] == pytest.approx((rho + alpha) * np.log(2), rel=0.03)
            assert np.abs(days[error.argmax()] - 12.0) < width
    assert errors[:2] == pytest.approx(errors[-2:], rel=0.03)


# Stein et al. 2019 as differential equations, with the day of the peak as a known switch.
STEIN_ODE = """
[model]
title = "Stein 2019 as differential equations"
summary = "Growth until a known day, then contraction into a memory pool."
reference = "doi 10.1002/psp4.12388"
time = "day"
[subsets]
cell_type = ["total"]
[constants.peak_day]
value = PEAK
unit = "day"
label = "day of the peak"
source = "test"
standing = "choice"
[states.E]
unit = "level"
scale = "log"
start = "cmax * exp(-rho * peak_day)"
label = "effector cells"
[states.M]
unit = "level"
start = "0"
label = "memory cells"
[equations]
E = "where(t < peak_day, rho, -alpha) * E"
M = "where(t < peak_day, 0, memory * (alpha - beta) * E - beta * M)"
[observed.qpcr]
unit = "copies/ug"
is = "E + M"
error = "lognormal"
sigma = "halfnormal(0.5)"
label = "transgene"
[parameters]
cmax = { unit = "level", label = "peak", source = "test", standing = "choice", \
prior = { "copies/ug" = "lognormal(median=24000, gsd=2)" } }
rho = { unit = "1/day", label = "growth", source = "test", standing = "choice", \
prior = "lognormal(median=0.9, gsd=1.3)" }
alpha = { unit = "1/day", label = "fast", source = "test", standing = "choice", \
prior = "lognormal(median=0.16, gsd=1.3)" }
beta = { unit = "1/day", label = "slow", source = "test", standing = "choice", \
prior = "lognormal(median=0.0032, gsd=1.3)" }
memory = { unit = "1", label = "slow share", source = "test", standing = "choice", \
prior = "logitnormal(median=0.0079, sd=1)" }
"""
A05 = {"cmax": 100.0, "tmax": 14.0, "rho": np.log(2), "alpha": 0.2, "memory": 0.01, "beta": 0.01}
A06 = {
    **{"cmax": 24000.0, "tmax": 9.3, "rho": np.log(3900) / 9.3, "alpha": 0.16},
    **{"memory": 0.0079, "beta": 0.0032},
}


@functools.cache
def stein_as_ode(peak_day):
    text = STEIN_ODE.replace("PEAK", str(peak_day))
    compiled = compile_system(ck.Model.from_text(text, "stein_ode").system())
    assert compiled.parameters == ("cmax", "rho", "alpha", "beta", "memory")
    return compiled


def gauss_nodes(edges, n=20):
    """Nodes and weights of Gauss-Legendre quadrature on consecutive pieces."""
    x, w = np.polynomial.legendre.leggauss(n)
    half, middle = np.diff(edges)[:, None] / 2, ((edges[1:] + edges[:-1]) / 2)[:, None]
    return (middle + half * x).ravel(), (half * w).ravel()


def closed_auc(day, cmax, tmax, rho, alpha, memory, beta):
    """Return the area from day 0 to a day after the peak."""
    rise = cmax * (1 - np.exp(-rho * tmax)) / rho
    fast = (1 - memory) * cmax * (1 - np.exp(-alpha * (day - tmax))) / alpha
    return rise + fast + memory * cmax * (1 - np.exp(-beta * (day - tmax))) / beta


@pytest.mark.parametrize("case", [A05, A06], ids=["A-05", "A-06"])
def test_a05_a06_stein_as_ode_agrees_with_its_closed_form_on_both_sides_of_the_switch(case):
    """1e-8 on log levels; the known day is a boundary of steps, so the order is kept."""
    names = ("cmax", "rho", "alpha", "beta", "memory")
    tmax = case["tmax"]
    days = np.sort(np.r_[np.linspace(0, 365, 200), tmax - 1e-6, tmax, tmax + 1e-6])
    found, _ = solve(stein_as_ode(tmax), [[case[n] for n in names]], days, tolerance=1e-10)
    assert np.abs(found[0, :, 0] - np.log(stein(days, **case))).max() < 1e-8


@pytest.mark.parametrize(
    ("case", "published"), [(A05, 622.2238940), (A06, 171774.0)], ids=["A-05", "A-06"]
)
def test_a05_a06_area_of_stein_as_ode_is_the_closed_form(case, published):
    """Quadrature over solver output: 1e-8 of the closed form, and the published digits."""
    edges = np.r_[np.linspace(0, case["tmax"], 4), np.linspace(case["tmax"], 28, 4)[1:]]
    nodes, weights = gauss_nodes(edges)
    params = [[case[n] for n in ("cmax", "rho", "alpha", "beta", "memory")]]
    found, _ = solve(stein_as_ode(case["tmax"]), params, np.r_[nodes, 28.0], tolerance=1e-11)
    area = weights @ np.exp(found[0, :-1, 0])
    assert area == pytest.approx(closed_auc(28, **case), rel=1e-8)
    assert area == pytest.approx(published, rel=3e-6)
    if case is A06:
        assert np.exp(found[0, -1, 0]) == pytest.approx(1373.6, rel=1e-4)


def test_a05_a06_the_closed_form_model_gives_the_same_areas():
    model = ck.load_model("stein_2019")
    for case, published in ((A05, 622.2238940), (A06, 171774.285)):
        values = {
            **{"cmax": case["cmax"], "tmax": case["tmax"], "alpha": case["alpha"]},
            **{"doubling_time": np.log(2) / case["rho"], "beta": case["beta"]},
            "memory_fraction": case["memory"],
        }
        area = model.derived(values)["auc_0_28"][0]
        assert area == pytest.approx(closed_auc(28, **case), rel=1e-12)
        assert area == pytest.approx(published, rel=1e-8)


def test_a_known_switch_day_does_not_spoil_the_steps():
    """A wrong order at the switch would cost hundreds of tiny steps around it."""
    params = np.array([[A06[n] for n in ("cmax", "rho", "alpha", "beta", "memory")]])
    solution = solve_system(stein_as_ode(9.3), params, [0, 1], [365.0])
    assert solution.steps[0] < 30


def test_levels_in_other_units_take_the_same_steps():
    """Copies per ng instead of per ug: the log level moves by ln 1000, nothing else."""
    params = np.array([[A06[n] for n in ("cmax", "rho", "alpha", "beta", "memory")]] * 2)
    params[1, 0] /= 1000
    offsets, days = np.array([0, 50, 100]), np.tile(np.linspace(0, 365, 50), 2)
    solution = solve_system(stein_as_ode(9.3), params, offsets, days)
    assert solution.steps[0] == solution.steps[1]
    level = solution.log_level[:, 0].reshape(2, 50)
    assert level[0] - level[1] == pytest.approx(np.full(50, np.log(1000)), abs=1e-12)


def test_arrays_that_do_not_fit_together_are_refused_before_compiled_code_sees_them():
    params = prior_draws(expansion(), 2, seed=1)
    for wrong in (
        (params[:, :3], [0, 1, 2], [1.0, 2.0]),
        (params, [0, 2], [1.0, 2.0]),
        (params, [0, 1, 3], [1.0, 2.0]),
        (params, [0, 2, 1], [1.0]),
        (params, [0, 1, 2], [[1.0, 2.0]]),
    ):
        with pytest.raises(SolverError):
            solve_system(solver(), *wrong)


# Numbers to be computed one by one, as the generated code does; exact values in long double.
WIDE = np.random.default_rng(5).uniform(-700, 700, 40_000)
NARROW = np.random.default_rng(6).uniform(-2, 2, 20_000)


def relative_error(function, x, exact):
    found = np.array([function(value) for value in x])
    return float(np.max(np.abs((found - exact) / exact)))


def test_fast_exponential_is_exact_to_the_last_digits():
    for x in (WIDE, NARROW):
        assert relative_error(exp, x, np.exp(x.astype(np.longdouble))) < 4e-16


def test_fast_logarithm_is_exact_to_the_last_digits():
    for x in (np.exp(WIDE), np.exp(NARROW), 1 + NARROW / 1e6, np.array([5e-324, 3e-310])):
        assert relative_error(log, x, np.log(x.astype(np.longdouble))) < 4e-16


def test_fast_smooth_switches_are_exact_to_the_last_digits():
    x = np.concatenate([NARROW * 20, NARROW, np.array([-600.0, 600.0])])
    wide = x.astype(np.longdouble)
    small = np.log1p(np.exp(-np.abs(wide)))
    assert relative_error(softplus, x, np.maximum(wide, 0) + small) < 6e-16
    assert relative_error(logistic, x, 1 / (1 + np.exp(-wide))) < 6e-16


def test_fast_functions_end_smoothly_where_numbers_end():
    assert np.isnan([f(np.nan) for f in (exp, log, logistic, softplus)]).all()
    assert 0 < exp(-1e5) < 1e-307 < 1e307 < exp(1e5) < np.inf
    assert log(0.0) == -np.inf
    assert log(np.inf) == np.inf
    assert np.isnan(log(-1.0))
    assert (logistic(-1e5), logistic(1e5)) == (pytest.approx(0, abs=1e-300), 1.0)
    assert (softplus(-1e5), softplus(1e5)) == (pytest.approx(0, abs=1e-300), 1e5)


def test_hill_and_its_derivatives_are_finite_at_zero():
    """Analytic: slope 1/k for exponent 1, zero above it."""
    assert hill(0.0, 2.0, 1.5) == pytest.approx(0, abs=1e-300)
    assert hill(3.0, 2.0, 1.5) == pytest.approx(3**1.5 / (2**1.5 + 3**1.5), rel=1e-14)
    assert hill_slope(0.0, 2.0, 1.0) == pytest.approx(0.5, rel=1e-12)
    assert hill_slope(0.0, 2.0, 3.0) == pytest.approx(0, abs=1e-6)
    assert hill_shape(0.0, 2.0, 2.0) == pytest.approx(0, abs=1e-100)
