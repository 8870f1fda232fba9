"""The same work by Stan: its program is written from our own equations, in our coordinates.

Of a call counts `log_prob_grad` alone, which computes value and gradient; the levels are read from
the same call. The weights of the loss are parameters of the program besides those of the patients,
so that the derivative by a weight is the level that Stan's solver found. Stan controls the errors
of the derivatives too, so that levels from a solve without them would be others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.benchmarks.by_diffrax import ABSOLUTE_SHARES
from tests.benchmarks.ode_task import OdeTask
from tests.benchmarks.stan_program import compiled, functions_block

MOST_STEPS = 100_000
_MODEL = """
data {
  int patients, days, before, cells, size;
  array[days] real day;
  real relative, absolute;
  int most_steps;
}
transformed data {
  array[days - before] real later = day[before + 1 : days];
}
parameters {
  array[patients] vector[size] p;
  array[patients, days] vector[cells] weight;
}
model {
  for (i in 1:patients) {
    vector[STATES] first = start(p[i]);
    array[days - before] vector[STATES] y = SOLVER(
      rates, first, 0.0, later, relative, absolute, most_steps, p[i]);
    for (j in 1:days) {
      vector[cells] level = log_levels(day[j], j > before ? y[j - before] : first, p[i]);
      target += dot_product(weight[i, j], level) + dot_self(level) / 20;
    }
  }
}
"""


def program(equations: Any, solver: str) -> str:
    """Write the program of a task's loss, solved by `ode_rk45_tol` or another of its kind."""
    model = _MODEL.replace("STATES", str(len(equations.states))).replace("SOLVER", solver)
    return functions_block(equations) + model


class Stan:
    """Solve a task with one solver of Stan.

    Parameters
    ----------
    task : OdeTask
        What is to be solved.
    solver : str
        Name of Stan's function, such as ``ode_rk45_tol``.
    """

    def __init__(self, task: OdeTask, solver: str) -> None:
        import numpy as np

        self.task, self.solver = task, solver
        self._gradient = compiled(program(task.equations, solver)).log_prob_grad
        self._point = np.concatenate([task.params.ravel(), task.weights.ravel()]).tolist()
        self._data = {
            "patients": task.patients,
            "days": len(task.days),
            # Stan has no levels at the start itself.
            "before": int((task.days <= 0).sum()),
            "cells": task.weights.shape[2],
            "size": task.params.shape[1],
            "day": task.days.tolist(),
            "most_steps": MOST_STEPS,
        }

    def gradient(self, relative: float, share: float) -> Callable[[], Any]:
        """Return a function that computes value and gradient, and gives the gradient."""
        data = self._data | {"relative": relative, "absolute": relative * share}
        return lambda: self._gradient(data, self._point, False)

    def found(self, relative: float, share: float) -> tuple[Any, Any]:
        """Return log levels and the gradient (patient, parameter); NaN where the solve failed."""
        import numpy as np

        shape = self.task.params.shape
        try:
            every = np.array(self.gradient(relative, share)())
        except (RuntimeError, ValueError):  # how Stan's exceptions come out
            return np.full(self.task.exact.shape, math.nan), np.full(shape, math.nan)
        size = self.task.params.size
        return every[size:].reshape(self.task.exact.shape), every[:size].reshape(shape)

    def loosest(self, wanted: float, share: float) -> float | None:
        """Return the loosest relative tolerance whose error is as wanted, as ours is searched."""
        for exponent in range(-8, -41, -1):
            relative = 10 ** (exponent / 4)
            if self.task.error(self.found(relative, share)[0]) <= wanted:
                return relative
        return None

    def settings(self, wanted: float) -> list[tuple[float, float]]:
        """Return the loosest tolerance for every share of the absolute tolerance."""
        best = [(self.loosest(wanted, share), share) for share in ABSOLUTE_SHARES]
        return [(relative, share) for relative, share in best if relative is not None]
