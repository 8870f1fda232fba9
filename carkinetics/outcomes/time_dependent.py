"""Cox regression on an exposure that grows while the clock runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import Profile, Rules, auc, profiles
from carkinetics.outcomes.hazards import partial_likelihood
from carkinetics.outcomes.regression import Regression, likelihood_ratio_p, profile_interval

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.outcomes.endpoint import Endpoint

Array = NDArray[np.float64]

_FROM_0 = re.compile(r"auc_0_(\d+)")


@dataclass(frozen=True)
class Spans:
    """Spans of days on which a patient's exposure so far stays the same.

    Parameters
    ----------
    table : DataFrame
        ``patient``, ``start``, ``stop`` [day], ``event`` (at the stop) and ``x``, ln exposure.
    left_out : dict
        Patient to the reason why there is no span.
    """

    table: pd.DataFrame
    left_out: dict[str, str]


def exposure_so_far(
    cohort: Cohort, endpoint: Endpoint, exposure: str, assay: str, cell_type: str
) -> Spans:
    """Cut the follow-up of every patient into spans, at the days of samples.

    Parameters
    ----------
    cohort : Cohort
        Levels.
    endpoint : Endpoint
        A survival outcome, on the clock from infusion.
    exposure : str
        ``"cmax"``: the highest level so far. ``"auc_0_<day>"``: the area so far, up to that day.
    assay, cell_type : str
        Which samples.

    Returns
    -------
    Spans
        A patient is at risk from the first sample on. Until a sample is quantifiable, the
        exposure is set to the highest it can be: the limit, or the area under it.
    """
    area = _FROM_0.fullmatch(exposure)
    if exposure != "cmax" and area is None:
        what = f"{exposure} has no time-dependent form from samples"
        raise DataError(
            Fault("associate", what, "Choose cmax or auc_0_28, or a landmark.", section=exposure)
        )
    rows: list[pd.DataFrame] = []
    left_out: dict[str, str] = {}
    used = endpoint.used
    for profile in profiles(cohort, assay, cell_type):
        if profile.patient not in used.index:
            continue
        end, event = used.loc[profile.patient, ["day", "event"]]
        before = profile.day < float(end)
        if not before.any():
            left_out[profile.patient] = "no sample before the event or censoring"
            continue
        value = _areas(profile, float(area[1])) if area else _highest(profile)
        days = profile.day[before]
        stops = np.append(days[1:], float(end))
        ends = np.zeros(days.size, dtype=bool)
        ends[-1] = bool(event)
        rows.append(
            pd.DataFrame({"patient": profile.patient, "start": days, "stop": stops, "event": ends,
                          "x": np.log(value[before])})
        )  # fmt: skip
    columns = ["patient", "start", "stop", "event", "x"]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
    return Spans(table, left_out)


def _highest(profile: Profile) -> Array:
    """Give the highest level up to each sample, samples below the limit at their limit."""
    return np.maximum.accumulate(np.where(profile.below_lloq, profile.lloq, profile.level))


def _areas(profile: Profile, until: float) -> Array:
    """Give the area from day 0 up to each sample; under the limit where nothing was found yet."""
    found = np.empty(profile.day.size)
    limit = np.where(np.isfinite(profile.lloq), profile.lloq, profile.level)
    for i, day in enumerate(profile.day):
        last = min(float(day), until)
        value = auc(profile, Rules(), 0.0, last).value if last > 0 else 0.0
        found[i] = value if np.isfinite(value) and value > 0 else limit[i] * max(last, 1.0)
    return np.maximum.accumulate(found)


def cox_so_far(
    start: ArrayLike,
    stop: ArrayLike,
    event: ArrayLike,
    x: ArrayLike,
    *,
    probability: float = 0.95,
) -> Regression:
    """Fit a proportional-hazards model to a covariate that changes over time.

    Parameters
    ----------
    start, stop : array_like, shape (span,)
        Span on which the covariate holds, after `start` up to and including `stop` [day].
    event : array_like, shape (span,)
        Whether the patient had the event at the end of the span.
    x : array_like, shape (span,)
        Covariate, such as ln of the highest level so far.
    probability : float
        Coverage of the profile-likelihood interval.

    Returns
    -------
    Regression
        Log hazard ratio per unit of `x`, ties after Efron. At each event the covariate of that
        day is compared among those at risk, so that nobody is credited with the future.

    References
    ----------
    Andersen and Gill 1982, doi 10.1214/aos/1176345976.
    """
    start, stop = np.asarray(start, dtype=float), np.asarray(stop, dtype=float)
    event, x = np.asarray(event, dtype=bool), np.asarray(x, dtype=float)
    n_events = int(event.sum())
    if not n_events:
        return Regression.missing("there is no event", 1, start.size, 0)
    risk = _risk_sets(start, stop, event)
    if all(np.ptp(x[row > 0]) == 0 for row in risk):
        reason = "the exposure is the same in all patients at risk when events occur"
        return Regression.missing(reason, 1, start.size, n_events)
    highest = all(
        x[i] >= x[row > 0].max() for i, row in zip(np.flatnonzero(event), risk, strict=True)
    )
    lowest = all(
        x[i] <= x[row > 0].min() for i, row in zip(np.flatnonzero(event), risk, strict=True)
    )
    if highest or lowest:
        reason = "every event strikes the highest (or the lowest) exposure at risk"
        return Regression.missing(reason, 1, start.size, n_events)
    spread = float(x.std())
    scaled = (x - x.mean()) / spread

    def loglik(value: float) -> float:
        return partial_likelihood(risk, event, scaled, value)[0]

    found = optimize.minimize_scalar(lambda value: -loglik(value), bracket=(-0.5, 0.5))
    estimate, top = float(found.x), -float(found.fun)
    se = partial_likelihood(risk, event, scaled, estimate)[1] ** -0.5
    lower, upper = profile_interval(loglik, estimate, top, se, probability)
    return Regression(
        np.array([estimate]) / spread,
        np.array([se]) / spread,
        np.array([lower]) / spread,
        np.array([upper]) / spread,
        np.array([likelihood_ratio_p(top, loglik(0.0))]),
        loglik=top,
        n=start.size,
        n_events=n_events,
    )


def _risk_sets(start: Array, stop: Array, event: NDArray[np.bool_]) -> Array:
    """Tell which spans are at risk at each event, shape (event, span), ties after Efron."""
    days = stop[event]
    at_risk = ((start[None, :] < days[:, None]) & (stop[None, :] >= days[:, None])).astype(float)
    same = days[:, None] == days[None, :]
    share = np.tril(same, -1).sum(axis=1) / same.sum(axis=1)
    struck = event[None, :] & (stop[None, :] == days[:, None])
    return np.asarray(at_risk - share[:, None] * struck)
