"""How well the data tell patients apart: reliability and shrinkage of each exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.quantities import find_quantity

if TYPE_CHECKING:
    from carkinetics.exposure.result import Exposure

_LOG_KINDS = ("level", "area")


def reliability_of(draws: np.ndarray) -> tuple[float, float]:
    """Give reliability and shrinkage of posterior means.

    Parameters
    ----------
    draws : array, shape (draw, patient)
        Values, on the log scale where patients differ by factors.

    Returns
    -------
    reliability, shrinkage : float
        Variance of the patients' means over that plus the mean posterior variance; 1 minus its
        square root, as the shrinkage of empirical Bayes estimates is stated in pharmacometrics
        (Savic and Karlsson 2009, doi 10.1208/s12248-009-9133-0). NaN with fewer than two
        patients.

    Examples
    --------
    >>> reliability_of(np.array([[0.0, 2.0], [2.0, 4.0]]))  # means 1, 3; variances 2, 2
    (0.5, 0.292893)
    """
    if draws.shape[1] < 2:
        return np.nan, np.nan
    between = float(draws.mean(axis=0).var(ddof=1))
    within = float(draws.var(axis=0, ddof=1).mean())
    if between + within == 0:
        return np.nan, np.nan
    reliability = between / (between + within)
    return reliability, 1.0 - reliability**0.5


def reliability_table(exposure: Exposure) -> pd.DataFrame:
    """Compute reliability and shrinkage of every quantity; see `Exposure.reliability`."""
    rows = []
    for name in exposure.quantities:
        quantity = find_quantity(name)
        if quantity.kind == "probability":
            continue
        log = quantity.kind in _LOG_KINDS
        for cell in exposure.data["cell_type"].values:
            values = exposure.data[name].sel(cell_type=cell).values
            flat = values.reshape(-1, values.shape[-1])
            usable = (flat > 0).all(axis=0) if log else ~np.isnan(flat).any(axis=0)
            kept = np.log(flat[:, usable]) if log else flat[:, usable]
            reliability, shrinkage = reliability_of(kept)
            rows.append(
                {
                    "quantity": name,
                    "label": quantity.label,
                    "cell_type": str(cell),
                    "reliability": reliability,
                    "shrinkage": shrinkage,
                    "scale": "log" if log else "linear",
                    "n": int(usable.sum()),
                }
            )
    return pd.DataFrame(rows)
