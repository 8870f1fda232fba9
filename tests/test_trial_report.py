"""One call for every table and figure of a trial."""

from __future__ import annotations

import dataclasses
import html
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

import carkinetics as ck
from carkinetics.cli import app
from carkinetics.errors import DataError, FitError
from tests.project.pages import ROOT

TABLES = ROOT / "carkinetics" / "cohort" / "_data" / "virtual_cd22"


def words(path) -> str:
    text = re.sub(
        r"<style>.*?</style>|data:[^\"]*", "", path.read_text(encoding="utf-8"), flags=re.S
    )
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def page(synthetic, folder):
    return ck.trial_report(
        synthetic,
        path=folder / "trial.html",
        not_infused={"GVHD": 1, "progression": 1, "manufacturing failure": 1},
        dlt=2,
        attributes=["mfg_days", "product_cd4_share"],
        figures=folder / "figures",
    )


def test_the_page_holds_the_numbers_of_the_publication(page):
    text = words(page)
    for part in (
        "18 of 19 enrolled patients (exact 95 % interval 74.0 % to 99.9 %)",
        "Manufacturing took 8 days (median; 7 to 13",
        "CRS, any grade 13 of 16 81.2 % 54.4 % to 96.0 %",
        "IEC-HS 3 of 16 18.8 % 4.0 % to 45.6 %",
        "below 30% is 0.923",
        "Fisher's exact p = 0.077",
        "Mann-Whitney p = 0.111",
        "77.0 (31.0 to 119)",
        "523 (108 to not reached)",
        "523 days as the plain median of observed times, 934 days by reverse Kaplan-Meier",
        "log-log scale",
        "CD8 98.0 and CD4 9.00",
        "lost or down-regulated 4 of 12",
        "CAR T cells were detectable then in 6 patients",
        "any time after day 28 5 of 16",
        "Holm's adjustment is over all 8 tests",
        "in 53% of trials",
    ):
        assert part in text, part


def test_the_page_is_marked_and_says_what_may_be_claimed(page):
    text = words(page)
    assert text.count("SYNTHETIC: invented patients, not patient data") == 2
    for part in ("Patients (N)", "Events", "Reliability (lambda)", "BLQ", "Clock", "Censoring rule",
                 "Intervals", "Estimator", "Divergences", "k-hat", "Tests in the family",
                 "associations only"):  # fmt: skip
        assert part in text, part
    assert not re.search(r"\b(effect of|caused by|predicts)\b", text)


