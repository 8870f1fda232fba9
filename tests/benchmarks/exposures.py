"""Quantities of 10,000 profiles, and of every posterior draw of a trial, against plain numpy.

Samples: peak, its day, area to day 28, last quantifiable level and day, mean level, all with
reasons and flags. The peer computes peak, day and trapezoidal area alone, patient by patient.

Posterior: 4,000 draws of the default model for 16 patients with the sampling days of the built-in
cohort, CD4, CD8 and total: Cmax, Tmax, AUC0-28, persistence and detectability, the population
included. The draws lie around the typical patient; nothing was fitted. The peer solves the same
curves with the same solver on a grid of a tenth of a day until day 60 and takes maxima and
trapezoids: one digit less of Cmax, and no persistence.
"""

from __future__ import annotations

import functools
from typing import Any

from tests.benchmarks.result import Result, median_seconds


def measure(small: bool) -> list[Result]:
    return [
        _samples(200 if small else 10_000),
        _posterior(2 if small else 16, 50 if small else 1000),
    ]


def _samples(n: int) -> Result:
    import numpy as np
    import pandas as pd

    import carkinetics as ck

    rng = np.random.default_rng(1)
    days = np.array([3.0, 7, 10, 14, 21, 28, 60, 90])
    level = np.exp(rng.normal(3.0, 1.5, n * days.size))
    patient = np.repeat([f"P{i:05}" for i in range(n)], days.size)
    samples = pd.DataFrame({"patient": patient, "day": np.tile(days, n), "level": level, "lloq": 2})

    def ours() -> Any:
        return ck.nca(samples)

    def peer() -> Any:
        return [
            (rows["level"].max(), rows["day"].iloc[rows["level"].argmax()],
             np.trapezoid(rows["level"].iloc[:6], rows["day"].iloc[:6]))
            for _, rows in samples.groupby("patient")
        ]  # fmt: skip

    found = ours()
    assert found.wide()["observed_cmax"].tolist() == [row[0] for row in peer()]
    repeats = 1 if n < 1000 else 5
    return Result(
        f"nca, {n:,} profiles [s]",
        median_seconds(ours, repeats),
        median_seconds(peer, repeats),
        "numpy, patient by patient",
        target=1.0,
    )


def _posterior(patients: int, draws: int) -> Result:
    import numpy as np

    import carkinetics as ck
    from carkinetics.inference.curves import levels_at

    fit = _made_up_fit(patients, draws)

    def ours() -> Any:
        return ck.summarize(fit, allow_failed=True)

    days = np.arange(0, 601) / 10

    def peer() -> Any:
        top, area = [], []
        every = fit.patient_draws()
        for i in range(patients):
            level = np.exp(levels_at(fit.plan, every[:, :, i], days).log_level)
            top.append(level.max(axis=-1))
            area.append(np.trapezoid(level[..., :281], days[:281], axis=-1))
        return np.array(top), np.array(area)

    found, (top, _) = ours(), peer()
    cmax = found.data["cmax"].values.reshape(-1, *found.data["cmax"].shape[2:])
    np.testing.assert_allclose(cmax.transpose(1, 0, 2), top, rtol=0.02)
    repeats = 1 if patients < 16 else 3
    return Result(
        f"summarize, {patients} patients, {4 * draws:,} draws [s]",
        median_seconds(ours, repeats),
        median_seconds(peer, repeats),
        "grid of a tenth of a day, numpy",
        target=2.0,
        reason="seconds are those of the machine: see docs/benchmarks.md",
    )


def _made_up_fit(patients: int, draws: int) -> Any:
    import numpy as np
    import xarray as xr

    import carkinetics as ck
    from carkinetics.inference import Fit
    from carkinetics.inference.planning import plan_fit

    cohort = ck.synthetic_cohort()
    cohort = cohort.select(cohort.patient_ids[:patients])
    model = ck.load_model("cd4_cd8_expansion")
    plan = plan_fit(
        model, cohort, assays=None, patient_effects="normal", residual="normal", correlated=False,
        tolerance=1e-6,
    )  # fmt: skip
    rng = np.random.default_rng(2)
    typical = model.typical(plan.layout.latent_unit)
    sample, coords = ("chain", "draw"), {"chain": np.arange(4), "draw": np.arange(draws)}
    spread = functools.partial(rng.normal, 0.0, 1.0)
    posterior, parameters = {}, {}
    for p in plan.parameters:
        center = typical[p.name]
        own = center * np.exp(0.3 * spread((1, 1, patients)) + 0.05 * spread((4, draws, patients)))
        parameters[p.name] = ((*sample, "patient"), own)
        location = _transformed(p.prior, center)
        posterior[p.variable] = (sample, location + 0.05 * spread((4, draws)))
    posterior |= {f"omega_{p.name}": (sample, np.full((4, draws), 0.3)) for p in plan.varying}
    posterior["sigma_flow"] = (sample, np.full((4, draws), 0.3))
    groups = {
        "/posterior": xr.Dataset(posterior, coords=coords),
        "/carkinetics/parameters": xr.Dataset(
            parameters, coords=coords | {"patient": list(plan.layout.patients)}
        ),
    }
    settings = {"chains": 4, "draws": draws, "seed": 2, "assays": ["flow", "qpcr"], "versions": {}}
    return Fit(model, cohort, xr.DataTree.from_dict(groups), settings, plan)


def _transformed(prior: Any, value: float) -> float:
    """Find the place on the prior's own scale that stands for a natural value."""
    from scipy.optimize import brentq

    return float(brentq(lambda x: float(prior.to_natural(x)) - value, -30.0, 30.0))
