"""Cumulative incidence where events compete."""

from __future__ import annotations

import itertools
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
from carkinetics.outcomes.competing import DEATH, PROGRESSION, TRANSPLANT
from carkinetics.plotting.at_risk import calendar_ticks, height_below, write_at_risk
from carkinetics.plotting.style import Picture, caption, fold, new_figure, picture, stamp
from carkinetics.trial import causes_of_death, onset_incidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort

# Of the causes, in their order; colors that differ for any eye, and lines that differ in gray.
_LOOKS = (
    ("#D55E00", "-"),
    ("#0072B2", (0, (4, 1.5))),
    ("#009E73", (0, (1, 1))),
    ("#CC79A7", (0, (6, 1, 1, 1))),
    ("#222222", (0, (2, 2))),
)
_WRONG = "#9a9a9a"
_TITLES = {
    "progression": "Progression, and death without it",
    "crs_grade": "Onset of CRS",
    "icans_grade": "Onset of ICANS",
    "iec_hs": "Onset of IEC-HS",
    "death": "Death by cause",
}
_ONSETS = {"crs_grade": "CRS", "icans_grade": "ICANS", "iec_hs": "IEC-HS"}
_MONTHS = 60.0  # days drawn of an onset


@picture
def plot_incidence(
    cohort: Cohort,
    event: str = "progression",
    *,
    transplant_competes: bool = False,
    probability: float = 0.95,
    width: float = 5.4,
) -> Picture:
    """Draw the share of patients who have had an event, by day, with competing events.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    event : {"progression", "death", "crs_grade", "icans_grade", "iec_hs"}
        Progression, death by its cause, or the onset of a toxicity.
    transplant_competes : bool
        For progression: count transplant before it as an event of its own, instead of what the
        days of the table make of it (see also `carkinetics.outcomes.censor_at_transplant`).
    probability : float
        Coverage of the pointwise limits.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Aalen-Johansen curves of the event and of death before it; one curve for each cause of
        death. For progression, one minus Kaplan-Meier is drawn thin: it overstates what patients
        go through.

    Raises
    ------
    DataError
        If the event is unknown, its columns are missing, or it has no competing transplant.
    """
    curve, table, names = _estimate(cohort, event, probability, transplant_competes)
    last = _MONTHS if event in _ONSETS else float(table["day"].max())
    lines = [_told(curve, event, names, probability, last)]
    km = None
    if event == "progression":
        km = kaplan_meier(table["day"], table["cause"] == PROGRESSION)
        first = "died or had a transplant" if transplant_competes else "died"
        lines.append(_overstated(curve, km, first))
    height = 0.5 * width + 0.75 + height_below(lines, width, 1)
    figure, panels = new_figure(width, height)
    axes = panels[0]
    for (cause, name), (color, dashes) in zip(names.items(), itertools.cycle(_LOOKS), strict=False):
        _step(axes, curve, cause, color, dashes, name)
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
    title = "Progression, death or transplant first" if transplant_competes else _TITLES[event]
    axes.set_title(fold(title, width - 0.8))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", fontsize=7.5,
                  ncols=max(int(width / 1.5), 2))  # fmt: skip
    caption(figure, "\n".join(lines), cohort.synthetic)
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _estimate(
    cohort: Cohort, event: str, probability: float, transplant_competes: bool
) -> tuple[CumulativeIncidence, pd.DataFrame, dict[int, str]]:
    """Give curves, the patients' days, and the name of each cause drawn."""
    if event not in _TITLES:
        remedy = f"Choose from {', '.join(_TITLES)}."
        raise DataError(Fault("plot_incidence", f"no event {event!r}", remedy))
    if transplant_competes and event != "progression":
        what = f"transplant_competes goes with progression, not with {event!r}"
        raise DataError(Fault("plot_incidence", what, "Leave it out."))
    if event in _ONSETS:
        curve = onset_incidence(cohort, event, probability)
        days = np.repeat(curve.day, -np.diff([*curve.n_at_risk, 0]).astype(int))
        return curve, pd.DataFrame({"day": days}), {1: _ONSETS[event], 2: "death before it"}
    if event == "death":
        table, causes = causes_of_death(cohort)
        names = {k: name.replace("_", " ") for k, name in enumerate(causes, start=1)}
    else:
        table = _progression(cohort, transplant_competes)
        names = {PROGRESSION: "progression", DEATH: "death before it"}
        names |= {TRANSPLANT: "transplant before it"} if transplant_competes else {}
    curve = cumulative_incidence(table["day"], table["cause"], probability=probability)
    return curve, table, names


def _progression(cohort: Cohort, transplant_competes: bool) -> pd.DataFrame:
    absent = {"ttp_day", "progressed"} - set(cohort.patients.columns)
    if absent:
        what = f"progression needs {', '.join(sorted(absent))}"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add the column(s)."))
    return causes_of_progression(cohort, transplant_competes=transplant_competes)


def _overstated(curve: CumulativeIncidence, km: KaplanMeier, first: str, day: float = 180.0) -> str:
    return (
        f"By day {day:g}: {curve.at(day, PROGRESSION):.1%} progressed; 1 - Kaplan-Meier would say "
        f"{1 - km.at(day):.1%}, as if nobody had {first} first."
    )


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


def _told(
    curve: CumulativeIncidence,
    event: str,
    names: dict[int, str],
    probability: float,
    last: float,
) -> str:
    told = []
    for cause, name in names.items():
        share, low, high = curve.interval_at(last, cause)
        interval = "" if np.isnan(low) else f" ({low:.0%} to {high:.0%})"
        told.append(f"{name} by day {last:g}: {share:.1%}{interval}")
        if event != "death":
            break
    shares = ", ".join(told) or "nobody died"
    return (
        f"Aalen-Johansen; {shares}, {100 * probability:g} % limits symmetric on the "
        f"{curve.transform} scale."
    )
