"""Questions that are refused or flagged: cut-points, selection, adjusters, time order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.noncompartmental import OBSERVED
from carkinetics.outcomes import corrected_p, cox, optimal_cut_point, pool
from carkinetics.outcomes.guards import known_by
from carkinetics.quantities import QUANTITIES


def with_patients(cohort: ck.Cohort, **columns) -> ck.Cohort:
    return dataclasses.replace(cohort, patients=cohort.patients.assign(**columns))


# Adjusting.


@pytest.mark.parametrize("name", ["toci_first_day", "steroid_first_day", "anakinra_first_day"])
@pytest.mark.parametrize("outcome", ["crs_grade", "icans_grade", "iec_hs"])
def test_a_treatment_of_toxicity_is_refused_as_an_adjuster(synthetic, name, outcome):
    with pytest.raises(DataError, match=f"{name} is given because of toxicity"):
        ck.associate(synthetic, outcome=outcome, adjust=[name])


@pytest.mark.parametrize("name", ["max_toci_doses", "Tocilizumab", "days_on_steroids"])
@pytest.mark.parametrize("outcome", ["crs_grade_astct", "max_CRS", "HLH"])
def test_a_treatment_is_refused_whatever_its_column_is_called(synthetic, name, outcome):
    grade = synthetic.patients["crs_grade"]
    cohort = with_patients(synthetic, **{outcome: grade, name: grade > 1})
    with pytest.raises(DataError, match=f"{name} is given because of toxicity"):
        ck.associate(cohort, outcome=outcome, adjust=[name])


def test_a_treatment_from_before_the_infusion_may_adjust(synthetic):
    cohort = with_patients(synthetic, prior_steroid=[i % 2 for i in range(16)])
    assert ck.associate(cohort, outcome="crs_grade", adjust=["prior_steroid"]).estimates


def test_all_unusable_covariates_are_told_at_once(synthetic):
    cohort = with_patients(synthetic, site=[f"s{i % 3}" for i in range(16)], same=1)
    with pytest.raises(DataError) as caught:
        ck.associate(
            cohort, outcome="iec_hs", adjust=["site", "same", "aeg_years", "toci_first_day"]
        )
    text = str(caught.value)
    assert "4 faults found" in text
    assert "site has 3 different words" in text
    assert "same is the same in all patients" in text
    assert "no column 'aeg_years'; did you mean 'age_years'?" in text


def test_few_events_for_the_covariates_are_warned_of(synthetic):
    found = ck.associate(synthetic, outcome="ttp", adjust=["cohort", "age_years"])
    assert any(
        "11 events for 3 covariates (the exposure and 2 more): 3.7 each" in n for n in found.notes
    )
    first = found.estimates[0]
    assert first.method == "Cox (Efron), adjusted"


def test_an_adjusted_hazard_ratio_is_that_of_cox_on_both_columns(synthetic):
    found = ck.associate(synthetic, outcome="ttp", adjust=["cohort"]).estimates[0]
    peak = ck.observed_quantities(synthetic, quantities=["cmax"])["observed_cmax"]
    table = synthetic.patients
    child = (table["cohort"] == "ped").to_numpy(float)
    both = cox(table["ttp_day"], table["progressed"], np.column_stack([np.log(peak), child]))
    assert found.estimate == pytest.approx(2 ** both.coefficients[0], rel=1e-6)
    assert found.p_value == pytest.approx(both.p_values[0], abs=1e-6)


@pytest.mark.parametrize(
    ("outcome", "method"),
    [("crs_grade", "proportional odds, adjusted"), ("iec_hs", "Firth logistic, adjusted")],
)
def test_grades_and_events_can_be_adjusted(synthetic, outcome, method):
    found = ck.associate(synthetic, outcome=outcome, adjust=["age_years"])
    estimate = next(e for e in found.estimates if e.method == method)
    assert estimate.lower < estimate.estimate < estimate.upper


# Selection and order in time.


def test_conditioning_on_relapse_is_labeled(synthetic):
    found = ck.associate(synthetic, outcome="dor_days")
    assert any(note.startswith("SELECTED: only patients who progressed") for note in found.notes)
    kept = ck.associate(synthetic, outcome="dor")
    assert not any("SELECTED" in note for note in kept.notes)
    assert (kept.estimates[0].n, kept.estimates[0].n_events) == (13, 10)
    assert any("no response (CR or PR): VP05, VP06, VP07" in note for note in kept.notes)


def test_duration_counts_from_the_response_where_its_day_is_known(synthetic):
    cohort = with_patients(
        synthetic, response_day=np.where(synthetic.patients["response"] == "CR", 28.0, np.nan)
    )
    found = ck.associate(cohort, outcome="dor")  # the peak is known when the clock starts
    assert found.clock == "from response"
    assert found.data.set_index("patient").loc["VA06", "day"] == 232 - 28
    later = ck.associate(cohort, outcome="dor", landmark=28)
    assert later.clock == "from the landmark, day 28 after response"


def test_a_response_before_the_exposure_is_known_keeps_the_guard(synthetic):
    early = np.where(synthetic.patients["response"] == "CR", 14.0, np.nan)
    cohort = with_patients(synthetic, response_day=early)
    shorter = with_patients(cohort, ttp_day=cohort.patients["ttp_day"].replace(28, 20))
    assert ck.associate(cohort, outcome="dor").clock == "from response"
    with pytest.raises(DataError, match=r"come before.*VP01 on day 20"):
        ck.associate(shorter, outcome="dor")


def test_exposures_known_before_the_onset_are_offered(synthetic):
    found = ck.associate(synthetic, outcome="crs_grade")
    assert any("began before the observed peak in 13 of 13" in note for note in found.notes)
    assert "known before most onsets of CRS grade: level_7 and auc_0_7" in found.notes
    early = ck.associate(synthetic, exposure="level_7", outcome="crs_grade")
    assert any("had begun by day 7 in 5 of 13 patients" in note for note in early.notes)
    assert not any("before the observed peak" in note for note in early.notes)


def test_a_window_that_ends_at_the_onset_is_flagged(synthetic):
    found = ck.associate(synthetic, exposure="auc_to_onset", outcome="crs_grade")
    assert any("have less of it by construction" in note for note in found.notes)


def test_an_observed_level_on_a_day_lies_between_its_neighbors():
    days, levels = [4.0, 10.0], [10.0, 40.0]
    rows = [("P1", d, v, 0.5) for d, v in zip(days, levels, strict=True)]
    rows += [("P2", 7.0, 9.0, 0.5), ("P3", 4.0, 0.5, 0.5), ("P3", 10.0, 6.0, 0.5)]
    rows += [("P4", 10.0, 6.0, 0.5), ("P5", 4.0, 6.0, 0.5)]
    table = pd.DataFrame(rows, columns=["patient", "day", "level", "lloq"]).assign(
        assay="flow", cell_type="total", unit="cells/uL"
    )
    table["below_lloq"] = (table["patient"] == "P3") & (table["day"] == 4)
    people = pd.DataFrame({"patient": [f"P{i}" for i in range(1, 6)], "iec_hs": [1, 0, 1, 0, 0]})
    found = ck.associate(ck.read_cohort(table, patients=people), "level_7", "iec_hs")
    data = found.data.set_index("patient")
    assert data.loc["P1", "observed"] == pytest.approx(20.0)  # the geometric middle
    assert data.loc["P2", "observed"] == 9.0
    assert data.loc["P3", "observed_below_lloq"]
    assert data.loc["P3", "observed"] == 6.0  # the highest value it can have
    text = " ".join(found.notes)
    assert "no sample by day 7: P4" in text
    assert "no sample on day 7 or later: P5" in text


# What is settled, and when.


@pytest.mark.parametrize(
    ("exposure", "day"),
    [("cmax", 28), ("auc_0_28", 28), ("slope_28_60", 60), ("share_60", 60), ("level_7", 7),
     ("quantifiable_90", 90), ("doubling_time", 28), ("persistence", np.inf), ("tlast", np.inf),
     ("time_above", np.inf), ("time_above_0.5", np.inf), ("terminal_half_life", np.inf),
     ("auclast", np.inf), ("aucinf", np.inf), ("lambda_z", np.inf), ("half_life", np.inf)],
)  # fmt: skip
def test_c11_every_exposure_has_its_day(exposure, day):
    assert known_by(exposure) == day


@pytest.mark.parametrize("exposure", [*QUANTITIES, *OBSERVED])
def test_c11_an_exposure_is_at_its_peak_or_has_no_end(exposure):
    assert known_by(exposure, window=21.0) in (21.0, np.inf)


@pytest.mark.parametrize("exposure", ["time_above_0.5", "terminal_half_life", "tlast"])
def test_c11_what_lasts_as_long_as_sampling_is_refused(synthetic, exposure):
    with pytest.raises(DataError, match="defined by what happens after day 0") as caught:
        ck.associate(synthetic, exposure, "ttp")
    assert "landmark=28" in str(caught.value)


def test_an_exposure_without_an_end_is_flagged_beside_other_outcomes(synthetic):
    found = ck.associate(synthetic, "tlast", "dor_days")
    assert any("depends on how long a patient is sampled" in note for note in found.notes)


# The exposure so far.


def test_c11_a_peak_after_early_events_can_be_followed_over_time(synthetic):
    cohort = with_patients(
        synthetic, ttp_day=synthetic.patients["ttp_day"].where(synthetic.patients.index > 0, 12.0)
    )
    with pytest.raises(DataError, match="time_dependent=True"):
        ck.associate(cohort, exposure="cmax", outcome="ttp")
    found = ck.associate(cohort, exposure="cmax", outcome="ttp", time_dependent=True)
    (estimate,) = found.estimates
    assert estimate.method == "Cox (Efron), exposure so far"
    assert (estimate.n, estimate.n_events) == (16, 11)


def test_the_exposure_so_far_is_the_peak_where_no_event_precedes_it(synthetic):
    """In this cohort nothing happens before day 28, when all peaks and areas are settled."""
    plain = ck.associate(synthetic, outcome="ttp").estimates[0]
    followed = ck.associate(synthetic, outcome="ttp", time_dependent=True).estimates[0]
    assert followed.estimate == pytest.approx(plain.estimate, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outcome": "crs_grade"}, "belongs to a survival outcome on the clock from infusion"),
        ({"outcome": "ttp", "landmark": 28}, "belongs to a survival outcome"),
        ({"outcome": "ttp", "exposure": "tmax"}, "tmax has no time-dependent form"),
    ],
)
def test_an_exposure_so_far_needs_its_clock(synthetic, arguments, message):
    with pytest.raises(DataError, match=message):
        ck.associate(synthetic, **({"exposure": "cmax"} | arguments), time_dependent=True)


# Cut-points and pooling.


def test_a_corrected_cut_point_costs_its_search(synthetic):
    peak = ck.observed_quantities(synthetic, quantities=["cmax"])["observed_cmax"]
    table = synthetic.patients
    found = optimal_cut_point(table["ttp_day"], table["progressed"], peak)
    assert found.p_uncorrected < found.p_value <= 1
    assert 0.2 <= (peak > found.cut).mean() <= 0.8
    none = optimal_cut_point(table["ttp_day"], np.zeros(16), peak)
    assert (none.reason, np.isnan(none.cut)) == ("there is no event", True)
    assert optimal_cut_point([1, 2, 3], [1, 1, 1], [2, 2, 2]).reason == "there is no cut to try"


def test_the_correction_follows_its_formula_and_never_helps():
    z, density = 2.807034, np.exp(-(2.807034**2) / 2) / np.sqrt(2 * np.pi)  # p = 0.005
    expected = 4 * density / z + density * (z - 1 / z) * 2 * np.log(4)
    assert corrected_p(0.005) == pytest.approx(expected, rel=1e-5)
    p = np.linspace(1e-6, 1, 200)
    corrected = np.array([corrected_p(value) for value in p])
    assert (corrected >= p).all()
    assert (np.diff(corrected) >= -1e-12).all()


def test_d13_rubins_rules():
    found = pool([1, 2, 3], [1, 1, 1])
    assert (found.estimate, found.between) == (2, 1)
    assert found.total == pytest.approx(7 / 3, abs=1e-9)
    assert found.freedom == pytest.approx(6.125, abs=1e-9)
    same = pool([1.0, 1.0], [4.0, 4.0])
    assert np.isinf(same.freedom)
    assert same.interval()[1] == pytest.approx(1 + 1.959964 * 2, abs=1e-5)


def test_barnard_rubin_freedom_stays_below_that_of_complete_data():
    found = pool([1, 2, 3], [1, 1, 1], complete_freedom=10)
    assert found.adjusted_freedom < 10
    # By hand: share 4/7, observed 11/13 * 10 * 3/7.
    observed = 11 / 13 * 10 * 3 / 7
    assert found.adjusted_freedom == pytest.approx(1 / (1 / 6.125 + 1 / observed))


# Outcomes at their edges.


EDGES = {
    "no event": ({"progressed": False}, "ttp", "there is no event among 16 patients"),
    "all on one day": ({"ttp_day": 50.0, "progressed": True}, "ttp", None),
    "all have the event": ({"progressed": True}, "ttp", None),
    "one grade": ({"crs_grade": 1}, "crs_grade", "the outcome is the same in all patients"),
    "nobody": ({"iec_hs": False}, "iec_hs", "no patient of 16 had the event"),
    "everybody": ({"iec_hs": True}, "iec_hs", "all 16 patients had the event"),
}


@pytest.mark.parametrize("name", EDGES)
def test_an_outcome_at_its_edge_gives_numbers_or_a_reason(synthetic, name):
    columns, outcome, reason = EDGES[name]
    found = ck.associate(with_patients(synthetic, **columns), outcome=outcome)
    first = found.estimates[0]
    if reason is None:
        assert first.lower < first.estimate < first.upper
        assert 0 <= first.p_value <= 1
    else:
        assert first.missing
        assert reason in first.note
        assert found.power is None
    assert repr(found)


def test_one_event_is_enough_for_a_penalized_ratio(synthetic):
    table = synthetic.patients
    cohort = with_patients(synthetic, progressed=table["patient"] == "VA02")
    firth = next(
        e for e in ck.associate(cohort, outcome="ttp").estimates if e.method == "Firth-Cox"
    )
    assert firth.n_events == 1
    assert firth.lower < firth.estimate < firth.upper


def test_patients_without_an_outcome_stay_in_the_cohort_and_are_counted(synthetic):
    grade = synthetic.patients["crs_grade"].astype("Int64").mask(synthetic.patients.index < 3)
    cohort = with_patients(synthetic, crs_grade=grade)
    found = ck.associate(cohort, outcome="crs_grade")
    assert found.estimates[0].n == 13
    assert "3 patient(s) left out, no crs_grade: VA01, VA02, VA03" in found.notes
    assert len(found.data) == 16
    assert cohort.n_patients == 16
