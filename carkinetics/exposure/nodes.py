"""The days between which a patient's curves are cubics: chosen so that the cubics are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carkinetics.quantities import kernel
from carkinetics.quantities.curve import Curve
from carkinetics.solve.compiled import compile_system, solve_system

if TYPE_CHECKING:
    from carkinetics.inference.planning import Plan

# Largest distance of ln level from the cubics that is aimed at, estimated.
TOLERANCE = 2e-5
_PILOT = 128  # draws that the days are chosen with, beside those with an extreme parameter
_ROUNDS, _MOST = 6, 8  # of refinement, and the parts a piece is cut into at most
_TOLERATED = 5.0  # times the tolerance, among the draws outside the pilot
_SMALLEST = 1.0 / 64.0  # of a day: narrower is a jump, which no grid of days resolves
_GROUP = 400  # parameter sets that share days, where they differ as new patients do
_STEP, _DENSE_UNTIL, _GROWTH = 1.0, 42.0, 1.12


def coarse_days(reach: float) -> np.ndarray:
    """Give days a day apart until day 42 and ever wider afterwards, shape (day,)."""
    days, step = list(np.arange(0.0, min(reach, _DENSE_UNTIL) + _STEP / 2, _STEP)), _STEP
    while days[-1] < reach:
        step *= _GROWTH
        days.append(min(days[-1] + step, reach))
    return np.minimum(days, reach)


def exact_curve(plan: Plan, parameters: np.ndarray, reach: float) -> tuple[Curve, float]:
    """Solve many parameter sets on days of their own choosing.

    Parameters
    ----------
    plan : Plan
        Shape of the fit; its model has equations to integrate.
    parameters : array, shape (..., parameter)
        Natural scale.
    reach : float
        Last day [day].

    Returns
    -------
    curve : Curve
        Levels of shape (..., cell_type, day), total last.
    error : float
        Largest distance of ln level from the cubics, estimated. Pieces are cut until it is below
        `TOLERANCE` in a pilot of the sets, and once more where others lie five times further.
    """
    flat = parameters.reshape(-1, parameters.shape[-1])
    days = coarse_days(reach)
    pilot = flat[_chosen(flat)]
    for _ in range(_ROUNDS):
        days, changed = _refined(plan, pilot, days)
        if not changed:
            break
    curve = _solved(plan, flat, days)
    errors = kernel.curvature_errors(*curve.rows)[0]
    if errors.max() > _TOLERATED * TOLERANCE:
        curve = _solved(plan, flat, _cut(days, errors))
        errors = kernel.curvature_errors(*curve.rows)[0]
    shape = (*parameters.shape[:-1], *curve.log_level.shape[1:])
    whole = Curve(curve.day, curve.log_level.reshape(shape), curve.slope.reshape(shape))
    return whole, float(errors.max())


def _solved(plan: Plan, sets: np.ndarray, days: np.ndarray) -> Curve:
    offsets, every = np.arange(len(sets) + 1) * days.size, np.tile(days, len(sets))
    found = solve_system(
        compile_system(plan.system), sets, offsets, every, tolerance=plan.tolerance
    )
    return Curve(days, *kernel.with_total(found.log_level, found.slope, len(sets)))


def by_peak(plan: Plan, parameters: np.ndarray, reach: float) -> list[np.ndarray]:
    """Group parameter sets of the shape (set, parameter) by the day of their peak.

    Returns
    -------
    list of array
        Positions, in groups of some hundreds; a group needs fewer days than all sets together.
    """
    if plan.system.closed_form:
        return [np.arange(len(parameters))]
    peak = _solved(plan, parameters, coarse_days(reach)).peaks[1][:, -1]
    return np.array_split(np.argsort(peak, kind="stable"), max(1, len(peak) // _GROUP))


def _chosen(flat: np.ndarray) -> np.ndarray:
    """Pick a pilot: sets evenly spread, and those with the extremes of every parameter."""
    spread = np.linspace(0, len(flat) - 1, min(_PILOT, len(flat))).astype(int)
    finite = np.where(np.isfinite(flat), flat, 0.0)
    return np.unique(np.concatenate([spread, finite.argmin(axis=0), finite.argmax(axis=0)]))


def _refined(plan: Plan, sets: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, bool]:
    finer = _cut(days, kernel.curvature_errors(*_solved(plan, sets, days).rows)[0])
    return finer, finer.size > days.size


def _cut(days: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Cut pieces whose cubic is not exact enough; its error falls with the fourth power."""
    width = np.diff(days)
    parts = np.ceil((errors / TOLERANCE) ** 0.25)
    parts = np.clip(np.minimum(parts, np.floor(width / _SMALLEST)), 1, _MOST).astype(int)
    inner = [
        days[k] + width[k] * np.arange(1, n) / n for k, n in enumerate(parts) if n > 1
    ]  # fmt: skip
    return np.sort(np.concatenate([days, *inner]))
