"""From draws to rows: median, interval and what has to be known about each number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from carkinetics.errors import DataError, Fault
from carkinetics.inference.draws import SAMPLE
from carkinetics.quantities import Quantity, days_in, find_quantity

if TYPE_CHECKING:
    from carkinetics.exposure.result import Exposure

INTERVAL = "equal-tailed"
_FAILED = "the curve is not finite at some draws: the solver failed there"
_LEUKOCYTES = {
    "typical patient": "with the mean leukocytes of the cohort",
    "new patient": "with the leukocytes of a patient drawn at random",
}
_NO_LIMIT = "no limit of quantification: pass limit= to summarize"


def summary_table(
    data: xr.Dataset, index: str, probability: float
) -> tuple[pd.DataFrame, list[float]]:
    """Give median and interval of every quantity.

    Parameters
    ----------
    data : Dataset
        Draws, dims (chain, draw, `index`, cell_type).
    index : str
        ``"patient"`` or ``"who"``.
    probability : float
        Of the equal-tailed intervals.

    Returns
    -------
    table : DataFrame
        One row per patient, cell type and quantity.
    undefined : list of float
        Share of draws in which it is undefined, by row; below a half, the others are summarized.
    """
    if not 0 < probability < 1:
        raise DataError(Fault("table", f"probability={probability}", "Give one between 0 and 1."))
    tail = (1 - probability) / 2
    parts, gaps = [], []
    for name, values in data.data_vars.items():
        draws = values.transpose(*SAMPLE, index, "cell_type").values
        flat = draws.reshape(-1, *draws.shape[2:])
        low, middle, high, undefined = _quantiles(flat, tail, _is_strict(str(name)))
        statistic = "median"
        if find_quantity(str(name)).kind == "probability":
            middle, statistic = flat.mean(axis=0), "probability"
            low = high = np.full_like(middle, np.nan)
        grid = pd.MultiIndex.from_product(
            [data[index].values.astype(str), data["cell_type"].values.astype(str)]
        ).to_frame(index=False, name=[index, "cell_type"])
        part = grid.assign(
            quantity=str(name),
            label=values.attrs["long_name"],
            estimate=middle.ravel(),
            lower=low.ravel(),
            upper=high.ravel(),
            unit=values.attrs["units"],
            statistic=statistic,
            probability=probability if statistic == "median" else np.nan,
            interval=INTERVAL if statistic == "median" else "",
        )
        parts.append(part)
        gaps += undefined.ravel().tolist()
    return pd.concat(parts, ignore_index=True), gaps


def _is_strict(name: str) -> bool:
    """Tell whether every usable curve has the quantity, so that a gap is a failure."""
    return not find_quantity(name).undefined


def _quantiles(
    flat: np.ndarray, tail: float, strict: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give lower end, median, upper end, and the share undefined; shape (patient, cell_type)."""
    undefined = np.isnan(flat).mean(axis=0)
    if strict or not undefined.any():
        return *np.quantile(flat, [tail, 0.5, 1 - tail], axis=0), undefined
    ends = np.full((3, *flat.shape[1:]), np.nan)
    for at in np.argwhere(undefined < 0.5):
        one = flat[(slice(None), *at)]
        ends[(slice(None), *at)] = np.quantile(one[~np.isnan(one)], [tail, 0.5, 1 - tail])
    return *ends, undefined


def noted(table: pd.DataFrame, undefined: list[float], exposure: Exposure) -> pd.DataFrame:
    """Add a note to every row: why a number is missing, censored or extrapolated."""
    rows = zip(table.itertuples(), undefined, strict=True)
    return table.assign(note=[_note(row, share, exposure) for row, share in rows])


