"""Exposure of every patient with its interval, next to that of the population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from carkinetics.errors import DataError, Fault
from carkinetics.plotting.style import (
    COLORS,
    CUT,
    MUTED,
    Picture,
    area_unit,
    caption,
    fold,
    log_ticks,
    new_figure,
    picture,
    shown_from,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from carkinetics.exposure import Exposure

_NARROWEST = 1.5  # inches of a panel
_POPULATION = ("typical patient", "new patient")
_GAP = 0.6  # rows between patients and population


@picture
def plot_exposure(
    exposure: Exposure,
    quantities: Sequence[str] | str | None = None,
    cell_types: Sequence[str] | str | None = None,
    probability: float = 0.95,
    *,
    patients: Sequence[str] | str | None = None,
    width: float = 7.2,
) -> Picture:
    """Draw the exposure of every patient with its posterior interval, one panel per quantity.

    Parameters
    ----------
    exposure : Exposure
        From `summarize`.
    quantities : sequence of str, optional
        Which of its quantities; all but the probabilities of detection by default.
    cell_types : sequence of str, optional
        ``"CD4"``, ``"CD8"``, ``"total"``; all by default.
    probability : float
        Of the equal-tailed intervals.
    patients : sequence of str, optional
        All by default.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        One panel per quantity, in its own unit; levels and areas on log axes. Patients stand in
        the order of the first quantity (its median, of the last cell type), the highest on top.
        Below them the typical patient, whose interval says how well the center of the population
        is known, and a new patient, whose interval (also the gray band) says how far patients
        differ. An arrow at the horizon marks persistence whose interval reaches it: the true end
        is later or unknown. A gray tick is the patient's last sample; what lies beyond is
        extrapolated.

    Raises
    ------
    DataError
        For a quantity, a cell type or a patient that `exposure` does not hold.
    """
    names = _chosen(exposure, "quantities", quantities, _default_quantities(exposure),
                    exposure.quantities)  # fmt: skip
    every_cell = [str(c) for c in exposure.data["cell_type"].values]
    cells = _chosen(exposure, "cell_types", cell_types, every_cell, every_cell)
    every_patient = [str(p) for p in exposure.data["patient"].values]
    shown = _chosen(exposure, "patients", patients, every_patient, every_patient)
    table = exposure.table(probability=probability)
    population = exposure.population_table(probability).rename(columns={"who": "patient"})
    order = _order(table, names[0], cells[-1], shown)
    rows = {patient: float(i) for i, patient in enumerate(order)}
    rows |= {who: len(order) + _GAP + i for i, who in enumerate(_POPULATION)}
    columns = min(len(names), max(int((width - 0.7) / _NARROWEST), 1))
    lines = -(-len(names) // columns)
    row_height = 0.1 + 0.06 * len(cells)
    height = lines * ((len(rows) + _GAP) * row_height + 0.65) + 1.0 + 2.2 / width
    figure, panels = new_figure(width, height, lines, columns, squeeze=False)
    for empty in panels[len(names) :]:
        empty.remove()
    panels = panels[: len(names)]
    everyone = pd.concat([table, population])
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        part = everyone[(everyone["quantity"] == name) & everyone["patient"].isin(rows)]
        _draw(axes, part, rows, cells, exposure, name)
        _label_rows(axes, rows, len(order), place % columns == 0)
        _label_axis(axes, part, name, (width - 0.8) / columns)
    persistent = "persistence" in names
    _write_legend(figure, cells, probability, persistent)
    caption(figure, "\n".join(_notes(exposure, table, names, cells, probability)),
            exposure.synthetic)  # fmt: skip
    stamp(figure, exposure.synthetic)
    return Picture(figure, panels)


def _default_quantities(exposure: Exposure) -> list[str]:
    chosen = [name for name in exposure.quantities if not name.startswith("detectable_")]
    return chosen or list(exposure.quantities)


def _chosen(
    exposure: Exposure,
    what: str,
    asked: Sequence[str] | str | None,
    default: Sequence[str],
    known: Sequence[str],
) -> list[str]:
    """Give what was asked for; raises `DataError` for what the exposure does not hold."""
    if asked is None:
        return list(default)
    names = [asked] if isinstance(asked, str) else list(asked)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        said = f"has no {', '.join(unknown)}" if unknown else f"no {what} asked for"
        where = f"exposure of {exposure.cohort.name}"
        raise DataError(Fault(where, said, f"It has {', '.join(known)}.", section=what))
    return names


def _order(table: pd.DataFrame, name: str, cell_type: str, shown: Sequence[str]) -> list[str]:
    rows = table[(table["quantity"] == name) & (table["cell_type"] == cell_type)]
    rows = rows[rows["patient"].isin(shown)]
    ordered = rows.sort_values("estimate", ascending=False, na_position="last", kind="stable")
    return list(ordered["patient"])


def _is_log(table: pd.DataFrame) -> bool:
    """Tell whether a quantity is a level or an area, which differ by factors."""
    unit = str(table["unit"].iloc[0])
    return unit not in ("", "day") and bool((table["estimate"].dropna() > 0).all())


def _is_cut(table: pd.DataFrame) -> bool:
    """Tell whether an interval reaches below what its panel shows."""
    estimates, lower = (table[name].to_numpy(float) for name in ("estimate", "lower"))
    return _is_log(table) and bool((lower < shown_from(estimates)).any())


def _draw(
    axes: Axes,
    table: pd.DataFrame,
    rows: dict[str, float],
    cells: Sequence[str],
    exposure: Exposure,
    name: str,
) -> None:
    """Draw the intervals of one quantity, the cell types of a patient below each other."""
    new = table[(table["patient"] == _POPULATION[1]) & (table["cell_type"] == cells[-1])]
    if not new[["lower", "upper"]].isna().to_numpy().any():
        low, high = float(new["lower"].iloc[0]), float(new["upper"].iloc[0])
        axes.axvspan(low, high, color="#ededed", linewidth=0, zorder=0)
    for place, cell in enumerate(cells):
        part = table[table["cell_type"] == cell]
        shift = 0.0 if len(cells) == 1 else 0.5 * (place / (len(cells) - 1) - 0.5)
        at = part["patient"].map(rows).to_numpy(float) + shift
        color = COLORS.get(cell, MUTED)
        axes.hlines(at, part["lower"], part["upper"], color=color, linewidth=1.1, zorder=2)
        axes.plot(part["estimate"], at, "o", color=color, markersize=3, zorder=3)
        if name == "persistence":
            reached = (part["upper"] >= exposure.horizon * (1 - 1e-9)).to_numpy()
            axes.plot(
                np.full(reached.sum(), exposure.horizon), at[reached], linestyle="none",
                marker=">", color=color, markersize=4.5, zorder=3.5, label=f"censored {cell}",
            )  # fmt: skip
    if name == "persistence":
        known = [patient for patient in rows if patient in exposure.last_sample.index]
        axes.plot(
            exposure.last_sample[known], [rows[p] for p in known], linestyle="none", marker="|",
            color="#777777", markersize=7, markeredgewidth=1.0, zorder=1.5, label="last sample",
        )  # fmt: skip


def _label_rows(axes: Axes, rows: dict[str, float], n_patients: int, first: bool) -> None:
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)
    axes.axhline(n_patients - 0.7 + _GAP / 2, color="#bbbbbb", linewidth=0.6)
    axes.set_yticks(list(rows.values()), list(rows) if first else [])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.spines["left"].set_visible(False)


def _label_axis(axes: Axes, table: pd.DataFrame, name: str, width: float) -> None:
    label, unit = str(table["label"].iloc[0]), area_unit(str(table["unit"].iloc[0]))
    axes.set_title(fold(label, width), fontsize=9)
    what = f"[{unit}]" if unit else "probability"
    axes.set_xlabel(fold(what, width), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    if table["estimate"].isna().all():
        text = fold("missing: no limit of quantification", width - 0.3)
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", fontsize=8)
        axes.set_xticks([])
        return
    if not _is_log(table):
        ends = table[["estimate", "lower", "upper"]].to_numpy(float)
        low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
        if not unit:
            low, high = 0.0, 1.0
        elif name == "persistence" or high <= low:
            low = 0.0
        margin = 0.08 * (high - low) or 1.0
        axes.set_xlim(low - (margin if low > 0 or not unit else 0), high + margin)
        axes.locator_params(axis="x", nbins=max(int(width / 0.38), 2))
        return
    axes.set_xscale("log")
    ends = table[["lower", "upper", "estimate"]].to_numpy(float)
    lowest = max(np.nanmin(ends[ends > 0]), shown_from(table["estimate"].to_numpy(float)))
    low, high = np.log10(lowest), np.log10(np.nanmax(ends))
    margin = max(0.04 * (high - low), 0.1)
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    log_ticks(axes.xaxis, high - low, most=max(int(width / 0.36), 2))
    axes.tick_params(axis="x", which="minor", length=0)


def _write_legend(
    figure: Figure, cells: Sequence[str], probability: float, persistent: bool
) -> None:
    entries: list[tuple[object, str]] = [
        (Line2D([], [], color=COLORS.get(cell, MUTED), marker="o", markersize=3), cell)
        for cell in cells
    ]
    entries.append((Patch(color="#e2e2e2", lw=0), f"new patient, {cells[-1]}"))
    if persistent:
        arrow = Line2D([], [], linestyle="none", marker=">", color="#444444", markersize=3.6)
        entries.append((arrow, "reaches the horizon"))
        tick = Line2D([], [], linestyle="none", marker="|", color="#777777", markersize=7)
        entries.append((tick, "last sample"))
    handles, labels = zip(*entries, strict=True)
    columns = max(int(figure.get_size_inches()[0] / 1.75), 1)
    if len(cells) == 3 and columns < len(entries):
        columns = max(columns, 3)
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, handlelength=1.5,
        columnspacing=1.1, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip


def _notes(
    exposure: Exposure,
    table: pd.DataFrame,
    names: Sequence[str],
    cells: Sequence[str],
    probability: float,
) -> list[str]:
    notes = [
        f"Posterior medians with {100 * probability:g} % equal-tailed intervals, of the latent "
        "level (no assay error)."
    ]
    if any(_is_cut(table[table["quantity"] == name]) for name in names):
        notes.append(CUT)
    if any(name.startswith("detectable_") for name in names):
        notes.append("Detectable: posterior probability, which has no interval.")
    if "persistence" in names:
        text = (
            f"Persistence: last day above {exposure.limit:.3g}, censored at the horizon, day "
            f"{exposure.horizon:g}"
        )
        if exposure.censored is not None:
            share = exposure.censored.sel(cell_type=cells[-1])
            reached = int((share.values > 0.5).sum())
            text += f" ({cells[-1]}: more likely than not in {reached} of {share.size} patients)"
        notes.append(text + ". Beyond the last sample it is extrapolated.")
    if exposure.approximate:
        notes.append("APPROXIMATE fit (Laplace), not MCMC.")
    return notes
