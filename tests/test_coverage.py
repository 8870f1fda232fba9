"""Do the stated intervals cover? Many small cohorts through one compiled posterior; all slow.

Compiling takes longer than sampling, so the observations of a model are shared variables and each
cohort takes its turn in them. The posterior is the package's own; nothing of it is replaced.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytest
import xarray as xr
from scipy import stats

import carkinetics as ck
from carkinetics.inference.build import assemble
from carkinetics.inference.draws import patient_parameters
from carkinetics.inference.planning import plan_fit
from carkinetics.likelihood import link_log_copies
from carkinetics.quantities import Curve, auc
from carkinetics.simulation import true_parameters

VISITS = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0, 90.0, 180.0)
SAMPLER = {"draws": 300, "tune": 500, "chains": 2, "cores": 1, "progress_bar": False}


class Posterior:
    """The posterior of the Stein model for cohorts of one size, compiled once."""

    def __init__(self, n_patients):
        self.model, self.n = ck.load_model("stein_2019"), n_patients
        self.plan = plan_fit(self.model, self.cohort(0), correlated=False)
        samples = self.plan.layout.qpcr
        shared = replace(
            samples,
            log_level=pytensor.shared(samples.log_level, name="observed"),
            below=pytensor.shared(samples.below, name="hidden"),
        )
        layout = replace(self.plan.layout, qpcr=shared)
        self.compiled = nutpie.compile_pymc_model(assemble(replace(self.plan, layout=layout)))

    def cohort(self, seed, **truth):
        return ck.simulate(
            self.model, self.n, seed=seed, assays=["qpcr"], visits=VISITS, **truth
        )  # fmt: skip

    def sample(self, cohort, seed):
        """Give the posterior, and the parameters of the patients, (chain, draw, patient, name)."""
        samples = plan_fit(self.model, cohort, correlated=False).layout.qpcr
        own = self.compiled.with_data(observed=samples.log_level, hidden=samples.below)
        found = nutpie.sample(own, seed=seed, **SAMPLER)["posterior"].to_dataset()
        weights = np.full((self.n, len(self.plan.varying)), 0.5)
        constants = xr.Dataset({"centering": (("patient", "effect"), weights)})
        return found, patient_parameters(self.plan, found, constants)


def area(parameters):
    """AUC0-28 of Stein curves, from their closed form; parameters in the order of the model."""
    cmax, tmax, double, alpha, share, beta = np.moveaxis(parameters, -1, 0)
    rate, after = np.log(2) / double, np.maximum(28 - tmax, 0)
    rise = (np.exp(rate * np.minimum(28 - tmax, 0)) - np.exp(-rate * tmax)) / rate
    fast = (1 - share) * -np.expm1(-alpha * after) / alpha
    return cmax * (rise + fast + share * -np.expm1(-beta * after) / beta)


def covers(draws, truth):
    low, high = np.quantile(draws, [0.05, 0.95])
    return low <= truth <= high


def test_area_of_the_closed_form_is_that_of_the_curve():
    """The yardstick of this file against the quadrature of the package."""
    values = np.array([100.0, 10.0, 0.8, 0.3, 0.01, 0.01])
    day = np.linspace(0, 28, 2801)
    after = np.maximum(day - 10, 0)
    fall = 0.99 * np.exp(-0.3 * after) + 0.01 * np.exp(-0.01 * after)
    log_level = np.log(100 * np.where(day < 10, 2 ** ((day - 10) / 0.8), fall))
    assert area(values) == pytest.approx(auc(Curve(day, log_level), 0, 28), rel=1e-4)


@pytest.mark.slow
def test_e07_intervals_cover_when_the_truth_comes_from_the_prior():
    """E-07: 90 % intervals of Cmax and AUC0-28 of a patient, mu and omega of Cmax; 100 cohorts.

    One patient of each cohort counts, so that the cohorts are independent. The bounds leave out
    0.25 % of Binomial(100, 0.9): a false alarm in one run of a hundred over all four, were it not
    for the fixed seed.
    """
    posterior, rng = Posterior(8), np.random.default_rng(7)
    names = [p.name for p in posterior.plan.parameters]
    sigma_prior = posterior.plan.model.observed["qpcr"].sigma
    found = {name: [] for name in ("cmax", "auc", "mu", "omega")}
    for seed in range(100):
        typical, omega = {}, {}
        for p in posterior.plan.parameters:
            typical[p.name] = float(p.prior.sample(rng, 1)[0])
            omega[p.name] = float(p.omega.sample(rng, 1)[0])
        sigma = {"qpcr": float(sigma_prior.sample(rng, 1)[0])}
        cohort = posterior.cohort(seed, typical=typical, omega=omega, sigma=sigma)
        true = true_parameters(
            posterior.model, 8, seed=seed, unit="copies/ug", typical=typical, omega=omega
        )[names].to_numpy()[0]  # fmt: skip
        draws, parameters = posterior.sample(cohort, seed)
        found["cmax"].append(covers(parameters[..., 0, 0], true[0]))
        found["auc"].append(covers(area(parameters[..., 0, :]), area(true)))
        found["mu"].append(covers(draws["log_cmax"], np.log(typical["cmax"])))
        found["omega"].append(covers(draws["omega_cmax"], omega["cmax"]))
    shares = {name: np.mean(values) for name, values in found.items()}
    print(shares)
    low, high = stats.binom.ppf([0.00125, 0.99875], 100, 0.9) / 100
    for name, share in shares.items():
        assert low <= share <= high, name


@pytest.mark.slow
def test_e08_stein_patients_are_recovered_better_than_from_their_samples():
    """E-08: 16 patients, residual SD 0.56, Stein's typical values; 10 cohorts.

    Errors of 160 peaks of SD 0.45 have a mean with a standard error of 0.04, patients of one
    cohort being almost independent: 0.15 is four of them. The SD of ln Cmax of 16 patients varies
    by 18 %, its mean over 10 cohorts by 6 %; a factor of 1.5 is six of them.
    """
    posterior = Posterior(16)
    names = [p.name for p in posterior.plan.parameters]
    peak, areas, sampled, omegas = [], [], [], []
    for seed in range(10):
        truth = {"omega": {"cmax": 0.9}, "sigma": {"qpcr": 0.56}}
        cohort = posterior.cohort(800 + seed, **truth)
        true = true_parameters(
            posterior.model, 16, seed=800 + seed, unit="copies/ug", omega=truth["omega"]
        )[names].to_numpy()  # fmt: skip
        draws, parameters = posterior.sample(cohort, seed)
        peak.append(np.median(np.log(parameters[..., 0]), axis=(0, 1)) - np.log(true[:, 0]))
        areas.append(np.median(np.log(area(parameters)), axis=(0, 1)) - np.log(area(true)))
        observed = ck.observed_quantities(cohort, "qpcr", quantities=["cmax"])["observed_cmax"]
        sampled.append(np.log(observed.to_numpy()) - np.log(true[:, 0]))
        omegas.append(float(draws["omega_cmax"].median()))
    by_model, by_samples = (np.sqrt(np.nanmean(np.square(e))) for e in (peak, sampled))
    print(np.mean(peak), np.mean(areas), by_model, by_samples, np.exp(np.mean(np.log(omegas))))
    assert abs(np.mean(peak)) < 0.15
    assert abs(np.mean(areas)) < 0.15
    assert by_model < min(by_samples, 0.57)
    assert 0.9 / 1.5 < np.exp(np.mean(np.log(omegas))) < 0.9 * 1.5


@pytest.mark.slow
def test_b04_slope_of_the_assay_link_is_recovered():
    """B-04: 16 patients with 8 pairs, slope 0.7, SD 0.4 (qPCR) and 0.3 (flow); 200 cohorts.

    84-95 % is the 99 % region of Binomial(200, 0.9): a false alarm in one run of a hundred. The
    slope of least squares is attenuated by the error of flow: its mean lies below 0.7.
    """
    rng = np.random.default_rng(4)
    level = np.array([0.5, 2.0, 4.0, 5.0, 4.0, 3.0, 2.0, 1.5])
    log_wbc = np.log([500.0, 600, 1000, 2000, 3000, 4000, 5000, 5000])
    flow = pytensor.shared(np.zeros((16, 8)), name="flow")
    qpcr = pytensor.shared(np.zeros((16, 8)), name="qpcr")
    with pm.Model() as model:
        center = pm.Normal("center", 3, 2)
        height = center + pm.Normal("height", 0, 1, shape=(16, 1))
        shape = pm.Normal("shape", 0, 3, shape=8)
        slope, by_wbc = pm.Normal("slope", 1, 0.25), pm.Normal("by_wbc", 1, 0.3)
        copies = pm.Normal("log_copies", np.log(2), 0.4)
        tau = pm.HalfNormal("tau", 0.4)
        shift = tau * pm.Normal("shift", 0, 1, shape=(16, 1))
        cells = height + shape
        mean = link_log_copies(cells, log_wbc, copies, slope, by_wbc, shift)
        of_flow, of_qpcr = pm.HalfNormal("of_flow", 0.4), pm.HalfNormal("of_qpcr", 0.5)
        pm.Potential("flow_term", pm.logp(pm.Normal.dist(cells, of_flow), flow).sum())
        pm.Potential("qpcr_term", pm.logp(pm.Normal.dist(mean, of_qpcr), qpcr).sum())
    compiled = nutpie.compile_pymc_model(model)
    covered, naive = [], []
    for seed in range(200):
        cells = level + rng.standard_normal((16, 1))
        shift = 0.3 * rng.standard_normal((16, 1))
        seen = cells + 0.3 * rng.standard_normal((16, 8))
        copied = link_log_copies(cells, log_wbc, np.log(2), 0.7, 1.0, shift)
        copied = copied + 0.4 * rng.standard_normal((16, 8))
        own = compiled.with_data(flow=seen, qpcr=copied)
        draws = nutpie.sample(own, seed=seed, **SAMPLER)["posterior"]["slope"].values
        covered.append(covers(draws, 0.7))
        free_of_wbc = copied + np.log(np.exp(log_wbc) / 1000)
        naive.append(np.polyfit(seen.ravel(), free_of_wbc.ravel(), 1)[0])
    print(np.mean(covered), np.mean(naive))
    assert 0.84 <= np.mean(covered) <= 0.95
    assert np.mean(naive) < 0.7 - 3 * np.std(naive) / np.sqrt(200)
