"""Inputs of a model in a fit: what is known of each patient, from the table of patients."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from carkinetics.errors import Fault, FitError
from carkinetics.model import Model
from carkinetics.model.schema import did_you_mean

Request = Mapping[str, "str | float"]


@dataclass(frozen=True, eq=False)
class PatientInputs:
    """Inputs of the patients of a fit, in the order of the system.

    Attributes
    ----------
    names : tuple of str
        Inputs that the equations use; none where all stay at the model's defaults.
    values : array, shape (patient, input)
        Each in its unit.
    typical : array, shape (input,)
        Of the typical patient: the model's default, else the median of the patients.
    request : mapping of str to str or float
        By input: the column that was read, or the number all patients have.
    """

    names: tuple[str, ...] = ()
    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    typical: np.ndarray = field(default_factory=lambda: np.empty(0))
    request: Request = field(default_factory=dict)

    def of_patients(self, parameters: np.ndarray) -> np.ndarray:
        """Set the inputs beside parameters of shape (..., patient, parameter)."""
        return _beside(parameters, self.values) if self.names else parameters

    def of_typical(self, parameters: np.ndarray) -> np.ndarray:
        """Set those of the typical patient beside parameters of shape (..., parameter)."""
        return _beside(parameters, self.typical) if self.names else parameters

    def of_drawn(self, parameters: np.ndarray) -> np.ndarray:
        """Set the patients' own, over and over, beside parameters of shape (set, parameter)."""
        if not self.names:
            return parameters
        return _beside(parameters, self.values[np.arange(len(parameters)) % len(self.values)])


def _beside(parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
    shape = (*parameters.shape[:-1], values.shape[-1])
    return np.concatenate([parameters, np.broadcast_to(values, shape)], axis=-1)


def read_inputs(
    request: Request | None, model: Model, patients: Sequence[str], table: pd.DataFrame
) -> PatientInputs:
    """Find the inputs of every patient.

    Parameters
    ----------
    request : mapping of str to str or float, optional
        By input: a column of the table, or one number for all. Of the others the column with the
        name of the input is read, where there is one.
    model : Model
        Expanded over the cell types of the fit.
    patients : sequence of str
        Patients with fitted samples.
    table : DataFrame
        The cohort's table of patients.

    Returns
    -------
    PatientInputs
        Without names where nothing differs from the model's defaults.

    Raises
    ------
    FitError
        With every fault: an input or a column that does not exist, a patient without a number
        where the model has no default.
    """
    asked = dict(request or {})
    wrong = [name for name in asked if name not in model.inputs]
    faults = [
        Fault(
            "inputs",
            f"model {model.name} has no input {name!r}{did_you_mean(name, list(model.inputs))}",
            f"It has {', '.join(model.inputs) or 'none'}.",
        )
        for name in wrong
    ]
    chosen: dict[str, Any] = {name: name for name in model.inputs if name in table.columns} | asked
    names = model.system(open_inputs=True).inputs
    if not faults and not chosen and all(model.inputs[n].default is not None for n in names):
        return PatientInputs()
    rows = table.set_index("patient", drop=False).loc[list(patients)]
    columns, typical = [], []
    for name in names:
        default = model.inputs[name].default
        values, found = _values(name, chosen.get(name, default), default, rows)
        faults += found
        columns.append(values)
        typical.append(np.median(values) if default is None else default)
    if faults:
        raise FitError(faults)
    # Plain values: they are kept with the fit.
    used = {n: c if isinstance(c := chosen[n], str) else float(c) for n in names if n in chosen}
    return PatientInputs(names, np.stack(columns, axis=1), np.array(typical), used)


def _values(
    name: str, source: Any, default: float | None, rows: pd.DataFrame
) -> tuple[np.ndarray, list[Fault]]:
    """Return the numbers of one input, shape (patient,); the default where a cell is empty."""
    where, nothing = f"inputs.{name}", np.zeros(len(rows))
    if isinstance(source, numbers.Real) and not isinstance(source, bool):
        if np.isfinite(float(source)):
            return np.full(len(rows), float(source)), []
        return nothing, [Fault(where, f"is {source!r}", "Give a finite number.")]
    if source is None:
        what = "differs between patients, and the model has no default"
        remedy = f"Add a column {name!r} to the table of patients, or name one in inputs=..."
        return nothing, [Fault(where, what, remedy)]
    if not isinstance(source, str) or source not in rows.columns:
        known = [str(column) for column in rows.columns]
        guess = did_you_mean(source, known) if isinstance(source, str) else ""
        what = f"the table of patients has no column {source!r}{guess}"
        return nothing, [Fault(where, what, f"Its columns are {', '.join(known)}.")]
    return _column(where, rows[source], default)


def _column(where: str, column: pd.Series, default: float | None) -> tuple[np.ndarray, list[Fault]]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    text = np.isnan(values) & column.notna().to_numpy()
    wrong = text | np.isinf(values)
    if wrong.any():
        listed = _listed(column.index[wrong])
        return values, [Fault(where, f"is no number for {listed}", "Correct the column.")]
    missing = np.isnan(values)
    if missing.any() and default is None:
        what = f"is empty for {_listed(column.index[missing])}, and the model has no default"
        return values, [Fault(where, what, "Fill it in, or leave these patients out.")]
    return np.where(missing, np.nan if default is None else default, values), []


def _listed(patients: pd.Index) -> str:
    shown = ", ".join(str(patient) for patient in patients[:5])
    return shown if len(patients) <= 5 else f"{shown} and {len(patients) - 5} more"
