"""The curves of a model: its typical patient, and the spread of virtual patients around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from carkinetics.model import Model
from carkinetics.plotting.style import (
    COLORS,
    MUTED,
    UNIT_LABELS,
    Picture,
    caption,
    day_axis,
    fold,
    log_levels,
    log_ticks,
    new_figure,
    picture,
)
from carkinetics.simulation import draw_prior, true_parameters
from carkinetics.simulation.patients import patient_inputs
from carkinetics.solve.curves import latent_levels
from carkinetics.solve.model_curves import level_names, model_curves
from carkinetics.solve.trajectory import right_side, solve_states

_MOST_PANELS = 9
# Between these numbers are written out at a tick.
_SMALLEST, _LARGEST = 1e-4, 3e6
_PANEL = (3.4, 2.6)  # inches
# What lies further below the highest typical value is not shown.
_DECADES = {"level": 6.0, "output": 8.0}


@picture
def plot_model(
    model: Model,
    values: Mapping[str, float] | None = None,
    *,
    until: float = 180.0,
    n_patients: int = 100,
    seed: int = 1,
    unit: str | None = None,
) -> Picture:
    """Draw the curves of a model: the typical patient and a fan of virtual patients.

    Parameters
    ----------
    model : Model
        From `load_model`.
    values : mapping of str to float, optional
        Numbers in place of those of the model; see `model_curves`.
    until : float
        Last day [day].
    n_patients : int
        Virtual patients behind the fan; 0 for none.
    seed : int
        The same seed gives the same patients.
    unit : str, optional
        Unit of the level, where the model has several.

    Returns
    -------
    Picture
        The level, one curve per cell type, and up to five outputs. The fan holds 90 % of virtual
        patients drawn from the between-patient SDs. Where the model has none, patients differ by
        the priors; where no value is known of a number, the curve is at the median of its weak
        prior, and the figure says so.
    """
    model = model.with_values(values or {})
    absent = {name: model.parameters[name] for name in model.absent if name in model.parameters}
    unit = unit or model.latent_units[0]
    medians = {name: p.prior_for(unit).median for name, p in absent.items() if p.priors}
    days = np.linspace(0.0, 1.0, 241) ** 2 * until
    typical = model_curves(model, days, medians, unit=unit)
    names = _panel_names(model)
    patients, spread = _patients(model, medians, unit, n_patients, seed)
    fans = _fans(model, patients, days) if len(patients) else {}
    columns = min(len(names), 3 if len(names) not in (2, 4) else 2)
    rows = -(-len(names) // columns)
    figure, panels = new_figure(
        _PANEL[0] * columns, _PANEL[1] * rows + 0.6, rows, columns, squeeze=False
    )
    for axes, name in zip(panels, names, strict=False):
        _draw(axes, model, name, typical, fans, until)
    for axes in panels[len(names) :]:
        axes.remove()
    figure.suptitle(fold(model.title, _PANEL[0] * columns), fontsize=10, ha="left", x=0.01)
    _write_caption(figure, list(absent), spread if n_patients else None)
    return Picture(figure, panels[: len(names)])


def _panel_names(model: Model) -> list[str]:
    level = ["level"] if model.observed else []
    return [*level, *model.outputs][:_MOST_PANELS]


def _patients(
    model: Model, medians: Mapping[str, float], unit: str, n_patients: int, seed: int
) -> tuple[np.ndarray, str]:
    """Return the numbers of virtual patients and in what they differ."""
    system = model.system(open_inputs=True)
    if not n_patients or not system.parameters:
        return np.empty((0, 0)), ""
    if any(parameter.vary for parameter in model.parameters.values()):
        drawn = true_parameters(model, n_patients, seed=seed, unit=unit, typical=medians)
        own = drawn.to_numpy()
        published = any(p.omega_value is not None for p in model.parameters.values())
        chosen = "" if published else ", chosen by this project"
        spread = f"the between-patient SDs{chosen}"
    else:
        own = draw_prior(model, unit, n_patients, np.random.default_rng(seed))
        spread = "its weak priors"
    return np.hstack([own, patient_inputs(model, n_patients, {}, system.inputs)]), spread


def _fans(model: Model, numbers: np.ndarray, days: np.ndarray) -> dict[str, np.ndarray]:
    """Return the curves of all patients, shape (patient, day), by the name of the column."""
    system = model.system(open_inputs=True)
    if system.closed_form:
        found = np.exp(latent_levels(system, numbers, days).log_level)
        return {name: found[:, k] for k, name in enumerate(level_names(system))}
    equations = right_side(system)
    curves: dict[str, list[np.ndarray]] = {}
    for own in numbers:
        states, _ = solve_states(equations, own, days, 1e-6)
        levels, _ = equations.log_levels(days, states, own)
        if len(levels) > 1:
            levels = np.vstack([levels, np.logaddexp.reduce(levels, axis=0)])
        with np.errstate(over="ignore"):
            columns = dict(zip(level_names(system), np.exp(levels), strict=True))
        outputs = equations.outputs(days, states, own)
        columns |= dict(zip(system.outputs, outputs, strict=True))
        for name, curve in columns.items():
            curves.setdefault(name, []).append(curve)
    return {name: np.stack(rows) for name, rows in curves.items()}


def _draw(
    axes: Axes,
    model: Model,
    name: str,
    typical: pd.DataFrame,
    fans: Mapping[str, np.ndarray],
    until: float,
) -> None:
    columns = level_names(model.system()) if name == "level" else (name,)
    table = typical[list(columns)]
    unit = typical.attrs["units"][columns[0]]
    days, decades = table.index.to_numpy(), _DECADES["level" if name == "level" else "output"]
    floor = table.to_numpy().max() * 10**-decades
    for column in columns:
        cell_type = column[6:-1] if column.startswith("level[") else "total"
        color = COLORS[cell_type] if name == "level" else COLORS["qpcr"]
        if column in fans:
            low, high = _band(fans[column], floor)
            axes.fill_between(days, low, high, color=color, alpha=0.15, linewidth=0)
        curve = np.where(table[column] >= floor, table[column], np.nan)
        label = cell_type if len(columns) > 1 else None
        axes.plot(days, curve, color=color, linewidth=1.8, label=label)
    if len(columns) > 1:
        axes.legend(loc="lower right", ncols=3, handlelength=1.2, columnspacing=1.0)
    what = _title(model, name, unit)
    axes.set_title(fold(what, _PANEL[0] - 0.4), fontsize=9)
    # What a number without unit is told in, such as the burden on day 0, its title says.
    log_levels(axes, f"[{UNIT_LABELS.get(unit, unit)}]" if unit != "1" else "[no unit]")
    _few_ticks(axes)
    day_axis(axes, until, _PANEL[0] - 0.8)
    axes.grid(True, axis="y", color=MUTED, alpha=0.25, linewidth=0.5)


def _band(curves: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    # A patient who cannot be solved is left out; what falls below the floor lies on it.
    solved = curves[np.isfinite(curves).all(axis=1)]
    low, high = np.percentile(solved, [5, 95], axis=0) if len(solved) else (curves[0],) * 2
    return np.maximum(low, floor), np.maximum(high, floor)


def _title(model: Model, name: str, unit: str) -> str:
    if name != "level":
        return model.output_labels[name]
    return "CAR transgene" if unit == "copies/ug" else "CAR T cells"


def _few_ticks(axes: Axes) -> None:
    """Write powers of ten, and nothing else, where plain numbers would be long."""
    low, high = axes.get_ylim()
    if high >= _LARGEST or low < _SMALLEST:
        log_ticks(axes.yaxis, np.log10(high / low), most=7)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power_text(value)))


def _power_text(value: float) -> str:
    """Write a positive number as a power of ten, with a factor where it is not 1."""
    power = int(np.floor(np.log10(value) + 1e-9))
    factor = round(value / 10.0**power)
    return f"$10^{{{power}}}$" if factor == 1 else f"${factor}\\cdot10^{{{power}}}$"


def _write_caption(figure: Figure, absent: Sequence[str], spread: str | None) -> None:
    line = "Line: the typical patient."
    if absent:
        what = ", ".join(absent) if len(absent) <= 4 else f"{len(absent)} numbers"
        line = f"Line: no published value is at hand for {what}; medians of weak priors stand for"
        line += " it." if len(absent) == 1 else " them."
    band = "" if spread is None else " No band: no differences between patients are published."
    if spread:
        band = f" Band: 90 % of virtual patients who differ by {spread}."
    caption(figure, line + band, synthetic=False)
