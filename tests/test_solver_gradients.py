"""Derivatives by the parameters: against finite differences, alone and inside PyTensor."""

from __future__ import annotations

import functools
import itertools
import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import sympy
from scipy.integrate import solve_ivp

import carkinetics as ck
from carkinetics.equations import NUMERIC
from carkinetics.errors import SolverError
from carkinetics.solve import op as op_module
from carkinetics.solve.compiled import DEFAULT_TOLERANCE, compile_system, load_solver, solve_system
from carkinetics.solve.op import LogLevels, contract_by_patient, log_levels

BOTH, TOTAL = ("CD4", "CD8"), ("total",)
DAYS = np.array([0, 2, 5, 8, 11, 12, 13, 15, 18, 21, 28, 60, 120, 250, 365.0])


@functools.cache
def solver(cell_types=BOTH):
    model = ck.load_model("cd4_cd8_expansion", cell_types)
    return model, compile_system(model.system())


def prior_draws(model, n, seed):
    rng = np.random.default_rng(seed)
    priors = [model.parameters[name.split("[")[0]] for name in model.system().parameters]
    return np.column_stack([p.prior_for("cells/uL").sample(rng, n) for p in priors])


def solve(compiled, params, days, **options):
    """Solve all patients at the same days; arrays of shape (patient, day, cell_type, ...)."""
    n, shape = len(params), (len(params), len(days), len(compiled.cell_types))
    solution = solve_system(
        compiled,
        params,
        np.arange(n + 1) * len(days),
        np.tile(days, n),
        sensitivities=True,
        max_steps=200_000,
        **options,
    )
    assert {outcome.name for outcome in solution.outcome} == {"SOLVED"}
    return solution.log_level.reshape(shape), solution.jacobian.reshape(*shape, -1)


def relative_steps(params, q, size):
    """Return params moved by -2, -1, 1, 2 steps in column q, and the step per patient."""
    step = size * np.maximum(np.abs(params[:, q]), 0.1)
    moved = []
    for k in (-2, -1, 1, 2):
        other = params.copy()
        other[:, q] += k * step
        moved.append(other)
    return moved, step


def by_differences(compiled, params, days, size=2e-4, tolerance=1e-12):
    """Jacobian by central differences of fourth order; shape (patient, day, cell_type, par)."""
    columns = []
    for q in range(params.shape[1]):
        moved, step = relative_steps(params, q, size)
        a, b, c, d = (solve(compiled, other, days, tolerance=tolerance)[0] for other in moved)
        columns.append((a - 8 * b + 8 * c - d) / (12 * step[:, None, None]))
    return np.stack(columns, axis=-1)


def scaled(jacobian, params):
    """Change of the log level per relative change of each parameter."""
    return jacobian * np.maximum(np.abs(params), 0.1)[:, None, None, :]


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_jacobian_agrees_with_finite_differences(cell_types):
    """1e-6 of the largest derivative of a patient; differences at tolerance 1e-12."""
    model, compiled = solver(cell_types)
    params = prior_draws(model, 15, seed=11)
    _, jacobian = solve(compiled, params, DAYS, tolerance=1e-10)
    exact = scaled(by_differences(compiled, params, DAYS), params)
    error = np.abs(scaled(jacobian, params) - exact).max(axis=(1, 2, 3))
    assert (error / np.abs(exact).max(axis=(1, 2, 3))).max() < 1e-6


@pytest.mark.parametrize("cell_types", [BOTH, TOTAL])
def test_jacobian_at_the_default_tolerance_is_good_enough_for_a_sampler(cell_types):
    """Log units per relative change of a parameter: 99 % of 500 patients within 1e-3."""
    model, compiled = solver(cell_types)
    params = prior_draws(model, 500, seed=12)
    _, exact = solve(compiled, params, DAYS, tolerance=1e-10)
    _, found = solve(compiled, params, DAYS, tolerance=DEFAULT_TOLERANCE)
    assert np.abs(scaled(found - exact, params)).max() < 1e-2
    assert np.quantile(np.abs(scaled(found - exact, params)).max(axis=(1, 2, 3)), 0.99) < 1e-3


def test_sensitivities_do_not_change_the_levels():
    """Bit for bit: the steps follow the states alone."""
    model, compiled = solver()
    params = prior_draws(model, 20, seed=13)
    offsets, days = np.arange(21) * len(DAYS), np.tile(DAYS, 20)
    plain = solve_system(compiled, params, offsets, days)
    both = solve_system(compiled, params, offsets, days, sensitivities=True)
    assert (plain.log_level == both.log_level).all()
    assert (plain.slope == both.slope).all()
    assert (plain.steps == both.steps).all()
    assert plain.jacobian.shape[0] == 0


