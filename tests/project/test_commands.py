"""The two commands of the README, and what stands behind them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.project.pages import ROOT


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def install():
    spec = importlib.util.spec_from_file_location("install", ROOT / "scripts" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fake_pip(tmp_path, monkeypatch):
    """Put a program that prints and fails in the place of Python."""

    def make(lines: list[str], code: int) -> None:
        program = tmp_path / "python"
        printed = "\n".join(lines)
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return make


def test_the_readme_names_both_commands():
    for command in ("make demo", "make test"):
        assert re.search(rf"^{command}\b", text_of("README.md"), re.MULTILINE)


def test_the_makefile_has_a_target_for_everything_its_help_lists():
    makefile = text_of("Makefile")
    listed = re.findall(r'@echo "make (\w+) ', makefile)
    targets = re.findall(r"^(\w+):", makefile, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    assert {"demo", "test"} <= set(listed)
    assert ["help", *listed] == targets == phony  # `make` alone makes the first


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_the_commands():
    # Without what a surrounding `make test` tells a make that runs inside it.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=outer, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("make demo ")


def test_the_python_of_the_project_is_stated_the_same_everywhere():
    assert text_of(".python-version").strip() == "3.12"
    covered = re.search(r'^covered="(.*)"$', text_of("scripts/find_python.sh"), re.MULTILINE)
    versions = covered[1].split()
    assert versions == re.findall(r"Python :: (3\.\d+)", text_of("pyproject.toml"))
    listed = f"{', '.join(versions[:-1])} or {versions[-1]}"
    for page in ("README.md", "Makefile", "constraints.txt", "scripts/find_python.sh"):
        assert listed in text_of(page).replace(" and ", " or "), page


def test_the_integration_run_is_make_test():
    assert re.search(r"^exec make test$", text_of(".ci/run"), re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  Downloading numba-0.68.0-cp312-cp312-linux.whl (38.1 MB)", "numba (38.1 MB)"),
        ("Using cached pyarrow-26.0.1-cp312-cp312-linux.whl (1.2 GB)", "pyarrow (1.2 GB)"),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("  Downloading attrs-26.1.0-py3-none-any.whl (61 kB)", None),
        ("Requirement already satisfied: numpy", None),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken",
            "the package index does not answer; trying again",
        ),
    ],
)
def test_the_installation_shows_how_far_it_is(install, line, shown):
    assert install.progress(line) == shown


def test_a_failed_installation_shows_the_last_lines_and_fails(
    install, fake_pip, monkeypatch, capsys
):
    fake_pip(["Collecting things", "ERROR: no such package"], 1)
    monkeypatch.setattr(sys, "argv", ["install.py", "dev"])
    assert install.main() == 1
    shown = capsys.readouterr().out
    assert "ERROR: no such package" in shown
    assert "needs a package index" in shown


def test_an_installation_that_works_is_quiet(install, fake_pip, monkeypatch, capsys):
    fake_pip(["Collecting things", "Installing collected packages: a, b"], 0)
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 0
    unpacking, done = capsys.readouterr().out.splitlines()
    assert unpacking == "    unpacking 2 packages"
    assert re.fullmatch(r"    done in \d+ s", done)
