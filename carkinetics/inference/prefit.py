"""A deterministic fit before sampling: starting points, and how far to center each effect.

A Laplace expectation-maximization on the compiled density of the PyMC model itself: the mode
of locations and effects at fixed between-patient SDs, the curvature of each patient's effects,
then new SDs from modes and curvatures. A plain mode of a hierarchical model is useless, since the
density grows without bound as an SD goes to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carkinetics.inference.centering import Centering, Given, coordinates_of
from carkinetics.inference.climb import climb

ROUNDS = 6
# Of every climb; its end matters to no more than the gradient that is left, per unit of scale.
_STEPS, _AT_MODE = 200, 0.02
_STEP = 1e-4
# SDs stay within these factors of the scale of their prior: neither start is a funnel.
_LOWEST_OMEGA, _HIGHEST_OMEGA = 0.1, 5.0

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, eq=False)
class EffectPlaces:
    """Where one patient effect stands in the sampler's point.

    Attributes
    ----------
    patients : array of int, shape (patient,)
        Places of the patients' values, centered.
    location : int or None
        Place of the population location; None where it is zero by definition.
    omega : int
        Place of the logarithm of the between-patient SD.
    scale : float
        Scale of the half-normal prior of that SD.
    freedom : float
        Degrees of freedom of a Student-t effect; infinite for a Normal one.
    slopes : array of int, shape (term,), or None
        Places of the coefficients of covariates; None without any.
    matrix : array, shape (patient, term), or None
        The covariates.
    """

    patients: np.ndarray
    location: int | None
    omega: int
    scale: float
    freedom: float = np.inf
    slopes: np.ndarray | None = None
    matrix: np.ndarray | None = None

    def center(self, point: np.ndarray) -> Any:
        """Return where the patients are expected: one number, or with covariates one for each."""
        location = 0.0 if self.location is None else point[self.location]
        if self.slopes is None or self.matrix is None:
            return location
        return location + self.matrix @ point[self.slopes]


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
        Per effect, 1 - s^2 / omega^2 with s the SD of a patient's effect given the population:
        the share of it that the data determine.
    omega : dict of str to float
        Between-patient SDs.
    log_density, log_marginal : float
        Log density at the mode, and the same with the patient effects integrated out by
        Laplace's approximation.
    """

    mode: np.ndarray
    spread: np.ndarray
    information: dict[str, np.ndarray]
    omega: dict[str, float]
    log_density: float
    log_marginal: float


def prefit(
    density: Density,
    start: np.ndarray,
    effects: Mapping[str, EffectPlaces],
    held: np.ndarray,
) -> Prefit:
    """Find a mode, its curvature and the information of every patient effect.

    Parameters
    ----------
    density : callable
        Unconstrained point -> log density and gradient, with all effects centered.
    start : array, shape (coordinate,)
        Where to start, on the unconstrained scale.
    effects : mapping of str to EffectPlaces
        The patient effects.
    held : array of int
        Places that keep their starting value (correlations, degrees of freedom).

    Returns
    -------
    Prefit
    """
    point = start.copy()
    omegas = np.array([places.omega for places in effects.values()], dtype=int)
    for places in effects.values():
        point[places.omega] = np.log(0.7 * places.scale)
        point[places.patients] = places.center(point)
    free = np.setdiff1d(np.arange(point.size), np.concatenate([held, omegas]))
    spreads: dict[str, np.ndarray] = {}
    log_volume = 0.0
    scale = np.full(point.size, 0.3)
    for places in effects.values():
        scale[places.patients] *= places.scale
    for _ in range(ROUNDS):
        point = _climb(density, point, free, scale)
        spreads, log_volume = _effect_spreads(density, point, effects)
        for name, places in effects.items():
            scale[places.patients] = spreads[name]
            if places.location is not None:
                scale[places.location] = spreads[name].mean() / np.sqrt(spreads[name].size)
        for name, places in effects.items():
            squares = _distances(point, places) ** 2 + spreads[name] ** 2
            squares *= _weights(squares, float(np.exp(point[places.omega])), places.freedom)
            point[places.omega] = np.log(_omega_mode(squares, places.scale))
    omega = {name: float(np.exp(point[places.omega])) for name, places in effects.items()}
    return Prefit(
        mode=point,
        spread=_all_spreads(density, point, effects, spreads),
        information={
            name: np.clip(1.0 - (spreads[name] / omega[name]) ** 2, 0.0, 1.0) for name in effects
        },
        omega=omega,
        log_density=(found := float(density(point)[0])),
        log_marginal=found + log_volume,
    )


