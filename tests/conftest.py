"""Fixtures that several files of tests share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

import carkinetics as ck

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
