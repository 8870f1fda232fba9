"""Time per patient and memory of value and gradient, from 16 to 1,024 patients.

The default model at 13 visits and the default tolerance. The peer is this solver with 16 patients:
the time per patient should stay the same. Memory is the peak of a fresh process that solves 1,024
patients, against one that solves 16.
"""

from __future__ import annotations

from tests.benchmarks.ode_gradient import value_and_gradient
from tests.benchmarks.ode_task import make_task
from tests.benchmarks.result import Result, median_cpu_seconds, seconds_and_megabytes

MODEL, FEW, TOLERANCE = "cd4_cd8_expansion", 16, 1e-6


def measure(small: bool) -> list[Result]:
    sizes = (32,) if small else (128, 1024)
    few = _microseconds(FEW, small)
    results = [
        Result(
            f"{MODEL}, {n:,} patients, value and gradient per patient [us]",
            _microseconds(n, small),
            few,
            f"{FEW} patients",
            target=1.15,
            of="ratio",
        )
        for n in sizes
    ]
    many, one = _megabytes(sizes[-1]), _megabytes(FEW)
    name = f"{MODEL}, {sizes[-1]:,} patients, value and gradient, peak memory [MB]"
    return [*results, Result(name, many, one, f"{FEW} patients", target=1024.0)]


def _microseconds(patients: int, small: bool) -> float:
    run = value_and_gradient(make_task(MODEL, patients), TOLERANCE)
    run()
    batch = max(1, 2048 // patients)
    return 1e6 * median_cpu_seconds(run, 3 if small else 15, batch) / patients


def _megabytes(patients: int) -> float:
    prepare = (
        "from tests.benchmarks.ode_gradient import value_and_gradient\n"
        "from tests.benchmarks.ode_task import make_task"
    )
    code = f"value_and_gradient(make_task({MODEL!r}, {patients}), {TOLERANCE})()"
    return seconds_and_megabytes(prepare, code)[1]
