"""A fit in seconds: nested Laplace approximation, then independent draws.

The optimum of the approximate density of what patients share (`Marginal`) and its curvature give a
Gaussian for it. At every drawn theta each patient's coordinates are a Gaussian in their turn, whose
mode and SDs follow theta: the mode linearly, the logarithms of the SDs linearly too, which is
exact where a patient's data say nothing (the SD is then the between-patient SD) and where they
say everything (it is then proportional to the residual SD).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from carkinetics.errors import FitError
from carkinetics.inference.climb import climb
from carkinetics.inference.marginal import Conditional, Density, Marginal, NoMode

_STEPS, _LONGEST = 150, 3.0
# Gradient of the optimum and length of a difference, in units of the conditional SDs.
_AT_OPTIMUM, _STEP = 3e-2, 0.5
# Curvatures below this, in the same units, are no curvature of a maximum.
_FLAT = 1e-4


@dataclass(frozen=True, eq=False)
class Approximation:
    """The posterior as nested Gaussians.

    Attributes
    ----------
    marginal : Marginal
        Where everything stands in the sampler's point.
    center : Conditional
        At the optimum of what patients share.
    root : array, shape (shared, shared)
        ``root @ root.T`` is the covariance of what they share.
    mode_slope : array, shape (patient, own, shared)
        Derivative of the patients' modes by it.
    root_slope : array, shape (patient, own, own, shared)
        Derivative of the patients' conditional SDs, as `_logarithm` writes them.
    curvature : array, shape (shared,)
        Curvatures along the axes of the approximation, all positive at a maximum.
    """

    marginal: Marginal
    center: Conditional
    root: np.ndarray
    mode_slope: np.ndarray
    root_slope: np.ndarray
    curvature: np.ndarray

    @property
    def at_maximum(self) -> bool:
        """Whether every direction falls from the optimum."""
        return bool(self.curvature.min() > _FLAT)

    @property
    def point(self) -> np.ndarray:
        """Return the optimum with the patients' modes, as the sampler's point."""
        return self.marginal.point(self.center.shared, self.center.mode)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw points.

        Parameters
        ----------
        count : int
            How many.
        rng : Generator
            Source of randomness.

        Returns
        -------
        array, shape (count, coordinate)
            Independent points on the sampler's scale, patient effects centered.
        """
        n_own, n_shared = self.marginal.own.size, self.marginal.shared.size
        points = np.empty((count, n_own + n_shared))
        away = rng.standard_normal((count, n_shared)) @ self.root.T
        points[:, self.marginal.shared] = self.center.shared + away
        center = _logarithm(self.center.root)
        for i, places in enumerate(self.marginal.own):
            mode = self.center.mode[i] + away @ self.mode_slope[i].T
            root = _exponential(center[i] + np.einsum("jkq,sq->sjk", self.root_slope[i], away))
            noise = rng.standard_normal((count, places.size))
            points[:, places] = mode + np.einsum("sjk,sk->sj", root, noise)
        return points


def approximate(
    density: Density, start: np.ndarray, own: np.ndarray, scale: np.ndarray
) -> Approximation:
    """Approximate a posterior.

    Parameters
    ----------
    density : callable
        Point -> log density and gradient, with all patient effects centered.
    start : array, shape (coordinate,)
        Where to start.
    own : array of int, shape (patient, own)
        Places of each patient's coordinates.
    scale : array, shape (coordinate,)
        Rough SD of every coordinate.

    Returns
    -------
    Approximation

    Raises
    ------
    FitError
        Where no optimum is found.
    """
    shared = np.setdiff1d(np.arange(start.size), own.ravel())
    marginal = Marginal(density, own, shared)
    try:
        first = marginal.at(start[shared], start[own], _diagonal_matrix(scale[own]))
        best = _optimum(marginal, first, scale[shared])
        return _described(marginal, best, scale[shared])
    except NoMode as error:
        raise FitError(
            f"the fit by Laplace's approximation found no optimum: {error}. Fit with method='nuts'."
        ) from error


def _optimum(marginal: Marginal, first: Conditional, scale: np.ndarray) -> Conditional:
    """Climb to the highest marginal density, every step from the modes of the best so far."""
    best = first

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        try:
            found = marginal.at(first.shared + scale * u, best.mode, best.root)
        except NoMode:
            return -np.inf, np.zeros_like(u)
        if found.log_marginal > best.log_marginal:
            best = found
        return found.log_marginal, found.gradient * scale

    climb(objective, np.zeros_like(scale), steps=_STEPS, tolerance=_AT_OPTIMUM, longest=_LONGEST)
    return best


def _described(marginal: Marginal, best: Conditional, scale: np.ndarray) -> Approximation:
    """Measure the curvature around an optimum, and how the patients' Gaussians follow it."""
    n = scale.size
    curvature, modes, roots = np.empty((n, n)), [], []
    for j in range(n):
        (up, down), width = _neighbors(marginal, best, j, _STEP * scale[j])
        curvature[j] = (down.gradient - up.gradient) / width
        modes.append((up.mode - down.mode) / width)
        roots.append((_logarithm(up.root) - _logarithm(down.root)) / width)
    whitened = 0.5 * (curvature + curvature.T) * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(whitened)
    root = scale[:, None] * vectors / np.sqrt(np.maximum(values, _FLAT))
    mode_slope = np.stack(modes, axis=-1)
    # The last Newton step; the gradient there is below what the next one would change.
    step = root @ (root.T @ best.gradient)
    with suppress(NoMode):
        last = marginal.at(best.shared + step, best.mode + mode_slope @ step, best.root)
        best = max(best, last, key=lambda found: found.log_marginal)
    return Approximation(
        marginal=marginal,
        center=best,
        root=root,
        mode_slope=mode_slope,
        root_slope=np.stack(roots, axis=-1),
        curvature=values,
    )


def _neighbors(
    marginal: Marginal, best: Conditional, j: int, step: float
) -> tuple[tuple[Conditional, Conditional], float]:
    """Find the patients' modes at both sides along one axis; where one fails, at one side."""
    found = []
    for sign in (1.0, -1.0):
        theta = best.shared.copy()
        theta[j] += sign * step
        try:
            found.append(marginal.at(theta, best.mode, best.root))
        except NoMode:
            continue
    if len(found) == 2:
        return (found[0], found[1]), 2 * step
    if not found:
        raise NoMode("none was found on either side of the optimum")
    one = found[0]
    return (one, best), float(one.shared[j] - best.shared[j])


def _logarithm(root: np.ndarray) -> np.ndarray:
    """Write triangular roots with the logarithm of their diagonal, and the rest in units of it."""
    diagonal = np.diagonal(root, axis1=-2, axis2=-1)
    return root / diagonal[..., None] + _diagonal_matrix(np.log(diagonal) - 1.0)


def _exponential(logarithm: np.ndarray) -> np.ndarray:
    """Undo `_logarithm`."""
    diagonal = np.exp(np.diagonal(logarithm, axis1=-2, axis2=-1))
    off = logarithm - _diagonal_matrix(np.diagonal(logarithm, axis1=-2, axis2=-1) - 1.0)
    return off * diagonal[..., None]


def _diagonal_matrix(values: np.ndarray) -> np.ndarray:
    return values[..., None] * np.eye(values.shape[-1])
