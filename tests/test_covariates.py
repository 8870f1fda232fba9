"""Fits with covariates: known answers, a simulated truth, and what a file keeps of them."""

from __future__ import annotations

import dataclasses
import warnings

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytest

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning
from carkinetics.inference.build import plan_fit
from carkinetics.inference.covariate_columns import Column
from carkinetics.inference.covariate_shift import covariate_shift, drawn_shift
from carkinetics.inference.covariates import CovariateModel, Design
from carkinetics.inference.draws import patient_centers, population_parameters
from carkinetics.inference.effects import patient_effects
from carkinetics.inference.prefit import EffectPlaces, recenter
from carkinetics.priors import Prior

N = 24
DOSE, ADULT = 0.8, -0.7  # on ln Cmax, per unit of ln dose and for adults


@pytest.fixture(scope="module")
def table():
    """SYNTHETIC patients: a dose, and every third of them an adult."""
    dose = np.exp(np.random.default_rng(4).normal(np.log(100), 0.6, N)).round(1)
    adult = (np.arange(N) % 3 == 0).astype(int)
    return pd.DataFrame(
        {
            "patient": [f"S{i + 1:02d}" for i in range(N)],
            "dose": dose,
            "adult": adult,
            "age_group": np.where(adult, "adult", "child"),
        }
    )


