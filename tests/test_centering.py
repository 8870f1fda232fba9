"""Partial centering: every weight describes the same patients, and gradients are exact."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from carkinetics.inference.centering import (
    Given,
    Seen,
    coordinates_of,
    given_before,
    parameters_of,
)
from carkinetics.inference.effects import cholesky_from_unit, effect_pairs, order_of_pairs
from carkinetics.inference.uncenter_given import UncenterGiven
from carkinetics.inference.uncenter_seen import UncenterSeen

N, K = 5, 3
RNG = np.random.default_rng(12)
CORRELATION = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])
FACTOR = np.linalg.cholesky(CORRELATION)
OMEGA = np.array([0.4, 1.3, 2.1])
X, WEIGHTS = RNG.normal(size=(N, K)), RNG.uniform(size=(N, K))
SHARES, ORDER = RNG.uniform(size=(N, K)), np.array([2, 0, 1])
# Rows and columns as x has the effects, of a factor whose own order is another.
IN_ORDER = np.linalg.cholesky(CORRELATION[np.ix_(ORDER, ORDER)])
REORDERED = np.empty((K, K))
REORDERED[np.ix_(ORDER, ORDER)] = IN_ORDER
# Of the third patient nothing is seen, of the fourth two effects only together.
ROOTS = RNG.normal(size=(N, K, K)) * np.array([1.0, 2.0, 0.0, 1.0, 5.0])[:, None, None]
ROOTS[3] = np.outer([1.0, 1.0, 0.0], [2.0, 0.0, 0.0])
SEEN = Seen(ROOTS @ ROOTS.swapaxes(1, 2), RNG.normal(size=(N, K)))
# Many patients; few, of whom something is seen; by weights alone.
MANY = (Given(SHARES, ORDER), REORDERED)
FEW = (SEEN, None)
WEIGHTED = (None, None)
LOCATIONS = {"one": RNG.normal(size=(1, K)), "each": RNG.normal(size=(N, K))}


def compiled(given, location, mode):
    inputs = [pt.TensorType(str(v.dtype), v.shape)() for v in values(given, location)]
    z, theta, volume = (UncenterGiven() if given else UncenterSeen())(*inputs)
    total = pt.sum(pt.sin(z)) + pt.sum(pt.cos(theta * pt.arange(1, K + 1))) + volume**2
    gradients = pt.grad(total, inputs[:4])
    outputs = [z, theta, volume, total, *gradients]
    return pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore")


@pytest.fixture(scope="module", params=[(g, where) for g in (True, False) for where in LOCATIONS])
def case(request):
    given, where = request.param
    location = LOCATIONS[where]
    functions = {m: compiled(given, location, m) for m in ("NUMBA", "FAST_COMPILE")}
    return given, location, functions


def values(given, location):
    """Give the inputs of the operation."""
    how = [SHARES, ORDER] if given else [SEEN.precision, SEEN.pull]
    return [X, location, np.log(OMEGA), IN_ORDER if given else FACTOR, WEIGHTS, *how]


def test_the_density_by_x_is_that_of_the_patients_times_the_volume(case):
    """By x it is the density by theta, times how much theta moves with x (by differences)."""
    given, location, functions = case
    z, theta, volume, *_ = functions["NUMBA"](*values(given, location))
    found = stats.norm.logpdf(z).sum() - volume
    covariance = OMEGA[:, None] * CORRELATION * OMEGA
    centers = np.broadcast_to(location, (N, K))
    by_theta = sum(
        stats.multivariate_normal(center, covariance).logpdf(one)
        for center, one in zip(centers, theta, strict=True)
    )
    step, how = 1e-6, MANY if given else FEW
    for i in range(N):
        jacobian = np.empty((K, K))
        for k in range(K):
            up, down = X.copy(), X.copy()
            up[i, k] += step
            down[i, k] -= step
            change = [parameters_of(x, location, OMEGA, WEIGHTS, *how)[i] for x in (up, down)]
            jacobian[:, k] = (change[0] - change[1]) / (2 * step)
        by_theta += np.linalg.slogdet(jacobian)[1]
    assert found == pytest.approx(by_theta, abs=1e-7)


def test_numba_python_and_numpy_agree(case):
    given, location, functions = case
    numba, python = (function(*values(given, location)) for function in functions.values())
    for one, other in zip(numba, python, strict=True):
        assert one == pytest.approx(other, rel=1e-13, abs=1e-13)
    theta = parameters_of(X, location, OMEGA, WEIGHTS, *(MANY if given else FEW))
    assert numba[1] == pytest.approx(theta, rel=1e-13)


def test_gradients_agree_with_finite_differences(case):
    given, location, functions = case
    function, step = functions["NUMBA"], 1e-6
    first = values(given, location)
    gradients = function(*first)[4:]
    for _ in range(8):
        point, data = first[:4], first[4:]
        moves = [RNG.normal(size=value.shape) for value in point]
        moves[3] = np.tril(moves[3])
        up, down = (
            function(*[v + sign * step * m for v, m in zip(point, moves, strict=True)], *data)[3]
            for sign in (1, -1)
        )
        along = sum((g * m).sum() for g, m in zip(gradients, moves, strict=True))
        assert along == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("how", [MANY, FEW, WEIGHTED])
@pytest.mark.parametrize("where", LOCATIONS)
def test_coordinates_are_undone(how, where):
    theta = parameters_of(X, LOCATIONS[where], OMEGA, WEIGHTS, *how)
    assert coordinates_of(theta, LOCATIONS[where], OMEGA, WEIGHTS, *how) == pytest.approx(X)


def test_the_ends_are_the_patients_own_parameters_and_independent_effects():
    location, one = LOCATIONS["one"], np.ones((N, K))
    own = parameters_of(X, location, OMEGA, one, Given(one, ORDER), REORDERED)
    assert own == pytest.approx(X)
    independent = location + OMEGA * (X @ REORDERED.T)
    found = parameters_of(X, location, OMEGA, 0 * one, Given(0 * one, ORDER), REORDERED)
    assert found == pytest.approx(independent)


def test_draws_come_with_the_factor_of_their_own():
    """Of draws, location, SD and factor differ; each is as if it were alone."""
    factors = np.stack([REORDERED, np.eye(K)])[:, None]
    x = np.stack([X, 2 * X])[:, None]
    found = parameters_of(x, LOCATIONS["one"], OMEGA, WEIGHTS, MANY[0], factors)
    for i, factor in enumerate((REORDERED, np.eye(K))):
        alone = parameters_of((i + 1) * X, LOCATIONS["one"], OMEGA, WEIGHTS, MANY[0], factor)
        assert found[i, 0] == pytest.approx(alone)


def test_where_nothing_is_seen_weights_alone_center():
    nothing = Seen(np.zeros((N, K, K)), np.zeros((N, K)))
    for weights, expected in ((WEIGHTS, None), (np.ones((N, K)), X)):
        alone = parameters_of(X, LOCATIONS["each"], OMEGA, weights)
        found = parameters_of(X, LOCATIONS["each"], OMEGA, weights, nothing)
        assert found == pytest.approx(alone, rel=1e-13)
        assert expected is None or found == pytest.approx(expected)


@pytest.mark.parametrize("omega", [OMEGA, 0.1 * OMEGA, 10 * OMEGA])
@pytest.mark.parametrize("where", LOCATIONS)
def test_what_the_sampler_sees_is_standard_whatever_the_population_is(omega, where):
    """Normal data, independent effects: by Bayes' formula x has mean 0 and covariance 1."""
    location, not_centered = LOCATIONS[where], np.zeros((N, K))
    for i in range(N):
        at = location[min(i, len(location) - 1)]
        covariance = np.linalg.inv(np.diag(omega**-2.0) + SEEN.precision[i])
        mean = covariance @ (at / omega**2 + SEEN.pull[i])
        points = mean + np.vstack([np.zeros(K), np.linalg.cholesky(covariance).T])
        theta = np.broadcast_to(location, (N, K)).copy()
        x = np.empty((K + 1, K))
        for k, point in enumerate(points):
            theta[i] = point
            x[k] = coordinates_of(theta, location, omega, not_centered, SEEN)[i]
        assert x[0] == pytest.approx(np.zeros(K), abs=1e-9)
        assert (x[1:] - x[0]).T @ (x[1:] - x[0]) == pytest.approx(np.eye(K), abs=1e-9)


