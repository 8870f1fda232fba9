"""Fits with covariates: known answers, a simulated truth, and what a file keeps of them."""

from __future__ import annotations

import dataclasses
import warnings

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytensor
import pytest
from pytensor.compile.mode import Mode

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning
from carkinetics.inference.centering import Centering, Seen
from carkinetics.inference.covariate_columns import Column
from carkinetics.inference.covariate_shift import covariate_shift, drawn_shift
from carkinetics.inference.covariates import CovariateModel, Design
from carkinetics.inference.draws import patient_centers, population_parameters
from carkinetics.inference.effects import patient_effects
from carkinetics.inference.prefit import EffectPlaces, recenter
from carkinetics.priors import Prior

N = 24
DOSE, ADULT = 0.8, -0.7  # on ln Cmax, per unit of ln dose and for adults
OMEGA = 0.3


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
        omega={"cmax": OMEGA}, covariates={"cmax": {"log(dose / 100)": DOSE, "adult": ADULT}},
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


WITHIN, RESIDUAL, HIERARCHY = 0.7, 0.5, 10  # known SDs, patients


@pytest.fixture(scope="module")
def hierarchy():
    """One sample per patient, Normal with known SDs: compiled once, with its covariate and data."""
    rng = np.random.default_rng(7)
    z = rng.normal(size=(HIERARCHY, 1))
    spread = np.hypot(WITHIN, RESIDUAL)
    y = 1.0 + 0.6 * z[:, 0] + spread * rng.normal(size=HIERARCHY)
    own = design(z)
    coords = {"patient": range(HIERARCHY), "effect": ["a"], own.dim: own.names}
    with pm.Model(coords=coords) as model:
        location = pm.Normal("a", 0.0, 2.0)
        weights = pm.Data("centering", np.zeros((HIERARCHY, 1)))
        shift = covariate_shift(CovariateModel({}, (own,)), ["a"], HIERARCHY)
        seen = Seen(
            pm.Data("data_precision", np.zeros((HIERARCHY, 1, 1))),
            pm.Data("data_pull", np.zeros((HIERARCHY, 1))),
        )
        effects = patient_effects(
            [location], [np.float64(WITHIN)], weights, seen, correlation_shape=None, heavy=[False],
            shift=shift,
        )  # fmt: skip
        pm.Normal("y", effects.coordinates[:, 0], RESIDUAL, observed=y)
    return nutpie.compile_pymc_model(model), z, y


@pytest.mark.parametrize("centering", [0.0, 0.6, 1.0, "seen"])
@pytest.mark.parametrize("covariate", ["none", "given", "other"])
def test_e04_a_normal_hierarchy_has_the_means_of_the_shrinkage_formula(
    hierarchy, covariate, centering
):
    """Known SDs: posterior means within 3 standard errors of the closed form.

    12 means in each of 12 runs: 144 * P(|z| > 3) = 0.4 for another seed than this one. The
    matrix is data: nothing is compiled for another one. All zeros leave the plain hierarchy.
    """
    compiled, given, y = hierarchy
    z = {"none": 0 * given, "given": given, "other": given[::-1] ** 2}[covariate]
    seen = float(centering == "seen")
    data = {
        "centering": np.full((HIERARCHY, 1), 0.0 if seen else centering),
        "data_precision": np.full((HIERARCHY, 1, 1), seen / RESIDUAL**2),
        "data_pull": seen * y[:, None] / RESIDUAL**2,
    }
    draws = nutpie.sample(
        compiled.with_data(covariates_a=z, **data), draws=1000, tune=400, chains=2, seed=1,
        progress_bar=False,
    )["posterior"]  # fmt: skip
    # Shrinkage of each patient's value toward the regression line.
    basis = np.column_stack([np.ones(HIERARCHY), z])
    precision = 1 / (WITHIN**2 + RESIDUAL**2)
    prior = np.diag([1 / 4.0, 1 / 0.25])
    shared = np.linalg.solve(prior + precision * basis.T @ basis, precision * basis.T @ y)
    theta = basis @ shared + WITHIN**2 * precision * (y - basis @ shared)
    values = [draws["a"], draws["beta_a"][..., 0]]
    values += [draws["patient_coordinates"][:, :, i, 0] for i in range(HIERARCHY)]
    for found, expected in zip(values, [*shared, *theta], strict=True):
        error = float(az.mcse(found.transpose("chain", "draw").values))
        assert abs(float(found.mean()) - expected) < 3 * error, (found.name, expected)


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
    assert recenter(point, {"a": places}, Centering({"a": w}))[:2] == pytest.approx(expected)


