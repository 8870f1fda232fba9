"""One patient's samples of one cell type by one assay, and the rules applied to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carkinetics.errors import DataError, Fault

_CHOICES = {
    "c0": ("zero", "measured"),
    "interpolation": ("lin_up_log_down", "linear"),
    "blq": ("default", "zero", "half_lloq", "lloq", "drop"),
}


@dataclass(frozen=True)
class Rules:
    """The choices behind every number taken from samples.

    Parameters
    ----------
    c0 : {"zero", "measured"}
        ``"zero"``: the level at day 0 is 0 unless measured. ``"measured"``: nothing is added.
    interpolation : {"lin_up_log_down", "linear"}
        Between samples: straight where the level rises or is 0 at either end, exponential where
        it falls; or straight everywhere.
    blq : {"default", "zero", "half_lloq", "lloq", "drop"}
        Samples below the limit. ``"default"``: 0 before the first quantifiable sample, dropped
        between quantifiable ones, 0 for the first one after the last quantifiable, the rest
        ignored. Otherwise every one is set to 0, half the limit, the limit, or dropped.
    """

    c0: str = "zero"
    interpolation: str = "lin_up_log_down"
    blq: str = "default"

    def __post_init__(self) -> None:
        faults = [
            Fault(f"rule {name}", f"{getattr(self, name)!r} is unknown", f"Choose from {allowed}.")
            for name, allowed in _CHOICES.items()
            if getattr(self, name) not in allowed
        ]
        if faults:
            raise DataError(faults)


DEFAULT_RULES = Rules()


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
    """

    day: np.ndarray
    level: np.ndarray
    below_lloq: np.ndarray = None  # type: ignore[assignment]
    lloq: np.ndarray = np.nan  # type: ignore[assignment]
    unit: str = ""
    patient: str = ""

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

    @property
    def quantified(self) -> np.ndarray:
        """Positions of the samples at or above the limit."""
        return np.flatnonzero(~self.below_lloq)

    @property
    def missing(self) -> str:
        """Why the profile has no peak; empty when it has one."""
        if self.day.size == 0:
            return "no samples"
        return "" if self.quantified.size else "all samples below the LLOQ"

    def points(self, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
        """Turn samples into the points that lines are drawn through.

        Parameters
        ----------
        rules : Rules
            What day 0 and samples below the limit count as.

        Returns
        -------
        day, level : array, shape (point,)
            Days [day] and levels [unit].
        """
        below, at = self.below_lloq, np.arange(self.day.size)
        stand_in = {"half_lloq": self.lloq / 2, "lloq": self.lloq}.get(rules.blq, 0.0)
        level = np.where(below, stand_in, self.level)
        kept = np.ones(at.size, bool)
        if rules.blq == "drop":
            kept = ~below
        elif rules.blq == "default" and self.quantified.size:
            first, last = self.quantified[[0, -1]]
            kept = ~below | (at < first) | (at == last + 1)
        day, level = self.day[kept], level[kept]
        if rules.c0 == "zero" and (day.size == 0 or day[0] > 0):
            day, level = np.insert(day, 0, 0.0), np.insert(level, 0, 0.0)
        return day, level