def _note(row: object, undefined: float, exposure: Exposure) -> str:
    patient, name, cell = row.patient, row.quantity, row.cell_type  # type: ignore[attr-defined]
    quantity = find_quantity(name)
    if np.isnan(row.estimate):  # type: ignore[attr-defined]
        return _missing(quantity, undefined, cell, exposure)
    notes = []
    if undefined > 0:
        notes.append(f"{quantity.undefined} in {undefined:.0%} of draws, which are left out")
    last = float(exposure.last_sample[patient])
    upper = row.upper  # type: ignore[attr-defined]
    beyond = max(days_in(name), default=0.0) > last
    if name == "persistence" and exposure.censored is not None:
        share = float(exposure.censored.sel(patient=patient, cell_type=cell))
        if share > 0:
            notes.append(f"beyond day {exposure.horizon:g} in {share:.0%} of draws (censored)")
        beyond = upper > last
    if name == "terminal_half_life" or name.startswith("time_above"):
        beyond = exposure.horizon > last
    if beyond:
        notes.append(
            f"extrapolated after the last sample on day {last:g}{_tail(name, exposure, patient)}"
        )
    return "; ".join(notes)


def _tail(name: str, exposure: Exposure, patient: str) -> str:
    """Say how much the data told about the tail that persistence is extrapolated along."""
    if name != "persistence" or exposure.contraction is None:
        return ""
    return (
        " (prior-posterior contraction of the terminal half-life "
        f"{exposure.contraction[patient]:.2f})"
    )


def population_noted(
    table: pd.DataFrame, undefined: list[float], exposure: Exposure
) -> pd.DataFrame:
    """Add a note to every row of the population, which has no samples and no onset."""
    rows = zip(table.itertuples(), undefined, strict=True)
    return table.assign(note=[_population_note(row, share, exposure) for row, share in rows])


def _population_note(row: object, undefined: float, exposure: Exposure) -> str:
    who, name, cell = row.who, row.quantity, row.cell_type  # type: ignore[attr-defined]
    quantity = find_quantity(name)
    if quantity.needs == "onset":
        return "an onset belongs to a patient"
    if np.isnan(row.estimate):  # type: ignore[attr-defined]
        return _missing(quantity, undefined, cell, exposure)
    notes = []
    if undefined > 0:
        notes.append(f"{quantity.undefined} in {undefined:.0%} of draws, which are left out")
    if name == "persistence":
        draws = exposure.population[name].sel(who=who, cell_type=cell)
        share = float((draws >= exposure.horizon).mean())
        if share > 0:
            notes.append(f"beyond day {exposure.horizon:g} in {share:.0%} of draws (censored)")
    if quantity.needs == "last_sample":
        notes.append(f"until the horizon, day {exposure.horizon:g}")
    if exposure.facts.get("draws_of_blood"):
        notes.append(_LEUKOCYTES[who])
    return "; ".join(notes)


def _missing(quantity: Quantity, undefined: float, cell: str, exposure: Exposure) -> str:
    if quantity.needs in ("limit", "assay") and np.isnan(exposure.limit):
        return _NO_LIMIT
    if quantity.needs == "assay" and cell != "total":
        return "the error of a single sample is known for the total only"
    if quantity.needs == "onset" or (quantity.undefined and undefined == 1):
        return quantity.undefined
    if quantity.undefined and undefined >= 0.5:
        return f"{quantity.undefined} in {undefined:.0%} of draws"
    return _FAILED


def sort_by(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Sort by first appearance, so that cell types and quantities keep their natural order."""
    rest = [c for c in table.columns[:3] if c != by]
    order = {c: {v: k for k, v in enumerate(table[c].unique())} for c in (by, *rest)}
    key = pd.DataFrame({c: table[c].map(order[c]) for c in order})
    return table.loc[key.sort_values(list(order)).index].reset_index(drop=True)


def printable(table: pd.DataFrame) -> pd.DataFrame:
    """Shorten a table for the eye: three digits, no empty columns."""
    shown = table[["patient", "cell_type", "label"]].copy()
    for column in ("estimate", "lower", "upper"):
        shown[column] = [f"{v:.3g}" if np.isfinite(v) else "" for v in table[column]]
    return shown.assign(unit=table["unit"], note=table["note"])
