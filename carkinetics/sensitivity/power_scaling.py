"""How far the posterior moves when a group of priors, or the data, count a little more or less."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.sensitivity.prior_densities import log_priors
from carkinetics.sensitivity.weights import Weights, pareto_weights

if TYPE_CHECKING:
    from carkinetics.inference import Fit

THRESHOLD = 0.05
CONFLICT = "prior and data disagree"
PRIOR_DOMINATED = "known from the prior more than from the data"
FINE = "little prior influence"
_SAMPLE = ("chain", "draw")


def prior_sensitivity(fit: Fit, quantities: Sequence[str] = (), seed: int = 0) -> pd.DataFrame:
    """Say how sensitive the posterior is to each group of priors, and to the data.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`.
    quantities : sequence of str
        Also judge these quantities of the typical patient, see `summarize`.
    seed : int
        For `summarize`.

    Returns
    -------
    DataFrame
        One row per variable and group: ``variable``, ``group``, ``prior`` and ``likelihood``
        (distance between the posteriors when the density of the group, or of the data, is raised
        to powers near 1), ``diagnosis``. A value above 0.05 counts as sensitive.

    Notes
    -----
    Only priors of what patients share are scaled; how patients differ given that is part of the
    model. That a terminal half-life is known from its prior is expected where no sample was taken
    that late, and no fault of the fit.

    References
    ----------
    Kallioinen et al. 2024, doi 10.1007/s11222-023-10366-5.
    """
    posterior = fit.data["posterior"].to_dataset()
    shared = [str(n) for n in posterior.data_vars if set(posterior[n].dims) == set(_SAMPLE)]
    variables = posterior[shared]
    if quantities:
        from carkinetics.exposure import summarize

        typical = summarize(fit, list(quantities), allow_failed=True, seed=seed).population
        typical = typical.isel(who=0, cell_type=-1, drop=True)
        variables = variables.assign({f"{n} of the typical patient": typical[n] for n in typical})
    return power_scale(variables, log_priors(fit), _log_likelihood(fit))


def power_scale(
    variables: xr.Dataset, priors: Mapping[str, np.ndarray], likelihood: np.ndarray
) -> pd.DataFrame:
    """Scale the power of each group of priors, and of the likelihood.

    Parameters
    ----------
    variables : Dataset
        What to judge, dims (chain, draw).
    priors : mapping of str to array, shape (chain, draw)
        Log densities of groups.
    likelihood : array, shape (chain, draw)
        Log likelihood of all data.

    Returns
    -------
    DataFrame
        See `prior_sensitivity`.
    """
    from arviz_stats import psense

    coords = {name: variables[name].values for name in _SAMPLE}
    groups = {
        "/posterior": variables,
        "/log_prior": xr.Dataset({n: (_SAMPLE, v) for n, v in priors.items()}, coords=coords),
        "/log_likelihood": xr.Dataset({"data": (_SAMPLE, likelihood)}, coords=coords),
    }
    tree = xr.DataTree.from_dict(groups)
    rows = []
    with _quiet():
        data = psense(tree, group="likelihood", sample_dims=list(_SAMPLE))
        for group in priors:
            prior = psense(tree, group="prior", group_var_names=[group], sample_dims=list(_SAMPLE))
            for name in variables.data_vars:
                pair = float(prior[name]), float(data[name])
                rows.append((str(name), group, *pair, diagnose(*pair)))
    columns = ["variable", "group", "prior", "likelihood", "diagnosis"]
    return pd.DataFrame(rows, columns=columns)


def diagnose(prior: float, likelihood: float) -> str:
    """Say what two sensitivities mean together."""
    if prior >= THRESHOLD and likelihood >= THRESHOLD:
        return CONFLICT
    return PRIOR_DOMINATED if prior >= THRESHOLD else FINE


def scaled_power(log_density: np.ndarray, alpha: float) -> Weights:
    """Weigh draws as if a density had been raised to a power.

    Parameters
    ----------
    log_density : array, shape (draw,)
        Log density, such as that of a group of priors.
    alpha : float
        The power; 1 changes nothing.

    Returns
    -------
    Weights
    """
    return pareto_weights((alpha - 1.0) * np.asarray(log_density, dtype=float))


def rescaled_priors(fit: Fit, scale: dict[str, float]) -> Weights:
    """Weigh draws as if priors had been wider or narrower.

    Parameters
    ----------
    fit : Fit
        With its draws.
    scale : dict of str to float
        Factors on the spread of groups of priors, as of `fit`.

    Returns
    -------
    Weights
        Draws in the order (chain, draw), flat.
    """
    then, now = log_priors(fit), log_priors(fit, scale)
    ratio = np.sum([now[group] - then[group] for group in now], axis=0)
    return pareto_weights(ratio.ravel())


def _log_likelihood(fit: Fit) -> np.ndarray:
    group = fit.data["log_likelihood"].to_dataset()
    parts: list[Any] = []
    for name in group.data_vars:
        over = [d for d in group[name].dims if d not in _SAMPLE]
        parts.append(group[name].sum(over).transpose(*_SAMPLE).values.astype(float))
    return np.sum(parts, axis=0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice of the library out of the log: the diagnosis is a column of the table."""
    logger = logging.getLogger("arviz_stats")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
