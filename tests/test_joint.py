"""`fit_joint`: outcomes good and bad, what it refuses and says, and its place in `associate`."""

from __future__ import annotations

import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy import stats
from scipy.integrate import simpson

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning, DataError
from carkinetics.inference.build import assemble
from carkinetics.inference.planning import plan_fit
from carkinetics.outcomes.association import JOINT, MODES, OBSERVED_VALUE, POSTERIOR_MEAN
from carkinetics.outcomes.joint.association import joint_notes, with_joint
from carkinetics.outcomes.joint.data import DEATH_FIRST
from carkinetics.outcomes.joint.fit_joint import _kinetics, make_extension
from carkinetics.solve.curves import latent_levels

PLAIN = Mode(linker="py", optimizer=None)  # compiles in a second
VISITS = (5.0, 9.0, 14.0, 28.0, 90.0)
SHORT = {"draws": 60, "tune": 100, "chains": 2, "rerun": False, "progress": "none"}
DEFAULTS = {
    "exposure": "cmax", "outcomes": ["ttp"], "cell_type": "total", "hazard": "weibull",
    "landmark": None, "time_dependent": "", "competing": False, "adjust": [], "window": 28.0,
    "allow_after_day_0": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def stein():
    return ck.load_model("stein_2019")


@pytest.fixture(scope="module")
def cohort(stein):
    """Nine SYNTHETIC patients with outcomes of every awkward kind; a tenth without levels."""
    made = ck.simulate(stein, 10, seed=8, assays=["qpcr"], visits=VISITS)
    levels = made.levels[made.levels["patient"] != made.patient_ids[9]]
    n = len(made.patients)
    peak = levels.groupby("patient")["level"].max().reindex(made.patients["patient"])
    high = (peak.rank(ascending=False) <= 2).to_numpy()
    table = made.patients.assign(
        ttp_day=[40.0, 40, 60, 75, 75, 90, 150, 200, 300, 310],  # ties
        progressed=[True, True, False, True, True, False, True, False, True, True],
        os_day=[80.0, 90, 60, 100, 120, 90, 200, 400, 500, 600],
        died=[True, True, True, True, True, False, True, False, True, True],
        pfs_day=100.0, pfs_event=False,  # no events
        crs_grade=pd.array([2] * (n - 1) + [None], dtype="Int64"),  # one grade only
        iec_hs=pd.array([*high[:-1], False], dtype="boolean"),  # separated
        flag=pd.array([True, None, False, True, True, False, False, None, True, True], "boolean"),
        age_years=[30.0, 40, 50, 35, 45, 55, 60, 25, 65, 44],
    )  # fmt: skip
    return dataclasses.replace(made, levels=levels, patients=table)


def quiet(function, *args, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Fit not trustworthy", CarkineticsWarning)
        return function(*args, **options)


@pytest.fixture(scope="module")
def joint(stein, cohort):
    """Five outcomes at once: ties, no event, one grade, separation, and missing for some."""
    return quiet(
        ck.fit_joint, stein, cohort, seed=3, prior_check=False,
        outcomes=("ttp", "pfs", "crs_grade", "iec_hs", "flag"), **SHORT,
    )  # fmt: skip


# --- outcomes ---------------------------------------------------------------------------------


def test_bad_outcomes_give_a_result_with_its_reason_and_never_nan(joint):
    table = joint.table().set_index("outcome")
    numbers = table.drop(columns=["measure", "remark"]).to_numpy(float)
    assert np.isfinite(numbers).all()
    assert "no patient had it" in table.loc["pfs", "remark"]
    assert "all patients have the same grade" in table.loc["crs_grade", "remark"]
    assert "prior-dominated" in table.loc["pfs", "remark"]
    assert table.loc["iec_hs", "median"] > 1
    assert (table["lower_95"] <= table["lower_90"]).all()
    assert (table["upper_90"] <= table["upper_95"]).all()


def test_patients_are_counted(joint):
    table = joint.table().set_index("outcome")
    assert table.loc["ttp", "n"] == 9
    assert table.loc["flag", "n"] == 7
    assert len(joint.kinetics.patients) == 9
    left_out = joint.slope("flag").outcome.left_out
    assert sorted(left_out.values()) == ["no flag"] * 2 + ["no levels that are fitted"]


def test_the_check_covers_the_parameters_of_outcomes(joint):
    group = joint.kinetics.data["carkinetics/outcomes"].to_dataset()
    assert {"slope_ttp", "log_scale_ttp", "log_shape_ttp", "probabilities_crs_grade",
            "intercept_iec_hs"} <= set(group.data_vars)  # fmt: skip
    assert group["probabilities_crs_grade"].sizes["grade_of_crs_grade"] == 5
    worst = joint.kinetics.data.copy()
    bad = group.assign(slope_ttp=group["slope_ttp"] + 10 * group["chain"])
    worst["carkinetics/outcomes"] = bad
    moved = dataclasses.replace(joint.kinetics, data=worst).check()
    row = moved.table.set_index("check").loc["largest R-hat"]
    assert row["where"] == "slope_ttp"
    assert not row["passed"]


def test_it_prints_what_a_reader_has_to_know(joint):
    text = repr(joint)
    assert "SYNTHETIC" in text
    assert "hazard ratio per doubling" in text
    assert "every parameter at the median of its prior" in text
    assert "Fit not trustworthy" in text
    assert "<table" in joint._repr_html_()


def test_f_10_per_doubling_and_per_tenfold_are_the_same_slope(joint):
    one, ten = joint.table(), joint.table(per="ten-fold")
    for name in ("median", "lower_90", "upper_95"):
        np.testing.assert_allclose(ten[name], one[name] ** np.log2(10), rtol=1e-10)
    with pytest.raises(DataError, match="doubling"):
        joint.table(per="log")


def test_a_joint_fit_is_read_back_as_it_was(joint, tmp_path):
    again = ck.load_joint(joint.save(tmp_path / "joint.nc"))
    pd.testing.assert_frame_equal(again.table(), joint.table())
    assert again.extension.center == joint.extension.center
    assert repr(again) == repr(joint)
    assert {v.name for v in again.kinetics.model.free_RVs} == {
        v.name for v in joint.kinetics.model.free_RVs
    }


def test_a_plain_fit_is_no_joint_fit(small_fit, tmp_path):
    with pytest.raises(DataError, match="without outcomes"):
        ck.load_joint(small_fit.save(tmp_path / "plain.nc"))


def test_feedback_needs_a_fit_of_the_kinetics_alone(joint):
    with pytest.raises(DataError, match=r"fit=ck\.fit"):
        joint.feedback  # noqa: B018
    same = dataclasses.replace(joint, kinetics_only=joint.kinetics)
    np.testing.assert_allclose(same.feedback["shift"], 0, atol=1e-10)
    assert not same.feedback["listed"].any()


# --- in associate -----------------------------------------------------------------------------


def test_associate_shows_the_joint_estimate_first(joint):
    found = ck.associate(joint, outcome="iec_hs")
    assert found.estimates[0].mode == JOINT == MODES[0]
    assert {e.mode for e in found.estimates} == {JOINT, OBSERVED_VALUE}
    assert any("has seen the outcome" in note for note in found.notes)
    first = found.estimates[0]
    assert first.estimate == pytest.approx(joint.table().set_index("outcome")["median"]["iec_hs"])
    assert "P(ratio < 1)" in first.note
    assert "credible" in first.interval_kind
    assert repr(found).index("joint") < repr(found).index("classical")


def test_associate_refuses_another_question_than_that_of_the_joint_fit(joint):
    with pytest.raises(DataError, match="auc_0_28"):
        ck.associate(joint, "auc_0_28", "ttp")
    with pytest.raises(DataError, match="is not in this joint fit"):
        ck.associate(joint, outcome="os")


def test_associate_of_a_plain_fit_says_where_the_joint_estimate_is_had(small_fit):
    exposure = ck.summarize(small_fit, ["cmax", "tmax"], allow_failed=True)
    table = small_fit.cohort.patients.assign(crs_grade=[0, 1, 2, 1])
    cohort = dataclasses.replace(small_fit.cohort, patients=table)
    found = ck.associate(
        dataclasses.replace(exposure, cohort=cohort), "cmax", "crs_grade", propagate=False
    )
    assert {e.mode for e in found.estimates} >= {POSTERIOR_MEAN}
    assert any("fit_joint" in note for note in found.notes)


def test_a_joint_fit_is_set_before_what_was_found_already(small_joint):
    cohort = small_joint.kinetics.cohort
    found = with_joint(ck.associate(cohort, "cmax", "ttp"), small_joint, 0.95)
    assert found.estimates[0].mode == JOINT
    table = found.side_by_side()
    assert list(table.columns) == [JOINT, OBSERVED_VALUE]
    assert table.loc["p_below", JOINT] == small_joint.slope("ttp").negative
    assert table.loc["estimate", JOINT] == small_joint.slope("ttp").ratio(0.5)
    assert "hazard ratio per doubling, all estimators:" in repr(found)


def test_a_joint_fit_on_another_clock_is_named_and_not_set_beside(small_joint):
    cohort = small_joint.kinetics.cohort
    later = ck.associate(cohort, "cmax", "ttp", landmark=28)
    found = with_joint(later, small_joint, 0.95)
    assert found.estimates == later.estimates
    assert "the joint fit counts patients from the start, and is not shown" in found.notes[0]
    options = small_joint.extension.options | {"landmark": 28.0}
    extension = dataclasses.replace(small_joint.extension, options=options)
    same = dataclasses.replace(small_joint, extension=extension)
    assert with_joint(later, same, 0.95).of_mode(JOINT)
    assert not with_joint(ck.associate(cohort, "cmax", "ttp"), same, 0.95).of_mode(JOINT)
    follow = dataclasses.replace(small_joint.extension, follow="level")
    along = dataclasses.replace(small_joint, extension=follow)
    found = with_joint(ck.associate(cohort, "cmax", "ttp"), along, 0.95)
    assert "lets the hazard follow the level along time" in found.notes[0]


def test_outcomes_that_go_together_beyond_the_exposure_are_told(small_joint):
    """The model takes them as unrelated: a reader has to know where they are not."""
    found = dataclasses.replace(small_joint)
    found.__dict__["residual_associations"] = pd.DataFrame(
        {"outcomes": ["crs_grade, iec_hs", "ttp, iec_hs"], "n": 4, "tau": [0.33, 0.1],
         "p_value": [0.0004, 0.6], "reason": ""}
    )  # fmt: skip
    (note,) = [n for n in joint_notes(found, "crs_grade") if "still go together" in n]
    assert "crs_grade and iec_hs" in note
    assert "+0.33, p = 0.0004" in note
    assert not [n for n in joint_notes(found, "ttp") if "still go together" in n]


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exposure": "persistence"}, "no exposure 'persistence'"),
        ({"exposure": "auc_0_0"}, "no exposure"),
        ({"cell_type": "CD8"}, "no cell type 'CD8'"),
        ({"outcomes": []}, "no outcome"),
        ({"outcomes": ["ttp", "ttp"]}, "Name each once"),
        ({"outcomes": ["age_years"]}, "no term"),
        ({"outcomes": ["nonsense"]}, "no outcome 'nonsense'"),
        ({"hazard": "gompertz"}, "weibull"),
        ({"slope_scale": 0}, "slope_scale is 0"),
        ({"time_dependent": "slope"}, "level"),
        ({"competing": True, "outcomes": ["os"]}, "time to progression"),
        ({"outcomes": ["crs_grade"], "landmark": 28.0}, "landmark belongs to a survival"),
        ({"outcomes": ["crs_grade"], "adjust": ["tocilizumab"]}, "because of toxicity"),
        ({"landmark": 1000.0}, "no patient has both"),
        ({"time_dependent": "level", "landmark": 28.0}, "clock from infusion"),
        ({"exposure": "level_60"}, "immortal time"),
        ({"exposure": "auc_0_60"}, "immortal time"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(stein, cohort, options, message):
    plan = plan_fit(stein, cohort)
    with pytest.raises(DataError, match=message):
        make_extension(plan, cohort, **DEFAULTS | options)


def test_the_clock_is_guarded_as_in_the_classical_analysis(stein, cohort):
    """An exposure known on day 60: allowed from a landmark, or by explicit choice with a note."""
    plan = plan_fit(stein, cohort)
    late = DEFAULTS | {"exposure": "auc_0_60"}
    truncated = make_extension(plan, cohort, **late | {"landmark": 60.0}).outcomes[0]
    assert truncated.n == 6
    assert (truncated.entry == 60).all()
    assert sum("by day 60" in why for why in truncated.left_out.values()) == 3
    allowed = make_extension(plan, cohort, **late | {"allow_after_day_0": True}).outcomes[0]
    assert "immortal time" in allowed.notes[0]


def test_an_unknown_argument_and_another_fit_are_refused(stein, cohort, small_fit):
    with pytest.raises(DataError, match="unknown argument"):
        ck.fit_joint(stein, cohort, seed=1, colour="red")
    with pytest.raises(DataError, match="another model"):
        ck.fit_joint(stein, cohort, seed=1, fit=small_fit)


@pytest.mark.slow
def test_every_special_form_is_sampled(stein, cohort):
    """A hazard that follows the level, piecewise, with competing deaths and a covariate."""
    found = quiet(
        ck.fit_joint, stein, cohort, seed=4, outcomes=["ttp"], time_dependent="level",
        hazard="piecewise", competing=True, adjust=["age_years"], prior_check=False, **SHORT,
    )  # fmt: skip
    table = found.table().set_index("outcome")
    assert list(table.index) == ["ttp", DEATH_FIRST]
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    group = found.kinetics.data["carkinetics/outcomes"]
    assert group["covariates_ttp"].sizes["covariate"] == 1
    assert group["walk_ttp"].sizes["cut"] == 4
    assert "current level" in repr(found)
    shown = ck.associate(found, outcome="ttp")
    names = [e.method for e in shown.of_mode(JOINT)]
    assert names[0] == "piecewise hazard, current level, adjusted"
    assert names[1].endswith("death without progression")
    assert "at risk from the first sample" in " ".join(shown.notes)


# --- densities --------------------------------------------------------------------------------


def log_density(plan, extension):
    model = assemble(dataclasses.replace(plan, extension=extension))
    return model, model.compile_fn([model.logp(), model.dlogp()], mode=PLAIN)


@pytest.mark.parametrize(
    "options",
    [
        {"outcomes": ["ttp", "os"], "hazard": "piecewise"},
        {"outcomes": ["ttp"], "time_dependent": "level"},
        {"outcomes": ["ttp"], "time_dependent": "area", "hazard": "piecewise"},
        {"outcomes": ["ttp"], "competing": True, "adjust": ["age_years", "flag"]},
        {"outcomes": ["ttp", "crs_grade", "iec_hs"], "exposure": "auc_0_28"},
        {"outcomes": ["ttp", "iec_hs"], "exposure": "level_7", "landmark": 28.0, "slope_scale": 2},
    ],
)
def test_the_gradient_of_every_form_agrees_with_finite_differences(stein, cohort, options):
    """1e-5 relative, along random directions from a random point."""
    plan = plan_fit(stein, cohort)
    check_gradient(plan, make_extension(plan, cohort, **DEFAULTS | options))


def test_a_wider_prior_of_the_slopes_is_wider_by_its_factor(stein, cohort):
    plan = plan_fit(stein, cohort)
    options = DEFAULTS | {"outcomes": ["iec_hs"]}
    plain, wide = (make_extension(plan, cohort, **options | {"slope_scale": s}) for s in (1, 2))
    assert plain.prior_texts()["slope_iec_hs"] == "normal(mean=0, sd=1.5)"
    assert wide.prior_texts()["slope_iec_hs"] == "normal(mean=0, sd=3)"
    model = assemble(dataclasses.replace(plan, extension=wide))
    found = model.compile_fn(model["slope_iec_hs"].owner.inputs[3], mode=PLAIN)({})
    assert float(found) == 3


KINETICS = {
    "covariates": {"covariates": {"cmax": ["age_years"], "tmax": ["flag"]}},
    "common": {"common": ["beta", "memory_fraction"]},
    "both": {"covariates": {"cmax": ["log(age_years)"]}, "common": ["beta"], "correlated": False},
}


@pytest.mark.parametrize("name", KINETICS)
def test_outcomes_go_with_covariates_and_shared_parameters_of_the_kinetics(stein, cohort, name):
    """The exposure of the outcome then depends on them: the gradient sees it."""
    known = cohort.patients["flag"].fillna(value=False)
    cohort = dataclasses.replace(cohort, patients=cohort.patients.assign(flag=known))
    plan = plan_fit(stein, cohort, **KINETICS[name])
    options = {"outcomes": ["iec_hs"], "adjust": ["age_years"]}  # more are too many to add up
    model = check_gradient(plan, make_extension(plan, cohort, **DEFAULTS | options))
    names = {v.name for v in model.free_RVs}
    assert {"slope_iec_hs", "covariates_iec_hs"} <= names
    assert ("beta_cmax" in names) == ("covariates" in KINETICS[name])
    assert ("omega_beta" in names) == ("common" not in KINETICS[name])


@pytest.mark.parametrize("name", KINETICS)
def test_a_joint_fit_takes_over_what_the_fit_of_the_kinetics_was_made_with(stein, cohort, name):
    known = cohort.patients["flag"].fillna(value=False)
    cohort = dataclasses.replace(cohort, patients=cohort.patients.assign(flag=known))
    plan = plan_fit(stein, cohort, **KINETICS[name])
    fields = ("patient_effects", "residual", "correlated", "tolerance")
    settings = {field: getattr(plan, field) for field in fields}
    settings |= {"assays": list(plan.layout.assays), "common": list(plan.common)}
    if plan.covariates is not None:
        settings["covariates"] = plan.covariates.settings()
    again = plan_fit(stein, cohort, **_kinetics({}, SimpleNamespace(settings=settings)))
    assert again.common == plan.common
    assert again.correlated == plan.correlated
    assert again.prior_texts() == plan.prior_texts()
    own = _kinetics({"common": ["alpha"]}, SimpleNamespace(settings=settings))
    assert own["common"] == ["alpha"]


def check_gradient(plan, extension):
    """Compare with finite differences along random directions; give the model."""
    model, function = log_density(plan, extension)
    rng = np.random.default_rng(5)
    point = {k: v + 0.1 * rng.standard_normal(v.shape) for k, v in model.initial_point().items()}
    value, gradient = function(point)
    assert np.isfinite(value)
    for _ in range(3):
        direction = {k: rng.standard_normal(v.shape) for k, v in point.items()}
        ends = [
            function({k: v + e * direction[k] for k, v in point.items()})[0] for e in (1e-5, -1e-5)
        ]
        flat = np.concatenate([np.ravel(direction[model.rvs_to_values[v].name])
                               for v in model.free_RVs])  # fmt: skip
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(flat @ gradient, rel=1e-5, abs=1e-5)
    return model


def test_deaths_compete_with_progression_by_hazards_of_their_own(stein, cohort):
    """Patients 3 died on its day without progression; everyone is at risk of both."""
    plan = plan_fit(stein, cohort)
    found = make_extension(plan, cohort, **DEFAULTS | {"competing": True}).outcomes
    assert [o.name for o in found] == ["ttp", DEATH_FIRST]
    assert found[0].n == found[1].n == 9
    died = cohort.patients["died"] & (cohort.patients["os_day"] <= cohort.patients["ttp_day"])
    expected = (died & ~cohort.patients["progressed"])[:9].sum()
    assert found[1].n_events == expected == 1
    assert not (found[0].value * found[1].value).any()


def test_the_density_of_a_joint_model_is_kinetics_plus_outcome_by_hand(stein, cohort):
    """Exposure of a closed form is the patient's own cmax: SciPy's density, to 1e-8."""
    plan = plan_fit(stein, cohort)
    extension = make_extension(plan, cohort, **DEFAULTS)
    joint_model, joint_density = log_density(plan, extension)
    alone = assemble(plan)
    plain = alone.compile_fn(alone.logp(), mode=PLAIN)
    rng = np.random.default_rng(6)
    point = {
        k: v + 0.2 * rng.standard_normal(v.shape) for k, v in joint_model.initial_point().items()
    }
    names = {alone.rvs_to_values[v].name for v in alone.free_RVs}
    difference = joint_density(point)[0] - plain({k: point[k] for k in names})
    names = ("slope", "log_scale", "log_shape")
    slope, log_scale, log_shape = (float(point[f"{name}_ttp"]) for name in names)
    location = np.array([float(point[p.variable]) for p in plan.varying])
    omega = np.exp([float(point[f"omega_{p.name}_log__"]) for p in plan.varying])
    theta = location + omega**0.5 * (point["x"] - 0.5 * location)
    k = [p.name for p in plan.varying].index("cmax")
    x = theta[:, k] - extension.center
    outcome = extension.outcomes[0]
    shape = np.exp(log_shape)
    weibull = stats.weibull_min(shape, scale=np.exp(log_scale - slope * x / shape))
    by_hand = np.where(outcome.value > 0, weibull.logpdf(outcome.day), weibull.logsf(outcome.day))
    priors = stats.norm.logpdf([slope, log_scale - np.log(110), log_shape / 0.5])
    assert difference == pytest.approx(by_hand.sum() + priors.sum() - np.log(0.5), abs=1e-8)


@pytest.mark.parametrize("cell_type", ["total", "CD8"])
@pytest.mark.parametrize("exposure", ["cmax", "auc_0_28", "level_14"])
def test_exposures_of_equations_are_those_of_the_curves(small_fit, exposure, cell_type):
    """ln exposure behind a yes-or-no outcome, read back from the density: within 1e-5."""
    plan, extension = with_outcome(small_fit, {"exposure": exposure, "cell_type": cell_type})
    model, alone = assemble(dataclasses.replace(plan, extension=extension)), assemble(plan)
    rng = np.random.default_rng(7)
    point = {k: v + 0.05 * rng.standard_normal(v.shape) for k, v in model.initial_point().items()}
    point |= {"slope_responded": np.array(0.8), "intercept_responded": np.array(-0.4)}
    names = {alone.rvs_to_values[v].name for v in alone.free_RVs}
    difference = density(model, point) - density(alone, {k: point[k] for k in names})
    x = exposures_by_curves(plan, point, exposure, cell_type) - extension.center
    linear = -0.4 + 0.8 * x
    by_hand = (extension.outcomes[0].value * linear - np.log1p(np.exp(linear))).sum()
    priors = stats.norm.logpdf(0.8, 0, 1.5) + stats.norm.logpdf(-0.4, np.log(0.15 / 0.85), 1)
    assert difference == pytest.approx(by_hand + priors, abs=2e-5)


def density(model, point):
    """Sum of all terms, which are too many for one addition in Python mode."""
    return sum(float(np.sum(v)) for v in model.compile_fn(model.logp(sum=False), mode=PLAIN)(point))


def with_outcome(small_fit, options):
    """Plan and extension of four patients with a yes-or-no outcome."""
    table = small_fit.cohort.patients.assign(responded=pd.array([True, False, True, True]))
    cohort = dataclasses.replace(small_fit.cohort, patients=table)
    plan = plan_fit(small_fit.kinetic_model, cohort, tolerance=1e-9)
    return plan, make_extension(plan, cohort, **DEFAULTS | {"outcomes": ["responded"]} | options)


def exposures_by_curves(plan, point, exposure, cell_type):
    """ln exposure of every patient at a point of the sampler, by dense curves."""
    location = np.array([float(point[_value(p.variable, point)]) for p in plan.varying])
    omega = np.exp([float(point[f"omega_{p.name}_log__"]) for p in plan.varying])
    theta = location + omega**0.5 * (point["x"] - 0.5 * location)
    columns = []
    for p in plan.parameters:
        at = [q.name for q in plan.varying]
        value = theta[:, at.index(p.name)] if p.name in at else float(point[p.variable])
        columns.append(p.prior.to_natural(np.broadcast_to(value, len(theta))))
    days = np.arange(0, 60.001, 0.01)
    found = latent_levels(plan.system, np.stack(columns, axis=1), days, tolerance=1e-10).log_level
    level = found[:, [*plan.layout.cell_types, "total"].index(cell_type)]
    if exposure == "cmax":
        return level.max(axis=1)
    if exposure == "level_14":
        return level[:, 1400]
    return np.log(simpson(np.exp(level[:, :2801]), dx=0.01, axis=1))


def _value(variable, point):
    return variable if variable in point else f"{variable}_log__"