# Every function of the equation language, states on both scales, one that no level sees, a pulse
# between two known days, and names that the generated code uses itself.
EVERYTHING = """
[model]
title = "Everything at once"
summary = "No biology."
reference = "test"
time = "day"
[subsets]
cell_type = ["CD4", "CD8"]
[constants]
first = { value = 4.5, unit = "day", label = "start", source = "test", standing = "choice" }
last = { value = 6.25, unit = "day", label = "end", source = "test", standing = "choice" }
[states.y]
unit = "level"
over = "cell_type"
scale = "log"
start = "c * sqrt(lane) / 1000"
label = "grows and saturates"
[states.np]
unit = "1"
start = "lane / 2"
label = "hidden, never in a level"
[states.s0_]
unit = "level"
over = "cell_type"
start = "0"
label = "starts at zero"
[terms]
pulse = "where(t < first, 0, where(t <= last, x0, 0))"
turn = "logistic((last - t) * k)"
[equations]
y = "y * (k * np * turn - k * hill(total(y), c, lane) + k * softplus(1 - np) / 9)"
np = "-k / 3 * np ** 2 / (1 + np) + k / 20 * log(1 + np ** 1.5) + pulse / 50"
s0_ = "k * y * hill(s0_, c, 1) / 9 + k / 8 * y * exp(-np) - s0_ * (k / 2 + pulse)"
[observed.flow]
unit = "cells/uL"
over = "cell_type"
is = "y + s0_ * 2 + s0_ ** 2 / c"
error = "lognormal"
sigma = "halfnormal(0.5)"
label = "all"
[parameters.k]
unit = "1/day"
label = "rate"
prior = "lognormal(median=0.8, gsd=1.2)"
source = "test"
standing = "choice"
[parameters.lane]
unit = "1"
label = "number"
prior = "lognormal(median=1.5, gsd=1.2)"
source = "test"
standing = "choice"
[parameters.x0]
unit = "1/day"
label = "strength of the pulse"
prior = "normal(mean=1, sd=0.1)"
source = "test"
standing = "choice"
[parameters.c]
unit = "level"
over = "cell_type"
label = "capacity"
source = "test"
standing = "choice"
[parameters.c.prior]
"cells/uL" = "lognormal(median=50, gsd=1.5)"
"""


@functools.cache
def everything():
    model = ck.Model.from_text(EVERYTHING, "everything")
    return model, compile_system(model.system())


def test_every_function_of_the_language_reaches_the_solver_unchanged():
    """DOP853 at 1e-12, restarted at both known days; 1e-8 on log levels at tolerance 1e-11."""
    model, compiled = everything()
    system, params = model.system(), prior_draws(model, 5, seed=14)
    symbols = (system.time, system.state_symbols, system.parameter_symbols)
    right = sympy.lambdify(symbols, system.rhs, modules=[NUMERIC, "numpy"])
    level = sympy.lambdify(symbols, system.levels, modules=[NUMERIC, "numpy"])
    start = sympy.lambdify((system.parameter_symbols,), system.start, modules="numpy")
    days = np.array([0, 1, 3, 4.4, 5, 6, 6.3, 8, 12, 20.0])
    found, _ = solve(compiled, params, days, tolerance=1e-11)
    for i, p in enumerate(params):
        state, exact = np.array(start(p), dtype=float), []
        # A hair inside each piece, so that no evaluation sees the wrong side of a switch.
        for first, last in ((0.0, 4.5 - 1e-12), (4.5 + 1e-12, 6.25 - 1e-12), (6.25 + 1e-12, 20.0)):
            at = days[(days >= first) & (days <= last)]
            piece = solve_ivp(
                lambda t, y, p=p: right(t, y, p),
                (first, last),
                state,
                "DOP853",
                t_eval=np.unique(np.append(at, last)),
                rtol=1e-12,
                atol=1e-14,
            )
            assert piece.success
            exact += [level(t, y, p) for t, y in zip(at, piece.y.T, strict=False)]
            state = piece.y[:, -1]
        assert found[i] == pytest.approx(np.log(exact), abs=1e-8)


def test_every_function_of_the_language_is_differentiated_right():
    """Fourth-order differences at tolerance 1e-12, also from a state that starts at zero."""
    model, compiled = everything()
    params, days = prior_draws(model, 5, seed=15), np.array([0, 2, 5, 6.25, 9, 15.0])
    _, jacobian = solve(compiled, params, days, tolerance=1e-10)
    exact = scaled(by_differences(compiled, params, days), params)
    assert scaled(jacobian, params) == pytest.approx(exact, rel=1e-6, abs=1e-6)


def rows_of(n):
    """Unequal rows per patient, one patient without any."""
    rng = np.random.default_rng(16)
    counts = np.append(rng.integers(1, 12, n - 1), 0)
    days = [np.sort(rng.uniform(0, 200, count)) for count in counts]
    return np.append(0, np.cumsum(counts)), np.concatenate(days)


