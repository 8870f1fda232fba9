"""The wheel holds all that the package reads, and works away from the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project.pages import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
USE = """
import json
import carkinetics
from carkinetics.library import models_folder
models = {name: carkinetics.load_model(name).title for name in carkinetics.list_models()}
cohort = carkinetics.synthetic_cohort()
print(json.dumps({
    "file": carkinetics.__file__,
    "folder": str(models_folder()),
    "models": models,
    "patients": cohort.n_patients,
    "synthetic": cohort.synthetic,
}))
"""


def run(command: list[str], **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def use(folder: Path, **variables: str) -> dict:
    return json.loads(
        run([sys.executable, "-c", USE], cwd=folder, env=os.environ | variables).splitlines()[-1]
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    run([*command, "--wheel-dir", str(folder), str(ROOT)])
    (path,) = folder.glob("carkinetics-*.whl")
    return path


def test_the_wheel_holds_every_file_of_the_package_and_every_model(wheel):
    package = (p for p in (ROOT / "carkinetics").rglob("*") if p.is_file())
    wanted = {p.relative_to(ROOT).as_posix() for p in package if "__pycache__" not in p.parts}
    wanted |= {f"carkinetics/_models/{p.name}" for p in (ROOT / "models").glob("*.toml")}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert any(name.startswith("carkinetics/_models/") for name in held)


def test_the_installed_wheel_works_from_another_folder(wheel, tmp_path):
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run([*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)])
    found = use(elsewhere, PYTHONPATH=str(target))
    assert Path(found["file"]).is_relative_to(target)
    assert Path(found["folder"]) == target / "carkinetics" / "_models"
    assert set(found["models"]) == {path.stem for path in (ROOT / "models").glob("*.toml")}
    assert (found["patients"], found["synthetic"]) == (16, True)
    assert (target / "bin" / "carkinetics").exists() or os.name != "posix"


def test_in_a_clone_the_models_are_read_from_their_folder(tmp_path):
    found = use(tmp_path, PYTHONPATH=str(ROOT))
    assert Path(found["folder"]) == ROOT / "models"
    assert set(found["models"]) == {path.stem for path in (ROOT / "models").glob("*.toml")}
