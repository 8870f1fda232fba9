"""Grades cut by cut: what the one slope of proportional odds assumes, laid open."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from carkinetics.outcomes.pairs import Pairs
from carkinetics.outcomes.penalized import firth_logistic
from carkinetics.outcomes.regression import design
from carkinetics.outcomes.scales import ratio_per_doubling


def odds_by_cut(x: ArrayLike, grade: ArrayLike, *, probability: float = 0.95) -> pd.DataFrame:
    """Give the slope of every cut-point of a grade a value of its own.

    Proportional odds say that exposure moves the odds of "grade k or more" by the same factor at
    every k. Here each k has its own factor, by logistic regression after Firth.

    Parameters
    ----------
    x : array_like, shape (patient,) or (patient, covariate)
        Covariates, such as ln exposure, the exposure first.
    grade : array_like, shape (patient,)
        Ordered outcome. Grades nobody had make no cut.
    probability : float
        Coverage of the penalized profile-likelihood intervals.

    Returns
    -------
    DataFrame
        One row per cut: ``at_least`` (the grade), ``estimate``, ``lower``, ``upper`` (log odds
        ratio per unit of the first covariate), ``p_value`` (penalized likelihood ratio),
        ``n_events``, ``n`` and ``reason`` where there is no number.

    References
    ----------
    Peterson and Harrell 1990, doi 10.2307/2347760 (partial proportional odds).

    Examples
    --------
    >>> found = odds_by_cut([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0, 1, 0, 2, 1, 2])
    >>> list(found["at_least"]), list(found["n_events"])
    ([1, 2], [4, 2])
    """
    matrix, grade = design(x), np.asarray(grade, dtype=float)
    rows = []
    for cut in np.unique(grade)[1:]:
        fitted = firth_logistic(matrix, grade >= cut, probability=probability)
        rows.append(
            {
                "at_least": int(cut),
                "estimate": float(fitted.coefficients[0]),
                "lower": float(fitted.lower[0]),
                "upper": float(fitted.upper[0]),
                "p_value": float(fitted.p_values[0]),
                "n_events": fitted.n_events,
                "n": fitted.n,
                "reason": fitted.reason,
            }
        )
    columns = ["at_least", "estimate", "lower", "upper", "p_value", "n_events", "n", "reason"]
    return pd.DataFrame(rows, columns=columns)


def cut_note(pairs: Pairs, word: str) -> tuple[str, ...]:
    """Say the odds ratio of every cut beside the one slope; nothing below three grades.

    Parameters
    ----------
    pairs : Pairs
        Exposure and grades.
    word : str
        What the exposure is: observed or posterior.
    """
    grade = pairs.outcome[pairs.regressed]
    if pairs.scale != "log" or np.unique(grade).size < 3:
        return ()
    table = odds_by_cut(pairs.matrix, grade, probability=pairs.probability)
    told = []
    for row in table[table["reason"] == ""].itertuples():
        middle, low, high = ratio_per_doubling(np.array([row.estimate, row.lower, row.upper]))
        told.append(
            f"{middle:.2f} ({low:.2f} to {high:.2f}) for grade {row.at_least} or more, "
            f"{row.n_events} of {row.n} patients"
        )
    if not told:
        return ()
    return (
        f"{word} exposure, cut by cut: proportional odds give every grade the same ratio; with one "
        f"of its own for each (Firth logistic, per doubling) they are {'; '.join(told)}",
    )
