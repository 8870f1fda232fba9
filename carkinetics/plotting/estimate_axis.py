"""The axis of an estimate, and intervals that may be open."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from carkinetics.plotting.style import fold, log_ticks

_FAR = 50.0  # an open limit is drawn this many times away, and cut by the axis


def within(row: Any, log: bool) -> tuple[float, float]:
    """Give the ends of an interval that can be drawn; those that are missing are the estimate."""
    value, low, high = (float(row[name]) for name in ("estimate", "lo", "hi"))
    low = value if np.isnan(low) else low
    high = value if np.isnan(high) else high
    if log:
        low = max(low, value / _FAR) if low > 0 else value / _FAR
        return low, min(high, value * _FAR)
    reach = max(abs(value), 1.0) * _FAR
    return max(low, value - reach), min(high, value + reach)


def estimate_axis(axes: Axes, label: str, log: bool, vertical: bool = False) -> None:
    """Name the axis of an estimate; ratios get plain numbers on a log axis.

    Parameters
    ----------
    axes : Axes
        Panel with everything drawn.
    label : str
        The estimand.
    log : bool
        Logarithmic.
    vertical : bool
        Whether estimates stand on the vertical axis.
    """
    size = axes.figure.get_figure(root=True).get_size_inches()
    text = label[:1].upper() + label[1:]
    if vertical:
        axes.set_ylabel(fold(text, 0.45 * float(size[1])))
    else:
        axes.set_xlabel(fold(text, 0.6 * float(size[0])))
    if not log:
        return
    axis = axes.yaxis if vertical else axes.xaxis
    (axes.set_yscale if vertical else axes.set_xscale)("log")
    low, high = axes.get_ylim() if vertical else axes.get_xlim()
    log_ticks(axis, float(np.log10(high / low)), most=8)
