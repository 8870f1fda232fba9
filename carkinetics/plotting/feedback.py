"""How far outcomes move each patient's exposure: kinetics alone against the joint model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from carkinetics.plotting.style import (
    COLORS,
    Picture,
    area_unit,
    caption,
    fold,
    log_ticks,
    new_figure,
    picture,
    stamp,
)
from carkinetics.quantities import find_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.outcomes.joint import JointFit

_ALONE = "#777777"
_ROW = 0.21  # inches per patient


@picture
def plot_feedback(joint: JointFit, *, width: float = 5.8) -> Picture:
    """Draw each patient's exposure from the kinetics alone and from the joint model.

    Parameters
    ----------
    joint : JointFit
        Made with a fit of the kinetics alone (``fit=``).
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Patients in the order of their exposure, the highest on top: geometric mean and 95 %
        equal-tailed interval, open from the kinetics alone, filled from the joint model. At the
        right the shift of the mean logarithm, in posterior SDs of the kinetics alone; beyond 0.5
        it is in bold with an asterisk: there the outcome rewrites the kinetics.

    Raises
    ------
    DataError
        Without a fit of the kinetics alone.
    """
    table = joint.feedback.sort_values("mean_alone", ascending=False, kind="stable")
    figure, panels = new_figure(width, _ROW * len(table) + 2.0)
    axes = panels[0]
    color = COLORS.get(joint.cell_type, COLORS["total"])
    at = np.arange(len(table), dtype=float)
    _draw(axes, table, "alone", at - 0.17, _ALONE, "white")
    _draw(axes, table, "joint", at + 0.17, color, color)
    for place, (shift, listed) in enumerate(zip(table["shift"], table["listed"], strict=True)):
        axes.annotate(
            f"{shift:+.2f}{'*' if listed else ''}", (1, place),
            xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=7.5, weight="bold" if listed else "normal",
            annotation_clip=False,
        )  # fmt: skip
    axes.annotate("shift", (1, 1), xycoords="axes fraction", xytext=(5, 3), fontsize=7.5,
                  textcoords="offset points", annotation_clip=False)  # fmt: skip
    _label(axes, joint, table, width)
    marks = [
        Line2D([], [], color=_ALONE, marker="o", markerfacecolor="white", markersize=4),
        Line2D([], [], color=color, marker="o", markersize=4),
    ]
    figure.legend(marks, ["kinetics alone", "with outcomes"], loc="outside upper left", ncols=2,
                  handlelength=1.5, columnspacing=1.1, handletextpad=0.5)  # fmt: skip
    caption(figure, _words(joint, table), joint.synthetic)
    stamp(figure, joint.synthetic)
    return Picture(figure, panels)


def _draw(
    axes: Axes, table: pd.DataFrame, which: str, at: np.ndarray, color: str, inside: str
) -> None:
    axes.hlines(at, table[f"lower_{which}"], table[f"upper_{which}"], color=color, linewidth=1.1)
    axes.plot(np.exp(table[f"mean_{which}"]), at, "o", color=color, markersize=4,
              markerfacecolor=inside, label=which)  # fmt: skip


def _label(axes: Axes, joint: JointFit, table: pd.DataFrame, width: float) -> None:
    ends = table[["lower_alone", "lower_joint", "upper_alone", "upper_joint"]].to_numpy(float)
    low, high = np.log10(ends.min()), np.log10(ends.max())
    margin = max(0.04 * (high - low), 0.05)
    axes.set_xscale("log")
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    log_ticks(axes.xaxis, high - low, most=max(int((width - 1.6) / 0.42), 2))
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_yticks(range(len(table)), list(table["patient"]), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    unit = area_unit(joint.exposure_unit)
    label = f"{find_quantity(joint.exposure).label}, {joint.cell_type} [{unit}]"
    axes.set_xlabel(fold(label, width - 1.6), fontsize=8)


def _words(joint: JointFit, table: pd.DataFrame) -> str:
    from carkinetics.outcomes.joint.feedback import LISTED  # brings the sampler along

    names = ", ".join(outcome.label for outcome in joint.outcomes)
    listed = int(table["listed"].sum())
    said = (
        f"In {listed} patient(s) it is beyond {LISTED:g} (*): there outcomes rewrite the kinetics."
        if listed
        else f"In no patient is it beyond {LISTED:g}."
    )
    return (
        f"Geometric means with 95 % intervals. Outcomes in the joint model: {names}.\n"
        f"Shift: of the mean ln exposure, in posterior SDs. {said}"
    )
