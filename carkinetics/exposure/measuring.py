"""The curves of every draw, and what is measured on them: patients, and the population."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.exposure.nodes import by_peak, exact_curve
from carkinetics.exposure.qpcr_curve import QpcrView, leukocytes_of
from carkinetics.inference.curves import curves_of
from carkinetics.inference.draws import SAMPLE, new_patients, population_parameters
from carkinetics.quantities import (
    Quantity,
    auc,
    days_in,
    level_at,
    loss,
    terminal_half_life,
)
from carkinetics.quantities.curve import Curve
from carkinetics.quantities.families import is_window
from carkinetics.simulation import draw_prior
from carkinetics.solve.compiled import compile_system

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit

_PRIOR_DRAWS = 1000
_KEPT = 200  # draws whose levels at the sampled days are kept, for the comparison with samples


@dataclass(frozen=True)
class Part:
    """What one patient's curves give."""

    values: dict[str, np.ndarray]
    censored: np.ndarray
    log_half_life: np.ndarray
    at_samples: pd.DataFrame
    error: float


@dataclass(frozen=True)
class Task:
    """A fit, and everything that has to be known to measure its curves.

    Parameters
    ----------
    fit : Fit
        Where the draws come from.
    found : sequence of Quantity
        What is measured.
    reach : float
        Last day that any quantity asks for [day].
    limit, horizon : float
        Of persistence and detection [unit of the level], [day].
    last_sample, onset : Series
        By patient [day].
    view : QpcrView or None
        What takes the latent curves, of cells, to those that qPCR shows; None leaves them.
    """

    fit: Fit
    found: Sequence[Quantity]
    reach: float
    limit: float
    horizon: float
    last_sample: pd.Series
    onset: pd.Series
    view: QpcrView | None = None

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Cell types that are measured; qPCR does not tell them apart."""
        return self.fit.cell_types if self.view is None else ("total",)

    @property
    def unit(self) -> str:
        """Unit of the curves that are measured."""
        return self.fit.latent_unit if self.view is None else "copies/ug"

    def patients(self) -> list[Part]:
        """Solve and measure every patient; two at a time, as the compiled parts hold no lock."""
        parameters = self.fit.patient_draws()
        if not self.fit.plan.system.closed_form:
            compile_system(self.fit.plan.system)  # once, before the threads ask for it
        with _pool() as pool:
            jobs = [
                pool.submit(self._patient, parameters[:, :, i], str(patient))
                for i, patient in enumerate(self.fit.patients)
            ]
            return [job.result() for job in jobs]

    def _patient(self, parameters: np.ndarray, patient: str) -> Part:
        latent, error = self._latent(parameters)
        shown = latent if self.view is None else self.view.patient(latent, patient)
        curve = replace(
            self._known(shown, patient=patient),
            last_sample=float(self.last_sample[patient]),
            onset=float(self.onset.get(patient, np.nan)),
        )
        values = {q.name: quantity_values(q, curve) for q in self.found}
        censored = loss(curve).censored.mean(axis=(0, 1))
        half_life = _log_half_life(replace(latent, horizon=self.horizon))
        return Part(values, censored, half_life, self._at_samples(curve, patient), error)

    def contraction(self, patients: Sequence[Part], seed: int) -> pd.Series:
        """Say how much less the terminal half-life varies than under the priors alone."""
        plan = self.fit.plan
        rng = np.random.default_rng([seed, 17])
        heavy = plan.patient_effects == "student_t"
        drawn = draw_prior(plan.model, plan.layout.latent_unit, _PRIOR_DRAWS, rng, heavy)
        prior = curves_of(plan, plan.inputs.of_drawn(drawn), self.horizon)
        spread = _variance(_log_half_life(replace(prior, horizon=self.horizon)))
        left = [_variance(part.log_half_life) for part in patients]
        names = list(map(str, self.fit.patients))
        return pd.Series(1 - np.array(left) / spread, index=names, name="contraction")

    def _latent(self, parameters: np.ndarray) -> tuple[Curve, float]:
        """Solve the latent curves, shape (..., cell type), and say how far they may be off."""
        plan = self.fit.plan
        if not plan.system.closed_form:
            return exact_curve(plan, parameters, self.reach)
        curve = curves_of(plan, parameters, self.reach)
        return curve, float(curve.error_bound.max())

    def _known(
        self, curve: Curve, draws: np.ndarray | None = None, patient: str | None = None
    ) -> Curve:
        """Tell curves of all draws, (chain, draw, ...), or of some, what is known beside them."""
        name = "sigma_flow" if self.unit == "cells/uL" else self._qpcr_sigma(patient)
        sd, df = _assay_error(self.fit, name, draws)
        return replace(curve, limit=self.limit, horizon=self.horizon, assay_sd=sd, assay_df=df)

    def _qpcr_sigma(self, patient: str | None) -> str:
        """Name the error of qPCR: another where leukocytes were not counted."""
        names = ("sigma_qpcr", "sigma_qpcr_without_wbc")
        have = [name for name in names if name in self.fit.data["posterior"]]
        if len(have) > 1 and patient is not None and not leukocytes_of(self.fit, patient).counted:
            return names[1]
        return have[0] if have else names[0]

    def _at_samples(self, curve: Curve, patient: str) -> pd.DataFrame:
        """Read some draws on the sampled days; columns (what, cell type, day)."""
        layout = self.fit.plan.layout
        i = list(layout.patients).index(patient)
        days = np.unique(layout.days[layout.offsets[i] : layout.offsets[i + 1]])
        flat = curve.log_level.reshape(-1, *curve.log_level.shape[2:])
        keep = np.linspace(0, len(flat) - 1, min(_KEPT, len(flat))).astype(int)
        day = curve.day if curve.day.ndim == 1 else curve.day.reshape(flat.shape)[keep]
        few = Curve(day, flat[keep], curve.slope.reshape(flat.shape)[keep])
        columns = {}
        starts = {float(days_in(q.name)[0]) for q in self.found if is_window(q.name)}
        for at in sorted({*map(float, days), *starts}):
            found = {"area": auc(few, 0.0, at)}
            if at in days:
                found["level"] = level_at(few, at)
            for what, values in found.items():
                for k, cell in enumerate(self.cell_types):
                    columns[what, cell, at] = values[:, k]
        return pd.DataFrame(columns, index=pd.Index(keep, name="draw"))

    def population(self, seed: int) -> list[dict[str, np.ndarray]]:
        """Measure the typical patient and a new one per draw; neither has samples or an onset."""
        posterior = self.fit.data["posterior"].to_dataset()
        rng = np.random.default_rng([seed, 13])
        plan = self.fit.plan
        who = (population_parameters(plan, posterior), new_patients(plan, posterior, rng))
        return [self._in_groups(parameters, bool(new)) for new, parameters in enumerate(who)]

    def _in_groups(self, parameters: np.ndarray, new: bool) -> dict[str, np.ndarray]:
        """Measure draws group by group: those that peak at about the same time share days."""
        flat = parameters.reshape(-1, 1, parameters.shape[-1])
        groups = by_peak(self.fit.plan, flat[:, 0], self.reach)
        with _pool() as pool:
            parts = list(pool.map(lambda group: self._group(flat[group], group, new), groups))
        shape = (*parameters.shape[:-1], len(self.cell_types))
        order = np.argsort(np.concatenate(groups))
        return {
            q.name: np.concatenate([part[q.name][:, 0] for part in parts])[order].reshape(shape)
            for q in self.found
        }

    def _group(self, parameters: np.ndarray, draws: np.ndarray, new: bool) -> dict[str, np.ndarray]:
        curve, _ = self._latent(parameters)
        if self.view is not None:
            curve = self.view.population(curve, draws, new)
        curve = replace(self._known(curve, draws), last_sample=self.horizon)
        return {q.name: quantity_values(q, curve) for q in self.found}

    def dataset(
        self,
        parts: Sequence[Mapping[str, np.ndarray]],
        dim: str,
        coords: dict[str, list[object]],
        labels: list[str],
    ) -> xr.Dataset:
        """Stack the values of patients, dims (chain, draw, patient, cell_type)."""
        return xr.Dataset(
            {
                q.name: (
                    (*SAMPLE, dim, "cell_type"),
                    np.stack([part[q.name] for part in parts], axis=2),
                    {"units": q.unit(self.unit), "long_name": q.label},
                )
                for q in self.found
            },
            coords=coords | {dim: labels},
        )


def _log_half_life(curve: Curve) -> np.ndarray:
    """Give ln of the terminal half-life of the total, flat, where there is one [ln day]."""
    values = terminal_half_life(curve)[..., -1]
    return np.log(values[np.isfinite(values)])


def _variance(values: np.ndarray) -> float:
    return float(values.var()) if values.size > 1 else np.nan


def quantity_values(quantity: Quantity, curve: Curve) -> np.ndarray:
    """Compute a quantity for every cell type; that of samples is of the total alone."""
    values = np.asarray(quantity.compute(curve), dtype=float)
    if quantity.needs == "assay" and values.shape[-1] > 1:
        # The assay's error is that of the total; the split of it has an error of its own kind.
        values = np.where(np.arange(values.shape[-1]) == values.shape[-1] - 1, values, np.nan)
    return values


def _pool() -> ThreadPoolExecutor:
    """Make threads: the compiled parts hold no lock."""
    return ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))


def _assay_error(fit: Fit, name: str, draws: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Give the SD of ln level of an assay, and its tails."""
    posterior = fit.data["posterior"]

    def of_draws(variable: str, otherwise: float) -> np.ndarray:
        if variable not in posterior:
            return np.array(otherwise)
        values = posterior[variable].transpose(*SAMPLE).values[..., None]
        return values if draws is None else values.reshape(-1, 1, 1)[draws]

    return of_draws(name, np.nan), of_draws("nu_residual", np.inf)
