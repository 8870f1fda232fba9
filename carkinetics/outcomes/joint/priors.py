"""Priors of the joint model: weakly informative, per e-fold of exposure.

The slopes are per unit of ln exposure (one e-fold), which is about the SD between patients of
ln Cmax: a fixed unit that no data set changes.
"""

from __future__ import annotations

import math

SLOPE_SD = {"survival": 1.0, "ordinal": 1.5, "binary": 1.5}
LOG_SCALE = (math.log(110.0), 1.0)  # of the Weibull scale [ln day]
LOG_SHAPE = (0.0, 0.5)
LOG_HAZARD = (-math.log(110.0), 1.0)  # before the first cut [ln 1/day]
WALK_SD = 0.5  # of the steps of ln hazard from piece to piece: half-normal
INTERCEPT = (math.log(0.15 / 0.85), 1.0)  # log odds of a yes-or-no outcome
COVARIATE_SD = 0.5
CUTS = (28.0, 60.0, 120.0, 365.0)  # of the piecewise hazard [day]


def normal_text(mean: float, sd: float) -> str:
    """Write a Normal prior in words."""
    return f"normal(mean={mean:.4g}, sd={sd:g})"
