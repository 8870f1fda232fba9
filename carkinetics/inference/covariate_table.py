"""How parameters go with covariates, as a small table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import FitError

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit

_MEASURE = {"log": "ratio", "logit": "odds ratio", "identity": "difference"}
_COLUMNS = ("parameter", "term", "per", "measure", "median", "low", "high")


def covariate_table(fit: Fit, probability: float) -> pd.DataFrame:
    """Make the table; see `Fit.covariate_table`."""
    if not 0 < probability < 1:
        raise FitError(f"probability={probability!r}: give a number between 0 and 1.")
    tail = (1 - probability) / 2
    rows = []
    for design in fit.plan.covariates.designs if fit.plan.covariates else ():
        draws = fit.data["posterior"][design.variable].transpose("chain", "draw", design.dim)
        beta = draws.values.reshape(-1, len(design.columns))
        values = beta if design.transform == "identity" else np.exp(beta)
        median, low, high = np.quantile(values, [0.5, tail, 1 - tail], axis=0)
        for k, column in enumerate(design.columns):
            rows.append(
                (
                    design.parameter,
                    column.name,
                    column.per,
                    _MEASURE[design.transform],
                    float(median[k]),
                    float(low[k]),
                    float(high[k]),
                )
            )
    return pd.DataFrame(rows, columns=list(_COLUMNS))
