"""Factors on the spread of groups of priors, for sensitivity analyses."""

from __future__ import annotations

import math
from collections.abc import Mapping

from carkinetics.errors import FitError

GROUPS = ("location", "omega", "correlation", "residual", "link")


def read_prior_scale(given: Mapping[str, float] | None) -> dict[str, float]:
    """Check factors, and leave out those that change nothing.

    Parameters
    ----------
    given : mapping of str to float, or None
        By group: ``"location"``, ``"omega"``, ``"correlation"``, ``"residual"``, ``"link"``.

    Returns
    -------
    dict of str to float

    Raises
    ------
    FitError
        For a group that does not exist or a factor that is not above 0.
    """
    found = dict(given or {})
    unknown = [name for name in found if name not in GROUPS]
    if unknown:
        raise FitError(
            f"prior_scale: no group is called {', '.join(unknown)}; choose from "
            f"{', '.join(GROUPS)}."
        )
    wrong = [
        f"{name}={factor!r}"
        for name, factor in found.items()
        if isinstance(factor, bool) or not 0 < factor < math.inf
    ]
    if wrong:
        raise FitError(f"prior_scale: {', '.join(wrong)}; give factors above 0.")
    return {name: float(factor) for name, factor in found.items() if factor != 1}


def scaled_shape(shape: float, factor: float) -> float:
    """Return the LKJ shape whose partial correlations are so many times as wide.

    The last partial correlation of an LKJ(shape) matrix is a beta variable on (-1, 1) with
    variance 1 / (2 shape + 1).

    Parameters
    ----------
    shape : float
        LKJ shape.
    factor : float
        On the SD of that partial correlation.

    Returns
    -------
    float

    Raises
    ------
    FitError
        Where no shape is that wide.

    Examples
    --------
    >>> scaled_shape(4.0, 2.0)
    0.625
    """
    wide = ((2 * shape + 1) / factor**2 - 1) / 2
    if wide <= 0:
        most = math.sqrt(2 * shape + 1)
        raise FitError(
            f"prior_scale: correlations cannot be {factor:g} times as wide, at most {most:.2g}."
        )
    return wide
