"""Draw a virtual cohort: patients, their curves, the visits, and what the assays see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.errors import CarkineticsError, Fault
from carkinetics.model import Model
from carkinetics.simulation.assays import Draws, leukocytes
from carkinetics.simulation.patients import patient_inputs, true_parameters
from carkinetics.simulation.relapse import relapse_days

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

VISITS = (3.0, 7.0, 10.0, 14.0, 17.0, 21.0, 28.0, 42.0, 60.0, 90.0, 120.0, 180.0)
LLOQ = {"flow": 0.5, "qpcr": 50.0}
_SIGMA = {"flow": 0.25, "qpcr": 0.4}


def simulate(
    model: Model,
    n_patients: int = 16,
    *,
    seed: int,
    visits: Sequence[float] = VISITS,
    assays: Sequence[str] | None = None,
    lloq: Mapping[str, float] | None = None,
    sigma: Mapping[str, float] | None = None,
    typical: Mapping[str, float] | None = None,
    omega: Mapping[str, float] | None = None,
    values: Mapping[str, float] | None = None,
    inputs: Mapping[str, float | Sequence[float]] | None = None,
    dropout: float | str | None = None,
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
    assays : sequence of str, optional
        ``"flow"`` (cells/uL; total, CD4 and CD8 where the model has them), ``"qpcr"``
        (copies/ug); those that the model observes by default. With qPCR alone the model's level
        is in copies/ug.
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
    values : mapping of str to float, optional
        Any number of the model in place of its own: fixed parameters and constants, too, and
        those that the model file calls absent, without which nothing is simulated.
    inputs : mapping of str to float or sequence of float, shape (patient,), optional
        What is known of each patient (``model.inputs``), such as the day of the first
        tocilizumab; one number stands for all patients. Otherwise the column of `patients` with
        the name of the input, where there is one, else the model's default. One number per
        patient becomes a column of the cohort's table of patients, where `fit` finds it.
    dropout : float or str, optional
        When patients relapse and have no more samples: a hazard [1/day], or a rule about an
        output of the model such as ``"tumor > 113.8"``, true from the day on which the output
        comes to lie above the number. The cohort then has ``ttp_day`` and ``progressed``.
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
        For names the model or the assays do not have, for values that are absent, and for a model
        that cannot be solved.

    Examples
    --------
    >>> from carkinetics.library import load_model
    >>> simulate(load_model("stein_2019"), 4, seed=1, assays=["qpcr"]).n_patients
    4
    """
    from carkinetics.cohort import read_cohort
    from carkinetics.solve.curves import latent_levels

    model = model.with_values(values or {})
    if assays is None:
        assays = tuple(name for name in LLOQ if name in model.observed)
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
    system = model.system(open_inputs=True)
    given: dict[str, Any] = (
        {} if patients is None else {n: patients[n] for n in model.inputs if n in patients}
    )
    given |= inputs or {}
    numbers = np.hstack(
        [parameters.to_numpy(), patient_inputs(model, n_patients, given, system.inputs)]
    )
    found = latent_levels(system, numbers, days, tolerance=1e-8)
    if found.failed.any():
        patients = ", ".join(parameters.index[found.failed][:5])
        what = f"cannot be solved for {int(found.failed.sum())} patient(s): {patients}"
        raise CarkineticsError(Fault(model.name, what, "Choose smaller omegas."))
    # Another stream than that of the parameters, which `true_parameters` gives alone.
    rng = np.random.default_rng([seed, 1])
    limits, errors = LLOQ | dict(lloq or {}), _SIGMA | dict(sigma or {})
    last = np.full(n_patients, np.inf)
    if dropout is not None:
        stream = np.random.default_rng([seed, 3])
        last = relapse_days(model, numbers, float(days[-1]), dropout, stream)
    tables = []
    for i, patient in enumerate(parameters.index):
        wbc = leukocytes(rng, days)
        levels = Draws(patient, days, found.log_level[i], model.cell_types, wbc, limits, errors)
        tables += [levels.flow(rng)] if "flow" in assays else []
        tables += [levels.qpcr(rng, linked="flow" in assays)] if "qpcr" in assays else []
    table = pd.concat(tables, ignore_index=True).assign(synthetic=True)
    own = {name: list(value) for name, value in given.items() if np.ndim(value)}
    if own and patients is None:
        patients = pd.DataFrame({"patient": parameters.index})
    if patients is not None:
        patients = patients.assign(patient=list(parameters.index), synthetic=True, **own)
    if dropout is not None:
        ids = parameters.index
        patients = pd.DataFrame({"patient": ids}) if patients is None else patients
        patients = patients.assign(
            ttp_day=np.minimum(last, days[-1]), progressed=last <= days[-1], synthetic=True
        )
        table = table[table["day"] <= table["patient"].map(pd.Series(last, ids))]
    return read_cohort(table, patients=patients, name=f"virtual {model.name}")


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
    if not model.observed:
        remedy = "Its curves are in carkinetics.model_curves(model, days)."
        faults = [Fault(model.name, "no assay sees this model", remedy)]
    faults += [
        Fault(f"assays of {model.name}", f"does not observe {name!r}", "Leave it out.")
        for name in assays
        if name in LLOQ and name not in model.observed and model.observed
    ]
    if faults:
        raise CarkineticsError(faults)
