"""The package loads what a step needs when it needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

FITTING = {"arviz", "matplotlib", "numba", "nutpie", "pymc", "pytensor"}
STEPS = {
    "importing": ("import carkinetics", FITTING | {"numpy", "pandas", "pint", "sympy"}),
    "reading a cohort": ("import carkinetics; carkinetics.synthetic_cohort()", FITTING),
    "loading a model": (
        "import carkinetics; [carkinetics.load_model(name) for name in carkinetics.list_models()]",
        FITTING,
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_loads_no_package_that_it_does_not_need(step):
    code, unwanted = STEPS[step]
    show = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{show}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not unwanted & set(done.stdout.split())
