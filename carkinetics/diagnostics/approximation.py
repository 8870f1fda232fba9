"""What can be checked of an approximate fit, and the sentence that says what cannot."""

from __future__ import annotations

import numpy as np
import xarray as xr

from carkinetics.diagnostics.limits import Limits

UNCHECKED = (
    "This fit is approximate (Laplace): its draws come from Gaussians, not from the posterior. "
    "R-hat, effective sample size and divergences do not apply, and nothing here can show a "
    "posterior that is skewed or has a second mode. Report numbers from method='nuts'."
)
_SAMPLE_AGAIN = "Fit with method='nuts'."


def approximation_rows(found: xr.Dataset, limits: Limits) -> list[tuple[object, ...]]:
    """Judge the optimum of an approximation.

    Parameters
    ----------
    found : Dataset
        ``curvature`` and ``gradient`` along the axes of the approximation.
    limits : Limits
        What a trustworthy fit keeps.

    Returns
    -------
    list of tuple
        ``check``, ``value``, ``limit``, ``passed``, ``where``, ``remedy``.
    """
    flattest = float(found["curvature"].min())
    slope = float(np.abs(found["gradient"]).max())
    return [
        (
            "smallest curvature at the optimum", flattest, "above 0", flattest > 0, "",
            "The density has no maximum in some direction, and its SD there is made up. "
            + _SAMPLE_AGAIN,
        ),
        (
            "largest slope at the optimum, per SD", slope, f"at most {limits.slope:g}",
            slope <= limits.slope, "",
            "The optimum was not reached. " + _SAMPLE_AGAIN,
        ),
    ]  # fmt: skip
