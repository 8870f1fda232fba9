"""How long cells last in a cohort, with what the gaps between visits leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carkinetics.persistence.intervals import LOST
from carkinetics.plotting.at_risk import calendar_ticks, height_below, write_at_risk
from carkinetics.plotting.style import Picture, caption, fold, new_figure, picture, stamp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.persistence import CohortPersistence

_CURVE, _FITTED = "#222222", "#0072B2"
_FILLS = {LOST: "#D55E00"}
_OTHERS = ("#56B4E9", "#009E73", "#CC79A7", "#E69F00")
_ASSAYS = {"flow": "flow cytometry", "qpcr": "qPCR"}
_HATCHES = ("", "///", "...", "xxx", "\\\\\\")
_SIDE_BY_SIDE = 5.5  # inches


@picture
def plot_persistence(
    persistence: CohortPersistence, *, probability: float = 0.95, width: float = 7.2
) -> Picture:
    """Draw the share of patients with detectable cells over time, both ways of counting.

    Parameters
    ----------
    persistence : CohortPersistence
        From `cohort_persistence`.
    probability : float
        Of the limits of the Weibull curve.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        First panel: end of sampling counted as censoring; the step curve is Turnbull's, gray
        boxes mark where the gaps between visits leave it open, the smooth one is Weibull's with
        its limits. Second panel: every way out of the set of patients with detectable cells,
        stacked, so that events which end sampling compete with loss.
    """
    n = len(persistence.intervals)
    last = float(persistence.intervals[["last_sample", "end_day"]].to_numpy(float).max())
    wide = width >= _SIDE_BY_SIDE
    room = width / 2 - 0.8 if wide else width - 0.8
    ticks = calendar_ticks(last, room)
    lines = _notes(persistence, probability)
    panel = 0.85 * room + 0.7
    height = (panel if wide else 2 * panel + 0.6) + height_below(lines, width, 1)
    shape = (1, 2) if wide else (2, 1)
    figure, panels = new_figure(width, height, *shape)
    grid = np.linspace(0, last, 400)
    _draw_censored(panels[0], persistence, grid, probability)
    _draw_competing(panels[1], persistence, grid)
    write_at_risk(
        panels[0], persistence.intervals[["left", "end_day"]].min(axis=1), ticks, 0, "", _CURVE
    )
    titles = ("End of sampling censored", "End of sampling competes")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(fold(title, room))
        axes.set_xlim(0, last)
        axes.set_ylim(0, 1.02)
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xlabel("Day since infusion", labelpad=2)
    panels[0].set_ylabel(f"Share of {n} with detectable cells")
    panels[1].set_ylabel("Share of patients")
    for axes, corner in zip(panels, ("upper right", "lower right"), strict=True):
        # The stacks fill their panel: words on them need a ground of their own.
        axes.legend(loc=corner, fontsize=7, handlelength=1.6, frameon=True, framealpha=1.0,
                    edgecolor="none")  # fmt: skip
    caption(figure, "\n".join(lines), persistence.synthetic)
    stamp(figure, persistence.synthetic)
    return Picture(figure, panels)


def _draw_censored(
    axes: Axes, persistence: CohortPersistence, grid: np.ndarray, probability: float
) -> None:
    found = persistence.turnbull
    order = np.argsort(found.right)
    left, right, mass = found.left[order], found.right[order], found.mass[order]
    before = 1 - np.concatenate([[0.0], np.cumsum(mass)])
    for k in range(left.size):
        axes.fill_between(
            [left[k], right[k]], before[k + 1], before[k], color="#cfcfcf", linewidth=0,
            label="left open by the visits" if k == 0 else None,
        )  # fmt: skip
    axes.step([0.0, *right, grid[-1]], [1.0, *before[1:], before[-1]], where="post",
              color=_CURVE, linewidth=1.6, label="Turnbull")  # fmt: skip
    if not persistence.weibull.reason:
        fitted = persistence.weibull.survival(grid, probability)
        axes.fill_between(grid, fitted["lower"], fitted["upper"], color=_FITTED, alpha=0.13,
                          linewidth=0)  # fmt: skip
        axes.plot(grid, fitted["estimate"], color=_FITTED, linewidth=1.4,
                  label=f"Weibull, {100 * probability:g} % limits")  # fmt: skip


def _draw_competing(axes: Axes, persistence: CohortPersistence, grid: np.ndarray) -> None:
    floor = np.zeros(grid.shape)
    for place, cause in enumerate((LOST, *persistence.causes)):
        # By the end of each interval: what has certainly happened.
        share = persistence.competing.incidence(grid, cause)["lower"].to_numpy()
        label = "cells lost" if cause == LOST else f"sampling ended by {cause}"
        axes.fill_between(
            grid, floor, floor + share, step="post", alpha=0.75, edgecolor="white", linewidth=0.4,
            facecolor=_FILLS.get(cause, _OTHERS[(place - 1) % 4]), hatch=_HATCHES[place % 5],
            label=label,
        )  # fmt: skip
        floor = floor + share


def _notes(persistence: CohortPersistence, probability: float) -> list[str]:
    low, high = persistence.turnbull.median(LOST)
    median = f"between day {low:g} and {high:g}" if np.isfinite(high) else "not reached"
    fitted = persistence.weibull.reason
    if not fitted:
        fitted = "day {:.0f} ({:.0f} to {:.0f})".format(*persistence.weibull.median(probability))
    lost = int((persistence.intervals["end"] == LOST).sum())
    return [
        f"Median loss: Turnbull {median}; Weibull {fitted}. {lost} losses in "
        f"{len(persistence.intervals)} patients, {_ASSAYS[persistence.assay]}, "
        f"{persistence.cell_type}.",
        "A loss lies between the last sample with detectable cells and the next one. Detectable: "
        f"{persistence.detectable}. At risk: patients last seen with detectable cells on that day "
        "or later.",
        "Censoring holds where the end of sampling says nothing of the cells; progression, "
        "transplant and death usually do, so that both ways are shown.",
    ]
