"""Convergence of the chains and health of the sampler, from the draws alone."""

from __future__ import annotations

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

# What nutpie says of a draw whose density could not be evaluated.
_FAILED = "Logp function returned error"


def convergence(group: xr.Dataset) -> pd.DataFrame:
    """Compute R-hat and effective sample sizes of every number in a group of draws.

    Parameters
    ----------
    group : Dataset
        Variables with dims chain and draw first.

    Returns
    -------
    DataFrame
        One row per number: ``name``, ``r_hat``, ``ess_bulk``, ``ess_tail``. Numbers that never
        change (the diagonal of a correlation) are left out.
    """
    rows = []
    for name, values in group.data_vars.items():
        draws = values.transpose("chain", "draw", ...)
        flat = draws.values.reshape(*draws.shape[:2], -1)
        labels = _labels(draws)
        for k in range(flat.shape[-1]):
            one = flat[..., k]
            if np.ptp(one) < 1e-12 * max(1.0, float(np.abs(one).max())):
                continue
            rows.append((f"{name}{labels[k]}", *_of(one)))
    return pd.DataFrame(rows, columns=["name", "r_hat", "ess_bulk", "ess_tail"])


def _of(draws: np.ndarray) -> tuple[float, float, float]:
    return (
        float(az.rhat(draws, method="rank")),
        float(az.ess(draws, method="bulk")),
        float(az.ess(draws, method="tail", prob=(0.05, 0.95))),
    )


def _labels(values: xr.DataArray) -> list[str]:
    dims = values.dims[2:]
    if not dims:
        return [""]
    axes = [[str(v) for v in values[d].values] for d in dims]
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    return [f"[{', '.join(row)}]" for row in grid]


def divergences(sample_stats: xr.Dataset) -> tuple[int, int]:
    """Count draws that diverged, those whose evaluation failed apart from the others.

    Returns
    -------
    energy, failed : int
        Divergences of the energy, and evaluations without a finite density.
    """
    total = int(sample_stats["diverging"].sum())
    failed = int(failed_draws(sample_stats).sum())
    return total - failed, failed


def failed_draws(sample_stats: xr.Dataset) -> np.ndarray:
    """Say which draws ended in an evaluation without a finite density, shape (chain, draw)."""
    if "evaluation_failed" in sample_stats:
        return sample_stats["evaluation_failed"].values.astype(bool)
    if "divergence_message" not in sample_stats:
        return np.zeros(sample_stats["diverging"].shape, dtype=bool)
    messages = sample_stats["divergence_message"].values
    flat = [isinstance(text, str) and text.startswith(_FAILED) for text in messages.ravel()]
    return np.array(flat, dtype=bool).reshape(messages.shape)


def smallest_e_bfmi(sample_stats: xr.Dataset) -> float:
    """Compute the smallest E-BFMI of the chains (Betancourt 2016, arXiv 1604.00695)."""
    energy = sample_stats["energy"].transpose("chain", "draw").values
    change = np.diff(energy, axis=1)
    return float((np.square(change).mean(axis=1) / energy.var(axis=1)).min())
