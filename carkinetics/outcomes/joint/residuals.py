"""Whether outcomes go together beyond what the exposure explains: the joint model says they do not.

Outcomes of a joint model are taken as independent given the exposure. What is left of each when
the exposure is accounted for should then be unrelated between outcomes.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from carkinetics.outcomes.endpoint import ORDINAL, SURVIVAL
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.pointwise import baseline, cut_points, draws_of, linear_predictor
from carkinetics.outcomes.trend import kendall

if TYPE_CHECKING:
    from carkinetics.outcomes.joint.extension import JointExtension

_FEWEST = 4  # patients with both outcomes


def outcome_residuals(
    extension: JointExtension, outcome: JointOutcome, draws: xr.Dataset, exposure: xr.DataArray
) -> pd.Series:
    """Give what an outcome was beyond what was expected, as a posterior mean per patient.

    Parameters
    ----------
    extension : JointExtension
        How exposure and outcome are related.
    outcome : JointOutcome
        The outcome.
    draws : Dataset, dims (chain, draw, ...)
        Of the parameters of outcomes.
    exposure : DataArray, dims (chain, draw, patient)
        The exposure of every fitted patient, natural scale.

    Returns
    -------
    Series
        Index patient. Survival: martingale residual, the event less the cumulative hazard at risk;
        grades: the grade less its expectation; yes or no: 1 or 0 less its probability.

    References
    ----------
    Therneau, Grambsch and Fleming 1990, doi 10.1093/biomet/77.1.147 (martingale residuals).
    """
    linear = linear_predictor(extension, outcome, draws, exposure)
    if outcome.kind == SURVIVAL:
        expected = baseline(extension.hazard, outcome, draws)[1] * np.exp(linear.values)
    elif outcome.kind == ORDINAL:
        inner = cut_points(draws, outcome)[..., 1:-1]
        # The expected grade is the sum of the chances of "at least k".
        expected = special.expit(linear.values[..., None] - inner[..., None, :]).sum(axis=-1)
    else:
        expected = special.expit(draws_of(draws, outcome, "intercept") + linear.values)
    left = outcome.value - expected.mean(axis=(0, 1))
    return pd.Series(left, index=linear["patient"].values.astype(str))


def residual_table(residuals: dict[str, pd.Series]) -> pd.DataFrame:
    """Relate what is left of each two outcomes.

    Parameters
    ----------
    residuals : dict of str to Series
        Outcome to residuals, index patient.

    Returns
    -------
    DataFrame
        One row per pair: ``outcomes``, ``n`` (patients with both), ``tau`` (Kendall's rank
        correlation tau-b), ``p_value`` (two-sided, by permutation) and ``reason``.
    """
    rows = []
    for one, other in combinations(residuals, 2):
        both = pd.concat([residuals[one], residuals[other]], axis=1, join="inner").to_numpy(float)
        row: dict[str, object] = {"outcomes": f"{one}, {other}", "n": len(both)}
        if len(both) < _FEWEST:
            row |= {"tau": np.nan, "p_value": np.nan, "reason": f"fewer than {_FEWEST} have both"}
        else:
            found = kendall(both[:, 0], both[:, 1])
            row |= {"tau": found.estimate, "p_value": found.p_value, "reason": found.reason}
        rows.append(row)
    return pd.DataFrame(rows, columns=["outcomes", "n", "tau", "p_value", "reason"])
