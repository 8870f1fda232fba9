"""Sample a planned model: compile, find a start, choose the centering, run nutpie."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import xarray as xr
from scipy import special

from carkinetics.errors import FitError
from carkinetics.inference.centering import Centering
from carkinetics.inference.choose_centering import by_weights, centered, chosen
from carkinetics.inference.effects import LOWEST_FREEDOM, cholesky_from_unit
from carkinetics.inference.flat_model import first_point
from carkinetics.inference.machine_code import log_density
from carkinetics.inference.planning import SHIFT, Plan
from carkinetics.inference.prefit import EffectPlaces, Prefit, prefit, recenter
from carkinetics.inference.progress import Reporter
from carkinetics.inference.refined import refined
from carkinetics.inference.reuse import Machine

# Degrees of freedom of Student-t effects in the deterministic fit, which does not estimate them.
_FREEDOM = 4.0
# Residual SDs tried in the deterministic fit, in units of their prior's center.
_RESIDUALS = (0.5, 1.0, 2.0)
# Acceptance probability, and another where the data determine less than this share of the effects.
_USUAL, _CAREFUL, _WEAK = 0.9, 0.95, 0.7
# Starting values scatter around the mode by this share of the approximate posterior SD.
JITTER = 0.5


@dataclass(frozen=True)
class SamplerSettings:
    """How long and how strictly to sample.

    Attributes
    ----------
    draws, tune, chains : int
        Kept and warm-up draws of each chain, and number of chains.
    cores : int
        Chains that run at the same time.
    target_accept : float, optional
        Acceptance probability to which the step size is adapted; chosen by how much the data say
        if left out.
    """

    draws: int = 3000
    tune: int = 1000
    chains: int = 4
    cores: int = max(1, min(4, os.cpu_count() or 1))
    target_accept: float | None = None

    def suited(self, prepared: Prepared) -> SamplerSettings:
        """Choose what is left open: smaller steps where few visits say little of the effects."""
        if self.target_accept is not None:
            return self
        weak = prepared.centering.seen is not None and _mean_information(prepared) < _WEAK
        return dataclasses.replace(self, target_accept=_CAREFUL if weak else _USUAL)

    def stricter(self, smaller_steps: bool) -> SamplerSettings:
        """Return the settings of the second try: twice as long, and smaller steps if asked."""
        target = self.target_accept
        if smaller_steps and target is not None:
            target = 1 - (1 - target) / 2
        return dataclasses.replace(
            self, draws=2 * self.draws, tune=2 * self.tune, target_accept=target
        )


@dataclass(frozen=True, eq=False)
class Compiled:
    """A compiled model, all its patient effects centered.

    Attributes
    ----------
    plan : Plan
        What it was built from.
    pymc_model : pm.Model
        The model.
    compiled : nutpie.CompiledModel
        The same, compiled.
    first : array, shape (coordinate,)
        Where everything stands at the center of its prior.
    slots : dict of str to slice
        Place of every free variable in the sampler's point.
    effects : dict of str to EffectPlaces
        Places of the patient effects.
    """

    plan: Plan
    pymc_model: pm.Model
    compiled: Any
    first: np.ndarray
    slots: dict[str, slice]
    effects: dict[str, EffectPlaces]

    def density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Give the log density at a point and its gradient."""
        return log_density(self.compiled, point)

    def start(self) -> Prefit:
        """Fit deterministically."""
        found = _best_start(self.density, self.first, self.effects, self.slots)
        _check_start(found, self.plan)
        return found


@dataclass(frozen=True, eq=False)
class Prepared:
    """A compiled model with its start and centering.

    Attributes
    ----------
    plan : Plan
        What it was built from.
    pymc_model : pm.Model
        The model, its centering weights set.
    compiled : nutpie.CompiledModel
        The same, compiled.
    effects : dict of str to EffectPlaces
        Places of the patient effects.
    start : Prefit
        The deterministic fit.
    centering : Centering
        How every patient effect is centered.
    """

    plan: Plan
    pymc_model: pm.Model
    compiled: Any
    effects: dict[str, EffectPlaces]
    start: Prefit
    centering: Centering


