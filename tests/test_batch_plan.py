"""What a batch will do is checked whole before anything is computed."""

from __future__ import annotations

import dataclasses
import time

import pytest

import carkinetics as ck
from carkinetics.batch.changes import changed_cohort, parse_subset
from carkinetics.batch.factors import FACTORS
from carkinetics.batch.near import can_be_reweighted
from carkinetics.batch.outcomes import with_transplant
from carkinetics.batch.words import in_words
from carkinetics.errors import BatchError, DataError
from carkinetics.library import models_folder


def names_of(declared: ck.Variants, cohort: ck.Cohort, method: str = "samples") -> list[str]:
    return [variant.name for variant in declared.expand(cohort, method)]


def changed(cohort: ck.Cohort, for_fit: bool = True, **choices) -> ck.Cohort:
    base = ck.variants().base_choices("nuts")
    return changed_cohort(cohort, base | choices, for_fit=for_fit)


def test_factors_change_one_at_a_time_beside_the_base_case(synthetic):
    declared = ck.variants(blq=["default", "zero"], landmark=[0, 14, 28])
    assert names_of(declared, synthetic) == ["base", "blq=zero", "landmark=14", "landmark=28"]


def test_crossed_factors_give_every_combination_once(synthetic):
    declared = ck.variants(design="crossed", exposure=["cmax", "auc_0_28"], landmark=[0, 28])
    assert names_of(declared, synthetic) == [
        "base", "landmark=28", "exposure=auc_0_28", "exposure=auc_0_28, landmark=28",
    ]  # fmt: skip


def test_every_patient_is_left_out_in_turn(synthetic):
    names = names_of(ck.variants(leave_out="each"), synthetic)
    assert names[1:] == [f"leave_out={patient}" for patient in synthetic.patient_ids]


def test_listed_variants_change_what_they_name(synthetic):
    declared = ck.variants(base={"landmark": 28}, listed=[{"subset": "iec_hs == false"}])
    _, second = declared.expand(synthetic, "samples")
    assert second.choices["landmark"] == 28
    assert (second.factor, second.level) == ("subset", "iec_hs == false")


