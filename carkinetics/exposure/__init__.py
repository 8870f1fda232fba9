"""Quantities of the posterior curves, draw by draw, for patients and population."""

from carkinetics.exposure.compute import AT_DAYS, DEFAULT, summarize
from carkinetics.exposure.reliability import reliability_of
from carkinetics.exposure.result import NEW, TYPICAL, Exposure
from carkinetics.exposure.share import share_over_time

__all__ = [
    "AT_DAYS",
    "DEFAULT",
    "NEW",
    "TYPICAL",
    "Exposure",
    "reliability_of",
    "share_over_time",
    "summarize",
]
