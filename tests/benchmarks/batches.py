"""What a batch costs beside its fits, what a second worker brings, and a million solver runs.

Throughput: the same fits on one worker and on two; the peer is one worker, the target 1.8 times its
pace. Overhead: what passes beside the fits themselves (starting processes, reading and writing), as
a share of their time. Listing: ten thousand variants, from the declaration to the work left.
Runs: Cmax and AUC0-28 of the default model for many parameter sets; the peer is the general-purpose
solver of scipy, on a few of them.

The small mode takes exposures from samples in place of fits, and few of everything.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

from tests.benchmarks.result import Result


def measure(small: bool) -> list[Result]:
    return [*_fits(small), _listing(small), _runs(200 if small else 1_000_000, 2 if small else 50)]


def _fits(small: bool) -> list[Result]:
    import carkinetics as ck

    cohort = ck.synthetic_cohort()
    method, model = "samples", None
    declared = ck.variants(landmark=[14, 28], blq=["zero"])
    options: dict[str, Any] = {}
    if not small:
        method, model = "laplace", ck.load_model("cd4_cd8_expansion")
        declared = ck.variants(leave_out=list(cohort.patient_ids[:8]))
        options = {"reweight": False, "allow_failed": True}
    seconds, working = {}, {}
    for n_workers in (1,) if small else (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            runs = ck.run_variants(
                model, cohort, declared, folder=folder, method=method, n_workers=n_workers,
                progress="none", **options,
            )  # fmt: skip
            seconds[n_workers] = time.perf_counter() - started
            working[n_workers] = float(runs.table.drop_duplicates("fit")["seconds"].sum())
    beside = 100 * (seconds[1] - working[1]) / working[1]
    found = [Result("batch, beside the fits [%]", beside, 100.0, "the fits themselves", target=5.0)]
    if not small:
        name = "batch of 9 fits, two workers [s]"
        found.append(Result(name, seconds[2], seconds[1], "one worker", target=seconds[1] / 1.8))
    return found


def _listing(small: bool) -> Result:
    import itertools

    import carkinetics as ck

    cohort = ck.synthetic_cohort()
    n = 3 if small else 10
    levels = {
        "landmark": list(range(n)),
        "lloq_scale": [1 + k / 10 for k in range(n)],
        "blq_cap": ["all", *range(1, n)],
        "visits": ["all", *([day, 28] for day in range(1, n))],
    }
    started = time.perf_counter()
    plan = ck.variants(design="crossed", **levels).plan(None, cohort, method="samples", n_workers=2)
    assert sum(len(job.analyses) for job in plan.unfinished) == n**4
    ours = time.perf_counter() - started
    started = time.perf_counter()
    combinations = [dict(zip(levels, c, strict=True)) for c in itertools.product(*levels.values())]
    assert len(combinations) == n**4
    peer = max(time.perf_counter() - started, 1e-6)
    return Result(f"list {n**4:,} variants [s]", ours, peer, "itertools alone", target=10.0)


def _runs(n: int, n_peer: int) -> Result:
    import numpy as np
    from scipy.integrate import solve_ivp

    import carkinetics as ck
    from carkinetics.sensitivity.inputs import inputs_of
    from carkinetics.sensitivity.runs_of_model import model_runs
    from carkinetics.solve.trajectory import right_side

    model = ck.load_model("cd4_cd8_expansion")
    runs = model_runs(model, ["cmax", "auc_0_28"])
    inputs = inputs_of(model, "population")
    typical = model.typical()
    values = np.tile([typical[name] for name in runs.parameters], (n, 1))
    at = [runs.parameters.index(name) for name in inputs.names]
    values[:, at] = inputs.natural(np.random.default_rng(0).random((n, len(at))))
    runs(values[:4])  # compiled, or taken from the cache
    started = time.perf_counter()
    found = runs(values)
    ours = time.perf_counter() - started
    assert np.isfinite(found).mean() > 0.99
    equations = right_side(model.system())
    started = time.perf_counter()
    for numbers in values[:n_peer]:
        solve_ivp(
            lambda day, state, p=numbers: equations.rates(day, state, p), (0.0, 28.0),
            equations.start(numbers), method="LSODA", rtol=1e-6, atol=1e-9,
        )  # fmt: skip
    peer = (time.perf_counter() - started) * n / n_peer
    return Result(f"{n:,} runs of the model [s]", ours, peer, "scipy, LSODA", target=60.0)
