"""Counts of patients with their exact intervals, in one shape for every table."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from carkinetics.outcomes import clopper_pearson

COLUMNS = ("what", "patients", "of", "share", "lower", "upper")


def share_table(counts: Iterable[tuple[str, int, int]], probability: float = 0.95) -> pd.DataFrame:
    """Turn counts into shares with exact intervals.

    Parameters
    ----------
    counts : iterable of (str, int, int)
        What was counted, how many patients have it, and of how many.
    probability : float
        Coverage of the Clopper-Pearson intervals.

    Returns
    -------
    DataFrame
        ``what``, ``patients``, ``of`` (the denominator), ``share``, ``lower``, ``upper``; shares
        are NaN where the denominator is 0.
    """
    rows = [
        (what, n, of, n / of if of else float("nan"), *clopper_pearson(n, of, probability))
        for what, n, of in counts
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