def test_the_page_stands_on_its_own(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "<script" not in text


def test_every_figure_is_also_a_file(page, folder):
    names = {path.stem for path in (folder / "figures").iterdir()}
    wanted = {"patient_flow", "swimmer", "toxicity", "onset_crs_grade", "onset_iec_hs", "response",
              "pfs", "os", "pfs_by_arm", "os_by_arm", "progression", "deaths", "profile_flow",
              "profile_qpcr", "persistence_flow", "persistence_qpcr",
              "subsets", "cd8_share", "peak_by_progression", "antigen", "screen"}  # fmt: skip
    family = {
        f"{e}_{o}" for e in ("cmax", "auc_0_28") for o in ("ttp", "dor", "crs_grade", "iec_hs")
    }
    assert names == wanted | family
    assert page.read_text(encoding="utf-8").count("<figure") == len(names)


def test_a_cohort_with_levels_alone_gets_a_page(synthetic, tmp_path):
    bare = synthetic.patients[["patient", "synthetic"]]
    cohort = dataclasses.replace(synthetic, patients=bare)
    text = words(ck.trial_report(cohort, path=tmp_path / "bare.html"))
    assert "Observed kinetics" in text
    assert "no outcomes in the table of patients" in text
    assert "The table of patients has no time to progression" in text


def test_contradictions_stand_on_the_page(synthetic, tmp_path):
    columns = ["patient", "ttp_day", "progressed", "pfs_day", "pfs_event", "synthetic"]
    patients = synthetic.patients[columns].copy()
    patients.loc[patients["patient"] == "VP02", "pfs_day"] = 50.0
    cohort = dataclasses.replace(synthetic, patients=patients)
    path = ck.trial_report(
        cohort, path=tmp_path / "odd.html", exposures=["cmax"], outcomes=["iec_hs"]
    )
    text = words(path)
    assert "progression ends PFS and TTP on one day: pfs_day and ttp_day differ (VP02)." in text


def test_a_fit_of_other_data_and_a_wrong_word_are_refused(synthetic, small_fit, tmp_path):
    with pytest.raises(DataError) as caught:
        ck.trial_report(synthetic, small_fit, tmp_path / "x.html", transform="loglog", format="gif")
    text = str(caught.value)
    for part in ("the fit is of", "transform 'loglog' is unknown", "format 'gif' is unknown"):
        assert part in text
    with pytest.raises(FitError, match=r"end the name with .html"):
        ck.trial_report(synthetic, path=tmp_path / "x.pdf")
    assert not list(tmp_path.iterdir())


def test_a_fit_that_fails_its_checks_is_refused_or_in_red(small_fit, tmp_path):
    with pytest.raises(FitError, match="allow_failed=True"):
        ck.trial_report(small_fit.cohort, small_fit, tmp_path / "x.html")
    path = ck.trial_report(
        small_fit.cohort, small_fit, tmp_path / "x.html", exposures=["cmax"], allow_failed=True
    )
    assert "This fit fails its checks" in words(path)


EDGES = {
    "nothing happened": {"progressed": False, "pfs_event": False, "died": False, "iec_hs": False,
                         "crs_grade": 0},
    "everything, on one day": {"progressed": True, "ttp_day": 50.0, "pfs_event": True,
                               "pfs_day": 50.0, "iec_hs": True, "crs_grade": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_a_trial_at_its_edge_gets_a_page_with_reasons(synthetic, tmp_path, name):
    """Whole, without a number that is not one, though a third of the patients have no outcome."""
    table = synthetic.patients.assign(**EDGES[name])
    for column in ("ttp_day", "pfs_day", "os_day", "progressed", "pfs_event", "died", "crs_grade",
                   "iec_hs"):  # fmt: skip
        table[column] = table[column].convert_dtypes().mask(table.index % 3 == 0)
    cohort = dataclasses.replace(synthetic, patients=table)
    path = ck.trial_report(cohort, path=tmp_path / "edge.html", exposures=["cmax"])
    text = words(path)
    assert "patient(s) left out" in text
    reason = "no event" if name == "nothing happened" else "the outcome is the same in all patients"
    assert reason in text
    assert not re.search(r"\bnan\b", text)


@pytest.fixture(scope="module")
def joint_page(small_joint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    alone = small_joint.kinetics_only
    return ck.trial_report(
        alone.cohort, alone, folder / "trial.html", joint=small_joint, exposures=["cmax"],
        outcomes=["ttp", "crs_grade", "iec_hs"], figures=folder / "figures", allow_failed=True,
    )  # fmt: skip


def test_the_joint_model_is_the_headline_of_the_page(joint_page):
    text = words(joint_page)
    for part in (
        "The headline: the joint model, and beside it the other estimators; ratios per doubling",
        "Joint model P(ratio < 1) Posterior mean Observed Propagated (cut)",
        "The joint model of kinetics and outcome",
        "What the ratios owe to their priors",
        "The ratio with one patient's outcome left out",
        "joint model of kinetics and outcome, the headline, of cmax (total)",
        "of one patient's outcome left out of the joint model",
        "joint fit of cmax: ",  # it fails its checks, in red
    ):
        assert part in text, part
    assert text.index("The headline: the joint model") < text.index("The declared family: one test")
    names = {path.stem for path in (joint_page.parent / "figures").iterdir()}
    assert {"joint_slopes_cmax_total", "feedback_cmax_total"} <= names


def test_the_joint_model_is_no_test_of_the_family(joint_page, small_joint, tmp_path):
    alone = small_joint.kinetics_only
    without = ck.trial_report(
        alone.cohort, alone, tmp_path / "trial.html", exposures=["cmax"],
        outcomes=["ttp", "crs_grade", "iec_hs"], allow_failed=True,
    )  # fmt: skip
    found = [
        re.search(r"Holm's adjustment is over all (\d+) tests", words(page))[1]
        for page in (joint_page, without)
    ]
    assert found[0] == found[1]
    assert "no joint model of kinetics and outcome" in words(without)


def test_a_joint_fit_of_other_data_or_that_fails_is_refused(synthetic, small_joint, tmp_path):
    with pytest.raises(DataError, match="joint fit is of"):
        ck.trial_report(synthetic, path=tmp_path / "x.html", joint=small_joint)
    cohort = small_joint.kinetics.cohort
    with pytest.raises(DataError, match="two joint fits of cmax"):
        ck.trial_report(cohort, path=tmp_path / "x.html", joint=[small_joint, small_joint])
    with pytest.raises(FitError, match="allow_failed=True"):
        ck.trial_report(cohort, path=tmp_path / "x.html", joint=small_joint)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_same_page(tmp_path):
    patients = pd.read_csv(TABLES / "patients.csv", comment="#")
    patients[["patient", "crs_grade", "synthetic"]].to_csv(tmp_path / "patients.csv", index=False)
    output = tmp_path / "trial.html"
    arguments = ["trial-report", str(TABLES / "levels.csv"), "--patients",
                 str(tmp_path / "patients.csv"), "--output", str(output), "--dlt", "2",
                 "--not-infused", "progression=1"]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "SYNTHETIC" in done.stderr
    assert done.stdout.strip() == str(output)
    assert "A product was made for 17 of 17 enrolled patients" in words(output)
    assert "Dose-limiting toxicity in 2 of 16 patients" in words(output)
    wrong = CliRunner().invoke(app, [*arguments[:-1], "progression"])
    assert wrong.exit_code == 2
    assert "is not REASON=COUNT" in wrong.output
