"""How far known coefficients move the parameters of patients with given covariates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from carkinetics.cohort.covariate_terms import columns_read, listed, term_values
from carkinetics.errors import CarkineticsError, Fault
from carkinetics.model import Model
from carkinetics.model.schema import did_you_mean

_WHERE = "covariates"


def covariate_shifts(
    model: Model,
    patients: pd.DataFrame | None,
    covariates: Mapping[str, Mapping[str, float]] | None,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Compute what covariates add to parameters.

    Parameters
    ----------
    model : Model
        With published coefficients, which apply where `covariates` is None.
    patients : DataFrame or None
        One row per patient, with a column ``patient``.
    covariates : mapping of str to mapping of str to float, or None
        Coefficient of each term, by parameter.

    Returns
    -------
    shifts : dict of str to array, shape (patient,)
        By parameter, on its transformed scale.
    names : list of str
        The patients; empty without a table.

    Raises
    ------
    CarkineticsError
        With every fault.
    """
    if patients is None:
        if covariates:
            what = "no table of patients to read the terms from"
            raise CarkineticsError(Fault(_WHERE, what, "Give patients=..., one row per patient."))
        return {}, []
    faults = _table_faults(patients)
    chosen = covariates
    if chosen is None:
        chosen = _published(model, patients, faults)
    shifts: dict[str, np.ndarray] = {}
    for name, coefficients in chosen.items():
        if name not in model.parameters:
            what = f"no parameter '{name}'{did_you_mean(name, list(model.parameters))}"
            faults.append(Fault(_WHERE, what, f"There are {', '.join(model.parameters)}."))
        where = f"{_WHERE} of {name}"
        if not isinstance(coefficients, Mapping):
            what = "are no coefficients by term"
            faults.append(Fault(where, what, 'Write {"log(dose / 100)": 0.5}.'))
            continue
        shift = np.zeros(len(patients))
        for term, coefficient in coefficients.items():
            shift = shift + coefficient * _numbers(term, patients, where, faults)
        shifts[name] = shift
    if faults:
        raise CarkineticsError(faults)
    return shifts, [str(patient) for patient in patients["patient"]]


def _table_faults(patients: pd.DataFrame) -> list[Fault]:
    remedy = "Give every row a patient of its own in the column 'patient'."
    if "patient" not in patients.columns:
        return [Fault("patients", "the table has no column 'patient'", remedy)]
    names = patients["patient"]
    if names.isna().any() or names.astype(str).duplicated().any():
        return [Fault("patients", "a patient is missing or named twice", remedy)]
    return []


def _published(
    model: Model, patients: pd.DataFrame, faults: list[Fault]
) -> dict[str, dict[str, float]]:
    """Take the published coefficients whose columns are there; none at all is a slip."""
    chosen: dict[str, dict[str, float]] = {}
    known = []
    for name, parameter in model.parameters.items():
        for term, published in parameter.covariates.items():
            known.append(term)
            if set(columns_read(term, patients)) <= set(patients.columns):
                chosen.setdefault(name, {})[term] = published.value
    if known and not chosen:
        what = f"the table has no column of the published terms of {model.name}"
        remedy = f"They are {', '.join(known)}. Pass covariates={{}} to apply none."
        faults.append(Fault("patients", what, remedy))
    return chosen


def _numbers(
    term: str, patients: pd.DataFrame, where: str, faults: list[Fault]
) -> np.ndarray | float:
    if "patient" not in patients.columns:
        return 0.0  # said already
    found, more = term_values(term, patients, where)
    faults += more
    if found is None:
        return 0.0
    if found.kind == "text":
        what = f"'{term}' holds text"
        faults.append(Fault(where, what, "Write a yes/no column of 0 and 1."))
        return 0.0
    if found.missing.any():
        what = f"'{term}' has no value for {listed(patients['patient'][found.missing])}"
        faults.append(Fault(where, what, "Complete the table."))
    return found.values
