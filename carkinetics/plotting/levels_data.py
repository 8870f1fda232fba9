"""What a figure of levels shows: its patients, samples and posterior quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.errors import DataError, Fault

if TYPE_CHECKING:
    from carkinetics.inference import Fit


@dataclass(frozen=True)
class Panel:
    """One patient, one assay: samples, and quantiles by cell type, shape (quantile, day)."""

    patient: str
    assay: str
    samples: pd.DataFrame
    quantiles: dict[str, np.ndarray]


def shown_assays(fit: Fit, assays: Sequence[str] | None) -> tuple[str, ...]:
    """Return the assays to draw; raises `DataError` for one that was not fitted."""
    fitted = fit.plan.layout.assays
    if assays is None:
        return fitted
    asked = (assays,) if isinstance(assays, str) else tuple(assays)
    unknown = [a for a in asked if a not in fitted]
    if unknown or not asked:
        what = f"no fitted {' or '.join(unknown)} samples" if unknown else "no assay asked for"
        remedy = f"Fitted: {', '.join(fitted)}."
        raise DataError(Fault(f"fit of {fit.cohort.name}", what, remedy, section="assays"))
    return tuple(a for a in fitted if a in asked)


def shown_cells(fit: Fit, cell_types: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the cell types to draw; raises `DataError` for one that was not fitted."""
    if cell_types is None:
        return fit.cell_types
    asked = (cell_types,) if isinstance(cell_types, str) else tuple(cell_types)
    unknown = [c for c in asked if c not in fit.cell_types]
    if unknown or not asked:
        what = f"no curves of {' or '.join(unknown)} cells" if unknown else "no cell type asked for"
        remedy = f"Fitted: {', '.join(fit.cell_types)}."
        raise DataError(Fault(f"fit of {fit.cohort.name}", what, remedy, section="cell_types"))
    return tuple(c for c in fit.cell_types if c in asked)


def last_sample(fit: Fit, patient: str) -> float:
    """Return the day of a patient's last fitted sample, by any assay [day]."""
    layout = fit.plan.layout
    return float(layout.days[layout.offsets[layout.patients.index(patient) + 1] - 1])


def samples_of(fit: Fit, patient: str, assay: str, cell_types: Sequence[str]) -> pd.DataFrame:
    """Return a patient's samples by one assay, and whether each was fitted."""
    table = fit.cohort.samples(assay, fitted=True)
    shown = cell_types if assay == "flow" else ("total",)
    rows = table[(table["patient"] == patient) & table["cell_type"].isin(shown)]
    pairs = [samples.table for samples in (fit.plan.layout.split, fit.plan.layout.split_events)]
    days = {day for pair in pairs for day in pair.loc[pair["patient"] == patient, "day"]}
    return rows.assign(fitted=(rows["cell_type"] == "total") | rows["day"].isin(days))


def thinned(fit: Fit, draws: int) -> tuple[Fit, str]:
    """Keep evenly spaced draws of what the curves are made from; say how many there are."""
    sizes = fit.data["posterior"].sizes
    total = sizes["chain"] * sizes["draw"]
    step = max(int(np.ceil(total / max(draws, 1))), 1)
    keep = slice(None, None, step)
    paths = ("posterior", "carkinetics/parameters")
    groups = {path: fit.data[path].to_dataset().isel(draw=keep) for path in paths}
    used = groups["posterior"].sizes["chain"] * groups["posterior"].sizes["draw"]
    text = f"all {total:,}" if used == total else f"{used:,} of {total:,}"
    return replace(fit, data=xr.DataTree.from_dict(groups), _plan=fit.plan), text


def quantiles_of(
    fit: Fit,
    patient: str,
    assays: Sequence[str],
    cell_types: Sequence[str],
    days: np.ndarray,
    at: Sequence[float],
) -> dict[str, dict[str, np.ndarray]]:
    """Compute the quantiles of one patient, by assay and cell type; one at a time saves memory."""
    found: dict[str, dict[str, np.ndarray]] = {}
    if "flow" in assays:
        curves = fit.curves(days, [patient]).isel(patient=0)
        found["flow"] = {c: _over_draws(curves.sel(cell_type=c), at) for c in cell_types}
    if "qpcr" in assays:
        curves = fit.qpcr_curves(days, [patient]).isel(patient=0)
        found["qpcr"] = {"total": _over_draws(curves, at)}
    return found


def _over_draws(curves: xr.DataArray, at: Sequence[float]) -> np.ndarray:
    values = curves.transpose("chain", "draw", "day").values
    return np.quantile(values.reshape(-1, values.shape[-1]), at, axis=0)


def level_limits(panels: list[Panel], days: np.ndarray) -> tuple[float, float]:
    """Give the range of levels that holds samples, limits and medians; bands may leave it."""
    samples = pd.concat([panel.samples for panel in panels])
    samples = samples[samples["fitted"]]
    level = samples["level"].where(~samples["below_lloq"].astype(bool)).to_numpy(float)
    lloq = samples["lloq"].to_numpy(float)
    known = np.concatenate([level[level > 0], lloq[lloq > 0]])
    medians = np.concatenate([q[0] for panel in panels for q in panel.quantiles.values()])
    if known.size == 0:
        known = medians[medians > 0]
    top = max(known.max(), medians.max())
    # Far below the lowest sample a curve is of no interest, and may go down to nothing.
    return float(known.min()) / 4, float(top) * 2.5
