"""Nothing in the repository belongs to one machine or one package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.project.pages import ROOT

FOLDERS = ["carkinetics", "docs", "examples", "models", "scripts", "tests"]
FILES = [".gitignore", ".python-version", "CHANGELOG.md", "Makefile", "README.md"]
FILES += ["constraints.txt", "pyproject.toml"]
MADE_BY_COMMANDS = {"_build", "generated", "__pycache__"}
MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(?:work|home|root|tmp|Users)\b")
INDEX_OPTION = re.compile(r"--(?:extra-)?index-url|--trusted-host|--find-links")
PIN = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==(\d[\w.]*)")


def files_of_the_project() -> list[Path]:
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [ROOT / name for name in FILES] + [
        path
        for path in inside
        if not MADE_BY_COMMANDS & set(path.relative_to(ROOT).parts)
        # A test may name such a path to say what happens with it.
        and not path.name.startswith("test_")
    ]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    matches = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    return {match[1]: match[2] for match in matches if match}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    found = [Requirement(text) for text in texts]
    return [requirement for requirement in found if requirement.name != "carkinetics"]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, INDEX_OPTION], ids=["path", "index"])
def test_no_file_names_a_machine_path_or_package_index(pattern):
    found = []
    for path in files_of_the_project():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_the_constraints_hold_names_and_versions_only():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    odd = [
        line
        for line in text.splitlines()
        if line and not line.startswith("#") and not PIN.fullmatch(line)
    ]
    assert not odd


def test_every_direct_dependency_is_pinned_within_its_range():
    pinned = pins()
    for requirement in requirements():
        version = pinned.get(requirement.name.lower().replace("_", "-"))
        assert version, f"{requirement.name} is not in constraints.txt"
        assert version in requirement.specifier, f"{requirement}, but pinned {version}"
