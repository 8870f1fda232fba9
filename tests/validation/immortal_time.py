"""Immortal time: an exposure that early events cut short, without any true association."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from carkinetics.outcomes import permuted_log_rank
from carkinetics.outcomes.hazards import partial_likelihood, risk_sets
from carkinetics.outcomes.regression import likelihood_ratio_p
from tests.validation.repetitions import Trial

Array = NDArray[np.float64]

DAYS = np.array([3, 7, 10, 14, 17, 21, 28, 42, 60, 90, 120, 180, 270, 365.0])
LLOQ, FLOOR = 50.0, 25.0  # copies/ug; the floor is what a log takes of samples below the limit
LANDMARK = 28.0
_FAR = 30.0  # SDs at which a coefficient counts as infinite

# Analysis -> what `associate` does with it where an event comes before day 28.
ANALYSES = {
    "observed peak, from day 0": "refused",
    "AUC0-28 cut off at the event, from day 0": "refused",
    "detectable beyond day 28, from day 0": "refused",
    "last detectable day, from day 0": "refused",
    "peak, landmark day 28": "offered",
    "AUC0-28, landmark day 28": "offered",
    "detectable on day 28, landmark day 28, likelihood ratio": "shown beside the next",
    "detectable on day 28, landmark day 28, permuted log-rank": "offered",
    "highest level so far, time-dependent": "offered",
    "true peak, which nobody has": "",
}
# Expected rates, from 600 trials by other code, in the order of SETTINGS.
PUBLISHED = {
    "observed peak, from day 0": (0.55, 0.74, 0.93, 0.057, 0.065),
    "AUC0-28 cut off at the event, from day 0": (0.66, 0.86, 0.98, 0.055, 0.068),
    "detectable beyond day 28, from day 0": (0.63, 0.75, 0.98, 0.47, 0.80),
    "last detectable day, from day 0": (0.77, 0.93, 1.00, 0.65, 1.00),
    "peak, landmark day 28": (0.068, 0.040, 0.063, 0.057, 0.065),
    "AUC0-28, landmark day 28": (0.065, 0.050, 0.052, 0.055, 0.068),
    "detectable on day 28, landmark day 28, likelihood ratio": (0.13, 0.16, 0.086, 0.12, 0.070),
    "highest level so far, time-dependent": (0.052, 0.053, 0.055, 0.057, 0.065),
    "true peak, which nobody has": (0.060, 0.065, 0.053, 0.058, 0.068),
}


def curves(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Draw levels of `n` patients on `DAYS`, with assay error, and their true peaks [copies/ug].

    The curve is that of Stein et al. 2019, doi 10.1002/psp4.12388, without lag.
    """
    peak = np.exp(rng.normal(np.log(24_000), 0.9, n))
    doubling = np.exp(rng.normal(np.log(0.78), 0.2, n))
    at = np.exp(rng.normal(np.log(14), 0.18, n))[:, None]
    fast = np.exp(rng.normal(np.log(0.30), 0.5, n))[:, None]
    slow = np.exp(rng.normal(np.log(0.01), 0.9, n))[:, None]
    kept = np.minimum(np.exp(rng.normal(np.log(0.008), 0.9, n)), 1.0)[:, None]
    since = DAYS[None, :] - at
    rise = 2.0 ** (np.minimum(since, 0.0) / doubling[:, None])
    late = np.maximum(since, 0.0)
    fall = (1.0 - kept) * np.exp(-fast * late) + kept * np.exp(-slow * late)
    level = peak[:, None] * np.where(since < 0, rise, fall)
    return level * np.exp(0.5 * rng.standard_normal(level.shape)), peak


