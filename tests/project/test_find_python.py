"""`make` finds a Python that can run carkinetics, or says in one sentence what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.project.pages import ROOT

SCRIPT = ROOT / "scripts" / "find_python.sh"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


@pytest.fixture
def computer(tmp_path):
    """Make a computer that has only the Pythons a test puts on its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()

    class Computer:
        def has(self, name: str, *, prints: str = "", code: int = 0, folder=folder):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{prints}'\nexit {code}\n")
            path.chmod(0o755)
            return path

        def find(self, **variables: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["/bin/sh", str(SCRIPT)],
                env={"PATH": str(folder), "HOME": str(tmp_path / "home"), **variables},
                capture_output=True,
                text=True,
                timeout=60,
            )

    return Computer()


def test_the_oldest_covered_version_is_taken_first(computer):
    computer.has("python3.13", prints="3.13")
    computer.has("python3", prints="3.14")
    wanted = computer.has("python3.12", prints="3.12")
    done = computer.find()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{wanted}\n", "")


def test_a_candidate_that_does_not_run_is_skipped(computer):
    computer.has("python3.12", code=127)
    wanted = computer.has("python3.13", prints="3.13")
    assert computer.find().stdout == f"{wanted}\n"


def test_a_version_manager_is_searched_when_the_path_has_none(computer, tmp_path):
    home = tmp_path / "home" / ".pyenv" / "versions" / "3.13.2" / "bin"
    wanted = computer.has("python", prints="3.13", folder=home)
    assert computer.find().stdout == f"{wanted}\n"


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("2.7", "is Python 2.7, too old"),
        ("3.9", "is Python 3.9, too old"),
        ("3.11", "is Python 3.11, too old"),
        ("3.15", "is Python 3.15, newer than the pinned packages cover"),
        ("3.12 not CPython", "is Python 3.12, not CPython"),
    ],
)
def test_a_python_that_cannot_be_used_is_refused_by_name(computer, printed, reason):
    path = computer.has("python3", prints=printed)
    done = computer.find()
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{path} {reason}" in done.stderr


def test_without_any_python_one_sentence_says_what_to_do(computer):
    done = computer.find()
    assert done.returncode == 1
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("carkinetics needs Python 3.12, 3.13 or 3.14, and none was found")
    assert "make demo PYTHON=" in sentence


def test_a_named_python_is_the_only_one_tried(computer):
    computer.has("python3.12", prints="3.12")
    old = computer.has("mine", prints="3.10")
    done = computer.find(PYTHON=str(old))
    assert done.returncode == 1
    assert f"PYTHON={old} is none of them" in done.stderr
    assert f"{old} is Python 3.10, too old" in done.stderr


def test_a_named_python_that_does_not_exist_is_told_to_the_user(computer):
    computer.has("python3.12", prints="3.12")
    done = computer.find(PYTHON="/nowhere/python3.12")
    assert done.returncode == 1
    assert "PYTHON=/nowhere/python3.12 is none of them" in done.stderr


def test_the_python_of_this_environment_is_accepted(computer):
    assert computer.find(PYTHON=sys.executable).stdout == f"{sys.executable}\n"
