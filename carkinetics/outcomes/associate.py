"""Relate an exposure to an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import OBSERVED
from carkinetics.outcomes.adjustment import covariates, few_events
from carkinetics.outcomes.association import POSTERIOR_MEAN, Association, Estimate
from carkinetics.outcomes.assumed_power import LEVEL, AssumedPower, assumed_power, is_unsure
from carkinetics.outcomes.competing import competing
from carkinetics.outcomes.cut_by_cut import cut_note
from carkinetics.outcomes.endpoint import (
    ORDINAL,
    SURVIVAL,
    Endpoint,
    after_landmark,
    read_endpoint,
)
from carkinetics.outcomes.estimates import estimates_of
from carkinetics.outcomes.exposure_values import (
    OBSERVED_ONLY,
    ExposureValues,
    has_observed,
    observed_values,
    posterior_values,
)
from carkinetics.outcomes.followed import follow
from carkinetics.outcomes.guards import (
    DEFAULT_WINDOW,
    check_clock,
    check_landmark,
    check_numbers,
    check_time_dependent,
    is_before,
    late_peaks,
    order_in_time,
)
from carkinetics.outcomes.pairing import counted_by_reason, draws_of, pair_up
from carkinetics.outcomes.patient_rows import patient_table
from carkinetics.outcomes.propagated import propagated_estimates
from carkinetics.outcomes.selection import before_onset, selected
from carkinetics.outcomes.transplant import across_transplant
from carkinetics.quantities import find_quantity

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit
    from carkinetics.outcomes.joint import JointFit

_APPROXIMATE = (
    "APPROXIMATE: the exposures come from a fit by Laplace's approximation, not from MCMC; its "
    "intervals and its shrinkage are approximate, too"
)
_HEADLINE = (
    "the headline estimate, with kinetics and outcome in one posterior, is that of the joint "
    "model: ck.associate(ck.fit_joint(...), ...)"
)


def associate(
    source: JointFit | Fit | Exposure | Cohort,
    exposure: str | None = None,
    outcome: str = "ttp",
    cell_type: str | None = None,
    assay: str = "flow",
    *,
    probability: float = 0.95,
    landmark: float | None = None,
    window: float = DEFAULT_WINDOW,
    time_dependent: bool = False,
    allow_after_day_0: bool = False,
    adjust: Sequence[str] = (),
    transplant_over_time: bool = False,
    assumed_ratio: float | None = None,
    propagate: bool = True,
    power: bool = True,
    rules: object = "default",
    seed: int = 2026,
) -> Association:
    """Relate an exposure to an outcome, with all estimators side by side.

    Parameters
    ----------
    source : JointFit, Fit, Exposure or Cohort
        A joint fit gives the headline estimate and, where it was made with a fit of the kinetics
        alone, all that such a fit gives. A fit or its exposures give the posterior mean of the
        log exposure, the observed value and the propagated (cut) posterior; a cohort gives the
        observed value only.
    exposure : str, optional
        Name of a quantity, such as ``"cmax"`` (the default), ``"auc_0_28"``, ``"tmax"``,
        ``"level_7"``, ``"persistence"``, ``"detectable_28"``, ``"slope_3_7"``; that of a joint
        fit. All but the last two go in as natural logs.
    outcome : str
        ``"ttp"``, ``"pfs"``, ``"os"``, ``"dor"`` (duration of response, in responders),
        ``"crs_grade"``, ``"iec_hs"`` or any column of the table of patients: true and false is
        binary, whole numbers up to 10 are grades, others continuous.
    cell_type : str, optional
        ``"total"`` (the default), ``"CD4"`` or ``"CD8"``; that of a joint fit.
    assay : str
        Assay of the observed values.
    probability : float
        Coverage of all intervals.
    landmark : float, optional
        Survival only: patients whose event or censoring comes by this day are left out, and the
        clock restarts on it [day].
    window : float
        Day by which peak and Tmax are reached [day].
    time_dependent : bool
        Survival only: the exposure so far (highest level, or area) is followed along the clock,
        so that nobody is credited with the future; from samples.
    allow_after_day_0 : bool
        Go on where the exposure is defined after the clock starts, and say so in the notes.
    adjust : sequence of str
        Columns of the table of patients that regressions adjust for. Treatments of toxicity are
        refused where the outcome is a toxicity.
    transplant_over_time : bool
        Survival only: also let the hazard change on the day of transplant. To end follow-up
        there instead, give ``ck.censor_at_transplant(cohort)``.
    assumed_ratio : float, optional
        Hazard or odds ratio per doubling at which the power beside a p-value above 0.05 is told;
        0.6 and 1.7 by default.
    propagate : bool
        Also pool the estimates of single draws, where there is a posterior.
    power : bool
        Also tell the power where a p-value is above 0.05, which takes most of the time.
    rules : Rules, str or mapping
        Of the noncompartmental analysis that gives the observed values; see `nca`.
    seed : int
        Of permutations, drawn where counting all of them would take too long.

    Returns
    -------
    Association
        Ratios are told per doubling of exposure (``table(per="ten-fold")`` for ten-fold; slopes,
        which may be negative, per 0.1/day, and chances of detection from 0 to 1), with
        p-values from likelihood ratios or permutations, never Wald. Patients without outcome or
        without exposure are left out and counted in the notes; those below the limit of
        quantification are not.

    Raises
    ------
    DataError
        If the outcome is unknown, the exposure is defined after the clock starts, or a covariate
        cannot be used.

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> found = associate(synthetic_cohort(), exposure="cmax", outcome="ttp")
    >>> [f"{e.method}: {e.measure} {e.estimate:.2f}" for e in found.estimates][:1]
    ['Cox (Efron): hazard ratio per doubling 0.60']
    """
    check_numbers(probability, window, landmark, assumed_ratio)
    joint: Any = source if hasattr(source, "kinetics_only") else None
    if joint is not None:
        from carkinetics.outcomes.joint.association import asked_of

        asked = asked_of(
            joint, outcome, exposure=exposure, cell_type=cell_type, landmark=landmark,
            adjust=adjust or None,
        )  # fmt: skip
        source, exposure, cell_type = asked.source, asked.exposure, asked.cell_type
        landmark, time_dependent, adjust = asked.landmark, asked.time_dependent, asked.adjust
        allow_after_day_0 = allow_after_day_0 or asked.allow_after_day_0
        assay = assay if assay in joint.kinetics.cohort.assays else asked.assay
    exposure, cell_type = "cmax" if exposure is None else exposure, cell_type or "total"
    label = _label(exposure)
    cohort, exposures = _resolve(source, exposure)
    endpoint = read_endpoint(cohort, outcome)
    check_landmark(endpoint, landmark, cohort.name)
    check_time_dependent(endpoint, landmark, time_dependent, cohort.name)
    if landmark is not None:
        endpoint = after_landmark(endpoint, landmark)
    if time_dependent:
        exposures = None  # the latent exposure so far belongs to the joint model
    notes = check_clock(
        endpoint,
        exposure,
        landmark=landmark,
        window=window,
        allow_after_day_0=allow_after_day_0 or time_dependent,
        cohort=cohort.name,
    )
    notes = () if time_dependent else notes
    adjusted = covariates(cohort, adjust, outcome)
    if transplant_over_time:
        _check_transplant(endpoint, time_dependent, bool(len(adjusted.columns)), cohort.name)
    modes, absent = _modes(cohort, exposures, exposure, cell_type, assay, probability, rules)
    estimates: tuple[Estimate, ...] = ()
    left_out = counted_by_reason(endpoint.left_out)
    told = None
    for values in modes:
        pairs, missing = pair_up(values, endpoint, adjusted, probability, seed)
        if time_dependent:
            found, missing = follow(
                cohort, endpoint, exposure, assay, cell_type, probability, pairs.mode
            )
        else:
            found = estimates_of(endpoint.kind, pairs)
            notes += few_events(max(e.n_events for e in found), 1 + pairs.adjusted)
        if transplant_over_time:
            found += (across_transplant(cohort, endpoint, values, pairs),)
        estimates += found
        if propagate and values.draws.size and not pairs.adjusted:
            estimates += propagated_estimates(endpoint.kind, draws_of(values, endpoint, pairs))
        if power and told is None and not time_dependent and is_unsure(found):
            told = assumed_power(endpoint.kind, pairs, assumed_ratio)
        known_day = max(window, landmark or 0.0)
        notes += late_peaks(endpoint, exposure, values.tmax, known_day, _word(values))
        if not is_before(endpoint, exposure, window):
            notes += order_in_time(endpoint, values.tmax, _word(values))
        notes += values.notes
        notes += _few_have_it(exposure, _word(values), len(pairs.rank), len(missing))
        if endpoint.kind == ORDINAL:
            notes += cut_note(pairs, _word(values))
        left_out += tuple(
            f"{_word(values)} exposure, {text}" for text in counted_by_reason(missing)
        )
    notes += before_onset(endpoint, exposure) + selected(cohort, endpoint)
    notes += competing(cohort, endpoint)
    approximate = bool(getattr(exposures, "approximate", False))
    notes += (_APPROXIMATE,) if approximate else ()
    posterior = next((v for v in modes if v.mode == POSTERIOR_MEAN), None)
    if joint is not None:
        from carkinetics.outcomes.joint.association import joint_estimates, joint_notes

        estimates = joint_estimates(joint, outcome, probability) + estimates
        notes = joint_notes(joint, outcome) + notes
    elif posterior is not None:
        notes += (_HEADLINE,)
    return Association(
        exposure=exposure,
        outcome=outcome,
        cell_type=cell_type,
        exposure_label=label,
        outcome_label=endpoint.label,
        unit=modes[0].unit,
        kind=endpoint.kind,
        estimates=estimates,
        data=patient_table(modes, endpoint),
        notes=tuple(dict.fromkeys(left_out + notes + absent + _power_note(told))),
        clock=endpoint.clock,
        reliability=np.nan if posterior is None else posterior.reliability,
        shrinkage=np.nan if posterior is None else posterior.shrinkage,
        synthetic=cohort.synthetic,
        cohort=cohort.name,
        power=told,
        approximate=approximate,
    )


def _check_transplant(endpoint: Endpoint, so_far: bool, adjusted: bool, cohort: str) -> None:
    what = ""
    if endpoint.kind != SURVIVAL:
        what = f"transplant_over_time needs a survival outcome, and {endpoint.name} is none"
    elif so_far or adjusted:
        what = "transplant_over_time cannot be combined with time_dependent or adjust"
    if what:
        raise DataError(Fault(f"cohort {cohort}", what, "Leave one out."))


def _resolve(source: Any, exposure: str) -> tuple[Cohort, Any]:
    """Find the cohort, and the posterior exposures if there are any."""
    if isinstance(source, Cohort):
        return source, None
    if hasattr(source, "kinetic_model"):
        if exposure in OBSERVED_ONLY:
            return source.cohort, None
        from carkinetics.exposure import summarize

        return source.cohort, _summarized(summarize, source, exposure)
    if isinstance(getattr(source, "cohort", None), Cohort) and hasattr(source, "data"):
        return source.cohort, source
    what = f"got {type(source).__name__}"
    raise DataError(Fault("associate", what, "Give a Fit, an Exposure or a Cohort."))


def _summarized(summarize: Any, fit: Any, exposure: str) -> Any:
    if exposure.startswith("detectable_"):
        day = exposure.removeprefix("detectable_")
        if day.isdigit():
            return summarize(fit, ["tmax", "persistence"], at_days=(int(day),))
    return summarize(fit, list(dict.fromkeys((exposure, "tmax"))))


def _modes(
    cohort: Cohort,
    exposures: Any,
    exposure: str,
    cell_type: str,
    assay: str,
    probability: float,
    rules: object,
) -> tuple[list[ExposureValues], tuple[str, ...]]:
    """Take the exposure in every mode there is; say which are absent, and why."""
    modes: list[ExposureValues] = []
    if exposures is not None and exposure not in OBSERVED_ONLY:
        modes.append(posterior_values(exposures, exposure, cell_type, probability))
    reason = _no_observed(cohort, exposure, cell_type, assay)
    if not reason:
        return [*modes, observed_values(cohort, exposure, assay, cell_type, rules)], ()
    if not modes:
        remedy = "Choose another exposure, assay or cell type, or give a fit."
        raise DataError(Fault(f"cohort {cohort.name}, {exposure}", reason, remedy))
    return modes, (f"no observed values: {reason}",)


def _no_observed(cohort: Cohort, exposure: str, cell_type: str, assay: str) -> str:
    if not has_observed(exposure):
        return f"{exposure} cannot be read off samples"
    if assay not in cohort.assays:
        return f"no {assay} samples"
    if cell_type not in cohort.cell_types(assay):
        return f"no {assay} samples of {cell_type} cells"
    return ""


def _few_have_it(exposure: str, word: str, n: int, n_missing: int) -> tuple[str, ...]:
    """Warn where most patients lack the exposure: those who have it are no sample of the cohort."""
    if n >= n_missing:
        return ()
    article = "an" if word == "observed" else "a"
    return (
        f"only {n} of {n + n_missing} patients have {article} {word} {exposure}: they are picked "
        "by when they were sampled and what happened to them, and stand for nobody else",
    )


def _word(values: ExposureValues) -> str:
    return "posterior" if values.mode == POSTERIOR_MEAN else "observed"


def _label(exposure: str) -> str:
    if not isinstance(exposure, str):
        what, remedy = f"exposure is {exposure!r}", 'Give the name of a quantity, such as "cmax".'
        raise DataError(Fault("associate", what, remedy, section="exposure"))
    return OBSERVED[exposure].label if exposure in OBSERVED_ONLY else find_quantity(exposure).label


def _power_note(power: AssumedPower | None) -> tuple[str, ...]:
    """Say what a p-value above 0.05 is worth in these patients."""
    if power is None:
        return ()
    return (f"a p-value above {LEVEL:g} is no sign of no association: {power.sentence}",)
