"""Estimates without each patient in turn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.estimate_axis import estimate_axis, within
from carkinetics.plotting.style import MUTED, Picture, caption, new_figure, picture, stamp

_FAR, _NEAR = "#D55E00", "#444444"
_ROW, _MORE = 0.2, 1.7  # inches


@picture
def plot_leave_one_out(
    rows: pd.DataFrame,
    *,
    null: float = 1.0,
    log: bool = True,
    synthetic: bool = False,
    width: float = 5.6,
) -> Picture:
    """Draw an estimate without each patient in turn, with the patient's name.

    Parameters
    ----------
    rows : DataFrame
        The base case and one row per patient left out, ``level`` naming the patient.
    null : float
        Value without association; NaN where there is none.
    log : bool
        Logarithmic axis, for ratios.
    synthetic : bool
        Whether the patients are invented.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Sorted; the two patients without whom the estimate is lowest and highest are marked. The
        line is the estimate with all patients, the band its interval. Open circles were
        reweighted, filled ones refitted.
    """
    base, left = rows[rows["is_base"]], rows[~rows["is_base"]]
    if base.empty or left.empty:
        what = "there is no base case, or no patient is left out"
        raise DataError(Fault("plot_leave_one_out", what, "See the reasons in the table."))
    center = base.iloc[0]
    left = left.sort_values("estimate", ascending=False)
    figure, panels = new_figure(width, _ROW * len(left) + _MORE)
    axes = panels[0]
    axes.axvspan(*within(center, log), color="#e6e6e6", zorder=0)
    axes.axvline(center["estimate"], color="#222222", linewidth=1.2)
    if np.isfinite(null):
        axes.axvline(null, color=MUTED, linewidth=0.9, linestyle="--")
    for place, (_, row) in enumerate(left.iterrows()):
        color = _FAR if place in (0, len(left) - 1) else _NEAR
        reweighted = "reweighted" in str(row["how"])
        axes.plot(within(row, log), [place, place], color=color, linewidth=0.9)
        axes.plot(row["estimate"], place, "o", color=color, markersize=4.5,
                  markerfacecolor="white" if reweighted else color)  # fmt: skip
    axes.set_yticks(range(len(left)), [str(level) for level in left["level"]], fontsize=7.5)
    axes.set_ylim(-0.7, len(left) - 0.3)
    axes.tick_params(axis="y", length=0)
    estimate_axis(axes, str(center["estimand"]), log)
    values = left["estimate"].to_numpy(float)
    text = (
        f"Without one patient: {values.min():.3g} (without {left['level'].iloc[-1]}) to "
        f"{values.max():.3g} (without {left['level'].iloc[0]}). Line and band: all patients."
    )
    if left["how"].astype(str).str.contains("reweighted").any():
        text += " Open: reweighted, filled: fitted again."
    caption(figure, text, synthetic)
    stamp(figure, synthetic)
    return Picture(figure, panels)
