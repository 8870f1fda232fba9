"""Levels of patients over time: samples, posterior curves with their bands, both assays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.levels_data import (
    Panel,
    last_sample,
    level_limits,
    quantiles_of,
    samples_of,
    shown_assays,
    shown_cells,
    thinned,
)
from carkinetics.plotting.levels_panel import (
    EVENTS,
    SHADE,
    Event,
    draw_panel,
    is_marked,
    mark_events,
    marked_events,
    shade_extrapolation,
)
from carkinetics.plotting.style import (
    COLORS,
    Picture,
    caption,
    day_axis,
    fold_label,
    is_stretched,
    level_label,
    log_ticks,
    new_figure,
    picture,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from carkinetics.inference import Fit

_SIDE_BY_SIDE = 5.0  # inches from which the two assays of a single patient stand side by side
_NARROWEST = 1.45  # inches of a column of panels


@picture
def plot_levels(
    fit: Fit,
    patients: Sequence[str] | str | None = None,
    *,
    assays: Sequence[str] | None = None,
    cell_types: Sequence[str] | str | None = None,
    probabilities: Sequence[float] = (0.5, 0.9),
    until: float | None = None,
    events: bool = True,
    draws: int = 1000,
    width: float | None = None,
) -> Picture:
    """Draw the samples of patients and their posterior curves, one panel per patient and assay.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`.
    patients : sequence of str, optional
        All fitted patients by default; on paper, 12 to a page read well.
    assays : sequence of str, optional
        ``"flow"``, ``"qpcr"`` or both; those that were fitted by default.
    cell_types : sequence of str, optional
        Of the flow panels: ``"CD4"``, ``"CD8"``, ``"total"``; those that were fitted by default.
    probabilities : sequence of float
        Of the equal-tailed posterior intervals drawn as bands.
    until : float, optional
        Last day drawn; a little after the last sample of these patients by default [day].
        Axes of more than 45 days have a square-root scale, and say so.
    events : bool
        Mark the days of CRS onset, IEC-HS onset and progression, where the cohort has them.
    draws : int
        Bands are computed from at most about this many draws, evenly spaced among all.
    width : float, optional
        Of the figure [inch]; by the number of patients when left out.

    Returns
    -------
    Picture
        Axes patient by patient, flow before qPCR; all panels of an assay share their scale.
        Flow in cells/uL, qPCR in copies/ug. Curves and bands are latent levels, without assay
        error, so samples scatter around them by more than the bands are wide. Samples below the
        limit are open triangles that hang from it; CD4 and CD8 that were not fitted, since the
        total lies below its limit, are small open circles. On the gray ground, after the last
        sample of the patient by any assay, the curve is extrapolated.

    Raises
    ------
    DataError
        For a patient, an assay or a cell type that was not fitted.
    """
    # Here, not above: the cohort's figures do without PyMC, which takes seconds to import.
    from carkinetics.inference.curves import curve_days

    chosen = fit.select_patients(patients)
    shown = shown_assays(fit, assays)
    cells = shown_cells(fit, cell_types)
    inner, outer = _levels_of_bands(probabilities)
    last = {p: last_sample(fit, p) for p in chosen}
    until = 1.08 * max(last.values()) if until is None else _checked(until)
    days = curve_days(until)
    thin, used = thinned(fit, draws)
    ends = sorted({(1 - q) / 2 for q in (inner, outer)} | {(1 + q) / 2 for q in (inner, outer)})
    panels = [
        Panel(p, assay, samples_of(fit, p, assay, cells), quantiles)
        for p in chosen
        for assay, quantiles in quantiles_of(thin, p, shown, cells, days, [0.5, *ends]).items()
    ]
    width = _width(len(chosen)) if width is None else width
    figure, axes, columns = _lay_out(len(chosen), len(shown), width)
    limits = {assay: level_limits([p for p in panels if p.assay == assay], days) for assay in shown}
    marked = marked_events(fit, chosen, until) if events else {}
    for axis, panel in zip(axes, panels, strict=True):
        draw_panel(axis, panel, days, limits[panel.assay])
        shade_extrapolation(axis, last[panel.patient], until)
        mark_events(axis, marked.get(panel.patient, []), until, width / columns)
    _label(axes, panels, limits, columns, until, figure)
    _write_legend(figure, panels, [e for e in EVENTS if is_marked(e, marked)], probabilities)
    unused = any(not panel.samples["fitted"].all() for panel in panels)
    _write_caption(figure, fit, until, used, unused)
    stamp(figure, fit.synthetic)
    return Picture(figure, np.array(axes))


def _levels_of_bands(probabilities: Sequence[float]) -> tuple[float, float]:
    """Give the inner and the outer probability; a single one is both."""
    given = sorted({float(p) for p in probabilities})
    if not 1 <= len(given) <= 2 or not all(0 < p < 1 for p in given):
        what = f"probabilities are {tuple(probabilities)}"
        raise DataError(Fault("plot_levels", what, "Give one or two between 0 and 1."))
    return given[0], given[-1]


def _checked(until: float) -> float:
    if not (np.isfinite(until) and until >= 1):
        what = f"until is day {until:g}"
        raise DataError(Fault("plot_levels", what, "Give a day from 1 on."))
    return float(until)


def _width(n_patients: int) -> float:
    return 6.4 if n_patients <= 2 else 7.2 if n_patients <= 16 else 10.5


def _lay_out(n_patients: int, n_assays: int, width: float) -> tuple[Figure, list[Axes], int]:
    """Make panels, the assays of a patient above each other (side by side for one patient)."""
    beside = n_patients == 1 and width >= _SIDE_BY_SIDE
    if beside:
        figure, panels = new_figure(width, 0.42 * width + 1.0, 1, n_assays, squeeze=False)
        return figure, list(panels), n_assays
    columns = min(n_patients, max(int((width - 0.55) / _NARROWEST), 1))
    blocks = -(-n_patients // columns)
    tall = float(np.clip(0.75 * (width - 0.6) / columns, 1.15, 2.3))
    height = blocks * (n_assays * tall + 0.25) + _around(width)
    figure, panels = new_figure(width, height, blocks * n_assays, columns, squeeze=False)
    grid = panels.reshape(blocks, n_assays, columns)
    axes = []
    for place in range(blocks * columns):
        cell = grid[place // columns, :, place % columns]
        if place < n_patients:
            axes += list(cell)
        else:
            for empty in cell:
                empty.remove()
    return figure, axes, columns


def _around(width: float) -> float:
    """Give the height of legend and caption [inch]."""
    return 1.4 + 1.2 / width


def _label(
    axes: list[Axes],
    panels: list[Panel],
    limits: dict[str, tuple[float, float]],
    columns: int,
    until: float,
    figure: Figure,
) -> None:
    """Name patients and axes; only outer panels carry numbers."""
    units = {"flow": "cells/uL", "qpcr": "copies/ug"}
    first_assay, last_assay = panels[0].assay, panels[-1].assay
    width, height = figure.get_size_inches()
    panel_width = (width - 0.7) / columns - 0.15
    places = [place for axis in axes if (place := axis.get_subplotspec()) is not None]
    panel_height = (height - _around(width)) / places[0].get_gridspec().nrows - 0.2
    # Nobody scrolls down a long figure to read off a day.
    many_rows = len({place.rowspan.start for place in places}) > 8
    lowest: dict[int, int] = {}
    for place in places:
        at, row = place.colspan.start, place.rowspan.start
        lowest[at] = max(row, lowest.get(at, row))
    beside = len({p.rowspan.start for p in places}) == 1 and first_assay != last_assay
    for axis, panel, place in zip(axes, panels, places, strict=True):
        low, high = limits[panel.assay]
        log_ticks(axis.yaxis, np.log10(high / low), most=6)
        axis.tick_params(labelsize=8)
        axis.tick_params(axis="y", which="minor", length=0)
        day_axis(axis, until, panel_width)
        if place.rowspan.start != lowest[place.colspan.start]:
            axis.tick_params(labelbottom=many_rows and panel.assay == last_assay)
            axis.set_xlabel("")
        if panel.assay == first_assay:
            axis.set_title(panel.patient, fontsize=9, pad=4)
        if place.colspan.start == 0 or beside:
            label = level_label(panel.assay, units[panel.assay])
            axis.set_ylabel(fold_label(label, panel_height), fontsize=8)
        else:
            axis.tick_params(labelleft=False)


def _write_legend(
    figure: Figure, panels: list[Panel], events: list[Event], probabilities: Sequence[float]
) -> None:
    """Write one legend for all panels, above them."""
    names = list(dict.fromkeys(n for p in panels if p.assay == "flow" for n in p.quantiles))
    entries: list[tuple[object, str]] = [
        (Line2D([], [], color=COLORS[name], marker="o", markersize=3.2, linewidth=1.3), name)
        for name in names
    ]
    if any(p.assay == "qpcr" for p in panels):
        mark = Line2D([], [], color=COLORS["qpcr"], marker="o", markersize=3.2, linewidth=1.3)
        entries.append((mark, "qPCR"))
    alphas = (0.36, 0.2) if len(set(probabilities)) == 2 else (0.2,)
    for probability, alpha in zip(sorted(set(probabilities)), alphas, strict=True):
        entries.append(
            (Patch(color="#444444", alpha=alpha, lw=0), f"{100 * probability:g} % interval")
        )
    below = Line2D(
        [], [], linestyle="none", marker="v", markersize=4.5, markerfacecolor="white",
        markeredgecolor="#222222", markeredgewidth=0.9,
    )  # fmt: skip
    entries.append((below, "below the LLOQ"))
    if any(not p.samples["fitted"].all() for p in panels):
        mark = Line2D([], [], linestyle="none", marker="o", markersize=2.6, color="#444444",
                      markerfacecolor="none", markeredgewidth=0.6)  # fmt: skip
        entries.append((mark, "not fitted"))
    entries.append((Line2D([], [], color="#666666", lw=0.7, linestyle=(0, (4, 2))), "LLOQ"))
    entries.append((Patch(color=SHADE, lw=0), "after the last sample"))
    for event in events:
        handle = Line2D([], [], linestyle="none", marker=f"${event.letter}$", color="#333333",
                        markersize=4.5)  # fmt: skip
        entries.append((handle, event.label))
    width = figure.get_size_inches()[0]
    handles, labels = zip(*entries, strict=True)
    figure.legend(
        handles, labels, loc="outside upper left", ncols=max(int(width / 1.55), 1),
        handlelength=1.5, columnspacing=1.1, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip


def _write_caption(figure: Figure, fit: Fit, until: float, used: str, unused: bool) -> None:
    lines = [
        "Days are on a square-root scale." if is_stretched(until) else "",
        "Not fitted: CD4 and CD8 where the total is below its LLOQ." if unused else "",
        "Lines: posterior medians of the latent level; bands: equal-tailed posterior intervals, "
        f"without assay error ({used} draws).",
    ]
    if fit.approximate:
        lines.append("APPROXIMATE fit (Laplace), not MCMC.")
    if not fit.check().passed:
        lines.append("This fit does not pass its checks: do not rely on these curves.")
    caption(figure, "\n".join(lines), fit.synthetic)
