"""Levels of all patients with their derivatives by all parameters, against SciPy's DOP853.

The default model at the visits of the built-in cohort, each patient with parameters of its own.
Ours runs at its default tolerance. The peer integrates states and variational equations (SymPy's
derivatives, `lambdify` with common subexpressions) patient by patient, in the same coordinates
(logarithms where the model says so), at the loosest tolerance that makes its levels as exact as
ours. Exactness is measured against DOP853 at 1e-12. Compilation and code generation are left out
on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.result import Result, median_seconds

PEER_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


def measure(small: bool) -> list[Result]:
    import numpy as np

    from carkinetics.solve.compiled import DEFAULT_TOLERANCE, compile_system, solve_system

    task = made_from_the_built_in_cohort(patients=2 if small else None)
    compiled = compile_system(task.system)

    def ours() -> Any:
        return solve_system(compiled, task.params, task.offsets, task.days, sensitivities=True)

    exact, exact_jacobian = task.by_scipy(1e-12)
    solution = ours()
    error = np.abs(solution.log_level - exact).max()
    # A comparison of two things that compute different numbers would be worthless.
    np.testing.assert_allclose(solution.jacobian, exact_jacobian, atol=0.05)
    tolerance = next(
        t for t in PEER_TOLERANCES if np.abs(task.by_scipy(t)[0] - exact).max() <= error
    )
    seconds = median_seconds(ours, 5 if small else 200)
    peer_seconds = median_seconds(lambda: task.by_scipy(tolerance), 1 if small else 5)
    peer_name = f"SciPy DOP853, variational, at {tolerance:g}"
    name = f"levels and gradient, {len(task.params)} patients, {DEFAULT_TOLERANCE:g} [ms]"
    return [Result(name, 1e3 * seconds, 1e3 * peer_seconds, peer_name, target=0.5)]


@dataclass(frozen=True)
class Task:
    """A system, parameters of every patient, and the days at which levels are wanted."""

    system: Any
    params: Any
    offsets: Any
    days: Any
    start: Callable[..., Any]
    rates: Callable[..., Any]
    outputs: Callable[..., Any]

    def by_scipy(self, tolerance: float) -> tuple[Any, Any]:
        """Return log levels (row, cell_type) and their derivatives (row, cell_type, parameter)."""
        import numpy as np
        from scipy.integrate import solve_ivp

        n_out, n_par = len(self.system.levels), self.params.shape[1]
        values = np.empty((len(self.days), n_out * (1 + n_par)))
        for i, p in enumerate(self.params):
            rows = slice(self.offsets[i], self.offsets[i + 1])
            days = self.days[rows]
            solved = solve_ivp(
                lambda t, y, p=p: np.array(self.rates(t, y, p), dtype=float),
                (0.0, days[-1]),
                np.array(self.start(p), dtype=float),
                method="DOP853",
                t_eval=days,
                rtol=max(tolerance, 3e-14),
                atol=1e-3 * tolerance,
            )
            assert solved.success, solved.message
            values[rows] = [self.outputs(t, y, p) for t, y in zip(days, solved.y.T, strict=True)]
        return values[:, :n_out], values[:, n_out:].reshape(-1, n_out, n_par)


def made_from_the_built_in_cohort(patients: int | None) -> Task:
    import numpy as np

    import carkinetics as ck
    from carkinetics.inference.layout import lay_out

    cohort, model = ck.synthetic_cohort(), ck.load_model("cd4_cd8_expansion")
    layout = lay_out(cohort, model)
    n = patients or len(layout.patients)
    system = model.system(layout.cell_types)
    typical = np.array(list(model.typical(layout.latent_unit).values()))
    start, rates, outputs = variational(system)
    return Task(
        system=system,
        params=typical * np.random.default_rng(1).lognormal(0.0, 0.15, (n, len(typical))),
        offsets=layout.offsets[: n + 1],
        days=layout.days[: layout.offsets[n]],
        start=start,
        rates=rates,
        outputs=outputs,
    )


def variational(system: Any) -> tuple[Callable[..., Any], ...]:
    """Write start, rates and outputs of states and sensitivities as plain Python functions."""
    import sympy

    from carkinetics.equations.functions import logistic_number, softplus_number

    logs = [sympy.Symbol(f"x_{i}", real=True) for i in range(len(system.states))]
    natural = {
        symbol: sympy.exp(x) if log else x
        for symbol, x, log in zip(system.state_symbols, logs, system.log_scale, strict=True)
    }
    start, rates = [], []
    for symbol, first, rate, log in zip(
        system.state_symbols, system.start, system.rhs, system.log_scale, strict=True
    ):
        start.append(sympy.expand_log(sympy.log(first), force=True) if log else first)
        rates.append((sympy.expand(rate / symbol) if log else rate).subs(natural))
    x, p = sympy.Matrix(logs), sympy.Matrix(system.parameter_symbols)
    sens = sympy.Matrix(len(x), len(p), sympy.symbols(f"s_:{len(x) * len(p)}", real=True))
    start, rates = sympy.Matrix(start), sympy.Matrix(rates)
    levels = sympy.Matrix([sympy.log(level.subs(natural)) for level in system.levels])
    sens_start = start.jacobian(p)
    sens_rates = rates.jacobian(x) * sens + rates.jacobian(p)
    level_sens = levels.jacobian(x) * sens + levels.jacobian(p)

    def function(values: Any, derivatives: Any, *arguments: Any) -> Callable[..., Any]:
        numbers = {"logistic": logistic_number, "softplus": softplus_number}
        return sympy.lambdify(
            arguments, [*values, *derivatives], modules=[numbers, "math"], cse=True
        )

    y = [*x, *sens]
    return (
        function(start, sens_start, [*p]),
        function(rates, sens_rates, system.time, y, [*p]),
        function(levels, level_sens, system.time, y, [*p]),
    )
