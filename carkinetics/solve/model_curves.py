"""Curves of one patient: every state, level and output of a model; relapse on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from carkinetics.errors import Fault, SolverError, SolverOutcome
from carkinetics.model import Model, System
from carkinetics.solve.curves import latent_levels
from carkinetics.solve.trajectory import TOLERANCE, right_side, solve_states


def model_curves(
    model: Model,
    days: Sequence[float] | np.ndarray,
    values: Mapping[str, float] | None = None,
    *,
    unit: str | None = None,
    tolerance: float = TOLERANCE,
) -> pd.DataFrame:
    """Compute the curves of one patient.

    Parameters
    ----------
    model : Model
        From `load_model`.
    days : sequence of float
        Days from the infusion, not decreasing, from 0 on [day].
    values : mapping of str to float, optional
        Numbers in place of those of the model: parameters, constants, inputs, each in its unit.
        By default the published values, else the medians of the priors. What the model file
        calls absent has to be given here.
    unit : str, optional
        Unit of the level, where the model has several; the first of ``model.latent_units`` by
        default.
    tolerance : float
        Relative error of the solver.

    Returns
    -------
    DataFrame
        One row per day. Columns: ``level`` (``level[CD4]`` and so on where there are cell types,
        with ``level[total]``), every state and every output, each in the unit that
        ``attrs["units"]`` names. On the day of a dose: after it.

    Raises
    ------
    ModelFileError
        For a name the model does not have, and for values that are absent.
    SolverError
        Where the equations cannot be solved.

    Examples
    --------
    >>> from carkinetics.library import load_model
    >>> curves = model_curves(load_model("kimmel_2021"), [0.0, 7.0, 28.0])
    >>> curves["level"].round(2).tolist()
    [0.36, 30.11, 2.49]
    """
    given = dict(values or {})
    model = model.with_values({name: v for name, v in given.items() if "[" not in name})
    model.require_values()
    system, days = model.system(), np.asarray(days, dtype=float)
    if not days.size or not np.isfinite(days).all() or (np.diff(days) < 0).any() or days[0] < 0:
        raise SolverError(Fault("days", "must rise from day 0 on", "Sort them."))
    typical = model.typical(unit) | {k: v for k, v in given.items() if "[" in k}
    numbers = np.array([typical[name] for name in system.parameters])
    units = _units(model, system, unit or model.latent_units[0])
    return _table(model, system, numbers, days, tolerance, units)


def _table(
    model: Model,
    system: System,
    numbers: np.ndarray,
    days: np.ndarray,
    tolerance: float,
    units: Mapping[str, str],
) -> pd.DataFrame:
    columns: dict[str, np.ndarray] = {}
    if system.closed_form:
        found = latent_levels(system, numbers[None], days)
        outcome, log_levels = found.outcome[0], found.log_level[0]
    else:
        equations = right_side(system)
        states, outcome = solve_states(equations, numbers, days, tolerance)
        log_levels, _ = equations.log_levels(days, states, numbers)
        if len(log_levels) > 1:
            log_levels = np.vstack([log_levels, np.logaddexp.reduce(log_levels, axis=0)])
        natural = equations.to_natural(states)
        columns |= dict(zip(system.states, natural.T, strict=True))
        columns |= dict(zip(system.outputs, equations.outputs(days, states, numbers), strict=True))
    if outcome is not SolverOutcome.SOLVED:
        raise SolverError(Fault(model.name, outcome.value))
    levels = dict(zip(level_names(system), np.exp(log_levels), strict=True))
    table = pd.DataFrame(levels | columns, index=pd.Index(days, name="day"))
    table.attrs["units"] = dict(units)
    return table


def level_names(system: System) -> tuple[str, ...]:
    """Return the columns of the levels: ``level``, or one per cell type and the total."""
    if len(system.levels) < 2:
        return ("level",) * len(system.levels)
    return tuple(f"level[{cell}]" for cell in (*system.cell_types, "total"))


def _units(model: Model, system: System, latent: str) -> dict[str, str]:
    units = dict.fromkeys(level_names(system), latent)
    units |= {name: model.unit_of_state(name) for name in system.states}
    units |= {name: unit for name, (_, unit) in system.outputs.items()}
    # What is stated in the unit of the level has the unit chosen for it.
    return {name: latent if unit == "level" else unit for name, unit in units.items()}


@dataclass(frozen=True)
class Relapse:
    """A relapse on the curves of a model with two leukemic clones.

    Parameters
    ----------
    day : float
        Day on which the burden comes back above the detection limit [day].
    clone : {"antigen_positive", "antigen_negative"}
        The larger clone on that day.
    level : float
        Level of CAR T cells on that day, in the unit of the curves.
    car_t_cells : bool
        Whether that is at or above the limit.
    """

    day: float
    clone: str
    level: float
    car_t_cells: bool


def relapse_of(
    curves: pd.DataFrame, *, detected: float = 0.01, limit: float = 0.5
) -> Relapse | None:
    """Say which clone came back at relapse, and whether CAR T cells were still there.

    Parameters
    ----------
    curves : DataFrame
        From `model_curves` of ``antigen_escape``, or of another model with the outputs
        ``antigen_positive`` and ``antigen_negative``; the finer its days, the finer the day of
        the relapse.
    detected : float
        Burden that is detected, both clones together, in the unit of those outputs.
    limit : float
        Level from which on CAR T cells count as there [unit of the level].

    Returns
    -------
    Relapse or None
        None where the burden never falls below the detection limit, or stays below it.

    Raises
    ------
    SolverError
        Where the curves have no such outputs.

    Examples
    --------
    >>> from carkinetics.library import load_model
    >>> curves = model_curves(load_model("antigen_escape"), np.arange(0.0, 365.0))
    >>> relapse_of(curves).clone
    'antigen_negative'
    """
    clones = ["antigen_positive", "antigen_negative"]
    missing = [name for name in clones if name not in curves]
    if missing:
        raise SolverError(Fault("curves", f"have no {missing}", "Use the model antigen_escape."))
    burden = curves[clones].sum(axis=1).to_numpy()
    below = np.flatnonzero(burden < detected)
    back = np.flatnonzero(burden >= detected)
    back = back[back > below[0]] if below.size else back[:0]
    if not back.size:
        return None
    row = curves.iloc[back[0]]
    level = float(row["level[total]" if "level[total]" in curves else "level"])
    return Relapse(float(row.name), str(row[clones].idxmax()), level, level >= limit)
