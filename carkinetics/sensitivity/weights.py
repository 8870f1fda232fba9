"""Importance weights, smoothed, with the diagnosis that says whether they can be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Above this the weights of a few draws decide (Vehtari et al. 2024).
LARGEST_KHAT = 0.7


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of posterior draws.

    Attributes
    ----------
    values : array, shape (draw,)
        Sum to one.
    khat : float
        Pareto k-hat of the ratios; above 0.7 the weights are not to be used.
    """

    values: np.ndarray
    khat: float

    @property
    def usable(self) -> bool:
        """Whether k-hat is at most 0.7."""
        return bool(self.khat <= LARGEST_KHAT)

    @property
    def effective(self) -> float:
        """Effective number of draws."""
        return float(1.0 / np.sum(self.values**2))

    def resampled(self, count: int) -> np.ndarray:
        """Choose draws in proportion to their weights, evenly spaced, without randomness.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        array of int, shape (count,)
            Positions of the draws.
        """
        at = (np.arange(count) + 0.5) / count
        found = np.searchsorted(np.cumsum(self.values), at)
        return np.minimum(found, self.values.size - 1)


def pareto_weights(log_ratio: np.ndarray) -> Weights:
    """Smooth importance ratios.

    Parameters
    ----------
    log_ratio : array, shape (draw,)
        Log of the wanted density over that of the draws, up to a constant.

    Returns
    -------
    Weights
        Ratios that are all the same (the density did not change) have k-hat minus infinity.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry 2024, Pareto smoothed importance sampling, J Mach
    Learn Res 25(72).
    """
    from arviz_stats.base import array_stats

    log_ratio = np.asarray(log_ratio, dtype=float)
    if not np.isfinite(log_ratio).all():
        return Weights(np.full(log_ratio.size, 1.0 / log_ratio.size), np.inf)
    if np.ptp(log_ratio) < 1e-12:
        return Weights(np.full(log_ratio.size, 1.0 / log_ratio.size), -np.inf)
    # The function takes a log likelihood to be left out, that is, minus the log ratio.
    smoothed, khat = array_stats.psislw(-log_ratio)
    values = np.exp(smoothed - smoothed.max())
    return Weights(values / values.sum(), float(khat))
