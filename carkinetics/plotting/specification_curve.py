"""All variants of a batch in the order of their estimates, with the choices behind each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.estimate_axis import estimate_axis, within
from carkinetics.plotting.style import MUTED, Picture, caption, picture, stamp

_EXCLUDES, _INCLUDES, _BASE = "#0072B2", "#8a8a8a", "#D55E00"
_TOP, _LINE, _MORE = 2.6, 0.17, 1.0  # inches


@picture
def plot_specification_curve(
    rows: pd.DataFrame,
    choices: pd.DataFrame,
    *,
    null: float = 1.0,
    log: bool = True,
    n_failed: int = 0,
    synthetic: bool = False,
    width: float = 7.2,
) -> Picture:
    """Draw all variants, sorted, above a matrix of the choices behind them.

    Parameters
    ----------
    rows : DataFrame
        Rows of one estimand of a batch (`Runs.of`).
    choices : DataFrame
        Levels in words of the factors that were varied; a row for each of `rows`, in their
        order.
    null : float
        Value without association; NaN where there is none.
    log : bool
        Logarithmic axis, for ratios.
    n_failed : int
        Variants without a number, counted under the figure.
    synthetic : bool
        Whether the patients are invented.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Blue: the interval excludes the null. The base case is marked. The title counts signs and
        intervals.

    References
    ----------
    Simonsohn et al. 2020, doi 10.1038/s41562-020-0912-z.
    """
    if not len(rows) or choices.shape[1] == 0:
        what = "no variant has a number" if not len(rows) else "nothing was varied"
        raise DataError(Fault("plot_specification_curve", what, "See the reasons in the table."))
    order = np.argsort(rows["estimate"].to_numpy(float), kind="stable")
    levels = {str(name): list(dict.fromkeys(choices[name])) for name in choices}
    rows, choices = rows.iloc[order].reset_index(drop=True), choices.iloc[order]
    below = _LINE * (sum(map(len, levels.values())) + len(levels)) + 0.3
    figure = Figure(figsize=(width, _TOP + below + _MORE), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[_TOP, below])
    _curve(upper, rows, null, log)
    _matrix(lower, choices, levels, rows["is_base"].to_numpy(bool))
    upper.set_title(_title(rows, null), fontsize=9)
    text = "Each column is one analysis. Blue: its interval excludes the null. Orange: base case."
    if n_failed:
        text += f"\n{n_failed} variant(s) without a number are not shown; the table says why."
    caption(figure, text, synthetic)
    stamp(figure, synthetic)
    return Picture(figure, np.array([upper, lower]))


def _curve(axes: Axes, rows: pd.DataFrame, null: float, log: bool) -> None:
    if np.isfinite(null):
        axes.axhline(null, color=MUTED, linewidth=0.9, linestyle="--")
    ends = np.array([within(row, log) for _, row in rows.iterrows()])
    values = rows["estimate"].to_numpy(float)
    color = np.where(_excludes(rows, null), _EXCLUDES, _INCLUDES)
    color = np.where(rows["is_base"], _BASE, color)
    place = np.arange(len(rows))
    size = float(np.clip(140 / len(rows), 1.0, 4.5))
    axes.vlines(place, ends[:, 0], ends[:, 1], color=color, linewidth=min(1.0, size / 3))
    axes.scatter(place, values, s=size**2, color=color, zorder=3)
    span = np.log(values) if log else values
    room = max(float(np.ptp(span)), 0.5)
    reach = [span.min() - 1.2 * room, span.max() + 1.2 * room]
    shown = np.log(ends) if log else ends
    limits = np.array([max(reach[0], shown.min()), min(reach[1], shown.max())])
    limits += np.array([-0.05, 0.05]) * (limits[1] - limits[0])
    axes.set_ylim(*(np.exp(limits) if log else limits))
    axes.tick_params(axis="x", length=0, labelbottom=False)
    estimate_axis(axes, str(rows["estimand"].iloc[0]), log, vertical=True)


def _matrix(
    axes: Axes, choices: pd.DataFrame, levels: dict[str, list[str]], is_base: np.ndarray
) -> None:
    """Draw one line of dots per level; a gap and the name of the factor before each group."""
    line, ticks, labels = 0.0, [], []
    size = float(np.clip(140 / len(choices), 0.8, 3.6))
    for name, known in levels.items():
        ticks.append(line)
        labels.append(name.replace("_", " ").upper())
        line += 1
        for level in known:
            at = np.flatnonzero((choices[name] == level).to_numpy())
            axes.axhline(line, color="#eeeeee", linewidth=0.6, zorder=0)
            axes.scatter(at, np.full(at.size, line), s=size**2, zorder=2,
                         color=np.where(is_base[at], _BASE, "#333333"))  # fmt: skip
            ticks.append(line)
            labels.append(str(level)[:40])
            line += 1
    axes.set_yticks(ticks, labels, fontsize=7.5)
    axes.set_ylim(line - 0.3, -0.7)
    axes.set_xlim(-1, len(choices))
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _excludes(rows: pd.DataFrame, null: float) -> np.ndarray:
    if not np.isfinite(null):
        return np.zeros(len(rows), dtype=bool)
    return ((rows["lo"] > null) | (rows["hi"] < null)).to_numpy(bool)


def _title(rows: pd.DataFrame, null: float) -> str:
    values = rows["estimate"].to_numpy(float)
    text = f"median {np.median(values):.3g}, range {values.min():.3g} to {values.max():.3g}"
    if not np.isfinite(null):
        return f"{len(rows)} analyses: {text}"
    side = np.median(values) > null
    same = int(((values > null) == side).sum())
    excludes = int(_excludes(rows, null).sum())
    return (
        f"{same} of {len(rows)} on the same side of {null:g}, {excludes} of {len(rows)} "
        f"intervals exclude it; {text}"
    )
