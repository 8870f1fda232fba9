"""Start the process of a job, wait for it, and leave nothing behind: what a worker runs.

Light on purpose: a worker holds no data and no compiled model, only the process of its job does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from carkinetics.batch.child import receive, send
from carkinetics.batch.lost import Lost

_POLL = 0.2
_KEPT = 20_000  # letters of what a process wrote, for the reason of its end
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")
_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def supervise(
    job: bytes, scratch: str, caches: str | None = None, time_limit: float | None = None
) -> bytes:
    """Run a job in a process of its own.

    Parameters
    ----------
    job : bytes
        A pickled `Job`.
    scratch : str
        Folder for its temporary files; where this machine cannot use it, one of its own takes
        its place.
    caches : str, optional
        Folder for compiled code; ``batch`` in the user's cache of carkinetics by default, so that
        the next batch finds what this one has compiled.
    time_limit : float, optional
        After which it is ended [s].

    Returns
    -------
    bytes
        A pickled `Finished`.

    Raises
    ------
    Lost
        If the process ended without a result, with the reason.
    """
    wanted = _is_wanted()
    place = Path(tempfile.mkdtemp(prefix="job-", dir=_usable(scratch)))
    setup = {"caches": caches or str(_user_cache())}
    environment = os.environ | {"TMPDIR": str(place)}
    environment |= {name: os.environ.get(name, "1") for name in _BLAS}
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "carkinetics.batch.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as process:
            try:
                return _conversation(process, [json.dumps(setup).encode(), job], wanted, time_limit)
            finally:
                # Before the pipes are closed, on which its writing would otherwise end.
                process.kill()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _conversation(
    process: subprocess.Popen[bytes],
    messages: list[bytes],
    wanted: Callable[[], bool],
    time_limit: float | None,
) -> bytes:
    """Hand over the job and wait for the result, the end of the process, or of the patience."""
    told: list[bytes] = []
    result: list[bytes] = []
    threads = [
        threading.Thread(target=_hand_over, args=(process.stdin, messages), daemon=True),
        threading.Thread(target=_collect, args=(process.stdout, result), daemon=True),
        threading.Thread(target=_listen, args=(process.stderr, told), daemon=True),
    ]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    while threads[1].is_alive():
        threads[1].join(_POLL)
        if time_limit is not None and time.monotonic() - started > time_limit:
            raise Lost(f"took longer than the limit of {time_limit:g} s and was ended")
        if not wanted():
            raise Lost("was ended because nobody waits for it any more")
    if result:
        return result[0]
    process.wait()
    threads[2].join(1.0)
    raise Lost(_why(process.returncode, b"".join(told).decode(errors="replace")))


def _hand_over(channel: IO[bytes], messages: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # it ended early: its exit code says why
        for message in messages:
            send(channel, message)


def _collect(channel: IO[bytes], result: list[bytes]) -> None:
    with contextlib.suppress(EOFError, OSError):
        result.append(receive(channel))


def _listen(channel: IO[bytes], told: list[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while part := channel.read1(65536):  # type: ignore[attr-defined]
            told.append(part)
            if sum(map(len, told)) > 2 * _KEPT:
                told[:] = [b"".join(told)[-_KEPT:]]


def _why(code: int, told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    # What an exception says may have several lines; its name stands at the start of the first.
    first = max((k for k, line in enumerate(lines) if _EXCEPTION.match(line)), default=-1)
    last = f": {' '.join(lines[first:])}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        memory = " (often the system's answer to a lack of memory)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{memory}"
    return f"its process ended with code {code}{last}"


def _usable(folder: str) -> str | None:
    """Return the folder where this machine can write to it, else None."""
    return folder if os.path.isdir(folder) and os.access(folder, os.W_OK) else None


def _user_cache() -> Path:
    """Return where compiled code is kept; as for the solver, without loading it."""
    chosen = os.environ.get("CARKINETICS_CACHE")
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = (Path(chosen) if chosen else Path(root) / "carkinetics") / "batch"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / "carkinetics-batch"
    return folder


def _is_wanted() -> Callable[[], bool]:
    """Return a function that tells whether the scheduler still waits for this task."""
    try:
        from distributed.worker import get_worker, thread_state

        worker, key = get_worker(), thread_state.key
    except (ImportError, ValueError, AttributeError):
        return lambda: True  # not on a worker

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    return wanted
