"""Batches from beginning to end, with exposures from samples: seconds instead of a night."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import carkinetics as ck
from carkinetics.batch.cluster import connected
from carkinetics.batch.lost import Lost
from carkinetics.batch.rows import COLUMNS
from carkinetics.batch.supervise import supervise
from carkinetics.batch.work import work
from carkinetics.cli import app
from carkinetics.errors import BatchError

SPECIFICATION = {
    "design": "crossed",
    "per": "sd",
    "exposure": ["cmax", "cmax CD8", "cmax qpcr", "auc_0_28"],
    "outcome": ["ttp", "pfs"],
    "landmark": [0, 28],
    "subset": ["all", "response == CR", "iec_hs == false"],
}
COLUMN_5 = [
    "analysis_id", "factor", "level", "estimand", "estimate", "lo", "hi", "p_dir", "n", "events",
    "khat_max", "divergences", "seconds", "data_hash", "code_version",
]  # fmt: skip


def in_this_process(declared: ck.Variants, cohort: ck.Cohort) -> pd.DataFrame:
    plan = declared.plan(None, cohort, method="samples", n_workers=1)
    results = [result for job in plan.jobs(set()) for result in work(job).results.values()]
    rows = [{"analysis_id": r["analysis_id"]} | row for r in results for row in r["rows"]]
    return pd.DataFrame(rows).set_index("analysis_id")


def test_g_05_specification_curve_of_the_synthetic_cohort(synthetic, reference):
    table = in_this_process(ck.variants(**SPECIFICATION), synthetic)
    assert len(table) == 48
    assert (table["estimate"] < 1).sum() == 48
    assert (table["p_value"] < 0.05).sum() == 7
    assert table["estimate"].median() == pytest.approx(0.558, abs=1e-3)
    assert table["estimate"].min() == pytest.approx(0.284, abs=1e-3)
    assert table["estimate"].max() == pytest.approx(0.713, abs=1e-3)
    expected = pd.read_csv(reference / "virtual_cd22_spec_curve.csv", comment="#")
    names = [name_of(row) for row in expected.itertuples()]
    found = table.loc[names]
    np.testing.assert_allclose(found["estimate"].astype(float), expected["hr_per_sd"], rtol=1e-3)
    np.testing.assert_allclose(found["p_value"].astype(float), expected["p"], atol=1e-4)
    assert found["n"].tolist() == expected["n"].tolist()
    assert found["events"].tolist() == expected["ev"].tolist()


def name_of(row) -> str:
    exposure = {
        "log peak flow": "", "log peak CD8": "exposure=cmax CD8",
        "log peak qPCR": "exposure=cmax qpcr", "log AUC0-28 flow": "exposure=auc_0_28",
    }[row.exposure]  # fmt: skip
    outcome = "" if row.endpoint.startswith("TTP") else "outcome=pfs"
    landmark = "landmark=28" if row.landmark else ""
    subset = {"all": "", "CR only": "subset=response == CR",
              "without IEC-HS": "subset=iec_hs == false"}[row.subset]  # fmt: skip
    return ", ".join(filter(None, (exposure, outcome, landmark, subset))) or "base"


def test_leave_one_patient_out_of_the_synthetic_cohort(synthetic):
    # Cox coefficients per unit of ln peak: -0.974 (without VP06) to -0.641 (without VA02).
    table = in_this_process(ck.variants(leave_out="each"), synthetic)
    slopes = np.log2(table["estimate"].astype(float)).drop("base")
    assert slopes.min() == pytest.approx(-0.974, abs=1e-3)
    assert slopes.idxmin() == "leave_out=VP06"
    assert slopes.max() == pytest.approx(-0.641, abs=1e-3)
    assert slopes.idxmax() == "leave_out=VA02"


def test_grades_and_quantities_can_be_watched(synthetic):
    declared = ck.variants(
        outcomes=["crs_grade", "crs_grade >= 2", "iec_hs"], quantities=["auc_0_28"], blq=["zero"]
    )
    table = in_this_process(declared, synthetic).loc["base"]
    assert table["estimand"].tolist() == [
        "crs_grade: odds ratio of a higher grade per doubling",
        "crs_grade >= 2: odds ratio per doubling",
        "iec_hs: odds ratio per doubling",
        "geometric mean of auc_0_28 (total)",
    ]
    areas = ck.nca(synthetic, ["auc_0_28"], cell_types="total").table()["value"]
    assert table["estimate"].iloc[3] == pytest.approx(np.exp(np.log(areas.dropna()).mean()))


@pytest.fixture(scope="module")
def small_batch(tmp_path_factory):
    """Run a batch with a variant that is refused, one that fails, and four that do not."""
    folder = tmp_path_factory.mktemp("batch") / "runs"
    cohort = ck.synthetic_cohort()
    declared = ck.variants(
        exposure=["auc_0_28", "tlast"], landmark=[28], test=["no such test"], blq=["zero"]
    )
    options = {"folder": folder, "method": "samples", "n_workers": 1, "progress": "none"}
    runs = ck.run_variants(None, cohort, declared, **options)
    return runs, cohort, declared, options


def test_g_04_every_job_appears_and_a_failure_is_a_row(small_batch):
    runs, *_ = small_batch
    table = runs.table.set_index("analysis_id")
    assert len(table) == 6
    assert (table["status"] == "done").sum() == 4
    assert "immortal time" in table.loc["exposure=tlast", "reason"]
    assert "There are: Cox (Efron)" in table.loc["test=no such test", "reason"]
    assert np.isnan(table.loc["test=no such test", "estimate"])
    assert list(runs.table.columns) == list(COLUMNS)
    assert list(runs.table.columns)[: len(COLUMN_5) + 1] == [
        *COLUMN_5[:8],
        "p_value",
        *COLUMN_5[8:],
    ]
    assert (runs.folder / "table.csv").exists()


def test_g_04_a_second_run_computes_nothing_and_changes_nothing(small_batch):
    runs, cohort, declared, options = small_batch
    files = {path: path.stat().st_mtime_ns for path in (runs.folder / "results").iterdir()}
    assert declared.plan(None, cohort, method="samples", folder=options["folder"]).unfinished == []
    again = ck.run_variants(None, cohort, declared, **options)
    assert {path: path.stat().st_mtime_ns for path in (runs.folder / "results").iterdir()} == files
    pd.testing.assert_frame_equal(again.table, runs.table)


def test_what_a_batch_says_and_draws(small_batch, tmp_path):
    runs, *_ = small_batch
    assert "SYNTHETIC" in str(runs)
    (sentence,) = runs.sentences()
    assert sentence.startswith("ttp: hazard ratio per doubling: ")
    assert "2 variant(s) without a number" in sentence
    for draw in (runs.plot, runs.tornado, runs.specification_curve):
        texts = [
            text.get_text() for text in draw().figure.findobj(lambda a: hasattr(a, "get_text"))
        ]
        assert any("SYNTHETIC" in text for text in texts)
    with pytest.raises(BatchError, match="No patient is left out"):
        runs.leave_one_out()
    page = ck.batch_report(runs, tmp_path / "batch.html").read_text(encoding="utf-8")
    for text in ("SYNTHETIC", "immortal time", "no such test", "ttp: hazard ratio per doubling"):
        assert text in page


def test_the_status_of_a_batch_is_told_from_outside(small_batch):
    runs, *_ = small_batch
    done = CliRunner().invoke(app, ["batch", "--folder", str(runs.folder), "--status"])
    assert done.exit_code == 0
    assert "finished" in done.stdout
    assert "6 of 6 variants finished" in done.stdout


def test_a_dry_run_says_what_a_plan_takes(tmp_path):
    plan = Path(__file__).parent.parent / "examples" / "sensitivity.toml"
    told = CliRunner().invoke(
        app, ["batch", str(plan), "--folder", str(tmp_path / "r"), "--dry-run"]
    )
    assert told.exit_code == 0, told.output
    assert "12 variants, no fit (samples)" in told.stdout
    assert not (tmp_path / "r").exists()


def test_the_example_runs_as_it_is_printed(tmp_path):
    plan = Path(__file__).parent.parent / "examples" / "sensitivity.toml"
    assert [path.name for path in plan.parent.glob("*.toml")] == [plan.name]
    command = ["batch", str(plan), "--folder", str(tmp_path / "runs"), "--workers", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    runs = ck.load_runs(tmp_path / "runs")
    assert runs.table["analysis_id"].nunique() == 12
    assert (runs.table["status"] == "done").all()
    assert len(runs.estimands) == 2
    assert "SYNTHETIC" in (tmp_path / "runs" / "batch_report.html").read_text(encoding="utf-8")


def test_a_folder_without_a_batch_is_told_plainly(tmp_path):
    with pytest.raises(BatchError, match="there is no batch in this folder"):
        ck.load_runs(tmp_path)
    done = CliRunner().invoke(app, ["batch", "--folder", str(tmp_path), "--status"])
    assert done.exit_code == 1


def test_a_scheduler_that_does_not_answer_is_told_plainly(synthetic, tmp_path, monkeypatch):
    monkeypatch.setattr("carkinetics.batch.cluster._CONNECT_SECONDS", 2)
    with pytest.raises(BatchError, match="does not answer"):
        ck.run_variants(
            None, synthetic, ck.variants(landmark=[28]), folder=tmp_path, method="samples",
            scheduler="tcp://127.0.0.1:9", progress="none",
        )  # fmt: skip


def test_a_process_that_ends_early_is_told_with_its_reason(tmp_path):
    with pytest.raises(Lost, match=r"its process ended with code 1: .*Error"):
        supervise(b"no job", str(tmp_path), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["slot-0"]


def test_a_process_that_takes_too_long_is_ended(tmp_path):
    started = time.monotonic()
    with pytest.raises(Lost, match=r"longer than the limit of 0\.05 s"):
        supervise(b"no job", str(tmp_path), str(tmp_path), time_limit=0.05)
    assert time.monotonic() - started < 30


def test_a_job_ends_with_the_process_that_started_it(tmp_path):
    # The child waits for a job that never comes; then the one that started it is killed.
    starter = subprocess.Popen(
        [
            sys.executable, "-c",
            "import subprocess, sys, time\n"
            "p = subprocess.Popen([sys.executable, '-m', 'carkinetics.batch.child'],"
            " stdin=subprocess.PIPE)\n"
            "print(p.pid, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    child = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert ends(child, within=60)


def ends(pid: int, within: float) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True  # ended; only whoever adopted it has not looked yet
        time.sleep(0.05)
    return False


def test_a_whole_fit_is_handed_out_without_a_warning_of_its_size(tmp_path):
    with connected(None, 1, 0, tmp_path, print) as (client, workers):
        assert workers is not None
        workers.look_after()
        assert client.submit(len, bytes(20_000_000), pure=False).result(timeout=60) == 20_000_000


def test_a_batch_of_which_nothing_is_finished_has_a_table(small_batch, tmp_path):
    runs, *_ = small_batch
    (tmp_path / "plan.json").write_text((runs.folder / "plan.json").read_text())
    started = ck.load_runs(tmp_path)
    assert (started.table["status"] == "not finished").all()
    assert "6 not finished" in str(started)
    page = ck.batch_report(started, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "not computed yet" in page
    with pytest.raises(BatchError, match="no variant has a number"):
        started.plot()
