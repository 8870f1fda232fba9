"""The same work by Stan: `ode_rk45_tol` and its gradient, inside Stan's own sampler.

Stan gives no gradient to a caller without overhead of its own, so the time of one is taken from
sampling runs of two lengths with a fixed step: the difference of processor time over the difference
of leapfrog steps, each of which is one value and gradient. A C++ compiler is needed.
"""

from __future__ import annotations

import os
from typing import Any

from tests.benchmarks.ode_task import OdeTask

SPREAD = 0.02  # between the points at which the gradient is taken, on the log scale
PROGRAM = """
functions {
  vector rhs(real t, vector y, vector p) {
    real g = inv_logit((p[2] - t) / 0.25);
    real r4 = log2() / p[3] - p[8] / 2;
    real r8 = log2() / p[3] + p[8] / 2;
    real a4 = log2() / p[4] - p[9] / 2;
    real a8 = log2() / p[4] + p[9] / 2;
    real b = log2() / (p[4] + p[6]);
    vector[4] d;
    d[1] = r4 * g - a4 * (1 - g);
    d[2] = r8 * g - a8 * (1 - g);
    d[3] = (1 - g) * p[5] * a4 * exp(y[1]) / p[1] - b * y[3];
    d[4] = (1 - g) * p[5] * a8 * exp(y[2]) / p[1] - b * y[4];
    return d;
  }
}
data {
  int N;
  int T;
  array[T] real days;
  matrix[N, 9] center;
  array[N, T] vector[2] weight;
  real spread;
  real tolerance;
}
parameters { array[N] vector[9] z; }
transformed parameters {
  array[N, T] vector[2] level;
  for (n in 1:N) {
    vector[9] p = center[n]' .* exp(spread * z[n]);
    real s = 0.25 * log1p_exp(-p[2] / 0.25);
    real r4 = log2() / p[3] - p[8] / 2;
    real r8 = log2() / p[3] + p[8] / 2;
    real a4 = log2() / p[4] - p[9] / 2;
    real a8 = log2() / p[4] + p[9] / 2;
    vector[4] y0 = [log(p[1] * (1 - p[7])) - r4 * p[2] - (r4 + a4) * s,
                    log(p[1] * p[7]) - r8 * p[2] - (r8 + a8) * s, 0, 0]';
    array[T] vector[4] y
      = ode_rk45_tol(rhs, y0, 0.0, days, tolerance, tolerance * 1e-3, 100000, p);
    for (t in 1:T) {
      level[n, t][1] = log(exp(y[t][1]) + p[1] * y[t][3]);
      level[n, t][2] = log(exp(y[t][2]) + p[1] * y[t][4]);
    }
  }
}
model {
  for (n in 1:N) {
    z[n] ~ std_normal();
    for (t in 1:T) target += -dot_product(weight[n, t], level[n, t]) - dot_self(level[n, t]) / 20;
  }
}
"""


def milliseconds(task: OdeTask, tolerance: float) -> tuple[float, float]:
    """Return the processor time of one value and gradient, and the largest error of a level.

    Stan takes no output on day 0, so the first visit is left out: one of 13.
    """
    import aiohttp.client
    import numpy as np

    # Compiling may take longer than the five minutes that are allowed by default.
    aiohttp.client.DEFAULT_TIMEOUT = aiohttp.ClientTimeout(total=None)
    import stan

    later = task.days > 0
    data = {
        "N": task.patients, "T": int(later.sum()), "days": task.days[later].tolist(),
        "center": task.params.tolist(), "weight": task.weights[:, later].tolist(),
        "spread": SPREAD, "tolerance": tolerance,
    }  # fmt: skip
    posterior = stan.build(PROGRAM, data=data, random_seed=1)
    start = [{"z": np.zeros((task.patients, 9)).tolist()}]
    points = []
    for draws in (20, 120):
        before = _cpu_seconds()
        fit = posterior.sample(
            num_chains=1, num_warmup=0, num_samples=draws, stepsize=0.01, max_depth=4, init=start
        )
        points.append((_cpu_seconds() - before, fit["n_leapfrog__"].sum()))
    params = task.params * np.exp(SPREAD * fit["z"][:, :, -1])
    error = np.abs(fit["level"][..., -1] - _exact(task, params)[:, later]).max()
    (first, few), (second, many) = points
    return 1e3 * (second - first) / (many - few), float(error)


def _exact(task: OdeTask, params: Any) -> Any:
    import numpy as np

    from carkinetics.solve.compiled import compile_system, solve_system

    n, rows = len(params), len(task.days)
    found = solve_system(
        compile_system(task.system), params, np.arange(n + 1) * rows, np.tile(task.days, n),
        tolerance=1e-11, max_steps=100_000,
    )  # fmt: skip
    return found.log_level.reshape(n, rows, -1)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