def test_few_or_independent_patients_are_centered_by_what_is_seen_of_them():
    assert given_before(25, correlated=True)
    assert not given_before(24, correlated=True)
    assert not given_before(200, correlated=False)


def test_a_center_seen_at_its_share_of_an_effect_no_longer_moves_what_the_sampler_sees():
    """A measurement y of one effect, Normal: the expected x is the same whatever the center is."""
    omega, error, y = 0.4, 0.3, 1.7
    information = omega**2 / (omega**2 + error**2)
    weight = np.array([[0.6]])
    given = Given(information * omega ** (weight - 1.0), np.array([0]))
    centers = np.array([-1.0, 0.5, 2.0])[:, None, None]
    expected = (1.0 - information) * centers + information * y
    at = [np.full((1, 1), omega), weight, given, np.eye(1)]
    x = [coordinates_of(e, c, *at).item() for e, c in zip(expected, centers, strict=True)]
    assert np.ptp(x) < 1e-12


def test_the_order_of_effects_is_read_from_the_names_of_their_pairs():
    names = ["a", "b", "c", "d"]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        pairs = effect_pairs([names[k] for k in order])
        assert list(order_of_pairs(pairs, names)) == order


def test_the_correlation_does_not_depend_on_where_rows_of_its_factor_stand():
    """A factor in another order, and partial correlations by hand, against Cholesky's."""
    unit = RNG.uniform(0.2, 0.8, size=3)
    plain, order = cholesky_from_unit(unit, np.arange(3)), np.array([2, 0, 1])
    assert np.linalg.cholesky(plain @ plain.T) == pytest.approx(plain)
    moved = cholesky_from_unit(unit, order)
    assert moved[np.ix_(order, order)] == pytest.approx(plain)
