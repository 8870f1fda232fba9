"""`global_sensitivity`: which parameters of a model matter for what its curves show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.model import Model
from carkinetics.priors import Prior
from carkinetics.sensitivity.indices import given_data, morris, shapley, sobol
from carkinetics.sensitivity.inputs import POPULATION, inputs_of
from carkinetics.sensitivity.runs_of_model import model_runs

if TYPE_CHECKING:
    from carkinetics.inference import Fit

METHODS = ("sobol", "morris", "shapley", "given_data")
_BASE = {"sobol": 4096, "morris": 40}
_DRAWS = 4000
_TAIL = 0.025  # of each distribution, left out by Morris on both sides


def global_sensitivity(
    source: Model | Fit,
    quantities: Sequence[str] = ("cmax", "auc_0_28", "level_28"),
    *,
    method: str = "sobol",
    over: str | Mapping[str, str] = POPULATION,
    n: int | None = None,
    limit: float | None = None,
    unit: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Say which parameters of a model matter for what its curves show.

    Parameters
    ----------
    source : Model or Fit
        A model, for variability over patients or priors; a fit, for what its posterior leaves
        open about the typical patient.
    quantities : sequence of str
        See `summarize`; of all cells together. Levels, areas and half-lives as logarithms.
    method : {"sobol", "morris", "shapley", "given_data"}
        ``"sobol"`` shares the variance among independent inputs, ``"morris"`` screens them with
        few runs, each input over the central 95 % of its distribution; both take a model.
        Posterior draws are correlated: a fit takes ``"shapley"`` or ``"given_data"``, which a
        model takes too.
    over : {"population", "prior"} or mapping of str to str
        What the parameters of a model vary over; or distributions by parameter, written as
        priors of model files.
    n : int, optional
        Base points of Sobol (4096, a power of two), trajectories of Morris (40), or draws of the
        other two (4000).
    limit : float, optional
        Of persistence and time above [unit of the level].
    unit : str, optional
        Latent unit of a model; its first by default.
    seed : int
        Source of randomness.

    Returns
    -------
    DataFrame
        One row per quantity and parameter: ``quantity``, ``parameter``, the indices of the
        method, ``runs`` and ``failed``, the runs without a value, which are left out and never
        filled in.

    Raises
    ------
    DataError
        For an unknown quantity or parameter, a method that does not go with the source, or where
        most runs fail.
    """
    if method not in METHODS:
        raise DataError(Fault("method", f"is {method!r}", f"Choose from {', '.join(METHODS)}."))
    if isinstance(source, Model):
        found, names = _of_model(source, quantities, method, over, n, limit, unit, seed)
    else:
        found, names = _of_fit(source, quantities, method, n, limit)
    found.insert(0, "quantity", found.pop("output"))
    found.insert(1, "parameter", [names[j] for j in found.pop("input")])
    return found


def _of_model(
    model: Model,
    quantities: Sequence[str],
    method: str,
    over: str | Mapping[str, str],
    n: int | None,
    limit: float | None,
    unit: str | None,
    seed: int,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    runs = model_runs(model, quantities, limit=limit)
    inputs = inputs_of(model, over, unit)
    typical = model.typical(unit)
    fixed = np.array([typical[name] for name in runs.parameters])
    at = [runs.parameters.index(name) for name in inputs.names]

    def function(points: np.ndarray) -> np.ndarray:
        values = np.tile(fixed, (len(points), 1))
        values[:, at] = inputs.natural(points)
        return runs(values)

    if method in _BASE:
        count = _BASE[method] if n is None else n
        if method == "sobol":
            return sobol(function, len(at), runs.quantities, count, seed), inputs.names

        def central(unit_points: np.ndarray) -> np.ndarray:
            # Its grid has the ends of the range, which of a normal distribution are infinite.
            return function(_TAIL + (1.0 - 2.0 * _TAIL) * unit_points)

        return morris(central, len(at), runs.quantities, count, seed), inputs.names
    points = np.random.default_rng(seed).random((_DRAWS if n is None else n, len(at)))
    outputs = function(points)
    # On the scale of the priors a distribution is symmetric, and a linear function does more.
    own = _on_prior_scale(inputs.natural(points), inputs.priors)
    of_draws = shapley if method == "shapley" else given_data
    return of_draws(own, outputs, runs.quantities), inputs.names


def _of_fit(
    fit: Fit, quantities: Sequence[str], method: str, n: int | None, limit: float | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    from carkinetics.inference.draws import population_parameters

    if method in _BASE:
        what = f"is {method!r}, which needs independent inputs; posterior draws are correlated"
        raise DataError(Fault("method", what, 'Choose "shapley" or "given_data".'))
    plan = fit.plan
    values = population_parameters(plan, fit.data["posterior"].to_dataset())
    values = values.reshape(-1, values.shape[-1])
    count = min(_DRAWS if n is None else n, len(values))
    values = values[np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))]
    runs = model_runs(plan.model, quantities, limit=limit, tolerance=plan.tolerance)
    priors = tuple(p.prior for p in plan.parameters)
    names = tuple(p.name for p in plan.parameters)
    run = shapley if method == "shapley" else given_data
    return run(_on_prior_scale(values, priors), runs(values), runs.quantities), names


def _on_prior_scale(values: np.ndarray, priors: Sequence[Prior]) -> np.ndarray:
    return np.column_stack([p.to_transformed(values[:, k]) for k, p in enumerate(priors)])
