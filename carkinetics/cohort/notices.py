"""What was accepted, counted and is shown: nothing is dropped or changed in silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


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
        return self.text


def notice(kind: str, rows: pd.DataFrame, text: str) -> Notice:
    """Notice about samples: the count is that of the rows."""
    patients = tuple(sorted(rows["patient"].unique()))
    return Notice(kind, len(rows), patients, f"{len(rows)} {text} ({named(patients)})")


def about_patients(kind: str, patients: object, text: str) -> Notice:
    """Notice about patients: the count is theirs."""
    ids = tuple(sorted(str(patient) for patient in patients))
    word = "patient" if len(ids) == 1 else "patients"
    return Notice(kind, len(ids), ids, f"{len(ids)} {word} {text}: {named(ids)}")


def named(patients: tuple[str, ...], most: int = 5) -> str:
    """List up to five patients by name and count the rest."""
    shown = ", ".join(patients[:most])
    rest = len(patients) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def derived_notices(levels: pd.DataFrame, patients: pd.DataFrame) -> tuple[Notice, ...]:
    """Notices that follow from the two tables alone."""
    found = [
        *_about_samples(levels),
        *_about_outcomes(patients),
    ]
    if "os_day" in patients.columns:
        last = levels["patient"].map(patients.set_index("patient")["os_day"])
        after = levels[levels["day"] > last.astype(float)]
        found.append(notice("after_follow_up", after, "samples lie after the last day of follow-up"))
    return tuple(item for item in found if item.count)


def _about_samples(levels: pd.DataFrame) -> list[Notice]:
    found = [notice("baseline_samples", levels[levels["baseline"]], "samples before infusion, kept but not fitted")]
    used = levels[~levels["baseline"]]
    whole = used[used["cell_type"] == "total"]
    everyone = set(levels["patient"])
    for assay in levels["assay"].unique():
        here = whole[whole["assay"] == assay].groupby("patient", sort=False)["below_lloq"]
        silent, counts = here.all(), here.size()
        found.append(
            about_patients(
                "all_below_lloq",
                silent.index[silent.to_numpy()],
                f"with every {assay} sample below LLOQ",
            )
        )
        found.append(
            about_patients(
                "single_sample", counts.index[counts.to_numpy() == 1], f"with one {assay} sample"
            )
        )
        found.append(
            about_patients("no_samples", everyone - set(counts.index), f"without {assay} samples")
        )
    return found


def _about_outcomes(patients: pd.DataFrame) -> list[Notice]:
    def column(name: str) -> np.ndarray:
        if name not in patients.columns:
            return np.full(len(patients), np.nan)
        return patients[name].to_numpy(dtype=float, na_value=np.nan)

    onset, grade = column("crs_onset_day"), column("crs_grade")
    day, syndrome = column("iec_hs_day"), column("iec_hs")
    rules = {
        "have a day of CRS onset but no CRS grade above 0": ~np.isnan(onset) & ~(grade > 0),
        "have a day of IEC-HS but no IEC-HS": ~np.isnan(day) & ~(syndrome > 0),
        "progressed after their last day of follow-up": column("ttp_day") > column("os_day"),
        "have PFS longer than OS": column("pfs_day") > column("os_day"),
        "have PFS longer than the time to progression": (column("progressed") == 1)
        & (column("pfs_day") > column("ttp_day")),
    }
    return [
        about_patients("contradictory_outcomes", patients["patient"][mask], text)
        for text, mask in rules.items()
    ]
