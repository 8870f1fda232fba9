"""Weigh draws as if the data had been other ones of the same patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carkinetics.errors import FitError
from carkinetics.inference.described import kinetic_choices
from carkinetics.inference.planning import Plan, plan_fit
from carkinetics.inference.prediction import expected_samples, log_likelihood
from carkinetics.sensitivity.weights import Weights, pareto_weights

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.inference import Fit


def changed_data(fit: Fit, cohort: Cohort) -> Weights:
    """Weigh draws as if other samples of the same patients had been fitted.

    Parameters
    ----------
    fit : Fit
        With its draws.
    cohort : Cohort
        The same patients; samples left out, other limits, another rule below the limit.

    Returns
    -------
    Weights
        Draws in the order (chain, draw), flat. A change of many samples has a large k-hat: the
        draws know too well where the samples were.

    Raises
    ------
    FitError
        Where the other data need other parameters: other patients, cell types or assays.
    """
    plan = plan_fit(fit.kinetic_model, cohort, **kinetic_choices(fit.settings))
    then = fit.plan.layout
    if (then.patients, then.cell_types, then.latent_unit, then.assays) != (
        plan.layout.patients, plan.layout.cell_types, plan.layout.latent_unit, plan.layout.assays,
    ):  # fmt: skip
        raise FitError("the changed data have other patients, cell types or assays.")
    return pareto_weights((_density(fit, plan) - _density(fit, fit.plan)).ravel())


def _density(fit: Fit, plan: Plan) -> np.ndarray:
    posterior = fit.data["posterior"].to_dataset()
    expected = expected_samples(plan, posterior, fit.patient_draws())
    return np.sum([log_likelihood(e).sum(axis=-1) for e in expected.values()], axis=0)
