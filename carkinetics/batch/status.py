"""How far a batch is, asked from outside."""

from __future__ import annotations

from pathlib import Path

from carkinetics.batch.lock import holder
from carkinetics.batch.store import LOG, STATUS, Store
from carkinetics.batch.timing import in_time
from carkinetics.errors import BatchError

_LINES = 5


def status_text(folder: str | Path) -> str:
    """Say how far the batch in a folder is.

    Parameters
    ----------
    folder : path
        As given to `run_variants`.

    Returns
    -------
    str
        Whether it runs, how much is finished, the time left and the last lines of its log.

    Raises
    ------
    BatchError
        Where there is no batch in the folder.
    """
    folder = Path(folder)
    store = Store(folder)
    status = store.read_json(STATUS)
    if status is None:
        raise BatchError(f"{folder}: there is no batch in this folder.")
    who = holder(folder)
    if who is not None:
        state = f"running (process {who['pid']} on {who['host']}, since {who['since']})"
    elif status["state"] == "running":
        state = "not running: it was killed or cut off; the same command goes on where it stood"
    else:
        state = status["state"]
    lines = [
        f"Batch in {folder}: {state}",
        f"{status['finished']:,} of {status['variants']:,} variants finished, "
        f"{status['failed_in_this_run']:,} failed in the last run, "
        f"{status['jobs_left']:,} process(es) to go",
    ]
    if who is not None and status["seconds_left"]:
        lines.append(f"about {in_time(status['seconds_left'])} left")
    log = folder / LOG
    if log.exists():
        lines += log.read_text(encoding="utf-8").splitlines()[-_LINES:]
    return "\n    ".join(lines)