def recenter(
    point: np.ndarray,
    effects: Mapping[str, EffectPlaces],
    centering: Centering,
    factor: np.ndarray | None = None,
) -> np.ndarray:
    """Rewrite a point with all effects centered for another centering.

    Parameters
    ----------
    point : array, shape (coordinate,)
        Unconstrained point, effects centered.
    effects : mapping of str to EffectPlaces
        The patient effects.
    centering : Centering
        Weights of all effects; those that are given or seen stand first.
    factor : array, shape (effect, effect), optional
        Cholesky factor of their correlation; only for `Given`.

    Returns
    -------
    array, shape (coordinate,)
    """
    result, names = point.copy(), list(effects)
    how, together = centering.given or centering.seen, 0
    if how is not None:
        together = len(how.order) if isinstance(how, Given) else how.pull.shape[1]
    for group, own in ((names[:together], how), (names[together:], None)):
        if not group:
            continue
        places = [effects[name] for name in group]
        patients = np.stack([place.patients for place in places], axis=1)
        location = np.empty(patients.shape)
        for k, place in enumerate(places):
            location[:, k] = place.center(point)
        omega = np.exp(point[[place.omega for place in places]])
        stacked = np.stack([centering.weights[name] for name in group], axis=1)
        result[patients] = coordinates_of(point[patients], location, omega, stacked, own, factor)
    return result


def _climb(density: Density, point: np.ndarray, free: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Maximize the density over the free coordinates, each in units of its scale."""

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(_placed(u))
        return value, gradient[free] * scale[free]

    def _placed(u: np.ndarray) -> np.ndarray:
        full = point.copy()
        full[free] += scale[free] * u
        return full

    return _placed(climb(objective, np.zeros(free.size), steps=_STEPS, tolerance=_AT_MODE))


def _distances(point: np.ndarray, places: EffectPlaces) -> np.ndarray:
    return point[places.patients] - places.center(point)


def _effect_spreads(
    density: Density, point: np.ndarray, effects: Mapping[str, EffectPlaces]
) -> tuple[dict[str, np.ndarray], float]:
    """SD of every patient's effects given everything shared, from the curvature at the mode.

    Patients are independent given what they share, so one difference per effect, made for all
    patients at once, gives every patient's block of the Hessian. The second result is the log
    volume of these Gaussians, which Laplace's approximation adds to the density.
    """
    places = [effect.patients for effect in effects.values()]
    hessian = np.zeros((places[0].size, len(places), len(places)))
    for k, place in enumerate(places):
        difference = _gradient_change(density, point, place)
        for j, other in enumerate(places):
            hessian[:, j, k] = -difference[other]
    hessian = 0.5 * (hessian + hessian.transpose(0, 2, 1))
    values, vectors = np.linalg.eigh(np.nan_to_num(hessian))
    values = np.maximum(values, 1e-3)
    variance = np.einsum("njk,nk,njk->nj", vectors, 1.0 / values, vectors)
    log_volume = 0.5 * float((np.log(2 * np.pi) - np.log(values)).sum())
    return {name: np.sqrt(variance[:, k]) for k, name in enumerate(effects)}, log_volume


def _gradient_change(density: Density, point: np.ndarray, place: np.ndarray | int) -> np.ndarray:
    up, down = point.copy(), point.copy()
    up[place] += _STEP
    down[place] -= _STEP
    return (density(up)[1] - density(down)[1]) / (2 * _STEP)


def _weights(squares: np.ndarray, omega: float, freedom: float) -> np.ndarray:
    """Weigh down the tails of a Student-t, as in its expectation-maximization."""
    if np.isinf(freedom):
        return np.ones(squares.size)
    return (freedom + 1) / (freedom + squares / omega**2)


def _omega_mode(squares: np.ndarray, scale: float) -> float:
    """Maximize N(0, omega) over the squares times a half-normal prior of omega."""
    n, total = squares.size, float(squares.sum())
    omega2 = scale**2 * (-n + np.sqrt(n**2 + 4 * total / scale**2)) / 2
    return float(np.clip(np.sqrt(omega2), _LOWEST_OMEGA * scale, _HIGHEST_OMEGA * scale))


def _all_spreads(
    density: Density,
    point: np.ndarray,
    effects: Mapping[str, EffectPlaces],
    spreads: Mapping[str, np.ndarray],
) -> np.ndarray:
    """SD of every coordinate for jittered starts: effects by curvature, the rest one by one."""
    result = np.full(point.size, 0.3)
    shared = np.ones(point.size, dtype=bool)
    for name, places in effects.items():
        result[places.patients] = np.minimum(spreads[name], 1.0)
        shared[places.patients] = False
    for i in np.flatnonzero(shared):
        curvature = -_gradient_change(density, point, int(i))[i]
        if np.isfinite(curvature) and curvature > 1.0:
            result[i] = min(0.5, 1.0 / np.sqrt(curvature))
    return result
