"""P-values of a family of tests, adjusted for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Array:
    """Adjust p-values so that the chance of any false positive in the family is kept.

    Parameters
    ----------
    p_values : array_like, shape (test,)
        Between 0 and 1; NaN, where a test could not be made, stays NaN and does not count.

    Returns
    -------
    array, shape (test,)
        Adjusted p-values, in the order given.

    References
    ----------
    Holm 1979, Scandinavian Journal of Statistics 6:65-70.

    Examples
    --------
    >>> holm([0.01, 0.02, 0.03, 0.04]).tolist()
    [0.04, 0.06, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Adjust p-values so that the expected share of false among positive tests is kept.

    Parameters
    ----------
    p_values : array_like, shape (test,)
        Between 0 and 1; NaN stays NaN and does not count.

    Returns
    -------
    array, shape (test,)
        Adjusted p-values, in the order given.

    References
    ----------
    Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")][::-1]
    steps = p[order] * order.size / np.arange(order.size, 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps), 1.0)
    return adjusted
