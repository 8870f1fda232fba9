"""What can be checked of an approximate fit, and the sentence that says what cannot."""

from __future__ import annotations

import numpy as np
import xarray as xr

from carkinetics.diagnostics.limits import Limits

UNCHECKED = (
    "This fit is approximate (Laplace): what patients share is drawn from a Gaussian, not from the "
    "posterior. R-hat, effective sample size and divergences do not apply, and nothing here can "
    "show that the posterior is skewed or has a second mode. Report numbers from method='nuts'."
)
_SAMPLE_AGAIN = "Fit with method='nuts'."


def approximation_rows(found: xr.Dataset, limits: Limits) -> list[tuple[object, ...]]:
    """Judge the optimum of an approximation.

    Parameters
    ----------
    found : Dataset
        ``curvature`` and ``gradient`` along the axes of the approximation; ``accepted``, the
        share of each patient's Metropolis steps that were accepted.
    limits : Limits
        What a trustworthy fit keeps.

    Returns
    -------
    list of tuple
        ``check``, ``value``, ``limit``, ``passed``, ``where``, ``remedy``.
    """
    flattest = float(found["curvature"].min())
    slope = float(np.abs(found["gradient"]).max())
    accepted = found["accepted"]
    worst = int(np.argmin(accepted.values))
    return [
        (
            "smallest curvature at the optimum, 1 expected", flattest,
            f"above {limits.curvature:g}", flattest > limits.curvature, "",
            "The density has no maximum in some direction, and its SD there is made up. "
            + _SAMPLE_AGAIN,
        ),
        (
            "largest slope at the optimum, per SD", slope, f"at most {limits.slope:g}",
            slope <= limits.slope, "",
            "The optimum was not reached. " + _SAMPLE_AGAIN,
        ),
        (
            "smallest acceptance of a patient's Gaussian", float(accepted[worst]),
            f"at least {limits.accepted:g}", float(accepted[worst]) >= limits.accepted,
            str(accepted["patient"].values[worst]),
            "This patient's posterior is far from Gaussian. " + _SAMPLE_AGAIN,
        ),
    ]  # fmt: skip
