"""`leave_patients_out`: what each patient's data would have looked like to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from carkinetics.errors import FitError
from carkinetics.inference.draws import cholesky_of, patient_centers, patient_coordinates
from carkinetics.inference.layout import Layout, Samples
from carkinetics.inference.planning import SHIFT
from carkinetics.inference.prediction import Expected, log_likelihood
from carkinetics.likelihood import REFERENCE_WBC, SHARE_DEGREES_OF_FREEDOM, link_log_copies
from carkinetics.sensitivity.integrated import LeftOut, leave_out, propose
from carkinetics.sensitivity.weights import LARGEST_KHAT
from carkinetics.solve.curves import latent_levels

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
            ``patient``, ``elpd`` [nat], ``khat``, ``effective`` draws, and ``usable``: where it
            is false, fit again without the patient.
        """
        rows = [
            (name, f.elpd, f.weights.khat, f.weights.effective, f.weights.khat <= LARGEST_KHAT)
            for name, f in self.patients.items()
        ]
        return pd.DataFrame(rows, columns=["patient", "elpd", "khat", "effective", "usable"])

    def __repr__(self) -> str:
        table = self.table()
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        bad = list(table.loc[~table["usable"], "patient"])
        again = f"; fit again without {', '.join(bad)}" if bad else ""
        return (
            f"Leave-one-patient-out{mark}: elpd {self.elpd:.1f} nat, SE "
            f"{self.standard_error:.1f} over {len(table)} patients; largest k-hat "
            f"{table['khat'].max():.2f}{again}"
        )


