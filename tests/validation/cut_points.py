"""Cut-points: what a dichotomized exposure loses, and what a searched cut invents."""

from __future__ import annotations

from functools import partial

import numpy as np

from carkinetics.outcomes import log_rank, optimal_cut_point
from carkinetics.outcomes.light_tests import cox_p, mann_whitney_p
from tests.validation.repetitions import Trial

ANALYSES = {
    "continuous exposure, Cox": "shown first",
    "median split, log-rank": "for the picture",
    "optimal cut, uncorrected": "never alone",
    "optimal cut, corrected": "`optimal_cut_point`",
    "progression within 3 months or later, Mann-Whitney": "for the picture",
}
# Published rates, in the order of SETTINGS; the last has one published number.
PUBLISHED = {
    "continuous exposure, Cox": (0.063, 0.60, None),
    "median split, log-rank": (0.070, 0.41, None),
    "optimal cut, uncorrected": (0.27, 0.79, 0.32),
    "optimal cut, corrected": (0.053, 0.39, None),
    "progression within 3 months or later, Mann-Whitney": (0.047, 0.36, None),
}
_SCALE, _MONTHS = 111.1, 91.0  # mean day of progression at the mean exposure; three months


def trial(rng: np.random.Generator, n: int, ratio: float) -> dict[str, float]:
    """Draw a trial whose hazard ratio per SD of exposure is `ratio`; give every p-value."""
    x = rng.standard_normal(n)
    day = _SCALE * rng.exponential(size=n) * np.exp(-np.log(ratio) * x)
    ends = rng.uniform(120.0, 900.0, n)
    time, event = np.minimum(day, ends), day <= ends
    split = log_rank(time, event, x > np.median(x))
    found = optimal_cut_point(time, event, x)
    early = time <= _MONTHS
    values = (
        cox_p(x, time, event),
        split.p_value,
        found.p_uncorrected,
        found.p_value,
        mann_whitney_p(x, early) if 0 < early.sum() < n else 1.0,
    )
    return {
        name: 1.0 if np.isnan(p) else float(p) for name, p in zip(ANALYSES, values, strict=True)
    }


SETTINGS: dict[str, Trial] = {
    "N = 16, no association": partial(trial, n=16, ratio=1.0),
    "N = 16, hazard ratio 0.5 per SD": partial(trial, n=16, ratio=0.5),
    "N = 64, no association": partial(trial, n=64, ratio=1.0),
}
