"""Where the work is done: processes of this machine, or the user's own dask cluster."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from carkinetics.batch.worker import CALM
from carkinetics.errors import BatchError, Fault

_CONNECT_SECONDS = 30
_END_SECONDS = 5
# A job that weighs draws carries the whole fit they are of, for workers that share no folder.
_ROOM = {"distributed.admin.large-graph-warning-threshold": "10GB"}
# Workers lost in a row, with no job finished in between, after which something is wrong.
_LOST_IN_A_ROW = 10


class Workers:
    """The processes that this batch started on this machine, each replaced when it is lost.

    Parameters
    ----------
    address : str
        Of the scheduler.
    count : int
        How many.
    folder : Path
        For their temporary files.
    say : callable
        Takes a line for the log.
    """

    def __init__(self, address: str, count: int, folder: Path, say: Callable[[str], None]) -> None:
        self._command = [
            sys.executable, "-m", "carkinetics.batch.worker", address, str(folder)
        ]  # fmt: skip
        self._say = say
        self._lost_in_a_row = 0
        self._processes = [self._start() for _ in range(count)]

    def look_after(self) -> None:
        """Start another worker for each one that has ended."""
        for place, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            self._lost_in_a_row += 1
            if self._lost_in_a_row > _LOST_IN_A_ROW:
                raise BatchError(
                    f"{_LOST_IN_A_ROW} worker processes ended in a row (the last with code "
                    f"{process.returncode}) and no job was finished in between. What is finished "
                    "is kept. Look for a lack of memory, or try fewer workers."
                )
            self._say(f"a worker process was lost (code {process.returncode}); starting another")
            process.stdin.close()
            self._processes[place] = self._start()

    def progressed(self) -> None:
        """Take note that a job was finished."""
        self._lost_in_a_row = 0

    def end(self) -> None:
        """End all of them, and with each the process of its job."""
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> Any:
        # Its standard input is never written to: that it closes is the sign to end.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def connected(
    scheduler: str | None,
    n_workers: int,
    retries: int,
    scratch: Path,
    say: Callable[[str], None],
) -> Iterator[tuple[Any, Workers | None]]:
    """Give a dask client, and the workers of this machine where they are ours.

    Parameters
    ----------
    scheduler : str or None
        Address of the user's cluster; None starts workers here.
    n_workers : int
        Processes here.
    retries : int
        How often a job may lose its worker and be tried again.
    scratch : Path
        For temporary files of workers here.
    say : callable
        Takes a line for the log.

    Raises
    ------
    BatchError
        If dask is not installed, or nobody answers at the address.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BatchError(
            f"run_variants needs dask.distributed ({error}). Install it with "
            "pip install 'carkinetics[batch]'."
        ) from error
    if scheduler is not None:
        with dask.config.set(_ROOM), _client(Client, scheduler) as client:
            yield client, None
        return
    # Its workers end before the connection does, which dask tells with a traceback that says so.
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    quiet = (
        CALM
        | _ROOM
        | {
            "distributed.scheduler.allowed-failures": retries,
            "distributed.scheduler.dashboard.enabled": False,
        }
    )
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=0,
            processes=False,
            dashboard_address="127.0.0.1:0",  # whichever port is free, for this machine only
            host="127.0.0.1",
            protocol="tcp://",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        workers = Workers(cluster.scheduler_address, n_workers, scratch, say)
        try:
            yield client, workers
        finally:
            workers.end()


def _client(make: Any, scheduler: str) -> Any:
    try:
        return make(scheduler, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise BatchError(
            Fault(
                f"scheduler {scheduler}",
                f"does not answer ({error})",
                "Give the address that `dask scheduler` prints, such as tcp://10.0.0.5:8786.",
            )
        ) from error
