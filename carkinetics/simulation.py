"""Virtual cohorts: patients drawn from a model, sampled by assays with error and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.errors import CarkineticsError, Fault, ModelFileError
from carkinetics.likelihood import link_log_copies
from carkinetics.model import Model

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

VISITS = (3.0, 7.0, 10.0, 14.0, 17.0, 21.0, 28.0, 42.0, 60.0, 90.0, 120.0, 180.0)
LLOQ = {"flow": 0.5, "qpcr": 50.0}
_COPIES_PER_CELL = 2.0
_SHARE_SD = 0.25  # logit scale
_SIGMA = {"flow": 0.25, "qpcr": 0.4}
# Leukocytes after lymphodepletion: a nadir and a slow return [cells/uL].
_NADIR, _RECOVERED, _RETURN = 200.0, 4500.0, 15.0


def simulate(
    model: Model,
    n_patients: int = 16,
    *,
    seed: int,
    visits: Sequence[float] = VISITS,
    assays: Sequence[str] = ("flow", "qpcr"),
    lloq: Mapping[str, float] | None = None,
    sigma: Mapping[str, float] | None = None,
    typical: Mapping[str, float] | None = None,
    omega: Mapping[str, float] | None = None,
    patients: pd.DataFrame | None = None,
    covariates: Mapping[str, Mapping[str, float]] | None = None,
) -> Cohort:
    """Draw a virtual cohort from a model.

    Parameters
    ----------
    model : Model
        From `load_model`.
    n_patients : int
        How many patients.
    seed : int
        The same seed gives the same cohort.
    visits : sequence of float
        Days of sampling, the same for every patient [day].
    assays : sequence of str
        ``"flow"`` (cells/uL; total, CD4 and CD8 where the model has them), ``"qpcr"``
        (copies/ug). With qPCR alone the model's level is in copies/ug.
    lloq : mapping of str to float, optional
        Limit per assay [cells/uL, copies/ug]; 0.5 and 50 by default.
    sigma : mapping of str to float, optional
        Residual SD per assay, log scale; 0.25 and 0.4 by default.
    typical : mapping of str to float, optional
        Parameters of the typical patient on their natural scale; published values where the
        model has them, else medians of the priors.
    omega : mapping of str to float, optional
        Between-patient SDs on the transformed scale; published ones where the model has them,
        else medians of their priors.
    patients : DataFrame, optional
        One row per patient, with a column ``patient`` and covariates; `n_patients` is then its
        length. Published coefficients of the model apply as far as the table has their columns;
        of others the patients stand at the published reference.
    covariates : mapping of str to mapping of str to float, optional
        Coefficients in place of the published ones: for a parameter, the change on its
        transformed scale per unit of each term, such as ``{"cmax": {"log(dose / 100)": 0.5}}``.

    Returns
    -------
    Cohort
        Marked synthetic. The true curves are in `true_parameters` of the same arguments.

    Raises
    ------
    CarkineticsError
        For names the model or the assays do not have, and for a model that cannot be solved.

    Examples
    --------
    >>> from carkinetics.library import load_model
    >>> simulate(load_model("stein_2019"), 4, seed=1, assays=["qpcr"]).n_patients
    4
    """
    from carkinetics.cohort import read_cohort
    from carkinetics.solve.curves import latent_levels

    assays = (assays,) if isinstance(assays, str) else tuple(assays)
    n_patients = n_patients if patients is None else len(patients)
    _check_request(model, n_patients, visits, assays, lloq or {}, sigma or {})
    unit = "cells/uL" if "flow" in assays else "copies/ug"
    parameters = true_parameters(
        model,
        n_patients,
        seed=seed,
        unit=unit,
        typical=typical,
        omega=omega,
        patients=patients,
        covariates=covariates,
    )
    days = np.sort(np.asarray(visits, dtype=float))
    found = latent_levels(model.system(), parameters.to_numpy(), days, tolerance=1e-8)
    if found.failed.any():
        patients = ", ".join(parameters.index[found.failed][:5])
        what = f"cannot be solved for {int(found.failed.sum())} patient(s): {patients}"
        raise CarkineticsError(Fault(model.name, what, "Choose smaller omegas."))
    # Another stream than that of the parameters, which `true_parameters` gives alone.
    rng = np.random.default_rng([seed, 1])
    limits, errors = LLOQ | dict(lloq or {}), _SIGMA | dict(sigma or {})
    tables = []
    for i, patient in enumerate(parameters.index):
        wbc = _leukocytes(rng, days)
        levels = _Draws(patient, days, found.log_level[i], model.cell_types, wbc, limits, errors)
        tables += [levels.flow(rng)] if "flow" in assays else []
        tables += [levels.qpcr(rng, linked="flow" in assays)] if "qpcr" in assays else []
    table = pd.concat(tables, ignore_index=True).assign(synthetic=True)
    if patients is not None:
        patients = patients.assign(patient=list(parameters.index), synthetic=True)
    return read_cohort(table, patients=patients, name=f"virtual {model.name}")


def true_parameters(
    model: Model,
    n_patients: int,
    *,
    seed: int,
    unit: str = "cells/uL",
    typical: Mapping[str, float] | None = None,
    omega: Mapping[str, float] | None = None,
    patients: pd.DataFrame | None = None,
    covariates: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Draw the parameters of virtual patients; `simulate` uses the same ones.

    Parameters
    ----------
    model, n_patients, seed, typical, omega, patients, covariates
        See `simulate`.
    unit : str
        Unit of the latent level.

    Returns
    -------
    DataFrame
        One row per patient, one column per parameter of the system, natural scale.
    """
    from carkinetics.cohort.simulated_covariates import covariate_shifts

    known = [name.split("[")[0] for name in model.system().parameters]
    for what, given in (("typical", typical or {}), ("omega", omega or {})):
        unknown = sorted({name.split("[")[0] for name in given} - set(known))
        if unknown:
            listed = ", ".join(dict.fromkeys(known))
            raise ModelFileError(
                Fault(f"{what} of {model.name}", f"no parameter {unknown}", f"There are {listed}.")
            )
    shifts, names = covariate_shifts(model, patients, covariates)
    names = names or [f"S{i + 1:02d}" for i in range(n_patients)]
    n_patients = len(names)
    rng = np.random.default_rng([seed, 0])
    given = dict(typical or {})
    # A name without its cell type stands for all of them.
    centers = {
        name: given.get(name, given.get(name.split("[")[0], value))
        for name, value in model.typical(unit).items()
    }
    columns = {}
    for name in model.system().parameters:
        parameter = model.parameters[name.split("[")[0]]
        prior = parameter.prior_for(unit)
        sd = _omega_of(model, name, unit, dict(omega or {}))
        effects = sd * rng.standard_normal(n_patients) + shifts.get(parameter.name, 0.0)
        columns[name] = prior.to_natural(prior.to_transformed(centers[name]) + effects)
    return pd.DataFrame(columns, index=names)


