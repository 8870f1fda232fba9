"""Build the hierarchical PyMC model of a kinetic model and a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from carkinetics.cohort import Cohort
from carkinetics.inference.centering import Given, Seen
from carkinetics.inference.covariate_shift import covariate_shift
from carkinetics.inference.effects import (
    effect_pairs,
    patient_effects,
)
from carkinetics.inference.extension import extended_levels
from carkinetics.inference.layout import Layout
from carkinetics.inference.planning import Plan, observed_sigma, plan_fit
from carkinetics.inference.terms import (
    Scales,
    add_flow,
    add_qpcr,
    add_split,
    add_split_events,
    residual_degrees_of_freedom,
)
from carkinetics.model import Model
from carkinetics.priors import LARGEST_LOG
from carkinetics.solve.closed_form import closed_form_log_levels, columns_of
from carkinetics.solve.op import log_levels


def build_model(model: Model, cohort: Cohort, **options: Any) -> pm.Model:
    """Build the hierarchical PyMC model of a kinetic model over a cohort.

    Parameters
    ----------
    model : Model
        From `load_model`.
    cohort : Cohort
        From `read_cohort`.
    **options
        ``assays``, ``covariates``, ``inputs``, ``patient_effects``, ``residual``,
        ``correlated``, ``common``, ``tolerance``, ``link_slope``, ``prior_scale``; see `fit`.

    Returns
    -------
    pm.Model
        Free variables are population locations on their transformed scale (``log_gate_day``),
        between-patient SDs (``omega_gate_day``), patient effects (``x_gate_day``), residual SDs
        and the assay link, with covariates their coefficients (``beta_gate_day``). Samples, their
        days and limits, prior scales, centering weights and covariates are ``pm.Data``.

    Raises
    ------
    FitError
        Where data and model do not go together.
    """
    return assemble(plan_fit(model, cohort, **options))


def assemble(plan: Plan, order: np.ndarray | None = None) -> pm.Model:
    """Write a plan down as a PyMC model.

    Parameters
    ----------
    plan : Plan
        What is to be fitted.
    order : array of int, shape (effect,), optional
        Order in which effects of many patients are correlated; as the plan has them if left out.

    Returns
    -------
    pm.Model
    """
    layout, names = plan.layout, [p.name for p in plan.varying]
    order = np.arange(len(names)) if order is None else order
    coords = _coords(layout, names)
    coords["effect_pair"] = effect_pairs([names[k] for k in order])
    if plan.covariates is not None:
        coords |= {design.dim: design.names for design in plan.covariates.designs}
    with pm.Model(coords=coords) as pymc_model:
        # The priors of parameters have their factor already; these two groups get it here.
        factors = {"location": 1.0, "omega": 1.0, "residual": 1.0, "link": 1.0}
        factors |= {g: plan.prior_scale.get(g, 1.0) for g in ("residual", "link")}
        scales = Scales(*(pm.Data(f"prior_scale_{g}", f) for g, f in factors.items()))
        weights = pm.Data(
            "centering",
            np.full((len(layout.patients), len(names)), 0.5),
            dims=("patient", "effect"),
        )
        locations = {
            p.name: p.prior.variable(p.variable, scale=scales.location) for p in plan.parameters
        }
        omegas = [
            p.omega.variable(f"omega_{p.name}", scale=scales.omega)
            for p in plan.varying
            if p.omega is not None
        ]
        shift = None
        if plan.covariates is not None:
            shift = covariate_shift(plan.covariates, names, len(layout.patients))
        effects = patient_effects(
            [locations[name] for name in names],
            omegas,
            weights,
            _given(plan, order) if plan.given_before else _nothing_seen(plan),
            shift=shift,
            correlation_shape=plan.correlation_shape,
            heavy=plan.heavy,
        )
        parameters = _natural_parameters(plan, locations, effects.coordinates)
        if plan.extension is None:
            _add_terms(plan, _log_level(plan, parameters), scales)
        else:
            request = plan.extension.request()
            log_level, extra = extended_levels(
                plan.system, plan.layout, parameters, request, plan.tolerance
            )
            _add_terms(plan, log_level, scales)
            plan.extension.add(extra)
    return pymc_model


def _given(plan: Plan, order: np.ndarray) -> Given:
    shares = np.full((len(plan.layout.patients), len(plan.varying)), 0.5)
    return Given(
        pm.Data("centering_share", shares, dims=("patient", "effect")),
        pm.Data("effect_order", order, dims="effect"),
    )


def _nothing_seen(plan: Plan) -> Seen:
    nothing = Seen.nothing(len(plan.layout.patients), len(plan.varying))
    return Seen(
        pm.Data("data_precision", nothing.precision, dims=("patient", "effect", "effect_other")),
        pm.Data("data_pull", nothing.pull, dims=("patient", "effect")),
    )


def _natural_parameters(plan: Plan, locations: dict[str, Any], coordinates: Any) -> Any:
    """Return what the solver takes, shape (patient, parameter): parameters, then inputs.

    All columns at once: one by one, each would be compiled as operations of its own.
    """
    varying = [p.name for p in plan.varying]
    common = [p.name for p in plan.parameters if p.name not in varying]
    parts = [coordinates]
    if common:
        shared = pt.stack([locations[name] for name in common])
        parts.append(pt.ones((len(plan.layout.patients), 1)) * shared)
    order = [[*varying, *common].index(p.name) for p in plan.parameters]
    matrix = parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=1)
    if order != list(range(len(order))):
        matrix = matrix[:, np.array(order)]
    matrix = _to_natural([p.prior.transform for p in plan.parameters], matrix)
    if not plan.inputs.names:
        return matrix
    return pt.concatenate([matrix, pm.Data("inputs", plan.inputs.values)], axis=1)


def _to_natural(transforms: Sequence[str], matrix: Any) -> Any:
    """Take each column to its natural scale."""
    found, kinds = matrix, np.array(transforms)
    for name, function in _NATURAL.items():
        if (kinds == name).all():
            return function(matrix)
        if (kinds == name).any():
            found = pt.switch(kinds == name, function(matrix), found)
    return found


_NATURAL = {
    "log": lambda x: pt.exp(pt.clip(x, -LARGEST_LOG, LARGEST_LOG)),
    "logit": pm.math.sigmoid,
}


def _log_level(plan: Plan, parameters: Any) -> Any:
    """Return log levels, shape (row, cell_type); a failed solve makes the density -inf."""
    layout = plan.layout
    if plan.compiled is None:
        patient_of_row = np.repeat(np.arange(len(layout.patients)), np.diff(layout.offsets))
        row = pm.Data("visit_patient", patient_of_row)
        columns = columns_of(plan.system, parameters[row])
        return closed_form_log_levels(plan.system, columns, pm.Data("visit_day", layout.days))
    level, outcome = log_levels(
        plan.compiled,
        parameters,
        pm.Data("visit_offset", layout.offsets),
        pm.Data("visit_day", layout.days),
        tolerance=plan.tolerance,
    )
    pm.Potential("solved", pt.switch(pt.eq(pt.sum(outcome), 0), 0.0, -np.inf))
    return level


def _add_terms(plan: Plan, log_level: Any, scales: Scales) -> None:
    layout = plan.layout
    nu = residual_degrees_of_freedom(plan.residual)
    log_total = log_level[:, 0]
    if len(layout.cell_types) > 1:
        log_total = pt.logaddexp(log_level[:, 0], log_level[:, 1])
        logit_share = log_level[:, 1] - log_level[:, 0]
        if len(layout.split):
            add_split(layout.split, logit_share, scales)
        if len(layout.split_events):
            add_split_events(layout.split_events, logit_share)
    if len(layout.flow):
        add_flow(layout.flow, log_total, observed_sigma(plan.model, "flow"), scales, nu)
    if len(layout.qpcr):
        weights = pm.Data("centering_qpcr_shift", np.full(len(layout.patients), 0.5))
        sigma = observed_sigma(plan.model, "qpcr")
        add_qpcr(layout, log_total, sigma, scales, nu, weights, plan.link_slope)


def _coords(layout: Layout, names: list[str]) -> dict[str, Any]:
    coords: dict[str, Any] = {
        "patient": list(layout.patients),
        "cell_type": list(layout.cell_types),
        "effect": names,
        "effect_other": names,
    }
    samples = {
        "flow": layout.flow,
        "share": layout.split,
        "share_events": layout.split_events,
        "qpcr": layout.qpcr,
    }
    for name, group in samples.items():
        coords[f"{name}_sample"] = np.arange(len(group))
    return coords
