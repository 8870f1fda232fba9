"""Laplace's approximation to the density of what patients share, with its exact gradient.

The sampler's point holds what patients share, ``theta``, and each patient's own coordinates,
``x_i``. Given theta, patients are independent. With x_i at its mode and H_i the curvature there,

    m(theta) = log p(theta, x) - 1/2 sum_i log det H_i + constant

approximates the log density of theta with all x_i integrated out (Tierney and Kadane 1986,
doi 10.1080/01621459.1986.10478240). Only the joint density and its gradient are needed: one
difference of gradients along a column of every patient's curvature serves all patients at once, and
gives the curvature, and the derivative of its determinant by theta and by x, from which follows
the derivative of m through the modes (Kristensen et al. 2016, doi 10.18637/jss.v070.i05).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]

# Length of a difference in units of the conditional SD. Not short: where samples lie below their
# limit the curvature changes within a fraction of an SD, and what counts is how the density falls
# over the width of the Gaussian. With 0.1 the marginal density of the built-in cohort has kinks.
_STEP = 0.5
# A patient's gradient at the mode, in the same units: the error of m is half its square.
_AT_MODE = 1e-3
_NEWTON_STEPS, _LONGEST = 60, 2.0
# Close to the mode a step gains less than the noise of the solver, in nats.
_NOISE = 1e-3
# Newton steps on one curvature before it is measured anew.
_CHORDS = 4
# The curvature is measured along its own root: again, until the root hardly changes.
_ROUNDS, _SAME = 2, 0.05
# Away from its mode a density need not be concave, and a curvature of the other sign shows the
# scale all the same (Dauphin et al. 2014, arXiv 1406.2572). No step of the search makes an SD
# longer than ten times what it was.
_FLATTEST = 1e-2


@dataclass(frozen=True, eq=False)
class Conditional:
    """The patients' coordinates given what they share: a Gaussian at the mode.

    Attributes
    ----------
    shared : array, shape (shared,)
        theta.
    mode : array, shape (patient, own)
        x at its mode.
    root : array, shape (patient, own, own)
        R with ``R R^T`` the inverse of H; upper triangular, its inverse transposed being the
        Cholesky factor of H.
    log_density : float
        log p(theta, x) at the mode.
    log_marginal : float
        m(theta).
    gradient : array, shape (shared,)
        Its gradient.
    """

    shared: np.ndarray
    mode: np.ndarray
    root: np.ndarray
    log_density: float
    log_marginal: float
    gradient: np.ndarray


class NoMode(Exception):
    """The mode of a patient was not found at this theta."""


@dataclass(frozen=True, eq=False)
class Marginal:
    """The approximate density of what patients share.

    Parameters
    ----------
    density : callable
        Point -> log density and gradient.
    own : array of int, shape (patient, own)
        Places of each patient's coordinates in the point.
    shared : array of int, shape (shared,)
        Places of the others.
    """

    density: Density
    own: np.ndarray
    shared: np.ndarray

    def at(self, theta: np.ndarray, start: np.ndarray, root: np.ndarray) -> Conditional:
        """Find the patients' modes, their curvature, and m with its gradient.

        Parameters
        ----------
        theta : array, shape (shared,)
            What patients share.
        start : array, shape (patient, own)
            Where to look for the modes.
        root : array, shape (patient, own, own)
            `Conditional.root` of a theta close by, or rough SDs on the diagonal.

        Returns
        -------
        Conditional

        Raises
        ------
        NoMode
            Where a mode is not found.
        """
        point, root, gradient = self._climb(self.point(theta, start), root)
        value = self.density(point)[0]
        for _ in range(_ROUNDS):
            used = root
            root, by_point, off = self._curvature(point, used, gradient)
            # The derivative of log det H is that along the columns of the root that was used.
            if off < _SAME:
                break
        gradient = gradient[self.shared] - 0.5 * (
            by_point[self.shared] + self._through_modes(point, root, by_point[self.own])
        )
        # H = L L^T with L the inverse transpose of the root.
        log_det = -2.0 * float(np.log(np.abs(_diagonal(root))).sum())
        constant = 0.5 * self.own.size * np.log(2 * np.pi)
        return Conditional(
            theta, point[self.own], root, value, value - 0.5 * log_det + constant, gradient
        )

    def slope_and_root(
        self, theta: np.ndarray, x: np.ndarray, root: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Measure slope and curvature by the patients' coordinates, be x their mode or not.

        Returns
        -------
        slope : array, shape (patient, own)
        root : array, shape (patient, own, own)
            See `Conditional`.

        Raises
        ------
        NoMode
            Where the density is not finite.
        """
        point = self.point(theta, x)
        gradient = self._finite(point)[1]
        for _ in range(_ROUNDS):
            root, _, off = self._curvature(point, root, gradient)
            if off < _SAME:
                break
        return gradient[self.own], root

    def point(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Put both together."""
        point = np.empty(self.own.size + self.shared.size)
        point[self.shared] = theta
        point[self.own] = x
        return point

    def _climb(
        self, point: np.ndarray, root: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Newton steps of all patients at once, on a curvature that is kept while it serves."""
        value, gradient = self._finite(point)
        length = _length(_whiten(root, gradient[self.own]))
        since = 0
        for _ in range(_NEWTON_STEPS):
            if length.max() < _AT_MODE:
                return point, root, gradient
            if since >= _CHORDS:
                root, since = self._curvature(point, root, gradient)[0], 0
                length = _length(_whiten(root, gradient[self.own]))
            shortened = np.minimum(1.0, _LONGEST / np.maximum(length, 1e-300))
            step = _unwhiten(root, _whiten(root, gradient[self.own]) * shortened[:, None])
            point, value, gradient = self._walk(point, step, value)
            before, length = length.max(), _length(_whiten(root, gradient[self.own]))
            since = _CHORDS if length.max() > 0.3 * before else since + 1
        if length.max() < 30 * _AT_MODE:
            return point, root, gradient
        raise NoMode(f"a patient's gradient stays at {length.max():.2g} SD")

    def _walk(
        self, point: np.ndarray, step: np.ndarray, value: float
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Take a step, shortened until the density does not fall."""
        share = 1.0
        while share > 1e-4:
            new = point.copy()
            new[self.own] += share * step
            new_value, gradient = self.density(new)
            if new_value >= value - _NOISE and np.isfinite(gradient).all():
                return new, new_value, gradient
            share *= 0.5
        raise NoMode("no step towards the mode raises the density")

    def _curvature(
        self, point: np.ndarray, root: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Measure the curvature, and the derivative of sum log det H by the point.

        The third result says how far an earlier root was from the root of this curvature.
        """
        change, by_point = np.empty(root.shape), np.zeros(point.size)
        for k in range(root.shape[2]):
            up, down = self._moved(point, root[:, :, k])
            change[:, :, k] = (down - up)[self.own] / (2 * _STEP)
            by_point -= (up - 2 * gradient + down) / _STEP**2
        inner = root.transpose(0, 2, 1) @ change
        off = float(np.abs(inner - np.eye(root.shape[1])).max())
        return _refined(root, inner), by_point, off

    def _through_modes(self, point: np.ndarray, root: np.ndarray, by_x: np.ndarray) -> np.ndarray:
        """Give what theta changes in sum log det H by moving the modes."""
        whitened = _whiten(root, by_x)
        longest = max(float(_length(whitened).max()), 1e-12)
        up, down = self._moved(point, _unwhiten(root, whitened) / longest)
        return longest * (up - down)[self.shared] / (2 * _STEP)

    def _moved(self, point: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients at one step to both sides, all patients at once."""
        up, down = point.copy(), point.copy()
        up[self.own] += _STEP * along
        down[self.own] -= _STEP * along
        return self._finite(up)[1], self._finite(down)[1]

    def _finite(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.density(point)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            raise NoMode("the density is not finite beside the mode")
        return value, gradient


def _refined(root: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Give the root of the inverse of H from an earlier root R and ``R^T H R``."""
    values, vectors = np.linalg.eigh(0.5 * (inner + inner.transpose(0, 2, 1)))
    values = np.maximum(np.abs(values), _FLATTEST)
    loose = root @ (vectors / np.sqrt(values)[:, None, :])
    covariance = loose @ loose.transpose(0, 2, 1)
    # Upper triangular, so that it depends smoothly on theta: a Cholesky factor from the end.
    flipped = np.linalg.cholesky(covariance[:, ::-1, ::-1])
    return flipped[:, ::-1, ::-1]


def _diagonal(root: np.ndarray) -> np.ndarray:
    return np.diagonal(root, axis1=1, axis2=2)


def _whiten(root: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    return np.einsum("nij,ni->nj", root, gradient)


def _unwhiten(root: np.ndarray, whitened: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nj->ni", root, whitened)


def _length(whitened: np.ndarray) -> np.ndarray:
    return np.sqrt((whitened**2).sum(axis=1))
