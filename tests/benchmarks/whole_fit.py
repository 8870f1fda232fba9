"""A whole fit against NumPyro with diffrax: seconds for one effective draw of the worst parameter.

The built-in SYNTHETIC cohort and the default model. Both samplers get the same density, the same
coordinates, the same starting points, the same numbers of draws, and their own warm-up; the peer's
solver runs at the tolerance of ours. Figures are processor time, warm-up included, compilation left
out: divided by the smallest effective sample size among population values and between-patient SDs.

A run that is not healthy by the checks of a fit (divergences, R-hat, effective sample size) gives
no ratio. Where the draws are fewer than in a fit, the least effective sample size is in proportion.
The peer runs twice, with the acceptance probability of ours and with its own default; the better
of both counts.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import stan_run
from tests.benchmarks.result import Result

CHAINS, FASTER = 4, 5.0
# Acceptance probabilities of the peer: ours, and its default.
TARGETS = (0.9, 0.8)
# Of the checks of a fit: at most so many divergences per draw, R-hat, effective draws per draw.
MOST_DIVERGENCES, LARGEST_RHAT, SMALLEST_SHARE = 1e-3, 1.01, 0.1
_NAME = "whole fit, NUTS, worst population parameter [ms of processor per effective draw]"
_PEER = "NumPyro NUTS with diffrax Tsit5"


@dataclass(frozen=True)
class Run:
    """Cost of one effective draw [ms], and what is wrong with the run."""

    cost: float
    faults: str


def measure(small: bool) -> list[Result]:
    # A peer that takes hours on a busy machine can be given fewer draws.
    draws = 20 if small else int(os.environ.get("CARKINETICS_BENCH_DRAWS", "1000"))
    import carkinetics as ck
    from carkinetics.inference.planning import plan_fit
    from carkinetics.inference.reuse import machine
    from carkinetics.inference.sampling import prepare, ready_to_run

    model = ck.load_model("cd4_cd8_expansion")
    visits = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0)
    cohort = ck.simulate(model, 4, seed=11, visits=visits) if small else ck.synthetic_cohort()
    plan = plan_fit(model, cohort)
    with machine(plan) as compiled:
        prepared = prepare(ready_to_run(plan, compiled))
        ours = _ours(prepared, draws)
        notes = [f"ours at 4 x ({draws} + {draws}): {ours.faults}"] if ours.faults else []
        if small:
            return [Result(_NAME, ours.cost, ours.cost, "ourselves", None)]
        by_stan = stan_run.row(prepared, ours)
        if importlib.util.find_spec("numpyro") is None:
            return [Result(_NAME, ours.cost, None, _PEER, 1 / FASTER, "ratio",
                           "NumPyro is not installed (the extra bench)"), by_stan]  # fmt: skip
        peer = _theirs(prepared, draws)
    notes += [f"the peer is not healthy: {peer.faults}"] if peer.faults else []
    healthy = not (ours.faults or peer.faults)
    return [
        Result(
            _NAME, ours.cost, peer.cost if healthy else None, f"{_PEER}, 4 x ({draws} + {draws})",
            1 / FASTER, "ratio", "; ".join(notes),
        ),
        by_stan,
    ]  # fmt: skip


def _ours(prepared: Any, draws: int) -> Run:
    import numpy as np

    from carkinetics.inference.progress import Reporter
    from carkinetics.inference.sampling import SamplerSettings, sample

    settings = SamplerSettings(draws, draws, CHAINS, 1)
    started = time.process_time()
    tree = sample(prepared, settings, 1, Reporter("none"))
    seconds = time.process_time() - started
    posterior = tree["posterior"].to_dataset()
    every = np.stack([posterior[name].values for name in _population(prepared.plan)], axis=-1)
    return _judged(every, int(tree["sample_stats"]["diverging"].sum()), seconds)


def _theirs(prepared: Any, draws: int) -> Run:
    import jax
    import numpy as np

    from carkinetics.inference.machine_code import log_density
    from carkinetics.inference.sampling import _scattered, coordinate_slots
    from tests.benchmarks import by_numpyro

    density = by_numpyro.log_density(prepared.plan, prepared.pymc_model, prepared.plan.tolerance)
    start = _scattered(prepared)
    starts = np.array([start(seed) for seed in range(CHAINS)])
    both = jax.jit(jax.value_and_grad(density))
    for point in starts:
        value, slope = both(point)
        mine, mine_slope = log_density(prepared.compiled, point)
        # Slopes are some hundreds; at this tolerance those of diffrax are up to 0.19 off.
        close = np.allclose(slope, mine_slope, rtol=1e-2, atol=0.3)
        if not (abs(float(value) - mine) < 0.05 and close):
            finite = int(np.isfinite(slope).sum())
            found = f"density {float(value):.3f} for {mine:.3f}, {finite} of {slope.size} slopes"
            return Run(math.inf, f"at a starting point it is not our density: {found} finite")
    slots = coordinate_slots(prepared.pymc_model, prepared.pymc_model.initial_point())
    places = [slots[name].start for name in _population(prepared.plan)]
    runs = []
    for target in TARGETS:
        found = by_numpyro.sample(density, starts, draws, draws, target)
        judged = _judged(found.points[:, :, places], int(found.diverging.sum()), found.seconds)
        told = f"{judged.faults} at an acceptance of {target:g}" if judged.faults else ""
        runs.append(Run(judged.cost, told))
        print(
            f"NumPyro at {target:g}: {found.seconds:.0f} s of processor, "
            f"{found.steps.mean():.1f} steps per draw, {judged}", file=sys.stderr,
        )  # fmt: skip
    healthy = [run for run in runs if not run.faults]
    if healthy:
        return min(healthy, key=lambda run: run.cost)
    return Run(math.inf, "; ".join(run.faults for run in runs))


def _population(plan: Any) -> list[str]:
    return [p.variable for p in plan.parameters] + [f"omega_{p.name}" for p in plan.varying]


def _judged(every: Any, divergences: int, seconds: float) -> Run:
    """Judge draws, shape (chain, draw, parameter), by ranks, so that their scale is no matter."""
    import arviz as az

    total = every.shape[0] * every.shape[1]
    columns = [every[:, :, k] for k in range(every.shape[2])]
    effective = min(float(az.ess(c, method="bulk")) for c in columns)
    rhat = max(float(az.rhat(c)) for c in columns)
    faults = []
    if divergences > MOST_DIVERGENCES * total:
        faults.append(f"{divergences} divergences in {total} draws")
    if not rhat <= LARGEST_RHAT:
        faults.append(f"R-hat {rhat:.3f}")
    if not effective >= SMALLEST_SHARE * total:
        faults.append(f"smallest effective sample size {effective:.0f} of {total} draws")
    return Run(1e3 * seconds / effective, ", ".join(faults))
