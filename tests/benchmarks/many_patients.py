"""A fit of 200 simulated patients with both assays: minutes until it passes its own checks.

SYNTHETIC patients of the default model, visits of a trial, qPCR and flow with CD4 and CD8. Clock
time on two cores, compilation included, with the default settings of a fit.
"""

from __future__ import annotations

import time
import warnings

from tests.benchmarks.result import Result

VISITS = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0, 90.0, 180.0)


def measure(small: bool) -> list[Result]:
    import carkinetics as ck
    from carkinetics.errors import CarkineticsWarning

    patients = 4 if small else 200
    options = {"draws": 50, "tune": 50, "chains": 2} if small else {}
    model = ck.load_model("cd4_cd8_expansion")
    cohort = ck.simulate(model, patients, seed=5, visits=VISITS)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "not trustworthy", CarkineticsWarning)
        fit = ck.fit(model, cohort, seed=5, cores=2, progress="none", **options)
    minutes = (time.perf_counter() - started) / 60
    passed = fit.check().passed
    return [
        Result(
            f"fit of {patients} simulated patients, both assays [min]", minutes, None, "none", 15.0,
            reason="" if passed else "the fit did not pass its checks",
        )
    ]  # fmt: skip
