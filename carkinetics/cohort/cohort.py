"""The frozen pair of tables that everything else starts from."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from carkinetics.cohort.notices import DERIVED_KINDS, Notice, derived_notices
from carkinetics.errors import DataError, Fault

_CELL_TYPES = ("CD4", "CD8", "total")


@dataclass(frozen=True, eq=False, repr=False)
class Cohort:
    """Levels and outcomes of the patients of one trial, checked.

    Made by `read_cohort` or `synthetic_cohort`. The two tables are the cohort's own copies; treat
    them as read-only and take `.copy()` before changing one, or the hash and the notices no longer
    describe them.

    Parameters
    ----------
    levels : pandas.DataFrame
        One row per sample, sorted by patient, day, assay and cell type. Columns: `patient`, `day`
        (from infusion), `assay` ("flow", "qpcr"), `cell_type` ("CD4", "CD8", "total"), `level` and
        `lloq` in `unit` (cells/uL, copies/ug; NaN = none, a level only where `below_lloq`),
        `below_lloq`, `baseline` (day < 0: kept, never fitted), `wbc_per_ul`, `cd3_per_ul` (cells
        per uL of the same draw), `events`, `events_cd8` (CAR+ events acquired), `dna_ug` and `row`
        (line of the file). CD4 and CD8 flow rows without LLOQ are the split of the total. Where
        the table says anything of detection, also `lod` [`unit`] and `detected`: cells were seen,
        whether they could be counted or not.
    patients : pandas.DataFrame
        One row per patient, sorted. Column `patient`; where given `ttp_day`, `progressed`,
        `pfs_day`, `pfs_event`, `os_day`, `died`, `crs_grade` (0-5), `crs_onset_day`,
        `icans_grade`, `iec_hs`, `iec_hs_day`, `response`, `product_cd4_share` (0-1) and `dose`;
        every other column is a covariate.
    name : str
        Name of the cohort.
    synthetic : bool
        Whether the tables say that they are not of patients.
    notices : tuple of Notice
        What was accepted, with counts.
    """

    levels: pd.DataFrame
    patients: pd.DataFrame
    name: str = "cohort"
    synthetic: bool = False
    notices: tuple[Notice, ...] = field(default=())

    def __post_init__(self) -> None:
        """Copy both tables, so that a caller who changes theirs does not change ours."""
        object.__setattr__(self, "levels", self.levels.copy())
        object.__setattr__(self, "patients", self.patients.copy())

    @cached_property
    def patient_ids(self) -> tuple[str, ...]:
        """The patients, in the order of both tables."""
        return tuple(self.patients["patient"])

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(self.patients)

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of both tables as CSV; lines of files do not count."""
        digest = hashlib.sha256()
        for table in (self.levels.drop(columns="row", errors="ignore"), self.patients):
            digest.update(table.to_csv(index=False, lineterminator="\n").encode())
        return digest.hexdigest()

    @cached_property
    def assays(self) -> tuple[str, ...]:
        """Assays with at least one sample."""
        return tuple(sorted(self.levels["assay"].unique()))

    def cell_types(self, assay: str) -> tuple[str, ...]:
        """Cell types with at least one sample of an assay."""
        found = set(self.levels.loc[self.levels["assay"] == assay, "cell_type"])
        return tuple(name for name in _CELL_TYPES if name in found)

    def samples(
        self, assay: str | None = None, cell_type: str | None = None, fitted: bool = True
    ) -> pd.DataFrame:
        """Copy of some of the samples.

        Parameters
        ----------
        assay, cell_type : str, optional
            Only these samples.
        fitted : bool
            Only samples that a fit uses: those before infusion are left out.

        Returns
        -------
        pandas.DataFrame
            Columns of `levels`, rows numbered from 0.
        """
        keep = pd.Series(True, index=self.levels.index)
        if assay is not None:
            keep &= self.levels["assay"] == assay
        if cell_type is not None:
            keep &= self.levels["cell_type"] == cell_type
        if fitted:
            keep &= ~self.levels["baseline"]
        return self.levels[keep].reset_index(drop=True)

    def select(self, patients: Iterable[str]) -> Cohort:
        """Keep some patients, in the order of the cohort.

        Raises
        ------
        DataError
            If a patient is not in the cohort.
        """
        wanted = {patients} if isinstance(patients, str) else {str(patient) for patient in patients}
        unknown = sorted(wanted - set(self.patient_ids))
        if unknown:
            raise DataError([_unknown(self.name, name, self.patient_ids) for name in unknown])
        levels = self.levels[self.levels["patient"].isin(wanted)].reset_index(drop=True)
        table = self.patients[self.patients["patient"].isin(wanted)].reset_index(drop=True)
        derived = derived_notices(levels, table)
        kept = [_narrow(item, wanted) for item in self.notices if item.kind not in DERIVED_KINDS]
        notices = (*(item for item in kept if item is not None), *derived)
        return replace(self, levels=levels, patients=table, notices=notices)

    def __repr__(self) -> str:
        """Describe the cohort in a few lines."""
        from carkinetics.cohort.display import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from carkinetics.cohort.display import as_html

        return as_html(self)


def _unknown(cohort: str, name: str, known: tuple[str, ...]) -> Fault:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    what = f"no patient {name!r}{hint}"
    return Fault(f"cohort {cohort}", what, "See cohort.patient_ids.", patient=name)


def _narrow(item: Notice, wanted: set[str]) -> Notice | None:
    """Notice of the reading, for some of the patients; its text still counts the whole cohort."""
    if not item.patients:
        return item
    left = tuple(patient for patient in item.patients if patient in wanted)
    if not left:
        return None
    text = item.text if left == item.patients else f"{item.text}, counted in the whole cohort"
    return replace(item, patients=left, text=text)
