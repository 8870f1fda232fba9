"""The slopes of a joint model: prior and posterior, other priors, and each patient left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from carkinetics.errors import DataError
from carkinetics.plotting.style import (
    MUTED,
    Picture,
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
    from matplotlib.figure import Figure

    from carkinetics.outcomes.joint import JointFit
    from carkinetics.outcomes.joint.effects import Slope

_POSTERIOR, _OTHER = "#0072B2", "#D55E00"
_SIDE_BY_SIDE = 5.0  # inches from which the two panels of an outcome stand side by side
_MOST = 12  # patients of a panel, the most influential ones
_HALF, _TWICE = (0, (1, 1.2)), (0, (5, 1.5))


@picture
def plot_joint_slopes(joint: JointFit, *, width: float = 7.2) -> Picture:
    """Draw what the data added to the prior of every slope, and what single patients did.

    Parameters
    ----------
    joint : JointFit
        From `fit_joint`.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Two panels per outcome, over the ratio per doubling of exposure. First the prior (gray)
        and the posterior (filled), with the posterior under half and twice the SD of the prior.
        Then the ratio with each patient's outcome left out, the most influential on top; open
        where importance sampling is not to be relied on. A hazard that follows the curve along
        time has the first panel only.
    """
    beside = width >= _SIDE_BY_SIDE
    n = len(joint.outcomes)
    room = width / 2 if beside else width
    rows, columns = (n, 2) if beside else (2 * n, 1)
    figure, panels = new_figure(width, 2.35 * rows + 1.5, rows, columns)
    pairs = panels.reshape(n, 2)
    for (left, right), outcome in zip(pairs, joint.outcomes, strict=True):
        slope = joint.slope(outcome.name)
        low, high = _ends(slope)
        _draw_densities(left, joint, slope, (low, high), room)
        try:
            table = joint.influence(outcome.name)
        except DataError:
            right.set_axis_off()
            text = "not known: the hazard follows the curve along time"
            right.text(0.5, 0.5, fold(text, room - 1.0), ha="center", transform=right.transAxes,
                       fontsize=8)  # fmt: skip
            continue
        _draw_influence(right, table, slope, room)
    _write_legend(figure, width)
    caption(figure, "\n".join(_words(joint)), joint.synthetic)
    stamp(figure, joint.synthetic)
    return Picture(figure, panels)


def _ends(slope: Slope) -> tuple[float, float]:
    """Give the range of log ratios per e-fold that holds the posterior and most of the prior."""
    sd = slope.prior_sd
    low, high = np.quantile(slope.draws, [0.001, 0.999])
    return min(float(low), -2.0 * sd), max(float(high), 2.0 * sd)


def _draw_densities(
    axes: Axes, joint: JointFit, slope: Slope, ends: tuple[float, float], room: float
) -> None:
    grid = np.linspace(*ends, 400)
    prior = stats.norm(0.0, slope.prior_sd)
    posterior = stats.gaussian_kde(slope.draws)
    ratio = np.exp2(grid)
    axes.fill_between(ratio, posterior(grid), color=_POSTERIOR, alpha=0.28, linewidth=0)
    axes.plot(ratio, posterior(grid), color=_POSTERIOR, linewidth=1.6)
    axes.plot(ratio, prior.pdf(grid), color=MUTED, linewidth=1.4)
    for factor, dashes in ((0.5, _HALF), (2.0, _TWICE)):
        scaled = stats.norm(0.0, factor * prior.std())
        weights = np.exp(scaled.logpdf(slope.draws) - prior.logpdf(slope.draws))
        other = stats.gaussian_kde(slope.draws, weights=weights / weights.sum())
        axes.plot(ratio, other(grid), color=_OTHER, linewidth=1.1, linestyle=dashes)
    axes.axvline(1.0, color="#444444", linewidth=0.8)
    axes.set_xlim(ratio[0], ratio[-1])
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _ratio_axis(axes, slope, room)
    share = f"{max(slope.contraction, 0):.0%}"
    title = f"{slope.outcome.label}: data took {share} of the prior variance"
    axes.set_title(fold(title, room - 0.3), fontsize=8.5)


def _draw_influence(axes: Axes, table: pd.DataFrame, slope: Slope, room: float) -> None:
    shown = table.head(_MOST)
    at = np.arange(len(shown))
    unsure = (shown["reason"] != "").to_numpy()
    axes.hlines(at, shown["lower"], shown["upper"], color=_POSTERIOR, linewidth=1.0, alpha=0.6)
    for place, row, hollow in zip(at, shown.itertuples(), unsure, strict=True):
        axes.plot(row.median, place, "o", color=_POSTERIOR, markersize=4,
                  markerfacecolor="white" if hollow else _POSTERIOR)  # fmt: skip
    axes.axvline(slope.ratio(0.5), color=_POSTERIOR, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.axvline(1.0, color="#444444", linewidth=0.8)
    ends = np.array([shown["lower"].min(), shown["upper"].max(), 1.0])
    margin = 0.05 * np.log(ends.max() / ends.min())
    axes.set_xlim(ends.min() * np.exp(-margin), ends.max() * np.exp(margin))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(at, [f"without {p}" for p in shown["patient"]], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _ratio_axis(axes, slope, room)
    title = f"One patient's outcome left out: {len(shown)} of {len(table)}"
    axes.set_title(fold(title, room - 1.0), fontsize=8.5)


def _ratio_axis(axes: Axes, slope: Slope, room: float) -> None:
    low, high = axes.get_xlim()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log_ticks(axes.xaxis, float(np.log10(high / low)), most=max(int((room - 0.9) / 0.4), 3))
    axes.tick_params(axis="x", which="minor", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel(fold(f"{slope.measure} per doubling", room - 0.6), fontsize=8)


def _write_legend(figure: Figure, width: float) -> None:
    entries = [
        (Line2D([], [], color=MUTED, linewidth=1.4), "prior"),
        (Patch(facecolor=_POSTERIOR, alpha=0.4), "posterior"),
        (Line2D([], [], color=_OTHER, linewidth=1.1, linestyle=_HALF), "half the prior SD"),
        (Line2D([], [], color=_OTHER, linewidth=1.1, linestyle=_TWICE), "twice the prior SD"),
        (Line2D([], [], color=_POSTERIOR, linewidth=1.0, linestyle=(0, (4, 2))), "all patients"),
    ]
    handles, labels = zip(*entries, strict=True)
    figure.legend(
        handles, labels, loc="outside upper left", ncols=max(int(width / 1.45), 1),
        handlelength=1.6, columnspacing=1.1, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip


def _words(joint: JointFit) -> list[str]:
    lines = [
        f"Joint model of {find_quantity(joint.exposure).label} ({joint.cell_type}); associations, "
        "no statement about cause.",
        "One patient's outcome left out: the most influential on top, with 95 % intervals; an open "
        "point is not to be relied on (k-hat).",
    ]
    for row in joint.sensitivity.itertuples():
        label = joint.slope(row.outcome).outcome.label
        said = row.reason or (
            f"{row.diagnosis} (power-scaling: prior {row.prior:.2f}, outcome {row.likelihood:.2f})"
        )
        lines.append(f"{label}: {said}.")
    return lines
