"""What a fit expects of every sample: predicted levels, replicates and log likelihoods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import special, stats

from carkinetics.inference.draws import SAMPLE
from carkinetics.inference.layout import Samples
from carkinetics.inference.planning import Plan
from carkinetics.likelihood import (
    REFERENCE_WBC,
    SHARE_DEGREES_OF_FREEDOM,
    link_log_copies,
)
from carkinetics.solve.curves import LatentLevels, latent_levels

_CHUNK = 200_000


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected log level (or logit share) of one kind of sample, with its error.

    Attributes
    ----------
    samples : Samples
        The samples.
    mean : array, shape (chain, draw, sample)
        Predicted ln level; logit share for a split.
    sigma : array, broadcast to (chain, draw, sample)
        Residual SD.
    nu : array or float or None
        Degrees of freedom of Student-t residuals; None for Normal ones.
    """

    samples: Samples
    mean: np.ndarray
    sigma: np.ndarray
    nu: Any = None


def expected_samples(
    plan: Plan, posterior: xr.Dataset, parameters: np.ndarray
) -> dict[str, Expected]:
    """Predict every sample from every draw.

    Parameters
    ----------
    plan : Plan
        Shape of the fit.
    posterior : Dataset
        Draws of the free variables.
    parameters : array, shape (chain, draw, patient, parameter)
        Of every patient, natural scale.

    Returns
    -------
    dict of str to Expected
        ``flow``, ``qpcr``, ``share`` and ``share_events``, as far as there are such samples.
    """
    layout = plan.layout
    levels = _levels_at_visits(plan, parameters)
    total, nu = levels[..., -1], _freedom(posterior)
    found = {}
    if len(layout.flow):
        found["flow"] = Expected(
            layout.flow, total[..., layout.flow.row], _scalar(posterior, "sigma_flow"), nu
        )
    if len(layout.qpcr):
        found["qpcr"] = _expected_qpcr(plan, posterior, total, nu)
    if levels.shape[-1] > 1:
        logit = levels[..., 1] - levels[..., 0]
        if len(layout.split):
            sigma = _scalar(posterior, "sigma_share")
            found["share"] = Expected(
                layout.split, logit[..., layout.split.row], sigma, SHARE_DEGREES_OF_FREEDOM
            )
        if len(layout.split_events):
            rho = _scalar(posterior, "overdispersion_share")
            found["share_events"] = Expected(
                layout.split_events, logit[..., layout.split_events.row], rho
            )
    return found


def log_likelihood(expected: Expected) -> np.ndarray:
    """Give the log likelihood of every sample, shape (chain, draw, sample); M3 below the limit."""
    samples, mean = expected.samples, expected.mean
    if expected.samples.events is not None:
        return _split_log_likelihood(expected)
    residual = _residual(expected)
    z = (samples.log_level - mean) / expected.sigma
    quantified = residual.logpdf(z) - np.log(expected.sigma)
    if not samples.below.any():
        return quantified
    return np.where(samples.below, residual.logcdf(z), quantified)


def replicate(expected: Expected, rng: np.random.Generator) -> np.ndarray:
    """Draw a new measurement of every sample: ln level, or CD8 share; no limit applied."""
    shape = expected.mean.shape
    if expected.samples.events is not None:
        rho = np.broadcast_to(expected.sigma, shape)
        share, weight = special.expit(expected.mean), 1 / rho - 1
        p = rng.beta(np.maximum(share * weight, 1e-9), np.maximum((1 - share) * weight, 1e-9))
        return rng.binomial(expected.samples.events, p) / np.maximum(expected.samples.events, 1)
    if expected.nu is None:
        noise = rng.standard_normal(shape)
    else:
        noise = rng.standard_t(np.broadcast_to(expected.nu, shape))
    value = expected.mean + expected.sigma * noise
    return special.expit(value) if expected.samples.kind == "share" else value


