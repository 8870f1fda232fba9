"""Variants near the base case, from its own draws: weighed, and fitted again where that fails."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from carkinetics.batch.changes import changed_cohort
from carkinetics.batch.job import Analysis, Finished, Job
from carkinetics.batch.work import (
    analyzed,
    exposures_of,
    facts_of,
    fitted,
    prior_scales,
    quiet,
)
from carkinetics.errors import CarkineticsError
from carkinetics.sensitivity.changed_data import changed_data
from carkinetics.sensitivity.patients_out import leave_patients_out
from carkinetics.sensitivity.power_scaling import rescaled_priors
from carkinetics.sensitivity.weights import Weights

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

HOW = "base case, reweighted"


def reweigh(job: Job) -> Finished:
    """Analyze variants with the weighed draws of the base case.

    Parameters
    ----------
    job : Job
        With the finished fit of the base case, and the analyses of all variants to be tried.

    Returns
    -------
    Finished
        A result for every analysis whose weights can be used; the others need a fit.
    """
    started = time.monotonic()
    if job.fit_file is None:
        return Finished({})
    try:
        with quiet():
            fit, _ = fitted(job, job.cohort)
            exposures = exposures_of(fit, job)
    except CarkineticsError:
        return Finished({})  # the base case fails its checks: its draws are of no use to others
    facts = facts_of(fit)
    results: dict[str, dict[str, Any]] = {}
    for group in _by_fit(job.analyses).values():
        began = time.monotonic()
        with quiet():
            found = _weights(fit, job, group[0])
        if found is None or not found[0].usable:
            continue
        weights, draws, cohort = found
        changed = weighed(exposures, weights, draws, cohort)
        shared = facts | {
            "fit_seconds": time.monotonic() - began,
            "data_hash": cohort.data_hash,
            "khat_max": weights.khat,
            "how": HOW,
        }
        for analysis in group:
            results[analysis.key] = analyzed(job, analysis, cohort, changed, shared)
    for result in results.values():
        result["process_seconds"] = (time.monotonic() - started) / len(results)
    return Finished(results)


def _by_fit(analyses: tuple[Analysis, ...]) -> dict[str, list[Analysis]]:
    found: dict[str, list[Analysis]] = {}
    for analysis in analyses:
        found.setdefault(analysis.fit, []).append(analysis)
    return found


def _weights(fit: Fit, job: Job, analysis: Analysis) -> tuple[Weights, np.ndarray, Cohort] | None:
    """Weigh the draws for a variant; None where its data need other parameters."""
    choices = analysis.choices
    posterior = fit.data["posterior"]
    every = np.arange(posterior.sizes["chain"] * posterior.sizes["draw"])
    try:
        cohort = changed_cohort(job.cohort, choices, for_fit=True)
        if choices["leave_out"] != "none":
            name = str(choices["leave_out"])
            if name not in fit.patients:
                return None
            out = leave_patients_out(fit, [name], seed=int(job.settings["seed"]))
            return out.patients[name].weights, out.draws, cohort
        scales = prior_scales(choices)
        if scales != {group: 1.0 for group in scales} | dict(fit.plan.prior_scale):
            return rescaled_priors(fit, scales), every, cohort
        return changed_data(fit, cohort), every, cohort
    except CarkineticsError:
        return None  # the fit that follows says the same, or does without


def weighed(exposures: Exposure, weights: Weights, draws: np.ndarray, cohort: Cohort) -> Exposure:
    """Repeat the draws of exposures in proportion to their weights, in one chain."""
    positions = draws[weights.resampled(max(len(draws), 1000))]
    data = exposures.data.sel(patient=[p for p in exposures.data["patient"].values
                                       if p in cohort.patient_ids])  # fmt: skip
    variables = {}
    for name, values in data.data_vars.items():
        ordered = values.transpose("chain", "draw", ...)
        flat = ordered.values.reshape(-1, *ordered.shape[2:])[positions]
        variables[name] = (ordered.dims, flat[None], values.attrs)
    coords = {n: data[n].values for n in ("patient", "cell_type")}
    coords |= {"chain": np.arange(1), "draw": np.arange(len(positions))}
    return replace(exposures, data=xr.Dataset(variables, coords=coords), cohort=cohort)
