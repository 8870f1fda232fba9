"""`fit(method="laplace")`: from a compiled plan to independent draws of the approximation."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from carkinetics.inference.correction import corrected, patient_target
from carkinetics.inference.laplace import Approximation, approximate
from carkinetics.inference.machine_code import kept_values
from carkinetics.inference.planning import SHIFT
from carkinetics.inference.prefit import Prefit
from carkinetics.inference.sampling import Compiled, Prepared, centered

METHOD = "laplace"
METROPOLIS_STEPS = 3
APPROXIMATION = "carkinetics/approximation"


def approximate_plan(
    ready: Compiled, chains: int, draws: int, seed: int
) -> tuple[Prepared, xr.DataTree]:
    """Approximate the posterior of a compiled plan, and draw from the approximation.

    Parameters
    ----------
    ready : Compiled
        The compiled plan.
    chains, draws : int
        Size of the result. All draws are independent; chains only arrange them.
    seed : int
        Source of randomness.

    Returns
    -------
    prepared : Prepared
        Start, centering (all effects centered) and information of every patient effect.
    sampled : DataTree
        Groups ``posterior`` (free variables) and, in place of statistics of a sampler,
        ``carkinetics/approximation``.
    """
    start = ready.start()
    own = np.stack([places.patients for places in ready.effects.values()], axis=1)
    found = approximate(ready.density, start.mode, own, start.spread, _log_sds(ready))
    rng = np.random.default_rng([seed, 17])

    def posterior_of(points: np.ndarray) -> xr.Dataset:
        return with_shift(_posterior(ready, points, 1, len(points)))

    points, accepted = corrected(
        found,
        found.draw_shared(chains * draws, rng),
        patient_target(ready.plan, posterior_of),
        METROPOLIS_STEPS,
        rng,
    )
    prepared = Prepared(
        plan=ready.plan,
        pymc_model=ready.pymc_model,
        compiled=ready.compiled,
        effects=ready.effects,
        start=_described(ready, found, start),
        centering=centered(ready.plan, ready.effects),
    )
    posterior = _posterior(ready, points, chains, draws)
    groups = {"/posterior": posterior, f"/{APPROXIMATION}": _quality(ready, found, accepted)}
    return prepared, xr.DataTree.from_dict(groups)


def _log_sds(ready: Compiled) -> np.ndarray:
    """Say which coordinates are logarithms of SDs, shape (coordinate,)."""
    found = np.zeros(ready.compiled.n_dim, dtype=bool)
    for name, place in ready.slots.items():
        found[place] = name.startswith(("omega_", "sigma_"))
    return found


def _posterior(ready: Compiled, points: np.ndarray, chains: int, draws: int) -> xr.Dataset:
    """Take points of the sampler's scale to the free variables, dims chain and draw first."""
    compiled, pymc_model = ready.compiled, ready.pymc_model
    expanded = np.stack([kept_values(compiled, point) for point in points])
    names, slices, shapes = compiled.shape_info
    places = dict(zip(names, zip(slices, shapes, strict=True), strict=True))
    variables = {}
    for variable in pymc_model.free_RVs:
        where, shape = places[variable.name]
        dims = pymc_model.named_vars_to_dims.get(variable.name) or ()
        values = expanded[:, where].reshape(chains, draws, *map(int, shape))
        variables[variable.name] = (("chain", "draw", *dims), values)
    used = {dim for dims, _ in variables.values() for dim in dims[2:]}
    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws)}
    coords |= {dim: np.asarray(pymc_model.coords[dim]) for dim in sorted(used)}
    return xr.Dataset(variables, coords=coords)


def _described(ready: Compiled, found: Approximation, start: Prefit) -> Prefit:
    """Tell what the optimum says of every patient effect, as a start of the sampler would."""
    point = found.point
    variance = np.einsum("nij,nij->ni", found.center.root, found.center.root)
    names = list(ready.effects)
    omega = {name: float(np.exp(point[ready.effects[name].omega])) for name in names}
    return Prefit(
        mode=point,
        spread=start.spread,
        information={
            name: np.clip(1.0 - variance[:, k] / omega[name] ** 2, 0.0, 1.0)
            for k, name in enumerate(names)
        },
        omega=omega,
        log_density=found.center.log_density,
        log_marginal=found.center.log_marginal,
    )


def with_shift(posterior: xr.Dataset, weight: Any = 1.0) -> xr.Dataset:
    """Order the dims, and add the offset between assays that follows from the draws."""
    posterior = posterior.transpose("chain", "draw", ...)
    if f"x_{SHIFT}" in posterior:
        shift = posterior[f"omega_{SHIFT}"] ** (1.0 - weight) * posterior[f"x_{SHIFT}"]
        posterior[SHIFT] = shift.transpose("chain", "draw", "patient")
    return posterior


def _quality(ready: Compiled, found: Approximation, accepted: np.ndarray) -> xr.Dataset:
    """Tell what of the approximation can be checked."""
    slope = found.root.T @ found.center.gradient
    return xr.Dataset(
        {
            "curvature": (("direction",), found.curvature),
            "gradient": (("direction",), slope),
            "log_marginal": ((), found.center.log_marginal),
            "accepted": (("patient",), accepted),
        },
        coords={"patient": list(ready.plan.layout.patients)},
        attrs={"method": METHOD},
    )
