"""The cut posterior: the classical estimate of every draw of the exposure, pooled.

Exposures are drawn without looking at the outcome, so that the pooled association is weakened by
what the kinetics leave open, and its interval is wide where patients are few. It is shown beside
the others as a sensitivity analysis, never as the headline.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from carkinetics.outcomes.association import PROPAGATED, Estimate
from carkinetics.outcomes.binary import auroc
from carkinetics.outcomes.endpoint import BINARY, CONTINUOUS, ORDINAL, SURVIVAL
from carkinetics.outcomes.hazards import no_hazards, partial_likelihood, risk_sets
from carkinetics.outcomes.ordinal import proportional_odds_slope
from carkinetics.outcomes.penalized import firth_slope
from carkinetics.outcomes.pooling import pool
from carkinetics.outcomes.scales import told_per, told_ratio

Array = NDArray[np.float64]

DRAWS = 100
_FEWEST = 20  # draws with an estimate, below which nothing is pooled
Slope = Callable[[Array], tuple[float, float]]  # exposure of a draw -> coefficient, variance


@dataclass(frozen=True)
class Drawn:
    """Draws of the exposure of the patients of one analysis, with their outcome.

    Parameters
    ----------
    x : array, shape (draw, patient)
        ln exposure, or the exposure itself on another scale; finite.
    scale : str
        That of `x`; see `carkinetics.outcomes.scales`.
    outcome, day : array, shape (patient,)
        As in `carkinetics.outcomes.estimates.Pairs`.
    probability : float
        Coverage of intervals.
    """

    x: Array
    scale: str
    outcome: Array
    day: Array
    probability: float


def propagated_estimates(kind: str, drawn: Drawn) -> tuple[Estimate, ...]:
    """Pool the classical estimates of all draws.

    Parameters
    ----------
    kind : str
        Kind of outcome.
    drawn : Drawn
        Draws and outcome.

    Returns
    -------
    tuple of Estimate
        A regression pooled by Rubin's rules with the degrees of freedom of Barnard and Rubin
        (complete-data freedom: events - 1), and for grades and yes-or-no outcomes the
        distribution over draws of a rank statistic: a description without a p-value.
    """
    if drawn.x.shape[0] == 0 or drawn.x.shape[1] < 3:
        return ()
    if kind == CONTINUOUS:
        return (_described(drawn, "Kendall", "rank correlation tau-b", _tau),)
    method, measure, slope = _REGRESSION[kind](drawn)
    found = (_pooled(drawn, kind, method, measure, slope),)
    if kind == BINARY:
        name = "chance of higher exposure with the event"
        if drawn.outcome.any() and not drawn.outcome.all():
            return (*found, _described(drawn, "AUROC", name, _area))
    if kind == ORDINAL and np.ptp(drawn.outcome) > 0:
        return (*found, _described(drawn, "Kendall", "rank correlation tau-b", _tau))
    return found


def _area(x: Array, outcome: Array) -> float:
    return auroc(x, outcome).estimate


def _tau(x: Array, outcome: Array) -> float:
    return float(stats.kendalltau(x, outcome).statistic)


def _survival(drawn: Drawn) -> tuple[str, str, Slope]:
    event = drawn.outcome.astype(bool)
    risk = risk_sets(drawn.day, event, ties="efron")

    def slope(x: Array) -> tuple[float, float]:
        if no_hazards(drawn.day, event, x[:, None]):
            return np.nan, np.nan
        scaled, spread = (x - x.mean()) / x.std(), x.std()
        found = optimize.minimize_scalar(
            lambda value: -partial_likelihood(risk, event, scaled, value)[0], bracket=(-0.5, 0.5)
        )
        information = partial_likelihood(risk, event, scaled, float(found.x))[1]
        return float(found.x) / spread, 1.0 / (information * spread**2)

    return "Cox (Efron), Rubin's rules", "hazard ratio", slope


def _binary(drawn: Drawn) -> tuple[str, str, Slope]:
    event = drawn.outcome.astype(bool)
    return "Firth logistic, Rubin's rules", "odds ratio", lambda x: firth_slope(x, event)


def _ordinal(drawn: Drawn) -> tuple[str, str, Slope]:
    name = "proportional odds, Rubin's rules"
    measure = "odds ratio of a higher grade"
    return name, measure, lambda x: proportional_odds_slope(x, drawn.outcome)


_REGRESSION = {SURVIVAL: _survival, BINARY: _binary, ORDINAL: _ordinal}


def _pooled(drawn: Drawn, kind: str, method: str, measure: str, slope: Slope) -> Estimate:
    measure = f"{measure} {told_per(drawn.scale)}"
    n, n_events = drawn.x.shape[1], int((drawn.outcome > drawn.outcome.min()).sum())
    if kind in (SURVIVAL, BINARY):
        n_events = int(drawn.outcome.sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.array([slope(x) for x in drawn.x])
    known = np.isfinite(found).all(axis=1)
    if known.sum() < _FEWEST:
        note = f"only {int(known.sum())} of {known.size} draws have a finite estimate"
        return Estimate(PROPAGATED, method, measure, np.nan, n=n, n_events=n_events, note=note)
    pooled = pool(found[known, 0], found[known, 1], complete_freedom=max(n_events - 1, 1))
    numbers = np.array([pooled.estimate, *pooled.interval(drawn.probability)])
    with np.errstate(over="ignore"):
        estimate, lower, upper = told_ratio(drawn.scale, numbers)
    lost = int((~known).sum())
    note = "a sensitivity analysis: weakened by what the kinetics leave open, conservative"
    note += f"; {lost} of {known.size} draws without a finite estimate left out" if lost else ""
    return Estimate(
        mode=PROPAGATED,
        method=method,
        measure=measure,
        estimate=float(estimate),
        lower=float(lower),
        upper=float(upper),
        probability=drawn.probability,
        interval_kind=f"Rubin's rules over {int(known.sum())} draws, Barnard-Rubin freedom",
        p_value=pooled.p_value,
        p_kind="Rubin's rules, Student t",
        n=n,
        n_events=n_events,
        note=note,
    )


def _described(
    drawn: Drawn, method: str, measure: str, statistic: Callable[[Array, Array], float]
) -> Estimate:
    values = np.array([statistic(x, drawn.outcome) for x in drawn.x])
    tail = (1.0 - drawn.probability) / 2.0
    lower, middle, upper = np.quantile(values, [tail, 0.5, 1.0 - tail])
    return Estimate(
        mode=PROPAGATED,
        method=f"{method}, over draws",
        measure=measure,
        estimate=float(middle),
        lower=float(lower),
        upper=float(upper),
        probability=drawn.probability,
        interval_kind=f"equal-tailed range of {values.size} draws",
        n=drawn.x.shape[1],
        note="a description of how far the kinetics leave the statistic open; no test, and no "
        "allowance for the number of patients",
    )
