"""`nca`: quantities of every patient, cell type by cell type, straight from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental.families import find_observed
from carkinetics.noncompartmental.plain_table import TableFacts, profiles_of_table
from carkinetics.noncompartmental.profiles import Column, stack, with_total
from carkinetics.noncompartmental.result import ObservedExposure, Part
from carkinetics.noncompartmental.rules import Rules, rules_from
from carkinetics.noncompartmental.select import cohort_profiles

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.noncompartmental.profile import Measured, Profile
    from carkinetics.quantities import Quantity

DEFAULT = ("cmax", "tmax", "auc_0_28", "clast", "tlast", "mean_level")
_PREDICTED = {"AUCIFO": "AUCIFP", "AUCPEO": "AUCPEP"}


def nca(
    data: Cohort | pd.DataFrame,
    quantities: Sequence[str] = DEFAULT,
    *,
    assay: str = "flow",
    cell_types: Sequence[str] | str | None = None,
    rules: object = "default",
) -> ObservedExposure:
    """Compute quantities straight from samples, without a model (noncompartmental analysis).

    Parameters
    ----------
    data : Cohort or DataFrame
        Levels and patients; samples before the infusion are left out. Or a plain table with
        ``patient``, ``day`` [day] and ``level``, and where there are any ``lloq``,
        ``below_lloq``, ``lod``, ``detected``, ``unit``, ``assay``, ``cell_type``; its rows may
        stand in any order.
    quantities : sequence of str
        ``"cmax"``, ``"tmax"``, ``"auc_<day>_<day>"``, ``"auclast"``, ``"aucall"``, ``"aucinf"``,
        ``"auc_extrapolated"``, ``"clast"``, ``"clast_predicted"``, ``"tlast"``,
        ``"blq_confirmed"``, ``"mean_level"``, ``"doubling_time"``, ``"contraction_half_life"``,
        ``"terminal_half_life"``, ``"lambda_z"``, ``"half_life"``, ``"level_<day>"``,
        ``"slope_<day>_<day>"``, ``"detectable_<day>"``, ``"time_above"``,
        ``"time_above_<level>"``, ``"level_at_total_peak"``, ``"share_at_total_peak"``,
        ``"auc_to_onset"``, ``"slope_to_onset"``.

    Returns
    -------
    ObservedExposure
        A number for each patient and quantity, or the reason why there is none.

    Other Parameters
    ----------------
    assay : str
        ``"flow"`` or ``"qpcr"``; assays are never mixed.
    cell_types : sequence of str, optional
        ``"CD4"``, ``"CD8"``, ``"total"``; those of the assay by default. A subset without a
        limit of its own counts as below the limit where the total of the same sample does.
    rules : Rules, str or mapping
        Rules N-01 to N-14: a preset (``"default"``, ``"pknca-like"``, ``"winnonlin-like"``), or
        changes to the default by name, such as ``{"N-04": "linear"}``.

    Raises
    ------
    DataError
        For an unknown quantity or rule, mixed units, or samples that are not there. A profile
        that makes no sense (two samples of a day, a level that is not finite, ...) does not
        raise: its numbers are missing, with the reason.

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> found = nca(synthetic_cohort(), ["tmax"], cell_types="total")
    >>> float(found.table()["value"].median())
    14.0
    """
    chosen = rules_from(rules)
    names = (quantities,) if isinstance(quantities, str) else tuple(dict.fromkeys(quantities))
    if not names:
        raise DataError(Fault("nca", "no quantity", f"Name some of {', '.join(DEFAULT)}."))
    found = {name: _coded(find_observed(name), chosen) for name in names}
    wanted = (cell_types,) if isinstance(cell_types, str) else cell_types
    if isinstance(data, pd.DataFrame):
        stacked = profiles_of_table(data, assay, wanted)
        about: Any = TableFacts(data)
    else:
        cells = tuple(wanted) if wanted is not None else data.cell_types(assay) or ("total",)
        about = data
        stacked = {c: cohort_profiles(data, assay, c) for c in cells}
        if any(q.needs == "total" for q in found.values()):
            total = stacked.get("total")
            total = cohort_profiles(data, assay, "total") if total is None else total
            stacked = {c: with_total(p, total, chosen.tmax_ties) for c, p in stacked.items()}
    parts = tuple(
        Part(cell, profiles, {n: q.compute(profiles, chosen) for n, q in found.items()})
        for cell, profiles in stacked.items()
    )
    return ObservedExposure(parts, found, assay, chosen, about)


def _coded(quantity: Quantity, rules: Rules) -> Quantity:
    """Give the code of areas extrapolated from the predicted Clast, where the rules say so."""
    if rules.clast == "observed":
        return quantity
    return replace(quantity, cdisc=_PREDICTED.get(quantity.cdisc, quantity.cdisc))


def measure(name: str, profile: Profile, rules: object = "default") -> Measured:
    """Compute one quantity of one profile.

    Parameters
    ----------
    name : str
        As for `nca`.
    profile : Profile
        Samples of one patient.
    rules : Rules, str or mapping
        The choices behind the number.

    Returns
    -------
    Measured

    Examples
    --------
    >>> from carkinetics.noncompartmental import Profile
    >>> measure("cmax", Profile(day=[3, 7, 14], level=[1.0, 80.0, 20.0])).value
    80.0
    """
    found: Column = find_observed(name).compute(stack([profile]), rules_from(rules))
    return found.only()


def auc(
    profile: Profile,
    rules: Rules | None = None,
    start: float = 0.0,
    end: float = 28.0,
) -> Measured:
    """Compute the area under the samples of one profile in a window.

    Parameters
    ----------
    profile : Profile
        Samples of one patient.
    rules : Rules
        The choices behind the number.
    start, end : float
        The window [day].

    Returns
    -------
    Measured
        Area [unit * day]; see `area_in_window`.

    Examples
    --------
    >>> from carkinetics.noncompartmental import Profile
    >>> round(auc(Profile(day=[14, 30], level=[100.0, 50.0])).value, 3)
    1749.696
    """
    from carkinetics.noncompartmental.areas import area_in_window

    return area_in_window(stack([profile]), rules_from(rules or "default"), start, end).only()


def observed_quantities(
    cohort: Cohort,
    assay: str = "flow",
    cell_type: str = "total",
    quantities: Sequence[str] = DEFAULT,
    rules: object = "default",
) -> pd.DataFrame:
    """Compute quantities straight from the samples of every patient, one row per patient.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients; samples before the infusion are left out.
    assay : str
        ``"flow"`` or ``"qpcr"``; assays are never mixed.
    cell_type : str
        ``"total"``, ``"CD4"`` or ``"CD8"``. Its Cmax is its own; for the level at the peak of
        the total see ``"level_at_total_peak"``.
    quantities : sequence of str
        As for `nca`, which gives more than this table.
    rules : Rules, str or mapping
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
    found = nca(cohort, quantities, assay=assay, cell_types=cell_type, rules=rules)
    return found.wide(cell_type)


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
    found = nca(
        cohort, ["tmax", "level_at_total_peak"], assay=assay, rules={"subset_at": at},
        cell_types=("CD4", "CD8", "total"),
    )  # fmt: skip
    parts: dict[str, Any] = {part.cell_type: part for part in found.parts}
    total = parts["total"].profiles
    days = parts["total"].columns["tmax"].value
    columns = {cell: parts[cell].columns["level_at_total_peak"] for cell in ("CD4", "CD8")}
    reasons = []
    for i, missing in enumerate(total.missing):
        said = [f"{cell}: {c.reason[i]}" for cell, c in columns.items() if c.reason[i]]
        reasons.append(str(missing) or "; ".join(said))
    levels = {cell: c.value for cell, c in columns.items()}
    return pd.DataFrame(
        {"patient": total.patient, "at": at, "unit": total.unit, "day": days}
        | levels
        | {"reason": reasons}
    )
