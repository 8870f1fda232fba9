"""From sampled coordinates to parameters of patients and population on their natural scale."""

from __future__ import annotations

import numpy as np
import xarray as xr

from carkinetics.inference.centering import Given, Seen, parameters_of
from carkinetics.inference.covariate_shift import drawn_shift
from carkinetics.inference.effects import cholesky_from_unit, order_of_pairs
from carkinetics.inference.planning import Plan

SAMPLE = ("chain", "draw")


def patient_coordinates(plan: Plan, posterior: xr.Dataset, constants: xr.Dataset) -> np.ndarray:
    """Undo the centering of the patient effects.

    Parameters
    ----------
    plan : Plan
        Shape of the fit.
    posterior : Dataset
        Draws of the free variables.
    constants : Dataset
        What the sampler was run with; see `centering`.

    Returns
    -------
    array, shape (chain, draw, patient, effect)
        Patient parameters on their transformed scale.
    """
    omega = np.stack([posterior[f"omega_{p.name}"].values for p in plan.varying], axis=-1)
    weights = constants["centering"].values
    how: Given | Seen | None = None
    if plan.given_before:
        shares = constants["centering_share"].values if "centering_share" in constants else weights
        how = Given(shares, _order_of(plan, posterior))
    elif "data_precision" in constants:
        how = Seen(constants["data_precision"].values, constants["data_pull"].values)
    return parameters_of(
        posterior["x"].values,
        patient_centers(plan, posterior),
        omega[:, :, None, :],
        weights,
        how,
        cholesky_of(plan, posterior),
    )


def patient_centers(plan: Plan, posterior: xr.Dataset) -> np.ndarray:
    """Give where patients are expected, given their covariates, on the transformed scale.

    Returns
    -------
    array, shape (chain, draw, patient, effect)
        With one patient for all where there are no covariates.
    """
    location = np.stack([posterior[p.variable].values for p in plan.varying], axis=-1)
    location = location[:, :, None, :]
    if plan.covariates is None:
        return location
    return location + drawn_shift(plan.covariates, [p.name for p in plan.varying], posterior)


def patient_parameters(plan: Plan, posterior: xr.Dataset, constants: xr.Dataset) -> np.ndarray:
    """Give the parameters of every patient, natural scale; see `natural_parameters`."""
    return natural_parameters(plan, posterior, patient_coordinates(plan, posterior, constants))


def natural_parameters(plan: Plan, posterior: xr.Dataset, coordinates: np.ndarray) -> np.ndarray:
    """Take what `patient_coordinates` gives to the natural scale.

    Returns
    -------
    array, shape (chain, draw, patient, parameter)
        Parameters in the order of the system, then the patients' inputs.
    """
    result = np.empty((*coordinates.shape[:3], len(plan.parameters)))
    at = {p.name: k for k, p in enumerate(plan.varying)}
    for q, p in enumerate(plan.parameters):
        if p.name in at:
            value = coordinates[..., at[p.name]]
        else:
            value = posterior[p.variable].values[:, :, None]
        result[..., q] = p.prior.to_natural(value)
    return plan.inputs.of_patients(result)


def population_parameters(plan: Plan, posterior: xr.Dataset) -> np.ndarray:
    """Give the parameters of the typical patient, natural scale, shape (chain, draw, parameter).

    With covariates the typical patient stands where each of them is zero: numbers at their mean,
    text at its reference value, yes/no columns at no. Inputs stand last, at the model's defaults.
    """
    columns = [p.prior.to_natural(posterior[p.variable].values) for p in plan.parameters]
    return plan.inputs.of_typical(np.stack(columns, axis=-1))


