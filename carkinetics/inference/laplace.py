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

_STEPS, _NEWTON, _LONGEST = 150, 12, 3.0
# Gradient at the optimum and length of a first difference, in units of the conditional SDs.
_AT_OPTIMUM, _FIRST_STEP = 3e-2, 0.5
# Differences of the density, in nats, that its own error makes.
_NOISE = 1e-2
# Length of a difference along the axes of the approximation, in SDs.
_STEP = 0.7
# A curvature below this counts as this: no SD is more than seven times what it would be if
# everything else were known.
_FLAT = 0.02


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
        Curvatures along axes one SD long: about one, and positive at a maximum.
    lopsided : array, shape (shared,)
        Mean minus optimum, to first order in the third derivatives; zero where it is not used.
    """

    marginal: Marginal
    center: Conditional
    root: np.ndarray
    mode_slope: np.ndarray
    root_slope: np.ndarray
    curvature: np.ndarray
    lopsided: np.ndarray

    @property
    def point(self) -> np.ndarray:
        """Return the optimum with the patients' modes, as the sampler's point."""
        return self.marginal.point(self.center.shared, self.center.mode)

    def draw_shared(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw what patients share, shape (count, shared), independently."""
        away = rng.standard_normal((count, self.root.shape[1])) @ self.root.T
        return self.center.shared + self.lopsided + away

    def points(self, theta: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Put the patients into the points, in units of their conditional SDs.

        Parameters
        ----------
        theta : array, shape (draw, shared)
            What patients share.
        noise : array, shape (patient, draw, own)
            Distance of every patient from the mode.

        Returns
        -------
        array, shape (draw, coordinate)
            Points on the sampler's scale, patient effects centered.
        """
        points = np.empty((len(theta), self.marginal.own.size + theta.shape[1]))
        points[:, self.marginal.shared] = theta
        away = theta - self.center.shared
        center = _logarithm(self.center.root)
        for i, places in enumerate(self.marginal.own):
            mode = self.center.mode[i] + away @ self.mode_slope[i].T
            change = np.einsum("jkq,sq->sjk", self.root_slope[i], away, optimize=True)
            root = _exponential(center[i] + change)
            points[:, places] = mode + np.einsum("sjk,sk->sj", root, noise[i])
        return points


def approximate(
    density: Density,
    start: np.ndarray,
    own: np.ndarray,
    scale: np.ndarray,
    skewed: np.ndarray,
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
    skewed : array of bool, shape (coordinate,)
        Coordinates whose optimum is moved to the mean: the logarithms of SDs, whose optimum lies
        far below it, since many SDs and correlations are small together there.

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
        return _described(marginal, best, scale[shared], skewed[shared])
    except NoMode as error:
        raise FitError(
            f"the fit by Laplace's approximation found no optimum: {error}. A model that changes "
            "abruptly on an estimated day has kinks in its density, and a patient whose samples "
            "allow two curves has two modes: both need method='nuts'."
        ) from error


def optimum(density: Density, start: np.ndarray, own: np.ndarray, scale: np.ndarray) -> Conditional:
    """Find the optimum of what patients share; see `approximate` for the arguments.

    Raises
    ------
    NoMode
        Where no optimum is found.
    """
    shared = np.setdiff1d(np.arange(start.size), own.ravel())
    marginal = Marginal(density, own, shared)
    first = marginal.at(start[shared], start[own], _diagonal_matrix(scale[own]))
    return _optimum(marginal, first, scale[shared])


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


def _described(
    marginal: Marginal, best: Conditional, scale: np.ndarray, skewed: np.ndarray
) -> Approximation:
    """Measure the curvature around an optimum, and how the patients' Gaussians follow it.

    Once roughly along the coordinates; then along the axes found, where both sides together also
    tell how lopsided the density is.
    """
    rough = _Axes(marginal, best, np.diag(scale), _FIRST_STEP, both=False)
    axes = _Axes(marginal, best, rough.root, _STEP, both=True, near=rough)
    root = axes.root
    best = _polished(marginal, best, axes)
    # Seen from differences of `_STEP` SDs, a mean further away than that is not seen at all: there
    # a patient's mode has jumped from one reading of the samples to another.
    lopsided = root @ np.clip(0.5 * root.T @ axes.third, -_STEP, _STEP)
    return Approximation(
        marginal=marginal,
        center=best,
        root=root,
        lopsided=np.where(skewed, lopsided, 0.0),
        mode_slope=axes.mode_slope,
        root_slope=axes.root_slope,
        curvature=axes.curvature,
    )


def _polished(marginal: Marginal, best: Conditional, axes: _Axes) -> Conditional:
    """Take the last steps to the optimum: Newton's, with a curvature that each step corrects.

    So close to it a step gains no more than the noise of the density: what counts is the slope.
    Every step tells how the slope really changes along it (Broyden 1965, doi
    10.1090/S0025-5718-1965-0198670-6); one that leads too far is taken back, but has told it.
    """
    first, slope = best.shared, axes.root.T @ best.gradient
    inverse = np.eye(slope.size)  # of the curvature, along axes one SD long
    for taken in range(_NEWTON):
        if taken and np.abs(slope).max() < _AT_OPTIMUM:
            break
        step = inverse @ slope
        step *= min(1.0, _STEP / max(float(np.abs(step).max()), 1e-12))
        try:
            theta = best.shared + axes.root @ step
            found = marginal.at(theta, *axes.predicted(theta - first))
        except NoMode:
            inverse *= 0.5
            continue
        new = axes.root.T @ found.gradient
        learned = inverse @ (slope - new)
        along = float(step @ learned)
        if abs(along) > 1e-3 * float(step @ step):
            inverse += np.outer(step - learned, step @ inverse) / along
        gain = found.log_marginal - best.log_marginal
        if gain > -_NOISE and (gain > _NOISE or np.abs(new).max() < np.abs(slope).max()):
            best, slope = found, new
    return best


class _Axes:
    """What changes along a set of axes through an optimum.

    Parameters
    ----------
    marginal, best : Marginal, Conditional
        The density and its optimum.
    axes : array, shape (shared, shared)
        One axis per column.
    step : float
        How far to go, in lengths of an axis.
    both : bool
        To both sides.
    near : _Axes, optional
        An earlier set, which says where the modes will be.
    """

    def __init__(
        self,
        marginal: Marginal,
        best: Conditional,
        axes: np.ndarray,
        step: float,
        *,
        both: bool,
        near: _Axes | None = None,
    ) -> None:
        self.best = best
        self.third = np.zeros(axes.shape[0])
        slopes, modes, roots = [], [], []
        for axis in axes.T:
            ends = self._ends(marginal, step * axis, both, near)
            (sign, end), start, width = ends[0], best, step * ends[0][0]
            if len(ends) == 2:
                start, width = ends[1][1], 2 * sign * step
                self.third += (start.gradient + end.gradient - 2 * best.gradient) / step**2
            slopes.append((start.gradient - end.gradient) / width)
            modes.append((end.mode - start.mode) / width)
            roots.append((_logarithm(end.root) - _logarithm(start.root)) / width)
        whitened = axes.T @ np.stack(slopes, axis=1)
        self.curvature, vectors = np.linalg.eigh(0.5 * (whitened + whitened.T))
        self.root = axes @ (vectors / np.sqrt(np.maximum(self.curvature, _FLAT)))
        back = np.linalg.inv(axes)
        self.mode_slope = np.stack(modes, axis=-1) @ back
        self.root_slope = np.stack(roots, axis=-1) @ back

    def predicted(self, away: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Guess the modes and roots at some distance from the optimum."""
        return (
            self.best.mode + self.mode_slope @ away,
            _exponential(_logarithm(self.best.root) + self.root_slope @ away),
        )

    def _ends(
        self, marginal: Marginal, away: np.ndarray, both: bool, near: _Axes | None
    ) -> list[tuple[float, Conditional]]:
        """Go along an axis; where no mode is found on one side, to the other alone."""
        found: list[tuple[float, Conditional]] = []
        for sign in (1.0, -1.0):
            starts = [(self.best.mode, self.best.root)]
            if near is not None:
                starts.insert(0, near.predicted(sign * away))
            for start in starts:
                with suppress(NoMode):
                    found.append((sign, marginal.at(self.best.shared + sign * away, *start)))
                    break
            if found and not both:
                break
        if not found:
            raise NoMode("none was found on either side of the optimum")
        return found


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
