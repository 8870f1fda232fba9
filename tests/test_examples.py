"""The examples run as they are printed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import carkinetics as ck

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def saved_fit(small_fit, tmp_path_factory):
    return small_fit.save(tmp_path_factory.mktemp("fit") / "fit.nc")


def test_the_notebook_runs_on_a_saved_fit(saved_fit, tmp_path):
    executed = tmp_path / "executed.ipynb"
    script = (
        "import nbformat; from nbclient import NotebookClient; "
        f"notebook = nbformat.read({str(EXAMPLES / 'explore_a_fit.ipynb')!r}, 4); "
        "NotebookClient(notebook, timeout=600, kernel_name='python3').execute(); "
        f"nbformat.write(notebook, {str(executed)!r})"
    )
    command = [sys.executable, "-c", script]
    variables = os.environ | {"CARKINETICS_FIT": str(saved_fit)}
    variables.pop("MPLBACKEND", None)
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(executed.read_text())["cells"]
    pictures = [
        output
        for cell in cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3
    text = json.dumps(cells)
    assert "SYNTHETIC" in text


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads((EXAMPLES / "explore_a_fit.ipynb").read_text())["cells"]
    assert all(not cell.get("outputs") for cell in cells)


def _example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::carkinetics.errors.CarkineticsWarning")
def test_the_story_runs_from_tables_to_report(tmp_path):
    report = _example("demo_trial").main(
        [], tmp_path, draws=50, tune=100, chains=2, rerun=False, progress="none"
    )
    assert report.stat().st_size > 100_000
    assert (tmp_path / "levels.png").exists()
    assert ck.load_fit(tmp_path / "trial.nc").patients


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_trial_is_fitted_passes_its_checks_and_is_reported(real_data, tmp_path):
    report = _example("cd22_trial").main(real_data / "cd22_nci_2021", tmp_path)
    text = report.read_text()
    assert "Fit passes its checks" in text
    assert "SYNTHETIC" not in text
