"""Ratios per doubling and per ten-fold: the fixed units in which associations are told.

Never per standard deviation of posterior means: shrinkage changes that unit from fit to fit. What
has no logarithm is told in a fixed unit of its own: chances from 0 to 1, slopes per 0.1/day.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DOUBLINGS_PER_TENFOLD = math.log2(10.0)

LOG, CHANCE, SLOPE = "log", "chance", "slope"
# Scale -> what a ratio is told per, and how much of the coefficient's unit that is.
_TOLD = {
    LOG: ("per doubling", math.log(2.0)),
    CHANCE: ("from probability 0 to 1", 1.0),
    SLOPE: ("per 0.1/day", 0.1),
}


def told_per(scale: str) -> str:
    """Say what ratios of exposures on a scale are told per, such as ``"per doubling"``."""
    return _TOLD[scale][0]


def told_ratio(scale: str, coefficient: ArrayLike) -> Array:
    """Turn a coefficient per unit of what regressions use into the ratio that is told.

    Parameters
    ----------
    scale : str
        ``"log"`` (regressions use ln exposure), ``"chance"`` or ``"slope"`` (the exposure itself).
    coefficient : array_like
        Log hazard ratio or log odds ratio.

    Returns
    -------
    array
        Of the same shape.

    Examples
    --------
    >>> told_per("slope"), float(told_ratio("slope", 10 * np.log(3)).round(6))
    ('per 0.1/day', 3.0)
    """
    if scale == LOG:  # exact where the coefficient is a whole number
        return ratio_per_doubling(coefficient)
    return np.asarray(np.exp(_TOLD[scale][1] * np.asarray(coefficient, dtype=float)))


def ratio_per_doubling(coefficient: ArrayLike) -> Array:
    """Turn a coefficient per natural log of exposure into a ratio per doubling.

    Parameters
    ----------
    coefficient : array_like
        Log hazard ratio or log odds ratio per unit of ln exposure.

    Returns
    -------
    array
        Ratio per doubling of exposure, of the same shape.

    Examples
    --------
    >>> float(ratio_per_doubling(1.0))
    2.0
    """
    return np.exp2(np.asarray(coefficient, dtype=float))


def ratio_per_tenfold(coefficient: ArrayLike) -> Array:
    """Turn a coefficient per natural log of exposure into a ratio per ten-fold."""
    return np.power(10.0, np.asarray(coefficient, dtype=float))


def tenfold_from_doubling(ratio: ArrayLike) -> Array:
    """Turn a ratio per doubling into the same ratio per ten-fold.

    Examples
    --------
    >>> float(tenfold_from_doubling(0.5).round(6))
    0.1
    """
    return np.power(np.asarray(ratio, dtype=float), DOUBLINGS_PER_TENFOLD)


def doubling_from_tenfold(ratio: ArrayLike) -> Array:
    """Turn a ratio per ten-fold into the same ratio per doubling."""
    return np.power(np.asarray(ratio, dtype=float), 1.0 / DOUBLINGS_PER_TENFOLD)
