"""What a benchmark gives, and the two ways of measuring it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """One measured figure beside that of a peer.

    Attributes
    ----------
    name : str
        What is measured, with its unit.
    ours, peer : float or None
        Both figures; lower is better. None where one was not measured.
    peer_name : str
        What the peer is.
    target : float or None
        `ours` should stay below this, or the ratio; None where there is no target.
    of : {"ours", "ratio"}
        What the target is for.
    reason : str
        Why there is no peer's figure, or why the target is missed.
    """

    name: str
    ours: float | None
    peer: float | None
    peer_name: str
    target: float | None
    of: str = "ours"
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.ours is None or self.peer is None else self.ours / self.peer

    @property
    def met(self) -> bool:
        """Whether the target is reached; what was not measured reaches none."""
        if self.target is None:
            return True
        found = self.ratio if self.of == "ratio" else self.ours
        return found is not None and found < self.target

    def record(self) -> dict[str, Any]:
        """Return the row of the JSON file; three digits, as more are noise."""
        row = {
            "name": self.name,
            "ours": _rounded(self.ours),
            "peer": _rounded(self.peer),
            "peer_name": self.peer_name,
            "ratio": _rounded(self.ratio),
            "target": self.target,
            "met": self.met,
        }
        return row | {"reason": self.reason} if self.reason else row


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median duration of an action; the caller has run it once to warm it up."""
    return statistics.median(_seconds(action) for _ in range(repeats))


def median_cpu_seconds(action: Callable[[], object], repeats: int, batch: int) -> float:
    """Return the median processor time of an action, timed in batches on a machine in use."""

    def seconds() -> float:
        started = time.process_time()
        for _ in range(batch):
            action()
        return (time.process_time() - started) / batch

    return statistics.median(seconds() for _ in range(repeats))


def paired_cpu_seconds(
    ours: Callable[[], object], peer: Callable[[], object], repeats: int, batches: tuple[int, int]
) -> tuple[float, float]:
    """Return the median processor times of two actions that take turns.

    What else the machine does meanwhile then slows both.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for kept, action, batch in zip(found, (ours, peer), batches, strict=True):
            kept.append(median_cpu_seconds(action, 1, batch))
    return statistics.median(found[0]), statistics.median(found[1])


def median_process_seconds(code: str, repeats: int) -> float:
    """Return the median duration of a fresh Python that runs some code, start and end included."""
    command = [sys.executable, "-c", code]
    return statistics.median(
        _seconds(lambda: subprocess.run(command, check=True)) for _ in range(repeats)
    )


def seconds_and_megabytes(prepare: str, code: str) -> tuple[float, float]:
    """Measure code in a fresh process: its duration, and the peak memory of the whole process."""
    program = "\n".join(
        [
            "import json, resource, sys, time",
            prepare,
            "started = time.perf_counter()",
            code,
            "seconds = time.perf_counter() - started",
            "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
            # Kilobytes everywhere but on macOS.
            "print(json.dumps([seconds, peak / 1024 ** (2 if sys.platform == 'darwin' else 1)]))",
        ]
    )
    # Linux counts the memory of the starting process too, until the new program has replaced it:
    # a small process in between keeps that out.
    starter = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    done = subprocess.run(
        [sys.executable, "-c", starter, sys.executable, "-c", program],
        env=os.environ | {"PYTHONWARNINGS": "error"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
