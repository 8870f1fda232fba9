"""Swimmer plot: every patient's course, with the days on which CAR T cells were detectable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import profiles
from carkinetics.noncompartmental.select import OTHER_THERAPY
from carkinetics.plotting.style import Picture, day_axis, fold, new_figure, picture, stamp
from carkinetics.trial import arms, role_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from carkinetics.cohort import Cohort

# Best response: light grounds that differ in gray as well.
_GROUNDS = {"CR": "#9ecae1", "PR": "#c7e9c0", "SD": "#fee8a8", "PD": "#f4b9a7", "": "#dddddd"}
_DETECTABLE = "#333333"
# Event: marker, color, size, name.
_MARKS = {
    "progression": ("D", "#D55E00", 5.5, "progression or relapse"),
    "toxicity": ("^", "#CC79A7", 6.0, "IEC-HS"),
    "transplant": ("*", "#009E73", 9.0, "transplant"),
    "therapy": ("P", "#0072B2", 6.0, "other therapy"),
    "death": ("X", "#000000", 6.0, "death"),
}


@picture
def plot_swimmer(cohort: Cohort, assay: str = "flow", *, width: float = 6.8) -> Picture:
    """Draw the course of every patient from the infusion to death or last contact.

    Parameters
    ----------
    cohort : Cohort
        With ``os_day`` and ``died``; response, progression, transplant, other therapy and IEC-HS
        are drawn as far as they are known.
    assay : str
        Samples that tell when CAR T cells were detectable (quantifiable).
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        One bar per patient, sorted by arm and length; its color is the best response, which
        stands beside the patient's name. The thin dark bar runs from the first to the last sample
        with quantifiable CAR T cells, whatever lies between. An arrow marks patients alive at last
        contact.

    Raises
    ------
    DataError
        If the follow-up is not in the table of patients.
    """
    absent = {"os_day", "died"} - set(cohort.patients.columns)
    if absent:
        what = f"the course of patients needs {', '.join(sorted(absent))}"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add the column(s)."))
    table = _sorted(cohort)
    if table.empty:
        raise DataError(Fault(f"cohort {cohort.name}", "nobody has a day of last contact"))
    height = 0.23 * len(table) + 1.7
    figure, panels = new_figure(width, height)
    axes = panels[0]
    spans = _detectable(cohort, assay)
    for place, (patient, row) in enumerate(table.iterrows()):
        _draw_patient(axes, place, row, spans.get(str(patient)))
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_yticks(range(len(table)), _names(table), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    _name_arms(axes, cohort, table)
    day_axis(axes, 1.08 * float(table["os_day"].max()), width - 0.9)
    axes.set_xlabel(fold("Day since infusion (square-root scale)", width - 0.9), fontsize=8)
    _write_legend(figure, table, bool(spans), width)
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _sorted(cohort: Cohort) -> pd.DataFrame:
    """Collect what is drawn, patients by arm and then by length of follow-up."""
    table = cohort.patients.set_index("patient")
    columns = {
        "os_day": table["os_day"].astype(float),
        "died": table["died"].astype("boolean").fillna(False).astype(bool),
        "response": table.get("response", pd.Series("", index=table.index)).astype("string"),
    }
    if {"ttp_day", "progressed"} <= set(table.columns):
        progressed = table["progressed"].astype("boolean").fillna(False)
        columns["progression"] = table["ttp_day"].astype(float).where(progressed)
    transplant, therapy = role_of(cohort, "transplant_day"), role_of(cohort, "new_therapy_day")
    end = role_of(cohort, "end_of_pfs")
    if transplant is not None:
        columns["transplant"] = transplant.astype(float)
    if therapy is not None:
        columns["therapy"] = therapy.astype(float)
    elif end is not None and "pfs_day" in table.columns:
        columns["therapy"] = table["pfs_day"].astype(float).where(end.isin(OTHER_THERAPY))
    if "iec_hs_day" in table.columns:
        columns["toxicity"] = table["iec_hs_day"].astype(float)
    found = pd.DataFrame(columns, index=table.index).dropna(subset=["os_day"])
    arm = role_of(cohort, "arm")
    found["arm"] = "" if arm is None else arm.astype("string").reindex(found.index)
    return found.sort_values(["arm", "os_day"], ascending=[True, False], kind="stable")


def _names(table: pd.DataFrame) -> list[str]:
    """Name patients with their response: not every eye tells its colors apart."""
    known = table["response"].fillna("")
    return [f"{p}  {r}".rstrip() for p, r in zip(table.index, known, strict=True)]


def _detectable(cohort: Cohort, assay: str) -> dict[str, tuple[float, float]]:
    if assay not in cohort.assays:
        return {}
    return {
        p.patient: (float(p.day[~p.below_lloq].min()), float(p.day[~p.below_lloq].max()))
        for p in profiles(cohort, assay, "total")
        if (~p.below_lloq).any()
    }


def _draw_patient(axes: Axes, place: int, row: pd.Series, span: tuple[float, float] | None) -> None:
    response = row["response"]
    shade = _GROUNDS.get("" if pd.isna(response) else str(response), _GROUNDS[""])
    last = float(row["os_day"])
    axes.barh(place, last, height=0.66, color=shade, linewidth=0, zorder=1)
    if span is not None:
        first, end = span
        axes.barh(place, end - first, left=first, height=0.16, color=_DETECTABLE, zorder=2)
        axes.plot([first, end], [place, place], "|", color=_DETECTABLE, markersize=6, zorder=2)
    for event, (marker, color, size, _) in _MARKS.items():
        day = last if event == "death" and row["died"] else row.get(event, np.nan)
        if np.isfinite(day):
            axes.plot(day, place, marker, color=color, markersize=size, markeredgecolor="white",
                      markeredgewidth=0.6, zorder=3, clip_on=False)  # fmt: skip
    if not row["died"]:
        axes.annotate(
            "", (last, place), xytext=(12, 0), textcoords="offset points",
            arrowprops={"arrowstyle": "<|-", "color": "#333333", "lw": 1.0, "shrinkA": 0},
        )  # fmt: skip


def _name_arms(axes: Axes, cohort: Cohort, table: pd.DataFrame) -> None:
    """Draw a line between arms, and write their names at the right edge."""
    if not arms(cohort):
        return
    start = 0
    for name, part in table.groupby("arm", sort=True):
        if start:
            axes.axhline(start - 0.5, color="#888888", linewidth=0.8)
        axes.annotate(
            str(name), (1.0, start + (len(part) - 1) / 2), xycoords=("axes fraction", "data"),
            xytext=(6, 0), textcoords="offset points", ha="left", va="center", fontsize=8,
            style="italic", rotation=270, annotation_clip=False,
        )  # fmt: skip
        start += len(part)


def _write_legend(figure: Figure, table: pd.DataFrame, spans: bool, width: float) -> None:
    seen = [r for r in _GROUNDS if r and (table["response"] == r).any()]
    entries: list[Artist] = [Patch(facecolor=_GROUNDS[r], label=r) for r in seen]
    if spans:
        entries.append(Line2D([], [], color=_DETECTABLE, linewidth=2.5, label="CAR detectable"))
    for event, (marker, color, size, name) in _MARKS.items():
        drawn = table["died"].any() if event == "death" else table.get(event, pd.Series()).notna()
        if np.any(drawn):
            entries.append(
                Line2D([], [], linestyle="none", marker=marker, color=color, markersize=size - 0.5,
                       label=name)
            )  # fmt: skip
    if not table["died"].all():
        entries.append(
            Line2D([], [], linestyle="none", marker=r"$\rightarrow$", color="#333333",
                   markersize=8, label="alive at last contact")
        )  # fmt: skip
    figure.legend(
        handles=entries, loc="outside upper left", ncols=max(int(width / 1.35), 2),
        handlelength=1.2, columnspacing=0.9, handletextpad=0.4, fontsize=7.5,
    )  # fmt: skip
