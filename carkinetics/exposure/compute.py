"""`summarize`: solve the curves of every draw, and take the quantities from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.errors import DataError, Fault, FitError
from carkinetics.exposure.measuring import Task
from carkinetics.exposure.result import NEW, TYPICAL, Exposure
from carkinetics.inference.draws import SAMPLE
from carkinetics.inference.gate import median_limit
from carkinetics.quantities import (
    days_in,
    find_quantity,
)

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit

DEFAULT = ("cmax", "tmax", "auc_0_28", "persistence")
AT_DAYS = (28, 90, 180)
_WINDOW_END = 28.0


def summarize(
    fit: Fit,
    quantities: Sequence[str] = DEFAULT,
    *,
    limit: float | None = None,
    horizon: float | None = None,
    at_days: Sequence[int] = AT_DAYS,
    allow_failed: bool = False,
    seed: int = 0,
) -> Exposure:
    """Compute quantities of the latent curve on every posterior draw.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`.
    quantities : sequence of str
        ``"cmax"``, ``"tmax"``, ``"auc_<day>_<day>"``, ``"persistence"``, ``"level_<day>"``,
        ``"detectable_<day>"``, ``"quantifiable_<day>"``, ``"time_above"``, ``"doubling_time"``,
        ``"contraction_half_life"``, ``"terminal_half_life"``, ``"mean_level"``,
        ``"level_at_total_peak"``, ``"share_at_total_peak"``, ``"share_<day>"``,
        ``"slope_<day>_<day>"``, ``"auc_to_onset"``, ``"slope_to_onset"``.

    Returns
    -------
    Exposure
        Draws for CD4, CD8 and total (or total alone), per patient and for the population.

    Other Parameters
    ----------------
    limit : float, optional
        Limit of persistence and detection, in the unit of the curves; the median LLOQ of that
        assay by default. It is applied to each cell type.
    horizon : float, optional
        Day at which persistence is censored; the last sample of the cohort by default [day].
    at_days : sequence of int
        With persistence, also the probability that the latent level exceeds the limit on these
        days. That a sample would be quantifiable is another number, ``"quantifiable_<day>"``:
        assay error comes on top.
    allow_failed : bool
        Summarize a fit that fails its checks.
    seed : int
        For the new patients of the population.

    Raises
    ------
    FitError
        For a fit that fails its checks.
    DataError
        For an unknown quantity, a limit that is not positive, or a horizon before day 1.

    Notes
    -----
    Curves are cubics between days, through level and slope of the solver. The days are chosen for
    each patient so that ln level lies within some 1e-5 of the cubics, by an estimate that
    ``error_bound`` of the result states; peaks are not limited to these days. Persistence is
    definition P5: the last downward crossing of the limit, day 0 where it is never exceeded, the
    horizon where it still is.
    """
    if not allow_failed and not (check := fit.check()).passed:
        raise FitError(f"{check}\n    Pass allow_failed=True to summarize it all the same.")
    names = _names(quantities, at_days)
    found = [find_quantity(name) for name in names]
    last_sample = _last_samples(fit)
    horizon = float(last_sample.max()) if horizon is None else float(horizon)
    limit = median_limit(fit.plan) if limit is None else float(limit)
    _check(limit, horizon)
    onset = _onsets(fit)
    task = Task(
        fit,
        found,
        reach=max(horizon, _WINDOW_END, *last_sample, *onset.dropna(), *_days_of(names)),
        limit=limit,
        horizon=horizon,
        last_sample=last_sample,
        onset=onset,
    )
    patients = task.patients()
    population = task.population(seed)
    coords = _coords(fit)
    return Exposure(
        data=task.dataset([p.values for p in patients], "patient", coords, list(fit.patients)),
        population=task.dataset(population, "who", coords, [TYPICAL, NEW]),
        censored=xr.DataArray(
            np.stack([p.censored for p in patients]),
            dims=("patient", "cell_type"),
            coords={"patient": list(fit.patients), "cell_type": list(fit.cell_types)},
        )
        if "persistence" in names
        else None,
        last_sample=last_sample,
        cohort=fit.cohort,
        limit=limit,
        horizon=horizon,
        contraction=task.contraction(patients, seed) if "persistence" in names else None,
        at_samples={
            str(name): part.at_samples for name, part in zip(fit.patients, patients, strict=True)
        },
        facts=_facts(fit, max(p.error for p in patients), median_limit(fit.plan)),
    )


def _names(quantities: Sequence[str], at_days: Sequence[int]) -> list[str]:
    chosen = [quantities] if isinstance(quantities, str) else list(quantities)
    if not chosen:
        raise DataError(Fault("summarize", "no quantity", f"Name some of {', '.join(DEFAULT)}."))
    if "persistence" in chosen:
        if broken := [day for day in at_days if day != int(day)]:
            raise DataError(Fault("at_days", f"has {broken[0]:g}", "Give whole days."))
        chosen += [f"detectable_{int(day)}" for day in at_days]
    return list(dict.fromkeys(chosen))


def _days_of(names: Sequence[str]) -> list[float]:
    return [day for name in names for day in days_in(name)]


def _check(limit: float, horizon: float) -> None:
    # A cohort without any limit has NaN, which the table explains.
    if limit <= 0 or np.isinf(limit):
        raise DataError(Fault("limit", f"is {limit:g}", "Give a positive level."))
    if not 1 <= horizon < np.inf:
        raise DataError(Fault("horizon", f"is day {horizon:g}", "Give a day from 1 on."))


def _last_samples(fit: Fit) -> pd.Series:
    layout = fit.plan.layout
    last = [layout.days[end - 1] for end in layout.offsets[1:]]
    return pd.Series(last, index=list(layout.patients), name="last_sample", dtype=float)


def _onsets(fit: Fit) -> pd.Series:
    table = fit.cohort.patients
    if "crs_onset_day" not in table:
        return pd.Series(dtype=float)
    return table.set_index("patient")["crs_onset_day"].astype(float)


def _coords(fit: Fit) -> dict[str, list[object]]:
    posterior = fit.data["posterior"]
    found = {name: list(posterior[name].values) for name in SAMPLE}
    return found | {"cell_type": list(fit.cell_types)}


def _facts(fit: Fit, error: float, default_limit: float) -> dict[str, Any]:
    """Collect what a number has to be traced to."""
    settings = fit.settings
    return {
        "model": fit.kinetic_model.name,
        "model_hash": fit.kinetic_model.text_hash,
        "data_hash": fit.cohort.data_hash,
        "approximate": fit.approximate,
        "chains": int(settings["chains"]),
        "draws": int(settings["draws"]),
        "seed": int(settings["seed"]),
        "assays": tuple(settings["assays"]),
        "versions": dict(settings["versions"]),
        "tolerance": float(fit.plan.tolerance),
        "error_bound": error,
        "default_limit": default_limit,
    }
