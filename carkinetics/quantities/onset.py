"""Exposure before cytokine release syndrome, each quantity next to its registration.

The syndrome often begins before the peak: what came after its onset cannot have led to it.
"""

from __future__ import annotations

import numpy as np

from carkinetics.quantities.curve import Curve
from carkinetics.quantities.measures import QUANTITIES, auc
from carkinetics.quantities.rates import growth
from carkinetics.quantities.registry import LATENT, register

_NO_ONSET = "no day of onset of cytokine release syndrome"


@register(
    QUANTITIES,
    label="AUC to CRS onset",
    kind="area",
    cdisc="",
    sponsor="AUCONS",
    needs="onset",
    definition="Area under the curve from day 0 to the onset of cytokine release syndrome.",
    source=LATENT,
    undefined=_NO_ONSET,
)
def auc_to_onset(curve: Curve) -> np.ndarray:
    """Integrate the level until the onset, shape (...) [unit of the level * day].

    Patients without the syndrome have none: compare them by ``level_7`` or ``auc_0_7``.
    """
    if not curve.onset > 0:
        return np.full(curve.shape, np.nan)
    return auc(curve, 0.0, float(curve.onset))


@register(
    QUANTITIES,
    label="Growth to CRS onset",
    kind="rate",
    cdisc="",
    sponsor="SLPONS",
    needs="onset",
    definition="Mean slope of ln level from day 0 to the onset of cytokine release syndrome.",
    source=LATENT,
    undefined=_NO_ONSET,
)
def slope_to_onset(curve: Curve) -> np.ndarray:
    """Give the mean growth of ln level until the onset, shape (...) [1/day]."""
    if not curve.onset > 0:
        return np.full(curve.shape, np.nan)
    return growth(curve, 0.0, float(curve.onset))
