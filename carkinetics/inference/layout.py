"""Which samples enter a fit, and where each stands in the arrays of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from carkinetics.cohort import Cohort
from carkinetics.errors import FitError
from carkinetics.model import Model

SUBSETS = ("CD4", "CD8")


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one kind, in arrays; all of shape (sample,).

    Attributes
    ----------
    kind : str
        ``"level"``, ``"share"`` (a CD8 share as a logit) or ``"events"`` (as counts).
    patient : array of int
        Index of the patient.
    row : array of int
        Row of the day in `Layout.days`.
    log_level : array
        ln level; ln LLOQ where ``below``; logit of the CD8 share for a split.
    below : array of bool
        Whether the sample lies below its LLOQ.
    table : DataFrame
        The same samples as they stand in the cohort.
    """

    kind: str
    patient: np.ndarray
    row: np.ndarray
    log_level: np.ndarray
    below: np.ndarray
    table: pd.DataFrame

    @property
    def events(self) -> np.ndarray | None:
        """CAR+ events acquired, where the samples are counts."""
        if self.kind != "events":
            return None
        return self.table["events"].to_numpy(float).round().astype(int)

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, eq=False)
class Layout:
    """All samples of a fit.

    Attributes
    ----------
    patients : tuple of str
        Patients with at least one fitted sample, in the cohort's order.
    cell_types : tuple of str
        What the model is expanded over: ``("CD4", "CD8")`` or ``("total",)``.
    latent_unit : str
        Unit of the latent level: cells/uL, or copies/ug where only qPCR is fitted.
    offsets : array of int, shape (patient + 1,)
        Rows of each patient.
    days : array, shape (row,)
        Visit days, rising within a patient [day].
    flow, split, split_events, qpcr : Samples
        Total flow levels; CD8 shares as logits; CD8 shares as event counts; qPCR levels.
    """

    patients: tuple[str, ...]
    cell_types: tuple[str, ...]
    latent_unit: str
    offsets: np.ndarray
    days: np.ndarray
    flow: Samples
    split: Samples
    split_events: Samples
    qpcr: Samples

    @property
    def assays(self) -> tuple[str, ...]:
        """Assays with at least one fitted sample."""
        return tuple(n for n, s in (("flow", self.flow), ("qpcr", self.qpcr)) if len(s))

    @property
    def linked(self) -> bool:
        """Whether qPCR levels are predicted from a curve in cells/uL."""
        return len(self.flow) > 0 and len(self.qpcr) > 0


def lay_out(cohort: Cohort, model: Model, assays: Sequence[str] | None = None) -> Layout:
    """Arrange the samples of a cohort for a fit.

    Parameters
    ----------
    cohort : Cohort
        Checked levels and patients.
    model : Model
        Decides, with the data, whether CD4 and CD8 are modeled apart.
    assays : sequence of str, optional
        Use only these assays.

    Returns
    -------
    Layout

    Raises
    ------
    FitError
        If no sample is left to fit.
    """
    levels = cohort.samples(fitted=True)
    if assays is not None:
        unknown = sorted(set(assays) - {"flow", "qpcr"})
        if unknown:
            raise FitError(f"assays: unknown {unknown}; choose from 'flow' and 'qpcr'.")
        levels = levels[levels["assay"].isin(assays)]
    flow = levels[(levels["assay"] == "flow") & (levels["cell_type"] == "total")]
    qpcr = levels[(levels["assay"] == "qpcr") & (levels["cell_type"] == "total")]
    if flow.empty and qpcr.empty:
        raise FitError(
            f"cohort {cohort.name}: no sample of total CAR+ cells (flow) or of the transgene "
            "(qpcr) after the infusion. Add such rows, or name other assays."
        )
    pairs = _pairs(levels, flow) if "CD4" in model.cell_types else _no_pairs()
    cell_types = SUBSETS if len(pairs) else ("total",)
    used = pd.concat([flow, qpcr])
    patients = tuple(p for p in cohort.patient_ids if p in set(used["patient"]))
    visits = used[["patient", "day"]].drop_duplicates()
    visits = visits.assign(index=visits["patient"].map({p: i for i, p in enumerate(patients)}))
    visits = visits.sort_values(["index", "day"]).reset_index(drop=True)
    row_of = {key: i for i, key in enumerate(zip(visits["index"], visits["day"], strict=True))}
    arrange = _Arranger({p: i for i, p in enumerate(patients)}, row_of)
    counted = pairs["events"].notna() & pairs["events_cd8"].notna()
    return Layout(
        patients=patients,
        cell_types=cell_types,
        latent_unit="cells/uL" if len(flow) else "copies/ug",
        offsets=np.searchsorted(visits["index"], np.arange(len(patients) + 1)),
        days=visits["day"].to_numpy(float),
        flow=arrange.levels(flow),
        split=arrange.shares(pairs[~counted], "share"),
        split_events=arrange.shares(pairs[counted], "events"),
        qpcr=arrange.levels(qpcr),
    )


@dataclass(frozen=True)
class _Arranger:
    index: dict[str, int]
    row_of: dict[tuple[int, float], int]

    def _places(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        patient = table["patient"].map(self.index).to_numpy(int)
        rows = [self.row_of[key] for key in zip(patient, table["day"], strict=True)]
        return patient, np.array(rows, dtype=int)

    def levels(self, table: pd.DataFrame) -> Samples:
        table = table.reset_index(drop=True)
        below = table["below_lloq"].to_numpy(bool)
        value = np.where(below, table["lloq"], table["level"]).astype(float)
        return Samples("level", *self._places(table), np.log(value), below, table)

    def shares(self, table: pd.DataFrame, kind: str) -> Samples:
        table = table.reset_index(drop=True)
        # Counted samples may hold a subset of zero, whose logit is never used.
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.log(table["CD8"].to_numpy(float)) - np.log(table["CD4"].to_numpy(float))
        return Samples(kind, *self._places(table), value, np.zeros(len(table), bool), table)


def _pairs(levels: pd.DataFrame, flow: pd.DataFrame) -> pd.DataFrame:
    """CD4 and CD8 of the same draw, where the total is quantifiable and both are positive."""
    subset = levels[(levels["assay"] == "flow") & levels["cell_type"].isin(SUBSETS)]
    wide = subset.pivot(index=["patient", "day"], columns="cell_type", values="level")
    wide = wide.reindex(columns=list(SUBSETS)).dropna()
    columns = ["patient", "day", "events", "events_cd8"]
    totals = flow.loc[~flow["below_lloq"], columns].set_index(["patient", "day"])
    pairs = wide.join(totals, how="inner").reset_index()
    # A subset of exactly zero has no logit; with event counts it is data all the same.
    counted = pairs["events"].notna() & pairs["events_cd8"].notna()
    return pairs[((pairs["CD4"] > 0) & (pairs["CD8"] > 0)) | counted].reset_index(drop=True)


def _no_pairs() -> pd.DataFrame:
    columns = ["patient", "day", "CD4", "CD8", "events", "events_cd8"]
    return pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
