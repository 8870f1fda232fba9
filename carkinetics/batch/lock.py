"""Keep a second batch out of a folder; the lock of a dead process is none."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from carkinetics.errors import BatchError, Fault

LOCK = "lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Raises
    ------
    BatchError
        If another process holds it, saying which, or the file system knows no locks.

    Notes
    -----
    The operating system holds the lock for the process and drops it when the process ends, in
    whatever way: a kill or a power cut leaves a file behind, but no lock.
    """
    path = folder / LOCK
    with _opened(path) as file:
        if not _take(file, folder):
            raise BatchError(
                Fault(
                    str(folder),
                    f"another batch works in this folder ({_who(path)})",
                    "Wait for it, stop it, or choose another folder; "
                    "`carkinetics batch --status` shows how far it is.",
                    file=str(folder),
                )
            )
        file.seek(0)
        file.truncate()
        json.dump(_self(), file)
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()
            file.flush()
            _drop(file)


def holder(folder: Path) -> dict[str, Any] | None:
    """Say who works in a folder.

    Returns
    -------
    dict or None
        ``pid``, ``host`` and ``since``; None where nobody does.
    """
    path = folder / LOCK
    if not path.exists():
        return None
    with _opened(path) as file:
        if _take(file, folder):
            _drop(file)
            return None
    return _read(path) or {"pid": None, "host": "", "since": ""}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "a+", encoding="utf-8"))
        except OSError as error:
            from carkinetics.batch.store import unwritable

            raise unwritable(path.parent, error) from error
        yield file


def _self() -> dict[str, Any]:
    since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"pid": os.getpid(), "host": platform.node(), "since": since}


def _who(path: Path) -> str:
    found = _read(path)
    if found is None:
        return "which one is not known"
    return f"process {found['pid']} on {found['host']}, since {found['since']}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def try_lock(file: IO[str]) -> bool:
    """Take the lock of an open file, if nobody has it; it ends with the file or the process."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(1_000_000)  # beyond what is written, which others may read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _take(file: IO[str], folder: Path) -> bool:
    try:
        return try_lock(file)
    except OSError as error:
        raise BatchError(
            Fault(
                str(folder),
                f"its file system knows no locks ({error.strerror or error})",
                "Choose a folder on a local disk, or on a network disk with locks.",
                file=str(folder),
            )
        ) from error


def _drop(file: IO[str]) -> None:
    if os.name == "nt":
        import msvcrt

        file.seek(1_000_000)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
