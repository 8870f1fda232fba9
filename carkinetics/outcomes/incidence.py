"""Cumulative incidence of one kind of event where other kinds compete with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from carkinetics.errors import DataError, Fault

Array = NDArray[np.float64]

TRANSFORM = "log-log"


@dataclass(frozen=True)
class CumulativeIncidence:
    """Aalen-Johansen curves, one per cause.

    Parameters
    ----------
    day : array, shape (day,)
        Every day with an event or a censoring [day].
    n_at_risk : array, shape (day,)
        Patients without event or censoring before the day.
    causes : tuple of int
        The causes seen, in order.
    incidence, standard_error, lower, upper : array, shape (cause, day)
        Share of patients with the event by the end of the day, with pointwise limits.
    survival : array, shape (day,)
        Share without any event: with the incidences it adds up to 1.
    transform : str
        Scale on which the limits are symmetric.
    probability : float
        Coverage of the limits.
    n : int
        Patients.
    """

    day: Array
    n_at_risk: Array
    causes: tuple[int, ...]
    incidence: Array
    standard_error: Array
    lower: Array
    upper: Array
    survival: Array
    transform: str
    probability: float
    n: int

    def at(self, day: float, cause: int) -> float:
        """Give the incidence of a cause by a day [day]."""
        return float(self.interval_at(day, cause)[0])

    def interval_at(self, day: float, cause: int) -> tuple[float, float, float]:
        """Give the incidence of a cause by a day [day], with its limits."""
        before = int(np.searchsorted(self.day, day, side="right"))
        if before == 0 or cause not in self.causes:
            return 0.0, np.nan, np.nan
        row, last = self.causes.index(cause), before - 1
        found = (self.incidence, self.lower, self.upper)
        return tuple(float(array[row, last]) for array in found)  # type: ignore[return-value]


def cumulative_incidence(
    time: ArrayLike, cause: ArrayLike, *, probability: float = 0.95
) -> CumulativeIncidence:
    """Estimate how many patients have had each kind of event, day by day.

    One minus Kaplan-Meier with competing events censored answers another question (what if the
    other kinds did not exist) and lies too high.

    Parameters
    ----------
    time : array_like, shape (patient,)
        Day of the first event or of censoring [day].
    cause : array_like of int, shape (patient,)
        0 for censoring, else the kind of event.
    probability : float
        Coverage of the pointwise limits, symmetric on the log(-log) scale.

    Returns
    -------
    CumulativeIncidence
        Limits are NaN before the first event of a cause.

    References
    ----------
    Aalen and Johansen 1978, Scandinavian Journal of Statistics 5:141-150. Variance by the delta
    method, as in Choudhury 2002, doi 10.1002/sim.1143.
    """
    time, cause = np.asarray(time, dtype=float), np.asarray(cause, dtype=int)
    if time.size == 0:
        raise DataError(Fault("cumulative_incidence", "there are no patients"))
    day = np.unique(time)
    at_risk = np.array([(time >= d).sum() for d in day], dtype=float)
    causes = tuple(int(c) for c in np.unique(cause[cause > 0]))
    events = np.array([[((time == d) & (cause == c)).sum() for d in day] for c in causes])
    events = events.reshape(len(causes), day.size).astype(float)
    every = events.sum(axis=0)
    survival = np.cumprod(1.0 - every / at_risk)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * events / at_risk, axis=1)
    errors = np.array(
        [
            _standard_error(own, part, every, at_risk, before)
            for own, part in zip(incidence, events, strict=True)
        ]
    ).reshape(incidence.shape)
    lower, upper = _limits(incidence, errors, probability)
    return CumulativeIncidence(
        day, at_risk, causes, incidence, errors, lower, upper, survival, TRANSFORM, probability,
        time.size,
    )  # fmt: skip


def _standard_error(
    incidence: Array, events: Array, every: Array, at_risk: Array, before: Array
) -> Array:
    """Give the delta-method standard error at each day."""
    # Nobody is left after a day on which all at risk have an event: no term beyond it.
    left = np.where(at_risk > every, at_risk - every, np.inf)
    found = np.empty(incidence.size)
    for i in range(incidence.size):
        until = slice(0, i + 1)
        gained = incidence[i] - incidence[until]
        n, d, s = at_risk[until], events[until], before[until]
        variance = (
            gained**2 * every[until] / (n * left[until])
            + s**2 * (n - d) * d / n**3
            - 2.0 * gained * s * d / n**2
        ).sum()
        found[i] = np.sqrt(max(variance, 0.0))
    return found


def _limits(incidence: Array, errors: Array, probability: float) -> tuple[Array, Array]:
    """Give limits symmetric on the log(-log) scale, which stay within 0 and 1."""
    z = float(stats.norm.ppf(0.5 + probability / 2.0))
    inside = (incidence > 0) & (incidence < 1)
    lower, upper = np.full(incidence.shape, np.nan), np.full(incidence.shape, np.nan)
    share = incidence[inside]
    reach = np.exp(z * errors[inside] / (share * np.abs(np.log(share))))
    lower[inside], upper[inside] = share**reach, share ** (1.0 / reach)
    return lower, upper
