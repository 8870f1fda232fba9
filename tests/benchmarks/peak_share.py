"""How far the solver is from what the core could do at best.

The floating-point operations of one gradient of the default model are counted by running the
generated functions on numbers that count: an exponential counts what its routine executes, a
comparison or a selection nothing. The peer is the time that the core would need for as many
operations if it did nothing but independent fused multiply-adds, which is measured by such a loop
in the same run. Work of lanes that wait is not counted, so this is work that was needed.

The ratio is no target: most of what is missing is waiting for results (a step is a chain of six
stages, an exponential a chain of twelve operations) and moving numbers between memory and
registers. Less work at a lower share wins.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from tests.benchmarks.ode_gradient import value_and_gradient
from tests.benchmarks.ode_task import make_task
from tests.benchmarks.result import Result, median_cpu_seconds

MODEL, TOLERANCE = "cd4_cd8_expansion", 1e-5


def measure(small: bool) -> list[Result]:
    task = make_task(MODEL, 2 if small else 16)
    operations = count_operations(task, TOLERANCE)
    run = value_and_gradient(task, TOLERANCE)
    run()
    repeats = 3 if small else 15
    seconds = median_cpu_seconds(run, repeats, 20)
    peak = peak_operations_per_second(repeats)
    name = f"{MODEL}, value and gradient at 1e-5, {operations / 1e6:.2f} million operations [ms]"
    peer_name = f"the core's peak, {peak / 1e9:.0f} billion operations per second"
    return [Result(name, 1e3 * seconds, 1e3 * operations / peak, peer_name, target=None)]


def peak_operations_per_second(repeats: int) -> float:
    """Measure a loop of sixteen independent chains of multiply-adds of whole vectors."""
    import numpy as np
    from numba import njit

    from carkinetics.solve.lanes import LANES, each, load, local, store
    from carkinetics.solve.written import inlined

    chains, rounds = 16, 100_000

    @inlined
    def of_lanes(a: Any, n: Any, f: Any, g: Any) -> None:
        v = local(chains)
        for i in range(chains):
            store(v, i, load(a, i))
        for _ in each(n):
            for i in range(chains):
                store(v, i, load(v, i) * f + g)
        for i in range(chains):
            store(a, i, load(v, i))

    @njit
    def chain(a: Any, n: Any, f: Any, g: Any) -> None:
        of_lanes(a, n, f, g)

    values = np.ones(chains * LANES)
    chain(values, rounds, 0.999, 1e-3)
    seconds = median_cpu_seconds(lambda: chain(values, rounds, 0.999, 1e-3), repeats, 20)
    return 2 * chains * LANES * rounds / seconds


def count_operations(task: Any, tolerance: float) -> int:
    """Count additions, multiplications and divisions of one gradient of all patients."""
    import numpy as np

    from carkinetics.solve.compiled import compile_system, solve_system

    count = _counts(task.system)
    n, rows = task.patients, len(task.days)
    found = solve_system(
        compile_system(task.system), task.params, np.arange(n + 1) * rows, np.tile(task.days, n),
        tolerance=tolerance, sensitivities=True,
    )  # fmt: skip
    states, sens = count["N_STATE"], count["N_SENS"]
    # Sums of the six stages: 1 to 6 products of two operations, and one more for the step.
    stages = sum(2 * j + 1 for j in range(1, 7))
    step = 6 * (count["right_side"] + count["sensitivity_side"]) + stages * (states + sens)
    step += 15 * states + count["step_factor"]
    row = count["output_lanes"] + count["output_sensitivity_lanes"] + 15 * (states + sens) + 60
    patient = count["prepare"] + count["start"]
    return int(found.steps.sum() * step + n * rows * row + n * patient)


class _Counted:
    """A number that counts what is done with it."""

    done = 0

    def _count(self, *other: object) -> _Counted:
        _Counted.done += 1
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _count
    __truediv__ = __rtruediv__ = __neg__ = _count

    def _free(self, *other: object) -> _Counted:
        return self

    __lt__ = __gt__ = __le__ = __ge__ = __and__ = __or__ = __invert__ = __abs__ = _free
    __rshift__ = __lshift__ = _free


class _CountedBits(_Counted):
    __add__ = __sub__ = __and__ = __or__ = __lshift__ = __rshift__ = _Counted._free


def _counts(system: Any) -> dict[str, int]:
    """Run every generated function once on counting numbers; return sizes and counts."""
    from carkinetics.solve import control, fastmath
    from carkinetics.solve.compiled import compile_system

    x, bits = _Counted(), _CountedBits()
    plain: dict[str, Any] = {
        "load": lambda array, i: x, "store": lambda array, i, value: None,
        "select": lambda condition, yes, no: x, "sqrt": lambda value: x + x,
        "bits": lambda value: bits, "from_bits": lambda value: x, "LOWEST_LOG": 0.0,
    }  # fmt: skip
    for name in ("minimum", "maximum", "exp", "log", "logistic", "softplus", "hill"):
        function = getattr(fastmath, name).py_func
        space = vars(fastmath) | plain
        plain[name] = types.FunctionType(function.__code__, space)
    module = sys.modules[compile_system(system).solve.__module__]
    found = {name: getattr(module, name) for name in ("N_STATE", "N_SENS", "N_MEMO")}
    calls = {name: getattr(module, name) for name in (
        "prepare", "start", "right_side", "output_lanes", "output_sensitivity_lanes",
    )}  # fmt: skip
    sides = [name for name in vars(module) if name.startswith("sensitivity_side")]
    calls |= {name: getattr(module, name) for name in sides}
    calls["step_factor"] = control.step_factor
    for name, function in calls.items():
        space = function.__globals__ | plain
        counting = types.FunctionType(function.__code__, space)
        _Counted.done = 0
        counting(*([x] if name == "step_factor" else []),
                 *[0] * (function.__code__.co_argcount - (name == "step_factor")))  # fmt: skip
        found[name] = _Counted.done
    found["sensitivity_side"] = sum(found[name] for name in sides)
    return found
