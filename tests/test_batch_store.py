"""The folder of a batch: whole files, one batch at a time, and plain words where it cannot be."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap

import pytest

from carkinetics.batch.lock import holder
from carkinetics.batch.store import Store
from carkinetics.errors import BatchError

RECORD = {"rows": [{"estimate": 0.5}], "method": "samples", "process_seconds": 2.0}


def test_a_result_is_there_again_after_it_was_written(tmp_path):
    with (store := Store(tmp_path / "runs")).opened():
        store.put_result("a", RECORD)
        store.put_fit("f", b"draws", {"divergences": 0})
    again = Store(tmp_path / "runs")
    assert again.finished() == {"a": RECORD}
    assert again.fit("f") == b"draws"
    assert again.seconds("samples") == [2.0]


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "x"}', None])
def test_a_result_that_is_not_whole_is_not_believed(tmp_path, content):
    with (store := Store(tmp_path)).opened():
        store.put_result("a", RECORD)
    path = tmp_path / "results" / "a.json"
    whole = path.read_text()
    path.write_bytes(whole.replace("0.5", "0.7").encode() if content is None else content)
    assert Store(tmp_path).finished() == {}


def test_a_fit_that_is_not_whole_is_not_believed(tmp_path):
    with (store := Store(tmp_path)).opened():
        store.put_fit("f", b"draws", {})
        store.fit_path("f").write_bytes(b"drawx")
        assert store.fit("f") is None
        store.fit_path("g").write_bytes(b"draws")  # its record was never written
        assert store.fit("g") is None


def test_leftovers_of_a_killed_run_are_cleared(tmp_path):
    with Store(tmp_path).opened():
        pass
    (tmp_path / "results" / ".part-x").write_text("half")
    (tmp_path / "scratch" / "job-1").mkdir()
    with (store := Store(tmp_path)).opened():
        assert not list(tmp_path.glob("*/.part-*"))
        assert not list(store.scratch.iterdir())


HOLD = """
    import sys, time
    from carkinetics.batch.store import Store
    with Store(sys.argv[1]).opened():
        print("held", flush=True)
        time.sleep(600)
"""


def hold(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(folder)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"held"
    return process


def test_a_second_batch_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    process = hold(tmp_path)
    try:
        with (
            pytest.raises(BatchError, match=f"another batch works in this folder .process "
                          f"{process.pid} "),
            Store(tmp_path).opened(),
        ):  # fmt: skip
            pass
        assert holder(tmp_path)["pid"] == process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert holder(tmp_path) is None
    with Store(tmp_path).opened():
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_folder_that_cannot_be_made_is_told_plainly(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BatchError, match=r"cannot be written \(Not a directory\)"),
        Store(tmp_path / "file" / "runs").opened(),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_a_read_only_folder_is_told_plainly(tmp_path):
    folder = tmp_path / "runs"
    with Store(folder).opened():
        pass
    folder.chmod(0o555)
    try:
        with pytest.raises(BatchError, match="Permission denied"), Store(folder).opened():
            pass
    finally:
        folder.chmod(0o755)


def test_a_full_disk_is_told_plainly_and_nothing_finished_is_lost(tmp_path, monkeypatch):
    with (store := Store(tmp_path)).opened():
        store.put_result("a", RECORD)

        def full(handle):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(BatchError, match=r"No space left on device.*is kept"):
            store.put_result("b", RECORD)
        monkeypatch.undo()
        assert not list(tmp_path.glob("*/.part-*"))
    assert Store(tmp_path).finished() == {"a": RECORD}
