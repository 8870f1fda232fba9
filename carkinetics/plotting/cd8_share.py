"""The share of CD8 among CAR+ T cells, from the product into the blood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.style import (
    COLORS,
    MUTED,
    Picture,
    caption,
    day_axis,
    new_figure,
    picture,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort
    from carkinetics.inference import Fit

_FEWEST = 3
_TYPICAL = "#0072B2"


@picture
def plot_cd8_share(
    cohort: Cohort,
    fit: Fit | None = None,
    *,
    until: float = 90.0,
    probability: float = 0.95,
    width: float = 5.6,
) -> Picture:
    """Draw the observed CD8 share of CAR+ T cells over time, with that of the product.

    Parameters
    ----------
    cohort : Cohort
        With CD4 and CD8 counted by flow; ``product_cd4_share`` gives the product.
    fit : Fit, optional
        Of a model that tells CD4 and CD8 apart: adds the share of the typical patient with its
        credible band.
    until : float
        Last day drawn [day].
    probability : float
        Of that band.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        One line per patient, from samples whose total is quantifiable; median and quartiles of
        days with three patients. The product stands left of day 0.

    Raises
    ------
    DataError
        If CD4 and CD8 were not counted apart.
    """
    shares = observed_shares(cohort)
    shares = shares[shares["day"] <= until]
    if shares.empty:
        what = "CD4 and CD8 were not counted apart in quantifiable samples"
        raise DataError(Fault(f"cohort {cohort.name}", what, "See cohort.cell_types('flow')."))
    product = pd.Series(dtype=float)
    if "product_cd4_share" in cohort.patients.columns:
        product = 1 - cohort.patients["product_cd4_share"].dropna().astype(float)
    beside = len(product) > 0
    figure, panels = new_figure(
        width, 0.5 * width + 1.1, 1, 2 if beside else 1, sharey=True,
        **({"width_ratios": (1, 5)} if beside else {}),
    )  # fmt: skip
    axes = panels[-1]
    for _, rows in shares.groupby("patient"):
        axes.plot(rows["day"], rows["share"], color=MUTED, linewidth=0.6, alpha=0.7)
    daily = shares.groupby("day")["share"]
    enough = daily.count()[lambda n: n >= _FEWEST].index
    quantiles = daily.quantile([0.25, 0.5, 0.75]).unstack().loc[enough]
    axes.fill_between(enough, quantiles[0.25], quantiles[0.75], color=COLORS["CD8"], alpha=0.2,
                      linewidth=0)  # fmt: skip
    axes.plot(enough, quantiles[0.5], "-o", color=COLORS["CD8"], markersize=4, linewidth=1.8,
              clip_on=False)  # fmt: skip
    if fit is not None and "CD8" in fit.cell_types:
        _draw_typical(axes, fit, until, probability)
    day_axis(axes, until, 0.8 * width)
    axes.set_title("Blood", fontsize=9)
    if beside:
        spread = np.linspace(-0.25, 0.25, len(product)) if len(product) > 1 else np.zeros(1)
        panels[0].plot(spread, np.sort(product), "o", color=COLORS["CD8"], markersize=3.5)
        panels[0].hlines(product.median(), -0.4, 0.4, color=COLORS["CD8"], linewidth=2.2)
        panels[0].set_xlim(-0.6, 0.6)
        panels[0].set_xticks([])
        panels[0].set_title("Product", fontsize=9)
    panels[0].set_ylim(0, 1)
    panels[0].set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    panels[0].set_ylabel("CD8 of CAR+ T cells [%]")
    text = "Gray: one patient. Line and band: median and quartiles of days with three patients."
    if fit is not None and "CD8" in fit.cell_types:
        text += f" Blue: typical patient of the fit, {100 * probability:g} % band."
    caption(figure, text, cohort.synthetic)
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _draw_typical(axes: Axes, fit: Fit, until: float, probability: float) -> None:
    from carkinetics.exposure import share_over_time

    days = np.linspace(0.5, until, 60)
    table = share_over_time(fit, days, probability=probability)
    typical = table[table["patient"] == "typical patient"]
    axes.fill_between(typical["day"], typical["lower"], typical["upper"], color=_TYPICAL,
                      alpha=0.2, linewidth=0)  # fmt: skip
    axes.plot(typical["day"], typical["estimate"], color=_TYPICAL, linewidth=1.4)


def observed_shares(cohort: Cohort) -> pd.DataFrame:
    """Give the CD8 share of every sample whose total is quantifiable.

    Returns
    -------
    DataFrame
        ``patient``, ``day`` [day] and ``share`` (0 to 1); empty where CD4 and CD8 were not
        counted apart.
    """
    samples = cohort.samples("flow")
    keys = ["patient", "day"]
    wide = {
        name: samples.loc[samples["cell_type"] == name, [*keys, "level", "below_lloq"]]
        for name in ("CD4", "CD8", "total")
    }
    both = wide["CD4"].merge(wide["CD8"], on=keys, suffixes=("_4", "_8"))
    both = both.merge(wide["total"], on=keys, how="left").set_index(keys)
    seen = both["level_4"].notna() & both["level_8"].notna() & ~both["below_lloq"].eq(True)
    both = both[seen & (both["level_4"] + both["level_8"] > 0)]
    share = both["level_8"] / (both["level_4"] + both["level_8"])
    return share.rename("share").reset_index()
