"""Which conclusions come from the data, and which from the priors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.style import MUTED, Picture, caption, new_figure, picture, stamp

_THRESHOLD = 0.05
_LEAST = 1e-4  # what is nearer to 0 is drawn here
_GROUPS = {
    "location": "#0072B2", "omega": "#D55E00", "correlation": "#CC79A7", "residual": "#009E73",
    "link": "#E69F00",
}  # fmt: skip
_NAMED = 14  # points with a name; more would cover each other


@picture
def plot_prior_likelihood(
    table: pd.DataFrame, *, synthetic: bool = False, width: float = 5.6
) -> Picture:
    """Draw sensitivity to the priors against sensitivity to the data.

    Parameters
    ----------
    table : DataFrame
        From `prior_sensitivity`.
    synthetic : bool
        Whether the patients are invented.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Four fields, parted at 0.05. Upper left: known from the prior more than from the data.
        Upper right: prior and data disagree. The points with the largest prior sensitivity have
        their names.

    Raises
    ------
    DataError
        If the table is empty.
    """
    if table.empty:
        what = "there is nothing to draw"
        raise DataError(Fault("plot_prior_likelihood", what, "Give a table with rows."))
    figure, panels = new_figure(width, 0.92 * width)
    axes = panels[0]
    x = np.maximum(table["likelihood"].to_numpy(float), _LEAST)
    y = np.maximum(table["prior"].to_numpy(float), _LEAST)
    for group, color in _GROUPS.items():
        of_group = (table["group"] == group).to_numpy()
        if of_group.any():
            axes.plot(x[of_group], y[of_group], "o", color=color, markersize=4.5, label=group,
                      alpha=0.85)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    low = 0.7 * _LEAST
    axes.set_xlim(low, max(1.0, 1.6 * float(x.max())))
    axes.set_ylim(low, max(1.0, 1.6 * float(y.max())))
    axes.axhline(_THRESHOLD, color=MUTED, linewidth=0.9, linestyle="--")
    axes.axvline(_THRESHOLD, color=MUTED, linewidth=0.9, linestyle="--")
    fields = (
        (0.02, 0.98, "left", "known from the prior\nmore than from the data"),
        (0.98, 0.98, "right", "prior and data\ndisagree"),
        (0.98, 0.02, "right", "known from the data"),
        (0.02, 0.02, "left", "hardly sensitive"),
    )
    for across, up, side, text in fields:
        axes.text(across, up, text, transform=axes.transAxes, ha=side, fontsize=7.5,
                  va="top" if up > 0.5 else "bottom", color="#555555", style="italic")  # fmt: skip
    for place in np.argsort(-y)[:_NAMED]:
        if y[place] >= _THRESHOLD:
            axes.annotate(str(table["variable"].iloc[place]), (x[place], y[place]), fontsize=6.5,
                          xytext=(4, 2), textcoords="offset points")  # fmt: skip
    axes.set_xlabel("Sensitivity to the data")
    axes.set_ylabel("Sensitivity to the priors of a group")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="prior group")
    text = (
        "Distance between posteriors when the density of the data, or of a group of priors, is "
        f"raised to powers near 1; above {_THRESHOLD:g} counts as sensitive."
    )
    caption(figure, text, synthetic)
    stamp(figure, synthetic)
    return Picture(figure, panels)
