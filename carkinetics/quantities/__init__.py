"""Quantities of a curve: what they are called, what they mean, and how they are computed."""

from carkinetics.quantities.curve import Curve
from carkinetics.quantities.measures import (
    QUANTITIES,
    Loss,
    auc,
    cmax,
    detectable,
    find_quantity,
    level_at,
    loss,
    peak,
    persistence,
    tmax,
)
from carkinetics.quantities.registry import Quantity, register

__all__ = [
    "QUANTITIES",
    "Curve",
    "Loss",
    "Quantity",
    "auc",
    "cmax",
    "detectable",
    "find_quantity",
    "level_at",
    "loss",
    "peak",
    "persistence",
    "register",
    "tmax",
]
