"""Importance weights and indices against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats

from carkinetics.errors import DataError
from carkinetics.sensitivity.indices import given_data, morris, shapley, sobol
from carkinetics.sensitivity.integrated import Proposal, leave_out, propose
from carkinetics.sensitivity.power_scaling import (
    CONFLICT,
    FINE,
    PRIOR_DOMINATED,
    diagnose,
    power_scale,
    scaled_power,
)
from carkinetics.sensitivity.weights import pareto_weights


def ishigami(unit: np.ndarray) -> np.ndarray:
    x = np.pi * (2 * unit - 1)
    return (np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0]))[
        :, None
    ]


def test_g_01_sobol_of_ishigami():
    # Analytic: Ishigami and Homma 1990, a = 7, b = 0.1.
    found = sobol(ishigami, 3, ("y",), n=2**13)
    np.testing.assert_allclose(found["first"], [0.313905, 0.442411, 0.0], atol=0.02)
    np.testing.assert_allclose(found["total"], [0.557589, 0.442411, 0.243684], atol=0.02)
    assert (found["failed"] == 0).all()


def test_g_03_morris_of_a_linear_model():
    slopes = np.array([2.0, -3.0, 0.5])
    found = morris(lambda unit: (unit * 4 @ slopes)[:, None], 3, ("y",), n=20)
    np.testing.assert_allclose(found["mu_star"], np.abs(slopes) * 4, rtol=1e-9)
    np.testing.assert_allclose(found["sigma"], 0.0, atol=1e-9)


def test_failed_runs_are_counted_and_never_filled_in():
    def failing(unit: np.ndarray) -> np.ndarray:
        values = ishigami(unit)
        values[unit[:, 2] > 0.97] = np.nan
        return values

    found = sobol(failing, 3, ("y",), n=2**12)
    assert (found["failed"] > 50).all()
    # Without the failures at one end of an input, the indices are those of the rest.
    np.testing.assert_allclose(found["total"].iloc[1], 0.442411, atol=0.06)
    with pytest.raises(DataError, match="of the runs failed"):
        sobol(lambda unit: np.full((len(unit), 1), np.nan), 2, ("y",), n=64)


def test_shapley_effects_of_correlated_inputs_meet_the_closed_form():
    # y = x1 + x2, corr(x1, x2) = r, x3 irrelevant: by symmetry one half each.
    rng = np.random.default_rng(3)
    r = 0.8
    x = rng.multivariate_normal(np.zeros(3), [[1, r, 0], [r, 1, 0], [0, 0, 1]], size=20_000)
    y = (x[:, 0] + x[:, 1])[:, None]
    found = shapley(x, y, ("y",))
    np.testing.assert_allclose(found["shapley"], [0.5, 0.5, 0.0], atol=0.02)
    np.testing.assert_allclose(found["explained"], 1.0, atol=1e-6)
    # Knowing x1 leaves (1 - r^2) of 2 + 2 r.
    first = given_data(x, y, ("y",))["first"]
    np.testing.assert_allclose(first[:2], 1 - (1 - r**2) / (2 + 2 * r), atol=0.03)
    assert first[2] < 0.02


def test_e_11_sign_of_the_weights():
    # Leaving out an observation far out in a normal sample moves the mean; an average one hardly.
    rng = np.random.default_rng(5)
    y = np.append(rng.normal(0.0, 1.0, 10), 8.0)
    draws = rng.normal(y.mean(), 1.0 / np.sqrt(y.size), 4000)
    influential = pareto_weights(-stats.norm.logpdf(y[-1], draws, 0.5) * 2)
    average = pareto_weights(-stats.norm.logpdf(np.median(y), draws, 1.0))
    assert influential.khat > 0.7
    assert average.khat < 0.5
    assert not influential.usable
    # The weights must move the mean away from the observation that is left out.
    moved = float(np.sum(average.values * draws)) - draws.mean()
    assert np.sign(moved) == np.sign(draws.mean() - np.median(y))


def test_e_12_power_scaling_of_a_conjugate_normal():
    # Prior N(0, 1), ten observations with SD 2 and mean 1.5: raising the prior to a power alpha
    # multiplies its precision.
    rng = np.random.default_rng(7)
    precision, mean = 10 / 4, 1.5

    def posterior(alpha: float) -> tuple[float, float]:
        total = alpha + precision
        return precision * mean / total, total**-0.5

    center, sd = posterior(1.0)
    draws = center + sd * stats.norm.ppf((rng.permutation(40_000) + 0.5) / 40_000)
    for alpha in (0.8, 1.25):
        weights = scaled_power(stats.norm.logpdf(draws), alpha)
        wanted, spread = posterior(alpha)
        found = float(np.sum(weights.values * draws))
        variance = float(np.sum(weights.values * (draws - found) ** 2))
        assert found == pytest.approx(wanted, rel=0.02)
        assert variance**0.5 == pytest.approx(spread, rel=0.02)


def test_a_prior_that_decides_is_told_from_one_that_does_not():
    rng = np.random.default_rng(11)
    shape = (4, 1000)
    free, tied = rng.normal(0, 1, shape), rng.normal(0, 1, shape)
    coords = {"chain": np.arange(4), "draw": np.arange(1000)}
    variables = xr.Dataset(
        {"free": (("chain", "draw"), free), "tied": (("chain", "draw"), tied)}, coords=coords
    )
    found = power_scale(variables, {"location": stats.norm.logpdf(tied)}, stats.norm.logpdf(free))
    found = found.set_index("variable")["diagnosis"]
    assert found["tied"] == PRIOR_DOMINATED
    assert found["free"] == FINE
    assert diagnose(0.1, 0.1) == CONFLICT


def test_resampling_keeps_what_the_weights_say():
    rng = np.random.default_rng(13)
    x = rng.normal(0, 1, 2000)
    weights = pareto_weights(0.5 * x)  # a normal shifted by a half
    chosen = x[weights.resampled(4000)]
    assert chosen.mean() == pytest.approx(0.5, abs=0.08)
    assert pareto_weights(np.zeros(10)).khat == -np.inf


# The toy: effects N(mu, tau^2), eight observations each with SD sigma, 16 patients.
N, PER, DRAWS, BURN = 16, 8, 4000, 500


def gibbs(y: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Sample the toy; mu ~ N(0, 2), tau^2 ~ IG(2, 1), sigma^2 ~ IG(2, 0.5)."""
    n, per = y.shape
    mu, tau2, sigma2 = 0.0, 1.0, 0.25
    mean = y.mean(axis=1)
    kept: dict[str, list] = {name: [] for name in ("mu", "tau2", "sigma2", "theta")}
    for step in range(DRAWS + BURN):
        precision = per / sigma2 + 1 / tau2
        theta = (per * mean / sigma2 + mu / tau2) / precision + rng.normal(size=n) / precision**0.5
        precision = n / tau2 + 1 / 4
        mu = theta.sum() / tau2 / precision + rng.normal() / precision**0.5
        tau2 = 1 / rng.gamma(2 + n / 2, 1 / (1 + ((theta - mu) ** 2).sum() / 2))
        left = ((y - theta[:, None]) ** 2).sum()
        sigma2 = 1 / rng.gamma(2 + n * per / 2, 1 / (0.5 + left / 2))
        if step >= BURN:
            for name, value in (("mu", mu), ("tau2", tau2), ("sigma2", sigma2), ("theta", theta)):
                kept[name].append(np.copy(value))
    return {name: np.array(values) for name, values in kept.items()}


