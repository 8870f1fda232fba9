"""Variants that are well written and cannot be analyzed, found before anything is fitted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from carkinetics.batch.changes import parse_subset
from carkinetics.batch.exposures import parse_exposure, sample_assay
from carkinetics.batch.factors import FACTORS, FREE, SAMPLES
from carkinetics.batch.outcomes import OVER_TIME, with_outcome, with_transplant, without_outcome
from carkinetics.batch.variants import Variant, Variants
from carkinetics.batch.words import frozen
from carkinetics.cohort import Cohort
from carkinetics.errors import CarkineticsError, DataError, Fault
from carkinetics.outcomes.adjustment import covariates
from carkinetics.outcomes.endpoint import SURVIVAL, after_landmark, read_endpoint
from carkinetics.outcomes.guards import DEFAULT_WINDOW, check_clock

_NAMES = (
    "exposure", "outcome", "landmark", "subset", "adjust", "leave_out", "assay", "estimator",
    "covariates", "transplant", "link_slope", "test",
    *(n for n in FACTORS if n.startswith("prior_scale")),
)  # fmt: skip
_LATENT = re.compile(r"cmax|auc_0_\d+|level_\d+")


def refusals(
    variants: Iterable[Variant], declared: Variants, cohort: Cohort, method: str
) -> dict[str, str]:
    """Find the variants that every analysis would refuse.

    Parameters
    ----------
    variants : iterable of Variant
        Whose levels are valid one by one.
    declared : Variants
        With the outcomes watched.
    cohort : Cohort
        Levels and patients.
    method : str
        How exposures are found.

    Returns
    -------
    dict of str to str
        The reason, by the name of the variant: an exposure that is defined after the clock
        starts, a patient who is both left out and the only one left, an assay without samples.
    """
    known: dict[str, str] = {}
    found = {}
    for variant in variants:
        c = variant.choices
        part = frozen({name: c[name] for name in _NAMES})
        if part not in known:
            known[part] = _reason(c, declared, cohort, method)
        if known[part]:
            found[variant.name] = known[part]
    return found


def _reason(choices: Any, declared: Variants, cohort: Cohort, method: str) -> str:
    exposure = parse_exposure(choices["exposure"])
    if method == SAMPLES:
        assay = exposure.assay or sample_assay(cohort)
        if choices["assay"] not in ("all", assay) and exposure.assay:
            return f"exposure {choices['exposure']} needs {assay}, which is left out"
    if choices["assay"] != "all" and choices["assay"] not in cohort.assays:
        return f"the cohort has no {choices['assay']} samples"
    if choices["link_slope"] != FREE and choices["assay"] != "all":
        return f"without both assays there is no link whose slope could be {choices['link_slope']}"
    if choices["estimator"] == "joint":
        watched = bool(declared.outcomes or choices["outcome"])
        if reason := _no_joint(choices, exposure.quantity, watched):
            return reason
    elif choices["prior_scale_slope"] != 1:
        return "only the joint model has a prior of the slope: choose estimator 'joint'"
    if choices["transplant"] == OVER_TIME and (reason := _no_change_of_hazard(choices)):
        return reason
    for outcome in declared.outcomes or ((choices["outcome"],) if choices["outcome"] else ()):
        try:
            _check(choices, exposure.quantity, outcome, cohort)
        except CarkineticsError as error:
            return str(error)
    return ""


def _no_change_of_hazard(choices: Any) -> str:
    """Say why the hazard cannot change on the day of a transplant, or nothing."""
    if choices["estimator"] in ("joint", "cut"):
        return f"estimator {choices['estimator']!r} knows no hazard that changes at transplant"
    if choices["adjust"] != "none" or choices["test"]:
        return "a hazard that changes at transplant goes with no other test and no adjustment"
    return ""


def _no_joint(choices: Any, quantity: str, outcomes: bool) -> str:
    """Say why a joint model cannot be fitted with these choices, or nothing."""
    if not _LATENT.fullmatch(quantity):
        return f"{quantity} is no exposure of a joint model (cmax, auc_0_<day>, level_<day>)"
    if not outcomes:
        return "a joint model needs an outcome"
    scales = [n for n in choices if n.startswith("prior_scale") and n != "prior_scale_slope"]
    changed = [n for n in scales if choices[n] != 1]
    changed += ["covariates"] if choices["covariates"] != "none" else []
    return f"a joint fit takes no {', '.join(changed)}" if changed else ""


def _check(choices: Any, quantity: str, outcome: str, cohort: Cohort) -> None:
    kept = set(parse_subset(choices["subset"], cohort))
    gone = choices["leave_out"]
    kept -= {gone} if isinstance(gone, str) else set(gone)
    changed, name = with_outcome(with_transplant(cohort, choices["transplant"]), outcome)
    endpoint = read_endpoint(without_outcome(changed, name, tuple(kept)), name)
    if choices["transplant"] == OVER_TIME and endpoint.kind != SURVIVAL:
        what = f"{outcome} has no hazard that could change at transplant"
        raise DataError(Fault(cohort.name, what, "Choose a survival outcome."))
    landmark = float(choices["landmark"])
    if landmark > 0 and endpoint.kind == SURVIVAL:
        endpoint = after_landmark(endpoint, landmark)
    check_clock(
        endpoint,
        quantity,
        landmark=landmark or None,
        window=DEFAULT_WINDOW,
        allow_after_day_0=False,
        cohort=cohort.name,
    )
    adjust = choices["adjust"]
    if adjust != "none":
        covariates(cohort, (adjust,) if isinstance(adjust, str) else tuple(adjust), name)
