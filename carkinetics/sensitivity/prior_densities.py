"""Log densities of the priors of a fit, group by group, on every draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from carkinetics.inference.effects import lkj_shape
from carkinetics.inference.prior_scale import GROUPS, scaled_shape
from carkinetics.inference.terms import group_priors
from carkinetics.priors import Prior

if TYPE_CHECKING:
    from carkinetics.inference import Fit
    from carkinetics.inference.planning import Plan

Array = np.ndarray


def log_density(prior: Prior, value: Array) -> Array:
    """Give the log density of a prior on the scale on which it is sampled."""
    one, last = prior.values[0], prior.values[-1]
    if prior.family == "halfnormal":
        return stats.halfnorm.logpdf(value, scale=one)
    if prior.family == "gamma":
        return stats.gamma.logpdf(value, one, scale=1.0 / last)
    if prior.family == "beta":
        return stats.beta.logpdf(value, one, last)
    return stats.norm.logpdf(value, prior.location, prior.spread)


def log_priors(fit: Fit, scale: dict[str, float] | None = None) -> dict[str, Array]:
    """Give the log density of every group of priors on every draw.

    Parameters
    ----------
    fit : Fit
        With its draws.
    scale : dict of str to float, optional
        Factors on the spread of groups of priors, as of `fit`; those of the fit itself by
        default.

    Returns
    -------
    dict of str to array, shape (chain, draw)
        Groups without a variable are left out. These are the priors of what patients share; how
        patients differ given that is part of the model and in none of them.
    """
    plan = fit.plan
    wanted = dict(plan.prior_scale) if scale is None else scale
    posterior = fit.data["posterior"].to_dataset()
    found: dict[str, Array] = {}
    for group in GROUPS:
        factor = float(wanted.get(group, 1.0))
        terms = _terms(plan, posterior, group, factor)
        if terms:
            found[group] = np.sum(terms, axis=0)
    return found


def _terms(plan: Plan, posterior: Any, group: str, factor: float) -> list[Array]:
    if group == "correlation":
        return _correlation(plan, posterior, factor)
    if group in ("location", "omega"):
        # Those of the plan have the factor of the fit already.
        factor /= plan.prior_scale.get(group, 1.0)
    return [
        log_density(prior.scaled(factor), posterior[name].values)
        for name, prior in _priors(plan, group).items()
        if name in posterior
    ]


def _priors(plan: Plan, group: str) -> dict[str, Prior]:
    if group == "location":
        return {p.variable: p.prior for p in plan.parameters}
    if group == "omega":
        return {f"omega_{p.name}": p.omega for p in plan.varying if p.omega is not None}
    return group_priors(plan.layout, plan.model.observed, plan.link_slope)[group]


def _correlation(plan: Plan, posterior: Any, factor: float) -> list[Array]:
    if plan.correlation_shape is None:
        return []
    shape = scaled_shape(lkj_shape(len(plan.layout.patients)), factor)
    size = len(plan.varying)
    unit = posterior["partial_correlation_unit"].transpose("chain", "draw", ...).values
    columns = [j for j in range(size - 1) for _ in range(j + 1, size)]
    beta = shape + (size - 2 - np.array(columns)) / 2
    return [stats.beta.logpdf(unit, beta, beta).sum(axis=-1)]