def draw_prior(
    model: Model, unit: str, size: int, rng: np.random.Generator, student_t: bool = False
) -> np.ndarray:
    """Draw patients of new cohorts from the whole prior: locations, SDs and effects.

    Parameters
    ----------
    model : Model
        Gives the priors.
    unit : str
        Unit of the latent level.
    size : int
        Number of patients, each of a cohort of its own.
    rng : Generator
        Source of randomness.
    student_t : bool
        Heavy-tailed effects on parameters in the unit of the level, with degrees of freedom from
        Gamma(2, 0.1) above 2.

    Returns
    -------
    array, shape (size, parameter)
        Natural scale, in the order of ``model.system().parameters``.
    """
    tails = rng.standard_normal((size, len(model.system().parameters)))
    freedom = 2.0 + rng.gamma(2.0, 10.0, size)
    heavy = np.sqrt(freedom / rng.chisquare(freedom)) if student_t else np.ones(size)
    columns = []
    for k, name in enumerate(model.system().parameters):
        parameter = model.parameters[name.split("[")[0]]
        prior = parameter.prior_for(unit)
        value = prior.to_transformed(prior.sample(rng, size))
        if parameter.vary == "patient":
            tail = tails[:, k] * (heavy if parameter.unit == "level" else 1.0)
            value = value + parameter.omega_for(unit).sample(rng, size) * tail
        columns.append(prior.to_natural(value))
    return np.stack(columns, axis=1)


