"""Survival above and at or below the median exposure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carkinetics.outcomes.association import Estimate
from carkinetics.outcomes.pairs import Pairs
from carkinetics.outcomes.permuted_log_rank import FEW, log_rank_scores, permuted_log_rank
from carkinetics.outcomes.restricted import restricted_mean_difference
from carkinetics.outcomes.survival import log_rank

Array = NDArray[np.float64]


def compare_halves(pairs: Pairs) -> tuple[Estimate, ...]:
    """Compare the survival of patients above the median exposure with that of the others.

    Parameters
    ----------
    pairs : Pairs
        A survival outcome.

    Returns
    -------
    tuple of Estimate
        Log-rank test (by permutation where a half has fewer than 5 patients) and difference of
        restricted means. A split has less power than the exposure itself: both belong to the
        Kaplan-Meier picture.
    """
    high = pairs.rank > (np.median(pairs.rank) if pairs.rank.size else 0.0)
    day, event = pairs.day, pairs.outcome.astype(bool)
    n, n_events = day.size, int(event.sum())
    if min(high.sum(), (~high).sum()) < FEW:
        ranks, kind = permuted_log_rank(day, event, high, seed=pairs.seed)
    else:
        ranks, kind = log_rank(day, event, high), "chi-square"
    apart = restricted_mean_difference(day, event, high, probability=pairs.probability)
    chi2 = "" if ranks.reason else f"chi2 = {ranks.chi2:.3f}; "
    common: dict[str, Any] = {"mode": pairs.mode, "n": n, "n_events": n_events}
    note = "for the picture: a split has less power than the exposure itself"
    return (
        Estimate(
            method="log-rank, median split",
            measure="observed/expected events, high/low",
            estimate=_observed_over_expected(day, event, high),
            p_value=ranks.p_value,
            p_kind="" if ranks.reason else kind,
            note=ranks.reason or f"{chi2}{note}",
            **common,
        ),
        Estimate(
            method="restricted mean, median split",
            measure=f"difference of days to day {apart.horizon:g}",
            estimate=apart.estimate,
            lower=apart.lower,
            upper=apart.upper,
            probability=np.nan if apart.reason else pairs.probability,
            interval_kind="" if apart.reason else "normal, Greenwood",
            p_value=apart.p_value,
            p_kind="" if apart.reason else "normal",
            note=apart.reason or note,
            **common,
        ),
    )


def _observed_over_expected(day: Array, event: NDArray[np.bool_], high: NDArray[np.bool_]) -> float:
    """Divide observed by expected events in each half: a rough hazard ratio."""
    if not event.any() or high.all() or not high.any():
        return np.nan
    expected = event - log_rank_scores(day, event)
    ratios = [event[some].sum() / expected[some].sum() for some in (high, ~high)
              if expected[some].sum() > 0]  # fmt: skip
    return float(ratios[0] / ratios[1]) if len(ratios) == 2 and ratios[1] > 0 else np.nan
