"""The classical estimators of each kind of outcome, as one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carkinetics.outcomes.adjacent import adjacent_categories, permuted_adjacent
from carkinetics.outcomes.association import Estimate
from carkinetics.outcomes.binary import (
    Interval,
    auroc,
    hodges_lehmann,
    mann_whitney,
)
from carkinetics.outcomes.endpoint import BINARY, CONTINUOUS, ORDINAL, SURVIVAL
from carkinetics.outcomes.halves import compare_halves
from carkinetics.outcomes.hazards import cox
from carkinetics.outcomes.ordinal import proportional_odds
from carkinetics.outcomes.pairs import Pairs
from carkinetics.outcomes.penalized import firth_cox, firth_logistic
from carkinetics.outcomes.permutation import DRAWN, RankTest
from carkinetics.outcomes.regression import Regression
from carkinetics.outcomes.scales import LOG, told_per, told_ratio
from carkinetics.outcomes.separation import is_separated
from carkinetics.outcomes.trend import (
    jonckheere_terpstra,
    kendall,
    permuted_score,
    spearman,
)

Array = NDArray[np.float64]

_FEW_EVENTS = 10
_FEW_PATIENTS = 40  # below, the likelihood ratio of a proportional-odds model is liberal


def estimates_of(kind: str, pairs: Pairs) -> tuple[Estimate, ...]:
    """Run every classical estimator of a kind of outcome."""
    return _BY_KIND[kind](pairs)


def _survival(pairs: Pairs) -> tuple[Estimate, ...]:
    keep = pairs.regressed
    day, event, x = pairs.day[keep], pairs.outcome[keep], pairs.matrix
    fitted = cox(day, event, x, probability=pairs.probability)
    found = [_ratio(pairs, fitted, "Cox (Efron)", "hazard ratio", "profile likelihood")]
    few = 0 < fitted.n_events < _FEW_EVENTS
    if (few or "monotone" in fitted.reason) and not pairs.adjusted:
        firth = firth_cox(day, event, x, probability=pairs.probability)
        why = "fewer than 10 events" if few else "monotone likelihood"
        kind = "penalized profile likelihood"
        found.append(_ratio(pairs, firth, "Firth-Cox", "hazard ratio", kind, why))
    return (*found, *compare_halves(pairs))


def _binary(pairs: Pairs) -> tuple[Estimate, ...]:
    event = pairs.outcome.astype(bool)
    n, n_events = event.size, int(event.sum())
    ranks = mann_whitney(pairs.rank, event, seed=pairs.seed)
    shift = hodges_lehmann(pairs.rank, event, probability=pairs.probability)
    area = auroc(pairs.rank, event, probability=pairs.probability)
    keep = pairs.regressed
    firth = firth_logistic(pairs.matrix, event[keep], probability=pairs.probability)
    separated = is_separated(pairs.x[keep], event[keep])
    why = "exposure separates the groups (maximum likelihood would be infinite)" * separated
    return (
        _shift(pairs, ranks, shift, n, n_events),
        Estimate(
            mode=pairs.mode,
            method="AUROC",
            measure="chance of higher exposure with the event",
            **_limits(area, pairs.probability),
            n=n,
            n_events=n_events,
            note=area.reason or f"DeLong SE {area.standard_error:.4f}",
        ),
        _ratio(pairs, firth, "Firth logistic", "odds ratio", "penalized profile likelihood", why),
    )


def _shift(pairs: Pairs, ranks: RankTest, shift: Interval, n: int, n_events: int) -> Estimate:
    numbers = _limits(shift, pairs.probability)
    measure = "difference of medians (Hodges-Lehmann)"
    if pairs.scale == LOG:
        measure = "ratio of medians (Hodges-Lehmann)"
        for name in ("estimate", "lower", "upper"):
            numbers[name] = float(np.exp(numbers[name]))
    return Estimate(
        mode=pairs.mode,
        method="Mann-Whitney",
        measure=measure,
        **numbers,
        **_of_test(ranks, "U"),
        n=n,
        n_events=n_events,
        note=shift.reason,
    )


def _ordinal(pairs: Pairs) -> tuple[Estimate, ...]:
    cumulative = _odds(
        pairs,
        proportional_odds,
        permuted_score,
        "proportional odds",
        "odds ratio of a higher grade",
    )
    adjacent = _odds(
        pairs, adjacent_categories, permuted_adjacent, "adjacent categories",
        "odds ratio of the next grade",
    )  # fmt: skip
    trend = jonckheere_terpstra(pairs.rank, pairs.outcome, seed=pairs.seed)
    measure = "chance of higher exposure at higher grade"
    return (
        cumulative,
        adjacent,
        _rank(pairs, trend, "Jonckheere-Terpstra", measure, "J"),
        *_correlations(pairs),
    )


def _odds(
    pairs: Pairs,
    fit: Callable[..., Regression],
    permuted: Callable[..., float],
    method: str,
    measure: str,
) -> Estimate:
    """Fit grades; of few patients the p-value comes from permutations of the score."""
    outcome = pairs.outcome[pairs.regressed]
    fitted = fit(pairs.matrix, outcome, probability=pairs.probability)
    ratio = _ratio(pairs, fitted, method, measure, "profile likelihood")
    if ratio.missing or ratio.n >= _FEW_PATIENTS or pairs.adjusted:
        return ratio
    return replace(
        ratio,
        p_value=permuted(pairs.x[pairs.regressed], outcome, seed=pairs.seed),
        p_kind=f"score, {DRAWN}",
        p_asymptotic=ratio.p_value,
        asymptotic_kind="likelihood ratio",
    )


def _continuous(pairs: Pairs) -> tuple[Estimate, ...]:
    return _correlations(pairs)


def _correlations(pairs: Pairs) -> tuple[Estimate, ...]:
    tau = kendall(pairs.rank, pairs.outcome, seed=pairs.seed)
    rho = spearman(pairs.rank, pairs.outcome, seed=pairs.seed)
    return (
        _rank(pairs, tau, "Kendall", "rank correlation tau-b"),
        _rank(pairs, rho, "Spearman", "rank correlation rho"),
    )


_BY_KIND: dict[str, Callable[[Pairs], tuple[Estimate, ...]]] = {
    SURVIVAL: _survival,
    BINARY: _binary,
    ORDINAL: _ordinal,
    CONTINUOUS: _continuous,
}


def _ratio(
    pairs: Pairs, fitted: Regression, method: str, measure: str, interval: str, note: str = ""
) -> Estimate:
    """Tell a regression coefficient as a ratio, per doubling where the exposure has a logarithm."""
    numbers = np.array([fitted.coefficients[0], fitted.lower[0], fitted.upper[0]])
    with np.errstate(over="ignore"):
        estimate, lower, upper = told_ratio(pairs.scale, numbers)
    missing = bool(fitted.reason)
    if pairs.adjusted:
        method = f"{method}, adjusted"
    ratio = "penalized likelihood ratio" if "penalized" in interval else "likelihood ratio"
    return Estimate(
        mode=pairs.mode,
        method=method,
        measure=f"{measure} {told_per(pairs.scale)}",
        estimate=float(estimate),
        lower=float(lower),
        upper=float(upper),
        probability=np.nan if missing else pairs.probability,
        interval_kind="" if missing else interval,
        p_value=float(fitted.p_values[0]),
        p_kind="" if missing else ratio,
        n=fitted.n,
        n_events=fitted.n_events,
        note=fitted.reason or note,
    )


def _rank(pairs: Pairs, test: RankTest, method: str, measure: str, statistic: str = "") -> Estimate:
    return Estimate(
        mode=pairs.mode,
        method=method,
        measure=measure,
        estimate=test.estimate,
        **_of_test(test, statistic),
        n=test.n,
        note=test.reason,
    )


def _of_test(test: RankTest, statistic: str) -> dict[str, Any]:
    named = bool(statistic) and not test.reason
    return {
        "p_value": test.p_value,
        "p_kind": test.p_kind,
        "statistic": test.statistic if named else np.nan,
        "statistic_name": statistic if named else "",
        "p_asymptotic": test.p_asymptotic,
        "asymptotic_kind": test.asymptotic_kind,
    }


def _limits(found: Interval, probability: float) -> dict[str, Any]:
    return {
        "estimate": found.estimate,
        "lower": found.lower,
        "upper": found.upper,
        "probability": np.nan if found.reason else probability,
        "interval_kind": "" if found.reason else found.kind,
    }
