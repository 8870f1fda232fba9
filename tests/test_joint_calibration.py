"""The joint model under repetition: exposure known with a stated error, outcomes by our terms.

The design and results are in docs/validation.md: ln exposure x ~ N(0, 1), its kinetics
summarized as w ~ N(x, s^2) with s in 0.3, 0.6, 1.0 (probabilities .4, .35, .25); exponential
times with a median of 77 days at x = 0, censored uniformly on 120 to 900 days.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest

import carkinetics as ck
from carkinetics.outcomes import cox, weibull_hazards
from carkinetics.outcomes.joint import priors, terms
from carkinetics.outcomes.propagated import Drawn, propagated_estimates

pytestmark = pytest.mark.slow

SHARE = float(os.environ.get("CARKINETICS_CALIBRATION_SHARE", "1"))
S, P = np.array([0.3, 0.6, 1.0]), np.array([0.4, 0.35, 0.25])


def trial(n, gamma, rng):
    """One trial: exposures as known (w, s), days, events."""
    x, s = rng.standard_normal(n), rng.choice(S, n, p=P)
    w = x + s * rng.standard_normal(n)
    time = 111.1 * rng.exponential(size=n) * np.exp(-gamma * x)
    end = rng.uniform(120, 900, n)
    return {
        "w": w, "s": s, "log_day": np.log(np.minimum(time, end)),
        "event": (time <= end).astype(float),
    }  # fmt: skip


def toy(data, flat=False):
    """The joint model with kinetics summarized by w and s; terms and priors are ours.

    The patients' exposures are integrated against w exactly, as a Normal given mean and SD of the
    population: what is sampled is their standardized remainder.
    """
    with pm.Model() as model:
        w, s, log_day, event = (pm.Data(name, value) for name, value in data.items())
        mu, omega = pm.Normal("mu", 0, 2), pm.HalfNormal("omega", 1)
        pm.Potential("kinetics", pm.logp(pm.Normal.dist(mu, pt.sqrt(omega**2 + s**2)), w))
        share = omega**2 / (omega**2 + s**2)
        rest = pm.Normal("rest", 0, 1, shape=len(data["w"]))
        x = mu + share * (w - mu) + s * pt.sqrt(share) * rest
        if flat:
            gamma, log_scale, log_shape = (
                pm.Flat(name) for name in ("gamma", "log_scale", "log_shape")
            )
        else:
            gamma = pm.Normal("gamma", 0, priors.SLOPE_SD["survival"])
            log_scale = pm.Normal("log_scale", *priors.LOG_SCALE)
            log_shape = pm.Normal("log_shape", *priors.LOG_SHAPE)
        pm.Potential("outcome", terms.weibull(log_day, event, gamma * x, log_scale, log_shape))
    return model


def sampled(compiled, seed, draws=500, chains=4):
    import nutpie

    return nutpie.sample(
        compiled, draws=draws, tune=400, chains=chains, cores=2, seed=seed, progress_bar=False,
        target_accept=0.9,
    )["posterior"]  # fmt: skip


def draws_of_kinetics(data, rng, n_draws=200):
    """Exposures given w alone, under mu ~ N(0, 2) and omega ~ half-normal(1), from a grid."""
    mu, omega = np.linspace(-3, 3, 121), np.linspace(0.02, 4, 100)
    grid_mu, grid_omega = (g.ravel() for g in np.meshgrid(mu, omega, indexing="ij"))
    variance = grid_omega[:, None] ** 2 + data["s"] ** 2
    logs = -0.5 * (np.log(variance) + (data["w"] - grid_mu[:, None]) ** 2 / variance).sum(axis=1)
    logs += -0.5 * (grid_mu / 2) ** 2 - 0.5 * grid_omega**2
    weight = np.exp(logs - logs.max())
    pick = rng.choice(weight.size, n_draws, p=weight / weight.sum())
    m, o = grid_mu[pick, None], grid_omega[pick, None]
    share = o**2 / (o**2 + data["s"] ** 2)
    noise = rng.standard_normal((n_draws, data["w"].size))
    return m + share * (data["w"] - m) + data["s"] * np.sqrt(share) * noise


def repeat(n, gamma, repetitions, seed, rubin=False):
    """Fit every estimator to many trials; one row each. One compilation serves all."""
    import nutpie

    rng = np.random.default_rng(seed)
    compiled = nutpie.compile_pymc_model(toy(trial(n, gamma, rng)))
    rows = []
    for repetition in range(repetitions):
        data = trial(n, gamma, rng)
        posterior = sampled(compiled.with_data(**data), seed + repetition)
        found = posterior["gamma"].values.ravel()
        low, high = np.quantile(found, [0.025, 0.975])
        day, event = np.exp(data["log_day"]), data["event"].astype(bool)
        raw = cox(day, event, data["w"])
        drawn = draws_of_kinetics(data, rng)
        plug = cox(day, event, drawn.mean(axis=0))
        half = 1.96 * raw.standard_errors[0]
        row = {
            "joint": found.mean(), "low": low, "high": high, "joint_rejects": low > 0 or high < 0,
            "joint_covers": low <= gamma <= high, "raw": raw.coefficients[0],
            "raw_covers": abs(raw.coefficients[0] - gamma) < half, "ebe": plug.coefficients[0],
            "ebe_rejects": plug.p_values[0] < 0.05,
        }  # fmt: skip
        if rubin:
            pooled = propagated_estimates(
                "survival", Drawn(drawn[:100], "log", data["event"], day, 0.95)
            )[0]
            row["rubin_rejects"] = pooled.p_value < 0.05
        rows.append(row)
    table = pd.DataFrame(rows)
    print(f"\nN={n}, gamma={gamma}, {len(table)} trials\n{table.mean(numeric_only=True)}")
    print(f"median of ebe {table['ebe'].median():.3f}")
    return table


def reduced(repetitions):
    return max(4, int(SHARE * repetitions))


def between(values, low, high):
    """Whether a mean lies in a range, widened by 3 Monte-Carlo errors in a reduced run."""
    room = 0.0 if SHARE >= 1 else 3 * values.std() / np.sqrt(len(values)) + 1.0 / len(values)
    return low - room <= values.mean() <= high + room


def test_f_03_sixteen_patients_with_an_association():
    """200 trials: joint covers 90.5-99 %, mean -.58 to -.80; raw attenuated; Rubin without power.

    False alarm: below 1 % for coverage (binomial), below 1 % for each mean (three errors).
    """
    table = repeat(16, -0.7, reduced(200), seed=1, rubin=True)
    assert between(table["joint_covers"].astype(float), 0.905, 0.99)
    assert between(table["joint"], -0.80, -0.58)
    assert between(table["raw"], -0.62, -0.45)
    assert -0.85 <= table["ebe"].median() <= -0.60 or SHARE < 1
    assert between(table["rubin_rejects"].astype(float), 0.0, 0.10)


def test_f_04_two_hundred_patients():
    """50 trials: raw values cover less than 30 %, the joint model 86-100 %."""
    table = repeat(200, -0.7, reduced(50), seed=2)
    assert between(table["raw_covers"].astype(float), 0.0, 0.30)
    assert between(table["joint_covers"].astype(float), 0.86, 1.0)


def test_f_05_sixteen_patients_without_an_association():
    """400 trials: the joint model rejects in 2.5-7.5 %, the plug-in in 3.5-9 %.

    False alarm: about 3 % each, for true rates of 4.5 % and 6.5 % (binomial).
    """
    table = repeat(16, 0.0, reduced(400), seed=3)
    assert between(table["joint_rejects"].astype(float), 0.025, 0.075)
    assert between(table["ebe_rejects"].astype(float), 0.035, 0.09)


def test_f_02_without_error_the_joint_slope_is_that_of_weibull_hazards(reference):
    """rossi, number of priors, flat priors: within 3 Monte-Carlo errors of the model on x itself.

    False alarm 0.3 %. The posterior mean also lies within a tenth of an SD of the maximum of the
    likelihood, from which a skewed posterior may differ.
    """
    import arviz as az
    import nutpie

    table = pd.read_csv(reference / "rossi.csv")
    x = (table["prio"] - table["prio"].mean()).to_numpy(float) / table["prio"].std()
    day, event = table["week"].to_numpy(float), table["arrest"].to_numpy(float)
    data = {"w": x, "s": np.full(x.size, 1e-4), "log_day": np.log(day), "event": event}
    joint = sampled(nutpie.compile_pymc_model(toy(data, flat=True)), 4, draws=1000)["gamma"].values
    with pm.Model() as model:
        gamma, scale, shape = (pm.Flat(name) for name in ("gamma", "log_scale", "log_shape"))
        pm.Potential("outcome", terms.weibull(np.log(day), event, gamma * x, scale, shape))
    direct = sampled(nutpie.compile_pymc_model(model), 5, draws=1000)["gamma"].values
    errors = [float(az.mcse(values, method="mean")) for values in (joint, direct)]
    assert abs(joint.mean() - direct.mean()) < 3 * np.hypot(*errors)
    fitted = weibull_hazards(day, event, x)
    assert abs(direct.mean() - fitted.coefficients[0]) < 0.1 * direct.std()


# The kink of the closed form leaves two answers open where no sample is near the peak.
_NEAR_THE_PEAK = (3.0, 5.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0, 17.0, 21.0, 28.0, 60.0, 120.0)
_ALIKE = {"cmax": 0.65, "tmax": 0.2, "doubling_time": 0.2, "alpha": 0.4, "memory_fraction": 0.6,
          "beta": 0.5}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("stein_2019", {"visits": _NEAR_THE_PEAK, "omega": _ALIKE}),
        ("cd4_cd8_expansion", {}),
    ],
)
def test_f_01_an_outcome_without_association_leaves_the_kinetics_alone(name, shape):
    """64 SYNTHETIC patients, times drawn at random: no mean ln Cmax moves by 0.3 posterior SD."""
    model = ck.load_model(name)
    cohort = with_random_times(ck.simulate(model, 64, seed=12, assays=["qpcr"], **shape))
    settings = {"seed": 5, "draws": 1500, "tune": 1000, "rerun": False, "progress": "none"}
    alone = ck.fit(model, cohort, **settings)
    joint = ck.fit_joint(model, cohort, "cmax", ["ttp"], fit=alone, **settings)
    print(joint, joint.check(), joint.feedback["shift"].abs().max())
    assert joint.feedback["shift"].abs().max() < 0.3
    assert not joint.feedback["listed"].any()
    for variable in alone.data["carkinetics/population"].data_vars:
        one = alone.data["carkinetics/population"][variable].values
        other = joint.kinetics.data["carkinetics/population"][variable].values
        if one.ndim == 2:
            assert abs(one.mean() - other.mean()) < 0.3 * one.std(), variable


def test_three_outcomes_of_the_synthetic_cohort_in_one_healthy_fit(synthetic):
    """By the rules of any fit; the wall time depends on the machine and is not tested."""
    model = ck.load_model("cd4_cd8_expansion")
    joint = ck.fit_joint(model, synthetic, seed=2026, rerun=False, progress="none")
    stats = joint.kinetics.data["sample_stats"]
    print(joint, joint.check(), joint.kinetics.settings["sampling_seconds"])
    assert joint.check()
    assert float(stats["n_steps"].mean()) < 63
    table = joint.table().set_index("outcome")
    assert list(table["n"]) == [16, 16, 16]
    assert list(table["n_events"]) == [11, 13, 3]


def with_random_times(cohort):
    import dataclasses

    rng = np.random.default_rng(13)
    n = len(cohort.patients)
    time, end = 30 + rng.exponential(111, n), rng.uniform(120, 900, n)
    table = cohort.patients.assign(ttp_day=np.minimum(time, end), progressed=time <= end)
    return dataclasses.replace(cohort, patients=table)
