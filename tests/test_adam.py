"""CDISC tables become a table of patients: CNSR inverted, worst grades, study days."""

from __future__ import annotations

import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import DataError

ADTTE = pd.DataFrame(
    {
        "USUBJID": ["01", "01", "02", "02"],
        "PARAMCD": ["PFS", "OS", "PFS", "OS"],
        "AVAL": [77, 3, 98, 12],
        "AVALU": ["DAYS", "MONTHS", "DAYS", "MONTHS"],
        "CNSR": [0, 0, 1, 2],
    }
)
HLH = "Haemophagocytic lymphohistiocytosis"
ADAE = pd.DataFrame(
    {
        "USUBJID": ["01", "01", "02", "01", "02"],
        "AEDECOD": [*["Cytokine release syndrome"] * 3, "Anaemia", HLH],
        "ASTDY": [8, 3, -2, 4, 18],
        "AETOXGR": ["2", "Grade 1", "1", "3", "4"],
    }
)  # fmt: skip
DS = pd.DataFrame(
    {
        "USUBJID": ["01", "01", "02"],
        "DSDECOD": ["New anti-cancer therapy", "DEATH", "LOST TO FOLLOW-UP"],
        "DSSTDY": [40, 63, 101],
    }
)


def test_censoring_is_inverted():
    table = ck.patients_from_cdisc(adtte=ADTTE).set_index("patient")
    assert table["pfs_event"].tolist() == [True, False]
    assert table["died"].tolist() == [True, False]
    assert table.loc["01", "pfs_day"] == 77


def test_aval_may_count_the_infusion_as_day_1():
    """ADT - STARTDT + 1: a progression on study day 40 is 39 days after the infusion."""
    days = ADTTE.assign(AVAL=[40, 63, 98, 101], AVALU="DAYS")
    with pytest.raises(DataError) as caught:
        ck.patients_from_cdisc(adtte=days, ds=DS)
    assert "os_day is 63.0 in one table, 62.0 in another" in str(caught.value)
    assert "pass aval_at_infusion=1" in str(caught.value)
    table = ck.patients_from_cdisc(adtte=days, ds=DS, aval_at_infusion=1).set_index("patient")
    assert table["pfs_day"].tolist() == [39, 97]
    assert table["os_day"].tolist() == [62, 100]
    months = ck.patients_from_cdisc(adtte=ADTTE, aval_at_infusion=1).set_index("patient")
    assert months.loc["01", "os_day"] == pytest.approx(3 * 30.4375 - 1)


def test_a_day_before_the_infusion_and_a_third_way_to_count_are_refused():
    early = ADTTE.assign(AVAL=[0, 3, 98, 12])
    with pytest.raises(DataError, match=r"adtte, 01, PFS: AVAL is 0\n.*before the infusion"):
        ck.patients_from_cdisc(adtte=early, aval_at_infusion=1)
    with pytest.raises(DataError, match="aval_at_infusion is 2"):
        ck.patients_from_cdisc(adtte=ADTTE, aval_at_infusion=2)


def test_months_become_days():
    table = ck.patients_from_cdisc(adtte=ADTTE).set_index("patient")
    assert table["os_day"].tolist() == [3 * 30.4375, 12 * 30.4375]


def test_the_worst_grade_and_the_first_onset_count():
    table = ck.patients_from_cdisc(adtte=ADTTE, adae=ADAE).set_index("patient")
    # Study day 3 is 2 days after the infusion on study day 1: there is no day 0.
    assert table.loc["01", ["crs_grade", "crs_onset_day"]].tolist() == [2, 2.0]
    # Before the infusion: not of the product.
    assert table.loc["02", "crs_grade"] == 0
    assert pd.isna(table.loc["02", "crs_onset_day"])
    assert table["iec_hs"].tolist() == [False, True]
    assert table.loc["02", "iec_hs_day"] == 17
    assert table["icans_grade"].tolist() == [0, 0]
    assert table.reset_index().attrs["notes"] == (
        "1 adverse event(s) from before the infusion left out",
    )


def test_the_infusion_may_have_a_later_study_day():
    late = ADAE[ADAE["ASTDY"] > 6]
    table = ck.patients_from_cdisc(adae=late, infusion_study_day=6).set_index("patient")
    assert table.loc["01", "crs_onset_day"] == 2


def test_death_last_contact_and_therapy_come_from_disposition():
    table = ck.patients_from_cdisc(ds=DS).set_index("patient")
    assert table["os_day"].tolist() == [62, 100]
    assert table["died"].tolist() == [True, False]
    assert table.loc["01", "new_therapy_day"] == 39