def marginal(y: np.ndarray, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Give the exact density of one patient's data, integrated over the patient's effect."""
    tau2, sigma2, per = draws["tau2"], draws["sigma2"], y.size
    center = draws["mu"]
    within = ((y - y.mean()) ** 2).sum() / sigma2
    between = (y.mean() - center) ** 2 / (tau2 + sigma2 / per)
    log_det = (per - 1) * np.log(sigma2) + np.log(sigma2 + per * tau2)
    return -0.5 * (per * np.log(2 * np.pi) + log_det + within + between)


def test_e_09_leave_one_patient_out_against_exact_refits():
    # One data set of 16 folds; over 30 seeds the worst mean error was a fifth of the limit.
    rng = np.random.default_rng(17)
    y = rng.normal(size=N)[:, None] + 0.5 * rng.normal(size=(N, PER))
    draws = gibbs(y, rng)
    every = slice(None, None, 8)
    psi = {name: draws[name][every] for name in ("mu", "tau2", "sigma2")}
    errors = []
    for i in range(N):
        proposal = propose(draws["theta"][:, i, None], rng, 200)
        theta = proposal.effects[:, 0]
        sd = psi["sigma2"][:, None, None] ** 0.5
        likelihood = stats.norm.logpdf(y[i], theta[None, :, None], sd).sum(axis=2)
        prior = stats.norm.logpdf(theta[None], psi["mu"][:, None], psi["tau2"][:, None] ** 0.5)
        found = leave_out(likelihood + prior, proposal)
        assert found.weights.khat < 0.7
        refit = gibbs(np.delete(y, i, axis=0), rng)
        exact = special.logsumexp(marginal(y[i], refit)) - np.log(DRAWS)
        errors.append(found.elpd - exact)
    assert abs(np.mean(errors)) < 0.05
    assert np.std(errors) < 0.1


def test_proposals_have_the_density_they_are_said_to_have():
    rng = np.random.default_rng(19)
    own = rng.normal(2.0, 0.3, (500, 1))
    found: Proposal = propose(own, rng, 4000)
    grid = np.linspace(-3, 7, 4001)
    scale = own.std(ddof=1) * 1.3
    wanted = stats.t.logpdf(found.effects[:, 0], 5, own.mean(), scale)
    np.testing.assert_allclose(found.log_density, wanted, atol=1e-6)
    assert np.trapezoid(stats.t.pdf(grid, 5, own.mean(), scale), grid) == pytest.approx(1, abs=1e-3)
