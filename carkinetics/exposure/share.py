"""CD4 and CD8 as shares of the total over time, from the product to the last day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit


def share_over_time(
    fit: Fit,
    days: Sequence[float] | np.ndarray = tuple(range(29)),
    cell_type: str = "CD8",
    probability: float = 0.95,
) -> pd.DataFrame:
    """Follow the share of one cell type in the total.

    Parameters
    ----------
    fit : Fit
        A fit that tells cell types apart.
    days : sequence of float, shape (day,)
        Days from the infusion [day].
    cell_type : str
        ``"CD8"`` or ``"CD4"``.
    probability : float
        Of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        One row per patient and day: ``patient``, ``day``, ``estimate`` (median), ``lower``,
        ``upper``, ``probability``, ``interval``; the typical patient last. ``product`` repeats
        the share in the product infused where the cohort states it (`product_cd4_share`), NaN
        otherwise: what the curve of day 0 may be compared with.
    """
    if cell_type not in fit.cell_types[:-1]:
        what = f"no cell type {cell_type!r} beside the total"
        raise DataError(Fault(f"fit of {fit.cohort.name}", what, "See fit.cell_types."))
    tail = (1 - probability) / 2
    at = np.asarray(days, dtype=float)
    curves = fit.curves(at)
    shares = (curves.sel(cell_type=cell_type) / curves.sel(cell_type="total")).values
    typical = fit.population_curves(at)
    center = (typical.sel(cell_type=cell_type) / typical.sel(cell_type="total")).values
    everyone = np.concatenate([shares, center[:, :, None]], axis=2)
    low, middle, high = np.quantile(everyone, [tail, 0.5, 1 - tail], axis=(0, 1))
    product = _product_share(fit, cell_type)
    names = [*map(str, fit.patients), "typical patient"]
    parts = [
        pd.DataFrame(
            {
                "patient": name,
                "cell_type": cell_type,
                "day": at,
                "estimate": middle[i],
                "lower": low[i],
                "upper": high[i],
                "probability": probability,
                "interval": "equal-tailed",
                "product": product.get(name, np.nan),
            }
        )
        for i, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)


def _product_share(fit: Fit, cell_type: str) -> dict[str, float]:
    table = fit.cohort.patients
    if "product_cd4_share" not in table:
        return {}
    cd4 = table.set_index("patient")["product_cd4_share"].astype(float)
    return dict(cd4 if cell_type == "CD4" else 1.0 - cd4)
