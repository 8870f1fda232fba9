"""One panel of a figure of levels: curve, bands, samples, limit and marked days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.plotting.levels_data import Panel
from carkinetics.plotting.style import COLORS, below_marks, day_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.inference import Fit

SHADE = "#ececec"


@dataclass(frozen=True)
class Event:
    """A day worth a mark: its letter in the panels, what it means, where it stands."""

    letter: str
    label: str
    day: str
    only_if: str = ""


EVENTS = (
    Event("C", "CRS onset", "crs_onset_day"),
    Event("H", "IEC-HS onset", "iec_hs_day"),
    Event("P", "progression", "ttp_day", "progressed"),
)


def draw_panel(axes: Axes, panel: Panel, days: np.ndarray, limits: tuple[float, float]) -> None:
    """Draw the curves, bands and samples of one patient by one assay."""
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


def shade_extrapolation(axes: Axes, last: float, until: float) -> None:
    """Put a gray ground behind what lies after the last sample."""
    if last < until:
        axes.axvspan(last, until, color=SHADE, linewidth=0, zorder=0, label="extrapolated")


def marked_events(
    fit: Fit, patients: Sequence[str], until: float
) -> dict[str, list[tuple[float, str]]]:
    """Find the days to mark, by patient."""
    table = fit.cohort.patients.set_index("patient")
    found: dict[str, list[tuple[float, str]]] = {p: [] for p in patients}
    for event in EVENTS:
        if event.day not in table or (event.only_if and event.only_if not in table):
            continue
        for patient in patients:
            day = table.at[patient, event.day]
            happened = not event.only_if or table.at[patient, event.only_if]
            if pd.isna(day) or pd.isna(happened) or not happened or not 0 <= day <= until:
                continue
            found[patient].append((float(day), event.letter))
    return found


def is_marked(event: Event, marked: dict[str, list[tuple[float, str]]]) -> bool:
    """Tell whether any patient has this event marked."""
    return any(letter == event.letter for days in marked.values() for _, letter in days)


def mark_events(axes: Axes, events: list[tuple[float, str]], until: float, width: float) -> None:
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
