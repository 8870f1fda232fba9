"""Who still has detectable CAR T cells at the planned months."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import VISIT_WINDOWS, Profile, profiles
from carkinetics.noncompartmental.select import new_cells
from carkinetics.trial.shares import share_table

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

DAY_28 = 28.0


def detection_table(
    cohort: Cohort,
    assay: str = "flow",
    cell_type: str = "total",
    probability: float = 0.95,
    detectable: str = "lod",
) -> pd.DataFrame:
    """Count patients with detectable cells in each window, of those who could have had them.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay, cell_type : str
        Which samples.
    probability : float
        Coverage of the exact intervals.
    detectable : {"lod", "lloq"}
        Cells seen below the limit of quantification are detectable, where the cohort tells
        detection from quantification; or only quantifiable samples are.

    Returns
    -------
    DataFrame
        As `share_table`. The denominator is the patients sampled in the window before transplant
        or other therapy, as far as their days are known (the dead have no samples); ``excluded``
        counts the patients alive at the window that it leaves out. The first row is any
        detectable sample after day 28, of all patients sampled after it or not: of all treated.
    """
    samples = list(profiles(cohort, assay, cell_type))
    seen = {p.patient: detectable_in(p, detectable) for p in samples}
    stop = _end_of_validity(cohort)
    alive = _last_known_alive(cohort)
    beyond = [p for p in samples if bool((p.day[seen[p.patient]] > DAY_28).any())]
    counts = [("any time after day 28", len(beyond), sum(p.day.size > 0 for p in samples))]
    excluded = [0]
    for name, (first, last) in VISIT_WINDOWS.items():
        found = [
            _in_window(p, seen[p.patient], first, min(last, stop.get(p.patient, np.inf)))
            for p in samples
        ]
        sampled = [s for s in found if s is not None]
        counts.append((name, sum(sampled), len(sampled)))
        reached = sum(alive.get(p.patient, np.inf) >= first for p in samples)
        excluded.append(max(reached - len(sampled), 0))
    return share_table(counts, probability).assign(excluded=excluded)


def detectable_in(profile: Profile, detectable: str) -> np.ndarray:
    """Tell which samples count as detectable, shape (sample,); see `detection_table`."""
    if detectable not in ("lod", "lloq"):
        what = f"{detectable!r} is unknown"
        raise DataError(Fault("detectable", what, 'Choose "lod" or "lloq".', section="detectable"))
    return profile.detected if detectable == "lod" else profile.quantified


def _in_window(profile: Profile, seen: np.ndarray, first: float, last: float) -> bool | None:
    """Tell whether a sample in the window is detectable; None without a sample."""
    inside = (profile.day >= first) & (profile.day <= last)
    return bool(seen[inside].any()) if inside.any() else None


def _end_of_validity(cohort: Cohort) -> dict[str, float]:
    """Give the day of transplant or other therapy, from which cells say nothing any more."""
    first = np.fmin(*new_cells(cohort.patients).values())
    days = zip(cohort.patients["patient"], first, strict=True)
    return {str(patient): float(day) for patient, day in days if not np.isnan(day)}


def _last_known_alive(cohort: Cohort) -> dict[str, float]:
    if "os_day" not in cohort.patients.columns:
        return {}
    days = cohort.patients.set_index("patient")["os_day"].dropna().astype(float)
    return {str(patient): float(day) for patient, day in days.items()}
