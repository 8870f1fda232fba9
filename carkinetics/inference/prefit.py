"""A deterministic fit before sampling: starting points, and how far to center each effect.

A Laplace expectation-maximization on the compiled density of the PyMC model itself: the mode
of locations and effects at fixed between-patient SDs, the curvature of each patient's effects,
then new SDs from modes and curvatures. A plain mode of a hierarchical model is useless, since the
density grows without bound as an SD goes to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

ROUNDS = 6
_STEP = 1e-4
# Effects in the objective are told apart by these name prefixes of the sampler's variables.
EFFECT = "x_"
OMEGA = "omega_"
HELD = (OMEGA, "partial_correlation", "nu_")
SHIFT = "qpcr_shift"


@dataclass(frozen=True, eq=False)
class Prefit:
    """Result of the deterministic fit.

    Attributes
    ----------
    mode : array, shape (coordinate,)
        Point on the sampler's unconstrained scale, effects centered.
    spread : array, shape (coordinate,)
        Approximate posterior SD of each coordinate.
    information : dict of str to array, shape (patient,)
        Per effect, omega^2 / (omega^2 + s^2): the share of a patient's effect that the data
        determine.
    omega : dict of str to float
        Between-patient SDs.
    log_density : float
        Log density at the mode.
    """

    mode: np.ndarray
    spread: np.ndarray
    information: dict[str, np.ndarray]
    omega: dict[str, float]
    log_density: float


Density = Callable[[np.ndarray], tuple[float, np.ndarray]]


def prefit(
    density: Density,
    start: np.ndarray,
    slots: dict[str, slice],
    omega_scales: dict[str, float],
) -> Prefit:
    """Find a mode, its curvature and the information of every patient effect.

    Parameters
    ----------
    density : callable
        Unconstrained point -> log density and gradient, with all effects centered.
    start : array, shape (coordinate,)
        Where to start, on the unconstrained scale.
    slots : dict of str to slice
        Place of every variable in that point, by its untransformed name.
    omega_scales : dict of str to float
        Scale of the half-normal prior of every between-patient SD, by effect name.

    Returns
    -------
    Prefit
    """
    effects = [name[len(EFFECT) :] for name in slots if name.startswith(EFFECT)]
    point = start.copy()
    held = _indices(slots, [n for n in slots if n.startswith(HELD)])
    for name in effects:
        point[slots[OMEGA + name]] = np.log(0.7 * omega_scales[name])
    free = np.setdiff1d(np.arange(point.size), held)
    spreads: dict[str, np.ndarray] = {}
    for _ in range(ROUNDS):
        point = _climb(density, point, free)
        spreads = _effect_spreads(density, point, slots, effects)
        for name in effects:
            s2 = _second_moment(point, slots, name) + spreads[name] ** 2
            omega = _omega_mode(s2, omega_scales[name])
            point[slots[OMEGA + name]] = np.log(omega)
    omegas = {name: float(np.exp(point[slots[OMEGA + name]][0])) for name in effects}
    information = {
        name: np.clip(1.0 - spreads[name] ** 2 / omegas[name] ** 2, 0.0, 1.0) for name in effects
    }
    value, _ = density(point)
    return Prefit(
        mode=point,
        spread=_all_spreads(density, point, slots, spreads),
        information=information,
        omega=omegas,
        log_density=float(value),
    )


def _climb(density: Density, point: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Maximize the density over the free coordinates; a failed solve is a very low density."""

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        full = point.copy()
        full[free] = x
        value, gradient = density(full)
        if not np.isfinite(value) or not np.all(np.isfinite(gradient)):
            return 1e12, np.zeros(free.size)
        return -value, -gradient[free]

    result = minimize(
        objective, point[free], jac=True, method="L-BFGS-B", options={"maxiter": 200, "maxcor": 20}
    )
    best = point.copy()
    best[free] = result.x
    return best


def _effect_spreads(
    density: Density, point: np.ndarray, slots: dict[str, slice], effects: Sequence[str]
) -> dict[str, np.ndarray]:
    """SD of every patient's effects given everything shared, from the curvature at the mode.

    Patients are independent given what they share, so one difference per effect, made for all
    patients at once, gives every patient's block of the Hessian.
    """
    places = [slots[EFFECT + name] for name in effects]
    n = places[0].stop - places[0].start
    hessian = np.zeros((n, len(effects), len(effects)))
    for k, place in enumerate(places):
        up, down = point.copy(), point.copy()
        up[place] += _STEP
        down[place] -= _STEP
        difference = (density(up)[1] - density(down)[1]) / (2 * _STEP)
        for j, other in enumerate(places):
            hessian[:, j, k] = -difference[other]
    hessian = 0.5 * (hessian + hessian.transpose(0, 2, 1))
    values, vectors = np.linalg.eigh(np.nan_to_num(hessian))
    values = np.maximum(values, 1e-3)
    variance = np.einsum("njk,nk,njk->nj", vectors, 1.0 / values, vectors)
    return {name: np.sqrt(variance[:, k]) for k, name in enumerate(effects)}


def _second_moment(point: np.ndarray, slots: dict[str, slice], name: str) -> np.ndarray:
    """Squared distances of the centered effects from their location."""
    x = point[slots[EFFECT + name]]
    location = 0.0
    for prefix in ("log_", "logit_", ""):
        if prefix + name in slots:
            location = point[slots[prefix + name]][0]
            break
    return (x - location) ** 2


def _omega_mode(squares: np.ndarray, scale: float) -> float:
    """Maximize N(0, omega) over the squares times a half-normal prior of omega."""
    n, total = squares.size, float(squares.sum())
    omega2 = scale**2 * (-n + np.sqrt(n**2 + 4 * total / scale**2)) / 2
    return float(np.clip(np.sqrt(omega2), 0.05 * scale, 5 * scale))


def _all_spreads(
    density: Density, point: np.ndarray, slots: dict[str, slice], spreads: dict[str, np.ndarray]
) -> np.ndarray:
    """SD of every coordinate for jittered starts: effects by curvature, the rest one by one."""
    result = np.full(point.size, 0.3)
    for name, place in slots.items():
        effect = name[len(EFFECT) :] if name.startswith(EFFECT) else None
        if effect in spreads:
            result[place] = spreads[effect]
            continue
        for i in range(place.start, place.stop):
            up, down = point.copy(), point.copy()
            up[i] += _STEP
            down[i] -= _STEP
            curvature = -(density(up)[1][i] - density(down)[1][i]) / (2 * _STEP)
            if np.isfinite(curvature) and curvature > 1.0:
                result[i] = min(0.5, 1.0 / np.sqrt(curvature))
    return result


def _indices(slots: dict[str, slice], names: Sequence[str]) -> np.ndarray:
    pieces = [np.arange(slots[name].start, slots[name].stop) for name in names]
    return np.concatenate(pieces) if pieces else np.array([], dtype=int)
