"""The same work by diffrax: compiled, all patients at once (vmap), double precision.

Every solver is tried with several ratios of absolute to relative tolerance and with every adjoint
that can be used for it; the caller takes the fastest. States are those of our solver, logarithms
where the model says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.benchmarks.ode_task import OdeTask, functions

ABSOLUTE_SHARES = (1.0, 1e-2, 1e-4)
# Steps allowed; the fewer, the faster the adjoint, so that more are allowed to a stiff model only.
MOST_STEPS, MOST_STEPS_OF_ADJOINT = 16_384, {"Kvaerno5": 16_384}


class Diffrax:
    """Solve a task with one solver of diffrax.

    Parameters
    ----------
    task : OdeTask
        What is to be solved.
    solver : str
        Name of the solver's class.
    """

    def __init__(self, task: OdeTask, solver: str) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.task, self.solver = task, solver
        names = {"logistic": jax.nn.sigmoid, "softplus": jax.nn.softplus, "hill": _hill}
        self._start, self._rates, self._levels = functions(task.equations, [names, "jax"])
        self._params, self._days = jnp.asarray(task.params), jnp.asarray(task.days)
        self._level = jax.jit(self._solve)

    def level(self, tolerance: float, share: float) -> Any:
        """Return log levels, shape (patient, day, cell_type); NaN where the solve failed."""
        import numpy as np

        return np.asarray(self._level(self._params, tolerance, tolerance * share))

    def loosest(self, wanted: float) -> tuple[float, float] | None:
        """Return the loosest tolerance, and the best share, whose error is as wanted."""
        for exponent in range(-8, -41, -1):
            for share in ABSOLUTE_SHARES:
                tolerance = 10 ** (exponent / 4)
                if self.task.error(self.level(tolerance, share)) <= wanted:
                    return tolerance, share
        return None

    def gradient(self, tolerance: float, share: float, adjoint: str) -> Callable[[], Any]:
        """Return a compiled function that gives the loss and its gradient by all parameters."""
        import diffrax
        import jax
        import jax.numpy as jnp

        weights = jnp.asarray(self.task.weights)
        chosen = getattr(diffrax, adjoint)()

        def loss(params: Any) -> Any:
            level = self._solve(params, tolerance, tolerance * share, chosen)
            return (weights * level + level**2 / 20).sum()

        def one(p: Any, w: Any) -> Any:
            level = self._one(p, tolerance, tolerance * share, chosen)
            value = (w * level + level**2 / 20).sum()
            return value, value

        if adjoint == "ForwardMode":

            def forward(params: Any) -> Any:
                slopes, values = jax.vmap(jax.jacfwd(one, has_aux=True))(params, weights)
                return values.sum(), slopes

            compiled = jax.jit(forward)
        else:
            compiled = jax.jit(jax.value_and_grad(loss))
        return lambda: jax.block_until_ready(compiled(self._params))

    def _solve(self, params: Any, tolerance: Any, absolute: Any, adjoint: Any = None) -> Any:
        import jax

        return jax.vmap(lambda p: self._one(p, tolerance, absolute, adjoint))(params)

    def _one(self, p: Any, tolerance: Any, absolute: Any, adjoint: Any) -> Any:
        import diffrax
        import jax
        import jax.numpy as jnp

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: jnp.stack(self._rates(t, y, args))),
            getattr(diffrax, self.solver)(),
            t0=0.0,
            t1=self._days[-1],
            dt0=None,
            y0=jnp.stack([jnp.asarray(v, dtype=float) for v in self._start(p)]),
            args=p,
            saveat=diffrax.SaveAt(ts=self._days),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=absolute),
            adjoint=adjoint or diffrax.RecursiveCheckpointAdjoint(),
            max_steps=MOST_STEPS
            if adjoint is None
            else MOST_STEPS_OF_ADJOINT.get(self.solver, 1024),
            throw=False,
        )
        levels = jax.vmap(lambda t, y: jnp.stack(self._levels(t, y, p)))(self._days, solution.ys)
        return jnp.where(solution.result == diffrax.RESULTS.successful, levels, jnp.nan)


def _hill(x: Any, k: Any, n: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return jax.nn.sigmoid(n * (jnp.log(x) - jnp.log(k)))
