"""Variants whose estimator is the joint model: exposure and outcomes in one posterior."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.batch.changes import changed_cohort, parse_subset
from carkinetics.batch.estimands import row_of, rows_of, told_per
from carkinetics.batch.exposures import parse_exposure
from carkinetics.batch.job import Analysis, Finished, Job
from carkinetics.batch.outcomes import with_outcome, with_transplant, without_outcome
from carkinetics.batch.predictive import ESTIMAND
from carkinetics.errors import CarkineticsError, FitError
from carkinetics.sensitivity.weights import Weights, pareto_weights

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.outcomes.joint import JointFit

JOINT = "joint"
REWEIGHTED = "joint model, reweighted"
# What such a fit depends on besides data and kinetics.
PARTS = ("exposure", "outcome", "landmark", "transplant", "subset", "adjust")


def joint_parts(choices: Mapping[str, Any], outcomes: tuple[str, ...]) -> dict[str, Any] | None:
    """Give what a joint fit depends on besides data and kinetics; None for other estimators."""
    if choices["estimator"] != JOINT:
        return None
    return {name: choices[name] for name in PARTS} | {"outcomes": list(outcomes)}


def outcomes_of(job: Job, analysis: Analysis) -> tuple[str, ...]:
    """Give the outcomes of a joint fit."""
    return job.watched.outcomes or (analysis.choices["outcome"],)


def fit_of(job: Job, cohort: Cohort) -> tuple[JointFit, bytes | None]:
    """Load the joint fit if it is finished, else make it; its file is None where it was there."""
    from carkinetics.outcomes.joint import load_joint

    analysis = job.analyses[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.nc"
        if job.fit_file is not None:
            path.write_bytes(job.fit_file)
            return load_joint(path), None
        made = _made(job, analysis, cohort, 1.0)
        try:
            made.save(path)
        except FitError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error  # a full disk is no property of the variant
            raise
        return made, path.read_bytes()


def _made(job: Job, analysis: Analysis, cohort: Cohort, slope_scale: float) -> JointFit:
    """Fit kinetics and outcomes of a variant."""
    from carkinetics.batch.work import kinetic_options
    from carkinetics.outcomes.joint import fit_joint

    choices = analysis.choices
    exposure, adjust = parse_exposure(choices["exposure"]), choices["adjust"]
    ended = with_transplant(cohort, choices["transplant"])
    prepared, names = _prepared(ended, outcomes_of(job, analysis), choices["subset"])
    assert job.model is not None  # a plan without a model is one from samples
    landmark = float(choices["landmark"])
    return fit_joint(
        job.model,
        prepared,
        exposure.quantity,
        names,
        cell_type=exposure.cell_type,
        landmark=landmark if landmark > 0 else None,
        adjust=() if adjust == "none" else (adjust,) if isinstance(adjust, str) else adjust,
        slope_scale=slope_scale,
        cores=job.cores,
        progress="log",
        **kinetic_options(choices),
        **job.settings,
    )


def rows_of_joint(job: Job, analysis: Analysis, joint: JointFit) -> list[dict[str, Any]]:
    """Compute the rows of a variant from its joint fit."""
    from carkinetics.outcomes.joint.association import joint_estimates

    logs = _log_exposure(joint) if job.watched.per == "sd" else np.empty(0)
    scale = float(analysis.choices["prior_scale_slope"])
    weights = slope_weights(joint, scale)
    if not weights.usable:
        # Too far from the prior of the fit to be had by weights.
        joint = _made(
            job, analysis, changed_cohort(job.cohort, analysis.choices, for_fit=True), scale
        )
        _check(job, joint)
        weights = slope_weights(joint, scale)
    is_fitted = weights.khat == -np.inf
    told = {} if is_fitted else {"how": REWEIGHTED, "khat_max": weights.khat}
    at = weights.resampled(weights.values.size)
    rows = []
    for outcome in outcomes_of(job, analysis):
        _, name = with_outcome(joint.kinetics.cohort, outcome)
        estimate = joint_estimates(joint, name, job.watched.probability)[0]
        slope = joint.slope(name)
        if not is_fitted:
            slope = replace(slope, draws=slope.draws[at])
            lower, upper = slope.interval(job.watched.probability)
            estimate = replace(estimate, estimate=slope.ratio(0.5), lower=lower, upper=upper)
        negative = slope.negative
        estimate = told_per(estimate, job.watched.per, logs)
        label = f"{outcome}: {estimate.measure}" if job.watched.outcomes else estimate.measure
        rows.append(row_of(label, estimate) | {"p_dir": max(negative, 1.0 - negative)} | told)
    if job.watched.elpd:
        why = "leaving a patient out of a joint fit would leave out outcomes as well"
        rows.append({"estimand": ESTIMAND, "reason": why})
    if job.watched.exposures:
        from carkinetics.exposure import summarize

        names = [parse_exposure(q).quantity for q in job.watched.exposures]
        exposures = summarize(joint.kinetics, names, allow_failed=True)
        if not is_fitted:
            from carkinetics.batch.reweigh import weighed

            every = np.arange(weights.values.size)
            exposures = weighed(exposures, weights, every, joint.kinetics.cohort)
        watched = replace(job.watched, outcomes=())
        choices = dict(analysis.choices) | {"outcome": ""}
        found = rows_of(joint.kinetics.cohort, exposures, choices, watched)
        rows += [row | told for row in found]
    return rows


def slope_weights(joint: JointFit, scale: float) -> Weights:
    """Weigh the draws of a joint fit as if the priors of its slopes had another SD.

    Parameters
    ----------
    joint : JointFit
        With its draws.
    scale : float
        Factor on the SD of the Normal prior of every slope.

    Returns
    -------
    Weights
        Draws in the order (chain, draw), flat.
    """
    slopes = [joint.slope(outcome.name) for outcome in joint.outcomes]
    squares = [(slope.draws / slope.prior_sd) ** 2 for slope in slopes]
    moved = scale / joint.extension.slope_scale
    return pareto_weights(0.5 * (1.0 - moved**-2) * np.sum(squares, axis=0))


def _log_exposure(joint: JointFit) -> np.ndarray:
    """Give the posterior mean of every patient's log exposure."""
    from carkinetics.exposure import summarize

    found = summarize(joint.kinetics, [joint.exposure], allow_failed=True).data[joint.exposure]
    logs = np.log(found.sel(cell_type=joint.cell_type).transpose("patient", "chain", "draw").values)
    return logs.reshape(len(logs), -1).mean(axis=1)


