"""The work of one process: fit, estimands, files."""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.batch.changes import changed_cohort
from carkinetics.batch.estimands import rows_of
from carkinetics.batch.exposures import parse_exposure
from carkinetics.batch.factors import FREE, SAMPLES
from carkinetics.batch.job import Analysis, Finished, Job
from carkinetics.batch.joint import JOINT, joint_job
from carkinetics.batch.keys import code_version, versions
from carkinetics.batch.predictive import ESTIMAND, elpd_record
from carkinetics.batch.rows import DONE, FAILED
from carkinetics.cohort import Cohort
from carkinetics.errors import CarkineticsError, CarkineticsWarning, FitError

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

_HOW = {SAMPLES: "from samples", "laplace": "refit, Laplace", "nuts": "refit, NUTS"}
NO_FIT: dict[str, Any] = {"divergences": None, "fit_seconds": 0.0, "data_hash": ""}
_GROUPS = ("location", "omega", "correlation", "residual", "link")


def work(job: Job) -> Finished:
    """Do the whole work of a job.

    Parameters
    ----------
    job : Job
        One fit with all that is computed from it.

    Returns
    -------
    Finished
        A result for every analysis: rows, or the reason why there are none. What the package
        refuses is a result; any other exception is a fault of the program, and is raised.
    """
    _check_versions(job)
    started, busy = time.monotonic(), time.process_time()
    if job.reweigh:
        from carkinetics.batch.reweigh import reweigh

        return reweigh(job)
    if job.analyses[0].choices["estimator"] == JOINT:
        finished = joint_job(job)
    else:
        finished = _from_samples(job) if job.method == SAMPLES else _from_a_fit(job)
    for found in finished.results.values():
        found["process_seconds"] = time.monotonic() - started
        found["processor_seconds"] = time.process_time() - busy
    return finished


def _from_samples(job: Job) -> Finished:
    """Analyze one variant after the other; each has data of its own."""
    results = {}
    cohorts: dict[str, Cohort] = {}
    for analysis in job.analyses:
        started = time.monotonic()
        try:
            if analysis.fit not in cohorts:
                cohorts[analysis.fit] = changed_cohort(job.cohort, analysis.choices, for_fit=False)
            cohort = cohorts[analysis.fit]
        except CarkineticsError as error:
            results[analysis.key] = failure(job, analysis, str(error), NO_FIT, started)
            continue
        facts = NO_FIT | {"data_hash": cohort.data_hash}
        results[analysis.key] = analyzed(job, analysis, cohort, None, facts)
    return Finished(results)


def _from_a_fit(job: Job) -> Finished:
    started = time.monotonic()
    facts, fit_file = dict(NO_FIT), None
    try:
        cohort = changed_cohort(job.cohort, job.analyses[0].choices, for_fit=True)
        facts["data_hash"] = cohort.data_hash
        fit, fit_file = fitted(job, cohort)
        known = {"data_hash": cohort.data_hash, "fit_seconds": time.monotonic() - started}
        facts = facts_of(fit) | known
        exposures = exposures_of(fit, job)
    except CarkineticsError as error:
        failed = {a.key: failure(job, a, str(error), facts, started) for a in job.analyses}
        return Finished(failed, fit_file, plain_data(facts))
    results = {a.key: analyzed(job, a, fit.cohort, exposures, facts) for a in job.analyses}
    if job.watched.elpd:
        _add_elpd(results, fit, job, facts)
    return Finished(results, fit_file, plain_data(facts))


