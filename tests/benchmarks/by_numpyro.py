"""The same fit by NumPyro and diffrax: our density translated to JAX, its ODE solved by diffrax.

Model, data, priors and coordinates are ours, operation by operation: only the solver of the
equations and the sampler differ. The caller compares both densities before it trusts a figure.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.ode_task import functions

# Fastest of diffrax's solvers and adjoints for the default model, see `ode_gradient`.
SOLVER, MOST_STEPS = "Tsit5", 1024
# A step that is too long tries levels that no double holds, and is rejected. Its derivative is then
# zero times infinity, and so is the whole gradient. No accepted level comes near this logarithm.
_LARGEST_EXPONENT = 100.0


def log_density(plan: Any, pymc_model: Any, tolerance: float) -> Any:
    """Return the log density of a sampler's point as a function of JAX.

    Parameters
    ----------
    plan : Plan
        Decides equations, visits and tolerance.
    pymc_model : pm.Model
        The model, its centering chosen.
    tolerance : float
        Relative and absolute tolerance of diffrax.
    """
    import jax
    import jax.numpy as jnp
    from pymc.sampling.jax import get_jaxified_graph

    jax.config.update("jax_enable_x64", True)
    _teach_operations(plan, tolerance)
    values = pymc_model.value_vars
    first = pymc_model.initial_point()
    shapes = [np.shape(first[v.name]) for v in values]
    graph = get_jaxified_graph(inputs=values, outputs=[pymc_model.logp()])

    def density(point: Any) -> Any:
        pieces, begin = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            pieces.append(jnp.reshape(point[begin : begin + size], shape))
            begin += size
        return graph(*pieces)[0]

    return density


@dataclass(frozen=True, eq=False)
class Sampled:
    """Draws, shape (chain, draw, coordinate), and what NumPyro says of each, (chain, draw).

    ``seconds`` are those of the processor, warm-up included, compilation left out.
    """

    points: np.ndarray
    diverging: np.ndarray
    steps: np.ndarray
    seconds: float


def sample(density: Any, starts: np.ndarray, draws: int, tune: int, target: float) -> Sampled:
    """Run NUTS of NumPyro as its MCMC does, chain after chain, but compiled beforehand.

    MCMC itself compiles anew for every number of draws, so that its time cannot be told apart.
    """
    import jax
    from numpyro.infer import NUTS

    kernel = NUTS(potential_fn=lambda x: -density(x), target_accept_prob=target)

    def draw(state: Any, _: Any) -> Any:
        state = kernel.sample(state, (), {})
        return state, (state.z, state.diverging, state.num_steps)

    def chain(key: Any, start: Any) -> Any:
        # The kernel adapts itself while the number of its draws is below that of the warm-up.
        state = kernel.init(key, tune, start)
        return jax.lax.scan(draw, state, length=tune + draws)[1]

    keys = jax.random.split(jax.random.PRNGKey(1), len(starts))
    compiled = jax.jit(chain).lower(keys[0], starts[0]).compile()
    started = time.process_time()
    found = [[np.asarray(a)[tune:] for a in compiled(*of)] for of in zip(keys, starts, strict=True)]
    seconds = time.process_time() - started
    return Sampled(*(np.stack(kept) for kept in zip(*found, strict=True)), seconds=seconds)


def _teach_operations(plan: Any, tolerance: float) -> None:
    """Tell JAX what our own operations do."""
    import jax
    import jax.numpy as jnp
    from pytensor.link.jax.dispatch.basic import jax_funcify

    from carkinetics.inference.uncenter_seen import UncenterSeen
    from carkinetics.solve.op import LogLevels

    @jax_funcify.register(UncenterSeen)
    def uncenter_seen(op: Any, **kwargs: Any) -> Any:
        def uncenter(
            x: Any, location: Any, log_omega: Any, factor: Any, w: Any, precision: Any, pull: Any
        ) -> Any:
            omega, powers = jnp.exp(log_omega), w * log_omega
            inner = omega[:, None] * precision * omega + jnp.eye(omega.size)
            root = jnp.linalg.cholesky(inner)
            solve = functools.partial(jax.scipy.linalg.solve_triangular, lower=True)
            r = omega * (pull - jnp.einsum("njk,nk->nj", precision, location + 0.0 * x))
            away = jnp.exp(-powers) * (x - w * location) + jax.vmap(solve)(root, r)
            u = jax.vmap(lambda c, b: solve(c, b, trans=1))(root, away)
            logs = jnp.log(jnp.diagonal(root, axis1=1, axis2=2)) + jnp.log(jnp.diagonal(factor))
            return solve(factor, u.T).T, location + omega * u, jnp.sum(powers + logs)

        return uncenter

    @jax_funcify.register(LogLevels)
    def log_levels(op: Any, **kwargs: Any) -> Any:
        solve = _levels(plan, tolerance)

        def levels(params: Any, offsets: Any, days: Any) -> Any:
            level, solved = solve(params)
            # The Jacobian is the derivative of the levels here, and nobody asks for it.
            nothing = jnp.zeros((*level.shape, params.shape[1]))
            return level, nothing, jnp.where(solved, 0, 1)

        return levels


def _levels(plan: Any, tolerance: float) -> Any:
    """Make the function from parameters of all patients to the levels in all rows."""
    import diffrax
    import jax
    import jax.numpy as jnp

    from carkinetics.solve.solvable import solvable

    names = {
        "logistic": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "exp": lambda x: jnp.exp(jnp.minimum(x, _LARGEST_EXPONENT)),
    }
    start, rates, levels = functions(solvable(plan.system), [names, "jax"])
    counts = np.diff(plan.layout.offsets)
    own = np.split(np.maximum(plan.layout.days, 0.0), plan.layout.offsets[1:-1])
    # Every patient has the same number of days, the last one repeated.
    padded = np.array([np.append(d, np.repeat(d[-1], counts.max() - len(d))) for d in own])
    patient = np.repeat(np.arange(len(counts)), counts)
    row = np.concatenate([np.arange(n) for n in counts])

    def one(p: Any, days: Any) -> Any:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: jnp.stack(rates(t, y, args))),
            getattr(diffrax, SOLVER)(),
            t0=0.0,
            t1=days[-1],
            dt0=None,
            y0=jnp.stack([jnp.asarray(v, dtype=float) for v in start(p)]),
            args=p,
            saveat=diffrax.SaveAt(ts=days),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MOST_STEPS,
            throw=False,
        )
        level = jax.vmap(lambda t, y: jnp.stack(levels(t, y, p)))(days, solution.ys)
        return level, solution.result == diffrax.RESULTS.successful

    def every(params: Any) -> Any:
        level, solved = jax.vmap(one)(params, jnp.asarray(padded))
        level = jnp.where(solved[:, None, None], level, 0.0)
        return level[patient, row], solved

    return every
