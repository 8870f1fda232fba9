"""A Weibull distribution from intervals, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

_SHAPES = (0.05, 50.0)


@dataclass(frozen=True, eq=False)
class WeibullIntervals:
    """S(t) = exp(-(t / scale)^shape), with what the data say about it.

    Made by `weibull_intervals`.

    Parameters
    ----------
    scale, shape : float
        NaN where there is no fit [day], [1].
    covariance : array, shape (2, 2)
        Of ln scale and ln shape.
    log_likelihood : float
        At the maximum.
    n, n_lost : int
        Patients, and those with a finite right end.
    reason : str
        Why there is no fit; empty otherwise.
    """

    scale: float
    shape: float
    covariance: np.ndarray
    log_likelihood: float
    n: int
    n_lost: int
    reason: str = ""

    def survival(
        self, days: Sequence[float] | np.ndarray, probability: float = 0.95
    ) -> pd.DataFrame:
        """Give the share still without the event.

        Parameters
        ----------
        days : sequence of float
            Days [day].
        probability : float
            Coverage of the pointwise limits, Normal on the complementary log-log scale.

        Returns
        -------
        DataFrame
            ``day``, ``estimate``, ``lower``, ``upper``.
        """
        at = np.asarray(days, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(at / self.scale)
            # d cloglog / d (ln scale, ln shape)
            gradient = np.stack([np.full(at.shape, -self.shape), self.shape * ratio], axis=-1)
            spread = np.sqrt(np.einsum("ti,ij,tj->t", gradient, self.covariance, gradient))
            reach = stats.norm.ppf((1 + probability) / 2) * spread
            power = self.shape * ratio
            # A hazard beyond e^700 has left nobody; the limits of few patients reach that far.
            hazards = [np.minimum(power + shift, 700.0) for shift in (0.0, reach, -reach)]
            values = [np.exp(-np.exp(hazard)) for hazard in hazards]
        values = [np.where(at <= 0, 1.0, v) for v in values]
        return pd.DataFrame(dict(zip(("day", "estimate", "lower", "upper"), (at, *values),
                                     strict=True)))  # fmt: skip

    def median(self, probability: float = 0.95) -> tuple[float, float, float]:
        """Give the median with its limits, Normal on the log scale [day].

        Parameters
        ----------
        probability : float
            Coverage of the limits.

        Returns
        -------
        estimate, lower, upper : float
        """
        half = np.log(np.log(2))
        log_median = np.log(self.scale) + half / self.shape
        gradient = np.array([1.0, -half / self.shape])
        spread = np.sqrt(gradient @ self.covariance @ gradient)
        reach = stats.norm.ppf((1 + probability) / 2) * spread
        estimate, lower, upper = (float(np.exp(log_median + s * reach)) for s in (0, -1, 1))
        return estimate, lower, upper


def weibull_intervals(left: np.ndarray, right: np.ndarray) -> WeibullIntervals:
    """Fit a Weibull distribution to days known only to lie in intervals.

    Parameters
    ----------
    left, right : array, shape (patient,)
        The day lies in (left, right]; on it where they are equal; after `left` where `right` is
        infinite (right-censored) [day].

    Returns
    -------
    WeibullIntervals
        Without a fit, and with the reason, where fewer than two patients have had the event or
        the likelihood rises without bound (all events fit on one day).
    """
    left, right = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    lost = np.isfinite(right)
    n, n_lost = left.size, int(lost.sum())
    if n_lost < 2:
        return _no_fit(n, n_lost, f"only {n_lost} patients are known to have lost their cells")
    middle = np.where(lost, (left + np.where(lost, right, 0)) / 2, left * 1.5)
    start = np.array([np.log(max(float(np.median(middle)), 1e-3)), 0.0])
    found = optimize.minimize(_loss, start, args=(left, right), method="BFGS", jac=True)
    scale, shape = np.exp(found.x)
    if not _SHAPES[0] < shape < _SHAPES[1] or not np.isfinite(found.fun):
        return _no_fit(n, n_lost, f"the likelihood has no maximum (shape {shape:.3g})")
    return WeibullIntervals(
        float(scale), float(shape), _covariance(found.x, left, right), -float(found.fun), n, n_lost
    )


def _no_fit(n: int, n_lost: int, reason: str) -> WeibullIntervals:
    nothing = np.full((2, 2), np.nan)
    return WeibullIntervals(np.nan, np.nan, nothing, np.nan, n, n_lost, reason)


def _loss(parameters: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[float, np.ndarray]:
    """Minus the log likelihood, and its gradient by ln scale and ln shape."""
    log_scale, shape = parameters[0], np.exp(np.clip(parameters[1], -10, 10))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        hazards, changes = [], []
        for at in (left, right):
            z = np.log(at) - log_scale
            h = np.where(at > 0, np.exp(np.clip(shape * z, -700, 700)), 0.0)
            h = np.where(np.isinf(at), np.inf, h)
            # d H / d ln scale and d H / d ln shape
            by_shape = np.where((at > 0) & np.isfinite(at), h * shape * z, 0.0)
            hazards.append(h)
            changes.append(np.stack([np.where(np.isinf(at), 0.0, -shape * h), by_shape]))
        low, high = hazards
        exact = left == right
        gap = np.where(exact, 1.0, high - low)
        # ln(S(left) - S(right)) = -H(left) + ln(1 - exp(-(H(right) - H(left))))
        inner = np.where(np.isinf(gap), 0.0, np.log(-np.expm1(-gap)))
        pull = np.where(np.isinf(gap), 0.0, 1.0 / np.expm1(np.minimum(gap, 700.0)))
        z = np.where(exact, np.log(np.where(left > 0, left, 1.0)) - log_scale, 0.0)
        density = np.log(shape) + shape * z - np.log(np.where(exact & (left > 0), left, 1.0))
        terms = np.where(exact, density - low, -low + inner)
        slope = -changes[0] + np.where(exact, 0.0, pull) * (changes[1] - changes[0])
        slope += np.where(exact, np.stack([np.full(z.shape, -shape), 1.0 + shape * z]), 0.0)
    total = float(terms.sum())
    if not np.isfinite(total):
        return 1e100, np.zeros(2)
    return -total, -slope.sum(axis=1)


def _covariance(x: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Invert the Hessian, by central differences of the exact gradient."""
    step = 1e-5
    hessian = np.stack(
        [
            (_loss(x + d, left, right)[1] - _loss(x - d, left, right)[1]) / (2 * step)
            for d in step * np.eye(2)
        ]
    )
    return np.asarray(np.linalg.inv((hessian + hessian.T) / 2))