def trial(rng: np.random.Generator, n: int, median: float, start: float) -> dict[str, float]:
    """Draw a trial in which kinetics and progression have nothing to do with each other.

    Parameters
    ----------
    rng : Generator
        Random state.
    n : int
        Patients.
    median : float
        Median day of progression [day].
    start : float
        Day before which nobody progresses [day].

    Returns
    -------
    dict
        Analysis to its p-value.
    """
    level, peak = curves(rng, n)
    day = start + rng.exponential((median - start) / np.log(2.0), n)
    ends = rng.uniform(300.0, 1300.0, n)
    time, event = np.minimum(day, ends), day <= ends
    sampled = DAYS[None, :] <= time[:, None]
    seen = sampled & (level >= LLOQ)
    quantified = np.where(seen, level, 0.0)
    month = DAYS <= LANDMARK
    top = np.log(np.maximum(np.where(month, quantified, 0.0).max(axis=1), FLOOR))
    area = np.log(np.maximum(_areas(quantified[:, month], sampled[:, month]), FLOOR))
    highest = np.log(np.maximum(quantified.max(axis=1), FLOOR))
    beyond = (seen & ~month).any(axis=1).astype(float)
    last = np.where(seen, DAYS, 0.0).max(axis=1)
    still = time > LANDMARK
    later, struck = time[still] - LANDMARK, event[still]
    on_day = quantified[still, np.flatnonzero(DAYS == LANDMARK)[0]] > 0
    values = (
        _p(time, event, highest),
        _p(time, event, area),
        _p(time, event, beyond),
        _p(time, event, last),
        _p(later, struck, top[still]),
        _p(later, struck, area[still]),
        _p(later, struck, on_day.astype(float)),
        _permuted(later, struck, on_day),
        _p_so_far(time, event, quantified),
        _p(time, event, np.log(peak)),
    )
    return dict(zip(ANALYSES, values, strict=True))


def _areas(quantified: Array, sampled: NDArray[np.bool_]) -> Array:
    """Give the area from 0 on day 0 to the last sample: linear up, logarithmic down."""
    zero = np.zeros((quantified.shape[0], 1))
    days = np.concatenate([[0.0], DAYS[: quantified.shape[1]]])
    level = np.hstack([zero, quantified])
    left, right, width = level[:, :-1], level[:, 1:], np.diff(days)
    logarithmic = (right < left) & (right > 0)
    ratio = np.log(np.where(logarithmic, left / np.where(right > 0, right, 1.0), np.e))
    piece = np.where(logarithmic, (left - right) / ratio, (left + right) / 2.0) * width
    return np.asarray(np.where(sampled, piece, 0.0).sum(axis=1))


def _p(time: Array, event: NDArray[np.bool_], x: Array) -> float:
    """Give the likelihood-ratio p-value of Cox regression, also where the likelihood is monotone.

    That is what software without a guard prints; `carkinetics.outcomes.cox` gives a reason.
    """
    if not event.any() or np.ptp(x) == 0:
        return 1.0
    return _ratio_p(risk_sets(time, event, "efron"), event, (x - x.mean()) / x.std())


def _ratio_p(risk: Array, event: NDArray[np.bool_], x: Array) -> float:
    found = optimize.minimize_scalar(
        lambda value: -partial_likelihood(risk, event, x, value)[0],
        bounds=(-_FAR, _FAR),
        method="bounded",
    )
    return likelihood_ratio_p(-float(found.fun), partial_likelihood(risk, event, x, 0.0)[0])


def _permuted(time: Array, event: NDArray[np.bool_], group: NDArray[np.bool_]) -> float:
    found, _ = permuted_log_rank(time, event, group)
    return 1.0 if found.reason else found.p_value


def _p_so_far(time: Array, event: NDArray[np.bool_], quantified: Array) -> float:
    """Compare, at each event, the highest level so far among those at risk."""
    rows, days = [], np.concatenate([[0.0], DAYS])
    so_far = np.log(np.maximum(np.maximum.accumulate(quantified, axis=1), FLOOR))
    so_far = np.hstack([np.full((time.size, 1), np.log(FLOOR)), so_far])
    for i in range(time.size):
        before = np.flatnonzero(days < time[i])
        stops = np.append(days[before[1:]], time[i])
        for k, stop in zip(before, stops, strict=True):
            rows.append((days[k], stop, event[i] and stop == time[i], so_far[i, k]))
    start, stop, struck, x = np.array(rows).T
    struck = struck.astype(bool)
    if not struck.any() or np.ptp(x) == 0:
        return 1.0
    ends = stop[struck][:, None]
    risk = ((start[None, :] < ends) & (stop[None, :] >= ends)).astype(float)
    return _ratio_p(risk, struck, (x - x.mean()) / x.std())


SETTINGS: dict[str, Trial] = {
    "N = 16, events from day 0, median 77 d": partial(trial, n=16, median=77.0, start=0.0),
    "N = 16, events from day 0, median 45 d": partial(trial, n=16, median=45.0, start=0.0),
    "N = 64, events from day 0, median 77 d": partial(trial, n=64, median=77.0, start=0.0),
    "N = 16, first event after day 28": partial(trial, n=16, median=77.0, start=28.01),
    "N = 64, first event after day 28": partial(trial, n=64, median=77.0, start=28.01),
}
