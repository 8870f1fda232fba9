"""Covariate terms: what they are read as, and what is refused before anything is sampled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import CarkineticsError, FitError, ModelFileError
from carkinetics.inference.planning import plan_fit

VISITS = (5.0, 9.0, 14.0, 28.0)
N = 6


@pytest.fixture(scope="module")
def stein():
    return ck.load_model("stein_2019")


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame(
        {
            "patient": [f"S{i + 1:02d}" for i in range(N)],
            "dose": [50.0, 100, 150, 80, 120, 60],
            "age_group": ["child", "adult", "child", "child", "teen", "adult"],
            "age": [4.0, 30, 9, 11, 15, 40],
            "prior_hsct": [True, False, False, True, False, False],
            "site": ["X"] * N,
            "weight": [20.0, 80, np.nan, 40, 55, np.nan],
            "same_dose": [100.0, 200, 300, 160, 240, 120],
            "no_dose": [0.0, 1, 2, 3, 4, 5],
            "crs_grade": [0, 1, 2, 3, 0, 1],
        }
    )


@pytest.fixture(scope="module")
def cohort(stein, table):
    return ck.simulate(
        stein, seed=8, assays=["qpcr"], visits=VISITS, patients=table, covariates={}
    )  # fmt: skip


def columns(model, cohort, *terms, parameter="cmax"):
    """The columns of one parameter's terms, by name."""
    plan = plan_fit(model, cohort, covariates={parameter: list(terms)})
    return {column.name: column for column in plan.covariates.of(parameter).columns}


# --- what a term is read as -------------------------------------------------------------------


def test_numbers_are_centered_at_their_mean_and_scaled_by_their_sd(stein, cohort, table):
    column = columns(stein, cohort, "log(dose)")["log(dose)"]
    log = np.log(table["dose"])
    assert column.center == pytest.approx(log.mean(), rel=1e-12)
    assert column.scale == pytest.approx(log.std(ddof=1), rel=1e-12)
    assert column.values == pytest.approx((log - log.mean()) / log.std(ddof=1), abs=1e-12)
    assert column.per == f"SD ({log.std(ddof=1):.3g})"
    assert column.typical == f"log(dose) = {log.mean():.4g} (mean)"


def test_yes_and_no_stay_one_and_zero(stein, cohort):
    found = columns(stein, cohort, "prior_hsct", "where(age < 18, 1, 0)")
    assert list(found["prior_hsct"].values) == [1, 0, 0, 1, 0, 0]
    assert list(found["where(age < 18, 1, 0)"].values) == [1, 0, 1, 1, 1, 0]
    assert {c.per for c in found.values()} == {"yes against no"}


def test_text_is_compared_with_its_most_frequent_value(stein, cohort):
    found = columns(stein, cohort, "age_group")
    assert list(found) == ["age_group[adult]", "age_group[teen]"]
    assert list(found["age_group[adult]"].values) == [0, 1, 0, 0, 0, 1]
    assert found["age_group[teen]"].per == "teen against child"
    chosen = columns(stein, cohort, ck.Covariate("age_group", reference="adult"))
    assert list(chosen) == ["age_group[child]", "age_group[teen]"]


def test_center_and_scale_can_be_chosen(stein, cohort, table):
    term = ck.Covariate("log(dose / 100)", center=0, scale=np.log(2))
    column = columns(stein, cohort, term)["log(dose / 100)"]
    assert column.values == pytest.approx(np.log2(table["dose"] / 100))
    assert column.per == f"{np.log(2):g}"


FITTABLE = [
    *("stein_2019", "stein_2019_comedication", "ogasawara_2021", "liu_2021", "wu_2025"),
    *("kimmel_2021", "mueller_schoell_2021", "cd4_cd8_expansion"),
    *("cd4_cd8_antigen", "antigen_escape"),
]


