"""A public CD22 trial: guards, power and the page of a trial without survival times."""

from __future__ import annotations

import re

import pytest

import carkinetics as ck
from carkinetics.errors import DataError

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def cohort(real_data, trial_example):
    folder = real_data / "cd22_nci_2021"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not in the folder of real data")
    tables = trial_example.trial_tables(folder)
    return ck.read_cohort(*tables, lloq={"flow": 0.04}, name="cd22_nci_2021")


def test_tocilizumab_is_refused_as_an_adjuster_of_crs(cohort):
    with pytest.raises(DataError, match="toci is given because of toxicity"):
        ck.associate(cohort, outcome="crs_grade", adjust=["toci"])


def test_onset_before_the_peak_is_flagged_and_an_earlier_exposure_offered(cohort):
    found = ck.associate(cohort, outcome="crs_grade")
    text = " ".join(found.notes)
    assert "began before the observed peak in 47 of 48 patients" in text
    assert "level_7 and auc_0_7" in text


def test_power_is_told_where_nothing_was_found(cohort):
    few = cohort.select(cohort.patient_ids[::4])
    found = ck.associate(few, outcome="iec_hs")
    assert found.estimates[0].p_value > 0.05
    assert found.power.n == found.estimates[0].n
    assert 0 < found.power.power < 0.6
    whole = ck.associate(cohort, outcome="iec_hs")
    assert whole.power is None  # p = 0.043


def test_the_page_of_the_trial_leaves_out_what_it_does_not_have(cohort, tmp_path):
    path = ck.trial_report(cohort, path=tmp_path / "trial.html", exposures=["cmax"])
    text = re.sub(r"data:[^\"]*", "", path.read_text(encoding="utf-8"))
    assert "SYNTHETIC" not in text
    assert 'id="survival"' not in text
    assert "The table of patients has no time to progression, duration of response" in text
    assert 'id="toxicity"' in text
