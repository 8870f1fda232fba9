"""The frozen result of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from carkinetics.cohort import Cohort
from carkinetics.diagnostics import DEFAULT_LIMITS, Check, Limits, check_fit
from carkinetics.errors import DataError, Fault
from carkinetics.inference.build import assemble
from carkinetics.inference.curves import curve_cell_types, levels_at
from carkinetics.inference.described import kinetic_choices
from carkinetics.inference.draws import SAMPLE, new_patients, population_parameters
from carkinetics.inference.planning import Plan, plan_fit
from carkinetics.inference.prediction import linked
from carkinetics.model import Model

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """Posterior draws of a model for a cohort, with all that is needed to defend them.

    Made by `fit` or `load_fit`.

    Parameters
    ----------
    kinetic_model : Model
        The kinetic model.
    cohort : Cohort
        The data.
    data : DataTree
        Standard ArviZ groups (``posterior``, ``sample_stats`` where a sampler ran,
        ``log_likelihood``,
        ``posterior_predictive``, ``observed_data``, ``constant_data``) and ours under
        ``carkinetics``: ``parameters`` of the patients on their natural scale, ``population``,
        ``effects``, ``exposure_check``.
    settings : mapping
        Every setting the draws depend on: seed, sampler, priors, package versions.
    differences : tuple of str
        What differs between the software that made a loaded fit and this one.
    """

    kinetic_model: Model
    cohort: Cohort
    data: xr.DataTree
    settings: Mapping[str, Any]
    _plan: Plan | None = None
    differences: tuple[str, ...] = ()

    @cached_property
    def plan(self) -> Plan:
        """What was decided before sampling: samples, parameters, solver."""
        if self._plan is not None:
            return self._plan
        return plan_fit(self.kinetic_model, self.cohort, **kinetic_choices(self.settings))

    @cached_property
    def model(self) -> pm.Model:
        """The plain ``pm.Model``, its centering weights as they were sampled with."""
        import pymc as pm

        weights = {str(n): v.values for n, v in self.data["constant_data"].data_vars.items()}
        built = assemble(self.plan, weights.get("effect_order"))
        pm.set_data(weights, model=built)
        return built

    @property
    def patients(self) -> tuple[str, ...]:
        """Patients with at least one fitted sample."""
        return self.plan.layout.patients

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Cell types of the curves, the total last."""
        return tuple(curve_cell_types(self.plan.layout.cell_types))

    @property
    def latent_unit(self) -> str:
        """Unit of the curves: cells/uL, or copies/ug where only qPCR was fitted."""
        return self.plan.layout.latent_unit

    @property
    def synthetic(self) -> bool:
        """Whether the patients are invented."""
        return self.cohort.synthetic

    @property
    def approximate(self) -> bool:
        """Whether the draws come from an approximation of the posterior, not from itself."""
        return bool(self.settings.get("approximate", False))

    @property
    def how_drawn(self) -> str:
        """How the draws were made, in a few words."""
        s = self.settings
        if self.approximate:
            count = s["chains"] * s["draws"]
            return f"APPROXIMATE: {count} independent draws of Laplace's approximation, not MCMC"
        return f"{s['chains']} chains of {s['draws']} draws after {s['tune']}"

    def check(self, limits: Limits = DEFAULT_LIMITS) -> Check:
        """Say whether the fit can be trusted, and what to do where it cannot.

        Parameters
        ----------
        limits : Limits
            What a trustworthy fit keeps.

        Returns
        -------
        Check
            Prints its table; ``bool(check)`` is the verdict.
        """
        return check_fit(self.data, limits, int(self.settings.get("attempt", 1)))

    def covariate_table(self, probability: float = 0.95) -> pd.DataFrame:
        """Return how parameters go with covariates, with equal-tailed intervals.

        Parameters
        ----------
        probability : float
            Of the interval.

        Returns
        -------
        DataFrame
            One row per coefficient: ``parameter``, ``term``, ``per`` (what is compared),
            ``measure`` (``"ratio"`` for parameters on a log scale, ``"odds ratio"`` on a logit
            scale, else ``"difference"``), ``median``, ``low``, ``high``. Without covariates no
            rows. These are associations.
        """
        from carkinetics.inference.covariate_table import covariate_table

        return covariate_table(self, probability)

    def curves(
        self, days: Sequence[float] | np.ndarray, patients: Sequence[str] | None = None
    ) -> xr.DataArray:
        """Compute the posterior curves of patients.

        Parameters
        ----------
        days : sequence of float, shape (day,)
            Days from the infusion, rising [day].
        patients : sequence of str, optional
            All patients by default.

        Returns
        -------
        DataArray
            Latent levels, dims (chain, draw, patient, cell_type, day), natural scale.
        """
        chosen = self.select_patients(patients)
        parameters = self.patient_draws()[:, :, [self.patients.index(p) for p in chosen]]
        levels = self._levels(parameters, days)
        return xr.DataArray(
            levels.reshape(*parameters.shape[:3], *levels.shape[1:]),
            dims=(*SAMPLE, "patient", "cell_type", "day"),
            coords=self._coords(days) | {"patient": list(chosen)},
            attrs={"units": self.latent_unit, "long_name": "latent level"},
        )

    def population_curves(
        self, days: Sequence[float] | np.ndarray, *, new_patient: bool = False, seed: int = 0
    ) -> xr.DataArray:
        """Compute the curve of the typical patient, or of a new one per draw.

        With covariates both stand at ``settings["covariates"]["typical_patient"]``: numbers at
        their mean, text at its reference value, yes/no columns at no. Inputs of the model are at
        its defaults, else at the median of the patients.

        Parameters
        ----------
        days : sequence of float, shape (day,)
            Days from the infusion, rising [day].
        new_patient : bool
            Add the differences between patients: one new patient per draw.
        seed : int
            For new patients.

        Returns
        -------
        DataArray
            Latent levels, dims (chain, draw, cell_type, day), natural scale.
        """
        posterior = self.data["posterior"].to_dataset()
        if new_patient:
            parameters = new_patients(self.plan, posterior, np.random.default_rng([seed, 13]))
        else:
            parameters = population_parameters(self.plan, posterior)
        levels = self._levels(parameters, days)
        return xr.DataArray(
            levels.reshape(*parameters.shape[:2], *levels.shape[1:]),
            dims=(*SAMPLE, "cell_type", "day"),
            coords=self._coords(days),
            attrs={"units": self.latent_unit, "long_name": "latent level"},
        )

    def qpcr_curves(
        self, days: Sequence[float] | np.ndarray, patients: Sequence[str] | None = None
    ) -> xr.DataArray:
        """Compute the expected qPCR level of patients, without assay error.

        Parameters
        ----------
        days : sequence of float, shape (day,)
            Days from the infusion, rising [day].
        patients : sequence of str, optional
            All patients by default.

        Returns
        -------
        DataArray
            Levels [copies/ug], dims (chain, draw, patient, day). Where flow gives the unit of the
            curves they come through the assay link, with the patient's leukocytes interpolated
            on the log scale between draws of blood and held beyond the first and last.
        """
        chosen, days = self.select_patients(patients), np.asarray(days, dtype=float)
        total = self.curves(days, chosen).sel(cell_type=self.cell_types[-1])
        if self.latent_unit == "cells/uL":
            self._require_qpcr()
            posterior = self.data["posterior"].to_dataset()
            shift = posterior["qpcr_shift"].sel(patient=list(chosen)).values[..., None]
            log_wbc = np.stack([self._log_leukocytes(p, days) for p in chosen])
            log_copies = linked(self.plan, posterior, np.log(total.values), log_wbc, shift)
            total = total.copy(data=np.exp(log_copies))
        return total.drop_vars("cell_type").assign_attrs(
            units="copies/ug", long_name="expected qPCR level"
        )

    def select_patients(self, patients: Sequence[str] | None) -> tuple[str, ...]:
        """Return the patients asked for; raises `DataError` for one that was not fitted."""
        if patients is None:
            return self.patients
        chosen = (patients,) if isinstance(patients, str) else tuple(patients)
        unknown = [p for p in chosen if p not in self.patients]
        if unknown:
            what = f"no fitted samples of patient(s) {', '.join(unknown)}"
            raise DataError(Fault(f"fit of {self.cohort.name}", what, "See fit.patients."))
        return chosen

    def patient_draws(self) -> np.ndarray:
        """Return the patients' parameters, shape (chain, draw, patient, parameter)."""
        group = self.data["carkinetics/parameters"].to_dataset()
        return np.stack([group[p.name].values for p in self.plan.parameters], axis=-1)

    def save(self, path: str | Path) -> Path:
        """Write the fit to a file, whole or not at all.

        Parameters
        ----------
        path : path
            ``.nc`` for netCDF, ``.zarr`` for a Zarr folder. An existing one is replaced once the
            new one is complete.

        Returns
        -------
        Path
            Where it is.
        """
        from carkinetics.inference.storage import save_fit

        return save_fit(self, path)

    def _levels(self, parameters: np.ndarray, days: Sequence[float] | np.ndarray) -> np.ndarray:
        days = np.asarray(days, dtype=float)
        if days.ndim != 1 or not days.size or not np.isfinite(days).all():
            raise DataError(Fault("curves", "days are no list of numbers", "Give at least one."))
        if days[0] < 0 or np.any(np.diff(days) < 0):
            what = "days do not rise from the infusion"
            raise DataError(Fault("curves", what, "Sort them, and leave out those before day 0."))
        return np.exp(levels_at(self.plan, parameters, days).log_level)

    def _coords(self, days: Sequence[float] | np.ndarray) -> dict[str, Any]:
        posterior = self.data["posterior"]
        found: dict[str, Any] = {name: posterior[name].values for name in SAMPLE}
        return found | {"cell_type": list(self.cell_types), "day": np.asarray(days, dtype=float)}

    def _require_qpcr(self) -> None:
        if "qpcr_shift" not in self.data["posterior"]:
            raise DataError(
                Fault(f"fit of {self.cohort.name}", "no qPCR was fitted", "Use fit.curves.")
            )

    def _log_leukocytes(self, patient: str, days: np.ndarray) -> np.ndarray:
        from carkinetics.likelihood import REFERENCE_WBC

        rows = self.plan.layout.qpcr.table
        rows = rows[(rows["patient"] == patient) & (rows["wbc_per_ul"] > 0)].sort_values("day")
        if rows.empty:
            return np.full(days.size, np.log(REFERENCE_WBC))
        return np.interp(days, rows["day"].to_numpy(float), np.log(rows["wbc_per_ul"].to_numpy()))

    def _lines(self) -> list[str]:
        s = self.settings
        told = s.get("covariates", {"columns": {}})["columns"]
        covariates = "; ".join(
            f"{name} ~ {', '.join(column['name'] for column in columns)}"
            for name, columns in told.items()
        )
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        return [
            f"Fit of {self.kinetic_model.name} to {self.cohort.name}{mark}",
            f"{len(self.patients)} patients; assays {', '.join(s['assays'])}; "
            f"cell types {', '.join(self.cell_types)}; levels in {self.latent_unit}",
            f"{self.how_drawn}; seed {s['seed']}; "
            f"patient effects {s['patient_effects']}, residual {s['residual']}",
            *([f"covariates {covariates}"] if covariates else []),
            *self.differences,
        ]

    def __repr__(self) -> str:
        return "\n    ".join(self._lines())

    def _repr_html_(self) -> str:
        head, *rest = (escape(line) for line in self._lines())
        return f"<p><b>{head}</b><br>{'<br>'.join(rest)}</p>" + self.check()._repr_html_()