@pytest.mark.parametrize("name", FITTABLE)
def test_every_model_meant_to_be_fitted_takes_age_group_dose_and_product(name, stein, table):
    """On the first of its parameters that varies, with the priors of the documentation."""
    table = table.assign(cd4_share=[0.6, 0.4, 0.7, 0.5, 0.3, 0.65])
    both = ck.simulate(stein, seed=8, visits=VISITS, patients=table, covariates={})
    model = ck.load_model(name)
    if model.mixture:
        begin = model.text.index("[mixture.")
        text = model.text[:begin] + model.text[model.text.index("[cases.", begin) :]
        model = ck.Model.from_text(text, name)
    varying = [key for key, parameter in model.parameters.items() if parameter.vary]
    plan = plan_fit(
        model,
        both,
        assays=["qpcr" if "qpcr" in model.observed else "flow"],
        covariates={varying[0]: ["age_group", "log(dose)", "cd4_share"]},
    )
    design = plan.covariates.of(varying[0])
    assert design.matrix.shape == (N, len(design.names)) == (N, 4)
    assert {prior.text for prior in design.priors} == {"normal(mean=0, sd=0.5)"}


def test_missing_values_at_the_mean_are_named(stein, cohort):
    column = columns(stein, cohort, ck.Covariate("weight", missing="mean"))["weight"]
    assert column.imputed == ("S03", "S06")
    assert column.center == np.mean([20.0, 80, 40, 55])
    assert column.values[[2, 5]] == pytest.approx(0.0, abs=1e-15)


def test_only_fitted_patients_count(stein, cohort, table):
    few = cohort.select(["S01", "S02", "S03"])
    column = columns(stein, few, "dose")["dose"]
    assert column.center == pytest.approx(100.0)
    assert column.values.size == 3


# --- what is refused --------------------------------------------------------------------------


def test_every_fault_is_told_at_once(stein, cohort):
    request = {
        "cmx": ["dose"],
        "cmax": [
            "dos", "site", "weight", "crs_grade", "log(no_dose)", "log(age_group)",
            "__import__('os')", ck.Covariate("age_group", reference="adlt"), "total(dose)",
            ck.Covariate("age_group", center=1.0), ck.Covariate("dose", reference="x"), "1 + 1",
        ],
    }  # fmt: skip
    with pytest.raises(FitError) as refused:
        ck.build_model(stein, cohort, covariates=request)
    whole = "\n".join(map(str, refused.value.faults))
    for text in (
        "no parameter 'cmx'; did you mean 'cmax'?",
        "Those that vary are cmax, tmax, doubling_time, alpha, memory_fraction, beta.",
        "no column 'dos' in the table of patients; did you mean 'dose'?",
        "'site' has the one value X",
        "'weight' has no value for patient(s) S03, S06",
        'Covariate("weight", missing="mean")',
        "'crs_grade' is no covariate: it is not known on the day of infusion",
        "'log(no_dose)' is no finite number for patient(s) S01",
        "column 'age_group' holds text; an expression needs numbers",
        "the character",
        "no fitted patient has 'age_group' 'adlt'; did you mean 'adult'?",
        "'age_group' is text, so it has no center and scale",
        "'dose' is not text, so it has no reference value",
        "total(...) sums over cell types",
        "names no column",
    ):
        assert text in whole, text


def test_collinear_columns_are_refused_by_name(stein, cohort):
    request = {"cmax": ["dose", "age", "same_dose"], "tmax": ["age", "age"]}
    with pytest.raises(FitError) as refused:
        ck.build_model(stein, cohort, covariates=request)
    assert "'same_dose' follows from 'dose' in the fitted patients" in str(refused.value)
    assert "covariates of tmax: 'age' is named twice" in str(refused.value)


def test_a_parameter_that_does_not_vary_has_no_covariates(small_fit):
    with pytest.raises(FitError, match="'growth_difference' does not vary between patients"):
        ck.build_model(
            small_fit.kinetic_model, small_fit.cohort, covariates={"growth_difference": ["dose"]}
        )


def test_a_covariate_is_checked_when_it_is_written():
    with pytest.raises(FitError) as refused:
        ck.Covariate("dose", scale=-1, missing="drop", prior="halfnormal(1)", center=np.inf)
    for text in ("scale=-1", "missing='drop'", "is not normal", "center=inf"):
        assert text in str(refused.value)


@pytest.mark.parametrize("request_", ["cmax", 3, {"cmax": 3}])
def test_a_request_is_a_mapping_or_published(stein, cohort, request_):
    with pytest.raises(FitError, match="is neither a"):
        ck.build_model(stein, cohort, covariates=request_)


# --- the model that is built -------------------------------------------------------------------


