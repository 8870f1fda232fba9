"""Levels of patients over time: samples, posterior curves with their bands, both assays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.style import (
    COLORS,
    Picture,
    below_marks,
    caption,
    day_axis,
    day_place,
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
_SHADE = "#ececec"


@dataclass(frozen=True)
class _Event:
    """A day worth a mark: its letter in the panels, what it means, where it stands."""

    letter: str
    label: str
    day: str
    only_if: str = ""


_EVENTS = (
    _Event("C", "CRS onset", "crs_onset_day"),
    _Event("H", "IEC-HS onset", "iec_hs_day"),
    _Event("P", "progression", "ttp_day", "progressed"),
)


@dataclass(frozen=True)
class _Panel:
    """One patient, one assay: samples, and quantiles by cell type, shape (quantile, day)."""

    patient: str
    assay: str
    samples: pd.DataFrame
    quantiles: dict[str, np.ndarray]


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
    shown = _shown_assays(fit, assays)
    cells = _shown_cells(fit, cell_types)
    inner, outer = _levels_of_bands(probabilities)
    last = {p: _last_sample(fit, p) for p in chosen}
    until = 1.08 * max(last.values()) if until is None else _checked(until)
    days = curve_days(until)
    thin, used = _thinned(fit, draws)
    ends = sorted({(1 - q) / 2 for q in (inner, outer)} | {(1 + q) / 2 for q in (inner, outer)})
    panels = [
        _Panel(p, assay, _samples(fit, p, assay, cells), quantiles)
        for p in chosen
        for assay, quantiles in _quantiles(thin, p, shown, cells, days, [0.5, *ends]).items()
    ]
    width = _width(len(chosen)) if width is None else width
    figure, axes, columns = _lay_out(len(chosen), len(shown), width)
    limits = {assay: _limits([p for p in panels if p.assay == assay], days) for assay in shown}
    marked = _marked_events(fit, chosen, until) if events else {}
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel, days, limits[panel.assay])
        _shade(axis, last[panel.patient], until)
        _mark_events(axis, marked.get(panel.patient, []), until, width / columns)
    _label(axes, panels, limits, columns, until, figure)
    _write_legend(figure, panels, [e for e in _EVENTS if _is_marked(e, marked)], probabilities)
    unused = any(not panel.samples["fitted"].all() for panel in panels)
    _write_caption(figure, fit, until, used, unused)
    stamp(figure, fit.synthetic)
    return Picture(figure, np.array(axes))


def _shown_assays(fit: Fit, assays: Sequence[str] | None) -> tuple[str, ...]:
    fitted = fit.plan.layout.assays
    if assays is None:
        return fitted
    asked = (assays,) if isinstance(assays, str) else tuple(assays)
    unknown = [a for a in asked if a not in fitted]
    if unknown or not asked:
        what = f"no fitted {' or '.join(unknown)} samples" if unknown else "no assay asked for"
        remedy = f"Fitted: {', '.join(fitted)}."
        raise DataError(Fault(f"fit of {fit.cohort.name}", what, remedy, section="assays"))
    return tuple(a for a in fitted if a in asked)


def _shown_cells(fit: Fit, cell_types: Sequence[str] | str | None) -> tuple[str, ...]:
    if cell_types is None:
        return fit.cell_types
    asked = (cell_types,) if isinstance(cell_types, str) else tuple(cell_types)
    unknown = [c for c in asked if c not in fit.cell_types]
    if unknown or not asked:
        what = f"no curves of {' or '.join(unknown)} cells" if unknown else "no cell type asked for"
        remedy = f"Fitted: {', '.join(fit.cell_types)}."
        raise DataError(Fault(f"fit of {fit.cohort.name}", what, remedy, section="cell_types"))
    return tuple(c for c in fit.cell_types if c in asked)


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


def _last_sample(fit: Fit, patient: str) -> float:
    layout = fit.plan.layout
    return float(layout.days[layout.offsets[layout.patients.index(patient) + 1] - 1])


def _samples(fit: Fit, patient: str, assay: str, cell_types: Sequence[str]) -> pd.DataFrame:
    table = fit.cohort.samples(assay, fitted=True)
    shown = cell_types if assay == "flow" else ("total",)
    rows = table[(table["patient"] == patient) & table["cell_type"].isin(shown)]
    pairs = [samples.table for samples in (fit.plan.layout.split, fit.plan.layout.split_events)]
    days = {day for pair in pairs for day in pair.loc[pair["patient"] == patient, "day"]}
    return rows.assign(fitted=(rows["cell_type"] == "total") | rows["day"].isin(days))


def _thinned(fit: Fit, draws: int) -> tuple[Fit, str]:
    """Keep evenly spaced draws of what the curves are made from; say how many there are."""
    sizes = fit.data["posterior"].sizes
    total = sizes["chain"] * sizes["draw"]
    step = max(int(np.ceil(total / max(draws, 1))), 1)
    keep = slice(None, None, step)
    paths = ("posterior", "carkinetics/parameters")
    groups = {path: fit.data[path].to_dataset().isel(draw=keep) for path in paths}
    used = groups["posterior"].sizes["chain"] * groups["posterior"].sizes["draw"]
    text = f"all {total:,}" if used == total else f"{used:,} of {total:,}"
    return replace(fit, data=xr.DataTree.from_dict(groups), _plan=fit.plan), text


def _quantiles(
    fit: Fit,
    patient: str,
    assays: Sequence[str],
    cell_types: Sequence[str],
    days: np.ndarray,
    at: Sequence[float],
) -> dict[str, dict[str, np.ndarray]]:
    """Compute the quantiles of one patient, by assay and cell type; one at a time saves memory."""
    found: dict[str, dict[str, np.ndarray]] = {}
    if "flow" in assays:
        curves = fit.curves(days, [patient]).isel(patient=0)
        found["flow"] = {c: _over_draws(curves.sel(cell_type=c), at) for c in cell_types}
    if "qpcr" in assays:
        curves = fit.qpcr_curves(days, [patient]).isel(patient=0)
        found["qpcr"] = {"total": _over_draws(curves, at)}
    return found


def _over_draws(curves: xr.DataArray, at: Sequence[float]) -> np.ndarray:
    values = curves.transpose("chain", "draw", "day").values
    return np.quantile(values.reshape(-1, values.shape[-1]), at, axis=0)


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


def _limits(panels: list[_Panel], days: np.ndarray) -> tuple[float, float]:
    """Give the range of levels that holds samples, limits and medians; bands may leave it."""
    samples = pd.concat([panel.samples for panel in panels])
    samples = samples[samples["fitted"]]
    level = samples["level"].where(~samples["below_lloq"].astype(bool)).to_numpy(float)
    lloq = samples["lloq"].to_numpy(float)
    known = np.concatenate([level[level > 0], lloq[lloq > 0]])
    medians = np.concatenate([q[0] for panel in panels for q in panel.quantiles.values()])
    if known.size == 0:
        known = medians[medians > 0]
    top = max(known.max(), medians.max())
    # Far below the lowest sample a curve is of no interest, and may go down to nothing.
    return float(known.min()) / 4, float(top) * 2.5


def _draw(axes: Axes, panel: _Panel, days: np.ndarray, limits: tuple[float, float]) -> None:
    low = limits[0] / 2
    for name, quantiles in panel.quantiles.items():
        color = COLORS["qpcr" if panel.assay == "qpcr" else name]
        middle, *ends = np.maximum(quantiles, low)
        bands = [(ends[i], ends[-1 - i]) for i in range(len(ends) // 2)]
        for lower, upper in bands:
            axes.fill_between(days, lower, upper, color=color, alpha=0.2, linewidth=0, zorder=1)
        axes.plot(days, middle, color=color, linewidth=1.3, zorder=2.2, label=f"median {name}")
        rows = panel.samples[panel.samples["cell_type"] == name]
        below = rows["below_lloq"].astype(bool)
        seen = rows[~below & (rows["level"] > 0)]
        used, unused = seen[seen["fitted"]], seen[~seen["fitted"]]
        axes.plot(
            used["day"], used["level"], "o", color=color, markersize=3.2, zorder=3,
            markeredgecolor="white", markeredgewidth=0.4, label=f"samples {name}",
        )  # fmt: skip
        axes.plot(
            unused["day"], unused["level"], "o", markersize=2.6, zorder=2.8,
            markerfacecolor="none", markeredgecolor=color, markeredgewidth=0.6,
            label=f"not fitted {name}",
        )  # fmt: skip
        hidden = rows[below & rows["lloq"].notna()]
        below_marks(axes, hidden["day"], hidden["lloq"], color, f"below {name}")
    _draw_lloq(axes, panel.samples)
    axes.set_yscale("log")
    axes.set_ylim(*limits)


def _draw_lloq(axes: Axes, samples: pd.DataFrame) -> None:
    """Draw the limit as a thin line, in steps where it changes between samples."""
    known = samples.dropna(subset=["lloq"]).drop_duplicates("day").sort_values("day")
    if known.empty:
        return
    dashes = (0, (4, 2))
    style: dict[str, Any] = {"color": "#666666", "linewidth": 0.7, "linestyle": dashes}
    style |= {"zorder": 1.5, "label": "LLOQ"}
    if known["lloq"].nunique() == 1:
        axes.axhline(known["lloq"].iloc[0], **style)
    else:
        axes.step(known["day"], known["lloq"], where="mid", **style)


def _shade(axes: Axes, last: float, until: float) -> None:
    if last < until:
        axes.axvspan(last, until, color=_SHADE, linewidth=0, zorder=0, label="extrapolated")


def _marked_events(
    fit: Fit, patients: Sequence[str], until: float
) -> dict[str, list[tuple[float, str]]]:
    """Find the days to mark, by patient."""
    table = fit.cohort.patients.set_index("patient")
    found: dict[str, list[tuple[float, str]]] = {p: [] for p in patients}
    for event in _EVENTS:
        if event.day not in table or (event.only_if and event.only_if not in table):
            continue
        for patient in patients:
            day = table.at[patient, event.day]
            happened = not event.only_if or table.at[patient, event.only_if]
            if pd.isna(day) or pd.isna(happened) or not happened or not 0 <= day <= until:
                continue
            found[patient].append((float(day), event.letter))
    return found


def _is_marked(event: _Event, marked: dict[str, list[tuple[float, str]]]) -> bool:
    return any(letter == event.letter for days in marked.values() for _, letter in days)


def _mark_events(axes: Axes, events: list[tuple[float, str]], until: float, width: float) -> None:
    """Mark days by a dotted line and a letter; a letter that would touch another goes lower."""
    drawn: list[tuple[float, int]] = []
    for day, letter in sorted(events):
        place = day_place(day, until) * (width - 0.4)
        rows = {row for at, row in drawn if abs(at - place) < 0.12}
        row = min(set(range(len(events))) - rows)
        drawn.append((place, row))
        axes.axvline(day, color="#555555", linewidth=0.7, linestyle=":", zorder=1.4)
        axes.annotate(
            letter, (day, 1), xycoords=("data", "axes fraction"), xytext=(0, -1 - 8 * row),
            textcoords="offset points", ha="center", va="top", fontsize=6.5, color="#333333",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
            zorder=4,
        )  # fmt: skip


def _label(
    axes: list[Axes],
    panels: list[_Panel],
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
    figure: Figure, panels: list[_Panel], events: list[_Event], probabilities: Sequence[float]
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
    entries.append((Patch(color=_SHADE, lw=0), "after the last sample"))
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
