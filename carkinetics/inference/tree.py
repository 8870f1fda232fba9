"""From what the sampler returns to the DataTree of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from carkinetics.inference.approximate import APPROXIMATION, with_shift
from carkinetics.inference.curves import curve_cell_types, patient_curves
from carkinetics.inference.draws import (
    SAMPLE,
    parameter_group,
    patient_centers,
    patient_coordinates,
    patient_parameters,
    population_group,
)
from carkinetics.inference.effects import effect_pairs
from carkinetics.inference.layout import Samples
from carkinetics.inference.planning import SHIFT, Plan
from carkinetics.inference.prediction import Expected, expected_samples, log_likelihood, replicate
from carkinetics.inference.sampling import Prepared
from carkinetics.quantities.measures import auc, peak

_AREA_END = 28.0
_LARGEST_LOG = 80.0  # of a level; single precision ends at 88
_KEPT_STATS = (
    "diverging", "depth", "maxdepth_reached", "n_steps", "step_size", "step_size_bar", "energy",
    "energy_error", "logp", "mean_tree_accept",
)  # fmt: skip


def build_tree(prepared: Prepared, sampled: xr.DataTree, seed: int) -> xr.DataTree:
    """Add everything that follows from the draws.

    Parameters
    ----------
    prepared : Prepared
        What was sampled.
    sampled : DataTree
        Draws of the free variables and statistics of the sampler, or of an approximation.
    seed : int
        For the replicates.

    Returns
    -------
    DataTree
        Groups ``posterior``, ``sample_stats``, ``log_likelihood``, ``posterior_predictive``,
        ``observed_data``, ``constant_data`` and, under ``carkinetics``, ``parameters`` (of the
        patients), ``population``, ``effects`` and ``exposure_check``, and ``outcomes`` in a joint
        model.
    """
    plan = prepared.plan
    constants = _constants(prepared)
    posterior = with_shift(sampled["posterior"].to_dataset(), constants.get(f"centering_{SHIFT}"))
    posterior = _with_order(prepared, posterior)
    parameters = patient_parameters(plan, posterior, constants)
    expected = expected_samples(plan, posterior, parameters)
    rng = np.random.default_rng([seed, 11])
    groups = {
        "posterior": posterior,
        **_how_drawn(sampled),
        "log_likelihood": _by_sample(
            plan, posterior, {name: (log_likelihood(e), "1") for name, e in expected.items()}
        ),
        "posterior_predictive": _by_sample(
            plan, posterior, {n: _replicates(n, e, rng) for n, e in expected.items()}
        ),
        "observed_data": _observed(plan),
        "constant_data": constants,
        "carkinetics/parameters": parameter_group(plan, posterior, constants),
        "carkinetics/population": population_group(plan, posterior),
        "carkinetics/effects": _effects(prepared, posterior, constants),
        "carkinetics/exposure_check": _exposure(plan, posterior, parameters),
    }
    if plan.extension is not None:
        groups["carkinetics/outcomes"] = plan.extension.group(posterior)
    for name, group in groups.items():
        _require_finite(name, group)
    return xr.DataTree.from_dict({f"/{name}": group for name, group in groups.items()})


def _how_drawn(sampled: xr.DataTree) -> dict[str, xr.Dataset]:
    """Keep the statistics of the sampler, or what is known of the approximation."""
    if "sample_stats" in sampled.children:
        return {"sample_stats": _stats(sampled["sample_stats"].to_dataset())}
    return {APPROXIMATION: sampled[APPROXIMATION].to_dataset()}


def _constants(prepared: Prepared) -> xr.Dataset:
    plan, centering = prepared.plan, prepared.centering
    weights, given, seen = centering.weights, centering.given, centering.seen
    names, patients = [p.name for p in plan.varying], list(plan.layout.patients)
    stacked = np.stack([weights[name] for name in names], axis=1)
    data: dict[str, Any] = {"centering": (("patient", "effect"), stacked)}
    if SHIFT in weights:
        data[f"centering_{SHIFT}"] = (("patient",), weights[SHIFT])
    coords = {"patient": patients, "effect": names}
    if given is not None:
        data["centering_share"] = (("patient", "effect"), given.shares)
        data["effect_order"] = (("effect",), given.order)
    if seen is not None:
        data["data_precision"] = (("patient", "effect", "effect_other"), seen.precision)
        data["data_pull"] = (("patient", "effect"), seen.pull)
        coords["effect_other"] = names
    for design in plan.covariates.designs if plan.covariates else ():
        data[design.data] = (("patient", design.dim), design.matrix)
        coords[design.dim] = design.names
    return xr.Dataset(data, coords=coords)


def _with_order(prepared: Prepared, posterior: xr.Dataset) -> xr.Dataset:
    """Name the pairs of effects, whose partial correlations were drawn in an order of their own."""
    if (given := prepared.centering.given) is None:
        return posterior
    names = [prepared.plan.varying[k].name for k in given.order]
    return posterior.assign_coords(effect_pair=effect_pairs(names))


def _stats(stats: xr.Dataset) -> xr.Dataset:
    from carkinetics.diagnostics.sampler import failed_draws

    kept = stats[[name for name in _KEPT_STATS if name in stats]].transpose(*SAMPLE, ...)
    kept["evaluation_failed"] = (SAMPLE, failed_draws(stats))
    # Unsigned integers are not known to every reader of netCDF. Booleans stay: as numbers, ArviZ
    # would take them for positions.
    for name in kept.data_vars:
        if kept[name].dtype.kind == "u":
            kept[name] = kept[name].astype(np.int64)
    return kept


def _by_sample(
    plan: Plan, posterior: xr.Dataset, values: dict[str, tuple[np.ndarray, str]]
) -> xr.Dataset:
    coords = {name: posterior[name].values for name in SAMPLE}
    variables = {}
    for name, (array, unit) in values.items():
        samples = _samples(plan, name)
        dim = f"{name}_sample"
        where = {
            f"{name}_patient": (dim, np.array(plan.layout.patients)[samples.patient]),
            f"{name}_day": (dim, samples.table["day"].to_numpy(float)),
        }
        variables[name] = xr.DataArray(
            array.astype(np.float32),  # seven digits are plenty here, and half the file
            dims=(*SAMPLE, dim),
            coords={**coords, **where},
            attrs={"units": unit},
        )
    return xr.Dataset(variables)


def _replicates(name: str, e: Expected, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    value = replicate(e, rng)
    if e.samples.kind != "level":
        return value, "1"
    # Heavy tails now and then throw a replicate beyond what the file can hold.
    within = np.clip(value, -_LARGEST_LOG, _LARGEST_LOG)
    return np.exp(within), "cells/uL" if name == "flow" else "copies/ug"


def _observed(plan: Plan) -> xr.Dataset:
    """Levels (the limit where below it), limits and flags; shares for a split."""
    variables: dict[str, Any] = {}
    for name in ("flow", "qpcr", "share", "share_events"):
        samples = _samples(plan, name)
        if not len(samples):
            continue
        dim = f"{name}_sample"
        if samples.kind == "level":
            unit = {"units": "cells/uL" if name == "flow" else "copies/ug"}
            variables[name] = (dim, np.exp(samples.log_level), unit)
            variables[f"{name}_lloq"] = (dim, samples.table["lloq"].to_numpy(float), unit)
            variables[f"{name}_below"] = (dim, samples.below.astype(np.int64))
        elif samples.events is None:
            variables[name] = (dim, special.expit(samples.log_level), {"units": "1"})
        else:
            share = samples.table["events_cd8"].to_numpy(float) / np.maximum(samples.events, 1)
            variables[name] = (dim, share, {"units": "1"})
        variables[f"{name}_patient"] = (dim, np.array(plan.layout.patients)[samples.patient])
        variables[f"{name}_day"] = (dim, samples.table["day"].to_numpy(float), {"units": "day"})
    coords = [n for n in variables if n.endswith(("_patient", "_day"))]
    return xr.Dataset(variables).set_coords(coords)


def _samples(plan: Plan, name: str) -> Samples:
    layout = plan.layout
    return {
        "flow": layout.flow,
        "qpcr": layout.qpcr,
        "share": layout.split,
        "share_events": layout.split_events,
    }[name]


def _effects(prepared: Prepared, posterior: xr.Dataset, constants: xr.Dataset) -> xr.Dataset:
    """Posterior mean and SD of every patient's effects, and how far their data determine them."""
    plan = prepared.plan
    coordinates = patient_coordinates(plan, posterior, constants)
    effects = coordinates - patient_centers(plan, posterior)
    names = [p.name for p in plan.varying]
    information = np.stack([prepared.start.information[name] for name in names], axis=1)
    dims = ("patient", "effect")
    return xr.Dataset(
        {
            "mean": (dims, effects.mean(axis=(0, 1))),
            "sd": (dims, effects.std(axis=(0, 1))),
            "information": (dims, information),
        },
        coords={"patient": list(plan.layout.patients), "effect": names},
        attrs={"distribution": plan.patient_effects},
    )


