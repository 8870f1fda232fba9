"""Importing the package, against starting Python.

Both in a fresh process, start and end of Python included, files in the disk cache.
"""

from __future__ import annotations

from tests.benchmarks.result import Result, median_process_seconds


def measure(small: bool) -> list[Result]:
    repeats = 2 if small else 15
    median_process_seconds("import carkinetics", 1)
    return [
        Result(
            name="import carkinetics [s]",
            ours=median_process_seconds("import carkinetics", repeats),
            peer=median_process_seconds("pass", repeats),
            peer_name="python -c pass",
            target=0.3,
        )
    ]
