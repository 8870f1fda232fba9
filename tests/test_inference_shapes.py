"""Every shape of data that a trial may have: each makes a model with a finite density."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

import carkinetics as ck
from carkinetics.errors import FitError
from carkinetics.inference.planning import plan_fit

VISITS = (5.0, 9.0, 14.0, 28.0, 90.0)


@pytest.fixture(scope="module")
def stein():
    return ck.load_model("stein_2019")


@pytest.fixture(scope="module")
def expansion():
    return ck.load_model("cd4_cd8_expansion")


@pytest.fixture(scope="module")
def both(stein):
    """Three patients of one population, total flow and qPCR."""
    return ck.simulate(stein, 3, seed=4, visits=VISITS)


@pytest.fixture(scope="module")
def split(expansion):
    """Three patients with CD4, CD8 and total flow, and qPCR."""
    return ck.simulate(expansion, 3, seed=4, visits=VISITS)


def changed(cohort, change):
    """Read the levels of a cohort again after a change to its table."""
    table = cohort.levels.drop(columns=["row", "baseline"]).assign(synthetic=True)
    return ck.read_cohort(change(table))


def without_patient_assay(table):
    return table[~((table["patient"] == "S02") & (table["assay"] == "qpcr"))]


def all_below(table):
    """Patient S03 was never above a limit."""
    table = table[~((table["patient"] == "S03") & table["cell_type"].isin(["CD4", "CD8"]))].copy()
    of = table["patient"] == "S03"
    table.loc[of, "below_lloq"], table.loc[of, "level"] = True, np.nan
    return table


def single_sample(table):
    return table[(table["patient"] != "S01") | ((table["day"] == 14) & (table["assay"] == "flow"))]


def without_leukocytes(table):
    return table.assign(wbc_per_ul=np.nan)


def some_leukocytes(table):
    return table.assign(wbc_per_ul=table["wbc_per_ul"].where(table["day"] > 10))


def some_dna(table):
    """Only some samples say how much DNA was in the well."""
    known = (table["assay"] == "qpcr") & (table["day"] > 10)
    return table.assign(dna_ug=np.where(known, 0.2, np.nan))


def all_dna(table):
    return table.assign(dna_ug=np.where(table["assay"] == "qpcr", 0.2, np.nan))


def event_counts(table):
    """Some totals come with counts, one of them without a single CD8 event."""
    total = (table["assay"] == "flow") & (table["cell_type"] == "total") & ~table["below_lloq"]
    events = np.where(total & (table["day"] < 20), 150.0, np.nan)
    eight = np.where(table["patient"] == "S01", 0.0, 70.0)
    return table.assign(events=events, events_cd8=np.where(np.isnan(events), np.nan, eight))


def unchanged(table):
    return table


def density_and_gradient(model):
    # Summed by hand: plain Python takes no more than 32 terms at once.
    total = sum(term.sum() for term in model.logp(sum=False))
    outputs = [total, *pt.grad(total, model.value_vars)]
    function = model.compile_fn(outputs, mode=Mode(linker="py", optimizer=None))
    value, *gradient = function(model.initial_point())
    return value, np.concatenate([np.ravel(part) for part in gradient])


# cohort, change, options of build_model, variables that must be there, those that must not
SHAPES = {
    "flow only": ("both", unchanged, {"assays": ["flow"]}, ["sigma_flow"], ["link_slope"]),
    "qpcr only": ("both", unchanged, {"assays": ["qpcr"]}, ["sigma_qpcr"], ["link_slope"]),
    "flow and qpcr": ("both", unchanged, {}, ["link_slope", "wbc_slope"], ["sigma_share"]),
    "proportional assays": (
        "both", unchanged, {"link_slope": 1}, ["log_copies_per_cell"], ["link_slope"],
    ),
    "no qpcr of one patient": ("both", without_patient_assay, {}, ["x_qpcr_shift"], []),
    "one patient below every limit": ("both", all_below, {}, ["sigma_flow"], []),
    "one sample of one patient": ("both", single_sample, {}, [], []),
    "no leukocytes": (
        "both", without_leukocytes, {}, ["sigma_qpcr_without_wbc"], ["sigma_qpcr", "wbc_slope"],
    ),
    "some leukocytes": (
        "both", some_leukocytes, {}, ["sigma_qpcr_without_wbc", "sigma_qpcr", "wbc_slope"], [],
    ),
    "DNA of every sample": ("both", all_dna, {}, [], []),
    "DNA of some samples": ("both", some_dna, {}, [], []),
    "Student-t": (
        "both", unchanged, {"patient_effects": "student_t", "residual": "student_t"},
        ["nu_patients", "nu_residual"], [],
    ),
    "uncorrelated": ("both", unchanged, {"correlated": False}, [], ["partial_correlation_unit"]),
    "a common terminal half-life": (
        "both", unchanged, {"common": ["beta"]}, ["omega_cmax"], ["omega_beta"],
    ),
    "one patient": ("both", lambda t: t[t["patient"] == "S01"], {}, [], []),
    "split": ("split", unchanged, {}, ["sigma_share", "logit_cd8_share"], []),
    "split by counts": (
        "split", event_counts, {}, ["overdispersion_share", "sigma_share"], [],
    ),
    "split, one patient below every limit": ("split", all_below, {}, ["sigma_share"], []),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_density_and_gradient_are_finite_for(shape, request, stein, expansion):
    cohort, change, options, present, absent = SHAPES[shape]
    model = expansion if cohort == "split" else stein
    data = changed(request.getfixturevalue(cohort), change)
    built = ck.build_model(model, data, **options)
    names = {rv.name for rv in built.free_RVs}
    assert names >= set(present)
    assert not names & set(absent)
    priors = set(plan_fit(model, data, **options).prior_texts())
    assert priors == names - {"x", "x_qpcr_shift"}
    value, gradient = density_and_gradient(built)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_what_all_patients_share_is_one_number(stein, both):
    plan = plan_fit(stein, both, common=["beta", "memory_fraction"])
    varying = {p.name for p in plan.varying}
    assert varying == {p.name for p in plan_fit(stein, both).varying} - {"beta", "memory_fraction"}
    assert {p.name for p in plan.parameters} == set(stein.parameters)


def test_a_common_parameter_under_a_wrong_name_is_refused(stein, both):
    with pytest.raises(FitError, match="'betta'; did you mean 'beta'"):
        plan_fit(stein, both, common=["betta"])
    with pytest.raises(FitError, match="give a list of names"):
        plan_fit(stein, both, common="beta")
    with pytest.raises(FitError, match="no parameter varies between patients"):
        plan_fit(stein, both, common=[n for n, p in stein.parameters.items() if p.vary])


def test_cd4_and_cd8_are_absent_where_only_totals_were_measured(expansion, both):
    """They are never drawn from the prior."""
    model = ck.build_model(expansion, both)
    assert list(model.coords["cell_type"]) == ["total"]
    names = {rv.name for rv in model.free_RVs}
    assert not {"logit_cd8_share", "omega_cd8_share", "growth_difference", "sigma_share"} & names
    value, gradient = density_and_gradient(model)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_model_of_one_population_takes_the_totals_of_a_split_cohort(stein, split):
    model = ck.build_model(stein, split)
    assert list(model.coords["cell_type"]) == ["total"]


def test_qpcr_alone_keeps_copies_as_the_unit_of_the_level(stein, both):
    plan = plan_fit(stein, both, assays=["qpcr"])
    assert plan.layout.latent_unit == "copies/ug"
    assert plan.prior_texts()["log_cmax"].startswith("lognormal(median=24000")
    assert plan_fit(stein, both).prior_texts()["log_cmax"].startswith("lognormal(median=100")


def test_counts_take_the_place_of_the_logit_share_for_their_samples(expansion, split):
    """A sample enters the split once: by its counts where it has them, else by its levels."""
    layout = plan_fit(expansion, changed(split, event_counts)).layout
    by_counts = set(zip(layout.split_events.patient, layout.split_events.row, strict=True))
    by_levels = set(zip(layout.split.patient, layout.split.row, strict=True))
    assert by_counts
    assert by_levels
    assert not by_counts & by_levels
    quantified = split.samples("flow", "total")
    assert len(by_counts | by_levels) == int((~quantified["below_lloq"]).sum())


def test_samples_before_the_infusion_are_not_fitted(stein, both):
    before = changed(both, lambda t: t.assign(day=np.where(t["day"] == 5, -5.0, t["day"])))
    assert plan_fit(stein, before).layout.days.min() == 9.0


def test_patients_without_a_fitted_sample_are_left_out(stein, both):
    early = changed(
        both, lambda t: t.assign(day=np.where(t["patient"] == "S02", -t["day"], t["day"]))
    )
    assert list(ck.build_model(stein, early).coords["patient"]) == ["S01", "S03"]


def test_a_cohort_without_a_fitted_sample_is_refused(stein, both):
    with pytest.raises(FitError, match=r"no sample of total CAR\+ cells"):
        ck.build_model(stein, changed(both, lambda t: t.assign(day=-t["day"])))


def test_a_model_that_does_not_observe_an_assay_is_refused(stein, both):
    text = stein.text[: stein.text.index("[derived]")]
    first, second = text.index("[observed.qpcr]"), text.index("[observed.flow]")
    kept = [
        line
        for line in (text[:first] + text[second:]).splitlines()
        if not line.startswith(('"copies/ug"', 'value = { "copies'))
    ]
    blind = ck.Model.from_text("\n".join(kept), "blind")
    with pytest.raises(FitError, match=r"blind does not observe 'qpcr'.*assays=\['flow'\]"):
        ck.build_model(blind, both)
    assert ck.build_model(blind, both, assays=["flow"])


def test_a_model_in_which_patients_do_not_differ_is_refused(stein, both):
    lines = stein.text.splitlines()
    varying = ("vary =", "omega =", "omega_value =")
    text = "\n".join(line for line in lines if not line.startswith(varying))
    start = text.index("[parameters.cmax.omega]")
    text = text[:start] + text[text.index("[parameters.tmax]") :]
    alike = ck.Model.from_text(text, "alike")
    with pytest.raises(FitError, match="alike: no parameter varies between patients"):
        ck.build_model(alike, both)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assays": ["elisa"]}, r"unknown \['elisa'\]"),
        ({"patient_effects": "cauchy"}, "patient_effects='cauchy': choose"),
        ({"residual": "t"}, "residual='t': choose"),
        ({"tolerance": 0.0}, "tolerance=0.0"),
    ],
)
def test_an_unknown_option_is_named(stein, both, options, message):
    with pytest.raises(FitError, match=message):
        ck.build_model(stein, both, **options)