def ready_to_run(plan: Plan, compiled: Machine) -> Compiled:
    """Find the places of everything in a compiled plan, and center every patient effect."""
    first = first_point(compiled.pymc_model)
    slots = coordinate_slots(compiled.pymc_model, first)
    effects = effect_places(plan, slots)
    data = set_centering(compiled.pymc_model, plan, centered(plan, effects))
    return Compiled(
        plan=plan,
        pymc_model=compiled.pymc_model,
        compiled=compiled.compiled.with_data(**data),
        first=_first_point(compiled.pymc_model, first, slots),
        slots=slots,
        effects=effects,
    )


def prepare(ready: Compiled) -> Prepared:
    """Fit a compiled plan deterministically, and center each effect by its information."""
    plan, start = ready.plan, ready.start()
    if plan.given_before:
        held = _places(ready.slots, ("partial_correlation", "nu_"))
        start = refined(ready.density, start, ready.effects, held)
    centering = chosen(plan, ready.density, start, ready.effects)
    prepared = Prepared(plan, ready.pymc_model, ready.compiled, ready.effects, start, centering)
    return recentered(prepared, centering)


def recentered(prepared: Prepared, centering: Centering) -> Prepared:
    """Center the effects of the same compiled model otherwise."""
    data = set_centering(prepared.pymc_model, prepared.plan, centering)
    compiled = prepared.compiled.with_data(**data)
    return dataclasses.replace(prepared, compiled=compiled, centering=centering)


def otherwise_centered(prepared: Prepared) -> Prepared:
    """Center for a second try after divergences.

    What the data of few patients say is taken as a Gaussian; where visits are few that may be far
    off somewhere in the posterior. A weight for each effect assumes less, at twice the steps.
    """
    if prepared.centering.seen is None:
        return prepared
    return recentered(prepared, by_weights(prepared.plan, prepared.start))


def sample(
    prepared: Prepared, settings: SamplerSettings, seed: int, reporter: Reporter
) -> xr.DataTree:
    """Run NUTS from scattered starts around the mode.

    Returns
    -------
    DataTree
        Groups ``posterior`` (free variables) and ``sample_stats``; divergences keep the point
        they started from.
    """
    settings = settings.suited(prepared)
    compiled = dataclasses.replace(prepared.compiled, initial_point_func=_scattered(prepared))
    with reporter.sampling(settings) as callback:
        return nutpie.sample(
            compiled,
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            seed=seed,
            target_accept=settings.target_accept,
            save_warmup=False,
            store_divergences=True,
            progress_bar=False,
            progress_callback=callback,
            progress_rate=500,
        )


def coordinate_slots(pymc_model: pm.Model, point: Mapping[str, np.ndarray]) -> dict[str, slice]:
    """Return the place of every free variable in the sampler's point, by its name."""
    slots, first = {}, 0
    for variable in pymc_model.free_RVs:
        size = np.size(point[pymc_model.rvs_to_values[variable].name])
        slots[variable.name] = slice(first, first + size)
        first += size
    return slots


def effect_places(plan: Plan, slots: Mapping[str, slice]) -> dict[str, EffectPlaces]:
    """Find every patient effect in the sampler's point."""
    n, k = len(plan.layout.patients), len(plan.varying)
    effects = np.arange(slots["x"].start, slots["x"].stop).reshape(n, k) if k else np.empty((n, 0))
    places = {
        p.name: EffectPlaces(
            patients=effects[:, i],
            location=slots[p.variable].start,
            omega=slots[f"omega_{p.name}"].start,
            scale=p.omega.spread,
            freedom=_FREEDOM if plan.heavy[i] else np.inf,
            **_slopes(plan, p.name, slots),
        )
        for i, p in enumerate(plan.varying)
        if p.omega is not None
    }
    if f"x_{SHIFT}" in slots:
        own = slots[f"x_{SHIFT}"]
        places[SHIFT] = EffectPlaces(
            patients=np.arange(own.start, own.stop),
            location=None,
            omega=slots[f"omega_{SHIFT}"].start,
            scale=plan.shift_scale,
        )
    return places