def _add_elpd(
    results: dict[str, dict[str, Any]], fit: Fit, job: Job, facts: Mapping[str, Any]
) -> None:
    """Leave every patient out in turn, and put what that gives beside the other rows."""
    started = time.monotonic()
    try:
        with quiet():
            # Once for all: analyses of one fit have the same samples.
            found = elpd_record(fit, job, job.analyses[0])
    except CarkineticsError as error:
        found = {"row": {"estimand": ESTIMAND, "reason": str(error)}, "by_patient": {}}
    for analysis in job.analyses:
        result = results[analysis.key]
        result["rows"] += filled_rows(job, analysis, [found["row"]], facts, started)
        result["elpd"] = found["by_patient"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what a warning says of a fit: it stands in the table, as checks and divergences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        yield


def _check_versions(job: Job) -> None:
    """Refuse to compute with other packages than those the batch was planned with."""
    here = versions()
    other = [
        f"{name} {here.get(name, 'none')} instead of {wanted}"
        for name, wanted in job.versions.items()
        if here.get(name) != wanted
    ]
    if other:
        raise FitError(
            f"the worker has {', '.join(other)}. Install the same versions on every worker, or "
            "start the batch with those of the workers."
        )


def fitted(job: Job, cohort: Cohort) -> tuple[Fit, bytes | None]:
    """Load the fit if it is finished, else make it; its file is None where it was there."""
    from carkinetics.inference import load_fit

    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "fit.nc"
        if job.fit_file is not None:
            path.write_bytes(job.fit_file)
            return load_fit(path), None
        made = fit_variant(job, cohort)
        try:
            made.save(path)
        except FitError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error  # a full disk is no property of the variant
            raise
        return made, path.read_bytes()


def fit_variant(job: Job, cohort: Cohort) -> Fit:
    """Fit the model of a variant to its data."""
    from carkinetics.inference import fit

    choices = job.analyses[0].choices
    assert job.model is not None  # a plan without a model is one from samples
    scales = prior_scales(choices)
    options: dict[str, Any] = dict(job.settings)
    if job.method != "nuts":
        options["method"] = job.method
    if choices["covariates"] != "none":
        options["covariates"] = choices["covariates"]
    return fit(
        job.model,
        cohort,
        cores=job.cores,
        **kinetic_options(choices),
        prior_scale=scales,
        # Priors twice as wide may well look absurd by the measure of the base case.
        prior_check=all(scale <= 1 for scale in scales.values()),
        progress="log",
        **options,
    )


def kinetic_options(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments that both `fit` and `fit_joint` take from the factors."""
    found = {name: choices[name] for name in ("patient_effects", "residual", "correlated")}
    if choices["link_slope"] != FREE:
        found["link_slope"] = choices["link_slope"]
    return found


def prior_scales(choices: Mapping[str, Any]) -> dict[str, float]:
    """Give the factor on the spread of each group of priors."""
    whole = float(choices["prior_scale"])
    return {group: whole * float(choices[f"prior_scale_{group}"]) for group in _GROUPS}


def facts_of(fit: Fit) -> dict[str, Any]:
    """Collect what is known of a fit."""
    stats = fit.data["sample_stats"] if "sample_stats" in fit.data.children else {}
    diverging = int(stats["diverging"].sum()) if "diverging" in stats else None
    return NO_FIT | {"divergences": diverging}


def exposures_of(fit: Fit, job: Job) -> Exposure:
    """Summarize everything the analyses of a fit use, once."""
    from carkinetics.exposure import summarize

    names = [parse_exposure(a.choices["exposure"]).quantity for a in job.analyses]
    names += [parse_exposure(name).quantity for name in job.watched.exposures]
    wanted = list(dict.fromkeys((*names, "tmax")))
    with quiet():
        return summarize(fit, wanted, allow_failed=job.allow_failed)


def analyzed(
    job: Job,
    analysis: Analysis,
    cohort: Cohort,
    exposures: Exposure | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Compute the rows of one variant, or the reason why there are none."""
    started = time.monotonic()
    try:
        with quiet():
            rows = rows_of(cohort, exposures, analysis.choices, job.watched, job.settings["seed"])
    except CarkineticsError as error:
        return failure(job, analysis, str(error), facts, started)
    return result(job, analysis, rows, facts, started)


def result(
    job: Job,
    analysis: Analysis,
    rows: list[dict[str, Any]],
    facts: Mapping[str, Any],
    started: float,
) -> dict[str, Any]:
    """Put rows and what they rest on into the record of one variant."""
    return plain_data(
        {
            "analysis_id": analysis.name,
            "factor": analysis.factor,
            "level": analysis.level,
            "choices": dict(analysis.choices),
            "method": job.method,
            "rows": filled_rows(job, analysis, rows, facts, started),
        }
    )


def filled_rows(
    job: Job,
    analysis: Analysis,
    rows: list[dict[str, Any]],
    facts: Mapping[str, Any],
    started: float,
) -> list[dict[str, Any]]:
    """Add to rows what all those of a variant share."""
    seconds = time.monotonic() - started + float(facts["fit_seconds"])
    shared = {
        "divergences": facts["divergences"],
        "khat_max": facts.get("khat_max"),
        "p_dir": None,
        "seconds": round(seconds, 3),
        "data_hash": facts["data_hash"],
        "code_version": code_version(),
        "how": facts.get("how", _HOW[job.method]),
        "fit": analysis.fit,
    }
    filled = [shared | row | {"status": FAILED if row.get("reason") else DONE} for row in rows]
    return [plain_data(row) for row in filled]


def failure(
    job: Job, analysis: Analysis, reason: str, facts: Mapping[str, Any], started: float
) -> dict[str, Any]:
    """Make the record of a variant without a number."""
    return result(job, analysis, [{"estimand": "", "reason": reason}], facts, started)


def plain_data(value: Any) -> Any:
    """Give plain data that JSON knows; a number that is none becomes nothing."""
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value
