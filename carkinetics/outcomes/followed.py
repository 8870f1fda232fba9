"""The association of time to an event with the exposure so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carkinetics.outcomes.association import Estimate
from carkinetics.outcomes.endpoint import Endpoint
from carkinetics.outcomes.scales import ratio_per_doubling
from carkinetics.outcomes.time_dependent import cox_so_far, exposure_so_far

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort


def follow(
    cohort: Cohort,
    endpoint: Endpoint,
    exposure: str,
    assay: str,
    cell_type: str,
    probability: float,
    mode: str,
) -> tuple[tuple[Estimate, ...], dict[str, str]]:
    """Fit Cox regression to the exposure so far.

    Parameters
    ----------
    cohort, endpoint, exposure, assay, cell_type
        See `exposure_so_far`.
    probability : float
        Coverage of the interval.
    mode : str
        Of the estimate.

    Returns
    -------
    estimates : tuple of Estimate
        One.
    left_out : dict
        Patient to the reason.
    """
    spans = exposure_so_far(cohort, endpoint, exposure, assay, cell_type)
    table = spans.table
    fitted = cox_so_far(
        table["start"], table["stop"], table["event"], table["x"], probability=probability
    )
    numbers = np.array([fitted.coefficients[0], fitted.lower[0], fitted.upper[0]])
    estimate, lower, upper = ratio_per_doubling(numbers)
    known = not fitted.reason
    found = Estimate(
        mode=mode,
        method="Cox (Efron), exposure so far",
        measure="hazard ratio per doubling",
        estimate=float(estimate),
        lower=float(lower),
        upper=float(upper),
        probability=probability if known else np.nan,
        interval_kind="profile likelihood" if known else "",
        p_value=float(fitted.p_values[0]),
        p_kind="likelihood ratio" if known else "",
        n=int(table["patient"].nunique()),
        n_events=int(table["event"].sum()),
        note=fitted.reason or "time-dependent: at each event the exposure of the samples before it",
    )
    return (found,), spans.left_out