def _exposure(plan: Plan, posterior: xr.Dataset, parameters: np.ndarray) -> xr.Dataset:
    """Cmax and AUC0-28 of the total of every patient, whose convergence is checked."""
    shape = parameters.shape[:3]
    cmax, area = np.empty(shape), np.empty(shape)
    for i, curve in patient_curves(plan, parameters, _AREA_END):
        cmax[:, :, i] = peak(curve)[0][..., -1]
        area[:, :, i] = auc(curve, 0.0, _AREA_END)[..., -1]
    coords = {name: posterior[name].values for name in SAMPLE}
    coords["patient"] = np.array(plan.layout.patients)
    unit = plan.layout.latent_unit
    dims, about = (*SAMPLE, "patient"), {"cell_type": curve_cell_types(plan.layout.cell_types)[-1]}
    return xr.Dataset(
        {
            "cmax": (dims, cmax, about | {"units": unit}),
            "auc_0_28": (dims, area, about | {"units": f"{unit}*day"}),
        },
        coords=coords,
    )


def _require_finite(name: str, group: xr.Dataset) -> None:
    """Refuse to go on with a number that is none: every derived step must be finite."""
    from carkinetics.errors import FitError

    # A curve that fails between visits is a failed check of a fit that is kept, not a lost night.
    if name in ("observed_data", "constant_data", "sample_stats", "carkinetics/exposure_check"):
        return
    for variable in group.data_vars:
        values = group[variable].values
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            share = float((~np.isfinite(values)).mean())
            raise FitError(
                f"{name}/{variable}: {share:.2%} of the numbers are not finite after sampling. "
                "The solver failed at some draws: pass a smaller tolerance, or tighten the priors "
                "of the rates."
            )
