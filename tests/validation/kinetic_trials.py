"""Trials with real kinetics: samples of whole curves, an outcome, and every estimator of a slope.

One compiled model serves all trials of a size: their samples and outcomes are its data.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr
from numpy.typing import NDArray

import carkinetics as ck
from carkinetics.inference.choose_centering import by_weights
from carkinetics.inference.draws import patient_coordinates
from carkinetics.inference.extension import CurveRequest, ExtraCurves
from carkinetics.inference.planning import Plan, plan_fit
from carkinetics.inference.prefit import recenter
from carkinetics.inference.reuse import forget, machine
from carkinetics.inference.sampling import (
    coordinate_slots,
    effect_places,
    prepare,
    ready_to_run,
    recentered,
)
from carkinetics.outcomes import cox
from carkinetics.outcomes.endpoint import SURVIVAL
from carkinetics.outcomes.joint import priors, terms
from carkinetics.outcomes.joint.latent import Latent
from carkinetics.outcomes.light_tests import cox_p
from carkinetics.outcomes.propagated import Drawn, propagated_estimates
from carkinetics.outcomes.scales import LOG

Array = NDArray[np.float64]

DAYS = np.array([3.0, 7, 10, 14, 21, 28, 42, 60, 90, 180])
LLOQ, ERROR = 50.0, 0.5  # copies/ug; SD of ln level
# Typical patient of Stein et al. 2019, and the SD of the logarithm between patients. That of the
# peak is 1, so that a slope per e-fold is a slope per SD.
TYPICAL = {"cmax": 24_000.0, "tmax": 9.3, "doubling_time": 0.78, "alpha": 0.16,
           "memory_fraction": 0.0079, "beta": 0.0032}  # fmt: skip
OMEGA = {"cmax": 1.0, "tmax": 0.25, "doubling_time": 0.2, "alpha": 0.5, "memory_fraction": 0.8,
         "beta": 0.7}  # fmt: skip
SAMPLER = {"draws": 500, "tune": 300, "chains": 2, "target_accept": 0.9, "progress_bar": False}
CLOSED_FORM, EQUATIONS = "stein_2019", "cd4_cd8_expansion"


@dataclass(frozen=True, eq=False)
class Trial:
    """One simulated trial.

    Attributes
    ----------
    x : array, shape (patient,)
        ln Cmax around its mean: the truth.
    level : array, shape (patient, day)
        Measured levels on `DAYS` [copies/ug].
    day, event : array, shape (patient,)
        Of progression or censoring [day].
    """

    x: Array
    level: Array
    day: Array
    event: NDArray[np.bool_]

    @property
    def data(self) -> dict[str, NDArray[Any]]:
        """What the compiled model takes."""
        below = self.level < LLOQ
        return {
            "qpcr_log_level": np.log(np.where(below, LLOQ, self.level)).ravel(),
            "qpcr_below_lloq": below.ravel().astype(np.int64),
            "log_day": np.log(self.day),
            "event": self.event.astype(float),
        }


def draw_trial(rng: np.random.Generator, n: int, slope: float) -> Trial:
    """Draw patients, their samples, and exponential times with a median of 77 days at x = 0."""
    p = {k: TYPICAL[k] * np.exp(OMEGA[k] * rng.standard_normal(n)) for k in TYPICAL}
    since = DAYS - p["tmax"][:, None]
    rise = 2.0 ** (np.minimum(since, 0.0) / p["doubling_time"][:, None])
    late, kept = np.maximum(since, 0.0), np.minimum(p["memory_fraction"], 1.0)[:, None]
    fall = (1 - kept) * np.exp(-p["alpha"][:, None] * late)
    fall += kept * np.exp(-p["beta"][:, None] * late)
    curve = p["cmax"][:, None] * np.where(since < 0, rise, fall)
    x = np.log(p["cmax"] / TYPICAL["cmax"])
    time = 111.1 * rng.exponential(size=n) * np.exp(-slope * x)
    end = rng.uniform(120.0, 900.0, n)
    level = curve * np.exp(ERROR * rng.standard_normal(curve.shape))
    return Trial(x, level, np.minimum(time, end), time <= end)


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Time to progression as data of a compiled model, weighted 1, or 0 for kinetics alone."""

    latent: Latent
    center: float
    trial: Trial

    def request(self) -> CurveRequest:
        return self.latent.request(len(self.trial.day))

    def add(self, curves: ExtraCurves) -> None:
        x = self.latent.value(curves, np.empty(0)) - self.center
        slope = pm.Normal("slope", 0.0, priors.SLOPE_SD[SURVIVAL])
        log_scale = pm.Normal("log_scale", *priors.LOG_SCALE)
        log_shape = pm.Normal("log_shape", *priors.LOG_SHAPE)
        log_day, event = (pm.Data(name, self.trial.data[name]) for name in ("log_day", "event"))
        found = terms.weibull(log_day, event, slope * x, log_scale, log_shape)
        pm.Potential("outcome", pm.Data("weight", 1.0) * found)

    def prior_texts(self) -> dict[str, str]:
        return {}

    def settings(self) -> dict[str, Any]:
        return {}

    def group(self, posterior: xr.Dataset) -> xr.Dataset:
        return posterior[["slope"]]


