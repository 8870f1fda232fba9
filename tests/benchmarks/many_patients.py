"""A fit of 200 simulated patients with both assays: minutes until it passes its own checks.

SYNTHETIC patients of the default model, who differ in each parameter independently of the others;
visits of a trial, qPCR and flow with CD4 and CD8. Clock time on two cores, compilation included:
with independent effects, and with the correlated ones that are the default of a fit.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from tests.benchmarks.result import Result

if TYPE_CHECKING:
    from carkinetics.inference import Fit

VISITS = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0, 90.0, 180.0)


def measure(small: bool) -> list[Result]:
    if small:
        minutes, _ = _timed(4, correlated=False, draws=50, tune=50, chains=2)
        return [
            Result("fit of 4 simulated patients, both assays [min]", minutes, None, "none", 15.0)
        ]
    return [
        _row(200, "", correlated=False, draws=1500),
        # Fewer than above: each takes twice the steps, and a half of them has the effective draws.
        _row(200, ", correlated effects", correlated=True, draws=750),
    ]


def _row(patients: int, how: str, **options: Any) -> Result:
    """Time a fit; one that does not pass its checks has no time, whatever it took."""
    minutes, fit = _timed(patients, **options)
    table = fit.check().table
    missed = table[~table["passed"]]
    told = "; ".join(f"{row.check} {row.value:.3g}" for row in missed.itertuples())
    return Result(
        f"fit of {patients} simulated patients, both assays{how} [min]",
        None if told else minutes,
        None,
        "none",
        15.0,
        reason=f"after {minutes:.1f} min it does not pass its checks: {told}" if told else "",
    )


def _timed(patients: int, **options: Any) -> tuple[float, Fit]:
    import carkinetics as ck
    from carkinetics.errors import CarkineticsWarning

    model = ck.load_model("cd4_cd8_expansion")
    cohort = ck.simulate(model, patients, seed=5, visits=VISITS)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        fit = ck.fit(model, cohort, seed=5, cores=2, rerun=False, progress="none", **options)
    return (time.perf_counter() - started) / 60, fit
