"""Peak of patients who progressed early against that of those who did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import observed_quantities
from carkinetics.outcomes.binary import mann_whitney
from carkinetics.plotting.style import (
    COLORS,
    Picture,
    below_marks,
    fold,
    level_label,
    log_levels,
    new_figure,
    picture,
    plain,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort
    from carkinetics.exposure import Exposure

THREE_MONTHS = 91.0


@dataclass(frozen=True)
class _Peaks:
    """Peak per patient: value, limits of its interval (NaN if observed), limit it lies under."""

    table: pd.DataFrame
    unit: str
    assay: str
    what: str


@picture
def plot_peak_by_progression(
    cohort: Cohort,
    exposure: Exposure | None = None,
    *,
    assay: str = "flow",
    cell_type: str = "total",
    day: float = THREE_MONTHS,
    probability: float = 0.95,
    width: float = 4.6,
) -> Picture:
    """Draw the peak of patients who progressed by a day and of those who did not.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients, with ``ttp_day`` and ``progressed``.
    exposure : Exposure, optional
        Posterior peaks, drawn as median and equal-tailed interval; observed ones when left out.
    assay : str
        Whose observed peaks.
    cell_type : str
        ``"total"``, ``"CD4"`` or ``"CD8"``.
    day : float
        End of the early period; 91 days are three months [day].
    probability : float
        Of the posterior intervals.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        With the two-sided exact Mann-Whitney p-value, an association and nothing more. Patients
        censored or dead without progression by that day belong to neither group; they are left
        out and counted. A peak below the limit ranks lowest and hangs from the limit.
    """
    groups, left_out = progression_groups(cohort, day)
    if exposure is None:
        peaks = _observed(cohort, assay, cell_type)
    else:
        peaks = _posterior(exposure, cell_type, probability)
    table = peaks.table.merge(groups, on="patient")
    without = int(table["value"].isna().sum())
    table = table.dropna(subset=["value"])
    if table.empty:
        what = f"no patient has both a peak and a known state on day {day:g}"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Choose another day or cell type."))
    test = mann_whitney(table["value"], ~table["early"].to_numpy(bool))
    figure, panels = new_figure(width, width + 0.2)
    axes = panels[0]
    for place, early in enumerate((True, False)):
        _draw_group(axes, place, table[table["early"] == early], COLORS[cell_type])
    names = [f"progressed\nby day {day:g}", "later or\nnot at all"]
    counts = [int((table["early"] == early).sum()) for early in (True, False)]
    labels = [f"{name}\nn = {n}" for name, n in zip(names, counts, strict=True)]
    axes.set_xticks([0, 1], labels)
    axes.set_xlim(-0.6, 1.6)
    log_levels(axes, f"{peaks.what}, {level_label(peaks.assay, peaks.unit, cell_type)}")
    p = f"Mann-Whitney p = {test.p_value:.3f} ({test.p_kind})"
    if test.reason:
        p = "No comparison: all patients are in one group"
    axes.set_title(fold(p, width - 0.9))
    hidden = bool(np.isneginf(table["value"]).any())
    notes = (_left_out(left_out, without, day), _marks(hidden))
    axes.set_xlabel("\n".join(fold(note, width - 0.7) for note in notes if note))
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def progression_groups(cohort: Cohort, day: float = THREE_MONTHS) -> tuple[pd.DataFrame, int]:
    """Split patients by progression up to a day.

    Parameters
    ----------
    cohort : Cohort
        With ``ttp_day`` and ``progressed``.
    day : float
        End of the early period [day].

    Returns
    -------
    DataFrame
        ``patient`` and ``early`` (bool) for those whose group is known.
    int
        Patients censored or dead without progression by that day: in neither group.
    """
    missing = {"ttp_day", "progressed"} - set(cohort.patients.columns)
    if missing:
        where = f"{cohort.name}: patient table"
        remedy = "Give the day of progression or last assessment, and whether it was progression."
        raise DataError(Fault(where, f"has no {' and no '.join(sorted(missing))}", remedy))
    known = cohort.patients.dropna(subset=["ttp_day", "progressed"])
    late = known["ttp_day"] > day
    early = ~late & known["progressed"].astype(bool)
    groups = known.loc[late | early, ["patient"]].assign(early=early)
    return groups, int((~late & ~early).sum())


def _observed(cohort: Cohort, assay: str, cell_type: str) -> _Peaks:
    table = observed_quantities(cohort, assay, cell_type, ["cmax"])
    below = table["observed_cmax_below"].where(table["observed_cmax"].isna())
    # Ranks lowest without being given a number.
    value = table["observed_cmax"].mask(below.notna(), -np.inf)
    peaks = pd.DataFrame({"patient": table["patient"], "value": value, "below": below})
    return _Peaks(
        peaks.assign(low=np.nan, high=np.nan), table["unit"].iloc[0], assay, "Observed peak"
    )


def _posterior(exposure: Any, cell_type: str, probability: float) -> _Peaks:
    draws = exposure.data["cmax"].sel(cell_type=cell_type)
    tail = (1 - probability) / 2
    low, middle, high = draws.quantile([tail, 0.5, 1 - tail], dim=("chain", "draw")).to_numpy()
    peaks = {"patient": draws["patient"].to_numpy().astype(str), "value": middle, "below": np.nan}
    unit = draws.attrs["units"]
    assay = "qpcr" if unit == "copies/ug" else "flow"
    what = f"Peak, median and {100 * probability:g} % interval"
    return _Peaks(pd.DataFrame(peaks | {"low": low, "high": high}), unit, assay, what)


def _draw_group(axes: Axes, place: int, group: pd.DataFrame, color: str) -> None:
    """Draw points side by side in order of their value, and their median."""
    group = group.sort_values("value")
    spread = np.linspace(-0.18, 0.18, len(group)) if len(group) > 1 else np.zeros(len(group))
    at = place + spread
    hidden = np.isneginf(group["value"].to_numpy(float))
    axes.vlines(at, group["low"], group["high"], color=color, linewidth=0.8, alpha=0.6)
    axes.plot(at[~hidden], group["value"][~hidden], "o", color=color, markersize=5, alpha=0.85)
    below_marks(axes, at[hidden], group["below"][hidden], color)
    median = group["value"].median()
    if np.isfinite(median):
        axes.plot(place + np.array([-0.5, 0.27]), [median] * 2, color="#CC79A7", linewidth=2.5)
        # Points left of the middle lie below the median, so that its number is in nobody's way.
        axes.annotate(
            plain(median), (place - 0.5, median), xytext=(0, 2), textcoords="offset points",
            va="bottom", fontsize=8.5, color="#a3407a", weight="bold",
        )  # fmt: skip


def _left_out(censored: int, without: int, day: float) -> str:
    """Count the patients in neither group; empty where there are none."""
    parts = (
        f"{censored} censored or dead without progression by day {day:g}" if censored else "",
        f"{without} without a peak" if without else "",
    )
    named = ", ".join(filter(None, parts))
    return f"Left out: {named}" if named else ""


def _marks(hidden: bool) -> str:
    return "Bars: medians" + ("; triangles: below the LLOQ" if hidden else "")
