"""The parameters of virtual patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from carkinetics.errors import Fault, ModelFileError
from carkinetics.model import Model


def true_parameters(
    model: Model,
    n_patients: int,
    *,
    seed: int,
    unit: str = "cells/uL",
    typical: Mapping[str, float] | None = None,
    omega: Mapping[str, float] | None = None,
    patients: pd.DataFrame | None = None,
    covariates: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Draw the parameters of virtual patients; `simulate` uses the same ones.

    Parameters
    ----------
    model, n_patients, seed, typical, omega, patients, covariates
        See `simulate`.
    unit : str
        Unit of the latent level.

    Returns
    -------
    DataFrame
        One row per patient, one column per parameter of the system, natural scale. Where the
        model is a mixture, ``attrs["patient_class"]`` names the class of each patient, ``""`` for
        those who have the model's own values.
    """
    from carkinetics.cohort.simulated_covariates import covariate_shifts

    _require_values(model, typical or {})
    known = [name.split("[")[0] for name in model.system().parameters]
    for what, given in (("typical", typical or {}), ("omega", omega or {})):
        unknown = sorted({name.split("[")[0] for name in given} - set(known))
        if unknown:
            listed = ", ".join(dict.fromkeys(known))
            raise ModelFileError(
                Fault(f"{what} of {model.name}", f"no parameter {unknown}", f"There are {listed}.")
            )
    shifts, names = covariate_shifts(model, patients, covariates)
    names = names or [f"S{i + 1:02d}" for i in range(n_patients)]
    n_patients = len(names)
    rng = np.random.default_rng([seed, 0])
    given = dict(typical or {})
    # A name without its cell type stands for all of them.
    centers = {
        name: given.get(name, given.get(name.split("[")[0], value))
        for name, value in model.typical(unit).items()
    }
    columns = {}
    for name in model.system().parameters:
        parameter = model.parameters[name.split("[")[0]]
        prior = parameter.prior_for(unit)
        sd = _omega_of(model, name, unit, dict(omega or {}))
        effects = sd * rng.standard_normal(n_patients) + shifts.get(parameter.name, 0.0)
        columns[name] = prior.to_natural(prior.to_transformed(centers[name]) + effects)
    table = pd.DataFrame(columns, index=names)
    if model.mixture:
        table.attrs["patient_class"] = _draw_classes(model, table, seed)
    return table


def _draw_classes(model: Model, table: pd.DataFrame, seed: int) -> list[str]:
    """Draw each patient's class, and give those of a class its values."""
    drawn = np.random.default_rng([seed, 2]).random(len(table))
    names, above = np.full(len(table), "", dtype=object), 0.0
    for patient_class in model.mixture.values():
        chosen = (drawn >= above) & (drawn < above + patient_class.share)
        above += patient_class.share
        names[chosen] = patient_class.name
        for name, value in patient_class.values.items():
            columns = [c for c in table.columns if c.split("[")[0] == name]
            table.loc[chosen, columns] = value
    return list(names)


def patient_inputs(
    model: Model,
    n_patients: int,
    given: Mapping[str, float | Sequence[float]],
    names: Sequence[str],
) -> np.ndarray:
    """Return the inputs of every patient, shape (patient, input), in the order of `names`."""
    unknown = sorted(set(given) - set(model.inputs))
    if unknown:
        listed = ", ".join(model.inputs) or "none"
        what = f"no input {unknown}"
        raise ModelFileError(Fault(f"inputs of {model.name}", what, f"There are: {listed}."))
    columns = []
    for name in names:
        default = model.inputs[name].default
        value = given.get(name, default)
        column = np.asarray(np.nan if value is None else value, dtype=float)
        if default is not None and column.ndim:
            # An empty cell of a table: the drug was never given, the dose is the usual one.
            column = np.where(np.isnan(column), default, column)
        if column.shape not in ((), (n_patients,)) or not np.isfinite(column).all():
            what = f"needs one number, or one for each of {n_patients} patients"
            raise ModelFileError(Fault(f"inputs.{name}", what))
        columns.append(np.broadcast_to(column, n_patients))
    return np.stack(columns, axis=1) if columns else np.empty((n_patients, 0))


def _require_values(model: Model, typical: Mapping[str, float]) -> None:
    given = {name.split("[")[0] for name in typical}
    # An input is asked for where it is used: it may differ between patients.
    model.require_values(but_not=given | set(model.inputs))


def draw_prior(
    model: Model, unit: str, size: int, rng: np.random.Generator, student_t: bool = False
) -> np.ndarray:
    """Draw patients of new cohorts from the whole prior: locations, SDs and effects.

    Parameters
    ----------
    model : Model
        Gives the priors.
    unit : str
        Unit of the latent level.
    size : int
        Number of patients, each of a cohort of its own.
    rng : Generator
        Source of randomness.
    student_t : bool
        Heavy-tailed effects on parameters in the unit of the level, with degrees of freedom from
        Gamma(2, 0.1) above 2.

    Returns
    -------
    array, shape (size, parameter)
        Natural scale, in the order of ``model.system().parameters``.
    """
    tails = rng.standard_normal((size, len(model.system().parameters)))
    freedom = 2.0 + rng.gamma(2.0, 10.0, size)
    heavy = np.sqrt(freedom / rng.chisquare(freedom)) if student_t else np.ones(size)
    columns = []
    for k, name in enumerate(model.system().parameters):
        parameter = model.parameters[name.split("[")[0]]
        prior = parameter.prior_for(unit)
        value = prior.to_transformed(prior.sample(rng, size))
        if parameter.vary == "patient":
            tail = tails[:, k] * (heavy if parameter.unit == "level" else 1.0)
            value = value + parameter.omega_for(unit).sample(rng, size) * tail
        columns.append(prior.to_natural(value))
    return np.stack(columns, axis=1)


def _omega_of(model: Model, name: str, unit: str, given: dict[str, float]) -> float:
    parameter = model.parameters[name.split("[")[0]]
    if name in given or parameter.name in given:
        return given.get(name, given.get(parameter.name, 0.0))
    if parameter.vary != "patient":
        return 0.0
    if parameter.omega_value is not None:
        return parameter.omega_value
    return parameter.omega_for(unit).median