def op_function(mode, offsets, days, **options):
    """Compile params -> weighted sum of log levels, its gradient, levels, outcome."""
    _, compiled = solver()
    params = pt.dmatrix("params")
    level, outcome = log_levels(compiled, params, offsets, days, **options)
    weights = np.cos(np.arange(len(days) * 2)).reshape(-1, 2)
    loss = (level * weights).sum() + (level**2).sum() / 100
    gradient = pytensor.grad(loss, params)
    return pytensor.function([params], [loss, gradient, level, outcome], mode=mode)


@pytest.fixture(scope="module")
def python_mode():
    offsets, days = rows_of(6)
    return op_function("FAST_COMPILE", offsets, days, tolerance=1e-11, max_steps=50_000)


def test_op_gradient_agrees_with_finite_differences(python_mode):
    model, _ = solver()
    params = prior_draws(model, 6, seed=17)
    _, gradient, _, outcome = python_mode(params)
    assert (outcome == 0).all()
    for q in range(params.shape[1]):
        moved, step = relative_steps(params, q, 2e-4)
        for i in range(6):
            one = [np.where(np.arange(6)[:, None] == i, other, params) for other in moved]
            a, b, c, d = (python_mode(other)[0] for other in one)
            difference = (a - 8 * b + 8 * c - d) / (12 * step[i])
            size = max(abs(params[i, q]), 0.1)
            assert gradient[i, q] * size == pytest.approx(difference * size, rel=1e-6, abs=1e-5)
    assert (gradient[5] == 0).all()


def test_numba_mode_gives_the_same_as_python_mode(python_mode):
    """The solver is the same machine code; only sums may be taken in another order."""
    model, compiled = solver()
    params = prior_draws(model, 6, seed=18)
    params[2, model.system().parameters.index("doubling_time")] = np.nan
    offsets, days = rows_of(6)
    numba_mode = op_function("NUMBA", offsets, days, tolerance=1e-11, max_steps=50_000)
    for slow, fast in zip(python_mode(params), numba_mode(params), strict=True):
        assert fast == pytest.approx(slow, rel=1e-12, abs=1e-12)
    assert len(compiled.solve.signatures) == 1


def test_a_failed_patient_is_named_and_leaves_zeros_that_no_gradient_passes(python_mode):
    model, _ = solver()
    params = prior_draws(model, 6, seed=18)
    good = python_mode(params)
    params[2, model.system().parameters.index("doubling_time")] = np.nan
    loss, gradient, level, outcome = python_mode(params)
    offsets, _ = rows_of(6)
    assert outcome.tolist() == [0, 0, 2, 0, 0, 0]
    assert np.isfinite(loss)
    assert (level[offsets[2] : offsets[3]] == 0).all()
    assert (gradient[2] == 0).all()
    others = [0, 1, 3, 4]
    assert (gradient[others] == good[1][others]).all()


def test_contraction_sums_over_the_rows_and_cell_types_of_each_patient():
    rng = np.random.default_rng(19)
    gradient, jacobian = rng.normal(size=(5, 2)), rng.normal(size=(5, 2, 3))
    offsets = np.array([0, 2, 2, 5])
    exact = [
        np.einsum("rj,rjq->q", gradient[a:b], jacobian[a:b]) for a, b in itertools.pairwise(offsets)
    ]
    inputs = pt.dmatrix(), pt.dtensor3(), pt.lvector()
    f = pytensor.function(inputs, contract_by_patient(*inputs), mode="FAST_COMPILE")
    assert f(gradient, jacobian, offsets) == pytest.approx(np.array(exact), rel=1e-14)


def test_one_solve_gives_value_and_gradient(python_mode):
    kinds = [type(node.op).__name__ for node in python_mode.maker.fgraph.toposort()]
    assert kinds.count("LogLevels") == 1
    assert kinds.count("ContractByPatient") == 1


def test_an_operation_finds_its_solver_again_in_another_process(monkeypatch):
    """Unpickled where the model was never loaded: the solver comes from the cache folder."""
    model, compiled = solver()
    operation = LogLevels(compiled.source_hash, 1e-6, 5000)
    other = pickle.loads(pickle.dumps(operation))
    assert other == operation
    monkeypatch.setattr(op_module, "_COMPILED", {})
    inputs = pt.dmatrix(), pt.lvector(), pt.dvector()
    f = pytensor.function(inputs, other(*inputs)[0], mode="FAST_COMPILE")
    params = prior_draws(model, 1, seed=20)
    expected = solve_system(compiled, params, [0, 3], [1.0, 8.0, 30.0]).log_level
    assert f(params, np.array([0, 3]), np.array([1.0, 8.0, 30.0])) == pytest.approx(expected)


def test_an_unknown_solver_is_an_error_that_says_what_to_do():
    with pytest.raises(SolverError, match=r"solver 0123456789abcdef is not in .*load_model"):
        load_solver("0123456789abcdef")
