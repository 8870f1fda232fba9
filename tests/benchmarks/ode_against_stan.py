"""A loss of the levels and its gradient through the ODE path, against Stan.

The work is that of `ode_gradient`: 16 patients, 13 visits, each solver at its loosest setting whose
error of every log level is at most 1e-4, and both at 1e-5. Stan runs `ode_rk45_tol`, for stiff
models `ode_bdf_tol`, compiled with -O3, its log density called directly; of several ratios of the
absolute to the relative tolerance the fastest counts. Its levels and its gradient are compared with
ours before a figure counts. Both take turns; figures are processor time, compilation is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.benchmarks import stan_program
from tests.benchmarks.ode_gradient import STIFF_VISITS, loosest, value_and_gradient
from tests.benchmarks.ode_task import WANTED_ERROR, OdeTask, make_task
from tests.benchmarks.result import Result, median_cpu_seconds, paired_cpu_seconds

FASTER, FASTER_STIFF = 100.0, 50.0
# Seconds of processor for each of the turns that ours and Stan take.
TURN, TURNS = 0.02, 25
Settings = list[tuple[float, float]]


def measure(small: bool) -> list[Result]:
    if small:
        task = make_task("cd4_cd8_expansion", 2)
        return [_without_stan(task, 1e-5, "both at 1e-5", FASTER, "the small mode")]
    tasks = [make_task(model) for model in ("cd4_cd8_expansion", "cd4_cd8_antigen")]
    tasks += [make_task(model, 16, STIFF_VISITS) for model in ("singh_2021", "hardiansyah_2019")]
    return [row for task in tasks for row in rows(task)]


def rows(task: OdeTask) -> list[Result]:
    """Measure one task, at the wanted error and at one tolerance."""
    tolerance = loosest(task)
    faster = FASTER_STIFF if task.system.stiff else FASTER
    wanted = [("error 1e-4", tolerance), ("both at 1e-5", 1e-5)]
    if reason := stan_program.missing():
        return [_without_stan(task, ours, what, faster, reason) for what, ours in wanted]
    from tests.benchmarks.by_stan import ABSOLUTE_SHARES, Stan

    peer = Stan(task, _solver(task))
    at_error = peer.settings(WANTED_ERROR)
    at_tolerance = [(1e-5, share) for share in ABSOLUTE_SHARES]
    return [
        _against(task, peer, settings, ours, what, faster)
        for (what, ours), settings in zip(wanted, (at_error, at_tolerance), strict=True)
    ]


def _against(
    task: OdeTask, peer: Any, settings: Settings, tolerance: float, what: str, faster: float
) -> Result:
    ours = value_and_gradient(task, tolerance)
    slopes = ours()[1]
    right = [s for s in settings if agrees(task, *peer.found(*s), slopes)]
    if not right:
        tried = f"{len(settings)} settings tried" if settings else "no tolerance gives the error"
        return _without_stan(task, tolerance, what, faster, f"no right gradient by Stan: {tried}")
    runs = {s: peer.gradient(*s) for s in right}
    # The least of several: the median says more about the rest of the machine.
    best = min(right, key=lambda s: min(median_cpu_seconds(runs[s], 1, 1) for _ in range(5)))
    mine, other = paired_cpu_seconds(ours, runs[best], TURNS, (_batch(ours), _batch(runs[best])))
    at = f"ours at {tolerance:.1e}, Stan {peer.solver} at {best[0]:.1e}, absolute {best[1]:g} of it"
    looser = (
        "Stan controls the errors of the derivatives too, and holds that of the levels at a looser"
    )
    why = f"{looser} tolerance than ours" if best[0] > tolerance else ""
    missed = mine / other >= 1 / faster
    return Result(
        _name(task, what), 1e3 * mine, 1e3 * other, at, 1 / faster, "ratio", why if missed else ""
    )


def agrees(task: OdeTask, level: Any, slopes: Any, ours: Any) -> bool:
    """Say whether levels and the gradient are those of the task, before a figure counts."""
    import numpy as np

    # By the logarithms of the parameters, since their units differ by many powers of ten.
    mine, theirs = ours * task.params, slopes * task.params
    exact = task.loss(task.exact)
    value = abs(task.loss(level) - exact) <= 0.05 + 1e-3 * abs(exact)
    near = np.abs(theirs - mine) <= 2e-2 * np.abs(mine) + 2e-3 * np.abs(mine).max()
    return bool(value and near.all())


def _batch(run: Callable[[], Any]) -> int:
    return max(1, min(20, int(TURN / median_cpu_seconds(run, 3, 1))))


def _without_stan(task: OdeTask, tolerance: float, what: str, faster: float, reason: str) -> Result:
    run = value_and_gradient(task, tolerance)
    run()  # compiles
    seconds = median_cpu_seconds(run, 15, 20)
    name = _name(task, what)
    return Result(
        name, 1e3 * seconds, None, f"Stan {_solver(task)}", 1 / faster, "ratio",
        f"not measured: {reason}",
    )  # fmt: skip


def _solver(task: OdeTask) -> str:
    return "ode_bdf_tol" if task.system.stiff else "ode_rk45_tol"


def _name(task: OdeTask, what: str) -> str:
    return f"{task.model}, value and gradient, {what} against Stan [ms]"
