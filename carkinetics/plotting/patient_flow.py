"""The flow of patients through a trial, as boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.patches import FancyBboxPatch

from carkinetics.plotting.style import Picture, fold, new_figure, picture, stamp
from carkinetics.trial import PatientFlow, patient_flow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort

_LINE = 0.17  # inches per line of text
_GAP = 0.28  # inches between boxes
_EDGE = "#444444"


@picture
def plot_patient_flow(
    cohort: Cohort,
    not_infused: Mapping[str, int] | pd.DataFrame | None = None,
    *,
    width: float = 5.4,
) -> Picture:
    """Draw how many patients reached each step of the trial (CONSORT).

    Parameters
    ----------
    cohort : Cohort
        The infused patients.
    not_infused : mapping of str to int, or DataFrame, optional
        Why the others were not infused, see `carkinetics.trial.patient_flow`. Left out, the
        picture starts with the infusion.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        The last row holds the denominators of kinetics, response and survival.

    References
    ----------
    Schulz et al. 2010 (CONSORT), doi 10.1136/bmj.c332.
    """
    flow = patient_flow(cohort, not_infused)
    steps = _steps(flow, width)
    heights = [_LINE * (text.count("\n") + 1) + 0.16 for text, _ in steps]
    sides = [_LINE * (side.count("\n") + 1) + 0.16 if side else 0.0 for _, side in steps]
    # A side box stands beside the gap under its step.
    gaps = [max(_GAP, side + 0.2) if side else _GAP for side in sides]
    total = sum(heights) + sum(gaps[:-1]) + 0.2
    figure, panels = new_figure(width, total + (0.25 if cohort.synthetic else 0.0))
    axes = panels[0]
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(-total, 0)
    main = (0.04 * width, 0.52 * width) if any(sides) else (0.2 * width, 0.6 * width)
    top = -0.1
    for i, ((text, side), height) in enumerate(zip(steps, heights, strict=True)):
        _box(axes, main[0], top - height, main[1], height, text)
        middle, bottom = main[0] + main[1] / 2, top - height
        if i + 1 < len(steps):
            _arrow(axes, (middle, bottom), (middle, bottom - gaps[i]))
        if side:
            level = bottom - gaps[i] / 2
            left = main[0] + main[1] + 0.12
            _arrow(axes, (middle, level), (left, level))
            _box(axes, left, level - sides[i] / 2, width - left - 0.04, sides[i], side)
        top = bottom - gaps[i]
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _steps(flow: PatientFlow, width: float) -> list[tuple[str, str]]:
    """Give the text of every box, and of the one beside the gap under it."""
    steps: list[tuple[str, str]] = []
    room = 0.52 * width
    if flow.enrolled is not None:
        reasons = [fold(f"{n} {why}", 0.4 * width) for why, n in flow.not_infused.items()]
        beside = "\n".join([f"Not infused: {sum(flow.not_infused.values())}", *reasons])
        steps.append((f"Enrolled\nn = {flow.enrolled}", beside))
    infused = f"Infused\nn = {flow.infused}"
    if flow.arms:
        arms = "; ".join(f"{name} {n}" for name, n in flow.arms.items())
        infused += "\n" + fold(arms, room)
    steps.append((infused, ""))
    found = (("levels", flow.with_levels), ("response", flow.with_response),
             ("follow-up", flow.with_follow_up))  # fmt: skip
    last = "\n".join(f"{name}: {n} of {flow.infused}" for name, n in found)
    steps.append((f"With\n{last}", ""))
    return steps


def _box(axes: Axes, left: float, bottom: float, wide: float, high: float, text: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom), wide, high, boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="white", edgecolor=_EDGE, linewidth=0.9,
        )
    )  # fmt: skip
    axes.text(left + wide / 2, bottom + high / 2, text, ha="center", va="center", fontsize=8.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", end, xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": _EDGE, "lw": 0.9, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
