"""Weighed draws of a fit, against what another fit gives."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from scipy import stats

import carkinetics as ck
from carkinetics.batch.reweigh import HOW
from carkinetics.batch.work import work
from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.inference.planning import plan_fit
from carkinetics.sensitivity.changed_data import changed_data
from carkinetics.sensitivity.power_scaling import rescaled_priors
from carkinetics.sensitivity.prior_densities import log_density, log_priors
from carkinetics.sensitivity.without_patient import predicted_without


def test_scaled_priors_stand_in_the_plan_with_their_factor(synthetic):
    model = ck.load_model("stein_2019")
    plain = plan_fit(model, synthetic).prior_texts()
    wide = plan_fit(model, synthetic, prior_scale={"location": 2, "residual": 0.5, "link": 2})
    texts = wide.prior_texts()
    assert plain["log_tmax"] == "lognormal(median=9.3, gsd=1.28403)"
    assert texts["log_tmax"] == "lognormal(median=9.3, gsd=1.64872)"
    assert texts["omega_tmax"] == plain["omega_tmax"]
    assert texts["sigma_flow"] == "halfnormal(sd=0.2)"
    assert texts["link_slope"] == "normal(mean=1, sd=0.5)"
    assert plan_fit(model, synthetic, prior_scale={"omega": 1}).prior_scale == {}


@pytest.mark.parametrize(
    ("scale", "told"),
    [({"locations": 2}, "no group is called locations"), ({"omega": 0}, "omega=0"),
     ({"correlation": 9}, "at most 3")],
)  # fmt: skip
def test_a_scale_that_means_nothing_is_refused(synthetic, scale, told):
    with pytest.raises(FitError, match=told):
        plan_fit(ck.load_model("stein_2019"), synthetic, prior_scale=scale)


def test_densities_of_priors_are_those_of_scipy():
    prior = ck.load_model("stein_2019").parameters["tmax"].prior_for("copies/ug")
    assert log_density(prior, np.log(9.3)) == pytest.approx(stats.norm.logpdf(0, 0, 0.25), abs=1e-9)


def test_every_group_of_priors_is_weighed(small_fit):
    found = log_priors(small_fit)
    assert set(found) == {"location", "omega", "correlation", "residual", "link"}
    assert all(np.isfinite(values).all() for values in found.values())
    same = rescaled_priors(small_fit, {})
    assert same.khat == -np.inf
    wider = rescaled_priors(small_fit, {"link": 1.1})
    assert np.isfinite(wider.khat)


def test_data_that_did_not_change_leave_the_weights_alone(small_fit):
    assert changed_data(small_fit, small_fit.cohort).khat == -np.inf


def test_patients_are_left_out_in_turn(small_fit):
    found = ck.leave_patients_out(small_fit, draws=60)
    table = found.table()
    assert list(table["patient"]) == list(small_fit.patients)
    assert np.isfinite(table["elpd"]).all()
    assert "SYNTHETIC" in str(found)
    # The log likelihood of the patients' samples at their own parameters is always higher.
    own = sum(
        float(values.mean(("chain", "draw")).sum())
        for values in small_fit.data["log_likelihood"].to_dataset().data_vars.values()
    )
    assert found.elpd < own


def test_sensitivity_to_priors_is_a_table_and_a_figure(small_fit):
    table = ck.prior_sensitivity(small_fit)
    assert {"variable", "group", "prior", "likelihood", "diagnosis"} == set(table.columns)
    assert (table[["prior", "likelihood"]] >= 0).all(axis=None)
    picture = ck.plot_prior_likelihood(table, synthetic=True)
    assert picture.figure.axes[0].get_ylabel() == "Sensitivity to the priors of a group"


def test_variants_near_the_base_case_are_made_from_its_draws(small_fit, tmp_path):
    cohort = small_fit.cohort
    declared = ck.variants(
        prior_scale_link=[1.02], leave_out=[cohort.patient_ids[0]], lloq_scale=[1.0001],
        outcomes=(), quantities=["cmax"],
    )  # fmt: skip
    plan = declared.plan(small_fit.kinetic_model, cohort, method="nuts", allow_failed=True)
    others, near = plan.near_base(plan.jobs(set()))
    assert [job.analyses[0].name for job in others] == ["base"]
    content = small_fit.save(tmp_path / "fit.nc").read_bytes()
    found = work(dataclasses.replace(plan.reweighing(near), fit_file=content)).results
    assert found  # a weight that cannot be used would be left to a fit
    own = work(dataclasses.replace(others[0], fit_file=content)).results
    (base,) = (result["rows"][0] for result in own.values())
    for result in found.values():
        (row,) = result["rows"]
        assert row["how"] == HOW
        assert row["khat_max"] <= 0.7
        assert row["status"] == "done"
        if result["factor"] == "prior_scale_link":
            assert row["estimate"] == pytest.approx(base["estimate"], rel=0.05)
    assert work(plan.reweighing(near)).results == {}


# Levels at which the weights of the base case can be trusted; lloq_scale=2 or blq="drop" cannot.
NEAR = [
    {"leave_out": "VP02"},
    {"prior_scale": 1.2},
    {"prior_scale_location": 2},
    {"prior_scale_omega": 1.5},
    {"blq_cap": 1},
]


@pytest.mark.slow
def test_reweighted_rows_are_near_true_refits(synthetic, tmp_path):
    """Within 0.2 posterior SD where k-hat is below 0.7.

    Two fits of 4,000 draws differ by 0.05 SD by chance: a false alarm in 10,000 for each number.
    """
    model = ck.load_model("stein_2019")
    asked = {"folder": tmp_path, "method": "nuts", "draws": 1000, "allow_failed": True}
    declared = ck.variants(listed=NEAR, outcomes=(), quantities=["cmax", "auc_0_28"])
    weighed = ck.run_variants(model, synthetic, declared, **asked).table
    again = ck.run_variants(model, synthetic, declared, **asked, reweight=False).table
    rows = weighed["how"].str.contains("reweighted")
    assert set(weighed.loc[~rows, "analysis_id"]) == {"base"}
    assert not again["how"].str.contains("reweighted").any()
    z = stats.norm.ppf(0.975)
    sd = np.log(again.loc[rows, "hi"] / again.loc[rows, "lo"]) / (2 * z)
    shift = np.log(weighed.loc[rows, "estimate"] / again.loc[rows, "estimate"])
    assert (np.abs(shift) < 0.2 * sd).all()


@pytest.mark.slow
def test_e_10_leave_one_patient_out_of_an_ode_model(synthetic):
    """Three patients against refits, whose own draws then predict the patient."""
    model = ck.load_model("cd4_cd8_expansion")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        fit = ck.fit(model, synthetic, seed=3, progress="none")
        found = ck.leave_patients_out(fit, ["VP02", "VA03", "VA08"], draws=1000)
        for name, out in found.patients.items():
            exact = predicted_without(fit, name, draws=1500, seed=1)
            assert out.elpd == pytest.approx(exact, abs=0.3)
