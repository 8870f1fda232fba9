"""How far each factor of a batch moves an estimate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.estimate_axis import estimate_axis, within
from carkinetics.plotting.style import MUTED, Picture, caption, fold, new_figure, picture, stamp

_LOW, _HIGH, _BASE = "#0072B2", "#D55E00", "#222222"
_ROW, _MORE = 0.34, 1.9  # inches


@picture
def plot_tornado(
    rows: pd.DataFrame,
    *,
    null: float = 1.0,
    log: bool = True,
    n_failed: int = 0,
    synthetic: bool = False,
    width: float = 6.4,
) -> Picture:
    """Draw how far each factor moves an estimate, the largest swing on top.

    Parameters
    ----------
    rows : DataFrame
        Rows of one estimand of a batch (`Runs.of`), the base case among them.
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
        For each factor a bar from the lowest to the highest estimate, with the intervals of
        both; the line is the base case, the gray band its interval.

    Raises
    ------
    DataError
        Without the base case, or with nothing beside it.
    """
    base = rows[rows["is_base"]]
    others = rows[~rows["is_base"]]
    if base.empty or others.empty:
        what = "the base case has no number" if base.empty else "nothing was varied"
        raise DataError(Fault("plot_tornado", what, "See the reasons in the table."))
    center = base.iloc[0]
    groups = _by_swing(others, float(center["estimate"]), log)
    figure, panels = new_figure(width, _ROW * len(groups) + _MORE)
    axes = panels[0]
    axes.axvspan(*within(center, log), color="#e6e6e6", zorder=0)
    axes.axvline(center["estimate"], color=_BASE, linewidth=1.2)
    if np.isfinite(null):
        axes.axvline(null, color=MUTED, linewidth=0.9, linestyle="--")
    for place, (_, group) in enumerate(reversed(groups)):
        ends = [group.loc[group["estimate"].idxmin()], group.loc[group["estimate"].idxmax()]]
        low, high = (float(end["estimate"]) for end in ends)
        reach = sorted([low, high, float(center["estimate"])])
        axes.plot([reach[0], reach[-1]], [place, place], color="#b9c4cc", linewidth=7,
                  solid_capstyle="butt", zorder=1)  # fmt: skip
        for end, color, shift in zip(ends, (_LOW, _HIGH), (0.13, -0.13), strict=True):
            if color == _HIGH and ends[0].name == ends[1].name:
                continue  # one level, or all the same
            axes.plot(within(end, log), [place + shift] * 2, color=color, linewidth=1.1)
            axes.plot(end["estimate"], place + shift, "o", color=color, markersize=4.5)
            axes.annotate(
                str(end["level"])[:28], (1.01, place + 1.35 * shift),
                xycoords=("axes fraction", "data"), va="center", fontsize=7, color=color,
            )  # fmt: skip
    axes.set_yticks(range(len(groups)), [fold(name, 1.5) for name, _ in reversed(groups)])
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.tick_params(axis="y", length=0, labelsize=8)
    estimate_axis(axes, str(center["estimand"]), log)
    text = (
        f"Base case {center['estimate']:.3g} (line), its {center['probability']:.0%} interval "
        "(band). Bars: lowest and highest estimate of each factor, with their intervals."
    )
    if n_failed:
        text += f"\n{n_failed} variant(s) without a number are not shown; the table says why."
    caption(figure, text, synthetic)
    stamp(figure, synthetic)
    return Picture(figure, panels)


def _by_swing(others: pd.DataFrame, center: float, log: bool) -> list[tuple[str, pd.DataFrame]]:
    def swing(group: pd.DataFrame) -> float:
        values = np.append(group["estimate"].to_numpy(float), center)
        values = np.log(values) if log else values
        return float(values.max() - values.min())

    groups = [(str(name), group) for name, group in others.groupby("factor", sort=False)]
    return sorted(groups, key=lambda pair: -swing(pair[1]))
