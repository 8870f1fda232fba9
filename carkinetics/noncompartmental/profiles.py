"""Many profiles at once, as padded arrays, so that no patient needs a loop of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from carkinetics.noncompartmental.profile import Measured, Profile


@dataclass(frozen=True, eq=False)
class Profiles:
    """Samples of many patients, one cell type and one assay; made by `stack` or `from_table`.

    Parameters
    ----------
    day, level, lloq : array, shape (profile, sample)
        Rows are filled up with NaN [day], [unit], [unit].
    below : array of bool, shape (profile, sample)
        Samples below the limit.
    n : array of int, shape (profile,)
        Samples of each profile.
    patient : tuple of str
        Whose they are.
    fault : array of str, shape (profile,)
        Why a profile cannot be used; empty where it can.
    unit : str
        Unit of the levels.
    stopped : array, shape (profile,)
        Day of death or progression; NaN where neither is known [day].
    onset : array, shape (profile,)
        Day on which cytokine release syndrome began; NaN where it did not [day].
    total_tmax, total_level : array, shape (profile,)
        Day and level of the highest sample of the total; NaN where there is none.
    new_cells : array, shape (profile,)
        Day of transplant or new therapy, after which samples no longer speak of the same cells;
        NaN where there was none [day].
    seen : array of bool, shape (profile, sample), optional
        Samples in which cells were detected, quantifiable or not.
    """

    day: np.ndarray
    level: np.ndarray
    lloq: np.ndarray
    below: np.ndarray
    n: np.ndarray
    patient: tuple[str, ...]
    fault: np.ndarray
    unit: str = ""
    stopped: np.ndarray = field(default_factory=lambda: np.array(np.nan))
    onset: np.ndarray = field(default_factory=lambda: np.array(np.nan))
    total_tmax: np.ndarray = field(default_factory=lambda: np.array(np.nan))
    total_level: np.ndarray = field(default_factory=lambda: np.array(np.nan))
    new_cells: np.ndarray = field(default_factory=lambda: np.array(np.nan))
    seen: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("stopped", "onset", "total_tmax", "total_level", "new_cells"):
            given = np.asarray(getattr(self, name), dtype=float)
            object.__setattr__(self, name, np.broadcast_to(given, self.n.shape))

    def __len__(self) -> int:
        return len(self.patient)

    @cached_property
    def sampled(self) -> np.ndarray:
        """Places that hold a sample, shape (profile, sample)."""
        return np.arange(self.day.shape[1]) < self.n[:, None]

    @cached_property
    def quantified(self) -> np.ndarray:
        """Places that hold a sample at or above the limit, and above 0."""
        with np.errstate(invalid="ignore"):
            return self.sampled & ~self.below & (self.level > 0)

    @cached_property
    def detected(self) -> np.ndarray:
        """Places that hold a sample in which cells were seen, quantifiable or not."""
        if self.seen is None:
            return self.quantified
        return self.quantified | (self.sampled & self.seen)

    @cached_property
    def missing(self) -> np.ndarray:
        """Why a profile has no peak; empty where it has one."""
        some = self.quantified.any(axis=1)
        all_below = (self.below | ~self.sampled).all(axis=1)
        reason = np.where(all_below, "all samples below the LLOQ", "no level above 0")
        reason = np.where(self.n == 0, "no samples", reason).astype(object)
        return np.where(self.fault != "", self.fault, np.where(some, "", reason)).astype(object)

    @cached_property
    def first(self) -> np.ndarray:
        """Place of the first quantifiable sample, shape (profile,); 0 where there is none."""
        return self.quantified.argmax(axis=1)

    @cached_property
    def last(self) -> np.ndarray:
        """Place of the last quantifiable sample, shape (profile,)."""
        width = self.day.shape[1]
        return width - 1 - self.quantified[:, ::-1].argmax(axis=1)

    @cached_property
    def last_day(self) -> np.ndarray:
        """Day of the last sample, shape (profile,); NaN where there is none [day]."""
        return np.where(self.n > 0, self.at(self.day, np.maximum(self.n - 1, 0)), np.nan)

    def at(self, values: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Pick one entry per profile, shape (profile,)."""
        return values[np.arange(len(self.n)), place]

    def peak(self, ties: str = "first") -> np.ndarray:
        """Find the place of the highest quantifiable sample, shape (profile,)."""
        seen = np.where(self.quantified, self.level, -np.inf)
        if ties == "first":
            return seen.argmax(axis=1)
        return seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Column:
    """One quantity of many profiles.

    Parameters
    ----------
    value : array, shape (profile,)
        NaN where missing.
    reason : array of str, shape (profile,)
        Why it is missing; empty otherwise.
    flags : mapping
        Name to array of shape (profile,).
    """

    value: np.ndarray
    reason: np.ndarray
    flags: Mapping[str, np.ndarray] = field(default_factory=dict)

    def only(self, i: int = 0) -> Measured:
        """Give the entry of one profile."""
        flags = {name: values[i].item() for name, values in self.flags.items()}
        return Measured(float(self.value[i]), str(self.reason[i]), flags)