# --- a simulated truth -------------------------------------------------------------------------


def test_known_coefficients_are_recovered(fit, table):
    """Both within 3.5 posterior SDs of the truth: false alarms 2 * P(|z| > 3.5) = 0.001.

    The second bound: no wider than twice what 24 fully known patients would give.
    """
    beta = fit.data["posterior"]["beta_cmax"]
    assert beta.dims == ("chain", "draw", "term_cmax")
    assert list(beta["term_cmax"].values) == ["log(dose)", "age_group[adult]"]
    truth = [DOSE * np.log(table["dose"]).std(ddof=1), ADULT]
    mean, sd = (f(("chain", "draw")).values for f in (beta.mean, beta.std))
    assert (abs(mean - truth) < 3.5 * sd).all()
    assert (sd < 2 * OMEGA / np.sqrt(N * np.array([1.0, 2 / 9]))).all()


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


def coordinates_of(model, point):
    """The model's own patient coordinates at a point."""
    given = {model[rv.name]: np.asarray(point[rv.name], float) for rv in model.free_RVs}
    function = pytensor.function(
        list(given), model["patient_coordinates"], on_unused_input="ignore"
    )  # fmt: skip
    return function(*given.values())


def test_the_model_and_the_draws_agree_on_the_patients(fit):
    """The model's own patient coordinates, at a draw, are those that the tree reports."""
    point = {n: v[0, -1].values for n, v in fit.data["posterior"].to_dataset().items()}
    value = coordinates_of(fit.model, point)
    k = [p.name for p in fit.plan.varying].index("cmax")
    reported = fit.data["carkinetics/parameters/cmax"].values[0, -1]
    assert np.exp(value[:, k]) == pytest.approx(reported, rel=1e-9)
    # The matrix is data: another one, another shift, no other model.
    matrix = fit.plan.covariates.of("cmax").matrix
    pm.set_data({"covariates_cmax": 2 * matrix}, model=fit.model)
    halved = coordinates_of(fit.model, point | {"beta_cmax": point["beta_cmax"] / 2})
    pm.set_data({"covariates_cmax": matrix}, model=fit.model)
    assert halved == pytest.approx(value, rel=1e-12)


def test_the_typical_patient_stands_at_means_and_reference_values(fit, table):
    said = fit.settings["covariates"]["typical_patient"]
    mean = np.log(table["dose"]).mean()
    assert said == f"log(dose) = {mean:.4g} (mean); age_group = child"
    population = population_parameters(fit.plan, fit.data["posterior"].to_dataset())
    k = [p.name for p in fit.plan.parameters].index("cmax")
    assert np.array_equal(population[..., k], fit.data["carkinetics/population/cmax"].values)
    assert population[..., k] == pytest.approx(np.exp(fit.data["posterior/log_cmax"].values))


def test_the_density_of_an_ode_has_the_gradient_of_its_coefficients(small_fit):
    """At zero they add their prior alone; elsewhere the gradient is that of finite differences."""
    patients = small_fit.cohort.patients.assign(weight=[15.0, 30.0, 61.0, 44.0])
    cohort = ck.Cohort(small_fit.cohort.levels, patients, synthetic=True)
    request = {"level_at_gate": ["log(weight)"], "gate_day": ["weight"]}
    models = [
        ck.build_model(
            small_fit.kinetic_model, cohort, assays=["flow"], tolerance=1e-9, covariates=chosen
        )
        for chosen in (None, request)
    ]
    mode = Mode(linker="py", optimizer=None)
    plain, full = (m.compile_fn([m.logp(), m.dlogp()], mode=mode) for m in models)
    point = models[1].initial_point()
    without = {name: value for name, value in point.items() if not name.startswith("beta_")}
    prior = 2 * np.log(1 / (0.5 * np.sqrt(2 * np.pi)))
    assert full(point)[0] == pytest.approx(plain(without)[0] + prior, rel=1e-9)
    at = {"beta_level_at_gate": np.array([0.3]), "beta_gate_day": np.array([-0.2])}
    place = 0
    names = [models[1].rvs_to_values[rv].name for rv in models[1].free_RVs]
    gradient = full(point | at)[1]
    for name in names:
        if name in at:
            up, down = (full(point | at | {name: at[name] + h})[0] for h in (1e-4, -1e-4))
            assert gradient[place] == pytest.approx((up - down) / 2e-4, rel=1e-4)
        place += np.size(point[name])


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


def test_a_fit_says_which_covariates_it_has(fit, small_fit):
    assert "covariates cmax ~ log(dose), age_group[adult]" in repr(fit)
    assert "covariates" not in repr(small_fit)


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
