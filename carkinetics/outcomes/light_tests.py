"""The tests of `associate` without their intervals, for many simulated trials."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from carkinetics.outcomes.binary import mann_whitney
from carkinetics.outcomes.hazards import no_hazards, partial_likelihood, risk_sets
from carkinetics.outcomes.penalized import firth_cox_p, firth_logistic_p
from carkinetics.outcomes.permutation import (
    Blocks,
    concordance,
    concordance_increment,
    exact_distribution,
    two_sided,
)
from carkinetics.outcomes.regression import likelihood_ratio_p
from carkinetics.outcomes.survival import log_rank
from carkinetics.outcomes.trend import no_trend, trend_variance

Array = NDArray[np.float64]

COX, FIRTH_COX, MEDIAN_SPLIT = "Cox (Efron)", "Firth-Cox", "log-rank, median split"
MANN_WHITNEY, FIRTH = "Mann-Whitney", "Firth logistic"
JONCKHEERE, SPEARMAN = "Jonckheere-Terpstra", "Spearman"
ODDS = "proportional odds (score)"


def survival_tests(x: Array, day: Array, event: NDArray[np.bool_]) -> dict[str, float]:
    """Give p-values of the tests of time to an event; 1 where a test cannot be made."""
    found = {COX: cox_p(x, day, event)}
    split = log_rank(day, event, x > np.median(x))
    found[MEDIAN_SPLIT] = 1.0 if split.reason else split.p_value
    if 0 < event.sum() < 10 or np.isnan(found[COX]):
        found[FIRTH_COX] = firth_cox_p(x, day, event)
    else:
        found[FIRTH_COX] = found[COX]
    return {name: 1.0 if np.isnan(p) else p for name, p in found.items()}


def cox_p(x: Array, day: Array, event: NDArray[np.bool_]) -> float:
    """Give the likelihood-ratio p-value of `cox`; NaN where there is none."""
    if no_hazards(day, event, x[:, None]):
        return np.nan
    risk = risk_sets(day, event, "efron")
    scaled = (x - x.mean()) / x.std()
    found = optimize.minimize_scalar(
        lambda value: -partial_likelihood(risk, event, scaled, value)[0], bracket=(-0.5, 0.5)
    )
    return likelihood_ratio_p(-float(found.fun), partial_likelihood(risk, event, scaled, 0.0)[0])


def binary_tests(x: Array, event: NDArray[np.bool_]) -> dict[str, float]:
    """Give p-values of the tests of a yes-or-no outcome; 1 where a test cannot be made."""
    if not event.any() or event.all():
        return {MANN_WHITNEY: 1.0, FIRTH: 1.0}
    return {MANN_WHITNEY: mann_whitney_p(x, event), FIRTH: firth_logistic_p(x, event)}


def mann_whitney_p(x: Array, event: NDArray[np.bool_]) -> float:
    """Give the p-value of `mann_whitney`; the null distribution without ties is kept."""
    n1, n0 = int(event.sum()), int((~event).sum())
    if np.unique(x).size < x.size:
        return mann_whitney(x, event).p_value
    known = _untied(n1, n0)
    doubled, pairs = concordance(Blocks.of(x, event.astype(float)))
    if known is not None:
        return two_sided(*known, doubled)
    spread = np.sqrt(pairs * (n1 + n0 + 1) / 12.0)
    return float(2.0 * stats.norm.sf(abs(doubled - pairs) / 2.0 / spread))


@lru_cache(maxsize=512)
def _untied(n1: int, n0: int) -> tuple[Array, Array] | None:
    blocks = Blocks.of(np.arange(n1 + n0, dtype=float), np.repeat([0.0, 1.0], [n0, n1]))
    return exact_distribution(blocks, concordance_increment, 2 * n1 * n0)


def ordinal_tests(x: Array, grade: Array) -> dict[str, float]:
    """Give p-values of the rank tests of grades, from their large-sample approximations."""
    if no_trend(x, grade):
        return {JONCKHEERE: 1.0, SPEARMAN: 1.0, ODDS: 1.0}
    blocks = Blocks.of(x, grade)
    doubled, pairs = concordance(blocks)
    z = (doubled - pairs) / 2.0 / np.sqrt(trend_variance(blocks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rho = float(stats.spearmanr(*blocks.midranks).pvalue)
    normal = {JONCKHEERE: z, ODDS: _score_z(x, blocks.midranks[1])}
    return {SPEARMAN: rho} | {k: float(2.0 * stats.norm.sf(abs(v))) for k, v in normal.items()}


def _score_z(x: Array, grade_ranks: Array) -> float:
    """Standardize the score of `permuted_score` by its permutation variance."""
    a, b = x - x.mean(), grade_ranks - grade_ranks.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) / (x.size - 1)))
