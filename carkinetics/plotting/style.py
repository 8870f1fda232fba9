"""What all figures share: size, colors, log axes with samples below the limit, the stamp."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito 2008: told apart with any common form of color blindness, and on a gray print.
COLORS = {"CD4": "#0072B2", "CD8": "#D55E00", "total": "#222222", "qpcr": "#009E73"}
MUTED = "#9a9a9a"
ASSAY_LABELS = {"flow": "CAR+ cells", "qpcr": "CAR transgene"}
UNIT_LABELS = {"cells/uL": "cells/µL", "copies/ug": "copies/µg DNA"}
_STAMP = "#b00020"
_STRIP = 0.2  # inches under the figure
_LETTERS_PER_INCH = 13.5
_FIXED = "\N{NO-BREAK SPACE}"
_LINEAR_UNTIL = 45.0  # days
# Ticks of a day axis, the most wanted first [day].
_DAYS = (0, 28, 90, 180, 365, 730, 7, 14, 60, 545, 1095, 1825, 21, 270, 42, 120)
PHONE_WIDTH = 3.6  # inches; a figure this wide is legible on a phone held upright

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "carkinetics",
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn but not shown.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        To change or save by hand.
    axes : array of Axes, shape (panel,)
        Its panels.
    """

    figure: Figure
    axes: np.ndarray

    def save(self, path: str | Path) -> Path:
        """Write the figure to a file; the ending gives the format."""
        path = Path(path)
        with matplotlib.rc_context(_STYLE):
            self.figure.savefig(path)
        return path

    def image(self, format: str = "png", dpi: float = 150) -> bytes:
        """Give the figure as the bytes of a file."""
        buffer = io.BytesIO()
        # Without its date an SVG of the same data is the same to the byte.
        metadata = {"Date": None} if format == "svg" else None
        with matplotlib.rc_context(_STYLE):
            self.figure.savefig(buffer, format=format, dpi=dpi, metadata=metadata)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.image()


