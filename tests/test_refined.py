"""The start of a fit of many patients: optimum of everything shared, against closed forms."""

import numpy as np
import pytest

from carkinetics.inference.prefit import EffectPlaces, prefit
from carkinetics.inference.refined import refined

PATIENTS, VISITS, OMEGA, SIGMA = 40, 4, 0.6, 0.8
RNG = np.random.default_rng(7)
Y = 1.0 + OMEGA * RNG.normal(size=(PATIENTS, 1)) + SIGMA * RNG.normal(size=(PATIENTS, VISITS))
LOCATION, LOG_OMEGA, LOG_SIGMA, HELD = PATIENTS, PATIENTS + 1, PATIENTS + 2, PATIENTS + 3
EFFECTS = {
    "level": EffectPlaces(np.arange(PATIENTS), location=LOCATION, omega=LOG_OMEGA, scale=1.0)
}


def density(point):
    """Measurements around patients around a location; the last coordinate does nothing."""
    theta, location = point[:PATIENTS], point[LOCATION]
    omega, sigma = np.exp(point[[LOG_OMEGA, LOG_SIGMA]])
    away, residual = (theta - location) / omega, (Y - theta[:, None]) / sigma
    value = -0.5 * (away**2).sum() - 0.5 * (residual**2).sum()
    value -= PATIENTS * np.log(omega) + Y.size * np.log(sigma)
    by_theta = -away / omega + residual.sum(axis=1) / sigma
    by_sds = [(away**2).sum() - PATIENTS, (residual**2).sum() - Y.size]
    return value, np.concatenate([by_theta, [(away / omega).sum()], by_sds, [0.0]])


@pytest.fixture(scope="module")
def starts():
    """A residual SD held at a third of its value, and what is made of it."""
    point = np.zeros(PATIENTS + 4)
    point[LOG_SIGMA], point[HELD] = np.log(SIGMA / 3), 0.4
    first = prefit(density, point, EFFECTS, np.array([LOG_SIGMA, HELD]))
    return first, refined(density, first, EFFECTS, np.array([HELD]))


def test_sds_are_those_of_the_analysis_of_variance(starts):
    """Balanced, Normal: Laplace's marginal is exact, and its optimum known."""
    means = Y.mean(axis=1)
    sigma = np.sqrt(((Y - means[:, None]) ** 2).sum() / (PATIENTS * (VISITS - 1)))
    omega = np.sqrt(means.var() - sigma**2 / VISITS)
    found = starts[1]
    assert np.exp(found.mode[LOG_SIGMA]) == pytest.approx(sigma, rel=0.01)
    assert found.omega["level"] == pytest.approx(omega, rel=0.02)
    assert found.mode[LOCATION] == pytest.approx(Y.mean(), abs=0.01)
    share = omega**2 / (omega**2 + sigma**2 / VISITS)
    assert found.information["level"] == pytest.approx(np.full(PATIENTS, share), abs=0.02)


def test_an_effect_looks_known_under_a_residual_that_is_too_small(starts):
    first, found = starts
    assert first.information["level"].mean() > found.information["level"].mean() + 0.2


def test_what_is_held_stays_where_it_is(starts):
    assert starts[1].mode[HELD] == 0.4


def test_without_an_optimum_the_start_is_kept(starts):
    """A density that is nowhere finite but at the start has none."""

    def broken(point):
        value, gradient = density(point)
        return value, np.full_like(gradient, np.nan)

    assert refined(broken, starts[0], EFFECTS, np.array([HELD])) is starts[0]
