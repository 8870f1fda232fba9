"""Lint, format, types and layers are part of the tests, so that `make test` says it all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.pages import ROOT

# import-linter has no module to run; its command stands beside the Python of the environment.
LINT_IMPORTS = str(Path(sys.executable).with_name("lint-imports"))
RUFF = (sys.executable, "-m", "ruff")
TOOLS = {
    # A cache remembers how imports were sorted when a module did not exist yet.
    "ruff check": [*RUFF, "check", "--no-cache", "--output-format", "concise", "."],
    "ruff format": [*RUFF, "format", "--check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
    "lint-imports": [LINT_IMPORTS],
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_tool_finds_nothing(name):
    done = subprocess.run(
        TOOLS[name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, f"{name} complains:\n{done.stdout}"
