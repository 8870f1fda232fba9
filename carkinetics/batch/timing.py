"""How long a batch takes: from what is finished, else by a rule of thumb."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from carkinetics.batch.factors import SAMPLES

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan
    from carkinetics.batch.store import Store

# Seconds of one process, start included, on a processor of 2024: an analysis from samples, and
# fits of the default model to 16 patients.
_THUMB = {SAMPLES: 6.0, "laplace": 90.0, "nuts": 600.0}
_PATIENTS = 16
_START = 5.0


def workers_here() -> int:
    """Return how many processes this machine runs at the same time."""
    available = getattr(os, "process_cpu_count", os.cpu_count)()
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    return max(1, available or 1)


def start_seconds(plan: BatchPlan) -> float:
    """Return what it takes until the first process works [s]."""
    return _START if plan.unfinished else 0.0


def expected_seconds(plan: BatchPlan, store: Store | None) -> tuple[float, str]:
    """Estimate what one process takes.

    Parameters
    ----------
    plan : BatchPlan
        The batch.
    store : Store or None
        Where finished work lies.

    Returns
    -------
    float and str
        Seconds, and what the estimate rests on.
    """
    seconds = [] if store is None else store.seconds(plan.method)
    if seconds:
        return sum(seconds) / len(seconds), f"from {len(seconds)} finished"
    thumb = _THUMB[plan.method]
    if plan.method == SAMPLES:
        largest = max((len(job.analyses) for job in plan.unfinished), default=0)
        return thumb + 0.05 * largest, "rule of thumb"
    draws = float(plan.settings.get("draws", 2000)) / 2000 if plan.method == "nuts" else 1.0
    size = plan.cohort.n_patients / _PATIENTS
    return max(thumb * size * draws, 60.0), "rule of thumb; better once the first is finished"


def in_time(seconds: float) -> str:
    """Write a duration.

    Examples
    --------
    >>> in_time(42), in_time(600), in_time(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
