"""Posterior curves: latent levels of every patient and draw at any days, computed in chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from carkinetics.inference.planning import Plan
from carkinetics.model import System
from carkinetics.quantities.curve import Curve
from carkinetics.solve.curves import LatentLevels, latent_levels

# Days between nodes while cells expand and contract; wider apart, by this factor, afterwards.
_STEP, _DENSE_UNTIL, _GROWTH = 0.25, 42.0, 1.06


def curve_days(horizon: float) -> np.ndarray:
    """Choose the days between which a curve is a cubic: dense early, sparse late.

    Parameters
    ----------
    horizon : float
        Last day [day].

    Returns
    -------
    array, shape (day,)
        From 0 to the horizon. With steps of a quarter day, as wide as the smooth gate, peaks and
        areas of the default model are exact to 1e-5.
    """
    dense = np.arange(0.0, min(horizon, _DENSE_UNTIL) + _STEP / 2, _STEP)
    days, step = list(dense), _STEP
    while days[-1] < horizon:
        step *= _GROWTH
        days.append(min(days[-1] + step, horizon))
    return np.minimum(days, horizon)


def levels_at(plan: Plan, parameters: np.ndarray, days: np.ndarray) -> LatentLevels:
    """Solve for parameters of shape (..., parameter) at common days; sets are flattened."""
    flat = parameters.reshape(-1, parameters.shape[-1])
    return latent_levels(plan.system, flat, days, tolerance=plan.tolerance)


def curves_of(plan: Plan, parameters: np.ndarray, horizon: float, limit: float = np.nan) -> Curve:
    """Make the curves of many parameter sets, with their kinks where the model has any.

    Parameters
    ----------
    plan : Plan
        Shape of the fit.
    parameters : array, shape (..., parameter)
        Natural scale.
    horizon : float
        Last day [day].
    limit : float
        Limit of detection on the scale of the level.

    Returns
    -------
    Curve
        With levels of shape (..., cell_type, day).
    """
    flat = parameters.reshape(-1, parameters.shape[-1])
    days = with_kinks(plan.system, flat, curve_days(horizon))
    found = latent_levels(plan.system, flat, days, tolerance=plan.tolerance)
    shape = (*parameters.shape[:-1], *found.log_level.shape[1:])
    if days.ndim > 1:
        days = np.broadcast_to(days[:, None], found.log_level.shape).reshape(shape)
    return Curve(
        days, found.log_level.reshape(shape), found.slope.reshape(shape), np.asarray(limit)
    )


def patient_curves(
    plan: Plan,
    parameters: np.ndarray,
    horizon: float,
    limit: float = np.nan,
) -> Iterator[tuple[int, Curve]]:
    """Give the curves of one patient after another, so that memory stays small.

    Yields
    ------
    index : int
        Of the patient.
    curve : Curve
        With levels of shape (chain, draw, cell_type, day).
    """
    # The solver does not hold the interpreter: one patient is solved while another is used.
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[tuple[int, Future[Curve]]] = deque()
        for i in range(parameters.shape[2]):
            job = pool.submit(curves_of, plan, parameters[:, :, i], horizon, limit)
            waiting.append((i, job))
            if len(waiting) > 2:
                index, done = waiting.popleft()
                yield index, done.result()
        for index, done in waiting:
            yield index, done.result()


def curve_cell_types(cell_types: Sequence[str]) -> list[str]:
    """Name the curves: the cell types of the model, and their total last."""
    return [*cell_types, "total"] if len(cell_types) > 1 else list(cell_types)


def with_kinks(system: System, parameters: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Add the peak of a closed form twice, where its slope jumps; shape (set, day) then."""
    exact = system.exact
    names = [name for name in ("tmax",) if name in exact]
    if not system.closed_form or not names:
        return days
    import sympy

    symbols = (*system.parameter_symbols, *system.input_symbols)
    peaks = sympy.lambdify(symbols, exact["tmax"], "numpy")(*parameters.T)
    peaks = np.clip(np.broadcast_to(peaks, len(parameters)), days[0], days[-1])
    common = np.broadcast_to(days, (len(parameters), len(days)))
    return np.sort(np.concatenate([common, peaks[:, None], peaks[:, None]], axis=1), axis=1)
