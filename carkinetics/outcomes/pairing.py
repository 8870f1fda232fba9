"""Exposure, outcome and covariates of the same patients, put side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.outcomes.endpoint import SURVIVAL, Endpoint
from carkinetics.outcomes.exposure_values import ExposureValues
from carkinetics.outcomes.pairs import Pairs
from carkinetics.outcomes.propagated import DRAWS, Drawn


def pair_up(
    values: ExposureValues,
    endpoint: Endpoint,
    adjusted: pd.DataFrame,
    probability: float,
    seed: int,
) -> tuple[Pairs, dict[str, str]]:
    """Put exposure and outcome of the same patients side by side; name those without exposure."""
    used = endpoint.used
    table = values.table.reindex(used.index)
    known = table["rank"].notna()
    lacking = table.loc[~known, "reason"].fillna("no levels")
    missing = {str(patient): str(why) for patient, why in lacking.items()}
    used, table = used[known], table[known]
    survival = endpoint.kind == SURVIVAL
    pairs = Pairs(
        mode=values.mode,
        scale=values.scale,
        x=table["x"].to_numpy(float),
        rank=table["rank"].to_numpy(float),
        outcome=used["event" if survival else "outcome"].to_numpy(float),
        day=used["day"].to_numpy(float) if survival else np.empty(0),
        probability=probability,
        seed=seed,
        covariates=adjusted.reindex(used.index).to_numpy(float),
    )
    return pairs, missing


def draws_of(values: ExposureValues, endpoint: Endpoint, pairs: Pairs) -> Drawn:
    """Take evenly spaced draws in which every patient of the analysis has a log exposure."""
    used = endpoint.used.index
    known = values.table.reindex(used)["rank"].notna().to_numpy()
    rows = values.table.index.get_indexer(used[known][pairs.regressed])
    draws = values.draws[rows].T
    draws = draws[np.isfinite(draws).all(axis=1)]
    keep = np.unique(np.linspace(0, len(draws) - 1, min(DRAWS, len(draws))).round().astype(int))
    return Drawn(
        x=draws[keep],
        scale=values.scale,
        outcome=pairs.outcome[pairs.regressed],
        day=pairs.day[pairs.regressed] if pairs.day.size else pairs.day,
        probability=pairs.probability,
    )


def counted_by_reason(left_out: dict[str, str]) -> tuple[str, ...]:
    """Say how many patients were left out for each reason, and which."""
    by_reason: dict[str, list[str]] = {}
    for patient, reason in left_out.items():
        by_reason.setdefault(reason, []).append(patient)
    return tuple(
        f"{len(patients)} patient(s) left out, {reason}: {', '.join(patients[:5])}"
        f"{', ...' if len(patients) > 5 else ''}"
        for reason, patients in by_reason.items()
    )
