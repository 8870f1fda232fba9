"""`associate`: the numbers of the synthetic cohort, its guards, what it counts and prints."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.outcomes import (
    cox,
    doubling_from_tenfold,
    firth_cox,
    firth_logistic,
    kaplan_meier,
    log_rank,
    ratio_per_doubling,
    ratio_per_tenfold,
    spearman,
    tenfold_from_doubling,
)


def estimate_of(found: ck.Association, method: str, mode: str = "classical, observed value"):
    chosen = [e for e in found.of_mode(mode) if e.method == method]
    assert len(chosen) == 1, [e.method for e in found.estimates]
    return chosen[0]


def coefficient_of(found: ck.Association, method: str) -> float:
    """Return the log ratio per natural log of exposure."""
    return float(np.log2(estimate_of(found, method).estimate))


def cohort_of(patients: dict, peaks: dict[str, float | None], **options) -> ck.Cohort:
    """Return a cohort with samples on days 3, 10 and 24, the peak on day 10; None = all below."""
    rows = [
        (patient, day, "flow", "total", 1.0 if peak is None else share * peak, "cells/uL", 0.5)
        for patient, peak in peaks.items()
        for day, share in ((3, 0.1), (10, 1.0), (24, 0.2))
    ]
    columns = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq"]
    levels = pd.DataFrame(rows, columns=columns)
    none = [patient for patient, peak in peaks.items() if peak is None]
    levels.loc[levels["patient"].isin(none), "level"] = 0.1
    return ck.read_cohort(levels, pd.DataFrame(patients), flag_below_lloq=True, **options)


# F-08: section 1.4 of the specification, from lifelines 0.30.3, firthmodels and SciPy.


def observed_peak(cohort: ck.Cohort) -> np.ndarray:
    return np.log(ck.observed_quantities(cohort)["observed_cmax"].to_numpy())


def test_f08_cox_per_unit_log_peak(synthetic):
    found = ck.associate(synthetic, exposure="cmax", outcome="ttp")
    assert coefficient_of(found, "Cox (Efron)") == pytest.approx(-0.739, abs=1e-3)
    patients = synthetic.patients
    alone = cox(patients["ttp_day"], patients["progressed"].astype(bool), observed_peak(synthetic))
    assert alone.coefficients[0] == pytest.approx(-0.7386763, abs=1e-4)
    assert alone.standard_errors[0] == pytest.approx(0.4079424, abs=1e-4)
    wald = 2 * stats.norm.sf(abs(alone.coefficients[0] / alone.standard_errors[0]))
    assert wald == pytest.approx(0.0701816, abs=1e-4)


def test_f08_firth_cox_per_unit_log_peak(synthetic):
    patients = synthetic.patients
    found = firth_cox(
        patients["ttp_day"], patients["progressed"].astype(bool), observed_peak(synthetic)
    )
    assert found.coefficients[0] == pytest.approx(-0.7077049, abs=1e-6)
    assert found.p_values[0] == pytest.approx(0.0665761, abs=1e-6)


def test_f08_median_split_of_the_peak(synthetic):
    patients, peak = synthetic.patients, observed_peak(synthetic)
    day, event = patients["ttp_day"], patients["progressed"].astype(bool)
    high = peak > np.median(peak)
    found = log_rank(day, event, high)
    assert (found.chi2, found.p_value) == pytest.approx((2.1881515, 0.1390761), abs=1e-6)
    assert kaplan_meier(day[high], event[high]).median == 105
    assert kaplan_meier(day[~high], event[~high]).median == 63


def test_f08_time_to_progression_with_death_censored(synthetic):
    patients = synthetic.patients
    found = kaplan_meier(patients["ttp_day"], patients["progressed"].astype(bool))
    assert found.median == 105
    assert 1 - found.at(180) == pytest.approx(0.7784091, abs=1e-6)


def test_c10_landmark_leaves_out_early_events_and_restarts_the_clock(synthetic):
    found = ck.associate(synthetic, exposure="auc_0_28", outcome="ttp", landmark=28)
    fitted = estimate_of(found, "Cox (Efron)")
    assert (fitted.n, fitted.n_events) == (14, 9)
    assert (
        "2 patient(s) left out, event or censoring by the landmark, day 28: VP01, VP05"
    ) in found.notes
    assert found.clock == "from the landmark, day 28"
    assert "from the landmark, day 28" in found.title
    day = found.data.set_index("patient")["day"]
    assert (day["VP08"], day["VP05"]) == (119 - 28, 0)


def test_f08_landmark_cox_on_log_auc(synthetic):
    found = ck.associate(synthetic, exposure="auc_0_28", outcome="ttp", landmark=28)
    assert coefficient_of(found, "Cox (Efron)") == pytest.approx(-0.5834186, abs=1e-4)
    # The published p-value is Wald's; ours is that of the likelihood ratio.
    table = found.data[found.data["left_out"] == ""]
    alone = cox(table["day"], table["event"], np.log(table["observed"]))
    wald = 2 * stats.norm.sf(abs(alone.coefficients[0] / alone.standard_errors[0]))
    assert wald == pytest.approx(0.1280727, abs=1e-4)
    assert estimate_of(found, "Cox (Efron)").p_value == pytest.approx(alone.p_values[0])
    assert estimate_of(found, "Firth-Cox").note == "fewer than 10 events"


def test_d10_auroc_of_peak_and_iec_hs(synthetic):
    from carkinetics.outcomes import auroc

    found = ck.associate(synthetic, exposure="cmax", outcome="iec_hs")
    assert estimate_of(found, "AUROC").estimate == pytest.approx(0.8974359, abs=1e-6)
    ranks = estimate_of(found, "Mann-Whitney")
    assert (ranks.statistic, ranks.statistic_name) == (35, "U")
    assert ranks.statistic / (3 * 13) == estimate_of(found, "AUROC").estimate
    assert ranks.p_value == pytest.approx(0.039, abs=5e-4)
    alone = auroc(observed_peak(synthetic), synthetic.patients["iec_hs"].astype(bool))
    assert alone.standard_error == pytest.approx(0.0863206, abs=1e-6)


def test_f08_firth_logistic_of_peak_and_iec_hs(synthetic):
    peak, event = observed_peak(synthetic), synthetic.patients["iec_hs"].astype(bool)
    per_sd = firth_logistic((peak - peak.mean()) / peak.std(ddof=1), event)
    assert per_sd.coefficients[0] == pytest.approx(1.360531, abs=1e-3)
    assert (per_sd.lower[0], per_sd.upper[0]) == pytest.approx((-0.0812790, 3.9046927), abs=1e-5)
    assert per_sd.p_values[0] == pytest.approx(0.0671868, abs=1e-6)
    found = ck.associate(synthetic, exposure="cmax", outcome="iec_hs")
    slope = per_sd.coefficients[0] / peak.std(ddof=1)
    assert coefficient_of(found, "Firth logistic") == pytest.approx(slope, abs=1e-6)


def test_f08_ranks_of_peak_and_crs(synthetic):
    found = ck.associate(synthetic, exposure="cmax", outcome="crs_grade")
    assert estimate_of(found, "Kendall").estimate == pytest.approx(0.3425451, abs=1e-6)
    trend = estimate_of(found, "Jonckheere-Terpstra")
    assert (trend.statistic, trend.statistic_name) == (61, "J")
    assert trend.p_asymptotic == pytest.approx(0.093, abs=5e-4)
    # Both count the same pairs.
    assert trend.p_value == estimate_of(found, "Kendall").p_value


def test_f08_spearman_of_peak_and_auc(synthetic):
    table = ck.observed_quantities(synthetic)
    found = spearman(table["observed_cmax"], table["observed_auc_0_28"])
    assert found.estimate == pytest.approx(0.9147059, abs=1e-6)


def test_f08_leaving_one_patient_out(synthetic):
    coefficients, p_values = {}, []
    for patient in synthetic.patient_ids:
        others = synthetic.select(set(synthetic.patient_ids) - {patient})
        found = ck.associate(others, exposure="cmax", outcome="ttp")
        coefficients[patient] = coefficient_of(found, "Cox (Efron)")
        found = ck.associate(others, exposure="cmax", outcome="iec_hs")
        p_values.append(estimate_of(found, "Mann-Whitney").p_value)
    lowest, highest = (chosen(coefficients, key=coefficients.get) for chosen in (min, max))
    assert (lowest, highest) == ("VP06", "VA02")
    ends = (coefficients[lowest], coefficients[highest])
    assert ends == pytest.approx((-0.9740599, -0.6407815), abs=1e-3)
    assert (min(p_values), max(p_values)) == pytest.approx((0.0175824, 0.1714286), abs=1e-6)


def test_g05_specification_curve(synthetic):
    patients = synthetic.patients.set_index("patient")
    subsets = {
        "all": patients.index,
        "complete response": patients.index[patients["response"] == "CR"],
        "without IEC-HS": patients.index[~patients["iec_hs"].astype(bool)],
    }
    # exposure, assay, cell type
    exposures = [
        ("cmax", "flow", "total"),
        ("cmax", "flow", "CD8"),
        ("cmax", "qpcr", "total"),
        ("auc_0_28", "flow", "total"),
    ]
    ratios, p_values = [], []
    for exposure, assay, cell_type in exposures:
        table = ck.observed_quantities(synthetic, assay, cell_type, [exposure])
        spread = np.log(table[f"observed_{exposure}"]).std()
        for outcome in ("ttp", "pfs"):
            for landmark in (None, 28):
                for some in subsets.values():
                    found = ck.associate(
                        synthetic.select(some),
                        exposure=exposure,
                        outcome=outcome,
                        assay=assay,
                        cell_type=cell_type,
                        landmark=landmark,
                    )
                    ratios.append(np.exp(coefficient_of(found, "Cox (Efron)") * spread))
                    p_values.append(estimate_of(found, "Cox (Efron)").p_value)
    assert len(ratios) == 48
    assert np.median(ratios) == pytest.approx(0.5579953, abs=1e-3)
    assert (min(ratios), max(ratios)) == pytest.approx((0.2837529, 0.7132076), abs=1e-3)
    assert sum(p < 0.05 for p in p_values) == 7


def test_other_p_values_of_the_synthetic_cohort(synthetic):
    """README of the source data: two digits."""
    found = ck.associate(synthetic, exposure="auc_0_28", outcome="crs_grade")
    assert estimate_of(found, "Jonckheere-Terpstra").p_asymptotic == pytest.approx(0.41, abs=5e-3)
    found = ck.associate(synthetic, exposure="auc_0_28", outcome="iec_hs")
    assert estimate_of(found, "Mann-Whitney").p_value == pytest.approx(0.24, abs=5e-3)
    found = ck.associate(synthetic, exposure="cmax", outcome="dor_days")
    assert estimate_of(found, "Spearman").p_asymptotic == pytest.approx(0.125, abs=5e-4)
    assert found.kind == "continuous"


# Ratios per doubling and per ten-fold.


def test_f10_ratio_per_doubling_becomes_ratio_per_tenfold():
    ratios = np.array([0.26, 0.6, 1.0, 2.63, 16.1])
    assert tenfold_from_doubling(ratios) == pytest.approx(ratios ** np.log2(10), rel=1e-12)
    assert doubling_from_tenfold(tenfold_from_doubling(ratios)) == pytest.approx(ratios, rel=1e-12)
    slopes = np.array([-0.739, 0.0, 1.397])
    per_doubling, per_tenfold = ratio_per_doubling(slopes), ratio_per_tenfold(slopes)
    assert tenfold_from_doubling(per_doubling) == pytest.approx(per_tenfold, rel=1e-12)


def test_f10_a_table_can_be_told_per_tenfold(synthetic):
    found = ck.associate(synthetic, exposure="cmax", outcome="iec_hs")
    doubling, tenfold = found.table(), found.table(per="ten-fold")
    firth = doubling["method"] == "Firth logistic"
    for column in ("estimate", "lower", "upper"):
        expected = doubling.loc[firth, column] ** np.log2(10)
        assert tenfold.loc[firth, column].to_numpy() == pytest.approx(expected, rel=1e-12)
        # What is no ratio per doubling stays.
        assert tenfold.loc[~firth, column].equals(doubling.loc[~firth, column])
    assert tenfold.loc[firth, "measure"].item() == "odds ratio per ten-fold"
    assert doubling.loc[firth, "p_value"].item() == tenfold.loc[firth, "p_value"].item()
    with pytest.raises(DataError, match=r"per is 'SD'\n.*'doubling' or 'ten-fold'"):
        found.table(per="SD")


def test_the_unit_of_the_level_does_not_change_a_ratio(synthetic):
    levels = synthetic.levels.drop(columns=["baseline", "row"])
    flow = levels["assay"] == "flow"
    levels.loc[flow, ["level", "lloq"]] *= 1000
    levels.loc[flow, "unit"] = "cells/mL"
    again = ck.read_cohort(levels.assign(synthetic=1), synthetic.patients)
    ours = ck.associate(synthetic, outcome="iec_hs").table()
    theirs = ck.associate(again, outcome="iec_hs").table()
    columns = ["estimate", "lower", "upper", "p_value"]
    np.testing.assert_allclose(ours[columns], theirs[columns], rtol=1e-6)


# Guards.


@pytest.mark.parametrize("exposure", ["persistence", "tlast", "clast", "mean_level"])
def test_c11_an_exposure_that_lasts_is_refused_on_the_clock_from_infusion(synthetic, exposure):
    with pytest.raises(DataError) as caught:
        ck.associate(synthetic, exposure=exposure, outcome="os")
    message = str(caught.value)
    assert f"{exposure} is defined by what happens after day 0" in message
    assert "immortal time" in message
    assert "landmark=28" in message
    assert "allow_after_day_0=True" in message
    assert caught.value.faults[0].section == exposure


def test_c11_the_guard_can_be_overridden_and_says_so(synthetic):
    found = ck.associate(synthetic, exposure="tlast", outcome="os", allow_after_day_0=True)
    assert any(note.startswith("by explicit choice (allow_after_day_0") for note in found.notes)
    assert not estimate_of(found, "Cox (Efron)").missing


def test_c11_an_exposure_that_lasts_is_flagged_after_a_landmark(synthetic):
    found = ck.associate(synthetic, exposure="tlast", outcome="os", landmark=28)
    assert any("looks past the landmark" in note for note in found.notes)


def test_an_exposure_settled_after_early_events_is_refused(synthetic):
    with pytest.raises(DataError, match=r"auc_0_60 is known by day 60 only, and 8 event.*VA01"):
        ck.associate(synthetic, exposure="auc_0_60", outcome="ttp")
    with pytest.raises(DataError, match="cmax is known by day 40 only"):
        ck.associate(synthetic, exposure="cmax", outcome="ttp", window=40)
    with pytest.raises(DataError, match="tmax is defined after day 0"):
        ck.associate(synthetic, exposure="tmax", outcome="ttp")
    assert ck.associate(synthetic, exposure="auc_0_28", outcome="ttp").notes
    assert ck.associate(synthetic, exposure="tmax", outcome="ttp", landmark=28).estimates


def test_outcomes_without_a_clock_need_no_guard(synthetic):
    found = ck.associate(synthetic, exposure="tlast", outcome="crs_grade")
    assert not any("immortal" in note for note in found.notes)


def test_a_peak_after_the_window_is_flagged():
    patients = {
        "patient": list("ABCDE"),
        "ttp_day": [90, 80, 70, 60, 50],
        "progressed": [1, 1, 1, 1, 0],
    }
    cohort = cohort_of(patients, dict(zip("ABCDE", [50.0, 20, 30, 10, 40], strict=True)))
    found = ck.associate(cohort, window=7)
    assert (
        "the observed peak comes after day 7 in 5 patient(s) (A, B, C, D, E): their cmax was not "
        "known by then"
    ) in found.notes
    assert not any("peak comes after" in note for note in ck.associate(cohort).notes)


def test_an_outcome_that_begins_before_the_peak_is_flagged(synthetic):
    found = ck.associate(synthetic, exposure="cmax", outcome="crs_grade")
    order = [note for note in found.notes if "began before the observed peak" in note]
    assert order[0].startswith("CRS grade began before the observed peak in 13 of 13 patients")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exposure": "cmx"}, "quantity 'cmx': is unknown.*\n.*cmax"),
        ({"exposure": 3}, "exposure is 3\n.*name of a quantity"),
        ({"outcome": "tpp"}, "no outcome 'tpp'; did you mean 'ttp'"),
        ({"outcome": "pfs_day"}, "no outcome 'pfs_day'; did you mean 'pfs'"),
        ({"outcome": "synthetic"}, "no outcome 'synthetic'"),
        ({"outcome": "response"}, "response holds text, whose order is not known"),
        ({"cell_type": "CD3"}, "no flow samples of CD3 cells"),
        ({"assay": "elisa"}, "no elisa samples"),
        ({"assay": "qpcr", "cell_type": "CD8"}, "no qpcr samples of CD8 cells"),
        ({"outcome": "crs_grade", "landmark": 28}, "a landmark belongs to a survival outcome"),
        ({"landmark": -3}, "landmark is -3\n.*such as 28"),
        ({"landmark": float("nan")}, "landmark is nan"),
        ({"landmark": "28"}, "landmark is '28'"),
        ({"window": 0}, "window is 0"),
        ({"probability": 95}, "probability is 95\n.*such as 0.95"),
        ({"outcome": "crs_grade", "exposure": "persistence"}, "cannot be read off samples"),
    ],
)
def test_bad_arguments_are_named_with_a_remedy(synthetic, arguments, message):
    with pytest.raises(DataError, match=message):
        ck.associate(synthetic, **arguments)


def test_all_bad_numbers_are_told_at_once(synthetic):
    with pytest.raises(DataError, match="2 faults found") as caught:
        ck.associate(synthetic, probability=0, window=-1)
    assert [fault.section for fault in caught.value.faults] == ["probability", "window"]


@pytest.mark.parametrize("source", [None, 3, "trial.csv", pd.DataFrame({"patient": ["A"]})])
def test_what_is_no_cohort_is_refused(source):
    with pytest.raises(DataError, match="Give a Fit, an Exposure or a Cohort"):
        ck.associate(source)


def test_survival_without_its_columns_names_them():
    cohort = cohort_of({"patient": ["A", "B"], "crs_grade": [0, 1]}, {"A": 5.0, "B": 9.0})
    with pytest.raises(DataError, match=r"ttp needs the column\(s\) ttp_day, progressed"):
        ck.associate(cohort)


# Kinds of outcome.


def test_the_kind_of_an_outcome_is_read_from_its_column():
    patients = {
        "patient": list("ABCDE"),
        "flag": [True, False, True, False, True],
        "one_or_zero": [0, 1, 1, 0, None],
        "icans_grade": [0, 1, 1, 0, 0],
        "with_a_gap": [0, 1, 2, None, 3],
        "ferritin": [510.5, 90.1, 1200.0, 80.0, None],
        "days_in_hospital": [7, 12, 31, 14, 9],
    }
    cohort = cohort_of(patients, dict(zip("ABCDE", [50.0, 20, 30, 10, 40], strict=True)))
    kinds = {name: ck.associate(cohort, outcome=name).kind for name in list(patients)[1:]}
    assert kinds == {
        "flag": "binary",
        "one_or_zero": "binary",
        "icans_grade": "ordinal",
        "with_a_gap": "ordinal",
        "ferritin": "continuous",
        "days_in_hospital": "continuous",
    }


def test_text_with_a_stated_order_is_ordinal():
    levels = ["none", "mild", "severe"]
    grade = pd.Categorical(["none", "mild", "severe", "mild", None], levels, ordered=True)
    patients = {"patient": list("ABCDE"), "rash": grade}
    cohort = cohort_of(patients, dict(zip("ABCDE", [10.0, 20, 30, 40, 50], strict=True)))
    found = ck.associate(cohort, outcome="rash")
    assert found.kind == "ordinal"
    assert estimate_of(found, "Kendall").n == 4


# What is left out is counted.


def test_missing_outcomes_and_exposures_are_counted_by_reason():
    patients = {
        "patient": list("ABCDEFG"),
        "iec_hs": [1, 0, None, 0, 1, 0, None],
    }
    peaks = dict(zip("ABCDE", [50.0, 20, 30, None, 40], strict=True))
    found = ck.associate(cohort_of(patients, peaks), outcome="iec_hs")
    assert "2 patient(s) left out, no iec_hs: C, G" in found.notes
    assert "observed exposure, 1 patient(s) left out, no samples: F" in found.notes
    below = [note for note in found.notes if "is below the limit of quantification" in note]
    assert below[0].startswith(
        "observed cmax is below the limit of quantification in 1 patient(s) (D): lowest in rank"
    )
    assert {e.n for e in found.estimates} == {4}
    table = found.data.set_index("patient")
    assert table.loc["D", ["observed", "observed_below_lloq"]].tolist() == [0.5, True]
    assert np.isnan(table.loc["F", "observed"])
    assert table.loc["C", "left_out"] == "no iec_hs"
    assert table.loc["A", "left_out"] == ""


def test_a_long_list_of_patients_is_cut():
    names = [f"P{i}" for i in range(9)]
    patients = {"patient": names, "flag": [1, 0, *[None] * 7]}
    found = ck.associate(cohort_of(patients, dict.fromkeys(names, 5.0)), outcome="flag")
    assert "7 patient(s) left out, no flag: P2, P3, P4, P5, P6, ..." in found.notes


def test_an_outcome_nobody_had_gives_reasons_and_no_error():
    patients = {"patient": list("ABC"), "iec_hs": [0, 0, 0]}
    cohort = cohort_of(patients, {"A": 5.0, "B": 9.0, "C": 3.0})
    found = ck.associate(cohort, outcome="iec_hs")
    assert all(e.missing and "no patient of 3 had the event" in e.note for e in found.estimates)
    assert "AUROC: no patient of 3 had the event" in repr(found)
    assert "missing" in found._repr_html_()


def test_separation_is_told_and_only_the_penalized_ratio_is_given():
    patients = {"patient": list("ABCDEF"), "iec_hs": [1, 1, 0, 0, 0, 0]}
    cohort = cohort_of(patients, dict(zip("ABCDEF", [90.0, 80, 5, 6, 7, 8], strict=True)))
    found = ck.associate(cohort, outcome="iec_hs")
    assert "separates the groups" in estimate_of(found, "Firth logistic").note
    assert np.isfinite(estimate_of(found, "Firth logistic").estimate)


def test_a_monotone_likelihood_is_told_beside_the_penalized_ratio():
    patients = {
        "patient": list("ABCD"),
        "ttp_day": [30, 40, 50, 60],
        "progressed": [1, 1, 1, 0],
    }
    cohort = cohort_of(patients, dict(zip("ABCD", [90.0, 50, 20, 5], strict=True)))
    found = ck.associate(cohort)
    assert estimate_of(found, "Cox (Efron)").missing
    assert "monotone likelihood" in estimate_of(found, "Cox (Efron)").note
    assert np.isfinite(estimate_of(found, "Firth-Cox").estimate)


# Tables and print.

OUTCOMES = ["ttp", "pfs", "os", "crs_grade", "iec_hs", "age_years"]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_table_has_one_row_per_estimate_and_names_its_numbers(synthetic, outcome):
    found = ck.associate(synthetic, exposure="cmax", outcome=outcome)
    table = found.table()
    assert list(table.columns) == [f.name for f in dataclasses.fields(type(found.estimates[0]))]
    assert len(table) == len(found.estimates)
    for row in table.itertuples():
        assert row.method
        assert row.measure
        assert row.n == 16
        assert (row.p_kind != "") == (not np.isnan(row.p_value))
        assert (row.interval_kind != "") == (not np.isnan(row.lower))
        assert row.note if np.isnan(row.estimate) else True


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_association_prints_aligned_and_marked(synthetic, outcome):
    found = ck.associate(synthetic, exposure="cmax", outcome=outcome)
    lines = repr(found).splitlines()
    assert "[SYNTHETIC, not patient data]" in lines[0]
    header = next(i for i, line in enumerate(lines) if line.lstrip().startswith("method"))
    rows = lines[header + 1 : header + 1 + len(found.estimates)]
    starts = {line.index(e.measure) for line, e in zip(rows, found.estimates, strict=True)}
    assert starts == {lines[header].index("measure")}
    assert max(map(len, lines[1:])) <= 124
    html = found._repr_html_()
    assert html.count("<table") == html.count("</table>") == 1
    assert "SYNTHETIC, not patient data" in html
    assert all(e.method in html for e in found.estimates)


def test_html_escapes_what_the_user_named():
    patients = {"patient": ["<b>A", "B", "C"], "<i>": [1, 0, None]}
    cohort = cohort_of(patients, {"<b>A": 5.0, "B": 9.0, "C": 3.0}, name="<script>")
    html = ck.associate(cohort, outcome="<i>")._repr_html_()
    assert not any(mark in html for mark in ("<b>", "<i>", "<script>"))


def test_a_real_cohort_is_not_marked():
    cohort = cohort_of({"patient": ["A", "B"], "iec_hs": [1, 0]}, {"A": 5.0, "B": 9.0})
    found = ck.associate(cohort, outcome="iec_hs")
    assert "SYNTHETIC" not in repr(found) + found._repr_html_()


def test_no_word_of_cause_is_used(synthetic):
    for outcome in OUTCOMES:
        text = repr(ck.associate(synthetic, exposure="cmax", outcome=outcome)).lower()
        assert not any(word in text for word in ("effect", "causes", "due to", "leads to"))


# Posterior exposures. The stand-in has the two attributes that `associate` reads.


def exposures_of(cohort: ck.Cohort, draws: dict[str, np.ndarray]) -> SimpleNamespace:
    """Return posterior draws, each of shape (draw, patient), as an exposure of all cells."""
    dims = ("chain", "draw", "patient", "cell_type")
    data = xr.Dataset(
        {name: (dims, values[None, :, :, None]) for name, values in draws.items()},
        coords={"patient": list(cohort.patient_ids), "cell_type": ["total"]},
    )
    for name in data:
        data[name].attrs["units"] = "cells/uL"
    return SimpleNamespace(cohort=cohort, data=data)


POSTERIOR = "classical, posterior mean of log exposure"
OBSERVED = "classical, observed value"


def test_posterior_means_are_geometric_and_stand_beside_observed_values(synthetic):
    peak = np.exp(observed_peak(synthetic))
    draws = peak * np.array([0.5, 1.0, 2.0])[:, None]
    exposures = exposures_of(synthetic, {"cmax": draws, "tmax": np.full((3, 16), 14.0)})
    found = ck.associate(exposures, exposure="cmax", outcome="iec_hs")
    sides = [found.of_mode(mode) for mode in (POSTERIOR, "classical, observed value")]
    assert [len(side) for side in sides] == [3, 3]
    for posterior, observed in zip(*sides, strict=True):
        assert posterior.estimate == pytest.approx(observed.estimate, rel=1e-9)
    assert found.data["posterior_mean"].to_numpy() == pytest.approx(peak, rel=1e-9)


def test_reliability_is_variance_between_over_variance_between_and_within(synthetic):
    middle = observed_peak(synthetic)
    draws = np.exp(middle + np.array([-0.6, 0.0, 0.6])[:, None])
    found = ck.associate(exposures_of(synthetic, {"cmax": draws}), outcome="iec_hs")
    between, within = middle.var(ddof=1), 0.36
    assert found.reliability == pytest.approx(between / (between + within), rel=1e-9)
    assert found.shrinkage == pytest.approx(1 - found.reliability**0.5, rel=1e-9)
    assert any("reliability lambda = 0.72" in note for note in found.notes)


def test_draws_without_a_log_are_left_out_or_rank_lowest(synthetic):
    draws = np.exp(observed_peak(synthetic)) * np.ones((4, 1))
    draws[:, 0] = 0.0
    draws[0, 1] = 0.0
    draws[:, 2] = np.nan
    found = ck.associate(exposures_of(synthetic, {"cmax": draws}), outcome="crs_grade")
    trend = estimate_of(found, "Jonckheere-Terpstra", POSTERIOR)
    odds = estimate_of(found, "proportional odds", POSTERIOR)
    assert (trend.n, odds.n) == (15, 14)
    assert any("cmax is 0 in most draws of 1 patient(s)" in note for note in found.notes)
    assert any("in some draws of 1 patient(s) (VA02)" in note for note in found.notes)
    assert any("missing in half of the draws or more: VA03" in note for note in found.notes)


def test_a_probability_of_detection_keeps_its_own_scale(synthetic):
    rng = np.random.default_rng(1)
    share = rng.uniform(0.1, 0.9, 16) * np.ones((4, 1))
    exposures = exposures_of(synthetic, {"detectable_28": share})
    found = ck.associate(exposures, exposure="detectable_28", outcome="os", landmark=28)
    fitted = found.estimates[0]
    assert fitted.measure == "hazard ratio from probability 0 to 1"
    assert fitted.tenfold() == fitted
    (observed,) = [e for e in found.estimates if e.mode == OBSERVED and "Cox" in e.method]
    assert observed.measure == fitted.measure
    assert observed.n == 16  # those without detectable cells are not lost to a logarithm


def test_a_slope_has_no_logarithm_and_is_told_per_tenth_per_day(synthetic):
    """Cox of the slopes themselves, some of them negative; exp(0.1 beta)."""
    slopes = np.linspace(-0.3, 1.2, 16)[np.random.default_rng(2).permutation(16)]
    exposures = exposures_of(synthetic, {"slope_3_7": slopes * np.ones((4, 1))})
    found = ck.associate(exposures, exposure="slope_3_7", outcome="pfs")
    (fitted,) = [e for e in found.of_mode(POSTERIOR) if e.method == "Cox (Efron)"]
    people = synthetic.patients
    day, event = people["pfs_day"].to_numpy(float), people["pfs_event"].to_numpy(float)
    by_hand = cox(day, event, slopes[:, None]).coefficients[0]
    assert fitted.measure == "hazard ratio per 0.1/day"
    assert fitted.estimate == pytest.approx(np.exp(0.1 * by_hand), rel=1e-6)
    assert fitted.n == 16  # the negative ones are not lost to a logarithm
    assert fitted.tenfold() == fitted
    assert found.power is None  # what would be found is assumed per doubling
    binary = ck.associate(exposures, exposure="slope_3_7", outcome="iec_hs")
    shift = estimate_of(binary, "Mann-Whitney", POSTERIOR)
    assert shift.measure == "difference of medians (Hodges-Lehmann)"
    picture = ck.plot_association(binary)
    assert all(axes.get_yscale() == "linear" for axes in picture.axes.flat)


def test_an_exposure_that_few_patients_have_says_so(synthetic):
    """Two quantifiable samples before the onset: 4 of 16."""
    found = ck.associate(synthetic, exposure="slope_to_onset", outcome="crs_grade")
    assert found.estimates[0].measure == "odds ratio of a higher grade per 0.1/day"
    assert any("only 4 of 16 patients have an observed slope_to_onset" in n for n in found.notes)
    usual = ck.associate(synthetic, exposure="cmax", outcome="crs_grade")
    assert not any(n.startswith("only ") for n in usual.notes)


def test_an_exposure_without_the_quantity_says_how_to_get_it(synthetic):
    exposures = exposures_of(synthetic, {"tmax": np.full((2, 16), 14.0)})
    with pytest.raises(DataError, match=r"'cmax' is not in it\n.*summarize\(fit, \[\"cmax\""):
        ck.associate(exposures, exposure="cmax", outcome="iec_hs")


def test_the_power_can_be_left_out_and_the_rules_chosen(synthetic):
    told = ck.associate(synthetic, "auc_0_28", "ttp", power=False)
    assert told.power is None
    assert not any("is no sign of no association" in note for note in told.notes)
    other = ck.associate(synthetic, "auc_0_28", "ttp", power=False, rules={"N-04": "linear"})
    assert other.estimates[0].estimate != told.estimates[0].estimate


def test_grades_are_also_told_cut_by_cut(synthetic):
    """13, 7 and 1 of 16 patients had grade 1, 2 and 3 or more: as in the table of patients."""
    found = ck.associate(synthetic, "cmax", "crs_grade")
    (note,) = [n for n in found.notes if "cut by cut" in n]
    for part in ("for grade 1 or more, 13 of 16", "for grade 2 or more, 7 of 16",
                 "for grade 3 or more, 1 of 16", "Firth logistic"):  # fmt: skip
        assert part in note
    assert not [n for n in ck.associate(synthetic, "cmax", "iec_hs").notes if "cut by cut" in n]


def test_estimators_stand_side_by_side(synthetic):
    found = ck.associate(synthetic, "cmax", "iec_hs")
    table = found.side_by_side()
    assert list(table.columns) == ["classical, observed value"]
    firth = estimate_of(found, "Firth logistic")
    assert table.loc["estimate", "classical, observed value"] == firth.estimate
    ten = found.side_by_side(per="ten-fold").loc["estimate", "classical, observed value"]
    assert ten == pytest.approx(firth.estimate ** np.log2(10))
    with pytest.raises(DataError, match="ten-fold"):
        found.side_by_side(per="e-fold")
    assert ck.associate(synthetic, "cmax", "marrow_blasts_pct").side_by_side().empty
