"""A loss of the levels and its gradient through the ODE path, against diffrax.

16 patients and 13 visits. Each solver runs at its loosest setting whose error of every log level is
at most 1e-4, and beside that both at a tolerance of 1e-5. Of diffrax the fastest of several
solvers and adjoints counts, compiled, all patients at once, in double precision; it takes turns
with ours. The stiff model is
that of Singh 2021, at visits to day 60. Figures are processor time; compilation is left out.

Stan is the peer of `ode_against_stan`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from tests.benchmarks.ode_task import WANTED_ERROR, OdeTask, make_task
from tests.benchmarks.result import Result, median_cpu_seconds, paired_cpu_seconds

STIFF_VISITS = (0.5, 1.0, 3.0, 5.0, 7.0, 10.0, 14.0, 17.0, 21.0, 28.0, 35.0, 45.0, 60.0)
SOLVERS = ("Tsit5", "Dopri5", "Dopri8")
ADJOINTS = ("RecursiveCheckpointAdjoint", "DirectAdjoint", "ForwardMode")
FASTER, FASTER_STIFF = 10.0, 5.0
Runs = dict[str, Callable[[], Any]]


def measure(small: bool) -> list[Result]:
    if small:
        return [_without_peer(make_task("cd4_cd8_expansion", 2))]
    results = []
    for model in ("cd4_cd8_expansion", "cd4_cd8_antigen"):
        results += _against_diffrax(make_task(model), SOLVERS, FASTER)
    for model in ("singh_2021", "hardiansyah_2019"):
        task = make_task(model, 16, STIFF_VISITS)
        results += _against_diffrax(task, ("Kvaerno5",), FASTER_STIFF)
    return results


def value_and_gradient(task: OdeTask, tolerance: float) -> Callable[[], tuple[float, Any]]:
    """Return a function that gives the loss and its gradient (patient, parameter) by our solver."""
    import numpy as np
    from numba import njit

    from carkinetics.solve.compiled import MAX_STEPS, compile_system
    from carkinetics.solve.contraction import contract

    compiled = compile_system(task.system)
    n, rows = len(task.params), len(task.days)
    params, offsets = task.params.copy(), np.arange(n + 1) * rows
    days = np.tile(task.days, n)
    weights = np.ascontiguousarray(task.weights.reshape(n * rows, -1))
    most = np.int64(MAX_STEPS)
    solve, taped = compiled.solve, compiled.taped() if compiled.taped is not None else None

    @njit
    def by_sensitivities(params: Any, offsets: Any, days: Any, weights: Any, tolerance: Any) -> Any:
        level, _, jacobian, _, _ = solve(params, offsets, days, tolerance, most, True)
        value = (weights * level + level**2 / 20).sum()
        return value, contract(weights + level / 10, jacobian, offsets)

    if taped is None:
        return lambda: by_sensitivities(params, offsets, days, weights, tolerance)
    forth, back = taped.solve_with_tape, taped.sweep

    @njit
    def by_sweep(params: Any, offsets: Any, days: Any, weights: Any, tolerance: Any) -> Any:
        level, _, outcome, _, tape, samples = forth(params, offsets, days, tolerance, most)
        value = (weights * level + level**2 / 20).sum()
        gradient = back(params, offsets, days, outcome, tape, samples, weights + level / 10)
        return value, gradient

    return lambda: by_sweep(params, offsets, days, weights, tolerance)


def loosest(task: OdeTask, wanted: float = WANTED_ERROR) -> float:
    """Return our loosest tolerance, in quarters of a power of ten, with an error as wanted."""
    import numpy as np

    from carkinetics.solve.compiled import compile_system, solve_system

    compiled, n = compile_system(task.system), len(task.exact)
    offsets, days = np.arange(n + 1) * len(task.days), np.tile(task.days, n)
    for exponent in range(-8, -41, -1):
        found = solve_system(
            compiled, task.params[:n], offsets, days, tolerance=10 ** (exponent / 4)
        )
        if task.error(found.log_level) <= wanted:
            return 10 ** (exponent / 4)
    raise AssertionError("no tolerance gives the wanted error")


def _without_peer(task: OdeTask) -> Result:
    import numpy as np

    from carkinetics.solve.compiled import compile_system, solve_system

    compiled, n = compile_system(task.system), len(task.params)
    offsets, days = np.arange(n + 1) * len(task.days), np.tile(task.days, n)
    ours = value_and_gradient(task, loosest(task))
    ours()
    peer = median_cpu_seconds(lambda: solve_system(compiled, task.params, offsets, days), 3, 10)
    seconds = median_cpu_seconds(ours, 3, 10)
    name = f"{task.model}, {n} patients, value and gradient [ms]"
    return Result(name, 1e3 * seconds, 1e3 * peer, "levels alone", target=1.0)


def _against_diffrax(task: OdeTask, solvers: tuple[str, ...], faster: float) -> list[Result]:
    tolerance = loosest(task)
    at_error = f"{task.model}, value and gradient, error 1e-4 [ms]"
    at_tolerance = f"{task.model}, value and gradient, both at 1e-5 [ms]"
    if importlib.util.find_spec("diffrax") is None:
        return [
            _without_diffrax(task, name, t, faster)
            for name, t in ((at_error, tolerance), (at_tolerance, 1e-5))
        ]
    peers, same = _by_diffrax(task, solvers)
    first = _fastest(task, at_error, f"ours at {tolerance:.1e}, ", tolerance, peers, faster)
    second = _fastest(task, at_tolerance, "", 1e-5, same, faster)
    return [first, second]


def _by_diffrax(task: OdeTask, solvers: tuple[str, ...]) -> tuple[Runs, Runs]:
    """Return what diffrax can do at the wanted error, and what the first solver does at 1e-5."""
    from tests.benchmarks.by_diffrax import Diffrax

    at_error, at_tolerance = {}, {}
    for solver in solvers:
        peer = Diffrax(task, solver)
        best = peer.loosest(WANTED_ERROR)
        share = best[1] if best else 1e-4
        # The other adjoints were slower for every solver; they are tried with the first one.
        for adjoint in ADJOINTS if solver == solvers[0] else ADJOINTS[:1]:
            label = f"diffrax {solver}, {adjoint}"
            if best is not None:
                at_error[f"{label}, at {best[0]:.1e}"] = peer.gradient(*best, adjoint)
            if solver == solvers[0]:
                at_tolerance[label] = peer.gradient(1e-5, share, adjoint)
    return at_error, at_tolerance


def _fastest(
    task: OdeTask, name: str, note: str, tolerance: float, peers: Runs, faster: float
) -> Result:
    """Let all run once in a while, and the fastest take turns with ours."""
    ours = value_and_gradient(task, tolerance)
    assert _right(task, ours)
    tried, wrong = {}, []
    for label, run in peers.items():
        if not _right(task, run):
            wrong.append(label)
            continue
        # The least of several: the median says more about the rest of the machine.
        tried[label] = min(median_cpu_seconds(run, 1, 2) for _ in range(10))
    if not tried:
        reason = (
            f"no finite or no right loss by {', '.join(wrong) or 'any solver at any tolerance'}"
        )
        mine = 1e3 * median_cpu_seconds(ours, 15, 20)
        return Result(name, mine, None, "diffrax", 1 / faster, "ratio", reason)
    label = min(tried, key=tried.__getitem__)
    batches = (20, max(1, min(20, int(0.02 / tried[label]))))
    mine, other = paired_cpu_seconds(ours, peers[label], 25, batches)
    return Result(name, 1e3 * mine, 1e3 * other, f"{note}{label}", target=1 / faster, of="ratio")


def _without_diffrax(task: OdeTask, name: str, tolerance: float, faster: float) -> Result:
    run = value_and_gradient(task, tolerance)
    assert _right(task, run)
    return Result(
        name, 1e3 * median_cpu_seconds(run, 15, 20), None, "diffrax", 1 / faster, "ratio",
        "diffrax is not installed (the extra bench)",
    )  # fmt: skip


def _right(task: OdeTask, run: Callable[[], Any]) -> bool:
    """Warm up, and say whether it computes the same loss."""
    value = float(run()[0])
    exact = task.loss(task.exact)
    return bool(abs(value - exact) <= 0.05 + 1e-3 * abs(exact))
