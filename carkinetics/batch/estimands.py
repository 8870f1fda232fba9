"""From a fit, or from samples, to the rows of one variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.batch.changes import parse_subset
from carkinetics.batch.exposures import ExposureChoice, parse_exposure, sample_assay
from carkinetics.batch.job import Watched
from carkinetics.batch.outcomes import OVER_TIME, with_outcome, with_transplant, without_outcome
from carkinetics.batch.rows import COLUMNS
from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import associate
from carkinetics.outcomes.association import (
    OBSERVED_VALUE,
    POSTERIOR_MEAN,
    PROPAGATED,
    Association,
    Estimate,
)
from carkinetics.outcomes.exposure_values import observed_values
from carkinetics.outcomes.transplant import ACROSS_TRANSPLANT

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure

_MODES = {"posterior mean": POSTERIOR_MEAN, "observed": OBSERVED_VALUE, "cut": PROPAGATED}
_DOUBLING = "per doubling"


def rows_of(
    cohort: Cohort,
    exposures: Exposure | None,
    choices: Mapping[str, Any],
    watched: Watched,
    seed: int = 2026,
) -> list[dict[str, Any]]:
    """Compute everything watched for one variant.

    Parameters
    ----------
    cohort : Cohort
        Its data changed as the variant says.
    exposures : Exposure or None
        From its fit; None where exposures are taken from samples.
    choices : mapping of str to level
        Of every factor.
    watched : Watched
        What to compute.
    seed : int
        Of drawn permutations.

    Returns
    -------
    list of dict
        One row per estimand: `COLUMNS` as far as they do not depend on the run.

    Raises
    ------
    CarkineticsError
        Where the analysis is refused.
    """
    exposure = parse_exposure(choices["exposure"])
    outcomes = watched.outcomes or (() if not choices["outcome"] else (choices["outcome"],))
    rows = [
        _associated(cohort, exposures, exposure, outcome, choices, watched, seed)
        for outcome in outcomes
    ]
    rows += [
        _geometric_mean(cohort, exposures, parse_exposure(name), choices, watched)
        for name in watched.exposures
    ]
    return rows


def _associated(
    cohort: Cohort,
    exposures: Exposure | None,
    exposure: ExposureChoice,
    outcome: str,
    choices: Mapping[str, Any],
    watched: Watched,
    seed: int,
) -> dict[str, Any]:
    named, column = with_outcome(with_transplant(cohort, choices["transplant"]), outcome)
    kept = parse_subset(choices["subset"], cohort)
    analyzed = named if choices["subset"] == "all" else without_outcome(named, column, kept)
    source: Any = analyzed if exposures is None else replace(exposures, cohort=analyzed)
    landmark, adjust = float(choices["landmark"]), choices["adjust"]
    assay = exposure.assay or sample_assay(cohort)
    found = associate(
        source,
        exposure.quantity,
        column,
        exposure.cell_type,
        assay,
        probability=watched.probability,
        landmark=landmark if landmark > 0 else None,
        adjust=() if adjust == "none" else (adjust,) if isinstance(adjust, str) else tuple(adjust),
        propagate=choices["estimator"] == "cut",
        transplant_over_time=choices["transplant"] == OVER_TIME,
        power=False,
        seed=seed,
        rules=_rules(choices) if exposures is None else "default",
    )
    estimate = _chosen(found, choices)
    logs = np.empty(0)
    if watched.per == "sd":
        logs = _log_values(cohort, exposures, exposure, assay, choices)
    estimate = told_per(estimate, watched.per, logs)
    return row_of(
        f"{outcome}: {estimate.measure}" if watched.outcomes else estimate.measure, estimate
    )


def _chosen(found: Association, choices: Mapping[str, Any]) -> Estimate:
    """Take the estimate asked for: a ratio from a regression, if there is one."""
    estimates = found.of_mode(_MODES[choices["estimator"]])
    wanted = ACROSS_TRANSPLANT if choices["transplant"] == OVER_TIME else choices["test"]
    if wanted:
        estimates = tuple(e for e in estimates if e.method == wanted)
    if not estimates:
        have = "; ".join(dict.fromkeys(e.method for e in found.estimates))
        what = f"there is no {choices['estimator']} estimate by {wanted or 'any method'}"
        where = f"{found.exposure} and {found.outcome}"
        raise DataError(Fault(where, what, f"There are: {have}."))
    ratios = [e for e in estimates if "ratio" in e.measure and "medians" not in e.measure]
    return (ratios or list(estimates))[0]


def told_per(estimate: Estimate, per: str, logs: np.ndarray) -> Estimate:
    """Tell a ratio in the unit asked for; for one per SD with the log exposure of all patients."""
    if per == "ten-fold":
        return estimate.tenfold()
    return _per_sd(estimate, logs) if per == "sd" else estimate


def _per_sd(estimate: Estimate, logs: np.ndarray) -> Estimate:
    """Tell a ratio per doubling as one per SD of the log exposure over all patients."""
    if not estimate.measure.endswith(_DOUBLING):
        return estimate
    power = float(np.std(logs[np.isfinite(logs)], ddof=1) / np.log(2.0))
    values = np.array([estimate.estimate, estimate.lower, estimate.upper]) ** power
    measure = estimate.measure.removesuffix(_DOUBLING) + "per SD of log exposure"
    one, low, high = map(float, values)
    return replace(estimate, measure=measure, estimate=one, lower=low, upper=high)


def _log_values(
    cohort: Cohort,
    exposures: Exposure | None,
    exposure: ExposureChoice,
    assay: str,
    choices: Mapping[str, Any],
) -> np.ndarray:
    """Give the log exposure of every patient, in the subset or not."""
    if exposures is None:
        found = observed_values(
            cohort, exposure.quantity, assay, exposure.cell_type, _rules(choices)
        )
        return found.table["x"].to_numpy(float)
    draws = exposures.data[exposure.quantity].sel(cell_type=exposure.cell_type)
    with np.errstate(divide="ignore"):
        logs = np.log(draws.transpose("patient", "chain", "draw").values.astype(float))
    return logs.reshape(len(logs), -1).mean(axis=1)


def _geometric_mean(
    cohort: Cohort,
    exposures: Exposure | None,
    exposure: ExposureChoice,
    choices: Mapping[str, Any],
    watched: Watched,
) -> dict[str, Any]:
    """Give the geometric mean of a quantity over patients, with its interval."""
    from scipy import stats

    tail = (1.0 - watched.probability) / 2.0
    name = f"geometric mean of {exposure.quantity} ({exposure.cell_type})"
    if exposures is None:
        assay = exposure.assay or sample_assay(cohort)
        logs = _log_values(cohort, None, exposure, assay, choices)
        logs = logs[np.isfinite(logs)]
        if logs.size < 2:
            raise DataError(Fault(name, "fewer than two patients have one", "Choose another."))
        center, error = float(logs.mean()), float(stats.sem(logs))
        low, high = center + error * stats.t(logs.size - 1).ppf([tail, 1 - tail])
        kind, n = "t interval of the logs over patients", logs.size
    else:
        draws = exposures.data[exposure.quantity].sel(cell_type=exposure.cell_type)
        with np.errstate(divide="ignore"):
            logs = np.log(draws.transpose("chain", "draw", "patient").values.astype(float))
        over = logs.mean(axis=2).ravel()
        if not np.isfinite(over).all():
            what = "is 0 or missing in some draws of some patients"
            raise DataError(Fault(name, what, "Watch another quantity."))
        center, (low, high) = float(np.median(over)), np.quantile(over, [tail, 1 - tail])
        kind, n = "equal-tailed, of the draws", logs.shape[2]
    estimate = Estimate(
        mode="", method="geometric mean", measure=name, estimate=float(np.exp(center)),
        lower=float(np.exp(low)), upper=float(np.exp(high)), probability=watched.probability,
        interval_kind=kind, n=int(n),
    )  # fmt: skip
    return row_of(name, estimate)


def row_of(estimand: str, e: Estimate) -> dict[str, Any]:
    """Put an estimate into the columns of the table; a number that is missing keeps its reason."""
    row = {
        "estimand": estimand,
        "estimate": e.estimate,
        "lo": e.lower,
        "hi": e.upper,
        "p_value": e.p_value,
        "p_kind": e.p_kind,
        "n": e.n,
        "events": e.n_events,
        "probability": e.probability,
        "interval_kind": e.interval_kind,
        "method": e.method,
        "reason": e.note if e.missing else "",
    }
    return {name: row[name] for name in COLUMNS if name in row}


def _rules(choices: Mapping[str, Any]) -> dict[str, str]:
    """Give the rules of the noncompartmental analysis."""
    return {"blq": choices["blq"]}
