"""Fixtures that several files of tests share."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning
from carkinetics.outcomes.joint.fit_joint import make_extension

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


@pytest.fixture(scope="session")
def small_joint(small_fit) -> ck.JointFit:
    """Return the short fit with outcomes whose parameters were drawn by hand, not sampled.

    What it says means nothing; it has everything that a page or a picture needs.
    """
    table = small_fit.cohort.patients.assign(
        ttp_day=[40.0, 90.0, 150.0, 300.0],
        progressed=[True, True, False, True],
        crs_grade=pd.array([0, 1, 2, 1], dtype="Int64"),
        iec_hs=pd.array([True, False, False, True], dtype="boolean"),
    )
    cohort = dataclasses.replace(small_fit.cohort, patients=table)
    plan = small_fit.plan
    extension = make_extension(
        plan, cohort, exposure="cmax", outcomes=["ttp", "crs_grade", "iec_hs"], cell_type="total",
        hazard="weibull", landmark=None, time_dependent="", competing=False, adjust=[],
        window=28.0, allow_after_day_0=False,
    )  # fmt: skip
    rng = np.random.default_rng(17)
    posterior = small_fit.data["posterior"].to_dataset()
    size = (posterior.sizes["chain"], posterior.sizes["draw"])
    dims = ("chain", "draw")
    made = {f"slope_{o.name}": (dims, rng.normal(0.2, 0.4, size)) for o in extension.outcomes}
    made |= {"log_scale_ttp": (dims, rng.normal(4.7, 0.3, size)),
             "log_shape_ttp": (dims, rng.normal(0.0, 0.2, size)),
             "intercept_iec_hs": (dims, rng.normal(-1.0, 0.5, size)),
             "probabilities_crs_grade": ((*dims, "grade_of_crs_grade"),
                                         rng.dirichlet(np.ones(5), size))}  # fmt: skip
    outcomes = xr.Dataset(made, coords={name: posterior[name] for name in dims})
    groups = {f"/{k}": node.to_dataset() for k, node in small_fit.data.subtree_with_keys
              if node.data_vars}  # fmt: skip
    groups |= {"/posterior": posterior.merge(outcomes), "/carkinetics/outcomes": outcomes}
    alone = dataclasses.replace(small_fit, cohort=cohort)
    kinetics = dataclasses.replace(
        alone, data=xr.DataTree.from_dict(groups),
        settings=dict(alone.settings) | {"joint": extension.settings()},
        _plan=dataclasses.replace(plan, extension=extension),
    )  # fmt: skip
    return ck.JointFit(kinetics, extension, alone)
