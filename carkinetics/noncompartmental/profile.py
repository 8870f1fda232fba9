"""One patient's samples of one cell type by one assay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carkinetics.errors import DataError, Fault


@dataclass(frozen=True)
class Measured:
    """A number, or the reason why there is none, and what should be known about it.

    Parameters
    ----------
    value : float
        NaN where the number is missing.
    reason : str
        Why it is missing; empty otherwise.
    flags : mapping
        Name to value; reaches the table as columns.
    """

    value: float
    reason: str = ""
    flags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """Samples of one patient, one cell type and one assay, from the infusion on.

    Parameters
    ----------
    day : array, shape (sample,)
        Days since the infusion, increasing, none before day 0 [day].
    level : array, shape (sample,)
        Levels [unit]; what stands in samples below the limit is never read.
    below_lloq : array of bool, shape (sample,), optional
        Samples below the limit of quantification; none when left out.
    lloq : array, shape (sample,), or float, optional
        Limit of quantification [unit]; needed for every sample below it.
    unit, patient : str
        Unit of the levels, and whose they are.
    seen : array of bool, shape (sample,), optional
        Samples in which cells were detected, quantifiable or not; the quantifiable ones when left
        out.
    """

    day: np.ndarray
    level: np.ndarray
    below_lloq: np.ndarray = None  # type: ignore[assignment]
    lloq: np.ndarray = np.nan  # type: ignore[assignment]
    unit: str = ""
    patient: str = ""
    seen: np.ndarray | None = None

    def __post_init__(self) -> None:
        day = np.asarray(self.day, dtype=float)
        below = np.zeros(day.shape, bool) if self.below_lloq is None else self.below_lloq
        as_arrays = {
            "day": day,
            "level": np.asarray(self.level, dtype=float),
            "below_lloq": np.asarray(below, dtype=bool),
            "lloq": np.broadcast_to(np.asarray(self.lloq, dtype=float), day.shape),
        }
        for name, array in as_arrays.items():
            object.__setattr__(self, name, array)
        where = f"profile of {self.patient or 'a patient'}"
        faults = [Fault(where, what, remedy) for what, remedy in self._wrong()]
        if faults:
            raise DataError(faults)

    @property
    def quantified(self) -> np.ndarray:
        """Samples at or above the limit, and above 0, shape (sample,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(~self.below_lloq & (self.level > 0))

    @property
    def detected(self) -> np.ndarray:
        """Samples in which cells were seen, quantifiable or not, shape (sample,)."""
        if self.seen is None:
            return self.quantified
        return np.asarray(self.quantified | np.asarray(self.seen, dtype=bool))

    def _wrong(self) -> list[tuple[str, str]]:
        day, level, below = self.day, self.level, self.below_lloq
        if day.ndim != 1 or not (day.shape == level.shape == below.shape):
            return [("day, level and below_lloq differ in length", "Give one of each per sample.")]
        seen = level[~below]
        checks = [
            (not np.isfinite(day).all(), "a day is not a finite number", "Correct the day."),
            ((day < 0).any(), "a day lies before the infusion", "Leave baseline samples out."),
            ((np.diff(day) <= 0).any(), "days do not increase", "Sort them; one sample per day."),
            (not np.isfinite(seen).all(), "a level is not a finite number", "Correct the level."),
            ((seen < 0).any(), "a level is negative", "Correct the level."),
            (
                np.isnan(self.lloq[below]).any(),
                "a sample is below a limit of quantification that is not given",
                "State the LLOQ of the sample.",
            ),
        ]
        return [(what, remedy) for wrong, what, remedy in checks if wrong]
