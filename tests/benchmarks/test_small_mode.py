"""Every benchmark still runs, so that none of them rots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import NAMES, RESULTS, main, table, write
from tests.benchmarks.result import Result, paired_cpu_seconds

FOLDER = Path(__file__).parent
KEYS = ["name", "ours", "peer", "peer_name", "ratio", "target", "met"]


def test_every_file_with_a_benchmark_is_listed():
    files = [path for path in FOLDER.glob("*.py") if not path.name.startswith("test_")]
    measuring = [path.stem for path in files if "def measure(" in path.read_text("utf-8")]
    assert sorted(measuring) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_in_its_small_mode(name, tmp_path):
    path = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--small", "--json", str(path), name],
        cwd=FOLDER.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert rows
    for row in rows:
        assert list(row)[:7] == KEYS
        assert row["name"] in done.stdout
        assert row["ours"] > 0
        assert row["peer"] is None or row["peer"] > 0


def test_an_unknown_benchmark_is_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        main(["solvr"])
    assert "no benchmark is called solvr; there are import_time" in capsys.readouterr().err


def test_a_missed_target_is_shown():
    assert " NO " in table([Result("a thing [s]", 2.0, 1.0, "another", target=1.5)])
    assert " yes " in table([Result("a thing [s]", 1.0, 1.0, "another", target=1.5)])


def test_a_run_of_some_benchmarks_keeps_the_figures_of_the_others(tmp_path):
    path = tmp_path / "results.json"
    write(path, [Result("first [s]", 1.0, 2.0, "peer", 3.0), Result("second [s]", 1, 1, "peer", 3)])
    write(path, [Result("second [s]", 2.0, 2.0, "peer", 3.0)])
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["name"], row["ours"]) for row in rows] == [("first [s]", 1.0), ("second [s]", 2.0)]


def test_the_kept_figures_have_the_columns_of_the_table():
    """And a row that misses its target, or has no peer's figure, says why."""
    for row in json.loads(RESULTS.read_text(encoding="utf-8")):
        assert list(row)[:7] == KEYS
        assert list(row)[7:] in ([], ["reason"])
        if not row["met"]:
            assert row.get("reason"), row["name"]


def test_a_figure_that_was_not_measured_stays_in_the_table():
    missing = Result("a thing [s]", 1.0, None, "another", 0.1, "ratio", "it is not installed")
    assert not missing.met
    assert missing.record()["ratio"] is None
    assert missing.record()["reason"] == "it is not installed"
    assert " NO " in table([missing])
    assert not Result("a thing [s]", None, None, "none", 1.0, reason="not run").met


def test_two_actions_take_turns():
    turns = []
    paired_cpu_seconds(lambda: turns.append("a"), lambda: turns.append("b"), 2, (2, 1))
    assert turns == ["a", "a", "b"] * 2