def test_without_covariates_there_is_no_trace_of_them(stein, cohort):
    for nothing in (None, {}):
        model = ck.build_model(stein, cohort, covariates=nothing)
        names = [*model.named_vars]
        assert not [n for n in names if "beta_" in n or "covariate" in n]
        assert plan_fit(stein, cohort, covariates=nothing).covariates is None


def test_the_matrix_is_data_and_the_prior_is_that_of_the_documentation(stein, cohort):
    plan = plan_fit(stein, cohort, covariates={"cmax": ["log(dose)", "prior_hsct"]})
    assert plan.prior_texts()["beta_cmax"] == "normal(mean=0, sd=0.5)"
    model = ck.build_model(stein, cohort, covariates={"cmax": ["log(dose)", "prior_hsct"]})
    assert model.named_vars_to_dims["beta_cmax"] == ("term_cmax",)
    assert model.coords["term_cmax"] == ("log(dose)", "prior_hsct")
    matrix = model["covariates_cmax"].get_value()
    assert np.array_equal(matrix, plan.covariates.of("cmax").matrix)


def test_many_covariates_of_few_patients_are_advised_against(stein, cohort):
    plan = plan_fit(
        stein, cohort, covariates={"cmax": ["dose", "age", "prior_hsct"], "tmax": ["age"]}
    )
    assert plan.covariates.advice(6) == []
    more = {"cmax": ["dose", "age", "prior_hsct"], "tmax": ["no_dose"]}
    advised = plan_fit(stein, cohort, covariates=more).covariates
    assert "4 covariates with 49 patients" in advised.advice(49)[0]
    assert advised.advice(50) == []


# --- published coefficients --------------------------------------------------------------------


def published_table():
    return pd.DataFrame(
        {
            "patient": ["A", "B", "C"],
            "no_fludarabine": [0, 1, 0],
            "female": [False, False, True],
            "dose_e6_per_kg": [3.1, 3.1, 6.2],
        }
    )


def test_simulate_applies_published_coefficients_exactly(stein):
    """ln Cmax moves by -0.63 without fludarabine, by 0.25 + 0.093 ln 2 in patient C."""
    from carkinetics.simulation import true_parameters

    where = {"seed": 5, "unit": "copies/ug"}
    plain = true_parameters(stein, 3, **where)
    moved = true_parameters(stein, 3, **where, patients=published_table())
    assert list(moved.index) == ["A", "B", "C"]
    shift = np.log(moved["cmax"].to_numpy() / plain["cmax"].to_numpy())
    assert shift == pytest.approx([0.0, -0.63, 0.25 + 0.093 * np.log(2)], abs=1e-12)
    for name in ("tmax", "alpha", "beta", "doubling_time", "memory_fraction"):
        assert np.array_equal(moved[name], plain[name])


def test_simulate_keeps_the_table_of_patients(stein):
    cohort = ck.simulate(stein, seed=5, assays=["qpcr"], visits=VISITS, patients=published_table())
    assert cohort.synthetic
    assert list(cohort.patients["no_fludarabine"]) == [0, 1, 0]
    assert cohort.patient_ids == ("A", "B", "C")


def test_simulate_refuses_what_it_cannot_apply(stein):
    table = pd.DataFrame({"patient": ["A", "A"], "sex": ["f", None], "dose": [1.0, None]})
    with pytest.raises(CarkineticsError) as e:
        ck.simulate(
            stein, seed=1, assays=["qpcr"], patients=table,
            covariates={"cmax": {"sex": 1.0, "dose": 1.0, "dosis": 1.0}, "peak": {}},
        )  # fmt: skip
    with pytest.raises(CarkineticsError, match="are no coefficients by term"):
        ck.simulate(
            stein, seed=1, patients=published_table(), covariates={"cmax": ["female"]}
        )  # fmt: skip
    for text in (
        "named twice", "'sex' holds text", "'dose' has no value for patient(s) A",
        "no column 'dosis'", "no parameter 'peak'",
    ):  # fmt: skip
        assert text in str(e.value)
    with pytest.raises(CarkineticsError, match="no column of the published terms"):
        ck.simulate(stein, seed=1, patients=table.assign(patient=["A", "B"]))


