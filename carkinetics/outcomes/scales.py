"""Ratios per doubling and per ten-fold: the fixed units in which associations are told.

Never per standard deviation of posterior means: shrinkage changes that unit from fit to fit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DOUBLINGS_PER_TENFOLD = math.log2(10.0)


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
