"""Tables made from posterior exposures: comparison with samples, tracing, export, reliability."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.exposure import reliability_of
from carkinetics.exposure.nodes import TOLERANCE, exact_curve
from carkinetics.inference.curves import curves_of
from carkinetics.noncompartmental import Profile, measure
from carkinetics.quantities import QUANTITIES, Curve, terminal_half_life
from carkinetics.simulation import draw_prior
from carkinetics.solve.curves import latent_levels

NAMES = [
    *QUANTITIES, "auc_0_28", "auc_0_90", "level_28", "detectable_28", "quantifiable_28",
    "share_14", "slope_3_7", "time_above_5",
]  # fmt: skip


@pytest.fixture(scope="module")
def exposure(small_fit):
    return ck.summarize(small_fit, NAMES, horizon=90.0, at_days=(28,), allow_failed=True)


@pytest.fixture(scope="module")
def compared(exposure):
    return exposure.against_samples()


# Accuracy.


def test_curves_lie_within_the_stated_bound_of_the_solver(small_fit):
    """Every curve against a solve on a grid of a hundredth of a day, at 1e-10."""
    parameters = small_fit.patient_draws()[:, ::20, 2]
    curve, bound = exact_curve(small_fit.plan, parameters, 60.0)
    assert bound < 5 * TOLERANCE
    days = np.arange(0, 6001) / 100
    flat = parameters.reshape(-1, parameters.shape[-1])
    exact = latent_levels(small_fit.plan.system, flat, days, tolerance=1e-10)
    top = np.exp(exact.log_level.max(axis=-1)).reshape(curve.shape)
    # The fit asks the solver for 1e-6 per step, which is good to some 1e-5.
    assert QUANTITIES["cmax"].compute(curve) == pytest.approx(top, rel=1e-4)
    assert curve.error_bound.max() == bound


def test_every_quantity_is_there_for_every_patient_and_the_population(exposure):
    table, people = exposure.table(), exposure.population_table()
    assert set(table["quantity"]) == set(NAMES)
    missing = table[table["estimate"].isna()]
    assert (missing["note"] != "").all()
    # The simulated patients have no syndrome; a sample's error is known for the total.
    assert set(missing["quantity"]) == {"auc_to_onset", "slope_to_onset", "quantifiable_28"}
    assert people[people["quantity"] == "cmax"]["estimate"].notna().all()


def test_shares_and_levels_at_the_peak_belong_together(exposure):
    data = exposure.data
    shares = data["share_at_total_peak"]
    assert shares.sel(cell_type=["CD4", "CD8"]).sum("cell_type").values == pytest.approx(
        1.0, abs=1e-4
    )
    level = data["level_at_total_peak"]
    assert (data["cmax"] >= level * (1 - 1e-4)).all()
    assert level.sel(cell_type="total").values == pytest.approx(
        data["cmax"].sel(cell_type="total").values, rel=1e-6
    )


def test_doubling_time_is_that_of_the_equations(exposure, small_fit):
    """CD8 grows by ln 2 / doubling time plus half the difference of the growth rates."""
    group = small_fit.data["carkinetics/parameters"].to_dataset()
    rate = np.log(2) / group["doubling_time"] + group["growth_difference"] / 2
    expected = (np.log(2) / rate).transpose("chain", "draw", "patient").values
    found = exposure.data["doubling_time"].sel(cell_type="CD8").values
    assert found == pytest.approx(expected, rel=1e-4)


def test_sample_is_quantifiable_with_the_residual_of_the_fit(exposure, small_fit):
    """By hand: Normal error of ln level around the curve."""
    level = exposure.data["level_28"].sel(cell_type="total").values
    sigma = small_fit.data["posterior"]["sigma_flow"].values[..., None]
    expected = stats.norm.cdf(np.log(level / exposure.limit) / sigma)
    found = exposure.data["quantifiable_28"].sel(cell_type="total").values
    assert found == pytest.approx(expected, rel=1e-6)


def test_onset_of_the_table_of_patients_ends_the_area(small_fit):
    people = small_fit.cohort.patients.assign(crs_onset_day=[5.0, 9.0, np.nan, 7.0])
    fit = dataclasses.replace(
        small_fit, cohort=dataclasses.replace(small_fit.cohort, patients=people)
    )
    found = ck.summarize(fit, ["auc_to_onset", "auc_0_5", "slope_to_onset"], allow_failed=True)
    to_onset = found.data["auc_to_onset"].sel(patient="S01").values
    assert to_onset == pytest.approx(found.data["auc_0_5"].sel(patient="S01").values, rel=1e-9)
    table = found.table().set_index(["patient", "quantity", "cell_type"])
    assert table.loc[("S03", "auc_to_onset", "total"), "note"].startswith("no day of onset")


# Observed against latent.


def test_parts_of_a_difference_multiply_to_the_ratio(compared):
    known = compared[compared["ratio"].notna()]
    parts = known[["between", "blq", "extrapolated", "error"]].prod(axis=1)
    assert parts.to_numpy() == pytest.approx(known["ratio"], rel=1e-9)
    days = compared[compared["quantity"] == "tmax"]
    total = days[["between", "blq", "extrapolated", "error"]].sum(axis=1)
    assert total.to_numpy() == pytest.approx(days["difference"], abs=1e-9)


def test_observed_numbers_are_those_of_the_samples(compared, small_fit):
    for cell in ("CD4", "total"):
        table = ck.observed_quantities(small_fit.cohort, "flow", cell)
        rows = compared[(compared["cell_type"] == cell) & (compared["quantity"] == "cmax")]
        assert rows["observed"].tolist() == table["observed_cmax"].tolist()


def test_missed_peak_is_the_curve_on_the_best_visit(compared, exposure):
    """By hand for one patient: levels of the kept draws on the sampled days."""
    row = compared.query("patient == 'S01' and cell_type == 'total' and quantity == 'cmax'").iloc[0]
    kept = exposure.at_samples["S01"]
    top = kept["level"]["total"].max(axis=1).to_numpy()
    draws = exposure.data["cmax"].sel(patient="S01", cell_type="total").values.ravel()[kept.index]
    assert row["between"] == pytest.approx(np.exp(np.log(top / draws).mean()))
    assert row["between"] <= 1
    assert "missed peak" in row["reason"] or "assay error" in row["reason"]


def test_every_difference_has_a_reason(compared):
    assert (compared["reason"] != "").all()
    lost = compared[compared["quantity"] == "persistence"]
    assert lost["reason"].str.contains("sampling ended|between samples|below|stays above").all()


def test_extrapolation_is_told_apart_from_what_was_sampled(compared, exposure):
    """AUC to day 90, samples until day 60: the part until then is compared with its own area."""
    row = compared.query("patient == 'S01' and cell_type == 'total' and quantity == 'auc_0_90'")
    row = row.iloc[0]
    kept = exposure.at_samples["S01"]
    days = [float(d) for d in kept["level"]["total"].columns]
    lines = [measure("auc_0_60", Profile(days, kept["level"]["total"].to_numpy()[i])).value
             for i in range(5)]  # fmt: skip
    until = kept["area", "total", 60.0].to_numpy()[:5]
    some = np.exp(np.log(np.array(lines) / until).mean())
    assert row["between"] == pytest.approx(some, rel=0.1)
    assert row["extrapolated"] != 1


def test_comparison_takes_the_rules_it_is_given(exposure):
    linear = exposure.against_samples(rules="winnonlin-like")
    assert not linear.equals(exposure.against_samples())


# Reliability.


def test_reliability_is_that_of_a_hand_made_case():
    """Patient means 1 and 3 (variance 2), posterior variances 2 and 2."""
    draws = np.array([[0.0, 2.0], [2.0, 4.0]])
    assert reliability_of(draws) == (pytest.approx(0.5), pytest.approx(1 - np.sqrt(0.5)))
    assert np.isnan(reliability_of(draws[:, :1])).all()


def test_reliability_of_every_quantity_lies_between_0_and_1(exposure):
    table = exposure.reliability()
    known = table[table["reliability"].notna()]
    assert known["reliability"].between(0, 1).all()
    assert set(known.query("scale == 'log'")["quantity"]) >= {"cmax", "auc_0_28", "level_28"}
    cmax = exposure.data["cmax"].sel(cell_type="total").values.reshape(-1, 4)
    row = table.query("quantity == 'cmax' and cell_type == 'total'").iloc[0]
    assert row["reliability"] == pytest.approx(reliability_of(np.log(cmax))[0], rel=1e-9)


# Why this number.


def test_why_names_data_model_draws_and_seed(exposure, small_fit):
    why = exposure.why("S02", "persistence", "CD8")
    text = repr(why)
    for part in (
        small_fit.kinetic_model.text_hash, small_fit.cohort.data_hash, "2 chains of 60", "seed: 1",
        "the median LLOQ of the assay", "M3", "SYNTHETIC", "definition P5",
    ):  # fmt: skip
        assert part in text, part
    assert set(why.rows["patient"]) == {"S02"}
    assert "<dl>" in why._repr_html_()
    with pytest.raises(DataError, match="no cell"):
        exposure.why("S09", "cmax")


def test_why_tells_a_limit_given_from_the_default(small_fit):
    found = ck.summarize(small_fit, ["persistence"], limit=3.0, allow_failed=True)
    assert "limit: 3 cells/uL (as given)" in repr(found.why("S01", "persistence"))


# Export.


def test_tables_for_cdisc_hold_estimates_and_intervals(exposure):
    pp = exposure.to_pp("TRIAL")
    row = pp[(pp["USUBJID"] == "S01") & (pp["PPTESTCD"] == "CMAX") & (pp["PPSCAT"] == "total")]
    table = exposure.table().set_index(["patient", "quantity", "cell_type"])
    wanted = table.loc[("S01", "cmax", "total")]
    assert row["PPSTRESN"].item() == wanted["estimate"]
    assert [row["PPLO"].item(), row["PPHI"].item()] == [wanted["lower"], wanted["upper"]]
    assert (pp["PPTESTCD"].str.len() <= 8).all()
    assert (pp["PPTEST"].str.len() <= 40).all()
    assert (pp["SYNTHETIC"] == "Y").all()
    missing = pp[pp["PPORRES"] == ""]
    assert len(missing)
    assert (missing["PPSTAT"] == "NOT DONE").all()
    assert (missing["PPREASND"] != "").all()
    adpp = exposure.to_adpp("TRIAL")
    assert len(adpp) == len(pp)
    peaks = adpp[adpp["PPTESTCD"] == "CMAX"]
    assert peaks["AVALU"].eq("cells/uL").all()
    assert set(peaks["PARAMCD"]) == {"CMAX4", "CMAX8", "CMAXT"}


def test_what_lies_beyond_the_horizon_is_a_text_in_tables_for_cdisc(small_fit):
    """Persistence that most draws have beyond the horizon; the note travels with the number."""
    lasting = ck.summarize(
        small_fit, ["persistence"], limit=0.1, horizon=20.0, at_days=(), allow_failed=True
    )
    pp, adpp = lasting.to_pp(), lasting.to_adpp()
    known = lasting.table()["estimate"] >= 20
    assert known.any()
    assert (pp.loc[known, "PPSTRESC"] == ">=20").all()
    assert pp.loc[known, "PPSTRESN"].isna().all()
    assert (pp["PPSTAT"] == "").all()
    assert pp.loc[known, "PPNOTE"].str.contains("beyond day 20").all()
    assert (adpp.loc[known, "AVAL"] == 20).all()
    assert (adpp.loc[known, "AVALC"] == ">=20").all()


def test_table_is_written_as_latex_and_html(exposure):
    latex, html = exposure.to_latex(), exposure.to_html()
    assert r"\begin{tabular}" in latex
    assert r"cell\_type" in latex
    for text in (latex, html):
        assert "SYNTHETIC" in text
    assert "<caption>" in html


# Shares over time.


def test_s18_share_of_cd8_runs_from_the_product_into_the_blood(small_fit):
    people = small_fit.cohort.patients.assign(product_cd4_share=[0.7, 0.6, np.nan, 0.8])
    fit = dataclasses.replace(
        small_fit, cohort=dataclasses.replace(small_fit.cohort, patients=people)
    )
    table = ck.share_over_time(fit, [0.0, 7, 14])
    assert table["estimate"].between(0, 1).all()
    assert (table["lower"] <= table["upper"]).all()
    first = table[table["patient"] == "S01"]
    assert first["product"].tolist() == pytest.approx([0.3] * 3)
    assert table[table["patient"] == "S03"]["product"].isna().all()
    assert table["patient"].iloc[-1] == "typical patient"
    curves = fit.curves([14.0], ["S01"])
    share = (curves.sel(cell_type="CD8") / curves.sel(cell_type="total")).median().item()
    assert first["estimate"].iloc[-1] == pytest.approx(share)
    with pytest.raises(DataError, match="no cell type 'total'"):
        ck.share_over_time(fit, cell_type="total")


def test_tables_stay_plain_tables(exposure):
    assert isinstance(exposure.table(), pd.DataFrame)
    assert not exposure.table().attrs


# Beyond the samples.


@pytest.fixture(scope="module")
def late(small_fit):
    names = ["auc_28_90", "auc_60_90", "auc_90_120", "level_3", "persistence", "mean_level",
             "auc_to_onset"]  # fmt: skip
    return ck.summarize(small_fit, names, horizon=120.0, at_days=(28,), allow_failed=True)


def test_windows_that_begin_late_or_after_the_last_sample_have_a_reason(late):
    """Samples until day 60: a window after it is all extrapolation, the product holds in any."""
    table = late.against_samples()
    assert (table["reason"] != "").all()
    known = table.dropna(subset=["error"]).query("unit != 'day'")
    product = known[["between", "blq", "extrapolated", "error"]].prod(axis=1)
    assert product.to_numpy() == pytest.approx(known["ratio"].to_numpy())
    zero = table[(table["observed"] == 0) & (table["unit"] != "day")]
    assert len(zero)
    assert zero["reason"].str.contains("samples below the limit count as 0").all()
    after = known[known["quantity"].isin(["auc_60_90", "auc_90_120"])]
    assert (after["between"] == 1).all()
    part = known[known["quantity"] == "auc_28_90"].iloc[0]
    kept = late.at_samples[part["patient"]]
    until = kept["area", part["cell_type"], 60.0] - kept["area", part["cell_type"], 28.0]
    assert (until > 0).all()


def test_p5_extrapolation_states_what_the_data_told_about_the_tail(late, small_fit):
    """The prior of a new patient by hand, with draws of its own: within its Monte-Carlo error.

    1,000 draws on either side; a variance of 1,000 has a relative error of 5 % or, with the long
    tails of a prior of priors, perhaps 15 %.
    """
    plan = small_fit.plan
    drawn = draw_prior(plan.model, "cells/uL", 1000, np.random.default_rng(5))
    prior = curves_of(plan, drawn, 120.0)
    prior = terminal_half_life(Curve(prior.day, prior.log_level, prior.slope, horizon=120.0))
    spread = np.log(prior[np.isfinite(prior)].reshape(-1)).var()
    own = ck.summarize(small_fit, ["terminal_half_life"], horizon=120.0, allow_failed=True)
    for patient, contraction in late.contraction.items():
        draws = own.data["terminal_half_life"].sel(patient=patient, cell_type="total").values
        assert contraction == pytest.approx(1 - np.nanvar(np.log(draws)) / spread, abs=0.3)
        assert contraction < 1
    notes = late.table().query("quantity == 'persistence'")["note"]
    said = notes[notes.str.contains("extrapolated")]
    assert len(said)
    assert said.str.contains(
        r"prior-posterior contraction of the terminal half-life -?\d\.\d\d"
    ).all()


def test_population_says_what_has_another_meaning_there(late):
    notes = late.population_table().set_index(["quantity", "who"])["note"]
    assert (notes["mean_level"] == "until the horizon, day 120").all()
    assert (notes["auc_to_onset"] == "an onset belongs to a patient").all()
    assert notes["persistence", "new patient"].str.contains("censored|^$").all()
