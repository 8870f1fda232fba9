"""From a cohort to the first draw, in a process that finds nothing compiled and in the next one.

Processor time of the whole process: Python, imports, code of the solver, the prior check, the log
density, and the deterministic fit; no draws. The built-in cohort is SYNTHETIC.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.result import Result

_IMPORTS = """
import time
import carkinetics as ck
from carkinetics.inference.gate import prior_gate
from carkinetics.inference.planning import plan_fit
from carkinetics.inference.reuse import machine
from carkinetics.inference.sampling import prepare, ready_to_run
"""
_READY = """
model = ck.load_model(NAME)
cohort = ck.simulate(model, 4, seed=11) if SMALL else ck.synthetic_cohort()
plan = plan_fit(model, cohort)
prior_gate(plan, 1)
with machine(plan) as compiled:
    prepare(ready_to_run(plan, compiled))
"""
_END = "print(time.process_time())\n"


def measure(small: bool) -> list[Result]:
    name = "stein_2019" if small else "cd4_cd8_expansion"
    code = f"{_IMPORTS}NAME, SMALL = {name!r}, {small}\n{_READY}{_END}"
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        imports = _processor(_IMPORTS + _END, cache)
        first, second = (_processor(code, cache) for _ in range(2))
    return [
        Result(
            "ready to sample, nothing compiled before [s of processor]", first, imports,
            "imports alone", 15.0, reason="docs/decisions/0022 says on what it is spent",
        ),
        Result(
            "ready to sample, in the next process [s of processor]", second, first,
            "the first process", 0.5, of="ratio",
        ),
    ]  # fmt: skip


def _processor(code: str, cache: Path) -> float:
    """Run code in a process of its own, with every cache in one folder; return what it prints."""
    folders = {
        "CARKINETICS_CACHE": str(cache / "solvers"),
        "NUMBA_CACHE_DIR": str(cache / "numba"),
        "PYTENSOR_FLAGS": f"base_compiledir={cache / 'pytensor'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | folders,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)
