"""Profile of a cohort: median and quartiles of the levels, visit by visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.nca import Profile, profiles, visit_quantiles
from carkinetics.plotting.style import (
    COLORS,
    MUTED,
    Picture,
    below_marks,
    fold,
    level_label,
    log_levels,
    new_figure,
    picture,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort

_FEWEST = 3  # samples from which quartiles are drawn


@picture
def plot_profile(
    cohort: Cohort,
    assay: str = "flow",
    cell_types: Sequence[str] = ("total",),
    *,
    until: float | None = None,
    visits: Sequence[float] | None = None,
    individuals: bool = True,
    width: float = 6.4,
) -> Picture:
    """Draw the median and interquartile range of a cohort over time.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay : str
        ``"flow"`` or ``"qpcr"``.
    cell_types : sequence of str
        One line each; ``("CD4", "CD8")`` compares the subsets.
    until : float, optional
        Last day drawn; the last visit with three samples when left out [day].
    visits : sequence of float, optional
        Planned days, see `visit_quantiles`.
    individuals : bool
        Draw every patient behind the median (for a single cell type).
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Quantiles that fall among samples below the limit are drawn as open triangles at the
        lowest level they are known to lie under. Visits with fewer than three samples have none.
        The numbers under the axis are samples per visit.
    """
    tables = {name: visit_quantiles(cohort, assay, name, visits) for name in cell_types}
    last = until if until is not None else _last_day(tables.values())
    figure, panels = new_figure(width, 0.6 * width + 0.7)
    axes, unit = panels[0], ""
    for name, table in tables.items():
        samples = list(profiles(cohort, assay, name))
        unit = samples[0].unit
        if individuals and len(tables) == 1:
            _draw_patients(axes, samples)
        _draw_quantiles(axes, table[table["day"] <= last], name)
    subset = "total" if len(tables) > 1 else cell_types[0]
    log_levels(axes, level_label(assay, unit, subset), below=0.13)
    axes.set_xlim(0, last * 1.04)
    _write_counts(axes, next(iter(tables.values())), last, width)
    _write_legend(axes, individuals and len(tables) == 1)
    title = f"Median and interquartile range, {cohort.n_patients} patients"
    axes.set_title(fold(title, width - 0.9))
    axes.set_xlabel(fold("Day since infusion (small numbers: samples)", width - 0.6))
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _last_day(tables: Sequence[pd.DataFrame]) -> float:
    return max(float(t.loc[t["n"] >= _FEWEST, "day"].max()) for t in tables)


def _draw_patients(axes: Axes, samples: list[Profile]) -> None:
    for profile in samples:
        seen = ~profile.below_lloq
        axes.plot(profile.day[seen], profile.level[seen], color=MUTED, linewidth=0.6, alpha=0.6)


def _draw_quantiles(axes: Axes, table: pd.DataFrame, name: str) -> None:
    color, enough = COLORS.get(name, MUTED), table[table["n"] >= _FEWEST]
    day = enough["day"].to_numpy()
    axes.fill_between(day, enough["lower"], enough["upper"], color=color, alpha=0.18, linewidth=0)
    axes.plot(day, enough["median"], color=color, linewidth=1.8, label=f"{name}: median", zorder=3)
    known = enough[~enough["median_below"]]
    axes.plot(known["day"], known["median"], "o", color=color, markersize=4, zorder=3)
    hidden = enough[enough["median_below"]]
    below_marks(axes, hidden["day"], hidden["median"], color)


def _write_counts(axes: Axes, table: pd.DataFrame, last: float, width: float) -> None:
    """Write samples per visit under the data, in two rows; those that would touch are left out."""
    room = 0.24 / (width - 0.8) * last
    free = [-np.inf, -np.inf]
    for day, n in zip(table["day"], table["n"], strict=True):
        row = 0 if day >= free[0] else 1
        if day > last or day < free[row]:
            continue
        free[row] = day + room
        axes.annotate(
            str(n), (day, 0), xycoords=("data", "axes fraction"), xytext=(0, 2 + 8 * row),
            textcoords="offset points", ha="center", va="bottom", fontsize=7, color="#555555",
        )  # fmt: skip


def _write_legend(axes: Axes, individuals: bool) -> None:
    axes.fill_between([], [], color=MUTED, alpha=0.3, label="interquartile range")
    below_marks(axes, [], [], "#222222", "median below the LLOQ")
    if individuals:
        axes.plot([], [], color=MUTED, linewidth=0.6, label="one patient")
    axes.legend(loc="upper right", handlelength=1.4)
