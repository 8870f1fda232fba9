"""A batch that is killed again and again gives what an undisturbed one gives.

Slow: the whole point is to start over. The random times come from a fixed seed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.batch.lock import holder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc"),
]

SAMPLES = """
design = "crossed"
[data]
cohort = "synthetic"
[run]
method = "samples"
n_workers = 2
[factors]
exposure = ["cmax", "auc_0_28", "cmax qpcr"]
outcome = ["ttp", "pfs"]
landmark = [0, 14, 28]
blq = ["default", "half_lloq", "zero", "drop", "lloq"]
blq_cap = ["all", 1]
"""
# Forty different fits of a small model to SYNTHETIC patients.
LAPLACE = """
[data]
levels = "levels.csv"
[run]
method = "laplace"
model = "one_peak.toml"
n_workers = 2
draws = 50
chains = 2
reweight = false
allow_failed = true
[watch]
outcomes = []
quantities = ["cmax", "auc_0_28"]
[factors]
leave_out = ["each"]
blq = ["drop", "half_lloq", "lloq", "first_half_lloq", "stop_at_first"]
lloq_scale = [0.5, 2]
blq_cap = [1]
prior_scale = [0.5, 2, 3]
prior_scale_location = [0.5, 2]
prior_scale_omega = [0.5, 2]
prior_scale_residual = [0.5, 2]
residual = ["student_t"]
visits = [[7, 14, 28]]
"""
ONE_PEAK = """
[model]
title = "One peak"
summary = "A rise and a fall without a kink."
reference = "test"
[subsets]
cell_type = ["total"]
[constants.early]
value = 0.01
unit = "day"
label = "so that day 0 has a logarithm"
source = "test"
standing = "choice"
[terms]
age = "(t + early) / (peak_day + early)"
[solution]
level = "peak * age * exp(1 - age)"
[observed.flow]
unit = "cells/uL"
is = "level"
sigma = "halfnormal(0.5)"
[parameters.peak]
unit = "level"
label = "highest level"
prior = { "cells/uL" = "lognormal(median=100, gsd=2)" }
vary = "patient"
omega = "halfnormal(0.5)"
source = "test"
standing = "choice"
[parameters.peak_day]
unit = "day"
label = "day of the highest level"
prior = "lognormal(median=10, gsd=1.2)"
source = "test"
standing = "choice"
"""
DAYS = (2, 5, 7, 10, 14, 21, 28, 60, 90)


def write_plan(folder: Path, text: str) -> None:
    """Write a plan with what it names: a model, and levels of twenty SYNTHETIC patients."""
    (folder / "plan.toml").write_text(text)
    (folder / "one_peak.toml").write_text(ONE_PEAK)
    rng = np.random.default_rng(5)
    rows = ["# SYNTHETIC: no patients", "patient,day,assay,cell_type,level,unit,lloq,below_lloq"]
    for number in range(20):
        peak = 100 * np.exp(0.6 * rng.standard_normal())
        for day in DAYS:
            level = peak * day / 10 * np.exp(1 - day / 10 + 0.3 * rng.standard_normal())
            shown = f"{level:.3f}" if level >= 2 else ""
            below = str(not shown).lower()
            rows.append(f"S{number:02d},{day},flow,total,{shown},cells/uL,2,{below}")
    (folder / "levels.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("text", "variants", "kills"),
    [(SAMPLES, 180, 6), (LAPLACE, 40, 20)],
    ids=["samples", "laplace"],
)
def test_a_batch_survives_being_killed(tmp_path, text, variants, kills):
    write_plan(tmp_path, text)
    undisturbed = run(tmp_path, "undisturbed")
    started = time.monotonic()
    while undisturbed.poll() is None and not any((tmp_path / "undisturbed").glob("results/*.json")):
        time.sleep(0.2)
    # Several kills in the time of the first jobs, which compile everything: they hit a batch at
    # work on a fast machine and on a busy one.
    longest = min(0.8 * (time.monotonic() - started), 40.0)
    chance = random.Random(20261125)
    process = run(tmp_path, "killed")
    for _ in range(kills):
        while process.poll() is None and not processes_of(tmp_path / "killed"):
            time.sleep(0.1)  # nothing has begun yet
        time.sleep(chance.uniform(0.0, longest))
        victims = [process.pid, *processes_of(tmp_path / "killed")]
        victim = chance.choice(victims)
        if process.poll() is None:
            kill(victim)
        if victim == process.pid or process.poll() is not None:
            process.wait()
            process = run(tmp_path, "killed")
    assert undisturbed.wait() == 0
    code = process.wait()
    if code == 1:  # a job that was lost too often is tried again in the next run
        code = run(tmp_path, "killed").wait()
    assert code == 0
    assert none_left(tmp_path / "killed")
    assert holder(tmp_path / "killed") is None

    calm, killed = (ck.load_runs(tmp_path / name) for name in ("undisturbed", "killed"))
    rows = killed.table[["analysis_id", "estimand"]]
    assert rows["analysis_id"].nunique() == variants
    assert len(calm.table) == len(rows) == variants * rows["estimand"].nunique()
    assert not rows.duplicated().any()
    same = ["analysis_id", "estimand", "estimate", "lo", "hi", "n", "status", "data_hash", "fit"]
    assert calm.table[same].equals(killed.table[same])
    fits = sorted(path.name for path in (tmp_path / "undisturbed" / "fits").glob("*.nc"))
    assert fits == sorted(path.name for path in (tmp_path / "killed" / "fits").glob("*.nc"))
    for name in fits:
        one, other = (
            ck.load_fit(tmp_path / folder / "fits" / name).data["posterior"]
            for folder in ("undisturbed", "killed")
        )
        for variable in one.data_vars:
            assert one[variable].values.tobytes() == other[variable].values.tobytes()


def test_a_request_to_end_is_followed_at_once(tmp_path):
    (tmp_path / "plan.toml").write_text(SAMPLES)
    process = run(tmp_path, "runs")
    until = time.monotonic() + 300
    while not processes_of(tmp_path / "runs") and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    assert none_left(tmp_path / "runs")
    assert holder(tmp_path / "runs") is None
    assert ck.load_runs(tmp_path / "runs").table["status"].eq("not finished").any()


def test_a_cluster_of_separate_processes_gives_the_same_table(tmp_path):
    (tmp_path / "plan.toml").write_text(SAMPLES)
    assert run(tmp_path, "here").wait() == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    started = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", str(port),
               "--host", "127.0.0.1", "--no-dashboard"]  # fmt: skip
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1",
              "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    others = [subprocess.Popen(started, **quiet)]
    try:
        time.sleep(5)
        others += [subprocess.Popen(worker, **quiet) for _ in range(2)]
        process = run(tmp_path, "there", "--scheduler", address)
        until = time.monotonic() + 600
        while time.monotonic() < until and not (tmp_path / "there" / "results").is_dir():
            time.sleep(0.2)
        while time.monotonic() < until and not any((tmp_path / "there" / "results").iterdir()):
            time.sleep(0.2)
        others[1].kill()  # in the middle: the other worker does its job again
        assert process.wait() == 0
    finally:
        for other in others:
            other.kill()
            other.wait()
    here, there = (ck.load_runs(tmp_path / name).table for name in ("here", "there"))
    numbers = here.select_dtypes(np.number).columns.drop("seconds")
    np.testing.assert_array_equal(here[numbers], there[numbers])


def run(folder: Path, name: str, *more: str) -> subprocess.Popen:
    command = [
        sys.executable, "-c", "from carkinetics.cli import app; app()", "batch",
        str(folder / "plan.toml"), "--folder", str(folder / name), *more,
    ]  # fmt: skip
    # Compiled without optimization, which saves half the time of eighty compilations, and so in
    # a cache of its own.
    own = {"NUMBA_OPT": "0", "CARKINETICS_CACHE": str(folder / f"cache-{name}")}
    with open(folder / f"{name}.txt", "ab") as log:
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=log, env=os.environ | own
        )


def processes_of(folder: Path) -> list[int]:
    """Find the workers of a folder, and the processes of their jobs."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        try:
            about = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
            state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        is_ours = b"carkinetics.batch.worker" in about or b"carkinetics.batch.child" in about
        if is_ours and state != "Z" and str(folder).encode() in about:
            found.append(int(path.name))
    return found


def none_left(folder: Path, within: float = 30.0) -> bool:
    until = time.monotonic() + within
    while processes_of(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, signal.SIGKILL)
