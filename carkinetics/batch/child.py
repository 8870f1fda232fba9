"""The process of one job: reads it from standard input, writes its result to standard output.

Standard input stays open for as long as the process that started this one lives: when it ends,
in whatever way, this one ends too, so that no process is ever left behind.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ORPHANED = 71  # exit code of a process whose parent has gone
_HEADER = struct.Struct(">Q")


def main() -> None:
    """Do one job."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get into the result
    incoming = os.fdopen(os.dup(0), "rb", buffering=0)
    setup, content = json.loads(receive(incoming)), receive(incoming)
    threading.Thread(target=_end_with_parent, args=(incoming,), daemon=True).start()
    with _own_cache(Path(setup["caches"])):
        _work(content, channel)
    # Threads of a sampler would keep an ordinary exit waiting.
    os._exit(0)


def _work(content: bytes, channel: IO[bytes]) -> None:
    from carkinetics.batch.work import work

    send(channel, pickle.dumps(work(pickle.loads(content))))


@contextlib.contextmanager
def _own_cache(root: Path) -> Iterator[None]:
    """Take a folder for compiled code that no other process uses at the same time.

    Parallel fits that share one have broken it for others; one that is used again by the next
    fit saves its compilation.
    """
    from carkinetics.batch.lock import try_lock

    for number in itertools.count():
        folder = root / f"slot-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "a+", encoding="utf-8") as file:
            if try_lock(file):
                os.environ["NUMBA_CACHE_DIR"] = str(folder / "numba")
                flags = os.environ.get("PYTENSOR_FLAGS", "")
                own = f"base_compiledir={folder / 'pytensor'}"
                os.environ["PYTENSOR_FLAGS"] = f"{flags},{own}" if flags else own
                yield
                return


def send(channel: IO[bytes], content: bytes) -> None:
    """Write a message with its length in front."""
    channel.write(_HEADER.pack(len(content)))
    channel.write(content)
    channel.flush()


def receive(channel: IO[bytes]) -> bytes:
    """Read a message; raises `EOFError` where it ends too early."""
    (size,) = _HEADER.unpack(_exactly(channel, _HEADER.size))
    return _exactly(channel, size)


def _exactly(channel: IO[bytes], size: int) -> bytes:
    parts = []
    while size:
        part = channel.read(min(size, 1 << 20))
        if not part:
            raise EOFError("the other end was closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end_with_parent(channel: IO[bytes]) -> None:
    while channel.read(1):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
