"""Kaplan-Meier curves of a trial, with numbers at risk and the name of their interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes import KaplanMeier, kaplan_meier, log_rank
from carkinetics.plotting.at_risk import calendar_ticks, height_below, write_at_risk
from carkinetics.plotting.style import Picture, caption, fold, new_figure, picture, stamp
from carkinetics.trial import arms, clocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from carkinetics.cohort import Cohort

_COLORS = ("#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1, 1, 1)), (0, (2, 2)))
_SHARES = {
    "pfs": "Share alive without progression",
    "os": "Share alive",
    "ttp": "Share without progression",
}


@picture
def plot_survival(
    cohort: Cohort,
    clock: str = "pfs",
    *,
    by_arm: bool = False,
    transform: str = "log-log",
    probability: float = 0.95,
    width: float = 5.4,
) -> Picture:
    """Draw the Kaplan-Meier curve of a survival outcome.

    Parameters
    ----------
    cohort : Cohort
        Patients.
    clock : {"pfs", "os", "ttp"}
        Which outcome.
    by_arm : bool
        One curve per arm rather than one for all.
    transform : str
        Scale on which pointwise limits are symmetric, see `carkinetics.outcomes.kaplan_meier`;
        the figure names it.
    probability : float
        Coverage of the limits.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        Bars are censorings; the band (for a single curve) holds the pointwise limits; below stand
        the numbers at risk, the median with its interval and, for several arms, the log-rank p.

    Raises
    ------
    DataError
        If the outcome is unknown or the cohort does not have it.
    """
    known = clocks(cohort, transform, probability)
    if clock not in known:
        what = f"no survival outcome {clock!r}"
        remedy = f"The cohort has {', '.join(known) or 'none'}."
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy))
    found = known[clock]
    groups = _groups(cohort, found.table, by_arm)
    curves = {
        name: kaplan_meier(t["day"], t["event"], transform=transform, probability=probability)
        for name, t in groups.items()
    }
    lines = [_told(curve, name) for name, curve in curves.items()]
    if len(groups) > 1:
        lines.append(_compared(groups))
    lines.append(
        f"{100 * probability:g} % intervals symmetric on the {transform} scale; bars: censored."
    )
    legend = 0.3 if len(groups) > 1 else 0.0
    height = 0.5 * width + 0.3 + legend + height_below(lines, width, len(groups))
    figure, panels = new_figure(width, height)
    axes = panels[0]
    last = float(found.table["day"].max())
    ticks = calendar_ticks(last, width - 0.9)
    for place, (name, table) in enumerate(groups.items()):
        color = _COLORS[place % 5]
        _draw(axes, curves[name], table, color, _DASHES[place % 5], name, len(groups) == 1)
        write_at_risk(axes, table["day"], ticks, place, name, color)
    if len(groups) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3,
                      handlelength=2.2)  # fmt: skip
    axes.set_xlim(0, 1.03 * last)
    axes.set_ylim(0, 1.03)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlabel("Day since infusion", labelpad=2)
    axes.set_ylabel(_SHARES[clock])
    axes.set_title(fold(found.label, width - 0.8))
    caption(figure, "\n".join(lines), cohort.synthetic)
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)


def _groups(cohort: Cohort, table: pd.DataFrame, by_arm: bool) -> dict[str, pd.DataFrame]:
    found = {name: table[table.index.isin(some)] for name, some in arms(cohort).items()}
    found = {name: part for name, part in found.items() if len(part)}
    if not by_arm:
        return {"all": table}
    if len(found) < 2:
        what, remedy = "there are no two arms", "Leave by_arm out."
        raise DataError(Fault(f"cohort {cohort.name}", what, remedy))
    return found


def _compared(groups: dict[str, pd.DataFrame]) -> str:
    arm = np.concatenate([np.full(len(table), name) for name, table in groups.items()])
    every = pd.concat(groups.values())
    test = log_rank(every["day"], every["event"], arm)
    return (
        f"No log-rank test: {test.reason}."
        if test.reason
        else (f"Log-rank p = {test.p_value:.3f} ({len(groups)} arms, unadjusted).")
    )


def _draw(
    axes: Axes, curve: KaplanMeier, table: pd.DataFrame, color: str, dashes: object, name: str,
    band: bool,
) -> None:  # fmt: skip
    day, share = [0.0, *curve.day], [1.0, *curve.survival]
    axes.step(day, share, where="post", color=color, linestyle=dashes, linewidth=1.7, label=name)
    if band:
        # Once nobody is left, there is nothing to bound: the band holds until then.
        limits = (curve.lower, curve.upper)
        lower, upper = (pd.Series(np.concatenate([[1.0], limit])).ffill() for limit in limits)
        axes.fill_between(day, lower, upper, step="post", color=color, alpha=0.13, linewidth=0)
    censored = table.loc[~table["event"], "day"]
    axes.plot(censored, [curve.at(d) for d in censored], "|", color=color, markersize=7)


def _told(curve: KaplanMeier, name: str) -> str:
    def day(value: float) -> str:
        return f"{value:g}" if np.isfinite(value) else "not reached"

    who = "" if name == "all" else f"{name}: "
    flat = " (the curve is flat at one half from there)" if curve.flat_at_half else ""
    return (
        f"{who}median [days] {day(curve.median)} ({day(curve.median_lower)} to "
        f"{day(curve.median_upper)}){flat}, {curve.n_total_events} events in {curve.n} patients."
    )
