"""The command line tells users what to do, and shells how it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from typer.testing import CliRunner

import carkinetics as ck
from carkinetics.cli import app

COMMANDS = ["check", "demo", "fit", "joint", "models", "report", "trial-report"]
LEVELS = pd.DataFrame(
    {
        "patient": ["P1", "P1", "P2"],
        "day": [7, 14, 7],
        "assay": "flow",
        "cell_type": "total",
        "level": [12.0, 90.0, 40.0],
        "unit": "cells/uL",
    }
)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def levels(tmp_path):
    path = tmp_path / "levels.csv"
    LEVELS.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def saved(small_fit, tmp_path_factory):
    return small_fit.save(tmp_path_factory.mktemp("saved") / "trial.nc")


def test_help_lists_every_command():
    done = run("--help")
    assert done.exit_code == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    after = done.stdout.split("Example", 1)[1]
    assert f"carkinetics {command}" in after.split("\n")[1]  # on a line of its own
    assert "\\b" not in done.stdout


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from carkinetics.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'pymc', 'matplotlib', 'sympy', 'scipy'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_check_prints_the_cohort(levels):
    done = run("check", levels, "--lloq", "flow=0.5")
    assert done.exit_code == 0
    assert "2 patients, 3 levels" in done.stdout
    assert "0.5" in done.stdout


def test_check_lists_every_fault_and_fails(tmp_path):
    path = tmp_path / "levels.csv"
    LEVELS.assign(level=[-1.0, 90.0, 40.0], assay=["flow", "flow", "flw"]).to_csv(path, index=False)
    done = run("check", path)
    assert done.exit_code == 1
    assert "2 faults found" in done.stderr
    assert "row 2" in done.stderr
    assert "row 4" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_check_says_whether_a_model_goes_with_the_data(levels):
    done = run("check", levels, "--lloq", "flow=0.5", "--model", "cd4_cd8_expansion")
    assert done.exit_code == 0, done.stderr
    assert "goes with these data" in done.stdout


@pytest.mark.parametrize("text", ["flow", "flow=low", "=0.5x"])
def test_a_limit_that_cannot_be_read_is_a_mistake_of_usage(levels, text):
    done = run("check", levels, "--lloq", text)
    assert done.exit_code == 2
    assert "ASSAY=LEVEL" in done.stderr


def test_models_lists_all_and_shows_one():
    done = run("models")
    assert all(name in done.stdout for name in ck.list_models())
    shown = run("models", "stein_2019")
    assert shown.stdout.rstrip() == ck.load_model("stein_2019").text.rstrip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "stein_2018"], "did you mean 'stein_2019'"),
        (["check", "missing.csv"], "missing.csv"),
        (["report", "missing.nc"], "missing.nc"),
        (["report", "trial.nc", "--output", "report.pdf"], "end the name with .html"),
        (["fit", "levels.csv", "--output", "trial.pickle"], ".nc or .zarr"),
        (["fit", "levels.csv", "--output", "nowhere/trial.nc"], "does not exist"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_argument_is_a_mistake_of_usage():
    assert run("fit").exit_code == 2


def test_report_writes_the_page_and_prints_its_path(saved, tmp_path):
    path = tmp_path / "report.html"
    done = run("report", saved, "--output", path, "--allow-failed", "--patient", "S01")
    if "no fitted samples" in done.stderr:  # whatever the simulated patients are called
        name = ck.load_fit(saved).patients[0]
        done = run("report", saved, "--output", path, "--allow-failed", "--patient", name)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(path)
    assert "SYNTHETIC" in path.read_text(encoding="utf-8")
    assert "SYNTHETIC" in done.stderr


def test_report_refuses_a_fit_that_fails(saved, tmp_path):
    path = tmp_path / "report.html"
    done = run("report", saved, "--output", path)
    assert done.exit_code == 1
    assert "--allow-failed" in done.stderr
    assert not path.exists()


def test_demo_does_not_replace_a_folder_of_something_else(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.doc").write_text("years of work", encoding="utf-8")
    done = run("demo", "--folder", folder)
    assert done.exit_code == 1
    assert "thesis.doc" in done.stderr
    assert (folder / "thesis.doc").exists()


@pytest.fixture
def no_sampling(small_fit, monkeypatch):
    """Put the short fit in the place of sampling."""
    asked = []

    def instead(model, cohort, **settings):
        asked.append(settings)
        return small_fit

    monkeypatch.setattr("carkinetics.cli.options.fit_quietly", instead)
    return asked


def test_fit_passes_its_options_on_and_saves_what_fails_its_checks(levels, tmp_path, no_sampling):
    path = tmp_path / "trial.nc"
    done = run(
        "fit", levels, "--lloq", "flow=0.5", "--output", path, "--seed", "7", "--assay", "flow",
        "--patient-effects", "student_t", "--quick", "--draws", "300",
    )  # fmt: skip
    assert done.exit_code == 1  # as a shell that goes on to the report has to know
    assert "not trustworthy" in done.stdout
    assert f"Saved as {path}" in done.stdout
    assert ck.load_fit(path).patients
    (settings,) = no_sampling
    assert settings["seed"] == 7
    assert settings["assays"] == ["flow"]
    assert settings["patient_effects"] == "student_t"
    assert settings["draws"] == 300
    assert settings["rerun"] is False


def test_demo_writes_both_files_and_prints_headline_and_path(tmp_path, no_sampling):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "report.html").write_text("of an earlier demo", encoding="utf-8")
    done = run("demo", "--folder", folder)
    assert done.exit_code == 0, done.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["fit.nc", "report.html"]
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
    assert done.stdout.rstrip().splitlines()[-1] == str(folder / "report.html")
    assert "SYNTHETIC" in done.stdout
    assert "Cmax" in done.stdout
    assert "AUC0-28d" in done.stdout


def test_joint_takes_a_saved_fit_and_saves_what_a_report_takes(small_joint, tmp_path, monkeypatch):
    asked = []

    def instead(model, cohort, *arguments, **options):
        asked.append((*arguments, options["seed"], options["draws"], options["fit"].patients))
        return small_joint

    monkeypatch.setattr("carkinetics.outcomes.joint.fit_joint", instead)
    fit = small_joint.kinetics_only.save(tmp_path / "trial.nc")
    path = tmp_path / "joint.nc"
    done = run("joint", fit, "--outcome", "ttp", "--seed", "3", "--quick", "--output", path)
    assert done.exit_code == 1  # it fails its checks, and is saved all the same
    assert f"Saved as {path}" in done.stdout
    assert "a report will refuse it" in done.stderr
    assert asked == [("cmax", ["ttp"], 3, 250, small_joint.kinetics.patients)]
    page = tmp_path / "report.html"
    options = ("--joint", path, "--output", page, "--patient", small_joint.kinetics.patients[0])
    done = run("report", fit, *options, "--allow-failed")
    assert done.exit_code == 0, done.stderr
    assert "The headline: the joint model" in page.read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupted_fit_ends_with_130_and_leaves_nothing(tmp_path):
    # In the folder of the package's data there is a cohort large enough not to end first.
    levels = os.path.join(os.path.dirname(ck.__file__), "cohort/_data/virtual_cd22/levels.csv")
    code = "from carkinetics.cli import app; app()"
    command = [sys.executable, "-c", code, "fit", levels, "--output", str(tmp_path / "trial.nc")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(1.0)
    for line in process.stderr:
        if "Compiling" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())
