"""Exposure against outcome: points by grade, Kaplan-Meier curves, and the estimates in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.association import MODES, OBSERVED_VALUE, POSTERIOR_MEAN
from carkinetics.outcomes.survival import kaplan_meier
from carkinetics.plotting.style import (
    COLORS,
    CUT,
    Picture,
    area_unit,
    below_marks,
    caption,
    caption_lines,
    day_axis,
    fold,
    is_stretched,
    log_levels,
    new_figure,
    picture,
    shown_from,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from carkinetics.outcomes import Association, Estimate

_OBSERVED = "#555555"
_MEDIAN = "#CC79A7"
_SIDE_BY_SIDE = 5.0  # inches from which the two panels of survival stand side by side
_SHORT = {POSTERIOR_MEAN: "posterior mean", OBSERVED_VALUE: "observed value"}
_CURVE_LABELS = {
    "ttp": "Share without progression",
    "pfs": "Share alive without progression",
    "os": "Share alive",
    "dor": "Share still in response",
}


@picture
def plot_association(
    association: Association, *, notes: bool = False, width: float | None = None
) -> Picture:
    """Draw exposure against outcome, with the estimates in words below.

    Parameters
    ----------
    association : Association
        From `associate`.
    notes : bool
        Also write the notes of the association.
    width : float, optional
        Of the figure [inch]; 7.2 for survival, else 5.2 when left out.

    Returns
    -------
    Picture
        Grades and yes-or-no outcomes: one strip of patients per level, the exposure on a log axis
        [unit of the exposure], the median of each level as a bar. Survival: Kaplan-Meier curves of
        the patients above the median exposure and of the others, with the number at risk, and the
        exposure against the day. The split serves the picture only: estimates use the exposure as
        it is. Filled points with lines are posterior geometric means with their intervals, open
        diamonds observed values, open triangles observed values below the limit, hanging from
        the highest value they can have. Patients without exposure or outcome are left out and
        counted.

    Raises
    ------
    DataError
        If no patient has both exposure and outcome.
    """
    survival = association.kind == "survival"
    width = (7.2 if survival else 5.2) if width is None else width
    table, left_out = _used(association)
    words = _words(association, left_out, notes) + [CUT] * _is_cut(association, table)
    lines = sum(line.count("\n") + 1 for line in caption_lines("\n".join(words), width))
    under = 0.155 * lines + 1.1
    if survival:
        figure, panels = _draw_survival(association, table, width, under)
    else:
        figure, panels = new_figure(width, 0.68 * width + 0.3 + under)
        if association.kind == "continuous":
            _draw_cloud(panels[0], association, table)
        else:
            _draw_strips(panels[0], association, table)
        _label_exposure(panels[0], association, table)
    _write_legend(figure, association, table)
    caption(figure, "\n".join(words), association.synthetic)
    stamp(figure, association.synthetic)
    return Picture(figure, panels)


def _used(association: Association) -> tuple[pd.DataFrame, int]:
    """Take the patients with outcome and exposure; count the others."""
    data = association.data
    values = data[["posterior_mean", "observed"]].astype(float)
    outcome = data["day"] if association.kind == "survival" else data["outcome"]
    keep = (data["left_out"] == "") & outcome.notna() & values.notna().any(axis=1)
    table = data[keep].copy()
    if table.empty:
        what = f"no patient has both {association.exposure} and {association.outcome}"
        raise DataError(Fault(f"cohort {association.cohort}", what, "See its notes."))
    # One value per patient, to sort and to split by.
    has_posterior = bool(table["posterior_mean"].notna().any())
    table["value"] = table["posterior_mean" if has_posterior else "observed"].astype(float)
    return table, int((~keep).sum())


def _draw_strips(axes: Axes, association: Association, table: pd.DataFrame) -> None:
    """Draw the patients of each grade side by side, in the order of their exposure."""
    levels = table["outcome"].astype(int)
    grades = range(int(levels.min()), int(levels.max()) + 1)
    if association.kind == "binary":
        grades = range(2)
    for grade in grades:
        group = table[levels == grade].sort_values("value")
        spread = np.linspace(-0.3, 0.3, len(group)) if len(group) > 1 else np.zeros(len(group))
        _draw_patients(axes, grade + spread, group, association)
        ranked = group["value"].mask(_hidden(group), -np.inf)
        median = float(ranked.median()) if len(group) else np.nan
        if np.isfinite(median):
            axes.plot([grade - 0.4, grade + 0.4], [median] * 2, color=_MEDIAN, linewidth=2,
                      zorder=1.5, label="median")  # fmt: skip
    names = ("no", "yes") if association.kind == "binary" else [str(grade) for grade in grades]
    counts = [int((levels == grade).sum()) for grade in grades]
    labels = [f"{name}\nn = {n}" for name, n in zip(names, counts, strict=True)]
    axes.set_xticks(list(grades), labels)
    axes.set_xlim(grades[0] - 0.6, grades[-1] + 0.6)
    axes.set_xlabel(association.outcome_label)


def _hidden(table: pd.DataFrame) -> pd.Series:
    """Tell whose value to sort by is an observed one below the limit."""
    own = table["posterior_mean"].isna()
    return own & table["observed_below_lloq"].astype(bool)


def _draw_cloud(axes: Axes, association: Association, table: pd.DataFrame) -> None:
    _draw_patients(axes, table["outcome"].to_numpy(float), table, association)
    axes.set_xlabel(association.outcome_label)


def _draw_patients(
    axes: Axes, at: np.ndarray, table: pd.DataFrame, association: Association
) -> None:
    """Draw the posterior of patients as points with lines, observed values as open marks."""
    color = COLORS.get(association.cell_type, COLORS["total"])
    axes.vlines(at, table["posterior_lower"], table["posterior_upper"], color=color,
                linewidth=1.0, alpha=0.75, zorder=2)  # fmt: skip
    axes.plot(at, table["posterior_mean"], "o", color=color, markersize=4.5, zorder=3,
              label="posterior mean")  # fmt: skip
    below = table["observed_below_lloq"].to_numpy(bool)
    axes.plot(
        at[~below], table["observed"].to_numpy(float)[~below], linestyle="none", marker="D",
        markersize=4.2, markerfacecolor="none", markeredgecolor=_OBSERVED, markeredgewidth=0.9,
        zorder=3.2, label="observed",
    )  # fmt: skip
    below_marks(axes, at[below], table["observed"].to_numpy(float)[below], _OBSERVED, "below")


def _label_exposure(axes: Axes, association: Association, table: pd.DataFrame) -> None:
    """Make the exposure axis logarithmic, except for probabilities and values of zero."""
    unit = area_unit(association.unit)
    label = f"{association.exposure_label}, {association.cell_type}"
    label = f"{label} [{unit}]" if unit else f"{label} (probability)"
    columns = ["posterior_mean", "posterior_lower", "posterior_upper", "observed"]
    numbers = table[columns].to_numpy(float)
    if not unit or np.nanmin(numbers) <= 0:
        axes.set_ylabel(label)
        return
    log_levels(axes, label, lowest=_lowest(table))


def _lowest(table: pd.DataFrame) -> float:
    return shown_from(table[["posterior_mean", "observed"]].to_numpy(float))


def _is_cut(association: Association, table: pd.DataFrame) -> bool:
    """Tell whether an interval reaches below what the exposure axis shows."""
    lower = table["posterior_lower"].to_numpy(float)
    return bool(association.unit) and bool((lower < _lowest(table)).any())


def _draw_survival(
    association: Association, table: pd.DataFrame, width: float, under: float
) -> tuple[Figure, np.ndarray]:
    beside = width >= _SIDE_BY_SIDE
    height = (0.44 * width + 0.7 if beside else 1.5 * width + 0.9) + under
    figure, panels = new_figure(
        width, height, 1 if beside else 2, 2 if beside else 1,
        **({"width_ratios": (1.15, 1)} if beside else {}),
    )  # fmt: skip
    _draw_curves(panels[0], association, table, width / 2 if beside else width)
    _draw_days(panels[1], association, table, (width / 2 if beside else width) - 0.8)
    _label_exposure(panels[1], association, table)
    return figure, panels


def _draw_curves(axes: Axes, association: Association, table: pd.DataFrame, width: float) -> None:
    """Draw Kaplan-Meier curves of the two halves, with the number at risk below."""
    ranked = table["value"].mask(_hidden(table), -np.inf)
    high = ranked > ranked.median()
    color = COLORS.get(association.cell_type, COLORS["total"])
    groups = [
        ("above the median", "above", table[high], color, "-"),
        ("at or below it", "others", table[~high], "#777777", (0, (4, 1.5))),
    ]
    last = float(table["day"].max())
    ticks = _ticks(last, width)
    for row, (label, short, group, shade, dashes) in enumerate(groups):
        if group.empty:
            continue
        curve = kaplan_meier(group["day"].astype(float), group["event"].astype(bool))
        axes.step([0.0, *curve.day], [1.0, *curve.survival], where="post", color=shade,
                  linestyle=dashes, linewidth=1.6, label=label)  # fmt: skip
        censored = group.loc[~group["event"].astype(bool), "day"].astype(float)
        axes.plot(censored, [curve.at(day) for day in censored], "|", color=shade, markersize=7)
        for tick in ticks:
            at_risk = int((group["day"] >= tick).sum())
            _below(axes, (tick, 0), ("data", "axes fraction"), 0, row, str(at_risk), shade)
        _below(axes, (0, 0), "axes fraction", -14, row, short, shade)
    axes.annotate("at risk", (0, 0), xycoords="axes fraction", xytext=(-14, -31),
                  textcoords="offset points", ha="right", va="top", fontsize=7)  # fmt: skip
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0, last * 1.04)
    axes.set_xticks(ticks)
    axes.set_ylabel(_CURVE_LABELS.get(association.outcome, "Share without the event"))
    axes.set_xlabel(_clock(association), labelpad=2)
    axes.set_title(fold("Median split, for the picture only", width - 0.6), fontsize=9)
    axes.legend(loc="upper right", handlelength=2.0, fontsize=7.5, borderaxespad=0.1)


def _below(
    axes: Axes, at: tuple[float, float], coordinates: object, right: float, row: int, text: str,
    color: str,
) -> None:  # fmt: skip
    """Write a number at risk under the label of the axis."""
    axes.annotate(
        text, at, xycoords=coordinates, xytext=(right, -41 - 10 * row),
        textcoords="offset points", ha="right" if right else "center", va="top", fontsize=7.5,
        color=color, annotation_clip=False,
    )  # fmt: skip


def _ticks(last: float, width: float) -> list[int]:
    """Choose days for the ticks, in steps that a calendar has."""
    most = max(int((width - 1.0) / 0.42), 2)
    steps = [step for step in (7, 14, 28, 60, 90, 180, 365, 730, 1825) if last / step <= most]
    step = steps[0] if steps else int(last / most) + 1
    return list(range(0, int(last) + 1, step))


def _clock(association: Association) -> str:
    clock = association.clock
    return "Day since infusion" if clock in ("", "from infusion") else f"Day, {clock}"


def _draw_days(axes: Axes, association: Association, table: pd.DataFrame, width: float) -> None:
    """Draw the exposure against the day; who was censored there gets an arrow."""
    day = table["day"].to_numpy(float)
    _draw_patients(axes, day, table, association)
    censored = ~table["event"].to_numpy(bool)
    for at, value in zip(day[censored], table["value"].to_numpy(float)[censored], strict=True):
        axes.annotate(
            "", (at, value), xytext=(16, 0), textcoords="offset points",
            arrowprops={"arrowstyle": "<-", "color": "#333333", "lw": 1.2, "shrinkA": 0},
        )  # fmt: skip
    last = 1.1 * float(day.max())
    day_axis(axes, last, width)
    scale = "\n(square-root scale)" if is_stretched(last) else ""
    axes.set_xlabel(_clock(association) + scale)
    axes.set_title("Each patient", fontsize=9)


def _write_legend(figure: Figure, association: Association, table: pd.DataFrame) -> None:
    color = COLORS.get(association.cell_type, COLORS["total"])
    probability = _probability(association)
    entries = []
    if table["posterior_mean"].notna().any():
        label = f"posterior mean, {probability} interval" if probability else "posterior mean"
        entries.append((Line2D([], [], color=color, marker="o", markersize=4.5, lw=1.0), label))
    below = table["observed_below_lloq"].astype(bool)
    if (table["observed"].notna() & ~below).any():
        mark = Line2D([], [], linestyle="none", marker="D", markersize=4.2,
                      markerfacecolor="none", markeredgecolor=_OBSERVED)  # fmt: skip
        entries.append((mark, "observed"))
    if below.any():
        mark = Line2D([], [], linestyle="none", marker="v", markersize=4.5,
                      markerfacecolor="white", markeredgecolor=_OBSERVED)  # fmt: skip
        entries.append((mark, "observed, below the LLOQ"))
    if association.kind in ("ordinal", "binary"):
        entries.append((Line2D([], [], color=_MEDIAN, linewidth=2), "median of the group"))
    if association.kind == "survival" and not table["event"].astype(bool).all():
        mark = Line2D([], [], linestyle="none", marker=r"$\rightarrow$", markersize=9,
                      color="#333333")  # fmt: skip
        entries.append((mark, "censored"))
    handles, labels = zip(*entries, strict=True)
    figure.legend(
        handles, labels, loc="outside upper left", ncols=max(int(figure.get_figwidth() / 2.2), 1),
        handlelength=1.5, columnspacing=1.1, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip


def _probability(association: Association) -> str:
    """Name the coverage of the posterior intervals, which is that of all others."""
    given = [e.probability for e in association.estimates if np.isfinite(e.probability)]
    return f"{100 * given[0]:g} %" if given else ""


def _words(association: Association, left_out: int, notes: bool) -> list[str]:
    """Tell every estimate, all modes of one method in a line."""
    what = f"{association.exposure_label} ({association.cell_type})"
    lines = [f"Association of {what} and {association.outcome_label}; no statement about cause."]
    methods = dict.fromkeys((e.method, e.measure) for e in association.estimates)
    for method, measure in methods:
        parts = [
            f"{_SHORT.get(mode, mode)} {_told(e)}"
            for mode in MODES
            for e in association.of_mode(mode)
            if (e.method, e.measure) == (method, measure)
        ]
        lines.append(f"{method}, {measure}: {'; '.join(parts)}.")
    if association.power is not None:
        sentence = association.power.sentence
        lines.append(f"{sentence[0].upper()}{sentence[1:]}.")
    if left_out:
        lines.append(f"{left_out} patient(s) without exposure or outcome left out.")
    if association.approximate:
        lines.append("APPROXIMATE: exposures of a fit by Laplace's approximation, not MCMC.")
    if notes:
        lines += [f"Note: {note}." for note in association.notes]
    return lines


def _told(e: Estimate) -> str:
    if e.missing:
        return f"missing ({e.note or 'no reason given'})"
    text = f"{e.estimate:.3g}"
    if not (np.isnan(e.lower) and np.isnan(e.upper)):
        text += f" ({100 * e.probability:g} % interval {e.lower:.3g} to {e.upper:.3g})"
    if not np.isnan(e.p_value):
        text += ", p < 0.001" if e.p_value < 0.001 else f", p = {e.p_value:.3f}"
    return text