def test_all_faults_are_told_at_once(synthetic):
    declared = ck.variants(
        blq=["zro"], leave_out=["VP99"], landmark=[-1], exposure=["cmaxx"], subset=["respons == CR"]
    )
    with pytest.raises(BatchError) as caught:
        declared.plan(None, synthetic, method="samples", draws=3)
    told = str(caught.value)
    assert len(caught.value.faults) == 6
    for word in ("'zro'", "'VP99'", "-1", "'cmaxx'", "'response'", "no setting is called 'draws'"):
        assert word in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"blqq": ["m3"]}, "did you mean 'blq'"),
        ({"design": "full"}, "design is 'full'"),
        ({"per": "unit"}, "per is 'unit'"),
        ({"probability": 1.0}, "probability is 1.0"),
        ({"blq": []}, "blq has no level"),
        ({"outcome": ["pfs"], "outcomes": ["os"]}, "outcome is a factor"),
        ({"listed": [{}]}, "changes nothing"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(arguments, told):
    with pytest.raises(BatchError, match=told):
        ck.variants(**arguments)


def test_a_factor_of_the_fit_needs_a_fit(synthetic):
    with pytest.raises(BatchError, match="needs a fit; choose method"):
        ck.variants(prior_scale=[2]).plan(None, synthetic, method="samples")


def test_zeros_are_refused_where_a_fit_takes_logarithms(synthetic):
    model = ck.load_model("stein_2019")
    with pytest.raises(BatchError, match="a fit works on logarithms"):
        ck.variants(blq=["zero"]).plan(model, synthetic, method="laplace")


def test_a_variant_that_must_be_refused_is_known_beforehand(synthetic):
    declared = ck.variants(exposure=["tlast"])
    plan = declared.plan(None, synthetic, method="samples")
    assert list(plan.refused) == ["exposure=tlast"]
    assert "immortal time" in plan.refused["exposure=tlast"]
    assert "1 variant cannot be analyzed" in str(plan)


def test_variants_share_fits_and_keys_tell_them_apart(synthetic):
    model = ck.load_model("stein_2019")
    declared = ck.variants(prior_scale=[0.5, 2], exposure=["auc_0_28"], outcome=["pfs"])
    plan = declared.plan(model, synthetic, method="laplace")
    assert (len(plan.variants), plan.n_fits) == (5, 3)
    assert len(set(plan.keys.values())) == 5
    other_seed = declared.plan(model, synthetic, method="laplace", seed=1)
    assert not set(plan.analyses) & set(other_seed.analyses)
    again = declared.plan(model, ck.synthetic_cohort(), method="laplace")
    assert plan.keys == again.keys
    fewer = synthetic.select(synthetic.patient_ids[1:])
    assert not set(plan.analyses) & set(declared.plan(model, fewer, method="laplace").analyses)


def test_ten_thousand_variants_are_listed_in_seconds(synthetic):
    days = [float(day) for day in range(100)]
    declared = ck.variants(
        design="crossed",
        landmark=days[:10],
        lloq_scale=[1, *(1 + k / 10 for k in range(1, 10))],
        blq_cap=["all", *range(1, 10)],
        blq=["default", "zero", "half_lloq", "lloq", "drop", "pknca", "zero_then_drop",
             "stop_at_first", "first_half_lloq", "m3"],
    )  # fmt: skip
    started = time.process_time()
    plan = declared.plan(None, synthetic, method="samples", n_workers=2)
    assert len(plan.table()) == 10_000
    assert len(plan.unfinished) == 50
    assert time.process_time() - started < 20


def test_changes_of_the_data_do_what_they_say(synthetic):
    below = synthetic.levels["below_lloq"] & ~synthetic.levels["baseline"]
    dropped = changed(synthetic, blq="drop").levels
    assert len(dropped) == len(synthetic.levels) - below.sum()
    half = changed(synthetic, blq="half_lloq").levels
    assert (half.loc[below.to_numpy(), "level"] == half.loc[below.to_numpy(), "lloq"] / 2).all()
    first = changed(synthetic, blq="first_half_lloq").levels
    set_to_half = first[first["level"] == first["lloq"] / 2]
    assert not set_to_half.duplicated(["patient", "assay", "cell_type"]).any()
    capped = changed(synthetic, blq_cap=1).levels
    assert 0 < len(synthetic.levels) - len(capped) < below.sum()
    doubled = changed(synthetic, lloq_scale=2).levels
    assert doubled["below_lloq"].sum() > synthetic.levels["below_lloq"].sum()
    assert (doubled["lloq"].dropna() == 2 * synthetic.levels["lloq"].dropna()).all()
    assert changed(synthetic, assay="qpcr").assays == ("qpcr",)
    assert changed(synthetic, wbc="ignored").levels["wbc_per_ul"].isna().all()
    assert set(changed(synthetic, cell_types="total").levels["cell_type"]) == {"total"}
    thin = changed(synthetic, visits=[7, 14, 21, 28]).levels
    counts = thin.groupby(["patient", "assay", "cell_type"])["day"].count()
    assert counts.max() == 4
    assert "VP01" not in changed(synthetic, leave_out="VP01").patient_ids
    assert changed(synthetic) is synthetic


def test_a_condition_keeps_the_patients_for_whom_it_is_known_to_hold(synthetic):
    assert len(parse_subset("response == CR", synthetic)) == 12
    assert len(parse_subset("iec_hs == false", synthetic)) == 13
    assert len(parse_subset("response == CR and age_years >= 18", synthetic)) == 8
    with pytest.raises(DataError, match="did you mean 'response'"):
        parse_subset("respnse == CR", synthetic)
    with pytest.raises(DataError, match="no patient has response"):
        parse_subset("response == cr", synthetic)


def test_every_factor_has_a_level_that_changes_nothing():
    base = ck.variants().base_choices("nuts")
    assert set(base) == set(FACTORS)


def test_the_hazard_may_change_at_transplant(synthetic, tmp_path):
    table = synthetic.patients
    here = table["patient"] == "VP03"  # transplant on day 98
    died = table.assign(os_day=table["os_day"].mask(here, 300), died=table["died"] | here)
    cohort = dataclasses.replace(synthetic, patients=died)
    declared = ck.variants(
        outcomes=["os"], transplant=["censor", "time_dependent"],
        listed=[{"transplant": "time_dependent", "adjust": "age_years"}],
    )  # fmt: skip
    runs = ck.run_variants(
        None, cohort, declared, folder=tmp_path, method="samples", progress="none"
    )
    rows = runs.table.set_index("analysis_id")
    (one,) = [
        e for e in ck.associate(cohort, "cmax", "os", transplant_over_time=True).estimates
        if "over time" in e.method
    ]  # fmt: skip
    row = rows.loc["transplant=time_dependent"]
    assert row["method"] == one.method
    assert row["estimate"] == pytest.approx(one.estimate)
    assert row["estimand"] == rows.loc["base", "estimand"]
    assert "no adjustment" in rows["reason"].iloc[-1]
    grades = ck.variants(outcomes=["crs_grade"], transplant=["time_dependent"])
    plan = grades.plan(None, cohort, method="samples")
    assert "no hazard that could change" in plan.refused["transplant=time_dependent"]


def test_a_transplant_ends_every_clock_that_went_beyond_it(synthetic):
    after = with_transplant(synthetic, "censor").patients.set_index("patient")
    before = synthetic.patients.set_index("patient")
    # VP03 alone had a transplant, on day 98, and was followed alive until day 1,314.
    assert (before.loc["VP03", "os_day"], after.loc["VP03", "os_day"]) == (1314, 98)
    assert not after.loc["VP03", "died"]
    rest = [patient for patient in before.index if patient != "VP03"]
    for column in ("ttp_day", "pfs_day", "os_day", "progressed", "pfs_event", "died"):
        assert (after.loc[rest, column] == before.loc[rest, column]).all()
    died = before.assign(hct_day=before["os_day"] - 1).reset_index()
    early = with_transplant(dataclasses.replace(synthetic, patients=died), "censor").patients
    assert not early["died"].any()
    declared = ck.variants(outcomes=["os"], transplant=["censor"], cell_types=["total"])
    plan = declared.plan(None, synthetic, method="samples")
    assert [v.name for v in plan.variants] == ["base", "transplant=censor", "cell_types=total"]
    without = dataclasses.replace(
        synthetic, patients=synthetic.patients.drop(columns="hct_day")
    )  # fmt: skip
    with pytest.raises(BatchError, match="needs the column hct_day"):
        declared.plan(None, without, method="samples")


def test_a_model_file_of_a_plan_lies_beside_it_and_goes_to_the_worker(tmp_path):
    text = (models_folder() / "cd4_cd8_expansion.toml").read_text()
    assert "\nvalue = 0.25\n" in text
    wide = text.replace("\nvalue = 0.25\n", "\nvalue = 0.5\n", 1)
    (tmp_path / "wide_gate.toml").write_text(wide)
    path = tmp_path / "plan.toml"
    path.write_text(
        '[data]\ncohort = "synthetic"\n[run]\nmethod = "laplace"\n'
        '[factors]\nmodel = ["wide_gate.toml", "stein_2019"]\n'
    )
    read = ck.read_plan(path)
    plan = read.variants.plan(read.model, read.cohort, method="laplace")
    assert [v.name for v in plan.variants] == ["base", "model=wide_gate.toml", "model=stein_2019"]
    given, changed_gate, other = (job.model for job in plan.jobs(set()))
    assert given.name == "cd4_cd8_expansion"
    assert changed_gate.text_hash != given.text_hash
    assert other.name == "stein_2019"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("wide_gate.toml", "plan.toml"):
        (tmp_path / name).rename(moved / name)
    again = ck.read_plan(moved / "plan.toml")
    assert again.variants.plan(again.model, again.cohort, method="laplace").keys == plan.keys


@pytest.mark.parametrize(
    ("changes", "near"),
    [
        ({"prior_scale": 2}, True),
        ({"prior_scale_omega": 0.5, "exposure": "auc_0_28"}, True),
        ({"leave_out": "VP01"}, True),
        ({"leave_out": ["VP01", "VP02"]}, False),
        ({"leave_out": "VP01", "prior_scale": 2}, False),
        ({"lloq_scale": 2}, True),
        ({"assay": "flow"}, False),
        ({"exposure": "auc_0_28"}, False),
    ],
)
def test_only_variants_near_the_base_case_may_do_with_its_draws(changes, near):
    base = ck.variants().base_choices("nuts")
    assert can_be_reweighted(base | changes, base) is near


def test_a_plan_is_read_from_a_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'design = "crossed"\n[data]\ncohort = "synthetic"\n[run]\nmethod = "samples"\n'
        '[watch]\nper = "sd"\n[factors]\nexposure = ["cmax", "auc_0_28"]\nlandmark = [0, 28]\n'
    )
    read = ck.read_plan(path)
    assert read.model is None
    assert read.options["method"] == "samples"
    assert len(names_of(read.variants, read.cohort)) == 4