def _slopes(plan: Plan, parameter: str, slots: Mapping[str, slice]) -> dict[str, np.ndarray]:
    """Find the coefficients of a parameter's covariates in the sampler's point."""
    design = plan.covariates.of(parameter) if plan.covariates else None
    if design is None:
        return {}
    own = slots[design.variable]
    return {"slopes": np.arange(own.start, own.stop), "matrix": design.matrix}


def _first_point(
    pymc_model: pm.Model, values: Mapping[str, np.ndarray], slots: Mapping[str, slice]
) -> np.ndarray:
    names = [pymc_model.rvs_to_values[variable].name for variable in pymc_model.free_RVs]
    point = np.concatenate([np.ravel(values[name]).astype(float) for name in names])
    if "nu_patients" in slots:
        point[slots["nu_patients"]] = np.log(_FREEDOM - LOWEST_FREEDOM)
    return point


def _best_start(
    density: Callable[[np.ndarray], tuple[float, np.ndarray]],
    point: np.ndarray,
    effects: Mapping[str, EffectPlaces],
    slots: Mapping[str, slice],
) -> Prefit:
    """Fit with small, middling and large residual SDs; keep the most probable."""
    found = []
    for factor in _RESIDUALS:
        first = point.copy()
        for name in slots:
            if name.startswith("sigma_"):
                first[slots[name]] += np.log(factor)
        found.append(prefit(density, first, effects, _held(slots)))
    return max(found, key=lambda fit: fit.log_marginal if np.isfinite(fit.log_density) else -np.inf)


def _held(slots: Mapping[str, slice]) -> np.ndarray:
    # With few samples per patient the effects can fit them all: residual SDs that were free
    # would shrink to nothing, and every effect would look perfectly known.
    return _places(slots, ("partial_correlation", "nu_", "sigma_"))


def _places(slots: Mapping[str, slice], prefixes: tuple[str, ...]) -> np.ndarray:
    names = [name for name in slots if name.startswith(prefixes)]
    pieces = [np.arange(slots[name].start, slots[name].stop) for name in names]
    return np.concatenate(pieces) if pieces else np.array([], dtype=int)


def _check_start(start: Prefit, plan: Plan) -> None:
    if not np.isfinite(start.log_density):
        raise FitError(
            f"model {plan.model.name}: no starting point with a finite density was found. "
            "Check the unit of the levels, and the priors, against the data."
        )


def set_centering(pymc_model: pm.Model, plan: Plan, centering: Centering) -> dict[str, np.ndarray]:
    """Put a centering into the model's data; return it under the names of that data."""
    weights, given, seen = centering.weights, centering.given, centering.seen
    data = {"centering": np.stack([weights[p.name] for p in plan.varying], axis=1)}
    if SHIFT in weights:
        data[f"centering_{SHIFT}"] = weights[SHIFT]
    if given is not None:
        data |= {"centering_share": given.shares, "effect_order": given.order}
    if seen is not None:
        data |= {"data_precision": seen.precision, "data_pull": seen.pull}
    for name, value in data.items():  # its sizes stay: `pm.set_data` would compile to ask for them
        shared = pymc_model[name]
        shared.set_value(np.asarray(value, dtype=shared.dtype))
    return data


def _mean_information(prepared: Prepared) -> float:
    """Share of the patients' effects that their data determine, in the mean of all of them."""
    information = [prepared.start.information[p.name] for p in prepared.plan.varying]
    return float(np.mean(information))


def _scattered(prepared: Prepared) -> Callable[[Any], np.ndarray]:
    """Make the function that gives each chain its start."""
    effects = prepared.effects
    slots = coordinate_slots(prepared.pymc_model, first_point(prepared.pymc_model))

    def start(seed: Any) -> np.ndarray:
        rng = np.random.default_rng(seed)
        mode = prepared.start.mode
        noise = JITTER * prepared.start.spread * rng.standard_normal(mode.size)
        point, factor, given = mode + noise, None, prepared.centering.given
        if given is not None:
            unit = special.expit(point[slots["partial_correlation_unit"]])
            factor = cholesky_from_unit(unit, given.order)
        return recenter(point, effects, prepared.centering, factor)

    return start
