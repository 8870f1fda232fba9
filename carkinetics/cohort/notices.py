"""What was accepted, counted and is shown: nothing is dropped or changed in silence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Kinds that follow from the two tables, and are found anew in a part of a cohort.
DERIVED_KINDS = frozenset(
    {
        "baseline_samples",
        "all_below_lloq",
        "single_sample",
        "no_samples",
        "without_levels",
        "after_follow_up",
        "contradictory_outcomes",
    }
)


@dataclass(frozen=True)
class Notice:
    """One kind of accepted thing.

    Parameters
    ----------
    kind : str
        Short name, such as ``"baseline_samples"``.
    count : int
        How many samples, patients or columns it concerns.
    patients : tuple of str
        The patients concerned; empty where it is not about patients.
    text : str
        The sentence shown, count included.
    """

    kind: str
    count: int
    patients: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


def notice(kind: str, rows: pd.DataFrame, text: str) -> Notice:
    """Make a notice about samples; its count is theirs."""
    patients = tuple(sorted(rows["patient"].unique()))
    size = f"{_counted(len(rows), 'sample')} of {_counted(len(patients), 'patient')}"
    return Notice(kind, len(rows), patients, f"{text}: {size} ({named(patients)})")


def about_patients(kind: str, patients: Iterable[str], text: str) -> Notice:
    """Make a notice about patients; its count is theirs."""
    ids = tuple(sorted(patients))
    return Notice(kind, len(ids), ids, f"{text}: {_counted(len(ids), 'patient')} ({named(ids)})")


def named(patients: tuple[str, ...], most: int = 5) -> str:
    """List up to five patients by name and count the rest."""
    shown = ", ".join(patients[:most])
    rest = len(patients) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def derived_notices(levels: pd.DataFrame, patients: pd.DataFrame) -> tuple[Notice, ...]:
    """Find what follows from the two tables of a cohort alone."""
    found = [*_about_samples(levels), *_about_outcomes(patients)]
    silent = set(patients["patient"]) - set(levels["patient"].unique())
    found.append(about_patients("without_levels", silent, "without any level"))
    if "os_day" in patients.columns:
        last = patients.set_index("patient")["os_day"].astype(float)
        after = levels[levels["day"] > levels["patient"].map(last)]
        found.append(notice("after_follow_up", after, "levels after the last day of follow-up"))
    return tuple(item for item in found if item.count)


def _about_samples(levels: pd.DataFrame) -> list[Notice]:
    before = levels[levels["baseline"]]
    found = [notice("baseline_samples", before, "levels before infusion, kept but not fitted")]
    whole = levels[~levels["baseline"] & (levels["cell_type"] == "total")]
    everyone = set(levels["patient"].unique())
    for assay in levels["assay"].unique():
        here = whole[whole["assay"] == assay].groupby("patient", sort=False)["below_lloq"]
        silent, counts = here.all(), here.size()
        by_kind = {
            ("all_below_lloq", f"every {assay} total below LLOQ"): silent.index[silent.to_numpy()],
            ("single_sample", f"one {assay} total only"): counts.index[counts.to_numpy() == 1],
            ("no_samples", f"no {assay} total to fit"): everyone - set(counts.index),
        }
        found += [about_patients(kind, ids, text) for (kind, text), ids in by_kind.items()]
    return found


def _about_outcomes(patients: pd.DataFrame) -> list[Notice]:
    """Find outcomes that contradict each other; which one is wrong, only the user knows."""

    def column(name: str) -> np.ndarray:
        if name not in patients.columns:
            return np.full(len(patients), np.nan)
        return patients[name].to_numpy(dtype=float, na_value=np.nan)

    onset, grade = column("crs_onset_day"), column("crs_grade")
    day, syndrome = column("iec_hs_day"), column("iec_hs")
    ttp, pfs, end = column("ttp_day"), column("pfs_day"), column("os_day")
    rules = {
        "day of CRS onset but no CRS grade above 0": ~np.isnan(onset) & ~(grade > 0),
        "day of IEC-HS but IEC-HS is not true": ~np.isnan(day) & ~(syndrome > 0),
        "time to progression longer than overall survival": ttp > end,
        "progression-free survival longer than overall survival": pfs > end,
        "progression before the end of progression-free survival": (column("progressed") == 1)
        & (pfs > ttp),
    }
    return [
        about_patients("contradictory_outcomes", patients["patient"][mask], text)
        for text, mask in rules.items()
    ]
