"""A screen of product attributes, every one of them shown."""

from __future__ import annotations

import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.style import Picture, caption, fold, new_figure, picture, stamp

_MARKED = 0.1  # q below which a marker is filled


@picture
def plot_screen(table: pd.DataFrame, *, synthetic: bool = False, width: float = 5.8) -> Picture:
    """Draw the AUROC of every attribute of a screen with its interval.

    Parameters
    ----------
    table : DataFrame
        From `carkinetics.trial.screen_attributes`.
    synthetic : bool
        Whether the patients are invented.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Attributes in the order of their p-values, all of them: p, and q after Benjamini and
        Hochberg over the whole screen, stand at the right. Filled: q below 0.1.

    Raises
    ------
    DataError
        If no attribute could be tested.
    """
    known = table.dropna(subset=["auroc"])
    if known.empty:
        raise DataError(Fault("plot_screen", "no attribute could be tested", "See its reasons."))
    figure, panels = new_figure(width, 0.24 * len(known) + 1.9)
    axes = panels[0]
    for place, row in enumerate(known.itertuples()):
        color = "#222222" if row.q < _MARKED else "#777777"
        axes.hlines(place, row.auroc_lower, row.auroc_upper, color=color, linewidth=1.3)
        axes.plot(row.auroc, place, "o", color=color, markersize=5,
                  markerfacecolor=color if row.q < _MARKED else "white")  # fmt: skip
        axes.annotate(
            f"p {row.p:.3f}, q {row.q:.2f}", (1, place), xycoords=("axes fraction", "data"),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=7.5, color=color,
            annotation_clip=False,
        )  # fmt: skip
    axes.axvline(0.5, color="#999999", linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_yticks(range(len(known)), [str(a).replace("_", " ") for a in known["attribute"]],
                    fontsize=8)  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel(
        fold("Chance of a higher value with the outcome (AUROC)", width - 2), fontsize=8
    )
    with_it, without = int(known["n_with"].max()), int(known["n_without"].max())
    axes.set_title(fold(f"{with_it} patients with the outcome, {without} without", width - 1.5))
    missing = len(table) - len(known)
    left = f" {missing} without a number left out." if missing else ""
    text = f"All {len(table)} attributes of the screen, exact Mann-Whitney.{left}"
    caption(figure, text, synthetic)
    stamp(figure, synthetic)
    return Picture(figure, panels)
