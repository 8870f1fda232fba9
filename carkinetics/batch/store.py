"""The folder of a batch: finished work, written whole or not at all, and who works in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from carkinetics.batch.lock import locked
from carkinetics.errors import BatchError, Fault

FORMAT = "carkinetics batch, version 1"
STATUS, PLAN, LOG, TABLE = "status.json", "plan.json", "log.txt", "table.csv"
_RESULTS, _FITS, _SCRATCH = "results", "fits", "scratch"


class Store:
    """The folder of a batch.

    Every result is a file of its own, written under another name, forced to the disk and then
    renamed, with a checksum of what is in it: a file that is there and agrees with its checksum
    is whole, whatever happened while it was written. A fit counts as finished once a record with
    the checksum of its file exists.

    Parameters
    ----------
    folder : Path
        The folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def scratch(self) -> Path:
        """Where processes work; emptied whenever a batch starts."""
        return self.folder / _SCRATCH

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, keep others out of it, and clear what an earlier run left half done.

        Raises
        ------
        BatchError
            If the folder cannot be written, or another batch works in it.
        """
        try:
            for name in (_RESULTS, _FITS, _SCRATCH):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        with locked(self.folder):
            try:
                shutil.rmtree(self.scratch, ignore_errors=True)
                self.scratch.mkdir(exist_ok=True)
                for leftover in self.folder.glob("*/.part-*"):
                    leftover.unlink()
                self._write(self.folder / ".probe", b"")
                (self.folder / ".probe").unlink()
            except OSError as error:
                raise unwritable(self.folder, error) from error
            yield

    def finished(self) -> dict[str, dict[str, Any]]:
        """Read every finished result, by its key; files that are not whole do not count."""
        return dict(self._finished)

    @cached_property
    def _finished(self) -> dict[str, dict[str, Any]]:
        found = {}
        for path in (self.folder / _RESULTS).glob("*.json"):
            record = _read(path)
            if record is not None:
                found[path.stem] = record
        return found

    def put_result(self, key: str, record: Mapping[str, Any]) -> None:
        """Write a result; raises `BatchError` where the disk does not take it."""
        self._put(self.folder / _RESULTS / f"{key}.json", record)
        self._finished[key] = dict(record)

    def put_fit(self, key: str, content: bytes, facts: Mapping[str, Any]) -> None:
        """Write a fit, and once it is whole its record."""
        path = self.folder / _FITS / f"{key}.nc"
        try:
            self._write(path, content)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        record = {**facts, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self._put(self.folder / _FITS / f"{key}.json", record)

    def fit_facts(self, key: str) -> dict[str, Any] | None:
        """Read what is known of a finished fit; None where there is none."""
        return _read(self.folder / _FITS / f"{key}.json")

    def fit_path(self, key: str) -> Path:
        """Return where a fit is or would be."""
        return self.folder / _FITS / f"{key}.nc"

    def fit(self, key: str) -> bytes | None:
        """Read a finished fit; None where there is none, or its file is not what was written."""
        facts = self.fit_facts(key)
        if facts is None:
            return None
        try:
            content = self.fit_path(key).read_bytes()
        except OSError:
            return None
        whole = hashlib.sha256(content).hexdigest() == facts["sha256"]
        return content if whole else None

    def seconds(self, method: str) -> list[float]:
        """Return what finished processes took [s]."""
        return [
            float(record["process_seconds"])
            for record in self._finished.values()
            if record.get("method") == method and record.get("process_seconds")
        ]

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file into the folder, whole or not at all."""
        path = self.folder / name
        try:
            self._write(path, text.encode())
        except OSError as error:
            raise unwritable(self.folder, error) from error
        return path

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read one of the folder's own files; None where there is none."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def say(self, line: str) -> None:
        """Add a line to the log; a disk that is full must not hide what it says."""
        with (
            contextlib.suppress(OSError),
            open(self.folder / LOG, "a", encoding="utf-8") as log,
        ):
            log.write(line + "\n")

    def _put(self, path: Path, record: Mapping[str, Any]) -> None:
        body = json.dumps(record, sort_keys=True, default=list)
        whole = {"format": FORMAT, "sha256": _digest(body), "record": body}
        try:
            self._write(path, json.dumps(whole).encode())
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _write(self, path: Path, content: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(path.parent)


def unwritable(folder: Path, error: OSError) -> BatchError:
    """Make the error of a folder that does not take a file."""
    reason = error.strerror or str(error)
    return BatchError(
        Fault(
            str(folder),
            f"cannot be written ({reason}); everything finished so far is kept",
            "Make room or choose another folder, then give the same command again: it goes on "
            "where it stood.",
            file=str(folder),
        )
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Read a record; None where it is not there, or not what was written."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        body = whole["record"]
        if whole["format"] != FORMAT or _digest(body) != whole["sha256"]:
            return None
        return dict(json.loads(body))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Force a new name to the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot; the rename itself has happened
    finally:
        os.close(handle)
