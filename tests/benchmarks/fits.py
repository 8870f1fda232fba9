"""A whole fit of the built-in cohort: compiling, the approximation, sampling, chains in parallel.

Processor time where it says so, since it is the same on a busy machine; clock time for chains in
parallel, where the clock is the point. The built-in cohort is SYNTHETIC.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

from tests.benchmarks.result import Result

_VISITS = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0)


def measure(small: bool) -> list[Result]:
    import carkinetics as ck
    from carkinetics.errors import CarkineticsWarning
    from carkinetics.inference.planning import plan_fit
    from carkinetics.inference.reuse import forget, machine
    from carkinetics.inference.sampling import ready_to_run

    model = ck.load_model("cd4_cd8_expansion")
    cohort = ck.simulate(model, 4, seed=11, visits=_VISITS) if small else ck.synthetic_cohort()
    plan = plan_fit(model, cohort)
    forget()
    first = _processor(lambda: _compiled(machine, plan))
    again = _processor(lambda: _compiled(machine, plan))
    found = [
        Result("compile again, same shape [s of processor]", again, first, "the first time", 3.0)
    ]
    with machine(plan) as compiled, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "not trustworthy", CarkineticsWarning)
        ready = ready_to_run(plan, compiled)
        found += _approximation_and_sampling(ready, small)
    return found


def _approximation_and_sampling(ready: Any, small: bool) -> list[Result]:
    from carkinetics.inference.approximate import approximate_plan
    from carkinetics.inference.progress import Reporter
    from carkinetics.inference.sampling import SamplerSettings, prepare, sample

    approximate_plan(ready, 4, 20, 1)  # compiles what its curves need
    quick = _processor(lambda: approximate_plan(ready, 4, 20 if small else 500, 1))
    prepared = prepare(ready)
    draws, tune = (10, 50) if small else (1000, 1000)
    clock = {}
    for cores in (1, 2):
        settings = SamplerSettings(draws, tune, 4, cores)
        started, spent = time.perf_counter(), time.process_time()
        sample(prepared, settings, 1, Reporter("none"))
        clock[cores] = time.perf_counter() - started, time.process_time() - spent
    return [
        Result(
            "approximate the posterior [s of processor]", quick, clock[1][1],
            f"NUTS, 4 x ({tune:,} + {draws:,})", 3.0,
        ),
        Result(
            "4 chains on 2 cores, share of the time on 1", clock[2][0] / clock[1][0], 1.0,
            "4 chains on 1 core", 0.6,
        ),
        Result(
            "sample 4 x (1,000 + 1,000) on 2 cores [s]", clock[2][0], clock[1][0],
            "the same on 1 core", 45.0,
        ),
    ]  # fmt: skip


def _compiled(machine: Any, plan: Any) -> None:
    with machine(plan):
        pass


def _processor(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started
