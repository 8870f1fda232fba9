"""The tables of a trial, on the synthetic cohort and the aggregates that it was built to match."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.outcomes import jonckheere_terpstra, mann_whitney
from carkinetics.plotting.progression import progression_groups
from carkinetics.trial import (
    Parts,
    Printed,
    Spread,
    baseline_columns,
    baseline_table,
    clocks,
    compare_arms,
    death_table,
    detection_table,
    dose_limiting,
    duration_of_response,
    fate_table,
    kinetics_table,
    manufacturing_table,
    onset_incidence,
    onset_table,
    patient_flow,
    patient_listing,
    peak_days,
    relapse_samples,
    response_table,
    subset_peak,
    toxicity_table,
    trial_follow_up,
)

NOT_INFUSED = {"GVHD": 1, "progression": 1, "manufacturing failure": 1}


def with_patients(cohort: ck.Cohort, **columns) -> ck.Cohort:
    return dataclasses.replace(cohort, patients=cohort.patients.assign(**columns))


def without(cohort: ck.Cohort, *columns: str) -> ck.Cohort:
    return dataclasses.replace(cohort, patients=cohort.patients.drop(columns=list(columns)))


def share(table: pd.DataFrame, what: str, arm: str = "all") -> tuple[int, int]:
    rows = table[(table["what"] == what) & (table.get("arm", "all") == arm)]
    return int(rows["patients"].iloc[0]), int(rows["of"].iloc[0])


def percents(table: pd.DataFrame, what: str) -> list[float]:
    row = table[table["what"] == what].iloc[0]
    return [round(100 * row["lower"], 1), round(100 * row["upper"], 1)]


# Flow, product, table 1.


def test_s01_flow_of_patients(synthetic):
    flow = patient_flow(synthetic, NOT_INFUSED)
    assert (flow.enrolled, flow.infused, flow.arms) == (19, 16, {"adult": 8, "ped": 8})
    assert (flow.with_levels, flow.with_response, flow.with_follow_up) == (16, 16, 16)
    assert patient_flow(synthetic).enrolled is None


def test_s01_a_table_of_those_enrolled_has_to_agree_with_the_cohort(synthetic):
    rows = [(p, True, "") for p in synthetic.patient_ids] + [("X1", False, "GVHD")]
    table = pd.DataFrame(rows, columns=["patient", "infused", "reason"])
    assert patient_flow(synthetic, table).not_infused == {"GVHD": 1}
    with pytest.raises(DataError, match="infused patients differ from those of the cohort: VP08"):
        patient_flow(synthetic, table[table["patient"] != "VP08"])
    with pytest.raises(DataError, match="no column reason"):
        patient_flow(synthetic, table.drop(columns="reason"))
    with pytest.raises(DataError, match="no counts"):
        patient_flow(synthetic, {"GVHD": -1})


def test_s02_manufacturing(synthetic):
    made, low, high = patient_flow(synthetic, NOT_INFUSED).manufactured
    assert (made, round(100 * low, 1), round(100 * high, 1)) == (18, 74.0, 99.9)
    row = manufacturing_table(synthetic).iloc[0]
    assert (row["median"], row["lowest"], row["highest"]) == (8, 7, 13)
    assert manufacturing_table(without(synthetic, "mfg_days")) is None


def test_s03_table_1(synthetic):
    table = baseline_table(synthetic).set_index(["variable", "category"])["all"]
    assert table[("age_years", "")] == "23 (2 to 62)"
    assert table[("sex", "F")] == table[("sex", "M")] == "8 of 16"
    assert table[("marrow_blasts_pct", "")] == "2 (0 to 99)"
    counts = {"emd_at_infusion": 5, "cns_at_infusion": 3, "cd19_neg_low": 6, "prior_allohct": 12,
              "prior_blina": 11, "prior_cd19car": 9, "prior_ino": 4}  # fmt: skip
    for name, n in counts.items():
        assert table[(name, "yes")] == f"{n} of 16"
    assert table[("prior_lines", "")] == "6 (3 to 8)"
    assert table[("months_since_allohct", "")] == "21 (7 to 37)"
    whole = baseline_table(synthetic).set_index("variable")
    assert whole.loc["months_since_allohct", "missing"] == 4
    assert whole.loc["prior_allohct", "adult"] == "5 of 8"


def test_s03_outcomes_are_no_baseline_and_missing_values_are_counted(synthetic):
    assert not set(baseline_columns(synthetic)) & {
        "crs_grade",
        "os_day",
        "cd22_at_relapse",
        "cohort",
    }
    age = synthetic.patients["age_years"].astype("Int64").where(synthetic.patients.index > 1)
    cohort = with_patients(synthetic, age_years=age, note="x", nothing=pd.NA)
    table = baseline_table(cohort, ["age_years", "nothing"]).set_index("variable")
    assert table.loc["age_years", "missing"] == 2
    assert table.loc["nothing", "statistic"] == "no value"
    with pytest.raises(DataError, match="no column 'hight'"):
        baseline_table(synthetic, ["hight"])


# Toxicity.


def test_s04_crs(synthetic):
    table = toxicity_table(synthetic)
    assert share(table, "CRS, any grade") == (13, 16)
    assert percents(table, "CRS, any grade") == [54.4, 96.0]
    grades = [share(table, f"CRS grade {g}")[0] for g in (1, 2, 3)]
    assert grades[0] + grades[1] == 12
    assert grades[2] == 1
    onset = onset_table(synthetic).set_index("what").loc["CRS"]
    assert (onset["n"], onset["median"], onset["lowest"], onset["highest"]) == (13, 8, 1, 11)


def test_s05_icans(synthetic):
    table = toxicity_table(synthetic)
    counts = [share(table, f"ICANS grade {g}")[0] for g in (1, 2, 3, 4)]
    assert (share(table, "ICANS, any grade")[0], counts) == (2, [1, 0, 0, 1])


def test_s06_iec_hs(synthetic):
    table = toxicity_table(synthetic)
    assert share(table, "IEC-HS") == (3, 16)
    assert percents(table, "IEC-HS") == [4.0, 45.6]
    assert onset_table(synthetic).set_index("what").loc["IEC-HS", "days"] == "14, 17, 25"
    curve = onset_incidence(synthetic, "iec_hs")
    assert [curve.at(day, 1) for day in (13, 14, 17, 25, 60)] == [0, 1 / 16, 2 / 16, 3 / 16, 3 / 16]
    with pytest.raises(DataError, match="needs icans_onset_day"):
        onset_incidence(synthetic, "icans_grade")


def test_s07_dose_limiting_toxicity():
    found = dose_limiting(2, 16, 0.30)
    assert found.posterior == pytest.approx(0.923, abs=5e-4)
    assert [round(100 * v, 1) for v in (found.lower, found.upper)] == [1.6, 38.3]
    for arguments in ((17, 16), (-1, 16), (0, 0), (2, 16, 1.0)):
        with pytest.raises(DataError, match="Give counts, and a rate"):
            dose_limiting(*arguments)


# Response.


def test_s08_response(synthetic):
    table = response_table(synthetic)
    assert share(table, "CR") == (12, 16)
    assert percents(table, "CR") == [47.6, 92.7]
    assert share(table, "CR + PR") == (13, 16)
    assert share(table, "CR, MRD negative") == (9, 16)
    assert percents(table, "CR, MRD negative") == [29.9, 80.2]
    assert share(table, "CR, NGS negative")[0] == 5
    assert (share(table, "CR", "adult"), share(table, "CR", "ped")) == ((8, 8), (4, 8))
    assert share(table, "CR, MRD negative", "adult")[0] == 5
    assert share(table, "CR, MRD negative", "ped")[0] == 4
    found = compare_arms(synthetic)
    assert (found.responded, found.p_value) == ((8, 4), pytest.approx(0.0769, abs=5e-5))
    with pytest.raises(DataError, match="there is no response"):
        response_table(without(synthetic, "response"))
    assert compare_arms(without(synthetic, "cohort")) is None


def test_s13_duration_of_response(synthetic):
    found = duration_of_response(synthetic)
    assert found.origin == "from infusion"
    rows = found.relapsers.set_index("group")
    # 27 is printed; with one origin for both durations it can only be 28.
    whole = rows.loc["all", ["n", "median", "lowest", "highest"]].tolist()
    assert whole == [9, 77, 28, 523]
    assert (rows.loc["adult", "n"], rows.loc["adult", "median"]) == (7, 105)
    assert rows.loc["ped", "median"] == 35
    assert found.test.p_value == pytest.approx(4 / 36, abs=1e-12)
    assert duration_of_response(without(synthetic, "response")) is None


def test_s14_what_became_of_responders_without_molecular_disease(synthetic):
    table = fate_table(synthetic)
    negative = table[table["ngs_negative"]]
    assert (len(negative), negative["relapsed"].sum()) == (5, 4)
    graft = table[table["transplant_day"].notna()]
    assert len(graft) == 1
    assert not graft["relapsed"].iloc[0]
    assert not graft["died"].iloc[0]


# Survival.


def test_s10_and_s11_survival(synthetic):
    found = clocks(synthetic)
    pfs, os = found["pfs"].curve, found["os"].curve
    assert (pfs.median, pfs.median_lower, pfs.median_upper) == (77, 31, 119)
    assert (os.median, os.median_lower, os.median_upper) == (523, 108, np.inf)
    assert (pfs.transform, os.n_total_events) == ("log-log", 10)
    deaths = death_table(synthetic).set_index("cause")["deaths"]
    assert deaths.to_dict() == {"disease": 6, "infection": 2, "trm_infection": 2}
    assert found["ttp"].curve.median == 105


def test_s12_follow_up_both_ways(synthetic):
    found = trial_follow_up(synthetic)
    assert (found.observed_median, found.reverse_median) == (523, 934)
    assert trial_follow_up(without(synthetic, "os_day", "died")) is None


# Kinetics.


def test_s16_profile_and_peak(synthetic):
    found = peak_days(synthetic)
    assert (found.median_of_days, found.day_of_median) == (14, 14)
    table = kinetics_table(synthetic).set_index("what")
    peaks = ck.observed_quantities(synthetic, quantities=["cmax"])["observed_cmax"]
    row = table.loc["Peak (Cmax)"]
    assert row["geometric_mean"] == pytest.approx(np.exp(np.log(peaks).mean()))
    assert row["gcv"] == pytest.approx(100 * np.sqrt(np.exp(np.log(peaks).var()) - 1))
    assert table.loc["Day of the peak (Tmax)", "median"] == 14


def test_s17_subsets_at_the_peak(synthetic):
    found = subset_peak(synthetic)
    assert (round(found.median_cd8), round(found.median_cd4), found.n) == (98, 9, 16)
    assert found.lower < found.ratio < found.upper
    assert subset_peak(synthetic, "qpcr") is None


def test_s24_persistence_by_windows(synthetic):
    table = detection_table(synthetic)
    assert share(table, "any time after day 28") == (5, 16)
    assert share(table, "month 6")[0] == 2
    # Alive and not sampled, or after transplant or other therapy: said, not assumed negative.
    assert table.set_index("what").loc["month 6", "excluded"] > 0


def test_s24_samples_after_transplant_do_not_count(synthetic):
    before = detection_table(synthetic).set_index("what").loc["month 3", "of"]
    grafted = with_patients(synthetic, hct_day=30)
    assert detection_table(grafted).set_index("what").loc["month 3", "of"] == 0 < before


def test_s15_and_s25_relapse_samples(synthetic):
    found = relapse_samples(synthetic)
    assert (found.with_disease, found.evaluable) == (13, 12)
    assert share(found.antigen, "lost or down-regulated") == (4, 12)
    assert share(found.antigen, "lost") == (2, 12)
    states = found.detectable.set_index("antigen")["patients"].to_dict()
    assert found.n_detectable == 6
    assert states["lost"] + states["dim"] == 2
    assert (states["retained"], states["not_evaluable"]) == (3, 1)
    assert relapse_samples(without(synthetic, "cd22_at_relapse")) is None


def test_s27_listing(synthetic):
    table = patient_listing(synthetic).set_index("patient")
    assert len(table) == 16
    treated = table.loc["VP04", ["toci_first_day", "steroid_first_day", "anakinra_first_day"]]
    assert treated.tolist() == [5, 6, 15]
    assert table.loc["VA06", "observed_tmax"] == 14


# Exposure and outcome: the tests of the figures.


def observed_peak(cohort: ck.Cohort, name: str = "cmax") -> pd.Series:
    table = ck.observed_quantities(cohort, quantities=[name]).set_index("patient")
    return table[f"observed_{name}"]


def test_s19_peak_by_progression_within_three_months(synthetic):
    groups, left_out = progression_groups(synthetic)
    found = mann_whitney(observed_peak(synthetic)[groups["patient"]], ~groups["early"])
    assert (len(groups), left_out) == (12, 4)
    assert found.p_value == pytest.approx(0.041, abs=5e-4)


def test_s20_to_s23_the_published_associations(synthetic):
    def of(outcome: str, exposure: str = "cmax") -> dict[str, ck.Association]:
        found = ck.associate(synthetic, exposure=exposure, outcome=outcome)
        return {e.method: e for e in found.estimates}

    assert of("iec_hs")["Mann-Whitney"].p_value == pytest.approx(0.039, abs=5e-4)
    assert of("crs_grade")["Jonckheere-Terpstra"].p_asymptotic == pytest.approx(0.093, abs=5e-4)
    assert of("dor_days")["Spearman"].p_asymptotic == pytest.approx(0.125, abs=5e-4)
    assert of("dor_days", "auc_0_28")["Spearman"].p_asymptotic == pytest.approx(0.088, abs=5e-4)
    area = of("crs_grade", "auc_0_28")["Jonckheere-Terpstra"].p_asymptotic
    assert area == pytest.approx(0.41, abs=5e-3)
    assert of("iec_hs", "auc_0_28")["Mann-Whitney"].p_value == pytest.approx(0.24, abs=5e-3)
    grade = synthetic.patients["crs_grade"]
    assert jonckheere_terpstra(observed_peak(synthetic), grade).statistic == 61


# Product attributes.


def test_s26_a_screen_shows_every_attribute_adjusted_for_all(synthetic):
    names = ["product_cd4_share", "mfg_days", "dose"]
    found = ck.screen_attributes(synthetic, names, "iec_hs")
    assert set(found["attribute"]) == set(names)
    assert (found["q"].dropna() >= found["p"].dropna()).all()
    days = found.set_index("attribute").loc["mfg_days"]
    expected = mann_whitney(synthetic.patients["mfg_days"], synthetic.patients["iec_hs"])
    assert (days["p"], days["auroc"]) == (expected.p_value, expected.estimate)
    constant = found.set_index("attribute").loc["dose"]
    assert (constant["p"], constant["difference"]) == (1.0, 0.0)


def test_s26_null_attributes_are_seldom_discovered(synthetic):
    rng = np.random.default_rng(30)
    table = pd.DataFrame(rng.normal(size=(16, 40)), columns=[f"m{i}" for i in range(40)])
    table.insert(0, "patient", list(synthetic.patient_ids))
    response = synthetic.patients.set_index("patient")["response"] == "CR"
    found = ck.screen_attributes(synthetic, table, response)
    # Any discovery at q < 0.05 has probability 5 % under the global null.
    assert not (found["q"] < 0.05).any()
    assert len(found) == 40


@pytest.mark.parametrize(
    ("attributes", "outcome", "message"),
    [
        (["mfg"], "iec_hs", "no column"),
        ([], "iec_hs", "no attribute is given"),
        (["sex"], "iec_hs", "hold no numbers"),
        (["mfg_days"], "hlh", "no column 'hlh'"),
    ],
)
def test_s26_a_screen_names_what_it_cannot_use(synthetic, attributes, outcome, message):
    with pytest.raises(DataError, match=message):
        ck.screen_attributes(synthetic, attributes, outcome)


# Contradictions.


def test_the_synthetic_cohort_contradicts_itself_nowhere(synthetic):
    assert ck.find_contradictions(synthetic) == ()


@pytest.mark.parametrize(
    ("column", "patient", "value", "what"),
    [
        ("os_day", "VP04", 10.0, "ttp_day is after os_day"),
        ("crs_onset_day", "VP01", 5.0, "crs_onset_day is given though crs_grade is 0"),
        ("crs_onset_day", "VP02", np.nan, "crs_onset_day is missing though crs_grade is above 0"),
        ("crs_grade", "VP02", 5, "crs_grade is 5 in a patient alive"),
        ("pfs_day", "VP02", 50.0, "pfs_day and ttp_day differ"),
        ("pfs_event", "VP02", False, "progressed is 1 but pfs_event is 0"),
        ("pfs_event", "VP03", True, "pfs_event is 1 without progression or death"),
        ("death_cause", "VP02", "disease", "death_cause is given though died is 0"),
        ("response", "VA06", "SD", "dor_days is given without CR or PR"),
        ("iec_hs", "VP04", False, "iec_hs_day is given though iec_hs is 0"),
        ("dor_days", "VA06", 204, "ttp_day - dor_days ranges from 0 to 28"),
    ],
)
def test_a_contradiction_is_found_and_named(synthetic, column, patient, value, what):
    patients = synthetic.patients.copy()
    patients.loc[patients["patient"] == patient, column] = value
    found = ck.find_contradictions(dataclasses.replace(synthetic, patients=patients))
    assert any(what in item.what and patient in item.patients for item in found), found


def test_a_sample_after_death_is_a_contradiction(synthetic):
    levels = synthetic.levels.copy()
    row = levels.index[levels["patient"] == "VP05"][-1]
    levels.loc[row, "day"] = 300.0
    (found,) = ck.find_contradictions(dataclasses.replace(synthetic, levels=levels))
    assert (found.rule, found.patients) == ("nobody is sampled after death", ("VP05",))


def test_the_contradictions_of_the_publication_are_found():
    claims = [
        Printed("prior CD19-directed therapy", 13, 16, 72),
        Printed("complete response", 12, 16, 75),
        Printed("manufactured", 18, 19, 95),
        Parts("blinatumomab with a described response", 11, (4 + 2, 4 + 2)),
        Spread("CD22 expression", "table 1", 50, 100),
        Spread("CD22 expression", "text", 44, 100),
        Spread("turn-around", "results", 7, 13),
        Spread("turn-around", "discussion", 7, 10),
        Spread("duration of response", "results", 27, 523, 77),
        Spread("progression-free survival", "results", 28, 523, 77),
    ]
    found = [str(item) for item in ck.check_printed(claims)]
    assert len(found) == 5
    text = "\n".join(found)
    assert "13/16 is 81 %, printed 72 %; 13/18 is 72 %" in text
    assert "6 + 6 = 12, printed 11" in text
    assert "50-100 (table 1) and 44-100 (text)" in text
    assert "turn-around: 7-13 (results) and 7-10 (discussion)" in text
    assert "share median 77 and maximum 523, but their minima are 27 and 28" in text


def test_numbers_that_agree_are_left_alone():
    claims = [Printed("x", 5, 8, 62.5), Printed("y", 1, 3, 33), Parts("z", 3, (1, 2)),
              Spread("a", "one", 1, 9, 4), Spread("b", "one", 2, 10, 5)]  # fmt: skip
    assert ck.check_printed(claims) == ()
    (found,) = ck.check_printed([Printed("x", 9, 8, 100)])
    assert "9 of 8" in found.what
