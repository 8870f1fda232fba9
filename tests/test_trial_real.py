"""A public CD22 trial: guards, power and the page of a trial without survival times."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path

import pytest

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning, DataError

pytestmark = pytest.mark.real_data


def example(name):
    path = Path(__file__).parent.parent / "examples" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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


def test_the_example_relates_the_peak_to_every_outcome(cohort):
    """Observed values only, which need no fit; the numbers are those of other readers."""
    found = example("cd22_associations").associations(cohort)
    assert list(found) == ["crs_grade", "iec_hs", "complete_response"]
    statistics = {
        name: next(e.statistic for e in a.estimates if e.method == "Mann-Whitney")
        for name, a in found.items()
        if a.kind == "binary"
    }
    assert statistics == {"iec_hs": 456, "complete_response": 550}
    grades = found["crs_grade"]
    assert any("cut by cut" in note for note in grades.notes)
    assert not grades.side_by_side().empty


@pytest.mark.slow
def test_the_example_sets_the_joint_model_beside_the_others(cohort, tmp_path):
    """A short fit by the closed form: every estimator has a number, the page says what failed."""
    settings = {"draws": 400, "tune": 400, "chains": 2, "rerun": False, "progress": "none",
                "prior_check": False}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        alone = ck.fit(
            ck.load_model("stein_2019"), cohort, seed=1, patient_effects="student_t",
            residual="student_t", common=["memory_fraction", "beta"], correlated=False, **settings,
        )  # fmt: skip
        path = alone.save(tmp_path / "cd22_fit.nc")
        page = example("cd22_associations").main(path, tmp_path, **settings)
    text = re.sub(r"data:[^\"]*", "", page.read_text(encoding="utf-8"))
    assert "The headline: the joint model" in text
    joint = ck.load_joint(tmp_path / "cd22_joint.nc")
    table = joint.table().set_index("outcome")
    assert list(table["n"]) == [55, 55, 55]
    assert table.loc["complete_response", "p_negative"] < 0.05  # responders expand more


def test_the_page_of_the_trial_leaves_out_what_it_does_not_have(cohort, tmp_path):
    path = ck.trial_report(cohort, path=tmp_path / "trial.html", exposures=["cmax"])
    text = re.sub(r"data:[^\"]*", "", path.read_text(encoding="utf-8"))
    assert "SYNTHETIC" not in text
    assert 'id="survival"' not in text
    assert "The table of patients has no time to progression, duration of response" in text
    assert 'id="toxicity"' in text