def new_patients(plan: Plan, posterior: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
    """Draw one new patient per posterior draw, natural scale, shape (chain, draw, parameter).

    Their covariates and inputs are those of the typical patient.
    """
    shape = tuple(posterior.sizes[name] for name in SAMPLE)
    names = [p.name for p in plan.varying]
    z = rng.standard_normal((*shape, len(names)))
    if any(plan.heavy):
        nu = posterior["nu_patients"].values[..., None]
        tails = np.sqrt(nu / rng.chisquare(np.broadcast_to(nu, z.shape)))
        z *= np.where(plan.heavy, tails, 1.0)
    factor = cholesky_of(plan, posterior)
    if factor is not None:
        z = np.einsum("cdij,cdj->cdi", factor, z)
    columns = []
    for p in plan.parameters:
        value = posterior[p.variable].values
        if p.name in names:
            effect = z[..., names.index(p.name)]
            value = value + posterior[f"omega_{p.name}"].values * effect
        columns.append(p.prior.to_natural(value))
    return plan.inputs.of_typical(np.stack(columns, axis=-1))


def cholesky_of(plan: Plan, posterior: xr.Dataset) -> np.ndarray | None:
    """Give the Cholesky factors of the correlation, shape (chain, draw, effect, effect).

    Rows and columns are where the plan has the effects: triangular in the order of their factor.
    """
    if "partial_correlation_unit" not in posterior:
        return None
    return cholesky_from_unit(
        posterior["partial_correlation_unit"].values, _order_of(plan, posterior)
    )


def _order_of(plan: Plan, posterior: xr.Dataset) -> np.ndarray:
    names = [p.name for p in plan.varying]
    if "effect_pair" not in posterior.coords:
        return np.arange(len(names))
    return order_of_pairs([str(pair) for pair in posterior["effect_pair"].values], names)


def correlation_of(plan: Plan, posterior: xr.Dataset) -> xr.DataArray | None:
    """Give the correlation of the patient effects, dims (chain, draw, effect, effect_other)."""
    factor = cholesky_of(plan, posterior)
    if factor is None:
        return None
    names = [p.name for p in plan.varying]
    return xr.DataArray(
        factor @ factor.swapaxes(-1, -2),
        dims=(*SAMPLE, "effect", "effect_other"),
        coords={**_sample_coords(posterior), "effect": names, "effect_other": names},
    )


def parameter_group(plan: Plan, posterior: xr.Dataset, constants: xr.Dataset) -> xr.Dataset:
    """Name the patients' parameters, dims (chain, draw, patient), with units and labels."""
    values = patient_parameters(plan, posterior, constants)
    coords = _sample_coords(posterior) | {"patient": list(plan.layout.patients)}
    variables = {
        p.name: xr.DataArray(values[..., q], dims=(*SAMPLE, "patient"), coords=coords, attrs=about)
        for q, p in enumerate(plan.parameters)
        if (about := _about(plan, q))
    }
    return xr.Dataset(variables)


def population_group(plan: Plan, posterior: xr.Dataset) -> xr.Dataset:
    """Name the typical patient's parameters and the spread around them, dims (chain, draw)."""
    values = population_parameters(plan, posterior)
    coords = _sample_coords(posterior)
    variables = {
        p.name: xr.DataArray(values[..., q], dims=SAMPLE, coords=coords, attrs=_about(plan, q))
        for q, p in enumerate(plan.parameters)
    }
    for p in plan.varying:
        note = f"between-patient SD of {p.name}, {p.prior.transform} scale"
        spread = posterior[f"omega_{p.name}"].transpose(*SAMPLE)
        variables[f"omega_{p.name}"] = spread.assign_attrs(units="1", long_name=note)
    for design in plan.covariates.designs if plan.covariates else ():
        note = f"change of {design.parameter} with its covariates, {design.transform} scale"
        beta = posterior[design.variable].transpose(*SAMPLE, design.dim)
        unit = next(p.parameter.unit for p in plan.varying if p.name == design.parameter)
        unit = unit.replace("level", plan.layout.latent_unit)
        units = unit if design.transform == "identity" else "1"
        variables[design.variable] = beta.assign_attrs(units=units, long_name=note)
    correlation = correlation_of(plan, posterior)
    if correlation is not None:
        variables["correlation"] = correlation.assign_attrs(units="1")
    return xr.Dataset(variables)


def _about(plan: Plan, q: int) -> dict[str, str]:
    p = plan.parameters[q].parameter
    unit = p.unit.replace("level", plan.layout.latent_unit)
    return {"units": unit, "long_name": p.label}


def _sample_coords(posterior: xr.Dataset) -> dict[str, np.ndarray]:
    return {name: posterior[name].values for name in SAMPLE}