class Estimators:
    """Every estimator of the slope, for trials of one size; compiled once.

    Parameters
    ----------
    n : int
        Patients.
    model : str
        Kinetic model: a closed form, or equations that the solver integrates.
    cores : int
        Chains at a time.
    """

    def __init__(self, n: int, model: str = CLOSED_FORM, cores: int = 1) -> None:
        first = draw_trial(np.random.default_rng(0), n, 0.0)
        plan = _planned(ck.load_model(model), first)
        with machine(plan) as compiled:
            self._prepared = prepare(ready_to_run(plan, compiled))
        forget()  # its data are replaced below, so nobody else may take it over
        # By weights alone, which serve other trials: what is seen is of these patients' own data.
        self._prepared = recentered(self._prepared, by_weights(plan, self._prepared.start))
        self._cores = cores

    def posterior(self, trial: Trial, seed: int, *, outcome: bool) -> tuple[xr.Dataset, int]:
        """Draw from the posterior with or without the outcome; also count divergences."""
        data = trial.data | {"weight": np.array(float(outcome))}
        compiled = dataclasses.replace(
            self._prepared.compiled.with_data(**data),
            initial_point_func=lambda seed: self._start(trial, np.random.default_rng(seed)),
        )
        found = nutpie.sample(compiled, seed=seed, cores=self._cores, **SAMPLER)
        posterior = found["posterior"].to_dataset()
        return posterior, int(found["sample_stats"]["diverging"].sum())

    def _start(self, trial: Trial, rng: np.random.Generator) -> Array:
        """Start at the peaks that the samples show: what a fit of its own would find first."""
        plan, pymc_model = self._prepared.plan, self._prepared.pymc_model
        slots = coordinate_slots(pymc_model, pymc_model.initial_point())
        effects = effect_places(plan, slots)
        point = self._prepared.start.mode.copy()
        for places in effects.values():
            point[places.patients] = point[places.location]
        height = next(p.name for p in plan.varying if p.parameter.unit == "level")
        shown = np.log(np.maximum(trial.level.max(axis=1), LLOQ))
        point[effects[height].location] = shown.mean()
        point[effects[height].patients] = shown
        point[slots["slope"]] = 0.0
        point += 0.1 * rng.standard_normal(point.size)
        return recenter(point, effects, self._prepared.centering)

    def _peaks(self, posterior: xr.Dataset) -> Array:
        """Give ln Cmax of every draw and patient: a parameter of the closed form."""
        plan = self._prepared.plan
        names = [p.name for p in plan.varying]
        weights = np.stack([self._prepared.centering.weights[name] for name in names], axis=1)
        constants = xr.Dataset({"centering": (("patient", "effect"), weights)})
        found = patient_coordinates(plan, posterior, constants)[..., names.index("cmax")]
        return found.reshape(-1, found.shape[-1])

    def row(self, trial: Trial, slope: float, seed: int, *, joint_only: bool = False) -> dict:
        """Estimate the slope of a trial by every estimator, or by the joint model only."""
        found, divergences = self.posterior(trial, seed, outcome=True)
        draws = found["slope"].values
        low, high = np.quantile(draws, [0.025, 0.975])
        row = {"slope": slope, "events": int(trial.event.sum()), "joint": draws.mean(),
               "joint_low": low, "joint_high": high, "divergences": divergences,
               "rhat": float(az.rhat(draws))}  # fmt: skip
        if joint_only:
            return row
        alone, _ = self.posterior(trial, seed, outcome=False)
        x = self._peaks(alone)
        own = x.var(axis=0).mean()
        row["reliability"] = 1.0 - own / (own + x.mean(axis=0).var(ddof=1))
        top = np.log(np.maximum(trial.level.max(axis=1), LLOQ))
        for name, values in (("true", trial.x), ("raw", top), ("mean", x.mean(axis=0))):
            row |= _cox(name, values, trial)
        thin = x[np.linspace(0, len(x) - 1, 100).astype(int)]
        drawn = Drawn(thin, LOG, trial.event.astype(float), trial.day, 0.95)
        pooled = propagated_estimates(SURVIVAL, drawn)[0]
        ratios = np.array([pooled.estimate, pooled.lower, pooled.upper])
        row |= dict(zip(("cut", "cut_low", "cut_high"), np.log2(ratios), strict=True))
        return row | {"cut_p": pooled.p_value}


def _cox(name: str, x: Array, trial: Trial) -> dict[str, float]:
    fitted = cox(trial.day, trial.event, x)
    half = 1.96 * float(fitted.standard_errors[0])
    value = float(fitted.coefficients[0])
    p = cox_p(x, trial.day, trial.event)
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half, f"{name}_p": p}


def _planned(model: ck.Model, trial: Trial) -> Plan:
    plan = plan_fit(model, _cohort(trial), correlated=False)
    latent = Latent("cmax", "total")
    outcome = _Outcome(latent, latent.typical(plan), trial)
    return dataclasses.replace(plan, extension=outcome)


def _cohort(trial: Trial) -> ck.Cohort:
    """Make a cohort of a trial; the numbers of the others replace its own."""
    n = len(trial.day)
    below = trial.level < LLOQ
    table = pd.DataFrame(
        {
            "patient": np.repeat([f"S{i:03d}" for i in range(n)], DAYS.size),
            "day": np.tile(DAYS, n),
            "assay": "qpcr",
            "cell_type": "total",
            "level": np.where(below, 0.0, trial.level).ravel(),
            "blq": below.ravel(),
            "unit": "copies/ug",
            "lloq": LLOQ,
            "synthetic": True,
        }
    )
    return ck.read_cohort(table, name="simulated trials")
