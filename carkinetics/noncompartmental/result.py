"""`ObservedExposure`: what `nca` found, and the tables made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental.profiles import Column, Profiles
from carkinetics.noncompartmental.rules import Rules
from carkinetics.noncompartmental.summary import summarize_column
from carkinetics.quantities.cdisc import adpp_table, pp_table, table_html, table_latex

if TYPE_CHECKING:
    from carkinetics.quantities import Quantity
    from carkinetics.quantities.why import Why


@dataclass(frozen=True, eq=False)
class Part:
    """The numbers of one cell type.

    Parameters
    ----------
    cell_type : str
        ``"CD4"``, ``"CD8"`` or ``"total"``.
    profiles : Profiles
        The samples.
    columns : mapping of str to Column
        By name of the quantity.
    """

    cell_type: str
    profiles: Profiles
    columns: Mapping[str, Column]


@dataclass(frozen=True, eq=False, repr=False)
class ObservedExposure:
    """Quantities straight from samples, with reasons and flags.

    Made by `nca`.

    Parameters
    ----------
    parts : tuple of Part
        One per cell type.
    quantities : mapping of str to Quantity
        By name.
    assay : str
        ``"flow"`` or ``"qpcr"``.
    rules : Rules
        The choices behind the numbers.
    source : object
        The cohort, or what is known of a plain table: ``name``, ``data_hash``, ``synthetic``.
    """

    parts: tuple[Part, ...]
    quantities: Mapping[str, Quantity]
    assay: str
    rules: Rules
    source: Any

    @property
    def synthetic(self) -> bool:
        """Whether the patients are invented."""
        return bool(self.source.synthetic)

    def table(self) -> pd.DataFrame:
        """Give one row per patient, cell type and quantity.

        Returns
        -------
        DataFrame
            ``patient``, ``cell_type``, ``assay``, ``quantity``, ``label``, ``value`` (NaN where
            missing), ``unit``, ``reason`` (empty where there is a value), ``below`` (limit that
            a missing Cmax is known to lie under) and ``flags``, in words.
        """
        tables = [
            pd.DataFrame(
                {
                    "patient": part.profiles.patient,
                    "cell_type": part.cell_type,
                    "assay": self.assay,
                    "quantity": name,
                    "label": self.quantities[name].label,
                    "value": column.value,
                    "unit": self.quantities[name].unit(part.profiles.unit),
                    "reason": column.reason,
                    "below": column.flags.get("observed_cmax_below", np.nan)
                    if name == "cmax"
                    else np.nan,
                    "flags": _in_words(column, len(part.profiles)),
                }
            )
            for part in self.parts
            for name, column in part.columns.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def wide(self, cell_type: str = "total") -> pd.DataFrame:
        """Give one row per patient, for one cell type.

        Parameters
        ----------
        cell_type : str
            Which of the cell types.

        Returns
        -------
        DataFrame
            ``patient``, ``cell_type``, ``assay``, ``unit``, ``n_samples``, ``n_blq``; for each
            quantity ``observed_<name>`` and ``observed_<name>_reason``; and the flags.
        """
        part = self._part(cell_type)
        profiles = part.profiles
        columns: dict[str, Any] = {
            "patient": profiles.patient,
            "cell_type": cell_type,
            "assay": self.assay,
            "unit": profiles.unit,
            "n_samples": profiles.n,
            "n_blq": (profiles.below & profiles.sampled).sum(axis=1),
        }
        flags: dict[str, np.ndarray] = {}
        for name, column in part.columns.items():
            columns[f"observed_{name}"] = column.value
            columns[f"observed_{name}_reason"] = column.reason
            flags |= column.flags
        return pd.DataFrame(columns | flags)

    def summary(self) -> pd.DataFrame:
        """Summarize the patients by rules N-13 and N-14.

        Returns
        -------
        DataFrame
            One row per cell type and quantity: ``n`` contributing, ``n_missing``, ``n_below``
            (known only to lie under a limit), ``n_zero`` (of ``n``: 0 has no logarithm and is left
            out of the geometric mean), ``geometric_mean`` and ``gcv_percent`` (levels and
            areas; of left-censored values by maximum likelihood of a lognormal), ``mean``,
            ``sd`` (otherwise), ``median``, ``lowest``, ``highest``, ``unit``.
        """
        rows = [
            {"cell_type": part.cell_type, "assay": self.assay}
            | summarize_column(self.quantities[name], column, part.profiles.unit, self.rules)
            for part in self.parts
            for name, column in part.columns.items()
        ]
        return pd.DataFrame(rows)

    def why(self, patient: str, quantity: str, cell_type: str = "total") -> Why:
        """Trace one number to its samples, rules and data hash.

        Parameters
        ----------
        patient, quantity, cell_type : str
            The cell of the table.

        Returns
        -------
        Why
            With the samples, and what each of them counted as.
        """
        from carkinetics.noncompartmental.trace import trace

        return trace(self, patient, quantity, self._part(cell_type))

    def to_pp(self, study: str = "") -> pd.DataFrame:
        """Arrange the numbers as a CDISC PP-like table.

        Parameters
        ----------
        study : str
            ``STUDYID``; the name of the cohort when left out.

        Returns
        -------
        DataFrame
            One row per patient, cell type and quantity.
        """
        return pp_table(self._for_export(), study or self.source.name, self.synthetic)

    def to_adpp(self, study: str = "") -> pd.DataFrame:
        """Arrange the numbers as a CDISC ADPP-like table.

        Parameters
        ----------
        study : str
            ``STUDYID``; the name of the cohort when left out.

        Returns
        -------
        DataFrame
            One row per patient, cell type and quantity.
        """
        return adpp_table(self._for_export(), study or self.source.name, self.synthetic)

    def to_latex(self) -> str:
        """Write the summary as LaTeX.

        Returns
        -------
        str
            A ``tabular`` in a ``table``, its caption saying what it is.
        """
        return table_latex(_printable(self.summary()), self._heading())

    def to_html(self) -> str:
        """Write the summary as HTML.

        Returns
        -------
        str
            A ``table`` with a caption.
        """
        return table_html(_printable(self.summary()), self._heading())

    def _part(self, cell_type: str) -> Part:
        for part in self.parts:
            if part.cell_type == cell_type:
                return part
        known = ", ".join(part.cell_type for part in self.parts)
        raise DataError(Fault("nca", f"no cell type {cell_type!r}", f"Choose from {known}."))

    def _for_export(self) -> pd.DataFrame:
        table = self.table().rename(columns={"flags": "note"})
        table = table.assign(category=f"CELLULAR KINETICS, SAMPLES, {self.assay.upper()}")
        return table.assign(about=[self.quantities[name] for name in table["quantity"]])

    def _heading(self) -> str:
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        changed = self.rules.describe().query("~default")["chosen"]
        rules = f"rules {'; '.join(changed)}" if len(changed) else "default rules"
        n = len(self.parts[0].profiles) if self.parts else 0
        return f"Samples of {n} patients of {self.source.name}{mark}: {self.assay}, {rules}"

    def __repr__(self) -> str:
        return f"{self._heading()}\n{_printable(self.summary()).to_string(index=False)}"

    def _repr_html_(self) -> str:
        return self.to_html()


def _in_words(column: Column, n: int) -> list[str]:
    """Name the flags that are raised, and the numbers that are known, for every patient."""
    said: list[list[str]] = [[] for _ in range(n)]
    for name, values in column.flags.items():
        if name in ("observed_cmax_below", "auc_below"):  # bounds, not warnings
            continue
        if values.dtype == bool:
            for i in np.flatnonzero(values):
                said[i].append(name)
            continue
        for i in np.flatnonzero(np.isfinite(values) & (values != 0)):
            said[i].append(f"{name}={values[i]:.3g}")
    return ["; ".join(words) for words in said]


def _printable(table: pd.DataFrame) -> pd.DataFrame:
    # The heading tells the assay, and the label the quantity.
    shown = table.drop(columns=["assay", "quantity"])
    for name in shown.select_dtypes("float").columns:
        shown[name] = [f"{v:.4g}" if np.isfinite(v) else "" for v in shown[name]]
    return shown
