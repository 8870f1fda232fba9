"""The work that all solvers of the benchmarks are given: levels of patients, and a loss of them.

Patients lie around the typical one, 15 % apart in every parameter; all have the same visits. The
loss is a quadratic function of the log levels, so that its gradient needs the levels too. Exact
levels come from SciPy (DOP853, or Radau for a stiff model, at 1e-12) in the coordinates of the
solvers: logarithms where the model says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VISITS = (0.0, 3.0, 7.0, 10.0, 12.0, 14.0, 17.0, 21.0, 28.0, 42.0, 60.0, 90.0, 180.0)
# What is asked of a log level, about a tenth of a per mille of the assays' noise.
WANTED_ERROR = 1e-4
# The paper has numbers of single patients for these, and no distribution.
FREE = {"hardiansyah_2019": ("rE", "dE", "aE", "kin", "kout")}


@dataclass(frozen=True, eq=False)
class OdeTask:
    """A system in solver coordinates, parameters of every patient (patient, parameter), and days.

    ``exact`` holds the log levels, shape (patient, day, cell_type).
    """

    model: str
    system: Any
    equations: Any
    params: Any
    days: Any
    exact: Any
    weights: Any

    @property
    def patients(self) -> int:
        return len(self.params)

    def error(self, level: Any) -> float:
        """Return the largest error of a log level, NaN if any is not finite."""
        import numpy as np

        return float(np.abs(np.asarray(level).reshape(self.exact.shape) - self.exact).max())

    def loss(self, level: Any) -> float:
        """Return the loss; its derivative by the levels is ``weights + level / 10``."""
        return float((self.weights * level + level**2 / 20).sum())


@functools.cache
def make_task(model: str, patients: int = 16, visits: tuple[float, ...] = VISITS) -> OdeTask:
    """Make the task of a model."""
    import numpy as np

    from carkinetics.solve.solvable import of_states, seen_states, solvable

    loaded = _loaded(model)
    system = loaded.system()
    values = loaded.typical(loaded.latent_units[0])
    typical = np.array([values[name] for name in system.parameters])
    rng = np.random.default_rng(1)
    params = typical * rng.lognormal(0.0, 0.15, (patients, len(typical)))
    days = np.array(visits)
    # Nobody has to integrate what no level depends on.
    whole = solvable(system)
    equations = of_states(whole, seen_states(whole))
    exact = _exact(equations, params[:16], days, "Radau" if system.stiff else "DOP853")
    weights = rng.normal(size=(patients, len(days), len(system.levels)))
    return OdeTask(model, system, equations, params, days, exact, weights)


def _loaded(name: str) -> Any:
    """Load a model; where nothing in it varies, with priors, and its dose in one piece."""
    import carkinetics as ck

    model = ck.load_model(name)
    if name not in FREE:
        return model
    text = model.text.replace("days = [0, 1, 2]\nfractions = [0.1, 0.3, 0.6]\n", "")
    for parameter in FREE[name]:
        prior = f'prior = "lognormal(median={model.parameters[parameter].value}, gsd=1.2)"'
        text = text.replace(f"\n{parameter} = {{ ", f"\n{parameter} = {{ {prior}, ")
    return ck.Model.from_text(text, name)


def functions(equations: Any, modules: list[Any]) -> tuple[Callable[..., Any], ...]:
    """Return start(p), rates(t, y, p) and levels(t, y, p) of the system; levels are logarithms."""
    import sympy

    time, states, numbers = equations.time, list(equations.states), list(equations.parameters)
    logs = [sympy.log(level) for level in equations.levels]

    def function(arguments: Any, values: Any) -> Callable[..., Any]:
        return sympy.lambdify(arguments, list(values), modules=modules, cse=True)

    return (
        function([numbers], equations.start),
        function([time, states, numbers], equations.rates),
        function([time, states, numbers], logs),
    )


def _exact(equations: Any, params: Any, days: Any, method: str) -> Any:
    import numpy as np
    from scipy.integrate import solve_ivp

    from carkinetics.equations import NUMERIC

    start, rates, levels = functions(equations, [NUMERIC, "numpy"])
    rows = []
    for p in params:
        solved = solve_ivp(
            lambda t, y, p=p: np.array(rates(t, y, p), dtype=float),
            (0.0, days[-1]),
            np.array(start(p), dtype=float),
            method=method,
            t_eval=days,
            rtol=1e-12,
            atol=1e-14,
            max_step=2.0,
        )
        assert solved.success, solved.message
        rows.append([levels(t, y, p) for t, y in zip(days, solved.y.T, strict=True)])
    return np.array(rows, dtype=float)
