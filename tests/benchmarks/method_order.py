"""Which order of method is cheapest at the error that a fit needs: right sides, not seconds.

Sixteen patients, 13 visits, an error of every log level of at most 1e-4, interpolation included.
Of SciPy's DOP853 (order 8) and RK45 (order 5) and of our solver (Tsitouras, order 5) the
evaluations of the right side are counted, at the loosest tolerance, in quarters of a power of ten,
from which on all tighter ones keep that error. Counts are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.benchmarks.ode_task import WANTED_ERROR, OdeTask, functions, make_task
from tests.benchmarks.result import Result

STAGES = 6  # right sides of one step of ours: the last is the first of the next step
# Quarters of a power of ten.
EXPONENTS = range(-8, -45, -1)


def measure(small: bool) -> list[Result]:
    models = ("cd4_cd8_expansion",) if small else ("cd4_cd8_expansion", "cd4_cd8_antigen")
    exponents = range(-24, -31, -1) if small else EXPONENTS
    return [row for model in models for row in _rows(make_task(model), exponents)]


def _rows(task: OdeTask, exponents: Iterable[int]) -> list[Result]:
    counts = {
        "order 8, SciPy DOP853": _loosest(lambda t: _by_scipy(task, "DOP853", t), exponents),
        "order 5, SciPy RK45": _loosest(lambda t: _by_scipy(task, "RK45", t), exponents),
    }
    ours = _loosest(lambda tolerance: _by_us(task, tolerance), exponents)
    name = f"{task.model}, error 1e-4 [right sides per patient], against"
    return [
        Result(f"{name} {peer.split(',')[0]}", ours, count, peer, None)
        for peer, count in counts.items()
    ]


def _loosest(run: Callable[[float], tuple[float, float]], exponents: Iterable[int]) -> float:
    """Return the count at the loosest tolerance from which on every error is as wanted."""
    count = float("nan")
    for exponent in reversed(list(exponents)):
        error, found = run(10 ** (exponent / 4))
        if not error <= WANTED_ERROR:
            break
        count = found
    return count


def _by_us(task: OdeTask, tolerance: float) -> tuple[float, float]:
    import numpy as np

    from carkinetics.solve.compiled import compile_system, solve_system

    n = task.patients
    found = solve_system(
        compile_system(task.system), task.params, np.arange(n + 1) * len(task.days),
        np.tile(task.days, n), tolerance=tolerance, max_steps=100_000,
    )  # fmt: skip
    return task.error(found.log_level), STAGES * float(found.steps.mean())


def _by_scipy(task: OdeTask, method: str, tolerance: float) -> tuple[float, float]:
    import numpy as np
    from scipy.integrate import solve_ivp

    from carkinetics.equations import NUMERIC

    start, rates, levels = functions(task.equations, [NUMERIC, "numpy"])
    found: list[Any] = []
    with np.errstate(all="ignore"):  # a step that is too long tries levels that overflow
        for p in task.params:
            solved = solve_ivp(
                lambda t, y, p=p: np.array(rates(t, y, p), dtype=float),
                (0.0, task.days[-1]),
                np.array(start(p), dtype=float),
                method,
                t_eval=task.days,
                rtol=tolerance,
                atol=tolerance,
            )
            if not solved.success:
                return float("nan"), float("nan")
            found.append((levels(solved.t, solved.y, p), solved.nfev))
    level = np.moveaxis(np.array([one for one, _ in found], dtype=float), 1, 2)
    return task.error(level), float(np.mean([count for _, count in found]))