@pytest.fixture(scope="module")
def fit(table):
    """A short fit of the closed form with two covariates on Cmax."""
    model = ck.load_model("stein_2019")
    cohort = ck.simulate(
        model, seed=21, assays=["qpcr"], visits=(5, 8, 11, 14, 21, 28, 60, 120), patients=table,
        covariates={"cmax": {"log(dose / 100)": DOSE, "adult": ADULT}},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Fit not trustworthy", CarkineticsWarning)
        return ck.fit(
            model, cohort, seed=3, draws=250, tune=300, chains=2, rerun=False, progress="none",
            correlated=False, covariates={"cmax": ["log(dose)", "age_group"]},
        )  # fmt: skip


# --- known answers ----------------------------------------------------------------------------


def design(matrix):
    """Columns as they are, N(0, 0.5) on each coefficient."""
    column = Column("", matrix, "", "", "number", 0.0, 1.0, None, (), None)
    columns = tuple(
        dataclasses.replace(column, name=f"z{k}", values=matrix[:, k])
        for k in range(matrix.shape[1])
    )
    return Design("a", "log", columns, (Prior("normal", (0.0, 0.5)),) * len(columns))


@pytest.mark.parametrize("centering", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("with_covariates", [False, True])
def test_e04_a_normal_hierarchy_has_the_means_of_the_shrinkage_formula(with_covariates, centering):
    """Known SDs: posterior means within 3 standard errors of the closed form.

    11 or 12 means in each of six runs, 69 in all: 69 * P(|z| > 3) = 0.19 for another seed.
    """
    rng = np.random.default_rng(7)
    n, omega, sigma = 10, 0.7, 0.5
    z = rng.normal(size=(n, 1))
    y = 1.0 + 0.6 * z[:, 0] + omega * rng.normal(size=n) + sigma * rng.normal(size=n)
    own = design(z)
    with pm.Model(coords={"patient": range(n), "effect": ["a"], own.dim: own.names}) as model:
        location = pm.Normal("a", 0.0, 2.0)
        shift = covariate_shift(CovariateModel({}, (own,)), ["a"], n) if with_covariates else None
        effects = patient_effects(
            [location], [np.float64(omega)], np.full((n, 1), centering), correlation_shape=None,
            heavy=[False], shift=shift,
        )  # fmt: skip
        pm.Normal("y", effects.coordinates[:, 0], sigma, observed=y)
    compiled = nutpie.compile_pymc_model(model)
    draws = nutpie.sample(
        compiled, draws=1000, tune=400, chains=2, seed=1, progress_bar=False
    )["posterior"]  # fmt: skip
    # theta and the shared coefficients are jointly normal: shrinkage toward the regression line.
    basis = np.column_stack([np.ones(n), z]) if with_covariates else np.ones((n, 1))
    prior = np.diag([1 / 4.0] + [1 / 0.25] * (basis.shape[1] - 1))
    marginal = 1 / (omega**2 + sigma**2)
    shared = np.linalg.solve(prior + marginal * basis.T @ basis, marginal * basis.T @ y)
    weight = omega**2 / (omega**2 + sigma**2)
    theta = basis @ shared + weight * (y - basis @ shared)
    found = {"a": (draws["a"], shared[0])}
    if with_covariates:
        found["beta"] = (draws["beta_a"][..., 0], shared[1])
    for i in range(n):
        found[f"theta {i}"] = (draws["patient_coordinates"][:, :, i, 0], theta[i])
    for name, (values, expected) in found.items():
        error = float(az.mcse(values.transpose("chain", "draw").values))
        assert abs(float(values.mean()) - expected) < 3 * error, name


def test_a_start_is_rewritten_around_the_line_of_the_covariates():
    """x = w (location + Z beta) + omega ** w u, with u the distance in units of omega."""
    matrix, point = np.array([[1.0, 0.0], [0.5, 2.0]]), np.array([5.0, 7.0, 3.0, np.log(2), 0.4, 1])
    places = EffectPlaces(
        np.array([0, 1]), 2, 3, 1.0, slopes=np.array([4, 5]), matrix=matrix
    )  # fmt: skip
    center = 3.0 + matrix @ [0.4, 1.0]
    assert places.center(point) == pytest.approx(center)
    w = np.array([0.3, 1.0])
    expected = w * center + 2.0 ** (w - 1) * (np.array([5.0, 7.0]) - center)
    assert recenter(point, {"a": places}, {"a": w})[:2] == pytest.approx(expected)


# --- a simulated truth -------------------------------------------------------------------------


def test_known_coefficients_are_recovered(fit, table):
    """Both within 3.5 posterior SDs of the truth: false alarms 2 * P(|z| > 3.5) = 0.001.

    The posterior SD is what 24 patients with a between-patient SD of 0.65 can give at most.
    """
    beta = fit.data["posterior"]["beta_cmax"]
    assert beta.dims == ("chain", "draw", "term_cmax")
    assert list(beta["term_cmax"].values) == ["log(dose)", "age_group[adult]"]
    truth = [DOSE * np.log(table["dose"]).std(ddof=1), ADULT]
    mean, sd = (f(("chain", "draw")).values for f in (beta.mean, beta.std))
    assert (abs(mean - truth) < 3.5 * sd).all()
    assert (sd < 2 * 0.65 / np.sqrt(N * np.array([1.0, 2 / 9]))).all()


def test_the_patients_are_spread_around_the_line_of_their_covariates(fit):
    """Parameters, effects and coefficients of one draw belong together."""
    posterior = fit.data["posterior"].to_dataset()
    names = [p.name for p in fit.plan.varying]
    k = names.index("cmax")
    centers = patient_centers(fit.plan, posterior)
    shift = drawn_shift(fit.plan.covariates, names, posterior)
    matrix = fit.data["constant_data/covariates_cmax"].values
    by_hand = posterior["beta_cmax"].values @ matrix.T
    assert shift[..., k] == pytest.approx(by_hand)
    assert not shift[..., [i for i in range(len(names)) if i != k]].any()
    assert centers[..., k] == pytest.approx(posterior["log_cmax"].values[..., None] + by_hand)
    log_cmax = np.log(fit.data["carkinetics/parameters/cmax"].values)
    effects = fit.data["carkinetics/effects"].to_dataset()
    expected = (log_cmax - centers[..., k]).mean(axis=(0, 1))
    assert effects["mean"].sel(effect="cmax").values == pytest.approx(expected)


def test_the_density_of_pymc_and_the_draws_agree_on_the_patients(fit):
    """The model's own patient coordinates, at draws, are those that the tree reports."""
    point = {n: v[0, -1].values for n, v in fit.data["posterior"].to_dataset().items()}
    deterministic = fit.model["patient_coordinates"]
    inputs = [fit.model[rv.name] for rv in fit.model.free_RVs]
    value = deterministic.eval({rv: np.asarray(point[rv.name]) for rv in inputs})
    k = [p.name for p in fit.plan.varying].index("cmax")
    reported = fit.data["carkinetics/parameters/cmax"].values[0, -1]
    assert np.exp(value[:, k]) == pytest.approx(reported, rel=1e-9)


def test_the_typical_patient_stands_at_means_and_reference_values(fit, table):
    said = fit.settings["covariates"]["typical_patient"]
    mean = np.log(table["dose"]).mean()
    assert said == f"log(dose) = {mean:.4g} (mean); age_group = child"
    population = population_parameters(fit.plan, fit.data["posterior"].to_dataset())
    k = [p.name for p in fit.plan.parameters].index("cmax")
    assert np.array_equal(population[..., k], fit.data["carkinetics/population/cmax"].values)
    assert population[..., k] == pytest.approx(np.exp(fit.data["posterior/log_cmax"].values))


# --- what is told ------------------------------------------------------------------------------


def test_the_table_gives_ratios_with_intervals(fit):
    shown = fit.covariate_table(0.9)
    assert list(shown["term"]) == ["log(dose)", "age_group[adult]"]
    assert list(shown["measure"]) == ["ratio", "ratio"]
    assert shown["per"][1] == "adult against child"
    draws = np.exp(fit.data["posterior/beta_cmax"].values[..., 1])
    assert shown.loc[1, ["low", "median", "high"]].tolist() == pytest.approx(
        np.quantile(draws, [0.05, 0.5, 0.95])
    )


def test_a_fit_without_covariates_has_an_empty_table(small_fit):
    assert small_fit.covariate_table().empty
    assert "covariates" not in small_fit.settings


def test_population_holds_the_coefficients(fit):
    beta = fit.data["carkinetics/population/beta_cmax"]
    assert beta.attrs == {
        "units": "1", "long_name": "change of cmax with its covariates, log scale"
    }  # fmt: skip


def test_the_settings_say_how_every_column_was_made(fit, table):
    dose, age = fit.settings["covariates"]["columns"]["cmax"]
    log = np.log(table["dose"])
    assert (dose["center"], dose["scale"]) == pytest.approx((log.mean(), log.std(ddof=1)))
    assert age["reference"] == "child"
    assert {dose["prior"], age["prior"]} == {"normal(mean=0, sd=0.5)"}
    assert fit.settings["priors"]["beta_cmax"] == "normal(mean=0, sd=0.5)"


def test_a_saved_fit_has_its_covariates_again(fit, tmp_path):
    loaded = ck.load_fit(fit.save(tmp_path / "fit.nc"))
    assert loaded.settings == fit.settings
    assert loaded.covariate_table().equals(fit.covariate_table())
    before, after = (f.plan.covariates.of("cmax") for f in (fit, loaded))
    assert np.array_equal(before.matrix, after.matrix)
    assert before.names == after.names
    assert before.priors == after.priors
    days = [7.0, 14.0]
    assert np.array_equal(loaded.population_curves(days).values, fit.population_curves(days).values)


def test_the_report_tells_of_covariates(fit, tmp_path):
    written = ck.write_report(fit, tmp_path / "report.html", patients=["S01"], allow_failed=True)
    page = written.read_text(encoding="utf-8")
    assert "Parameters and covariates" in page
    assert "adult against child" in page
    assert "associations" in page
    assert "The typical patient stands at log(dose) = " in page


def test_the_density_follows_new_covariates_without_a_new_model(fit):
    """The matrix is data: doubling it and halving the coefficients changes their prior alone."""
    plan = plan_fit(
        fit.kinetic_model, fit.cohort, correlated=False,
        covariates={"cmax": ["log(dose)", "age_group"]},
    )  # fmt: skip
    from carkinetics.inference.build import assemble

    model = assemble(plan)
    matrix = plan.covariates.of("cmax").matrix
    coordinates = model["patient_coordinates"]
    point = {n: v[0, -1].values for n, v in fit.data["posterior"].to_dataset().items()}
    inputs = {model[rv.name]: np.asarray(point[rv.name], float) for rv in model.free_RVs}
    first = coordinates.eval(inputs)
    pm.set_data({"covariates_cmax": 2 * matrix}, model=model)
    inputs[model["beta_cmax"]] = inputs[model["beta_cmax"]] / 2
    assert coordinates.eval(inputs) == pytest.approx(first, rel=1e-12)
