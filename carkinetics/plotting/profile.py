"""Profile of a cohort: median and quartiles of the levels, visit by visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import Profile, profiles, visit_quantiles
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
_WIDE = 6.0  # inches; from here on the legend takes one line


@picture
def plot_profile(
    cohort: Cohort,
    assay: str = "flow",
    cell_types: str | Sequence[str] = ("total",),
    *,
    until: float | None = None,
    visits: Sequence[float] | None = None,
    individuals: bool = True,
    width: float = 6.4,
) -> Picture:
    """Draw the median and quartiles of a cohort over time.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay : str
        ``"flow"`` or ``"qpcr"``.
    cell_types : str or sequence of str
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
        The small numbers above the axis are samples per visit.
    """
    cell_types = (cell_types,) if isinstance(cell_types, str) else tuple(cell_types)
    tables = {name: visit_quantiles(cohort, assay, name, visits) for name in cell_types}
    last = _last_day(cohort, assay, list(tables.values()))
    last = last if until is None else until
    columns = 4 if width > _WIDE else 2
    height = 0.6 * width + (1.0 if columns == 4 else 1.6)
    figure, panels = new_figure(width, height)
    axes, unit, n_patients = panels[0], "", 0
    for name, table in tables.items():
        samples = list(profiles(cohort, assay, name))
        unit = samples[0].unit
        n_patients = max(n_patients, sum(profile.day.size > 0 for profile in samples))
        if individuals and len(tables) == 1:
            _draw_patients(axes, samples)
        _draw_quantiles(axes, table[table["day"] <= last], name)
    subset = "total" if len(tables) > 1 else cell_types[0]
    # Two rows of numbers need 24 points of a panel that is about two thirds of the figure high.
    log_levels(axes, level_label(assay, unit, subset), below=0.05 + 24 / (48 * height))
    axes.set_xlim(0, last * 1.04)
    _write_counts(axes, next(iter(tables.values())), last, width)
    _write_legend(axes, individuals and len(tables) == 1, columns)
    title = f"Median and quartiles, {n_patients} patients"
    axes.set_title(fold(title, width - 0.9))
    axes.set_xlabel(fold("Day since infusion (numbers: samples)", width - 0.6))
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _last_day(cohort: Cohort, assay: str, tables: list[pd.DataFrame]) -> float:
    days = pd.concat(table.loc[table["n"] >= _FEWEST, "day"] for table in tables)
    if days.empty:
        what = f"no visit has {_FEWEST} {assay} samples, the fewest that have quartiles"
        remedy = "Give planned days (visits=...), to which samples are counted."
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy))
    return float(days.max())


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


def _write_legend(axes: Axes, individuals: bool, columns: int) -> None:
    """Write the legend above the panel, since curves may be anywhere in it."""
    axes.fill_between([], [], color=MUTED, alpha=0.3, label="between quartiles")
    below_marks(axes, [], [], "#222222", "median below the LLOQ")
    if individuals:
        axes.plot([], [], color=MUTED, linewidth=0.6, label="one patient")
    figure = axes.figure.get_figure(root=True)
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.4, columnspacing=1.2)
