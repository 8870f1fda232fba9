"""One cell type against the total, each quantity next to its registration.

These take a `Curve` whose axis before the last is the cell type, the total last.
"""

from __future__ import annotations

import numpy as np

from carkinetics.quantities.curve import Curve
from carkinetics.quantities.measures import QUANTITIES, level_at, peak
from carkinetics.quantities.registry import LATENT, register


@register(
    QUANTITIES,
    label="Level at the total's peak",
    kind="level",
    cdisc="",
    sponsor="LVLPEAK",
    needs="total",
    definition="Level of the cell type on the day of the highest level of the total.",
    source=LATENT,
)
def level_at_total_peak(curve: Curve) -> np.ndarray:
    """Read every cell type on the day of the total's peak, shape (..., cell_type) [unit].

    The level at the cell type's own peak is its `cmax`.
    """
    total = peak(curve)[1][..., -1:]
    return level_at(curve, np.broadcast_to(total, curve.shape))


@register(
    QUANTITIES,
    label="Share at the total's peak",
    kind="share",
    cdisc="",
    sponsor="SHRPEAK",
    needs="total",
    definition="Share of the cell type in the total on the day of the total's highest level.",
    source=LATENT,
)
def share_at_total_peak(curve: Curve) -> np.ndarray:
    """Divide every cell type by the total on the day of the total's peak, (..., cell_type)."""
    level = level_at_total_peak(curve)
    return level / level[..., -1:]


def share_at(curve: Curve, day: float) -> np.ndarray:
    """Divide every cell type by the total on one day, shape (..., cell_type)."""
    level = level_at(curve, day)
    return level / level[..., -1:]
