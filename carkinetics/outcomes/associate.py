"""Relate an exposure to an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault
from carkinetics.nca import OBSERVED
from carkinetics.outcomes.association import (
    OBSERVED_VALUE,
    POSTERIOR_MEAN,
    Association,
    Estimate,
)
from carkinetics.outcomes.endpoint import (
    BINARY,
    ORDINAL,
    SURVIVAL,
    Endpoint,
    after_landmark,
    read_endpoint,
)
from carkinetics.outcomes.estimates import Pairs, estimates_of
from carkinetics.outcomes.exposure_values import (
    OBSERVED_ONLY,
    ExposureValues,
    has_observed,
    observed_values,
    posterior_values,
)
from carkinetics.outcomes.guards import (
    DEFAULT_WINDOW,
    check_clock,
    check_landmark,
    check_numbers,
    late_peaks,
    order_in_time,
)
from carkinetics.quantities import find_quantity

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

_FEW_PATIENTS = 20


def associate(
    source: Fit | Exposure | Cohort,
    exposure: str = "cmax",
    outcome: str = "ttp",
    cell_type: str = "total",
    assay: str = "flow",
    *,
    probability: float = 0.95,
    landmark: float | None = None,
    window: float = DEFAULT_WINDOW,
    allow_after_day_0: bool = False,
    seed: int = 2026,
) -> Association:
    """Relate an exposure to an outcome, with every classical estimator side by side.

    Parameters
    ----------
    source : Fit, Exposure or Cohort
        A fit or its exposures give two modes, the posterior mean of the log exposure and the
        observed value; a cohort gives the observed value only.
    exposure : str
        Name of a quantity, such as ``"cmax"``, ``"auc_0_28"``, ``"tmax"``, ``"persistence"``,
        ``"detectable_28"``. All but the last go in as natural logs.
    outcome : str
        ``"ttp"``, ``"pfs"``, ``"os"``, ``"crs_grade"``, ``"iec_hs"`` or any column of the table of
        patients: true and false is binary, whole numbers up to 10 are grades, others continuous.
    cell_type : str
        ``"total"``, ``"CD4"`` or ``"CD8"``.
    assay : str
        Assay of the observed values.
    probability : float
        Coverage of all intervals.
    landmark : float, optional
        Survival only: patients whose event or censoring comes by this day are left out, and the
        clock restarts on it [day].
    window : float
        Day by which peak and Tmax are reached [day].
    allow_after_day_0 : bool
        Go on where the exposure is defined after the clock starts, and say so in the notes.
    seed : int
        Of permutations, drawn where counting all of them would take too long.

    Returns
    -------
    Association
        Ratios are told per doubling of exposure (``table(per="ten-fold")`` for ten-fold), with
        p-values from likelihood ratios or permutations, never Wald. Patients without outcome or
        without exposure are left out and counted in the notes; those below the limit of
        quantification are not. Nothing is adjusted for treatment of toxicity, which is a
        consequence of it.

    Raises
    ------
    DataError
        If the outcome is unknown, or the exposure is defined after the clock starts.

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> found = associate(synthetic_cohort(), exposure="cmax", outcome="ttp")
    >>> [f"{e.method}: {e.measure} {e.estimate:.2f}" for e in found.estimates]
    ['Cox (Efron): hazard ratio per doubling 0.60']
    """
    check_numbers(probability, window, landmark)
    label = _label(exposure)
    cohort, exposures = _resolve(source, exposure)
    endpoint = read_endpoint(cohort, outcome)
    check_landmark(endpoint, landmark, cohort.name)
    if landmark is not None:
        endpoint = after_landmark(endpoint, landmark)
    notes = check_clock(
        endpoint,
        exposure,
        landmark=landmark,
        window=window,
        allow_after_day_0=allow_after_day_0,
        cohort=cohort.name,
    )
    modes, absent = _modes(cohort, exposures, exposure, cell_type, assay, probability)
    estimates: tuple[Estimate, ...] = ()
    left_out = _counted(endpoint.left_out)
    for values in modes:
        pairs, missing = _pair(values, endpoint, probability, seed)
        estimates += estimates_of(endpoint.kind, pairs)
        known_day = max(window, landmark or 0.0)
        notes += late_peaks(endpoint, exposure, values.tmax, known_day, _word(values))
        notes += order_in_time(endpoint, values.tmax, _word(values)) + values.notes
        left_out += tuple(f"{_word(values)} exposure, {text}" for text in _counted(missing))
    posterior = next((v for v in modes if v.mode == POSTERIOR_MEAN), None)
    return Association(
        exposure=exposure,
        outcome=outcome,
        cell_type=cell_type,
        exposure_label=label,
        outcome_label=endpoint.label,
        unit=modes[0].unit,
        kind=endpoint.kind,
        estimates=estimates,
        data=_data(modes, endpoint),
        notes=left_out + notes + absent + _power(endpoint, estimates),
        clock=endpoint.clock,
        reliability=np.nan if posterior is None else posterior.reliability,
        shrinkage=np.nan if posterior is None else posterior.shrinkage,
        synthetic=cohort.synthetic,
        cohort=cohort.name,
    )


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
) -> tuple[list[ExposureValues], tuple[str, ...]]:
    """Take the exposure in every mode there is; say which are absent, and why."""
    modes: list[ExposureValues] = []
    if exposures is not None and exposure not in OBSERVED_ONLY:
        modes.append(posterior_values(exposures, exposure, cell_type, probability))
    reason = _no_observed(cohort, exposure, cell_type, assay)
    if not reason:
        return [*modes, observed_values(cohort, exposure, assay, cell_type)], ()
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


def _pair(
    values: ExposureValues, endpoint: Endpoint, probability: float, seed: int
) -> tuple[Pairs, dict[str, str]]:
    """Put exposure and outcome of the same patients side by side; name those without exposure."""
    used = endpoint.used
    table = values.table.reindex(used.index)
    known = table["rank"].notna()
    lacking = table.loc[~known, "reason"].fillna("no levels")
    missing = {str(patient): str(why) for patient, why in lacking.items()}
    used, table = used[known], table[known]
    survival = endpoint.kind == SURVIVAL
    pairs = Pairs(
        mode=values.mode,
        scale=values.scale,
        x=table["x"].to_numpy(float),
        rank=table["rank"].to_numpy(float),
        outcome=used["event" if survival else "outcome"].to_numpy(float),
        day=used["day"].to_numpy(float) if survival else np.empty(0),
        probability=probability,
        seed=seed,
    )
    return pairs, missing


def _counted(left_out: dict[str, str]) -> tuple[str, ...]:
    """Say how many patients were left out for each reason, and which."""
    by_reason: dict[str, list[str]] = {}
    for patient, reason in left_out.items():
        by_reason.setdefault(reason, []).append(patient)
    return tuple(
        f"{len(patients)} patient(s) left out, {reason}: {', '.join(patients[:5])}"
        f"{', ...' if len(patients) > 5 else ''}"
        for reason, patients in by_reason.items()
    )


def _data(modes: list[ExposureValues], endpoint: Endpoint) -> pd.DataFrame:
    """Collect one row per patient for figures."""
    everyone = endpoint.values.index
    for values in modes:
        everyone = everyone.union(values.table.index)
    table = endpoint.values.reindex(everyone)
    columns: dict[str, Any] = {}
    for values in modes:
        rows = values.table.reindex(table.index)
        if values.mode == POSTERIOR_MEAN:
            columns |= {f"posterior_{end}": rows[end] for end in ("lower", "upper")}
            columns["posterior_mean"] = rows["value"]
        if values.mode == OBSERVED_VALUE:
            columns["observed"] = rows["value"]
            columns["observed_below_lloq"] = rows["below_lloq"].eq(True)
    order = ("posterior_mean", "posterior_lower", "posterior_upper", "observed")
    frame = pd.DataFrame({name: columns.get(name, np.nan) for name in order}, index=table.index)
    frame["observed_below_lloq"] = columns.get("observed_below_lloq", False)
    frame = frame.join(table)
    frame["left_out"] = [endpoint.left_out.get(str(p), "") for p in frame.index]
    return frame.rename_axis("patient").reset_index()


def _word(values: ExposureValues) -> str:
    return "posterior" if values.mode == POSTERIOR_MEAN else "observed"


def _label(exposure: str) -> str:
    if not isinstance(exposure, str):
        what, remedy = f"exposure is {exposure!r}", 'Give the name of a quantity, such as "cmax".'
        raise DataError(Fault("associate", what, remedy, section="exposure"))
    return OBSERVED[exposure].label if exposure in OBSERVED_ONLY else find_quantity(exposure).label


def _power(endpoint: Endpoint, estimates: tuple[Estimate, ...]) -> tuple[str, ...]:
    """Say how little a large p-value means in a small trial."""
    patients = max((e.n for e in estimates), default=0)
    unsure = any(e.p_value > 0.05 for e in estimates)
    if endpoint.kind not in (BINARY, ORDINAL) or patients > _FEW_PATIENTS or not unsure:
        return ()
    return (
        f"with {patients} patients such tests find an association of realistic size in about "
        "one trial of five: a p-value above 0.05 says little",
    )