def test_subjects_without_events_have_grade_0_and_keep_their_covariates():
    adsl = pd.DataFrame(
        {"USUBJID": ["01", "02", "03"], "AGE": [5, 34, 62], "TRT01A": ["a", "b", "b"]}
    )
    table = ck.patients_from_cdisc(adsl=adsl, adae=ADAE).set_index("patient")
    assert table["crs_grade"].tolist() == [2, 0, 0]
    assert table["age_years"].tolist() == [5, 34, 62]
    assert table["arm"].tolist() == ["a", "b", "b"]


def test_other_parameters_and_terms_can_be_named():
    adtte = ADTTE[ADTTE["PARAMCD"] == "PFS"].replace({"PARAMCD": {"PFS": "EFS"}})
    table = ck.patients_from_cdisc(adtte=adtte, parameters={"EFS": ("pfs_day", "pfs_event")})
    assert table["pfs_day"].tolist() == [77, 98]
    assert "ADTTE parameters not used: EFS" in ck.patients_from_cdisc(adtte=adtte).attrs["notes"]
    events = pd.DataFrame({"USUBJID": ["01"], "AEDECOD": ["macrophage activation"], "ASTDY": [9],
                           "ATOXGRN": [3]})  # fmt: skip
    found = ck.patients_from_cdisc(adae=events, terms={"Macrophage activation": "iec_hs"})
    assert found["iec_hs"].tolist() == [True]


def test_the_table_goes_into_a_cohort():
    levels = pd.DataFrame(
        {"patient": ["01", "02"], "day": [14, 14], "assay": "flow", "cell_type": "total",
         "level": [90.0, 5.0], "unit": "cells/uL", "lloq": 0.5}
    )  # fmt: skip
    patients = ck.patients_from_cdisc(adtte=ADTTE, adae=ADAE)
    cohort = ck.read_cohort(levels, patients=patients)
    assert cohort.patients["pfs_event"].tolist() == [True, False]
    assert cohort.patients["crs_grade"].tolist() == [2, 0]
    assert ck.find_contradictions(cohort) == ()


def test_a_file_is_read_with_subjects_as_text(tmp_path):
    path = tmp_path / "adtte.csv"
    ADTTE.to_csv(path, index=False)
    assert ck.patients_from_cdisc(adtte=path)["patient"].tolist() == ["01", "02"]


def test_every_fault_of_every_table_is_told_at_once():
    adtte = ADTTE.assign(CNSR=[0, -1, 0.5, 1], AVALU=["DAYS", "FORTNIGHTS", "DAYS", "DAYS"])
    adtte = pd.concat([adtte, adtte.tail(1)])
    adae = ADAE.assign(AETOXGR=["2", "1", "1", "3", "7"], ASTDY=[8, None, -2, 4, 18])
    ds = pd.concat([DS, pd.DataFrame({"USUBJID": ["01"], "DSDECOD": ["ALIVE"], "DSSTDY": [400]})])
    with pytest.raises(DataError) as caught:
        ck.patients_from_cdisc(adtte=adtte, adae=adae, ds=ds)
    text = "\n".join(str(fault) for fault in caught.value.faults)
    for part in (
        "adtte, 02, OS: 2 rows",
        "adtte, 01, OS: CNSR is -1",
        "adtte, 02, PFS: CNSR is 0.5",
        "AVALU is 'FORTNIGHTS'",
        "adae, 02, iec_hs: grade 7",
        "adae, 01, crs: has no day of onset",
        "ds, 01: is in contact on day 399, after death on day 62",
    ):
        assert part in text


def test_tables_that_disagree_are_named():
    with pytest.raises(DataError, match=r"01: os_day is 91.3125 in one table, 62.0 in another"):
        ck.patients_from_cdisc(adtte=ADTTE, ds=DS)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "no table is given"),
        ({"adtte": ADTTE.drop(columns="CNSR")}, r"column\(s\) CNSR missing"),
        ({"adae": ADAE.drop(columns="ASTDY")}, "there is not a day"),
        ({"ds": DS.drop(columns="DSSTDY")}, r"column\(s\) DSSTDY missing"),
        ({"adsl": ADTTE.drop(columns="USUBJID")}, "column 'USUBJID' is missing"),
        ({"adtte": "nowhere.csv"}, "cannot be read"),
    ],
)
def test_a_table_that_lacks_something_is_named(tables, message):
    with pytest.raises(DataError, match=message):
        ck.patients_from_cdisc(**tables)
