"""Exposure and outcome of the same patients, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Exposure and outcome of the patients of one analysis.

    Parameters
    ----------
    mode, scale : str
        Of the exposure (see `ExposureValues`).
    x, rank : array, shape (patient,)
        Exposure for regressions (NaN = left out of them) and for rank tests.
    outcome : array, shape (patient,)
        Grade, number, or 0 and 1; for survival whether the event happened.
    day : array, shape (patient,)
        Day of event or censoring [day]; empty without survival.
    probability : float
        Coverage of intervals.
    seed : int
        Of drawn permutations.
    covariates : array, shape (patient, covariate)
        What regressions adjust for; NaN = left out of them.
    """

    mode: str
    scale: str
    x: Array
    rank: Array
    outcome: Array
    day: Array
    probability: float
    seed: int
    covariates: Array = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def regressed(self) -> NDArray[np.bool_]:
        """Which patients regressions use."""
        known = np.isfinite(self.x)
        return known & np.isfinite(self.covariates).all(axis=1) if self.adjusted else known

    @property
    def adjusted(self) -> int:
        """Number of covariates besides the exposure."""
        return int(self.covariates.shape[1])

    @property
    def matrix(self) -> Array:
        """Exposure and covariates of the patients that regressions use."""
        columns = [self.x, *self.covariates.T]
        return np.column_stack(columns)[self.regressed]
