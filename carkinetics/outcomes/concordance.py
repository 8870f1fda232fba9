"""How often the patient with the higher hazard has the event first."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def concordance_index(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> float:
    """Compute Harrell's concordance index.

    Parameters
    ----------
    time, event : array_like, shape (patient,)
        Day of event or censoring [day], and whether it was an event.
    risk : array_like, shape (patient,)
        Higher where the event is expected earlier, such as covariates times Cox coefficients.

    Returns
    -------
    float
        Share of comparable pairs in the right order, ties of `risk` one half; NaN where no pair
        is comparable. Pairs with events on the same day are not comparable.

    References
    ----------
    Harrell et al. 1996, doi 10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=bool)
    risk = np.asarray(risk, dtype=float)
    right = comparable = 0.0
    for i in np.flatnonzero(event):
        # Censored on the day of the event, the other was still free of it.
        later = (time > time[i]) | ((time == time[i]) & ~event)
        comparable += later.sum()
        right += (risk[i] > risk[later]).sum() + 0.5 * (risk[i] == risk[later]).sum()
    return float(right / comparable) if comparable else np.nan