def picture(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Draw in the style of the package and leave matplotlib's settings as they were."""

    @wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Picture:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Make a figure that belongs to no window.

    Parameters
    ----------
    width, height : float
        Size [inch].
    rows, columns : int
        Panels.
    **options
        As for `Figure.subplots`.

    Returns
    -------
    Figure and array of Axes, shape (rows * columns,)
    """
    # Not through pyplot, which would keep every figure alive and may open windows.
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.ravel(figure.subplots(rows, columns, **options))


def stamp(figure: Figure, synthetic: bool) -> None:
    """Write SYNTHETIC into every panel, and under a figure, made from invented data."""
    if not synthetic:
        return
    width, height = figure.get_size_inches()
    strip = _STRIP / height
    # Kept free of axis labels by the layout; in the panels too, since panels get cut out.
    _keep_free(figure, strip)
    note = "SYNTHETIC, not patient data"
    mark = figure.text(0.5, 0.2 * strip, note, ha="center", color=_STAMP, fontsize=8)
    mark.set_in_layout(False)
    for axes in figure.axes:
        place = axes.get_subplotspec()
        share = 1 if place is None else place.get_gridspec().ncols
        axes.text(
            0.5,
            0.5,
            "SYNTHETIC",
            transform=axes.transAxes,
            ha="center",
            va="center",
            rotation=25,
            fontsize=float(np.clip(7.5 * width / share, 9.0, 40.0)),
            color=_STAMP,
            alpha=0.13,
            weight="bold",
            zorder=0.5,
        )


def fold(text: str, width: float) -> str:
    """Break a text into lines that fit a panel `width` inches wide."""
    return textwrap.fill(text, max(int(_LETTERS_PER_INCH * width), 16))


def level_label(assay: str, unit: str, cell_type: str = "total") -> str:
    """Name the axis of a level, with its unit."""
    what = ASSAY_LABELS.get(assay, assay)
    subset = "" if cell_type == "total" else f"{cell_type} "
    return f"{subset}{what} [{UNIT_LABELS.get(unit, unit)}]"


def fold_label(label: str, room: float) -> str:
    """Break the label of an axis; its unit goes to a line of its own before any word does."""
    parts = [label] if fold(label, room) == label else label.replace(" [", "\n[").split("\n")
    return "\n".join(fold(part, room) for part in parts)


def log_levels(axes: Axes, label: str, below: float = 0.04, lowest: float = 0.0) -> None:
    """Make the vertical axis logarithmic, with plain numbers at its ticks; call it last.

    Parameters
    ----------
    axes : Axes
        Panel with everything drawn.
    label : str
        Of the axis.
    below : float
        Share of the panel to keep free under the data.
    lowest : float
        Where to cut what reaches further down.
    """
    axes.set_yscale("log")
    room = _panel_height(axes) - 0.8
    axes.set_ylabel(fold_label(label, room))
    low, high = np.log10(axes.dataLim.intervaly)
    low = np.log10(axes.dataLim.minposy) if not np.isfinite(low) else low
    low = max(low, np.log10(lowest)) if lowest > 0 else low
    if high - low < 0.5:  # levels alike: some room on both sides
        low, high = (low + high) / 2 - 0.25, (low + high) / 2 + 0.25
    span = high - low
    axes.set_ylim(10 ** (low - (below + 0.02) * span), 10 ** (high + 0.05 * span))
    log_ticks(axes.yaxis, span)


def log_ticks(axis: Axis, decades: float, most: int = 12) -> None:
    """Put plain numbers at the ticks of a logarithmic axis.

    Parameters
    ----------
    axis : Axis
        Already logarithmic.
    decades : float
        How many powers of ten it spans.
    most : int
        Most ticks there is room for.
    """
    # A few decades hold too few powers of ten to read a level from.
    subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.5 else (1.0,)
    if len(subs) * decades > most:
        subs = (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    axis.set_minor_formatter(NullFormatter())


def tick_text(value: float) -> str:
    """Write a positive number at a tick: plain where it is short, else as a power of ten.

    Examples
    --------
    >>> tick_text(0.003), tick_text(20000.0), tick_text(1e-9)
    ('0.003', '20,000', '$10^{-9}$')
    """
    power = int(np.floor(np.log10(value) + 1e-9))
    if -3 <= power <= 5:
        return plain(value)
    factor = value / 10.0**power
    return f"$10^{{{power}}}$" if abs(factor - 1) < 1e-6 else f"${factor:.0f}\\cdot10^{{{power}}}$"


def caption(figure: Figure, text: str, synthetic: bool) -> None:
    """Write small text under all panels, above the line that `stamp` puts there.

    Parameters
    ----------
    figure : Figure
        With its layout engine.
    text : str
        Lines; each is folded to the width of the figure.
    synthetic : bool
        Whether the figure will be stamped.
    """
    width, height = figure.get_size_inches()
    lines = caption_lines(text, width)
    low, size = (_STRIP if synthetic else 0.0) + 0.05, 7.5
    figure.text(
        0.1 / width, low / height, "\n".join(lines), ha="left", va="bottom", fontsize=size,
        color="#333333", linespacing=1.25,
    ).set_in_layout(False)  # fmt: skip
    tall = (sum(line.count("\n") + 1 for line in lines) * 1.45 * size / 72 + 0.08) / height
    _keep_free(figure, tall)


def caption_lines(text: str, width: float) -> list[str]:
    """Fold the lines of a caption to a figure `width` inches wide."""
    # A number stays with its percent sign, and with the sign of equality before it.
    kept = text.replace(" %", _FIXED + "%").replace(" = ", f"{_FIXED}={_FIXED}")
    return [
        fold(line, 1.12 * width - 0.3).replace(_FIXED, " ") for line in kept.split("\n") if line
    ]


def area_unit(unit: str) -> str:
    """Write a unit as figures do.

    Examples
    --------
    >>> area_unit("cells/uL*day")
    'cells/µL x day'
    """
    for known, shown in UNIT_LABELS.items():
        unit = unit.replace(known, shown)
    return unit.replace("*", " x ")


def day_axis(axes: Axes, until: float, width: float) -> None:
    """Write days at the ticks of an axis; more than 45 days get a square-root scale.

    Parameters
    ----------
    axes : Axes
        Panel.
    until : float
        Last day [day].
    width : float
        Of the panel [inch].
    """
    if is_stretched(until):
        # On a linear axis of months the rise would be a wall.
        scales = (lambda day: np.sqrt(np.maximum(day, 0.0)), np.square)
        axes.set_xscale("function", functions=scales)
    axes.set_xlim(0, until)
    chosen: list[int] = []
    for day in (tick for tick in _DAYS if tick <= until):
        place, room = day_place(day, until) * width, 0.3 if day >= 100 else 0.24
        if all(abs(place - day_place(tick, until) * width) >= room for tick in chosen):
            chosen.append(day)
    axes.set_xticks(sorted(chosen), [f"{day:,}" for day in sorted(chosen)])
    axes.set_xlabel(fold("Day since infusion", width), fontsize=8)


def is_stretched(until: float) -> bool:
    """Tell whether `day_axis` takes a square-root scale."""
    return until > _LINEAR_UNTIL


def day_place(day: float, until: float) -> float:
    """Give the place of a day on an axis of `day_axis`, from 0 to 1."""
    return float(np.sqrt(day / until) if is_stretched(until) else day / until)


def _keep_free(figure: Figure, share: float) -> None:
    """Keep the layout off a strip at the bottom, besides what it keeps off already."""
    engine = figure.get_layout_engine()
    if engine is not None:
        left, bottom, wide, tall = engine.get().get("rect", (0, 0, 1, 1))
        engine.set(rect=(left, bottom + share, wide, tall - share))  # type: ignore[call-arg]


def _panel_height(axes: Axes) -> float:
    """Give the height of a panel with its labels [inch]."""
    place = axes.get_subplotspec()
    rows = 1 if place is None else place.get_gridspec().nrows
    return float(axes.figure.get_figure(root=True).get_size_inches()[1]) / rows


# Said under a figure in which `shown_from` cuts an interval.
CUT = "Intervals that reach the lower edge of a panel go on below it."


def shown_from(estimates: np.ndarray) -> float:
    """Return the level below which intervals are cut: a hundredth of the lowest estimate.

    The interval of a patient whose every sample is below the limit has no lower end that data
    know; drawn whole it would press all others together.
    """
    found = estimates[np.isfinite(estimates) & (estimates > 0)]
    return float(found.min()) / 100 if found.size else 0.0


def plain(value: float) -> str:
    """Write a number as a clinician would: 0.05, 9, 1,200.

    Examples
    --------
    >>> plain(0.05), plain(1234.5), plain(98.04)
    ('0.05', '1,230', '98')
    """
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    digits = 2 - int(np.floor(np.log10(abs(value))))
    rounded = round(value, digits)
    return (
        f"{rounded:,.{max(digits, 0)}f}".rstrip("0").rstrip(".")
        if digits > 0
        else f"{rounded:,.0f}"
    )


def below_marks(axes: Axes, day: Any, lloq: Any, color: str, label: str | None = None) -> None:
    """Mark samples below their limit by open triangles that hang from it.

    Parameters
    ----------
    axes : Axes
        Panel.
    day, lloq : array, shape (sample,)
        Days [day] and limits [unit of the axis].
    color : str
        Edge color.
    label : str, optional
        For the legend.
    """
    axes.plot(
        day, lloq, linestyle="none", marker="v", markersize=4.5, markerfacecolor="white",
        markeredgecolor=color, markeredgewidth=0.9, label=label, zorder=2.5,
    )  # fmt: skip