def column(
    profiles: Profiles, value: np.ndarray, reason: np.ndarray, **flags: np.ndarray
) -> Column:
    """Make a column; a fault of the profile comes before any other reason."""
    why = np.where(profiles.fault != "", profiles.fault, reason).astype(object)
    why = np.where((why == "") & np.isinf(value), "the number is too large to compute", why)
    return Column(np.where(why == "", value, np.nan), why, flags)


def sentence(rows: np.ndarray, make: Any) -> np.ndarray:
    """Write a reason for the profiles that need one; `make` takes the place of a profile."""
    reasons = np.full(rows.shape, "", dtype=object)
    for i in np.flatnonzero(rows):
        reasons[i] = make(i)
    return reasons


def stack(profiles: Sequence[Profile]) -> Profiles:
    """Put single profiles, already checked, below each other."""
    width = max([2, *(p.day.size for p in profiles)])
    arrays = {
        name: np.full((len(profiles), width), np.nan) for name in ("day", "level", "lloq")
    }  # fmt: skip
    below = np.zeros((len(profiles), width), dtype=bool)
    seen = np.zeros((len(profiles), width), dtype=bool)
    for i, profile in enumerate(profiles):
        for name, array in arrays.items():
            array[i, : profile.day.size] = getattr(profile, name)
        below[i, : profile.day.size] = profile.below_lloq
        seen[i, : profile.day.size] = profile.detected
    return Profiles(
        **arrays,
        below=below,
        n=np.array([p.day.size for p in profiles], dtype=int),
        patient=tuple(p.patient for p in profiles),
        fault=np.full(len(profiles), "", dtype=object),
        unit=profiles[0].unit if profiles else "",
        seen=seen,
    )


def from_table(table: pd.DataFrame, patients: Sequence[str], unit: str = "") -> Profiles:
    """Sort samples into profiles; what is wrong with a profile becomes its fault.

    Parameters
    ----------
    table : DataFrame
        Columns ``patient``, ``day``, ``level``, ``below_lloq``, ``lloq`` and, where detection was
        told, ``detected``; rows in any order.
    patients : sequence of str
        Profiles wanted, in this order; one without samples is empty.
    unit : str
        Unit of the levels.

    Returns
    -------
    Profiles
        A profile is at fault where a day or a level is no finite number, a day lies before the
        infusion, two samples share a day, a level is negative, or a sample is below a limit that
        is not given.
    """
    place = pd.Index(patients).get_indexer(table["patient"])
    order = np.lexsort((table["day"].to_numpy(float), place))
    order = order[place[order] >= 0]
    row = place[order]
    n = np.bincount(row, minlength=len(patients))
    begin = np.concatenate([[0], np.cumsum(n)])
    position = np.arange(row.size) - begin[row]
    width = max(2, int(n.max(initial=0)))
    arrays = {name: np.full((len(patients), width), np.nan) for name in ("day", "level", "lloq")}
    for name, array in arrays.items():
        array[row, position] = table[name].to_numpy(float)[order]
    below = np.zeros((len(patients), width), dtype=bool)
    below[row, position] = table["below_lloq"].to_numpy(bool)[order]
    seen = None
    if "detected" in table:
        seen = np.zeros_like(below)
        seen[row, position] = table["detected"].to_numpy(bool)[order]
    fault = _faults(arrays["day"], arrays["level"], arrays["lloq"], below, n)
    # A profile at fault keeps no samples: nothing is computed from them.
    kept = np.where(fault == "", n, 0)
    return Profiles(
        **arrays, below=below, n=kept, patient=tuple(map(str, patients)), fault=fault, unit=unit,
        seen=seen,
    )  # fmt: skip


def _faults(
    day: np.ndarray, level: np.ndarray, lloq: np.ndarray, below: np.ndarray, n: np.ndarray
) -> np.ndarray:
    here = np.arange(day.shape[1]) < n[:, None]
    seen = here & ~below
    with np.errstate(invalid="ignore"):
        same = (np.diff(day, axis=1) == 0) & here[:, 1:]
        checks = [
            (here & ~np.isfinite(day), "a day is not a finite number"),
            (here & (day < 0), "a day lies before the infusion"),
            (same, "two samples share a day"),
            (seen & ~np.isfinite(level), "a level is not a finite number"),
            (seen & (level < 0), "a level is negative"),
            (
                here & below & ~((lloq > 0) & (lloq < np.inf)),
                "a sample is below a limit that is not given",
            ),
        ]
    fault = np.full(n.shape, "", dtype=object)
    for wrong, text in reversed(checks):
        fault[wrong.any(axis=1)] = text
    return fault


def with_total(profiles: Profiles, total: Profiles, ties: str) -> Profiles:
    """Tell each profile when, and how high, the total of the same patient peaked."""
    place, known = total.peak(ties), total.missing == ""
    day = np.where(known, total.at(total.day, place), np.nan)
    level = np.where(known, total.at(total.level, place), np.nan)
    return replace(profiles, total_tmax=day, total_level=level)
