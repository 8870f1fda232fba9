"""Every figure of a trial, as far as the data allow them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics import plotting
from carkinetics.persistence import cohort_persistence
from carkinetics.trial import arms, find_role

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit
    from carkinetics.plotting import Picture

# Name -> what draws it, what it shows, and its caption.
Draw = tuple[Callable[[], "Picture"], str, str]


def trial_pictures(
    cohort: Cohort,
    fit: Fit | None,
    exposure: Exposure | None,
    not_infused: Mapping[str, int] | pd.DataFrame | None,
    transform: str,
    probability: float,
) -> dict[str, Draw]:
    """List the figures that the columns of the cohort allow.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    fit : Fit or None
        Where there is one.
    exposure : Exposure or None
        Its posterior exposures.
    not_infused : mapping, DataFrame or None
        See `carkinetics.trial.patient_flow`.
    transform : str
        Scale of the limits of Kaplan-Meier curves.
    probability : float
        Coverage of intervals.

    Returns
    -------
    dict of str to tuple
        Name to a function that draws it, what it shows and its caption.
    """
    has = set(cohort.patients.columns).issuperset
    found: dict[str, Draw] = {
        "patient_flow": (
            partial(plotting.plot_patient_flow, cohort, not_infused),
            "Flow of patients", "From enrollment to the denominators of what follows.",
        )
    }  # fmt: skip
    if has({"os_day", "died"}):
        found["swimmer"] = (
            partial(plotting.plot_swimmer, cohort, _assay(cohort)),
            "Course of every patient",
            "Bars end at death or last contact; the dark line spans the samples with quantifiable "
            "CAR T cells.",
        )
    found |= _of_toxicity(cohort, has)
    if has({"response"}):
        found["response"] = (
            partial(plotting.plot_response, cohort, probability=probability),
            "Response rates", "With exact intervals, in all patients and by arm.",
        )  # fmt: skip
    found |= _of_survival(cohort, has, transform, probability)
    found |= _of_kinetics(cohort, fit)
    if has({"ttp_day", "progressed"}) and _assay(cohort) in cohort.assays:
        found["peak_by_progression"] = (
            partial(plotting.plot_peak_by_progression, cohort, exposure, probability=probability),
            "Peak by progression within three months",
            "The split is for the eye; the association with time to progression needs none. Its "
            "p-value is outside the declared family.",
        )
    if find_role(cohort, "antigen_at_relapse") and _assay(cohort) in cohort.assays:
        found["antigen"] = (
            partial(plotting.plot_antigen, cohort, _assay(cohort)),
            "Peak by antigen at relapse", "A description; groups are small.",
        )  # fmt: skip
    return found


def _assay(cohort: Cohort) -> str:
    return "flow" if "flow" in cohort.assays else "qpcr"


def _of_toxicity(
    cohort: Cohort, has: Callable[[Sequence[str] | set[str]], bool]
) -> dict[str, Draw]:
    found: dict[str, Draw] = {}
    if any(has({name}) for name in ("crs_grade", "icans_grade", "iec_hs")):
        found["toxicity"] = (
            partial(plotting.plot_toxicity, cohort), "Toxicity", "Rates with exact intervals.",
        )  # fmt: skip
    onsets = {"crs_grade": "crs_onset_day", "iec_hs": "iec_hs_day"}
    for name, onset in onsets.items():
        if has({name, onset, "os_day", "died"}):
            found[f"onset_{name}"] = (
                partial(plotting.plot_incidence, cohort, name),
                f"Onset of {'CRS' if name == 'crs_grade' else 'IEC-HS'}",
                "Aalen-Johansen, death before it competing.",
            )
    return found


def _of_survival(
    cohort: Cohort,
    has: Callable[[Sequence[str] | set[str]], bool],
    transform: str,
    probability: float,
) -> dict[str, Draw]:
    found: dict[str, Draw] = {}
    columns = {"pfs": {"pfs_day", "pfs_event"}, "os": {"os_day", "died"}}
    names = {"pfs": "Progression-free survival", "os": "Overall survival"}
    draw = partial(plotting.plot_survival, cohort, transform=transform, probability=probability)
    for name, wanted in columns.items():
        if not has(wanted):
            continue
        caption = "Kaplan-Meier, with numbers at risk."
        found[name] = (partial(draw, clock=name), names[name], caption)
        if arms(cohort):
            by_arm = (partial(draw, clock=name, by_arm=True), f"{names[name]} by arm", caption)
            found[f"{name}_by_arm"] = by_arm
    if has({"os_day", "died"}) and find_role(cohort, "death_cause") and _anybody_died(cohort):
        found["deaths"] = (
            partial(plotting.plot_incidence, cohort, "death", probability=probability),
            "Cumulative incidence of death by cause",
            "Aalen-Johansen; every cause competes with the others.",
        )
    if has({"ttp_day", "progressed"}):
        found["progression"] = (
            partial(plotting.plot_incidence, cohort),
            "Cumulative incidence of progression",
            "Aalen-Johansen; deaths without progression compete.",
        )
    return found


def _anybody_died(cohort: Cohort) -> bool:
    return bool(cohort.patients["died"].fillna(False).astype(bool).any())


def _of_kinetics(cohort: Cohort, fit: Fit | None) -> dict[str, Draw]:
    found: dict[str, Draw] = {}
    for assay in cohort.assays:
        if "total" in cohort.cell_types(assay):
            found[f"profile_{assay}"] = (
                partial(plotting.plot_profile, cohort, assay),
                f"Profile of {assay} levels", "Median and quartiles at each visit.",
            )  # fmt: skip
            found[f"persistence_{assay}"] = (
                partial(_draw_persistence, cohort, assay),
                f"Persistence of detectable cells, {assay}",
                "Samples only bound the day of loss; the end of sampling counted both ways.",
            )
    if {"CD4", "CD8"} <= set(cohort.cell_types("flow")):
        found["subsets"] = (
            partial(plotting.plot_cd4_cd8_at_peak, cohort),
            "CD4 against CD8 at the peak", "Levels in the sample with the highest total.",
        )  # fmt: skip
        found["cd8_share"] = (
            partial(plotting.plot_cd8_share, cohort, fit),
            "CD8 share over time", "From the product into the blood.",
        )  # fmt: skip
    return found


def _draw_persistence(cohort: Cohort, assay: str) -> Picture:
    return plotting.plot_persistence(cohort_persistence(cohort, assay))