def test_published_terms_come_with_their_values_as_prior(stein):
    table = pd.DataFrame(
        {
            "patient": list("ABCDEF"),
            "no_fludarabine": [0, 1, 0, 0, 1, 0],
            "female": [0] * 6,
            "dose_e6_per_kg": [3.1, 2.0, 6.2, 4.0, 3.0, 1.0],
        }
    )
    cohort = ck.simulate(stein, seed=5, assays=["qpcr"], visits=VISITS, patients=table)
    plan = plan_fit(stein, cohort, covariates="published")
    design = plan.covariates.of("cmax")
    assert design.names == ["no_fludarabine", "log(dose_e6_per_kg / 3.1)"]
    assert [prior.values for prior in design.priors] == [(-0.63, 0.5), (0.093, 0.5)]
    assert design.matrix[:, 1] == pytest.approx(np.log(table["dose_e6_per_kg"] / 3.1), abs=1e-12)
    assert "female" in plan.covariates.left_out  # one value in all
    assert "asian" in plan.covariates.left_out  # no column
    assert "are left out: female, asian" in plan.covariates.advice(6)[0]


def test_published_terms_without_any_column_are_refused(stein, cohort, small_fit):
    patients = cohort.patients.drop(columns="prior_hsct")
    without = ck.Cohort(cohort.levels, patients, synthetic=True)
    with pytest.raises(FitError, match=r"(?s)no published term of stein_2019.*They are female"):
        ck.build_model(stein, without, covariates="published")
    with pytest.raises(FitError, match="has no published covariates"):
        ck.build_model(small_fit.kinetic_model, small_fit.cohort, covariates="published")


def test_published_covariates_are_shown(stein):
    assert "published covariates of cmax: female +0.25;" in repr(stein)


def test_a_faulty_table_of_published_covariates_is_refused(stein):
    where = "[parameters.cmax.covariates]"
    lines = """
"log(dose" = { value = 1, source = "x", standing = "published" }
"total(dose)" = { value = 1, source = "x", standing = "published" }
"3" = { value = 1, source = "x", standing = "published" }"""
    with pytest.raises(ModelFileError) as refused:
        ck.Model.from_text(stein.text.replace(where, where + lines))
    assert len(refused.value.faults) == 3
    with pytest.raises(ModelFileError, match=r"cmax.covariates.age.*\n?.*'standing' is missing"):
        ck.Model.from_text(stein.text.replace(where, where + '\nage = {value = 1, source = "x"}'))
    with pytest.raises(ModelFileError, match="se"):
        ck.Model.from_text(
            stein.text.replace("value = 0.25, source", "value = 0.25, se = -1, source")
        )


# --- published numbers as priors ---------------------------------------------------------------


def test_published_priors_stand_on_the_published_numbers(stein):
    wide = stein.with_published_priors(2.0)
    cmax, alpha = wide.parameters["cmax"], wide.parameters["alpha"]
    assert cmax.prior_for("copies/ug").location == pytest.approx(np.log(24000))
    assert cmax.prior_for("copies/ug").spread == pytest.approx(2 * 0.65 / 4)
    assert cmax.omega_for("copies/ug").text == "halfnormal(sd=0.65)"
    assert alpha.prior.location == pytest.approx(np.log(0.16))
    assert alpha.prior.spread == pytest.approx(2 * 0.91 / 4)
    # Nothing was published in cells/uL: its priors stay those of the file.
    assert cmax.priors["cells/uL"] == stein.parameters["cmax"].priors["cells/uL"]


def test_published_priors_are_part_of_the_text(stein):
    wide = stein.with_published_priors(3)
    assert wide.text.startswith("published_priors = 3.0\n")
    assert ck.Model.from_text(wide.text, wide.name) == wide
    assert wide.with_published_priors(2.0).text == stein.with_published_priors(2.0).text
    assert wide.text_hash != stein.text_hash


def test_published_priors_pass_the_prior_check(stein, cohort):
    from carkinetics.inference.gate import prior_gate

    for widen in (1.0, 2.0):
        assert prior_gate(plan_fit(stein.with_published_priors(widen), cohort), 1).passed


def test_published_priors_need_published_numbers(small_fit, stein):
    with pytest.raises(ModelFileError, match="no parameter has a published value"):
        small_fit.kinetic_model.with_published_priors()
    with pytest.raises(ModelFileError, match="published_priors"):
        stein.with_published_priors(0)
