"""Numbers at risk under a curve, and ticks that a calendar has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.plotting.style import caption_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS = (7, 14, 28, 60, 90, 180, 365, 730, 1825)


def calendar_ticks(last: float, room: float) -> list[int]:
    """Choose days for the ticks of an axis.

    Parameters
    ----------
    last : float
        Last day [day].
    room : float
        Width of the panel [inch].

    Returns
    -------
    list of int
        In steps of weeks, months or years [day].
    """
    most = max(int(room / 0.45), 2)
    steps = [step for step in _STEPS if last / step <= most]
    step = steps[0] if steps else int(last / most) + 1
    return list(range(0, int(last) + 1, step))


def write_at_risk(
    axes: Axes, days: pd.Series, ticks: Sequence[int], row: int, name: str, color: str
) -> None:
    """Write how many patients are at risk at each tick, below the label of the axis.

    Parameters
    ----------
    axes : Axes
        Panel.
    days : Series
        Day of event or censoring of the patients [day].
    ticks : sequence of int
        Where [day].
    row : int
        0 for the first group.
    name : str
        Of the group.
    color : str
        Of its curve.
    """
    down = -42 - 11 * row
    if row == 0:
        axes.annotate("at risk", (0, 0), xycoords="axes fraction", xytext=(-14, -30),
                      textcoords="offset points", ha="right", va="top", fontsize=7)  # fmt: skip
    axes.annotate(name, (0, 0), xycoords="axes fraction", xytext=(-14, down),
                  textcoords="offset points", ha="right", va="top", fontsize=7.5,
                  color=color)  # fmt: skip
    for tick in ticks:
        axes.annotate(
            str(int((days >= tick).sum())), (tick, 0), xycoords=("data", "axes fraction"),
            xytext=(0, down), textcoords="offset points", ha="center", va="top", fontsize=7.5,
            color=color, annotation_clip=False,
        )  # fmt: skip


def height_below(lines: Sequence[str], width: float, groups: int) -> float:
    """Tell how much room numbers at risk and a caption take under a panel [inch].

    Parameters
    ----------
    lines : sequence of str
        Of the caption.
    width : float
        Of the figure [inch].
    groups : int
        Rows of numbers at risk.

    Returns
    -------
    float
        With the label of the axis.
    """
    folded = caption_lines("\n".join(lines), width)
    return 0.155 * sum(line.count("\n") + 1 for line in folded) + 0.153 * groups + 0.75
