"""`leave_patients_out`: what each patient's data would have looked like to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import FitError
from carkinetics.sensitivity.integrated import LeftOut, leave_out, propose
from carkinetics.sensitivity.shared import Shared, own_effects
from carkinetics.sensitivity.without_patient import predicted_without

if TYPE_CHECKING:
    from carkinetics.inference import Fit

_DRAWS = 400


@dataclass(frozen=True, eq=False, repr=False)
class PatientsOut:
    """Every patient left out in turn.

    Made by `leave_patients_out`.

    Parameters
    ----------
    patients : mapping of str to LeftOut
        Weights and predictive density of each.
    draws : array of int, shape (draw,)
        Positions, among all draws in the order (chain, draw), of those that the weights are for.
    synthetic : bool
        Whether the patients are invented.
    """

    patients: Mapping[str, LeftOut]
    draws: np.ndarray
    synthetic: bool

    @property
    def elpd(self) -> float:
        """Sum of the log predictive densities [nat]."""
        return float(sum(found.elpd for found in self.patients.values()))

    @property
    def standard_error(self) -> float:
        """Standard error of `elpd`, over patients [nat]."""
        values = [found.elpd for found in self.patients.values()]
        return float(np.sqrt(len(values)) * np.std(values, ddof=1))

    def table(self) -> pd.DataFrame:
        """List the patients.

        Returns
        -------
        DataFrame
            ``patient``, ``elpd`` [nat], ``khat``, ``effective`` draws, ``refitted``: whether
            the model was fitted again without the patient, and ``usable``: where it is false,
            do that.
        """
        rows = [
            (name, f.elpd, f.weights.khat, f.weights.effective, f.refitted, f.usable)
            for name, f in self.patients.items()
        ]
        names = ["patient", "elpd", "khat", "effective", "refitted", "usable"]
        return pd.DataFrame(rows, columns=names)

    def __repr__(self) -> str:
        table = self.table()
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        bad = list(table.loc[~table["usable"], "patient"])
        again = f"; fit again without {', '.join(bad)} (refit=True)" if bad else ""
        if done := int(table["refitted"].sum()):
            again = f"; {done} fitted again without the patient" + again
        return (
            f"Leave-one-patient-out{mark}: elpd {self.elpd:.1f} nat, SE "
            f"{self.standard_error:.1f} over {len(table)} patients; largest k-hat "
            f"{table['khat'].max():.2f}{again}"
        )


def leave_patients_out(
    fit: Fit,
    patients: Sequence[str] | None = None,
    *,
    draws: int = _DRAWS,
    seed: int = 0,
    refit: bool = False,
) -> PatientsOut:
    """Leave each patient out in turn, by weights, and by fitting again where they fail.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`, without outcomes in it.
    patients : sequence of str, optional
        All by default.
    draws : int
        How many posterior draws to use, evenly spaced.
    seed : int
        Of the proposals.
    refit : bool
        Fit again, with the settings of the fit, without each patient whose k-hat is above 0.7.

    Returns
    -------
    PatientsOut
        The prediction is of a new patient: integrated over the patient's own effects. Its sum
        compares models; its weights tell what an analysis would have been without the patient.

    Raises
    ------
    FitError
        For a joint fit, whose outcomes would have to be left out as well; where a fit without a
        patient fails its checks.

    Notes
    -----
    Importance sampling with the density of the patient's data integrated over proposals from
    around the patient's own posterior, and smoothed (PSIS). Summing the log likelihood of the
    patient's samples at the patient's own parameters instead is unreliable: k-hat is then above
    0.7 for most patients.

    References
    ----------
    Merkle, Furr and Rabe-Hesketh 2019, doi 10.1007/s11336-019-09679-0.
    """
    if fit.plan.extension is not None:
        raise FitError("leave_patients_out takes a fit of the kinetics alone.")
    posterior = fit.data["posterior"].to_dataset()
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    keep = np.unique(np.linspace(0, total - 1, min(draws, total)).round().astype(int))
    shared = Shared(fit, posterior, keep)
    found = {}
    for name in fit.select_patients(patients):
        i = fit.patients.index(name)
        proposal = propose(own_effects(fit, i), np.random.default_rng([seed, i]))
        out = leave_out(shared.log_joint(i, proposal.effects), proposal)
        if refit and not out.usable:
            elpd = predicted_without(fit, name, draws=draws, seed=seed)
            out = replace(out, elpd=elpd, refitted=True)
        found[name] = out
    return PatientsOut(found, keep, fit.synthetic)
