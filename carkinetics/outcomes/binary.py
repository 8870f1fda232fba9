"""Exposure in patients with and without an event: exact tests for few patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from carkinetics.outcomes.permutation import (
    DRAWN,
    EXACT,
    Blocks,
    RankTest,
    concordance,
    concordance_increment,
    drawn_p,
    exact_distribution,
    two_sided,
)

Array = NDArray[np.float64]

_ENOUGH_FOR_DELONG = 10  # patients in the smaller group


def mann_whitney(x: ArrayLike, event: ArrayLike, *, seed: int = 2026) -> RankTest:
    """Compare the exposure of patients with and without an event by ranks.

    Parameters
    ----------
    x : array_like, shape (patient,)
        Exposure; only its order matters. Patients below the limit of quantification are given
        as minus infinity and tie for the lowest rank.
    event : array_like, shape (patient,)
        Whether the patient had the event.
    seed : int
        Of the permutations drawn where counting all of them would take too long.

    Returns
    -------
    RankTest
        ``statistic`` is U of the patients with the event (pairs in which theirs is higher, ties
        one half), ``estimate`` is U over all pairs, the AUROC. The p-value is exact given the
        ties; the asymptotic one is corrected for ties and continuity.

    Examples
    --------
    >>> mann_whitney([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]).p_value
    0.1
    """
    x, event = np.asarray(x, dtype=float), np.asarray(event, dtype=bool)
    reason = one_sided_outcome(event)
    if reason:
        return RankTest.missing(reason, x.size)
    blocks = Blocks.of(x, event)
    doubled, pairs = concordance(blocks)
    exact = exact_distribution(blocks, concordance_increment, 2 * pairs)
    if exact is None:
        ranks = blocks.midranks[0] - (x.size + 1) / 2.0
        p = drawn_p(lambda order: ranks[order][:, event].sum(1), ranks[event].sum(), x.size, seed)
    else:
        p = two_sided(*exact, doubled)
    large = stats.mannwhitneyu(
        blocks.exposure[event], blocks.exposure[~event], method="asymptotic"
    ).pvalue
    return RankTest(
        statistic=doubled / 2.0,
        estimate=doubled / (2.0 * pairs),
        p_value=p,
        p_kind=DRAWN if exact is None else EXACT,
        p_asymptotic=float(large),
        asymptotic_kind="normal, corrected for ties and continuity",
        n=x.size,
    )


def one_sided_outcome(event: NDArray[np.bool_]) -> str:
    """Say why two groups cannot be compared; empty when they can."""
    if event.size == 0:
        return "there are no patients"
    if not event.any():
        return f"no patient of {event.size} had the event"
    if event.all():
        return f"all {event.size} patients had the event"
    return ""


@dataclass(frozen=True)
class Interval:
    """A number with its limits.

    Parameters
    ----------
    estimate, lower, upper : float
        The number and its limits; limits may be infinite.
    kind : str
        How the limits were found.
    standard_error : float
        NaN where the method has none.
    reason : str
        Why the number is missing; empty where it is not.
    """

    estimate: float
    lower: float
    upper: float
    kind: str
    standard_error: float = np.nan
    reason: str = ""


def hodges_lehmann(x: ArrayLike, event: ArrayLike, *, probability: float = 0.95) -> Interval:
    """Estimate how much higher the exposure is in patients with the event.

    Parameters
    ----------
    x : array_like, shape (patient,)
        ln exposure, so that the exponential of the shift is a ratio of medians. Minus infinity
        stands for below the limit.
    event : array_like, shape (patient,)
        Whether the patient had the event.
    probability : float
        Coverage of the interval, at least.

    Returns
    -------
    Interval
        Median of all pairwise differences, with limits from inverting the exact Mann-Whitney
        test (conservative under ties). Infinite limits where patients are too few for one.

    References
    ----------
    Hodges and Lehmann 1963, doi 10.1214/aoms/1177704172.
    """
    x, event = np.asarray(x, dtype=float), np.asarray(event, dtype=bool)
    reason = one_sided_outcome(event)
    if reason:
        return Interval(np.nan, np.nan, np.nan, "", reason=reason)
    with_event, without = x[event][:, None], x[~event][None, :]
    same = with_event == without  # minus infinity less itself is not a number
    with np.errstate(invalid="ignore"):
        differences = np.sort(np.where(same, 0.0, with_event - without).ravel())
    rank = _rank_of_limit(int(event.sum()), int((~event).sum()), probability)
    lower, upper = (-np.inf, np.inf) if rank == 0 else (differences[rank - 1], differences[-rank])
    middle = differences[[(differences.size - 1) // 2, differences.size // 2]]
    estimate = float(middle[0] if middle[0] == middle[1] else middle.mean())
    kind = "exact, inverted Mann-Whitney"
    if not np.isfinite(estimate):
        reason = "half of the pairs of patients have one below the limit of quantification"
        return Interval(np.nan, float(lower), float(upper), kind, reason=reason)
    return Interval(estimate, float(lower), float(upper), kind)


def _rank_of_limit(n_event: int, n_without: int, probability: float) -> int:
    """Count how many of the smallest differences lie outside the interval, plus one; 0 if none."""
    tail = (1.0 - probability) / 2.0
    pairs = n_event * n_without
    untied = Blocks.of(
        np.arange(n_event + n_without, dtype=float), np.repeat([0.0, 1.0], [n_without, n_event])
    )
    exact = exact_distribution(untied, concordance_increment, 2 * pairs)
    if exact is None:
        spread = np.sqrt(pairs * (n_event + n_without + 1) / 12.0)
        return max(int(np.floor(pairs / 2.0 - stats.norm.isf(tail) * spread)), 0)
    cumulative = np.cumsum(exact[1][::2])  # without ties the doubled U is even
    return int(np.searchsorted(cumulative, tail + 1e-12, side="right"))


def auroc(x: ArrayLike, event: ArrayLike, *, probability: float = 0.95) -> Interval:
    """Estimate the chance that a patient with the event has the higher exposure.

    Parameters
    ----------
    x : array_like, shape (patient,)
        Exposure; only its order matters; minus infinity stands for below the limit.
    event : array_like, shape (patient,)
        Whether the patient had the event.
    probability : float
        Coverage of the interval.

    Returns
    -------
    Interval
        U / (n1 n2) with DeLong's standard error (NaN with one patient in a group). The limits
        stay within 0 and 1: DeLong on the logit scale where both groups have 10 patients,
        else Newcombe's score-like method 5, since DeLong is unreliable there.

    References
    ----------
    DeLong et al. 1988, doi 10.2307/2531595. Newcombe 2006, doi 10.1002/sim.2324.
    """
    x, event = np.asarray(x, dtype=float), np.asarray(event, dtype=bool)
    reason = one_sided_outcome(event)
    if reason:
        return Interval(np.nan, np.nan, np.nan, "", reason=reason)
    with_event, without = x[event][:, None], x[~event][None, :]
    wins = (with_event > without) + 0.5 * (with_event == without)
    area = float(wins.mean())
    n1, n0 = wins.shape
    se = np.nan
    if min(n1, n0) > 1:
        se = float(np.sqrt(wins.mean(1).var(ddof=1) / n1 + wins.mean(0).var(ddof=1) / n0))
    z = float(stats.norm.ppf(0.5 + probability / 2.0))
    if min(n1, n0) >= _ENOUGH_FOR_DELONG and 0 < area < 1 and se > 0:
        reach = z * se / (area * (1.0 - area))
        ends = 1.0 / (1.0 + np.exp(-(np.log(area / (1.0 - area)) + np.array([-reach, reach]))))
        return Interval(area, float(ends[0]), float(ends[1]), "DeLong, logit scale", se)
    lower, upper = _newcombe(area, n1, n0, z)
    return Interval(area, lower, upper, "Newcombe score-like (method 5)", se)


def _newcombe(area: float, n1: int, n0: int, z: float) -> tuple[float, float]:
    """Solve |area - theta| = z sd(theta) on either side of the estimate."""
    half = (n1 + n0) / 2.0 - 1.0

    def excess(theta: float) -> float:
        inflation = 1.0 + half * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta))
        return (area - theta) ** 2 - z**2 * theta * (1.0 - theta) * inflation / (n1 * n0)

    tiny = 1e-12
    lower = 0.0 if area == 0 else _root(excess, tiny, min(area, 1.0 - tiny))
    upper = 1.0 if area == 1 else _root(excess, max(area, tiny), 1.0 - tiny)
    return lower, upper


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(function, low, high, xtol=1e-12))
