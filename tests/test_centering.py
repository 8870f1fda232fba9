"""Partial centering: every weight describes the same patients, and gradients are exact."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from carkinetics.inference.centering import (
    Uncentering,
    coordinates_of,
    given_before,
    parameters_of,
)

N, K = 5, 3
RNG = np.random.default_rng(12)
CORRELATION = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])
FACTOR = np.linalg.cholesky(CORRELATION)
OMEGA = np.array([0.4, 1.3, 2.1])
X, WEIGHTS = RNG.normal(size=(N, K)), RNG.uniform(size=(N, K))
LOCATIONS = {"one": RNG.normal(size=(1, K)), "each": RNG.normal(size=(N, K))}


def compiled(given, location, mode):
    names = ("x", "location", "log_omega", "factor", "weights")
    x, at, log_omega, factor, weights = (
        pt.TensorType("float64", np.shape(value))(name)
        for name, value in zip(names, (X, location, OMEGA, FACTOR, WEIGHTS), strict=True)
    )
    z, theta, volume = Uncentering(given)(x, at, log_omega, factor, weights)
    total = pt.sum(pt.sin(z)) + pt.sum(pt.cos(theta * pt.arange(1, K + 1))) + volume**2
    gradients = pt.grad(total, [x, at, log_omega, factor])
    inputs = [x, at, log_omega, factor, weights]
    return pytensor.function(inputs, [z, theta, volume, total, *gradients], mode=mode)


@pytest.fixture(scope="module", params=[(g, where) for g in (True, False) for where in LOCATIONS])
def case(request):
    given, where = request.param
    location = LOCATIONS[where]
    functions = {m: compiled(given, location, m) for m in ("NUMBA", "FAST_COMPILE")}
    return given, location, functions


def values(location):
    return [X, location, np.log(OMEGA), FACTOR, WEIGHTS]


def test_the_density_by_x_is_that_of_the_patients_times_the_volume(case):
    """By x it is the density by theta, times how much theta moves with x (by differences)."""
    given, location, functions = case
    z, theta, volume, *_ = functions["NUMBA"](*values(location))
    found = stats.norm.logpdf(z).sum() - volume
    covariance = OMEGA[:, None] * CORRELATION * OMEGA
    centers = np.broadcast_to(location, (N, K))
    by_theta = sum(
        stats.multivariate_normal(center, covariance).logpdf(one)
        for center, one in zip(centers, theta, strict=True)
    )
    step, own = 1e-6, FACTOR if given else None
    for i in range(N):
        jacobian = np.empty((K, K))
        for k in range(K):
            up, down = X.copy(), X.copy()
            up[i, k] += step
            down[i, k] -= step
            change = [parameters_of(x, location, OMEGA, WEIGHTS, own)[i] for x in (up, down)]
            jacobian[:, k] = (change[0] - change[1]) / (2 * step)
        by_theta += np.linalg.slogdet(jacobian)[1]
    assert found == pytest.approx(by_theta, abs=1e-7)


def test_numba_python_and_numpy_agree(case):
    given, location, functions = case
    numba, python = (function(*values(location)) for function in functions.values())
    for one, other in zip(numba, python, strict=True):
        assert one == pytest.approx(other, rel=1e-13, abs=1e-13)
    theta = parameters_of(X, location, OMEGA, WEIGHTS, FACTOR if given else None)
    assert numba[1] == pytest.approx(theta, rel=1e-13)


def test_gradients_agree_with_finite_differences(case):
    _, location, functions = case
    function, step = functions["NUMBA"], 1e-6
    gradients = function(*values(location))[4:]
    for _ in range(8):
        point = values(location)[:4]
        moves = [RNG.normal(size=value.shape) for value in point]
        moves[3] = np.tril(moves[3])
        up, down = (
            function(*[v + sign * step * m for v, m in zip(point, moves, strict=True)], WEIGHTS)[3]
            for sign in (1, -1)
        )
        along = sum((g * m).sum() for g, m in zip(gradients, moves, strict=True))
        assert along == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("own", [FACTOR, None])
@pytest.mark.parametrize("where", LOCATIONS)
def test_coordinates_are_undone(own, where):
    theta = parameters_of(X, LOCATIONS[where], OMEGA, WEIGHTS, own)
    assert coordinates_of(theta, LOCATIONS[where], OMEGA, WEIGHTS, own) == pytest.approx(X)


def test_the_ends_are_the_patients_own_parameters_and_independent_effects():
    location, one = LOCATIONS["one"], np.ones((N, K))
    assert parameters_of(X, location, OMEGA, one, FACTOR) == pytest.approx(X)
    independent = location + OMEGA * (X @ FACTOR.T)
    assert parameters_of(X, location, OMEGA, 0 * one, FACTOR) == pytest.approx(independent)


def test_draws_come_with_the_factor_of_their_own():
    """Of draws, location, SD and factor differ; each is as if it were alone."""
    factors = np.stack([FACTOR, np.eye(K)])[:, None]
    x = np.stack([X, 2 * X])[:, None]
    found = parameters_of(x, LOCATIONS["one"], OMEGA, WEIGHTS, factors)
    for i, factor in enumerate((FACTOR, np.eye(K))):
        alone = parameters_of((i + 1) * X, LOCATIONS["one"], OMEGA, WEIGHTS, factor)
        assert found[i, 0] == pytest.approx(alone)


def test_few_or_independent_patients_are_centered_as_ever():
    assert given_before(25, correlated=True)
    assert not given_before(24, correlated=True)
    assert not given_before(200, correlated=False)
