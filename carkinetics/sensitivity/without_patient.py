"""The density of a patient's data under a fit that was made without the patient."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.inference.described import kinetic_choices
from carkinetics.sensitivity.integrated import propose
from carkinetics.sensitivity.shared import Shared, own_effects

if TYPE_CHECKING:
    from carkinetics.inference import Fit

_HOW = ("draws", "tune", "chains", "cores", "target_accept")


def predicted_without(fit: Fit, patient: str, *, draws: int, seed: int) -> float:
    """Fit again without a patient, and predict the patient's data from that.

    Parameters
    ----------
    fit : Fit
        Of all patients; gives model, data and settings, and where the patient's effects lie.
    patient : str
        To be left out.
    draws : int
        Of the new fit, evenly spaced.
    seed : int
        Of the proposals; the new fit has the seed of the old one.

    Returns
    -------
    float
        Log predictive density, integrated over the patient's own effects [nat].

    Raises
    ------
    FitError
        For a fit with covariates, which are centered on the patients that were fitted, and
        where the fit without the patient fails its checks.
    """
    if fit.plan.covariates is not None:
        raise FitError(
            "a fit with covariates is not repeated without a patient: their centers would move. "
            "Leave the patient out of the cohort, and fit that."
        )
    again = _without(fit, patient)
    posterior = again.data["posterior"].to_dataset()
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    keep = np.unique(np.linspace(0, total - 1, min(draws, total)).round().astype(int))
    # What all patients share comes from the new fit; the patient's samples from the old one.
    shared = Shared(dataclasses.replace(again, _plan=fit.plan), posterior, keep)
    i = fit.patients.index(patient)
    proposal = propose(own_effects(fit, i), np.random.default_rng([seed, i, 1]))
    joint = shared.log_joint(i, proposal.effects) - proposal.log_density
    every = special.logsumexp(joint) - np.log(joint.size)
    return float(every)


def _without(fit: Fit, patient: str) -> Fit:
    """Make the same fit without a patient."""
    from carkinetics.inference import fit as fit_again

    settings = fit.settings
    rest = fit.cohort.select(p for p in fit.cohort.patient_ids if p != patient)
    how = {name: settings[name] for name in _HOW if name in settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)  # the checks are read below
        again = fit_again(
            fit.kinetic_model, rest, seed=int(settings["seed_given"]), method=settings["method"],
            prior_check=False, progress="none", **how, **kinetic_choices(settings),
        )  # fmt: skip
    if not (check := again.check()).passed:
        raise FitError(f"the fit without {patient}: {check}")
    return again
