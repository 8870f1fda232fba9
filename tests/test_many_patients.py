"""Many patients, whose effects are centered given those before them: draws, names, files.

Four are taken for many here.
"""

import warnings

import numpy as np
import pytensor
import pytest
from scipy import stats

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning

PATIENTS = 5


@pytest.fixture(scope="module")
def many():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carkinetics.inference.centering.MANY_PATIENTS", 4)
        yield


@pytest.fixture(scope="module")
def fit(many):
    model = ck.load_model("stein_2019")
    cohort = ck.simulate(model, PATIENTS, seed=3, assays=["qpcr"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        return ck.fit(
            model, cohort, seed=3, draws=50, tune=50, chains=2, rerun=False, progress="none"
        )


def at_draw(fit, *names):
    """Compute variables of the model at one draw."""
    model, draw = fit.model, fit.data["posterior"].to_dataset().isel(chain=1, draw=20)
    values = {model[rv.name]: draw[rv.name].values for rv in model.free_RVs}
    compute = pytensor.function(
        list(values), [model[name] for name in names], on_unused_input="ignore"
    )
    return compute(*values.values())


def test_effects_are_in_an_order_of_their_own(fit):
    """The best informed first; the pairs are named in that order, and nothing else moves."""
    order = fit.data["constant_data/effect_order"].values
    names = list(fit.data["constant_data/effect"].values)
    assert sorted(order) == list(range(len(names)))
    means = fit.data["carkinetics/effects/information"].values.mean(axis=0)
    assert list(order) == list(np.argsort(-means, kind="stable"))
    pairs = fit.data["posterior/effect_pair"].values
    assert pairs[0] == f"{names[order[1]]}:{names[order[0]]}"
    assert list(fit.model.coords["effect_pair"]) == list(pairs)
    assert list(fit.data["carkinetics/population/correlation"].effect.values) == names


def test_parameters_are_those_that_the_model_was_fitted_with(fit):
    (coordinates,) = at_draw(fit, "patient_coordinates")
    for k, p in enumerate(fit.plan.varying):
        own = fit.data[f"carkinetics/parameters/{p.name}"].values[1, 20]
        assert own == pytest.approx(p.prior.to_natural(coordinates[:, k]), rel=1e-10)


def test_the_prior_of_effects_is_that_of_the_stored_correlation(fit):
    """By x it is the density of the parameters times prod s ** (1 - w)."""
    found, theta = at_draw(fit, "prior_of_effects", "patient_coordinates")
    draw = {name: fit.data[name].to_dataset().isel(chain=1, draw=20)
            for name in ("posterior", "carkinetics/population")}  # fmt: skip
    names = [p.name for p in fit.plan.varying]
    center = np.array([draw["posterior"][p.variable].item() for p in fit.plan.varying])
    omega = np.array([draw["posterior"][f"omega_{name}"].item() for name in names])
    correlation = draw["carkinetics/population"]["correlation"].values
    expected = stats.multivariate_normal(center, omega[:, None] * correlation * omega).logpdf(theta)
    order = fit.data["constant_data/effect_order"].values
    own = np.empty(len(names))
    own[order] = np.diagonal(np.linalg.cholesky(correlation[np.ix_(order, order)]))
    weights = fit.data["constant_data/centering"].values
    volume = ((1.0 - weights) * np.log(omega * own)).sum()
    assert found == pytest.approx(expected.sum() + volume, abs=1e-8)


def test_a_saved_fit_keeps_its_order(fit, tmp_path):
    loaded = ck.load_fit(fit.save(tmp_path / "many.nc"))
    before, after = (at_draw(one, "prior_of_effects", "patient_coordinates")
                     for one in (fit, loaded))  # fmt: skip
    for one, other in zip(before, after, strict=True):
        assert other == pytest.approx(one, rel=1e-12)


def test_laplace_approximates_them_too(many, fit):
    approximated = ck.fit(fit.kinetic_model, fit.cohort, seed=3, method="laplace", progress="none")
    x = approximated.data["posterior/x"].values
    for k, p in enumerate(approximated.plan.varying):
        own = approximated.data[f"carkinetics/parameters/{p.name}"].values
        assert own == pytest.approx(p.prior.to_natural(x[..., k]), rel=1e-10)
