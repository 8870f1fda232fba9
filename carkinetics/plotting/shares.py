"""Shares of patients with exact intervals: response and toxicity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.style import Picture, new_figure, picture, stamp
from carkinetics.trial import response_table, toxicity_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort

_COLORS = ("#222222", "#0072B2", "#D55E00", "#009E73")
_MARKERS = ("o", "s", "D", "^")


@picture
def plot_response(cohort: Cohort, *, probability: float = 0.95, width: float = 5.6) -> Picture:
    """Draw response rates with exact intervals, in all patients and by arm.

    Parameters
    ----------
    cohort : Cohort
        With ``response``.
    probability : float
        Coverage of the Clopper-Pearson intervals.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        One row per response; counts stand at the right.
    """
    table = response_table(cohort, probability)
    return _forest(table, "Response", cohort.synthetic, probability, width)


@picture
def plot_toxicity(cohort: Cohort, *, probability: float = 0.95, width: float = 5.6) -> Picture:
    """Draw the rate of every grade of toxicity with its exact interval.

    Parameters
    ----------
    cohort : Cohort
        With ``crs_grade``, ``icans_grade`` or ``iec_hs``.
    probability : float
        Coverage of the Clopper-Pearson intervals.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        One row per grade; counts stand at the right.
    """
    table = toxicity_table(cohort, probability)
    if table.empty:
        what = "there is no crs_grade, icans_grade or iec_hs"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add a column."))
    return _forest(table.assign(arm="all"), "Toxicity", cohort.synthetic, probability, width)


def _forest(
    table: pd.DataFrame, title: str, synthetic: bool, probability: float, width: float
) -> Picture:
    names = list(dict.fromkeys(table["what"]))
    groups = list(dict.fromkeys(table["arm"]))
    step = 0.16 * len(groups) + 0.14
    figure, panels = new_figure(width, step * len(names) + 1.25)
    axes = panels[0]
    for place, group in enumerate(groups):
        rows = table[table["arm"] == group]
        at = [names.index(w) + 0.16 / step * (place - (len(groups) - 1) / 2) for w in rows["what"]]
        color = _COLORS[place % 4]
        axes.hlines(at, rows["lower"], rows["upper"], color=color, linewidth=1.4)
        axes.plot(rows["share"], at, _MARKERS[place % 4], color=color, markersize=4.5, label=group)
        _write_counts(axes, rows, at, color)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.set_xlabel(f"Patients, with exact {100 * probability:g} % intervals", fontsize=8)
    axes.set_title(title)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    if len(groups) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    stamp(figure, synthetic)
    return Picture(figure, panels)


def _write_counts(axes: Axes, rows: pd.DataFrame, at: list[float], color: str) -> None:
    for y, n, of in zip(at, rows["patients"], rows["of"], strict=True):
        axes.annotate(
            f"{n} of {of}", (1, y), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=7.5, color=color,
            annotation_clip=False,
        )  # fmt: skip
