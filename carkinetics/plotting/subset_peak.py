"""CD4 against CD8 at the peak of expansion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import subset_at_peak
from carkinetics.plotting.style import (
    COLORS,
    MUTED,
    Picture,
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


@picture
def plot_cd4_cd8_at_peak(
    cohort: Cohort,
    assay: str = "flow",
    *,
    at: str = "total_peak",
    probability: float = 0.95,
    width: float = 4.2,
) -> Picture:
    """Draw the observed CD4 and CD8 levels of every patient at the peak.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay : str
        An assay that tells the cell types apart.
    at : {"total_peak", "own_peak"}
        At the day of the total's highest level, or each at its own.
    probability : float
        Of the interval of the ratio (of geometric means, Student's t on the log scale).
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        A line joins the two levels of a patient; bars are medians. Patients without both are
        left out and counted.
    """
    table = subset_at_peak(cohort, assay, at)
    pairs = table.dropna(subset=["CD4", "CD8"])
    if pairs.empty:
        what = f"no patient has both CD4 and CD8 quantified ({table['reason'].iloc[0]})"
        remedy = "Without levels above the LLOQ there is no peak; see `observed_quantities`."
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy))
    figure, panels = new_figure(width, width + 0.4)
    axes = panels[0]
    for pair in pairs[["CD4", "CD8"]].to_numpy():
        axes.plot([0, 1], pair, color=MUTED, linewidth=0.7, zorder=1)
    for place, name in enumerate(("CD4", "CD8")):
        axes.plot(
            np.full(len(pairs), place), pairs[name], "o", color=COLORS[name], markersize=5,
            alpha=0.85, zorder=2,
        )  # fmt: skip
        _draw_median(axes, place, pairs[name], COLORS[name])
    axes.set_xticks([0, 1], ["CD4", "CD8"])
    axes.set_xlim(-0.8, 1.8)
    log_levels(axes, level_label(assay, table["unit"].iloc[0]))
    axes.set_title("At the peak of the total" if at == "total_peak" else "Each at its own peak")
    axes.set_xlabel(_summary(pairs, len(table), probability, width - 0.8))
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _draw_median(axes: Axes, place: int, values: pd.Series, color: str) -> None:
    median, side = float(values.median()), 1 if place else -1
    axes.plot(place + np.array([-0.16, 0.16]), [median] * 2, color=color, linewidth=3, zorder=3)
    axes.annotate(
        f"median\n{plain(median)}", (place + 0.2 * side, median), color=color, weight="bold",
        ha="left" if place else "right", va="center", fontsize=8.5,
    )  # fmt: skip


def _summary(pairs: pd.DataFrame, n_all: int, probability: float, width: float) -> str:
    text = f"{len(pairs)} patients"
    if n_all > len(pairs):
        text += f" ({n_all - len(pairs)} without both levels left out)"
    if len(pairs) < 2:
        return fold(text, width)
    log_ratio = np.log(pairs["CD8"] / pairs["CD4"])
    half = stats.t.ppf((1 + probability) / 2, len(pairs) - 1) * stats.sem(log_ratio)
    low, middle, high = np.exp(log_ratio.mean() + half * np.array([-1, 0, 1]))
    ratio = f"CD8/CD4, geometric mean: {middle:.1f}"
    interval = f"{100 * probability:g} % interval {low:.1f} to {high:.1f}"
    return "\n".join(fold(line, width) for line in (text, ratio, interval))
