"""What all patients share, on some draws: densities of one patient's effects and data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from carkinetics.inference.draws import cholesky_of, patient_centers, patient_coordinates
from carkinetics.inference.layout import Layout, Samples
from carkinetics.inference.planning import SHIFT
from carkinetics.inference.prediction import Expected, link_draws, log_likelihood
from carkinetics.likelihood import REFERENCE_WBC, SHARE_DEGREES_OF_FREEDOM, link_log_copies
from carkinetics.solve.curves import latent_levels

if TYPE_CHECKING:
    from carkinetics.inference import Fit


def own_effects(fit: Fit, i: int) -> np.ndarray:
    """Give all draws of a patient's own effects, the offset between assays last.

    Returns
    -------
    array, shape (draw, effect)
        On the transformed scale.
    """
    posterior = fit.data["posterior"].to_dataset()
    constants = fit.data["constant_data"].to_dataset()
    own = patient_coordinates(fit.plan, posterior, constants)[:, :, i]
    own = own.reshape(-1, own.shape[-1])
    if SHIFT not in posterior:
        return own
    shift = posterior[SHIFT].transpose("chain", "draw", "patient").values[:, :, i]
    return np.column_stack([own, shift.ravel()])


# Densities at once, of draws times proposals times samples: bounds memory.
_NUMBERS = 4_000_000


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

    def log_joint(self, i: int, effects: np.ndarray) -> np.ndarray:
        """Give the density of a patient's data and proposed effects, shape (draw, proposal)."""
        count = max(1, _NUMBERS // (self._keep.size * max(self._samples(i), 1)))
        parts = [effects[start : start + count] for start in range(0, len(effects), count)]
        found = [self.log_likelihood(i, part) + self.log_prior(i, part) for part in parts]
        return np.concatenate(found, axis=1)

    def _samples(self, i: int) -> int:
        layout = self._plan.layout
        groups = (layout.flow, layout.split, layout.split_events, layout.qpcr)
        return int(sum((group.patient == i).sum() for group in groups))

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
            log_copies, slope, by_wbc = (
                self._flat(part)[:, None, None] for part in link_draws(self._plan, self._posterior)
            )
            log_wbc = np.log(np.where(measured, wbc, REFERENCE_WBC))
            shift = effects[None, :, -1, None]
            mean = link_log_copies(mean, log_wbc, log_copies, slope, by_wbc, shift)
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
