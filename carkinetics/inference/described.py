"""Every setting that the numbers of a fit depend on, kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from carkinetics.inference.covariates import request_of
from carkinetics.inference.gate import Gate
from carkinetics.inference.planning import Plan
from carkinetics.inference.versions import package_versions


def describe(
    plan: Plan, how: Mapping[str, Any], gate: Gate, seed: int, attempt: int, seconds: float
) -> dict[str, Any]:
    """Collect the settings of a fit.

    Parameters
    ----------
    plan : Plan
        What was fitted.
    how : mapping
        The method and its settings.
    gate : Gate
        What the priors alone say.
    seed : int
        Source of randomness of this attempt.
    attempt : int
        1, or 2 after a rerun.
    seconds : float
        Time it took.

    Returns
    -------
    dict
    """
    return {
        "model": plan.model.name,
        "seed": seed,
        # A rerun draws with the next seed; the one that was asked for is kept too.
        "seed_given": seed - (attempt - 1),
        "attempt": attempt,
        **how,
        "assays": list(plan.layout.assays),
        "cell_types": list(plan.layout.cell_types),
        "latent_unit": plan.layout.latent_unit,
        "patient_effects": plan.patient_effects,
        "residual": plan.residual,
        "correlated": plan.correlated,
        "common": list(plan.common),
        "tolerance": plan.tolerance,
        **({} if plan.link_slope is None else {"link_slope": plan.link_slope}),
        **({"covariates": plan.covariates.settings()} if plan.covariates else {}),
        **({"prior_scale": dict(plan.prior_scale)} if plan.prior_scale else {}),
        **({"inputs": dict(plan.inputs.request)} if plan.inputs.names else {}),
        "priors": plan.prior_texts(),
        "prior_check": {
            "cmax": gate.cmax,
            "tmax": gate.tmax,
            "below": None if np.isnan(gate.below) else gate.below,
            "passed": gate.passed,
        },
        **({"joint": plan.extension.settings()} if plan.extension else {}),
        "sampling_seconds": round(seconds, 1),
        "versions": package_versions(),
    }


def kinetic_choices(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the settings of a fit back into the choices that its plan was made with.

    Parameters
    ----------
    settings : mapping
        From `describe`.

    Returns
    -------
    dict
        Keyword arguments of `plan_fit` and of `fit`.
    """
    always = ("assays", "patient_effects", "residual", "correlated", "common", "tolerance")
    where_given = ("link_slope", "prior_scale", "inputs")
    chosen = {name: settings[name] for name in always}
    chosen |= {name: settings[name] for name in where_given if name in settings}
    return chosen | {"covariates": request_of(settings.get("covariates"))}
