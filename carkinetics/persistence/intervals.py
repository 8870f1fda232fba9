"""Between which days each patient's cells were lost, and why sampling ended (definition P4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import Profile, profiles
from carkinetics.noncompartmental.select import new_cells
from carkinetics.trial.detection import detectable_in

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

LOST, STILL = "lost", "sampling ended"
# An event this long after the last sample no longer counts as what ended the sampling.
_SOON = 31.0
_COLUMNS = ["patient", "left", "right", "last_sample", "end", "end_day", "note"]


def loss_intervals(
    cohort: Cohort,
    assay: str = "flow",
    cell_type: str = "total",
    confirm: int = 2,
    detectable: str = "lod",
) -> pd.DataFrame:
    """Bound the day on which each patient's cells were lost.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay, cell_type : str
        Which samples.
    confirm : int
        Samples without detectable cells in a row that confirm the loss; fewer do at the end of
        sampling.
    detectable : {"lod", "lloq"}
        Cells seen below the limit of quantification are detectable, where the cohort tells
        detection from quantification; or only quantifiable samples are.

    Returns
    -------
    DataFrame
        One row per patient with a sample: ``left``, last day with a detectable sample (0 where
        there is none) [day]; ``right``, the next sampled day, infinite where there is none; the
        loss lies in (left, right]. ``last_sample`` [day]. ``end``: ``"lost"``, or where it is not,
        what ended sampling: ``"progression"``, ``"death"``, ``"transplant"``, ``"new therapy"``
        (the first of them, at most 31 days after the last sample), else ``"sampling ended"``;
        ``end_day`` [day]. ``note``. Samples after a transplant or a new therapy are left out, as
        they no longer speak of the same cells.
    """
    stops = _events(cohort)
    rows = []
    for profile in profiles(cohort, assay, cell_type):
        events = stops.get(profile.patient, {})
        after = min((events.get(k, np.inf) for k in ("transplant", "new therapy")), default=np.inf)
        kept = profile.day <= after
        if not kept.any():
            continue
        rows.append(_row(profile, kept, events, confirm, detectable_in(profile, detectable)))
    if not rows:
        raise DataError(Fault(f"{cohort.name}: {assay}, {cell_type}", "there are no samples"))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(
    profile: Profile,
    kept: np.ndarray,
    events: dict[str, float],
    confirm: int,
    detectable: np.ndarray,
) -> dict[str, object]:
    day, seen = profile.day[kept], detectable[kept]
    last = float(day[-1])
    notes = []
    left = float(day[seen][-1]) if seen.any() else 0.0
    later = day[day > left] if seen.any() else day
    if not seen.any():
        notes.append("never detectable")
    right = float(later[0]) if later.size else np.inf
    if later.size and later.size < confirm:
        notes.append("the only sample without detectable cells is the last one")
    if _confirmed_before(seen, confirm):
        notes.append("detectable again after a confirmed loss")
    end, end_day = (LOST, right) if np.isfinite(right) else _end(last, events)
    return {
        "patient": profile.patient,
        "left": left,
        "right": right,
        "last_sample": last,
        "end": end,
        "end_day": end_day,
        "note": "; ".join(notes),
    }


def _confirmed_before(seen: np.ndarray, confirm: int) -> bool:
    """Tell whether enough samples in a row lay without cells between detectable ones."""
    at = np.flatnonzero(seen)
    return bool(at.size > 1 and (np.diff(at) > confirm).any())


def _end(last: float, events: dict[str, float]) -> tuple[str, float]:
    """Name the first event soon after the last sample; the last sample itself without one."""
    soon = {name: day for name, day in events.items() if last <= day <= last + _SOON}
    if not soon:
        return STILL, last
    name = min(soon, key=lambda n: soon[n])
    return name, soon[name]


def _events(cohort: Cohort) -> dict[str, dict[str, float]]:
    """Give the day of every event that may end sampling, by patient and kind."""
    people = cohort.patients.set_index("patient")
    kinds = {}
    for name, day, event in (
        ("progression", "ttp_day", "progressed"),
        ("death", "os_day", "died"),
    ):
        if day in people and event in people:
            kinds[name] = people[day].where(people[event].eq(True))
    for name, days in new_cells(people).items():
        kinds[name] = pd.Series(days, index=people.index)
    found: dict[str, dict[str, float]] = {}
    for name, days in kinds.items():
        for patient, value in days.dropna().astype(float).items():
            found.setdefault(str(patient), {})[name] = float(value)
    return found


def b_cell_aplasia(table: pd.DataFrame, limit: float) -> pd.DataFrame:
    """Bound the end of B cell aplasia, persistence by its effect (definition P6).

    Parameters
    ----------
    table : DataFrame
        Columns ``patient``, ``day`` [day] and ``b_cells_per_ul`` [cells/uL]; rows in any order.
    limit : float
        Up to this many cells are aplasia [cells/uL].

    Returns
    -------
    DataFrame
        One row per patient: ``left``, last day of aplasia before recovery (0 where there was
        none); ``right``, first day of recovery, infinite where aplasia lasts; ``last_sample``.
        Missing counts are left out.
    """
    needed = ("patient", "day", "b_cells_per_ul")
    if missing := [name for name in needed if name not in table]:
        what = f"no column {', '.join(missing)}"
        raise DataError(Fault("B cells", what, f"It needs {', '.join(needed)}."))
    rows = []
    for patient, group in table.dropna(subset=["b_cells_per_ul"]).groupby("patient", sort=False):
        ordered = group[group["day"] >= 0].sort_values("day")
        low = (ordered["b_cells_per_ul"] <= limit).to_numpy(bool)
        day = ordered["day"].to_numpy(float)
        if not day.size:
            continue
        left = float(day[low][-1]) if low.any() else 0.0
        later = day[day > left] if low.any() else day
        right = float(later[0]) if later.size else np.inf
        end = "recovered" if later.size else STILL
        end_day = right if later.size else float(day[-1])
        rows.append((str(patient), left, right, float(day[-1]), end, end_day, ""))
    return pd.DataFrame(rows, columns=_COLUMNS)