def _prepared(cohort: Cohort, outcomes: tuple[str, ...], subset: str) -> tuple[Cohort, list[str]]:
    """Make the columns of the outcomes, missing for those outside the subset."""
    kept = parse_subset(subset, cohort)
    names = []
    for outcome in outcomes:
        cohort, name = with_outcome(cohort, outcome)
        if subset != "all":
            cohort = without_outcome(cohort, name, kept)
        names.append(name)
    return cohort, names


def _check(job: Job, joint: JointFit) -> None:
    check = joint.check()
    if not check.passed and not job.allow_failed:
        raise FitError(str(check))


def joint_job(job: Job) -> Finished:
    """Do the whole work of a joint fit; see `work`."""
    from carkinetics.batch.work import NO_FIT, facts_of, failure, plain_data, quiet, result

    started = time.monotonic()
    facts, fit_file = dict(NO_FIT), None
    try:
        with quiet():
            cohort = changed_cohort(job.cohort, job.analyses[0].choices, for_fit=True)
            facts["data_hash"] = cohort.data_hash
            joint, fit_file = fit_of(job, cohort)
            facts |= facts_of(joint.kinetics) | {"data_hash": cohort.data_hash}
            _check(job, joint)
    except CarkineticsError as error:
        failed = {a.key: failure(job, a, str(error), facts, started) for a in job.analyses}
        return Finished(failed, fit_file, plain_data(facts))
    facts["how"] = "refit, joint model, NUTS"
    results = {}
    for analysis in job.analyses:
        try:
            with quiet():
                rows = rows_of_joint(job, analysis, joint)
            results[analysis.key] = result(job, analysis, rows, facts, started)
        except CarkineticsError as error:
            results[analysis.key] = failure(job, analysis, str(error), facts, started)
    return Finished(results, fit_file, plain_data(facts))
