"""Closed-form models as PyTensor expressions: values, gradients, and the ends of the range."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import sympy

import carkinetics as ck
from carkinetics.equations import NUMERIC, hill, logistic, softplus
from carkinetics.solve.closed_form import closed_form_log_levels, to_tensor
from carkinetics.solve.curves import latent_levels

# Nothing here is called often enough to be worth compiling.
MODE = "FAST_COMPILE"


def stein_draws(n, seed):
    model = ck.load_model("stein_2019")
    rng = np.random.default_rng(seed)
    system = model.system()
    return system, np.column_stack(
        [model.parameters[name].prior_for("copies/ug").sample(rng, n) for name in system.parameters]
    )


def compiled(system, days):
    """Return a function of params, shape (row, parameter): log levels and their gradient."""
    params = pt.dmatrix("params")
    columns = [params[:, i] for i in range(len(system.parameters))]
    level = closed_form_log_levels(system, columns, days)
    gradient = pytensor.grad(level.sum(), params)
    return pytensor.function([params], [level, gradient], mode=MODE)


def by_hand(days, params):
    """ln of the published curve, with logaddexp so that nothing underflows."""
    cmax, tmax, doubling, alpha, memory, beta = params.T
    after = np.maximum(days - tmax, 0)
    fall = np.logaddexp(np.log1p(-memory) - alpha * after, np.log(memory) - beta * after)
    return np.log(cmax) + np.log(2) / doubling * np.minimum(days - tmax, 0) + fall


def test_stein_agrees_with_the_published_curve():
    system, params = stein_draws(500, seed=1)
    assert system.parameters == (
        *("cmax", "tmax", "doubling_time"),
        *("alpha", "memory_fraction", "beta"),
    )
    days = np.random.default_rng(2).uniform(0, 365, 500)
    level, _ = compiled(system, days)(params)
    assert level.shape == (500, 1)
    assert level[:, 0] == pytest.approx(by_hand(days, params), abs=1e-11)


def test_a_rounded_curve_is_the_same_away_from_its_kink_and_has_none():
    """The kink at the peak: ``max`` is off by width exp(-distance / width) at most, times a slope.

    Where the slope of the level by the peak day jumps, by growth plus decline, that of the rounded
    curve passes from one side to the other within some widths.
    """
    model = ck.load_model("stein_2019")
    typical = np.array([list(model.typical("copies/ug").values())])
    days = np.array([1.0, 6.0, 8.3, 9.3, 10.3, 14.0, 28.0, 180.0])
    rows = np.repeat(typical, len(days), axis=0)
    exact, _ = compiled(model.system(), days)(rows)
    level, _ = compiled(model.system(rounding=0.25), days)(rows)
    slopes = np.log(2) / typical[0, 2] + typical[0, 3]
    bound = 1.01 * slopes * 0.25 * np.log1p(np.exp(-np.abs(days - 9.3) / 0.25)) + 1e-12
    off = np.abs(level - exact)[:, 0]
    assert (off < bound).all()
    assert off[3] > 0.15
    across = np.repeat(typical, 200, axis=0)
    across[:, 1] = np.linspace(8.3, 10.3, 200)
    _, gradient = compiled(model.system(rounding=0.25), np.full(200, 9.3))(across)
    # The slope of a logistic is a quarter of its height per width, times the step.
    assert np.abs(np.diff(gradient[:, 1])).max() < 1.05 * slopes * 0.0101 / (4 * 0.25)
    _, jumping = compiled(model.system(), np.full(200, 9.3))(across)
    assert np.abs(np.diff(jumping[:, 1])).max() > 0.95 * slopes


@pytest.mark.parametrize("name", ["ogasawara_2021", "liu_2021", "stein_2019_comedication"])
def test_nothing_abrupt_on_an_estimated_day_is_left_in_a_rounded_curve(name):
    """Also where one is inside another; what is known, such as a day of tocilizumab, may stay."""
    system = ck.load_model(name).system(rounding=0.25)
    for piecewise in system.levels[0].atoms(sympy.Piecewise):
        assert not piecewise.free_symbols & {system.time, *system.parameter_symbols}


def test_where_is_rounded_into_a_mixture():
    text = ck.load_model("stein_2019").text.replace(
        '"min(t - tmax, 0)"', '"where(t < tmax, t - tmax, 0)"'
    )
    model = ck.Model.from_text(text)
    system = model.system(rounding=0.25)
    assert not system.levels[0].atoms(sympy.Piecewise)
    typical = np.array([list(model.typical("copies/ug").values())] * 2)
    days = np.array([2.0, 28.0])
    rounded, _ = compiled(system, days)(typical)
    exact, _ = compiled(model.system(), days)(typical)
    assert rounded == pytest.approx(exact, abs=1e-9)


def test_a06_typical_stein_patient():
    """C(28) 1,373.6 and C(365) 60.74 copies/ug at the published values."""
    model = ck.load_model("stein_2019")
    typical = np.array([list(model.typical("copies/ug").values())])
    days = np.array([28.0, 365.0])
    level, _ = compiled(model.system(), days)(np.repeat(typical, 2, axis=0))
    assert np.exp(level[:, 0]) == pytest.approx([1373.6, 60.74], rel=1e-4)


def test_gradients_agree_with_finite_differences():
    """Central differences, away from the kink on the day of the peak."""
    system, params = stein_draws(200, seed=3)
    days = np.random.default_rng(4).uniform(0, 365, 200)
    days = np.where(np.abs(days - params[:, 1]) < 0.1, 40.0, days)
    f = compiled(system, days)
    _, gradient = f(params)
    for q in range(params.shape[1]):
        step = 1e-5 * params[:, q]
        up, down = params.copy(), params.copy()
        up[:, q] += step
        down[:, q] -= step
        difference = (f(up)[0] - f(down)[0])[:, 0] / (2 * step)
        scale = np.abs(params[:, q])
        assert gradient[:, q] * scale == pytest.approx(difference * scale, rel=1e-6, abs=1e-8)


def test_values_and_gradients_stay_finite_far_out():
    """Years after the infusion, steep growth, no memory to speak of, on the peak day itself."""
    system, _ = stein_draws(1, seed=1)
    params = np.array(
        [
            [24000, 9.3, 0.78, 0.16, 0.0079, 0.0032],
            [24000, 9.3, 0.78, 5.0, 0.0079, 0.0032],
            [1e-8, 60.0, 0.05, 0.16, 1e-12, 0.0032],
            [1e12, 9.3, 0.78, 0.16, 1 - 1e-9, 0.0032],
            [24000, 9.3, 0.78, 0.16, 0.0079, 0.0032],
        ]
    )
    days = np.array([5000.0, 120.0, 0.0, 365.0, 9.3])
    level, gradient = compiled(system, days)(params)
    assert level[:, 0] == pytest.approx(by_hand(days, params), abs=1e-9)
    assert np.isfinite(gradient).all()


def test_a_level_of_which_nothing_is_left_is_small_and_no_failure():
    """Both exponentials are zero in floating point long before the last day asked for."""
    system, _ = stein_draws(1, seed=1)
    params = np.repeat([[24000, 9.3, 0.78, 1.7, 0.0079, 9.2]], 3, axis=0)
    days = np.array([200.0, 470.0, 5000.0])
    level, gradient = compiled(system, days)(params)
    assert level[0, 0] == pytest.approx(by_hand(days[:1], params[:1])[0], abs=1e-9)
    assert (np.diff(level[:, 0]) <= 0).all()
    assert np.isfinite(level).all()
    assert np.isfinite(gradient).all()
    found = latent_levels(system, params[:1], days)
    assert found.log_level[0, 0] == pytest.approx(level[:, 0], abs=1e-9)
    assert not found.failed.any()
    assert found.slope[0, 0, 2] == 0


TWO_CURVES = """
[model]
title = "Two exponentials"
summary = "A decline per cell type."
reference = "test"
time = "day"
[subsets]
cell_type = ["CD4", "CD8"]
[terms.share]
CD4 = "0.25"
CD8 = "0.75"
[solution]
over = "cell_type"
level = "share * first * exp(-rate * t)"
[observed.flow]
unit = "cells/uL"
is = "level"
over = "cell_type"
error = "lognormal"
sigma = "halfnormal(0.5)"
label = "cells"
[parameters.first]
unit = "level"
label = "level on day 0"
source = "test"
standing = "choice"
[parameters.first.prior]
"cells/uL" = "lognormal(median=100, gsd=2)"
[parameters.rate]
unit = "1/day"
label = "rate of decline"
prior = "lognormal(median=0.1, gsd=2)"
source = "test"
standing = "choice"
"""


def test_a_closed_form_may_have_one_curve_per_cell_type():
    system = ck.Model.from_text(TWO_CURVES, "two_curves").system()
    level, _ = compiled(system, np.array([0.0, 6.0]))(np.array([[100.0, 0.1]] * 2))
    exact = np.log(100 * np.array([0.25, 0.75])) + np.array([[0.0], [-0.6]])
    assert level == pytest.approx(exact, abs=1e-12)


x, y = sympy.symbols("x y", positive=True)


@pytest.mark.parametrize(
    "expression",
    [
        sympy.exp(-x) * sympy.log(y) + sympy.sqrt(x) - 2 * x / y**2,
        logistic(x - y) * softplus(3 * (y - x)) + sympy.Abs(x - y) + x**2.5,
        hill(x, y, sympy.Float(1.7)) + sympy.pi * x - sympy.E + sympy.Rational(1, 3),
        sympy.Piecewise((x, x < y), (y, x <= 2 * y), (x * y, x > 3 * y), (x + y, True)),
        sympy.Piecewise((x**2, x >= y), (0, True)),
    ],
)
def test_every_part_of_the_equation_language_is_translated(expression):
    """Against NumPy, at points on all sides of the switches."""
    points = np.random.default_rng(7).uniform(0.1, 4, (2, 50))
    tensors = {x: pt.dvector("x"), y: pt.dvector("y")}
    f = pytensor.function(list(tensors.values()), to_tensor(expression, tensors), mode=MODE)
    numpy_form = sympy.lambdify((x, y), expression, modules=[NUMERIC, "numpy"])
    assert f(*points) == pytest.approx(numpy_form(*points), rel=1e-12, abs=1e-12)


def test_hill_has_a_finite_gradient_at_zero():
    tensor = pt.dvector("x")
    values = {x: tensor, y: pt.constant(2.0)}
    gradient = pytensor.grad(to_tensor(hill(x, y, sympy.Float(2)), values).sum(), tensor)
    f = pytensor.function([tensor], gradient, mode=MODE)
    assert np.isfinite(f(np.array([0.0, 1e-200, 1.0]))).all()
