"""Cumulative incidence where death competes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import (
    CumulativeIncidence,
    KaplanMeier,
    causes_of_progression,
    cumulative_incidence,
    kaplan_meier,
)
from carkinetics.outcomes.competing import PROGRESSION
from carkinetics.plotting.at_risk import calendar_ticks, height_below, write_at_risk
from carkinetics.plotting.style import Picture, caption, fold, new_figure, picture, stamp
from carkinetics.trial import onset_incidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort

_FIRST, _SECOND, _WRONG = "#D55E00", "#0072B2", "#9a9a9a"
_TITLES = {
    "progression": "Progression, and death without it",
    "crs_grade": "Onset of CRS",
    "icans_grade": "Onset of ICANS",
    "iec_hs": "Onset of IEC-HS",
}
_MONTHS = 60.0  # days drawn of an onset


@picture
def plot_incidence(
    cohort: Cohort,
    event: str = "progression",
    *,
    probability: float = 0.95,
    width: float = 5.4,
) -> Picture:
    """Draw the share of patients who have had an event, by day, with death competing.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    event : {"progression", "crs_grade", "icans_grade", "iec_hs"}
        Progression, or the onset of a toxicity.
    probability : float
        Coverage of the pointwise limits.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Aalen-Johansen curves of the event and of death before it. For progression, one minus
        Kaplan-Meier is drawn thin: it overstates what patients go through.

    Raises
    ------
    DataError
        If the event is unknown or its columns are missing.
    """
    curve, table = _estimate(cohort, event, probability)
    last = float(table["day"].max()) if event == "progression" else _MONTHS
    lines = [_told(curve, event, probability, last)]
    km = None
    if event == "progression":
        km = kaplan_meier(table["day"], table["cause"] == PROGRESSION)
        lines.append(_overstated(curve, km))
    height = 0.5 * width + 0.75 + height_below(lines, width, 1)
    figure, panels = new_figure(width, height)
    axes = panels[0]
    _step(axes, curve, PROGRESSION, _FIRST, "-", _name(event))
    _step(axes, curve, 2, _SECOND, (0, (4, 1.5)), "death before it")
    if km is not None:
        axes.step([0, *km.day], [0, *(1 - km.survival)], where="post", color=_WRONG, linewidth=0.9,
                  label="1 - Kaplan-Meier")  # fmt: skip
    ticks = calendar_ticks(last, width - 0.9)
    write_at_risk(axes, table["day"], ticks, 0, "all", "#222222")
    axes.set_xlim(0, 1.03 * last)
    axes.set_ylim(0, 1.0)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlabel("Day since infusion", labelpad=2)
    axes.set_ylabel("Cumulative incidence")
    axes.set_title(fold(_TITLES[event], width - 0.8))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", fontsize=7.5,
                  ncols=max(int(width / 1.5), 2))  # fmt: skip
    caption(figure, "\n".join(lines), cohort.synthetic)
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _estimate(
    cohort: Cohort, event: str, probability: float
) -> tuple[CumulativeIncidence, pd.DataFrame]:
    if event not in _TITLES:
        remedy = f"Choose from {', '.join(_TITLES)}."
        raise DataError(Fault("plot_incidence", f"no event {event!r}", remedy))
    if event != "progression":
        curve = onset_incidence(cohort, event, probability)
        days = np.repeat(curve.day, -np.diff([*curve.n_at_risk, 0]).astype(int))
        return curve, pd.DataFrame({"day": days})
    absent = {"ttp_day", "progressed"} - set(cohort.patients.columns)
    if absent:
        what = f"progression needs {', '.join(sorted(absent))}"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add the column(s)."))
    table = causes_of_progression(cohort)
    return cumulative_incidence(table["day"], table["cause"], probability=probability), table


def _overstated(curve: CumulativeIncidence, km: KaplanMeier, day: float = 180.0) -> str:
    return (
        f"By day {day:g}: {curve.at(day, PROGRESSION):.1%} progressed; 1 - Kaplan-Meier would say "
        f"{1 - km.at(day):.1%}, as if nobody had died first."
    )


def _name(event: str) -> str:
    return {"crs_grade": "CRS", "icans_grade": "ICANS", "iec_hs": "IEC-HS"}.get(event, event)


def _step(
    axes: Axes, curve: CumulativeIncidence, cause: int, color: str, dashes: object, name: str
) -> None:
    if cause not in curve.causes:
        return
    row = curve.causes.index(cause)
    day = [0.0, *curve.day]
    share = [0.0, *curve.incidence[row]]
    axes.step(day, share, where="post", color=color, linestyle=dashes, linewidth=1.7, label=name)
    lower, upper = ([0.0, *np.nan_to_num(a[row])] for a in (curve.lower, curve.upper))
    axes.fill_between(day, lower, upper, step="post", color=color, alpha=0.12, linewidth=0)


def _told(curve: CumulativeIncidence, event: str, probability: float, last: float) -> str:
    share, low, high = curve.interval_at(last, PROGRESSION)
    interval = "" if np.isnan(low) else f" ({low:.0%} to {high:.0%})"
    return (
        f"Aalen-Johansen; {_name(event)} by day {last:g}: {share:.1%}{interval}, "
        f"{100 * probability:g} % limits symmetric on the {curve.transform} scale."
    )
