"""The files of the built-in cohort say what they are."""

from __future__ import annotations

import csv

import pytest

from tests.project.pages import ROOT

FOLDER = ROOT / "carkinetics" / "cohort" / "_data" / "virtual_cd22"
TABLES = sorted(FOLDER.glob("*.csv"))


def test_the_built_in_cohort_has_its_two_tables_and_a_note():
    assert [path.name for path in TABLES] == ["levels.csv", "patients.csv"]
    note = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "synthetic" in note.lower()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_a_table_says_synthetic_on_top_and_in_every_row(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# SYNTHETIC - NOT PATIENT DATA")
    assert "invented" in lines[1]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert rows
    assert {row["synthetic"] for row in rows} == {"1"}
