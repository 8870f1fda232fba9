"""One row per patient: the quantities of a whole cohort, straight from its samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.nca.area import auc
from carkinetics.nca.peak import OBSERVED
from carkinetics.nca.profile import DEFAULT_RULES, Measured, Profile, Rules

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_WINDOW = re.compile(r"auc_(\d+)_(\d+)")
_DEFAULT = ("cmax", "tmax", "auc_0_28", "clast", "tlast", "mean_level")


def observed_quantities(
    cohort: Cohort,
    assay: str = "flow",
    cell_type: str = "total",
    quantities: Sequence[str] = _DEFAULT,
    rules: Rules = DEFAULT_RULES,
) -> pd.DataFrame:
    """Compute quantities straight from the samples of every patient.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients; samples before the infusion are left out.
    assay : str
        ``"flow"`` or ``"qpcr"``; assays are never mixed.
    cell_type : str
        ``"total"``, ``"CD4"`` or ``"CD8"``. A subset without a limit of its own counts as below
        the limit where the total of the same sample does. Its Cmax is its own; for its
        level at the peak of the total see `subset_at_peak`.
    quantities : sequence of str
        Names of `OBSERVED`, or ``"auc_<first day>_<last day>"``.
    rules : Rules
        The choices behind the numbers.

    Returns
    -------
    DataFrame
        One row per patient of the cohort: ``patient``, ``cell_type``, ``assay``, ``unit``,
        ``n_samples``, ``n_blq``; for each quantity ``observed_<name>`` (NaN where missing) and
        ``observed_<name>_reason`` (empty where present); and the flags of the quantities.
        ``observed_cmax_below`` holds the limit for a patient wholly below it.

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> table = observed_quantities(synthetic_cohort())
    >>> float(table["observed_tmax"].median())
    14.0
    """
    functions = {name: _function(name) for name in quantities}
    rows = []
    for profile in profiles(cohort, assay, cell_type):
        row: dict[str, object] = {
            "patient": profile.patient,
            "cell_type": cell_type,
            "assay": assay,
            "unit": profile.unit,
            "n_samples": profile.day.size,
            "n_blq": int(profile.below_lloq.sum()),
        }
        flags: dict[str, object] = {}
        for name, compute in functions.items():
            measured = compute(profile, rules)
            row[f"observed_{name}"] = measured.value
            row[f"observed_{name}_reason"] = measured.reason
            flags |= measured.flags
        rows.append(row | flags)
    return pd.DataFrame(rows)


def _function(name: str) -> Callable[[Profile, Rules], Measured]:
    if name in OBSERVED:
        return OBSERVED[name].compute
    window = _WINDOW.fullmatch(name)
    if window is None or int(window[1]) >= int(window[2]):
        known = ", ".join([*OBSERVED, "auc_<first day>_<last day>"])
        raise DataError(Fault(f"quantity {name!r}", "is unknown", f"Choose from {known}."))
    start, end = float(window[1]), float(window[2])
    return lambda profile, rules: auc(profile, rules, start, end)


def profiles(cohort: Cohort, assay: str, cell_type: str) -> Iterator[Profile]:
    """Give the samples of one assay and cell type, patient by patient.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay, cell_type : str
        Which samples.

    Yields
    ------
    Profile
        One per patient of the cohort, empty where the patient has no such sample.
    """
    levels = cohort.levels
    of_assay = levels[(levels["assay"] == assay) & ~levels["baseline"].astype(bool)]
    wanted = of_assay[of_assay["cell_type"] == cell_type]
    units = sorted(set(wanted["unit"]))
    if len(units) != 1:
        what, remedy = f"units {units} are mixed", "One assay has one unit; see cohort.levels."
        if not units:
            known = sorted({f"{a}, {c}" for a in cohort.assays for c in cohort.cell_types(a)})
            what, remedy = "there are no samples", f"The cohort has {'; '.join(known)}."
        raise DataError(Fault(f"{cohort.name}: {assay}, {cell_type}", what, remedy))
    if cell_type != "total":
        wanted = _limited_by_total(wanted, of_assay[of_assay["cell_type"] == "total"])
    by_patient = dict(tuple(wanted.groupby("patient", sort=False)))
    for patient in cohort.patient_ids:
        rows = by_patient.get(patient, wanted.iloc[:0]).sort_values("day")
        yield Profile(
            rows["day"].to_numpy(float),
            rows["level"].to_numpy(float),
            rows["below_lloq"].to_numpy(bool),
            rows["lloq"].to_numpy(float),
            units[0],
            str(patient),
        )


def _limited_by_total(subset: pd.DataFrame, total: pd.DataFrame) -> pd.DataFrame:
    """Call a subset without a limit of its own unquantifiable where its total is.

    The total's limit bounds the subset too, since a part is never larger than the whole.
    """
    limits = total[["patient", "day", "below_lloq", "lloq"]]
    both = subset.merge(limits, on=["patient", "day"], how="left", suffixes=("", "_total"))
    hidden = both["lloq"].isna() & both["below_lloq_total"].eq(True)
    both["below_lloq"] = both["below_lloq"].astype(bool) | hidden
    both.loc[hidden, "lloq"] = both.loc[hidden, "lloq_total"]
    return both[list(subset.columns)]


def subset_at_peak(cohort: Cohort, assay: str = "flow", at: str = "total_peak") -> pd.DataFrame:
    """Take CD4 and CD8 levels at the peak of expansion.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay : str
        An assay that tells the cell types apart.
    at : {"total_peak", "own_peak"}
        At the day of the total's highest level, or each at its own.

    Returns
    -------
    DataFrame
        One row per patient: ``patient``, ``at``, ``unit``, ``day`` (of the total's peak) [day],
        ``CD4``, ``CD8`` [unit], NaN where missing, and ``reason``.
    """
    if at not in ("total_peak", "own_peak"):
        raise DataError(Fault("at", f"{at!r} is unknown", "Choose total_peak or own_peak."))
    subsets = {name: tuple(profiles(cohort, assay, name)) for name in ("CD4", "CD8")}
    rows = []
    for i, total in enumerate(profiles(cohort, assay, "total")):
        day = OBSERVED["tmax"].compute(total).value
        row = {"patient": total.patient, "at": at, "unit": total.unit, "day": day}
        reasons = [total.missing]
        for name, all_patients in subsets.items():
            found = _level_at(all_patients[i], day if at == "total_peak" else None)
            row[name] = found.value
            reasons.append(f"{name}: {found.reason}" if found.reason and not total.missing else "")
        rows.append(row | {"reason": "; ".join(filter(None, reasons))})
    return pd.DataFrame(rows)


def _level_at(profile: Profile, day: float | None) -> Measured:
    if day is None:
        return OBSERVED["cmax"].compute(profile)
    if profile.missing:
        return Measured(np.nan, profile.missing)
    here = np.flatnonzero((profile.day == day) & ~profile.below_lloq)
    if here.size == 0:
        return Measured(np.nan, f"no quantifiable sample on day {day:g}")
    return Measured(float(profile.level[here[0]]))
