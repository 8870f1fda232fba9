"""Fixtures that several files of tests share."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path
from types import ModuleType

import pytest

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning

VARIABLE = "CARKINETICS_REAL_DATA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(VARIABLE):
        return
    skip = pytest.mark.skip(reason=f"{VARIABLE} is not set")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder named by the environment; for tests marked `real_data`."""
    return Path(os.environ[VARIABLE])


@pytest.fixture(scope="session")
def reference() -> Path:
    """Return the folder with the numbers of others; its README says whose."""
    return Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def synthetic() -> ck.Cohort:
    """Return the built-in cohort: SYNTHETIC, not patient data."""
    return ck.synthetic_cohort()


@pytest.fixture(scope="session")
def trial_example() -> ModuleType:
    """Return `examples/cd22_trial.py`, which is no part of the package."""
    path = Path(__file__).parent.parent / "examples" / "cd22_trial.py"
    specification = importlib.util.spec_from_file_location("cd22_trial", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def small_fit() -> ck.Fit:
    """Return a short fit of four SYNTHETIC patients, flow (CD4, CD8, total) and qPCR.

    Too short to pass its checks: `summarize` and `associate` need ``allow_failed=True``.
    """
    model = ck.load_model("cd4_cd8_expansion")
    cohort = ck.simulate(model, 4, seed=11, visits=(3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Fit not trustworthy", CarkineticsWarning)
        return ck.fit(
            model, cohort, seed=1, draws=60, tune=100, chains=2, prior_check=False, rerun=False,
            progress="none",
        )  # fmt: skip