def _check_request(
    model: Model,
    n_patients: int,
    visits: Sequence[float],
    assays: Sequence[str],
    lloq: Mapping[str, float],
    sigma: Mapping[str, float],
) -> None:
    faults = []
    if n_patients < 1:
        faults.append(Fault("n_patients", f"is {n_patients}", "Give at least 1."))
    days = np.asarray(visits, dtype=float)
    if not days.size or not np.all(days >= 0):
        faults.append(Fault("visits", "are no days from the infusion on", "Give at least one."))
    for what, names in (("assays", assays), ("lloq", lloq), ("sigma", sigma)):
        unknown = sorted(set(names) - set(LLOQ))
        if unknown or (what == "assays" and not names):
            faults.append(
                Fault(what, f"unknown {unknown}" if unknown else "none", "There are flow and qpcr.")
            )
    faults += [
        Fault(f"assays of {model.name}", f"does not observe {name!r}", "Leave it out.")
        for name in assays
        if name in LLOQ and name not in model.observed
    ]
    if faults:
        raise CarkineticsError(faults)


def _omega_of(model: Model, name: str, unit: str, given: dict[str, float]) -> float:
    parameter = model.parameters[name.split("[")[0]]
    if name in given or parameter.name in given:
        return given.get(name, given.get(parameter.name, 0.0))
    if parameter.vary != "patient":
        return 0.0
    if parameter.omega_value is not None:
        return parameter.omega_value
    return parameter.omega_for(unit).median


def _leukocytes(rng: np.random.Generator, days: np.ndarray) -> np.ndarray:
    """Leukocytes of one patient: lymphodepleted, then recovering, with 30 % scatter."""
    typical = _NADIR + (_RECOVERED - _NADIR) / (1 + np.exp(-(days - 20.0) / (_RETURN / 3)))
    shift = np.exp(rng.normal(0, 0.3))
    return np.round(shift * typical * np.exp(rng.normal(0, 0.3, days.size)), 1)


class _Draws:
    """What the assays read off one patient's curve."""

    def __init__(
        self,
        patient: str,
        days: np.ndarray,
        log_level: np.ndarray,
        cell_types: Sequence[str],
        wbc: np.ndarray,
        limits: Mapping[str, float],
        errors: Mapping[str, float],
    ) -> None:
        self.base: dict[str, Any] = {"patient": patient, "day": days, "wbc_per_ul": wbc}
        self.log_level, self.cell_types = log_level, tuple(cell_types)
        self.limits, self.errors = limits, errors

    def flow(self, rng: np.random.Generator) -> pd.DataFrame:
        """Flow: the total with error and limit, and its split where there are subsets."""
        total = np.exp(
            self.log_level[-1] + self.errors["flow"] * rng.standard_normal(self.log_level.shape[1])
        )
        tables = [self._table("flow", "total", total, "cells/uL")]
        if set(self.cell_types) == {"CD4", "CD8"}:
            eight, four = (self.log_level[self.cell_types.index(c)] for c in ("CD8", "CD4"))
            noise = _SHARE_SD * rng.standard_t(4, four.size)
            share = 1 / (1 + np.exp(-(eight - four + noise)))
            known = total >= self.limits["flow"]
            for name, part in (("CD4", total * (1 - share)), ("CD8", total * share)):
                table = self._table("flow", name, part, "cells/uL")
                tables.append(table[known].assign(lloq=np.nan, below_lloq=False, level=part[known]))
        return pd.concat(tables, ignore_index=True)

    def qpcr(self, rng: np.random.Generator, linked: bool) -> pd.DataFrame:
        """Transgene of the total, through the assay link where flow gives the unit of the level."""
        mean = self.log_level[-1]
        if linked:
            mean = link_log_copies(mean, np.log(self.base["wbc_per_ul"]), np.log(_COPIES_PER_CELL))
        copies = np.exp(mean + self.errors["qpcr"] * rng.standard_normal(mean.size))
        return self._table("qpcr", "total", copies, "copies/ug")

    def _table(self, assay: str, cell_type: str, level: np.ndarray, unit: str) -> pd.DataFrame:
        below = level < self.limits[assay]
        columns = {"assay": assay, "cell_type": cell_type, "unit": unit}
        return pd.DataFrame(
            self.base
            | columns
            | {
                "level": np.where(below, np.nan, level),
                "lloq": self.limits[assay],
                "below_lloq": below,
            }
        )