def test_the_faults_of_a_file_are_told_at_once_with_their_place(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('[daat]\n[factors]\nblqq = ["m3"]\n[watch]\nperr = "sd"\n')
    with pytest.raises(BatchError) as caught:
        ck.read_plan(path)
    told = str(caught.value)
    for text in (
        "'daat' is unknown; did you mean 'data'",
        "did you mean 'blq'",
        "did you mean 'per'",
        "data: is missing",
        "plan.toml",
    ):
        assert text in told


def test_levels_are_told_in_words():
    assert in_words({"cmax": ["age", "dose"]}) == "cmax ~ age + dose"
    assert [in_words(v) for v in (True, 0.5, [7, 14], "m3")] == ["yes", "0.5", "7/14", "m3"]


def test_a_joint_estimate_needs_a_fit_of_its_own(synthetic):
    model = ck.load_model("stein_2019")
    declared = ck.variants(
        listed=[
            {"estimator": "joint"},
            {"estimator": "joint", "landmark": 28},
            {"estimator": "joint", "exposure": "tmax"},
            {"estimator": "joint", "prior_scale": 2},
        ]
    )
    plan = declared.plan(model, synthetic, method="nuts")
    assert list(plan.refused) == [
        "exposure=tmax, estimator=joint", "prior_scale=2, estimator=joint"
    ]  # fmt: skip
    assert len(plan.jobs(set())) == 3
    others, near = plan.near_base(plan.jobs(set()))
    assert len(others) == 3
    assert near == []
    with pytest.raises(BatchError, match="needs method 'nuts'"):
        declared.plan(model, synthetic, method="laplace")


def test_quantities_can_be_watched_without_an_outcome(synthetic):
    declared = ck.variants(blq=["zero"], outcomes=(), quantities=["auc_0_28"])
    assert declared.base_choices("samples")["outcome"] == ""
    assert declared.plan(None, synthetic, method="samples").refused == {}
    varied = ck.variants(outcome=["pfs"], quantities=["auc_0_28"])
    assert varied.base_choices("samples")["outcome"] == "ttp"
