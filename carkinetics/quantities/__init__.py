"""Quantities of a curve: what they are called, what they mean, and how they are computed."""

from carkinetics.quantities.curve import Curve
from carkinetics.quantities.families import FAMILIES, days_in, family_of, find_quantity
from carkinetics.quantities.measures import (
    QUANTITIES,
    Loss,
    auc,
    cmax,
    detectable,
    level_at,
    loss,
    mean_level,
    peak,
    persistence,
    time_above,
    tmax,
)
from carkinetics.quantities.onset import auc_to_onset, slope_to_onset
from carkinetics.quantities.rates import (
    contraction_half_life,
    doubling_time,
    growth,
    terminal_half_life,
)
from carkinetics.quantities.registry import Quantity, register
from carkinetics.quantities.subsets import level_at_total_peak, share_at, share_at_total_peak

__all__ = [
    "FAMILIES",
    "QUANTITIES",
    "Curve",
    "Loss",
    "Quantity",
    "auc",
    "auc_to_onset",
    "cmax",
    "contraction_half_life",
    "days_in",
    "detectable",
    "doubling_time",
    "family_of",
    "find_quantity",
    "growth",
    "level_at",
    "level_at_total_peak",
    "loss",
    "mean_level",
    "peak",
    "persistence",
    "register",
    "share_at",
    "share_at_total_peak",
    "slope_to_onset",
    "terminal_half_life",
    "time_above",
    "tmax",
]
