"""Virtual cohorts: the same for the same seed, marked, and true to what they were drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import carkinetics as ck
from carkinetics.errors import CarkineticsError, ModelFileError
from carkinetics.simulation import true_parameters
from carkinetics.solve.curves import latent_levels


@pytest.fixture(scope="module")
def stein():
    return ck.load_model("stein_2019")


@pytest.fixture(scope="module")
def expansion():
    return ck.load_model("cd4_cd8_expansion")


def test_the_same_seed_gives_the_same_cohort(expansion):
    one, two = (ck.simulate(expansion, 5, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one.levels, two.levels, check_exact=True)
    assert one.data_hash == two.data_hash
    assert ck.simulate(expansion, 5, seed=4).data_hash != one.data_hash


def test_a_virtual_cohort_says_that_it_is_one(stein):
    cohort = ck.simulate(stein, 3, seed=1, assays=["qpcr"])
    assert cohort.synthetic
    assert "SYNTHETIC" in repr(cohort)
    assert cohort.name == "virtual stein_2019"


def test_units_and_cell_types(expansion):
    levels = ck.simulate(expansion, 3, seed=1).levels
    assert set(levels[levels["assay"] == "flow"]["unit"]) == {"cells/uL"}
    assert set(levels[levels["assay"] == "qpcr"]["unit"]) == {"copies/ug"}
    assert set(levels[levels["assay"] == "flow"]["cell_type"]) == {"CD4", "CD8", "total"}
    assert set(levels[levels["assay"] == "qpcr"]["cell_type"]) == {"total"}


def test_cd4_and_cd8_add_up_to_the_total_and_are_missing_below_its_limit(expansion):
    flow = ck.simulate(expansion, 8, seed=2).samples("flow")
    wide = flow.pivot(index=["patient", "day"], columns="cell_type", values="level")
    below = flow[flow["cell_type"] == "total"].set_index(["patient", "day"])["below_lloq"]
    assert below.any()
    assert wide.loc[below, ["CD4", "CD8"]].isna().all(axis=None)
    seen = wide[~below]
    assert (seen["CD4"] + seen["CD8"]).to_numpy() == pytest.approx(seen["total"].to_numpy())


def test_samples_below_the_limit_are_flagged_and_nothing_else_is(stein):
    """Without error, exactly those whose true level lies below the limit."""
    visits = [3.0, 9.0, 28.0, 60.0, 120.0]
    options = {"seed": 6, "typical": {"memory_fraction": 0.002}}
    cohort = ck.simulate(
        stein, 60, assays=["qpcr"], visits=visits, lloq={"qpcr": 200}, sigma={"qpcr": 1e-9},
        **options,
    )  # fmt: skip
    parameters = true_parameters(stein, 60, unit="copies/ug", **options)
    truth = np.exp(latent_levels(stein.system(), parameters.to_numpy(), np.array(visits)).log_level)
    table = cohort.samples("qpcr")
    flags = table.pivot(index="patient", columns="day", values="below_lloq").to_numpy()
    assert np.array_equal(flags, truth[:, 0] < 200)
    assert 0.1 < flags.mean() < 0.9
    assert table["level"].isna().equals(table["below_lloq"])
    assert set(table["lloq"]) == {200.0}


def test_residual_error_has_the_sd_asked_for(stein):
    """960 residuals of SD 0.4: the sample SD is off by 0.009 (one standard error); 4.4 of them
    are allowed, a false-alarm rate of 1e-5."""
    parameters = true_parameters(stein, 80, seed=7, unit="copies/ug")
    cohort = ck.simulate(stein, 80, seed=7, assays=["qpcr"], lloq={"qpcr": 1e-9})
    days = np.unique(cohort.levels["day"])
    truth = latent_levels(stein.system(), parameters.to_numpy(), days).log_level[:, 0]
    seen = cohort.samples("qpcr").pivot(index="patient", columns="day", values="level")
    residuals = np.log(seen.to_numpy()) - truth
    assert residuals.size == 960
    assert residuals.std() == pytest.approx(0.4, abs=0.04)
    assert residuals.mean() == pytest.approx(0, abs=0.06)


def test_patients_differ_by_the_published_omegas(stein):
    """ln Cmax of 2,000 patients: mean ln 24,000 and SD 0.65, each within 4.5 standard errors;
    the false-alarm rate is 1.4e-5."""
    parameters = true_parameters(stein, 2000, seed=5, unit="copies/ug")
    found = np.log(parameters["cmax"])
    error = 0.65 / np.sqrt(2000)
    assert found.mean() == pytest.approx(np.log(24_000), abs=4.5 * error)
    assert found.std() == pytest.approx(0.65, abs=4.5 * error / np.sqrt(2))
    assert stats.kstest((found - np.log(24_000)) / 0.65, "norm").pvalue > 1e-5
    assert abs(np.corrcoef(found, np.log(parameters["tmax"]))[0, 1]) < 4.5 / np.sqrt(2000)


def test_typical_and_omega_can_be_chosen(stein):
    chosen = {"typical": {"cmax": 500.0}, "omega": {"cmax": 0.0, "tmax": 1.5}}
    parameters = true_parameters(stein, 400, seed=5, unit="copies/ug", **chosen)
    assert parameters["cmax"].to_numpy() == pytest.approx(np.full(400, 500.0))
    assert np.log(parameters["tmax"]).std() == pytest.approx(1.5, abs=0.24)
    plain = true_parameters(stein, 400, seed=5, unit="copies/ug")
    pd.testing.assert_series_equal(parameters["alpha"], plain["alpha"])


def test_a_name_without_its_cell_type_stands_for_all_of_them(expansion):
    text = expansion.text.replace(
        '[parameters.doubling_time]\nunit = "day"',
        '[parameters.doubling_time]\nover = "cell_type"\nunit = "day"',
    )
    assert text != expansion.text
    model = ck.Model.from_text(text[: text.index("[derived.")], "apart")
    parameters = true_parameters(
        model, 3, seed=1, typical={"doubling_time": 2.0}, omega={"doubling_time": 0.0}
    )
    assert (parameters[["doubling_time[CD4]", "doubling_time[CD8]"]] == 2.0).all(axis=None)
    one = true_parameters(
        model, 3, seed=1, typical={"doubling_time[CD4]": 2.0}, omega={"doubling_time": 0.0}
    )
    assert (one["doubling_time[CD4]"] == 2.0).all()
    assert (one["doubling_time[CD8]"] != 2.0).all()


def test_qpcr_follows_flow_through_the_link(stein):
    """Without error: 151,515 genomes per ug, 2 copies per cell, leukocytes of the draw."""
    cohort = ck.simulate(
        stein, 4, seed=3, sigma={"flow": 1e-9, "qpcr": 1e-9}, lloq={"flow": 1e-9, "qpcr": 1e-9}
    )
    flow, qpcr = (cohort.samples(assay, "total") for assay in ("flow", "qpcr"))
    expected = 2 * flow["level"] / flow["wbc_per_ul"] * 1e6 / 6.6
    assert qpcr["level"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assays": ["elisa"]}, r"assays: unknown \['elisa'\]"),
        ({"assays": []}, "assays: none"),
        ({"lloq": {"pcr": 50}}, r"lloq: unknown \['pcr'\]"),
        ({"sigma": {"total": 0.2}}, r"sigma: unknown \['total'\]"),
        ({"n_patients": 0}, "n_patients: is 0"),
        ({"visits": []}, "visits: are no days"),
        ({"visits": [-3, 7]}, "visits: are no days"),
    ],
)
def test_what_makes_no_sense_is_refused(stein, options, message):
    with pytest.raises(CarkineticsError, match=message):
        ck.simulate(stein, **({"n_patients": 2, "seed": 1} | options))


@pytest.mark.parametrize("what", ["typical", "omega"])
def test_unknown_parameters_are_named_with_the_known_ones(stein, what):
    with pytest.raises(ModelFileError, match=rf"{what} of stein_2019.*no parameter \['c_max'\]"):
        ck.simulate(stein, 2, seed=1, **{what: {"c_max": 1.0}})


def test_one_assay_may_be_given_by_its_name(stein):
    assert ck.simulate(stein, 2, seed=1, assays="qpcr").assays == ("qpcr",)


def test_a_model_that_cannot_be_solved_names_the_patients(expansion):
    with pytest.raises(CarkineticsError, match=r"cannot be solved for \d+ patient\(s\): S0"):
        ck.simulate(expansion, 3, seed=1, typical={"contraction_half_life": 1e-12})


# --- published models: inputs, classes, dropout, absent values


def test_tocilizumab_of_each_patient_acts_from_its_day():
    """Without error: the ratio of peaks is exp(rho 0.2 (tmax - day)), rho of each patient."""
    model = ck.load_model("stein_2019_comedication")
    options = {"seed": 4, "visits": [30.0], "sigma": {"qpcr": 1e-9}, "lloq": {"qpcr": 1e-9}}
    days = np.array([2.0, 5.0, 10_000.0, 4.0])
    plain, treated = (
        ck.simulate(model, 4, inputs=inputs, **options).levels["level"].to_numpy()
        for inputs in ({}, {"tocilizumab_day": days})
    )
    p = true_parameters(model, 4, seed=4, unit="copies/ug")
    rho = np.log(p["foldx"]) / p["tmax"]
    expected = np.exp(rho * 0.2 * np.maximum(p["tmax"] - days, 0))
    assert treated / plain == pytest.approx(expected.to_numpy(), rel=1e-6)
    assert (expected > 1).sum() == 3


def test_a_fifth_of_the_patients_is_of_the_low_class():
    """1,000 patients, a share of 0.197: five standard errors are 0.063; false alarms 6e-7."""
    model = ck.load_model("mueller_schoell_2021")
    drawn = true_parameters(model, 1000, seed=2)
    low = np.array(drawn.attrs["patient_class"]) == "low"
    assert low.mean() == pytest.approx(0.197, abs=0.063)
    assert (drawn.loc[low, "v"] == 0.0007).all()
    assert np.log(drawn.loc[~low, "v"] / 0.00846).std() == pytest.approx(1.0858, rel=0.15)


def test_patients_relapse_at_their_hazard_and_have_no_samples_after():
    """Hazard 0.01 per day to day 180: a share 1 - exp(-1.8) = 0.835 relapses; 4.5 standard
    errors of 400 patients are 0.084; false alarms 7e-6."""
    model = ck.load_model("stein_2019")
    cohort = ck.simulate(model, 400, seed=8, dropout=0.01, assays=["qpcr"])
    patients = cohort.patients.set_index("patient")
    assert patients["progressed"].mean() == pytest.approx(0.835, abs=0.084)
    last = cohort.levels.groupby("patient")["day"].max()
    assert (last <= patients.loc[last.index, "ttp_day"]).all()
    assert (patients.loc[~patients["progressed"].astype(bool), "ttp_day"] == 180).all()


def test_relapse_is_the_day_on_which_the_tumor_has_regrown():
    """Kimmel 2021: progression at 1.2 times the tumor volume of day 0."""
    model = ck.load_model("kimmel_2021").with_values({"gB": 0.2})
    visits = [7.0, 14.0, 28.0, 60.0, 90.0, 180.0, 365.0]
    cohort = ck.simulate(model, 12, seed=3, visits=visits, dropout="tumor > 113.832")
    parameters = true_parameters(model, 12, seed=3)
    patients = cohort.patients.set_index("patient")
    assert 0 < patients["progressed"].sum() < 12
    for patient in parameters.index[patients["progressed"].astype(bool).to_numpy()]:
        day = patients.loc[patient, "ttp_day"]
        values = parameters.loc[patient].to_dict()
        tumor = ck.model_curves(model, [day], values)["tumor"].iloc[0]
        assert tumor == pytest.approx(113.832, rel=1e-3)
        assert cohort.levels.loc[cohort.levels["patient"] == patient, "day"].max() <= day


def test_absent_values_are_asked_for_and_taken():
    model = ck.load_model("ogasawara_2021")
    given = {"cmax": 24_000.0, "memory_fraction": 0.01}
    with pytest.raises(ModelFileError, match=r"has no value for cmax .*memory_fraction"):
        ck.simulate(model, 3, seed=1)
    one = ck.simulate(model, 3, seed=1, values=given, assays="qpcr")
    two = ck.simulate(model, 3, seed=1, typical=given, assays="qpcr")
    pd.testing.assert_frame_equal(one.levels, two.levels)


def test_a_model_that_no_assay_sees_is_not_simulated():
    with pytest.raises(CarkineticsError, match="no assay sees this model"):
        ck.simulate(ck.load_model("leon_triana_2021"), 2, seed=1)


@pytest.mark.parametrize("name", ["singh_2021", "mueller_schoell_2021"])
def test_models_are_simulated_with_the_assays_they_have(name):
    model = ck.load_model(name)
    cohort = ck.simulate(model, 3, seed=1, visits=[3.0, 7.0, 14.0, 28.0])
    assert set(cohort.levels["assay"]) == set(model.observed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": "tumour > 5"}, "no output 'tumour'(?s:.*)tumor"),
        ({"dropout": "tumor"}, "cannot be read"),
        ({"dropout": -1.0}, "Give a hazard per day"),
        ({"inputs": {"dose": 1.0}}, "no input"),
        ({"values": {"KX": 1.0}}, "no number is called 'KX'"),
    ],
)
def test_what_a_published_model_does_not_have_is_refused(options, message):
    with pytest.raises(ModelFileError, match=message):
        ck.simulate(ck.load_model("kimmel_2021"), 2, seed=1, **options)
    with pytest.raises(ModelFileError, match="needs one number, or one for each of 2"):
        ck.simulate(
            ck.load_model("mueller_schoell_2021"), 2, seed=1, inputs={"tumor_volume": [1, 2, 3]}
        )