def _levels_at_visits(plan: Plan, parameters: np.ndarray) -> np.ndarray:
    """Log levels at all visits, shape (chain, draw, row, cell_type), the total last."""
    layout = plan.layout
    parts = []
    for i in range(len(layout.patients)):
        days = layout.days[layout.offsets[i] : layout.offsets[i + 1]]
        flat = parameters[:, :, i].reshape(-1, parameters.shape[-1])
        found: LatentLevels = latent_levels(plan.system, flat, days, tolerance=plan.tolerance)
        level = found.log_level.transpose(0, 2, 1)
        parts.append(level.reshape(*parameters.shape[:2], *level.shape[1:]))
    return np.concatenate(parts, axis=2)


def _expected_qpcr(plan: Plan, posterior: xr.Dataset, total: np.ndarray, nu: Any) -> Expected:
    samples = plan.layout.qpcr
    mean = total[..., samples.row]
    wbc = samples.table["wbc_per_ul"].to_numpy(float)
    measured = wbc > 0
    if plan.layout.linked:
        shift = qpcr_shift(plan, posterior)[..., samples.patient]
        log_wbc = np.log(np.where(measured, wbc, REFERENCE_WBC))
        mean = linked(plan, posterior, mean, log_wbc, shift)
    sigma = _qpcr_sigma(posterior, measured)
    dna = samples.table["dna_ug"].to_numpy(float)
    if np.any(dna > 0):
        weight = np.divide(1.0, dna, out=np.zeros_like(dna), where=dna > 0)
        sigma = np.sqrt(sigma**2 + weight * np.exp(-mean))
    return Expected(samples, mean, sigma, nu)


def linked(plan: Plan, posterior: xr.Dataset, log_cells: Any, log_wbc: Any, shift: Any) -> Any:
    """Take ln cells to ln copies with the link of every draw; trailing axes are broadcast."""
    extra = (None,) * (np.ndim(log_cells) - 2)
    copies, slope, by_wbc = (part[(..., *extra)] for part in link_draws(plan, posterior))
    return link_log_copies(log_cells, log_wbc, copies, slope, by_wbc, shift)


def link_draws(plan: Plan, posterior: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the assay link of every draw, shape (chain, draw).

    Returns
    -------
    tuple of array
        ln copies per cell, slope of ln copies on ln cells, and slope on ln leukocytes: what is
        held, or not in the model, is the same in all draws.
    """

    def values(name: str, otherwise: float | None) -> np.ndarray:
        if name in posterior:
            return np.asarray(posterior[name].transpose(*SAMPLE).values)
        return np.full([posterior.sizes[n] for n in SAMPLE], otherwise, dtype=float)

    copies = values("log_copies_per_cell", None)
    return copies, values("link_slope", plan.link_slope), values("wbc_slope", 0.0)


def qpcr_shift(plan: Plan, posterior: xr.Dataset) -> np.ndarray:
    """Give every patient's own offset between qPCR and flow, shape (chain, draw, patient)."""
    return posterior["qpcr_shift"].transpose(*SAMPLE, "patient").values


def _qpcr_sigma(posterior: xr.Dataset, measured: np.ndarray) -> np.ndarray:
    with_wbc = "sigma_qpcr" in posterior
    if with_wbc and "sigma_qpcr_without_wbc" in posterior:
        return np.where(
            measured, _scalar(posterior, "sigma_qpcr"), _scalar(posterior, "sigma_qpcr_without_wbc")
        )
    return _scalar(posterior, "sigma_qpcr" if with_wbc else "sigma_qpcr_without_wbc")


def _scalar(posterior: xr.Dataset, name: str) -> np.ndarray:
    return posterior[name].transpose(*SAMPLE).values[..., None]


def _freedom(posterior: xr.Dataset) -> np.ndarray | None:
    return _scalar(posterior, "nu_residual") if "nu_residual" in posterior else None


def _residual(expected: Expected) -> Any:
    return stats.norm if expected.nu is None else stats.t(expected.nu)


def _split_log_likelihood(expected: Expected) -> np.ndarray:
    share, weight = special.expit(expected.mean), 1 / expected.sigma - 1
    table = expected.samples.table
    cd8 = table["events_cd8"].to_numpy(float).round().astype(int)
    return stats.betabinom.logpmf(
        cd8, expected.samples.events, share * weight, (1 - share) * weight
    )
