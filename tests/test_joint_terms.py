"""Terms of the joint model with the exposure observed: against other packages and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy import optimize, special, stats

from carkinetics.outcomes import weibull_hazards
from carkinetics.outcomes.joint import priors, terms
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.extension import pieces
from carkinetics.outcomes.joint.nodes import quadrature

PLAIN = Mode(linker="py", optimizer=None)  # compiles in a second
ROSSI = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]


def maximum(log_likelihood, start):
    """Maximize a symbolic function of a vector; return place and value."""
    beta = pt.dvector("beta")
    value = log_likelihood(beta)
    function = pytensor.function([beta], [value, pt.grad(value, beta)], mode=PLAIN)

    def negative(b):
        found, gradient = function(b)
        return -float(found), -gradient

    result = optimize.minimize(
        negative, np.asarray(start, float), jac=True, method="BFGS", options={"gtol": 1e-7}
    )
    return result.x, -result.fun


def evaluate(expression):
    return pytensor.function([], expression, mode=PLAIN)()


def survival(day, event, entry=0.0):
    day = np.asarray(day, float)
    n = day.size
    return JointOutcome(
        "ttp", "time", "survival", np.arange(n), np.asarray(event, float), day,
        np.broadcast_to(np.asarray(entry, float), n).copy(), pd.DataFrame(index=range(n)),
    )  # fmt: skip


def test_c_04_rossi_weibull_by_the_terms_of_the_joint_model(reference):
    """lifelines 0.30: logL -679.91656; AFT fin .27217 is PH -.38205; both within 1e-4."""
    table = pd.read_csv(reference / "rossi.csv")
    x = table[ROSSI].to_numpy(float)
    center, spread = x.mean(axis=0), x.std(axis=0)
    log_day, event = np.log(table["week"].to_numpy(float)), table["arrest"].to_numpy(float)

    def log_likelihood(b):
        linear = pt.dot((x - center) / spread, b[:7])
        return terms.weibull(log_day, event, linear, b[7], b[8]).sum()

    beta, top = maximum(log_likelihood, np.append(np.zeros(7), [5.0, 0.3]))
    hazard, shape = beta[:7] / spread, np.exp(beta[8])
    assert top == pytest.approx(-679.91656, abs=1e-4)
    assert shape == pytest.approx(1.403688, abs=1e-4)
    expected = [-0.38205, -0.05715, 0.31556, -0.14956, -0.43691, -0.08257, 0.09239]
    np.testing.assert_allclose(hazard, expected, atol=1e-4)
    times = [0.27217, 0.04071, -0.22481, 0.10655, 0.31126, 0.05882, -0.06582]
    np.testing.assert_allclose(-hazard / shape, times, atol=1e-4)


def test_left_truncation_agrees_with_the_classical_weibull_model():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(60)
    day = 28 + rng.exponential(60, 60) * np.exp(0.4 * x)
    event = rng.random(60) < 0.7
    fitted = weibull_hazards(day, event, x, entry=np.full(60, 28.0))

    def log_likelihood(b):
        return terms.weibull(
            np.log(day), event.astype(float), b[0] * x, b[1], b[2], np.full(60, np.log(28.0))
        ).sum()

    beta, top = maximum(log_likelihood, [0.0, 4.5, 0.0])
    assert beta[0] == pytest.approx(fitted.coefficients[0], abs=1e-5)
    np.testing.assert_allclose(beta[1:], fitted.intercepts, atol=1e-4)
    assert top == pytest.approx(fitted.loglik, abs=1e-7)


def test_piecewise_hazards_are_events_over_days_at_risk():
    """The closed form of the maximum: in every piece, events divided by days."""
    rng = np.random.default_rng(2)
    day = rng.exponential(120, 300) + 0.5
    event = (rng.random(300) < 0.8).astype(float)
    entry = np.where(day > 20, 14.0, 0.0)
    spent, piece = pieces(entry, day)
    assert spent.sum() == pytest.approx((day - entry).sum())

    def log_likelihood(b):
        return terms.piecewise(spent, piece, event, np.zeros(300), b).sum()

    beta, _ = maximum(log_likelihood, np.full(5, -4.0))
    events = np.array([event[piece == k].sum() for k in range(5)])
    np.testing.assert_allclose(np.exp(beta), events / spent.sum(axis=0), rtol=1e-5)


def test_an_event_on_a_cut_belongs_to_the_piece_before_it():
    spent, piece = pieces(np.zeros(2), np.array([28.0, 28.5]))
    np.testing.assert_array_equal(piece, [0, 1])
    np.testing.assert_allclose(spent[:, :2], [[28, 0], [28, 0.5]])


@pytest.mark.parametrize("entry", [3.0, 28.0])
def test_quadrature_along_time_is_exact_where_the_hazard_has_a_closed_form(entry):
    """h(t) = (k/l)(t/l)^(k-1) exp(g a t^0): a constant exposure, 1e-9 of the Weibull term."""
    outcome = survival([60.0, 400.0, 31.0], [1, 0, 1], entry)
    offsets, visits = np.array([0, 3, 6, 6]), np.array([7.0, 14, 40, 10, 28, 90])
    nodes = quadrature(outcome, offsets, visits, ())
    linear, log_scale, log_shape = np.array([0.3, -0.2, 1.0]), 4.5, 0.4
    day, shape = nodes.rows.day, np.exp(log_shape)
    baseline = log_shape - log_scale + (shape - 1) * (np.log(day) - log_scale)
    found = terms.along_time(
        baseline[nodes.at_node] + linear[nodes.owner], nodes.weights, nodes.owner,
        baseline[nodes.at_end] + linear, outcome.value,
    )  # fmt: skip
    exact = terms.weibull(
        np.log(outcome.day), outcome.value, linear, log_scale, log_shape, np.log(outcome.entry)
    )
    np.testing.assert_allclose(evaluate(found), evaluate(exact), rtol=1e-9)


def test_a_hazard_that_follows_a_falling_level_has_its_closed_form():
    """ln C = a - r t and constant baseline h: the cumulative hazard is h e^(ga) (1-e^(-grt))/gr."""
    outcome = survival([200.0], [1], 2.0)
    nodes = quadrature(outcome, np.array([0, 2]), np.array([20.0, 60.0]), (28.0,))
    g, a, r, h = 0.8, 1.0, 0.05, 0.01
    log_hazard = np.log(h) + g * (a - r * nodes.rows.day)
    found = terms.along_time(
        pt.as_tensor(log_hazard[nodes.at_node]), nodes.weights, nodes.owner,
        log_hazard[nodes.at_end], outcome.value,
    )  # fmt: skip
    area = h * np.exp(g * a) * (np.exp(-g * r * 2) - np.exp(-g * r * 200)) / (g * r)
    assert evaluate(found)[0] == pytest.approx(log_hazard[-1] - area, rel=1e-10)


def test_d_08_cut_points_of_an_intercept_only_model():
    """Counts 3, 6, 6, 1: -1.466337, .251314, 2.708050 within 1e-6."""
    grade = np.repeat([0, 1, 2, 3], [3, 6, 6, 1])
    found, _ = maximum(lambda c: terms.ordinal(grade, np.zeros(16), c).sum(), [-1.0, 0.0, 1.0])
    np.testing.assert_allclose(found, [-1.466337, 0.251314, 2.708050], atol=1e-6)
    shares = np.array([3, 6, 6, 1]) / 16
    cuts = evaluate(terms.cut_points_of(pt.as_tensor(shares)))
    np.testing.assert_allclose(cuts, [-1.466337, 0.251314, 2.708050], atol=1e-6)


def test_d_08_dirichlet_probabilities_induce_the_prior_of_cut_points():
    """Density of the cut-points, by hand: (K-1)! times the product of logistic densities."""
    cuts = np.array([-1.2, 0.1, 0.9, 3.0])
    below = special.expit(cuts)
    shares = np.diff(np.concatenate([[0], below, [1]]))
    np.testing.assert_allclose(evaluate(terms.cut_points_of(pt.as_tensor(shares))), cuts)
    by_hand = special.gammaln(5) + np.log(below * (1 - below)).sum()
    density = stats.dirichlet(np.ones(5)).logpdf(shares)
    # The change of variables from shares to cut-points: its matrix is triangular.
    slopes = np.log(special.expit(cuts) * special.expit(-cuts)).sum()
    assert density + slopes == pytest.approx(by_hand)


def test_d_08_a_grade_nobody_has_stays_proper():
    """Counts 3, 6, 6, 1, 0 without exposure: the posterior is Dirichlet(counts + 1), exactly."""
    counts = np.array([3, 6, 6, 1, 0])
    grade = np.repeat(np.arange(5), counts)
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(5), 40)
    vector = pt.dvector("p")
    function = pytensor.function(
        [vector], terms.ordinal(grade, np.zeros(16), terms.cut_points_of(vector)).sum(), mode=PLAIN
    )
    ours = np.array([float(function(p)) for p in shares])
    exact = stats.dirichlet(counts + 1).logpdf(shares.T)
    np.testing.assert_allclose(ours - exact, ours[0] - exact[0], rtol=1e-9)


def test_d_09_two_grades_are_a_logistic_regression_and_reversing_flips_the_sign():
    rng = np.random.default_rng(4)
    x, grade = rng.standard_normal(30), rng.integers(0, 2, 30)
    ordinal = evaluate(terms.ordinal(grade, pt.as_tensor(0.7 * x), pt.as_tensor([0.3])))
    logistic = evaluate(terms.binary(grade, pt.as_tensor(0.7 * x - 0.3)))
    np.testing.assert_allclose(ordinal, logistic, rtol=1e-12)
    cuts = np.array([-1.0, 0.4, 2.0])
    four = rng.integers(0, 4, 30)
    one = evaluate(terms.ordinal(four, pt.as_tensor(0.7 * x), pt.as_tensor(cuts)))
    other = evaluate(terms.ordinal(3 - four, pt.as_tensor(-0.7 * x), pt.as_tensor(-cuts[::-1])))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_grades_stay_finite_far_out():
    cuts, linear = pt.dvector("c"), pt.dscalar("x")
    total = terms.ordinal(np.array([0, 1, 2]), pt.zeros(3) + linear, cuts).sum()
    function = pytensor.function([cuts, linear], [total, pt.grad(total, linear)], mode=PLAIN)
    for x in (-300.0, 0.0, 300.0):
        assert np.isfinite(function(np.array([-1.0, 1.0]), x)).all()


# --- F-09 ---------------------------------------------------------------------------------------


def separated(scale):
    """Slope under separation, 3 highest of 16, by quadrature on a grid: exact to 1e-4."""
    x = stats.norm.ppf((np.arange(16) + 0.5) / 16)
    event = (np.arange(16) >= 13).astype(float)
    a = np.linspace(*np.array(priors.INTERCEPT[0]) + np.array([-7, 7]), 281)
    b = np.linspace(-8, 12, 801) * scale
    linear = pt.dmatrix("linear")
    function = pytensor.function([linear], terms.binary(event, linear).sum(axis=1), mode=PLAIN)
    likelihood = np.array([function(a[:, None] + slope * x) for slope in b])
    prior = stats.norm(*priors.INTERCEPT).logpdf(a)
    prior = prior + stats.norm(0, scale * priors.SLOPE_SD["binary"]).logpdf(b)[:, None]
    mass = np.exp(likelihood + prior - (likelihood + prior).max()).sum(axis=1)
    below = np.cumsum(mass) / mass.sum()
    return [float(np.interp(q, below, b)) for q in (0.025, 0.5, 0.975)]


def test_f_09_a_separated_iec_hs_has_a_finite_slope():
    """95 % interval narrower than 8, and of one sign; under half and twice the prior SD too."""
    found = {scale: separated(scale) for scale in (0.5, 1.0, 2.0)}
    for low, middle, high in found.values():
        assert 0 < low < middle < high
    low, middle, high = found[1.0]
    assert high - low < 8
    assert 1 < middle < 4
    assert found[0.5][1] < middle < found[2.0][1] < 2 * middle


def test_the_priors_are_those_that_are_documented():
    """Hazard ratio per doubling 0.26 to 3.9 with 95 % prior probability."""
    ends = np.exp2(stats.norm(0, priors.SLOPE_SD["survival"]).ppf([0.025, 0.975]))
    np.testing.assert_allclose(ends, [0.257, 3.89], rtol=0.01)
    assert pm.logp(pm.Normal.dist(*priors.LOG_SCALE), np.log(110.0)).eval() == pytest.approx(
        stats.norm.logpdf(0)
    )