def leave_patients_out(
    fit: Fit, patients: Sequence[str] | None = None, *, draws: int = _DRAWS, seed: int = 0
) -> PatientsOut:
    """Leave each patient out in turn, without fitting again.

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

    Returns
    -------
    PatientsOut
        The prediction is of a new patient: integrated over the patient's own effects. Its sum
        compares models; its weights tell what an analysis would have been without the patient.

    Raises
    ------
    FitError
        For a joint fit, whose outcomes would have to be left out as well.

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
        found[name] = leave_out(
            shared.log_likelihood(i, proposal.effects), shared.log_prior(i, proposal.effects),
            proposal,
        )  # fmt: skip
    return PatientsOut(found, keep, fit.synthetic)


def own_effects(fit: Fit, i: int) -> np.ndarray:
    """Give all draws of a patient's own effects, the offset between assays last.

    Returns
    -------
    array, shape (draw, effect)
        On the transformed scale.
    """
    posterior = fit.data["posterior"].to_dataset()
    centering = fit.data["constant_data"]["centering"].values
    own = patient_coordinates(fit.plan, posterior, centering)[:, :, i]
    own = own.reshape(-1, own.shape[-1])
    if SHIFT not in posterior:
        return own
    shift = posterior[SHIFT].transpose("chain", "draw", "patient").values[:, :, i]
    return np.column_stack([own, shift.ravel()])


class Shared:
    """What all patients share, on some of the draws.

    Parameters
    ----------
    fit : Fit
        Whose plan says what there is.
    posterior : Dataset
        Draws.
    keep : array of int, shape (draw,)
        Positions of those to use, in the order (chain, draw).
    """

    def __init__(self, fit: Fit, posterior: Any, keep: np.ndarray) -> None:
        self._plan = fit.plan
        self._keep = keep
        self._posterior = posterior
        n_varying = len(self._plan.varying)
        self._centers = self._flat(patient_centers(self._plan, posterior))
        omegas = [posterior[f"omega_{p.name}"].values.ravel()[keep] for p in self._plan.varying]
        self._omega = np.stack(omegas, axis=-1)
        factor = cholesky_of(self._plan, posterior)
        eye = np.broadcast_to(np.eye(n_varying), (keep.size, n_varying, n_varying))
        self._factor = eye if factor is None else self._flat(factor)

    def log_prior(self, i: int, effects: np.ndarray) -> np.ndarray:
        """Give the density of proposed effects of a patient, shape (draw, proposal)."""
        n = self._omega.shape[1]
        center = self._centers[:, min(i, self._centers.shape[1] - 1)]
        u = (effects[None, :, :n] - center[:, None]) / self._omega[:, None]
        z = np.linalg.solve(self._factor, u.transpose(0, 2, 1)).transpose(0, 2, 1)
        log_volume = np.log(self._omega).sum(axis=1)
        log_volume = log_volume + np.log(np.diagonal(self._factor, axis1=1, axis2=2)).sum(axis=1)
        terms = stats.norm.logpdf(z)
        if any(self._plan.heavy):
            nu = self._of("nu_patients")[:, None, None]
            terms = np.where(self._plan.heavy, stats.t.logpdf(z, nu), terms)
        found = terms.sum(axis=2) - log_volume[:, None]
        if SHIFT in self._posterior:
            spread = self._of(f"omega_{SHIFT}")[:, None]
            found = found + stats.norm.logpdf(effects[None, :, n], 0.0, spread)
        return found

    def log_likelihood(self, i: int, effects: np.ndarray) -> np.ndarray:
        """Give the density of a patient's data, shape (draw, proposal)."""
        plan = self._plan
        layout = _of_patient(plan.layout, i)
        total, logit = self._levels(effects, layout)
        nu = None if plan.residual == "normal" else self._of("nu_residual")[:, None, None]
        parts: list[Expected] = []
        if len(layout.flow):
            sigma = self._of("sigma_flow")[:, None, None]
            parts.append(Expected(layout.flow, total[..., layout.flow.row], sigma, nu))
        if len(layout.qpcr):
            parts.append(self._qpcr(layout.qpcr, total, effects, nu))
        if logit is not None and len(layout.split):
            sigma = self._of("sigma_share")[:, None, None]
            share = Expected(
                layout.split, logit[..., layout.split.row], sigma, SHARE_DEGREES_OF_FREEDOM
            )
            parts.append(share)
        if logit is not None and len(layout.split_events):
            rho = self._of("overdispersion_share")[:, None, None]
            parts.append(Expected(layout.split_events, logit[..., layout.split_events.row], rho))
        # A proposal that cannot be solved has no density.
        sums = [np.nan_to_num(log_likelihood(e), nan=-np.inf).sum(axis=-1) for e in parts]
        return np.sum(np.broadcast_arrays(*sums), axis=0)

    def _levels(self, effects: np.ndarray, layout: Layout) -> tuple[np.ndarray, Any]:
        """Solve the proposals: once for all draws where no parameter of the curve is shared."""
        plan = self._plan
        at = {p.name: k for k, p in enumerate(plan.varying)}
        common = [p for p in plan.parameters if p.name not in at]
        n_draws = self._keep.size if common else 1
        shape = (n_draws, len(effects))
        columns = [
            p.prior.to_natural(
                effects[None, :, at[p.name]] if p.name in at else self._of(p.variable)[:, None]
            )
            for p in plan.parameters
        ]
        parameters = np.stack([np.broadcast_to(c, shape) for c in columns], axis=-1)
        flat = parameters.reshape(-1, len(columns))
        found = latent_levels(plan.system, flat, layout.days, tolerance=plan.tolerance).log_level
        level = found.reshape(*shape, *found.shape[1:])
        logit = level[..., 1, :] - level[..., 0, :] if level.shape[2] > 1 else None
        return level[..., -1, :], logit

    def _qpcr(self, samples: Samples, total: np.ndarray, effects: np.ndarray, nu: Any) -> Expected:
        mean = total[..., samples.row]
        wbc = samples.table["wbc_per_ul"].to_numpy(float)
        measured = wbc > 0
        if SHIFT in self._posterior:
            slope = self._of("wbc_slope") if "wbc_slope" in self._posterior else np.zeros(1)
            mean = link_log_copies(
                mean,
                np.log(np.where(measured, wbc, REFERENCE_WBC)),
                self._of("log_copies_per_cell")[:, None, None],
                self._of("link_slope")[:, None, None],
                slope[:, None, None],
                effects[None, :, -1, None],
            )
        with_wbc, without = "sigma_qpcr", "sigma_qpcr_without_wbc"
        known = [n for n in (with_wbc, without) if n in self._posterior]
        sigma = self._of(known[0])[:, None, None]
        if len(known) == 2:
            sigma = np.where(measured, sigma, self._of(without)[:, None, None])
        dna = samples.table["dna_ug"].to_numpy(float)
        if np.any(dna > 0):
            weight = np.divide(1.0, dna, out=np.zeros_like(dna), where=dna > 0)
            sigma = np.sqrt(sigma**2 + weight * np.exp(-mean))
        return Expected(samples, mean, sigma, nu)

    def _of(self, name: str) -> np.ndarray:
        return self._posterior[name].transpose("chain", "draw").values.ravel()[self._keep]

    def _flat(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *values.shape[2:])[self._keep]


def _of_patient(layout: Layout, i: int) -> Layout:
    """Cut a layout down to one patient, whose days start at 0."""
    start, end = int(layout.offsets[i]), int(layout.offsets[i + 1])

    def cut(samples: Samples) -> Samples:
        mine = samples.patient == i
        return Samples(
            samples.kind, np.zeros(int(mine.sum()), int), samples.row[mine] - start,
            samples.log_level[mine], samples.below[mine], samples.table[mine],
        )  # fmt: skip

    return replace(
        layout,
        patients=(layout.patients[i],),
        offsets=np.array([0, end - start]),
        days=layout.days[start:end],
        flow=cut(layout.flow),
        split=cut(layout.split),
        split_events=cut(layout.split_events),
        qpcr=cut(layout.qpcr),
    )
