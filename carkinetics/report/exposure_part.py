"""What the page says of exposure: headline, patient by patient, observed next to latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.exposure import NEW, TYPICAL
from carkinetics.noncompartmental import observed_quantities
from carkinetics.outcomes.exposure_values import posterior_values
from carkinetics.quantities import find_quantity
from carkinetics.report.numbers import (
    between,
    censored_day,
    day,
    number,
    percent,
    ratio,
    stated,
    unit,
)
from carkinetics.report.parts import Block, Section, Table, Text

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

QUANTITIES = ("cmax", "tmax", "auc_0_28", "persistence")
_COMPARED = ("cmax", "tmax", "auc_0_28")
_DETECTABLE = "detectable_"


def headline_table(exposure: Exposure, probability: float = 0.95) -> Table:
    """Put peak, its day, area and persistence of the whole cohort into one table.

    Parameters
    ----------
    exposure : Exposure
        With `QUANTITIES`.
    probability : float
        Of the equal-tailed intervals.

    Returns
    -------
    Table
        The median over the patients of the trial, the typical patient and a new patient.
    """
    rows = []
    n = exposure.data.sizes["patient"]
    for name in QUANTITIES:
        for cell in _cells(exposure):
            draws = exposure.data[name].sel(cell_type=cell)
            people = exposure.population[name].sel(cell_type=cell)
            middles = draws.median(("chain", "draw")).values
            # At least half of the draws of a patient without a limit are missing, or none are.
            spread = (
                f"{_one(exposure, name, middles.min())} to {_one(exposure, name, middles.max())}"
            )
            rows.append(
                (
                    draws.attrs["long_name"],
                    cell,
                    unit(draws.attrs["units"]),
                    _interval(exposure, name, draws.median("patient").values, probability),
                    spread if np.isfinite(middles).all() else "",
                    _interval(exposure, name, people.sel(who=TYPICAL).values, probability),
                    _interval(exposure, name, people.sel(who=NEW).values, probability),
                )
            )
    return Table(
        f"Exposure of {n} patients: median ({probability:.0%} interval)",
        ("Quantity", "Cell type", "Unit", f"Median of the {n} patients",
         "Lowest to highest patient", "Typical patient", "New patient"),
        rows,
        "nnnrrrr",
        (
            f"Estimates are posterior medians; intervals are equal-tailed and hold "
            f"{probability:.0%} of the posterior draws.",
            "Median of the patients: the middle one of the patients of this trial. Lowest to "
            "highest: the estimates of single patients. Typical patient: the center of the "
            "population from which they come. New patient: one more of this population, so that "
            "the interval says how far patients differ.",
            *_persistence_note(exposure),
        ),
    )  # fmt: skip


def _persistence_note(exposure: Exposure) -> tuple[str, ...]:
    level = unit(exposure.data["cmax"].attrs["units"])
    if not np.isfinite(exposure.limit):
        return ("Persistence is missing: the assay has no limit of quantification to count it by.",)
    return (
        f"Persistence: the last day on which the latent level exceeds {stated(exposure.limit)} "
        f"{level} (the median LLOQ, used for each cell type alike); 0 where it never does; "
        f"censored at day {exposure.horizon:g}, the last sample of the cohort, and then shown as "
        f"≥ {exposure.horizon:g}.",
    )


def _cells(exposure: Exposure) -> list[str]:
    """Give the cell types, the total first."""
    names = [str(name) for name in exposure.data["cell_type"].values]
    return ["total", *(name for name in names if name != "total")] if "total" in names else names


def _one(exposure: Exposure, name: str, value: float) -> str:
    kind = find_quantity(name).kind
    if name == "persistence":
        return "" if np.isnan(value) else censored_day(float(value), exposure.horizon)
    return day(float(value)) if kind == "time" else number(float(value))


def _interval(exposure: Exposure, name: str, draws: np.ndarray, probability: float) -> str:
    tail = (1 - probability) / 2
    low, middle, high = np.quantile(draws.ravel(), [tail, 0.5, 1 - tail])
    return between(*(_one(exposure, name, value) for value in (middle, low, high)))


def exposure_section(exposure: Exposure, probability: float, *more: Block) -> Section:
    """Show the exposure of every patient, one table per cell type."""
    cells = _cells(exposure)
    blocks: list[Block] = [
        Text(
            "The latent level is what the model holds to be in the blood, without assay error; "
            "its quantities are computed on every posterior draw. Levels between samples come "
            "from the model."
        ),
        *more,
        *(_patients_table(exposure, cell, probability) for cell in cells),
        reliability_table(exposure, probability),
    ]
    return Section("exposure", "Exposure, patient by patient", tuple(blocks))


def _patients_table(exposure: Exposure, cell: str, probability: float) -> Table:
    everything = exposure.table(probability=probability)
    table = everything[everything["cell_type"] == cell].set_index(["patient", "quantity"])
    later = [name for name in exposure.quantities if name.startswith(_DETECTABLE)]
    rows, others = [], []
    for patient in exposure.data["patient"].values:
        cells = [str(patient), f"{exposure.last_sample[str(patient)]:g}"]
        for name in (*QUANTITIES, *later):
            row = table.loc[(str(patient), name)]
            text, unknown = _with_marks(exposure, name, row, str(patient), cell)
            cells.append(text)
            others += [f"{patient}, {row['label']}: {note}" for note in unknown]
        rows.append(cells)
    heads = [_head(exposure, name) for name in QUANTITIES]
    days = [f"Above the limit on day {name.removeprefix(_DETECTABLE)}" for name in later]
    notes = [
        f"Median ({probability:.0%} equal-tailed interval) of the posterior; for 'above the "
        "limit', the probability that the latent level exceeds "
        f"{stated(exposure.limit)} {unit(exposure.data['cmax'].attrs['units'])}."
        if np.isfinite(exposure.limit)
        else f"Median ({probability:.0%} equal-tailed interval) of the posterior.",
        "† reaches beyond the patient's last sample: extrapolated by the model. "
        f"‡ share of draws that last beyond day {exposure.horizon:g} (censored).",
    ]
    return Table(
        f"{_named(cell)}: latent exposure of each patient",
        ("Patient", "Last sample [day]", *heads, *days),
        rows,
        "n" + "r" * (1 + len(heads) + len(days)),
        (*notes, *dict.fromkeys(others)),
    )


def _with_marks(
    exposure: Exposure, name: str, row: pd.Series, patient: str, cell: str
) -> tuple[str, list[str]]:
    """Write one number with its marks; give the notes that no mark stands for."""
    notes = [note for note in str(row["note"]).split("; ") if note]
    extrapolated = any(note.startswith("extrapolated") for note in notes)
    censored = any(note.endswith("(censored)") for note in notes)
    rest = [n for n in notes if not n.startswith("extrapolated") and not n.endswith("(censored)")]
    if np.isnan(row["estimate"]):
        return "missing", rest
    if name.startswith(_DETECTABLE):
        text = percent(float(row["estimate"]))
    else:
        ends = (row["estimate"], row["lower"], row["upper"])
        text = between(*(_one(exposure, name, float(value)) for value in ends))
    if extrapolated:
        text += " †"
    if censored and exposure.censored is not None:
        share = float(exposure.censored.sel(patient=patient, cell_type=cell))
        text += f" ‡ {percent(share)}"
    return text, rest


def _head(exposure: Exposure, name: str) -> str:
    attrs = exposure.data[name].attrs
    return f"{attrs['long_name']} [{unit(attrs['units'])}]"


def _named(cell: str) -> str:
    return {"total": "Total CAR+ T cells"}.get(cell, f"{cell} CAR+ T cells")


def reliability_table(exposure: Exposure, probability: float) -> Table:
    """Show how well the data tell the patients apart, for each exposure and cell type."""
    rows = []
    for name in ("cmax", "auc_0_28", "tmax"):
        for cell in _cells(exposure):
            values = posterior_values(exposure, name, cell, probability)
            label = exposure.data[name].attrs["long_name"]
            rows.append(
                (
                    label,
                    cell,
                    ratio(values.reliability) or "unknown",
                    percent(values.shrinkage) or "unknown",
                )
            )
    return Table(
        "Reliability of the patients' posterior means, on the log scale",
        ("Exposure", "Cell type", "Reliability (lambda)", "Shrinkage"),
        rows,
        "nnrr",
        (
            "Lambda: variance between the patients' posterior means, as a share of that plus the "
            "mean posterior variance; 1 means that uncertainty within patients does not matter. "
            "Shrinkage: 1 minus the square root of lambda.",
        ),
    )


def reliability_line(exposure: Exposure, probability: float, cell: str) -> tuple[str, str]:
    """Give lambda and shrinkage of each exposure on one line each."""
    found = {
        exposure.data[name].attrs["long_name"]: posterior_values(exposure, name, cell, probability)
        for name in ("cmax", "auc_0_28", "tmax")
    }
    return (
        "; ".join(f"{label} {ratio(v.reliability) or 'unknown'}" for label, v in found.items()),
        "; ".join(f"{label} {percent(v.shrinkage) or 'unknown'}" for label, v in found.items()),
    )


def observed_section(fit: Fit, exposure: Exposure, probability: float) -> Section:
    """Put what samples show next to what the model holds, patient by patient."""
    assay = "flow" if exposure.data["cmax"].attrs["units"] == "cells/uL" else "qpcr"
    cohort = fit.cohort
    blocks: list[Block] = [
        Text(
            "Observed quantities come straight from samples: the highest sample, its day, and the "
            "area by the trapezoidal rule. They carry assay error and miss what happens between "
            "visits, so that the latent peak may lie above the highest sample, and on another day."
        )
    ]
    for cell in _cells(exposure):
        if cell in cohort.cell_types(assay):
            blocks.append(_compared(exposure, assay, cell, probability))
    if assay == "flow" and "qpcr" in cohort.assays and "total" in cohort.cell_types("qpcr"):
        blocks.append(_qpcr(exposure))
    return Section("observed", "Observed next to latent", tuple(blocks))


def _compared(exposure: Exposure, assay: str, cell: str, probability: float) -> Table:
    observed = observed_quantities(exposure.cohort, assay, cell, _COMPARED).set_index("patient")
    latent = exposure.table(probability=probability)
    latent = latent[latent["cell_type"] == cell].set_index(["patient", "quantity"])
    rows, reasons = [], []
    for patient in observed.index:
        cells = [str(patient), f"{observed.loc[patient, 'n_samples']}"]
        for name in _COMPARED:
            text, reason = _observed_cell(observed, patient, name)
            if reason:
                reasons.append(f"{patient}: observed {_short(name)} is missing, {reason}.")
            cells.append(text)
            if (patient, name) in latent.index:
                row = latent.loc[(patient, name)]
                ends = (row["estimate"], row["lower"], row["upper"])
                cells.append(between(*(_one(exposure, name, float(v)) for v in ends)))
            else:
                cells.append("not fitted")
        rows.append(cells)
    heads = [
        f"{what} {_head(exposure, name)}" for name in _COMPARED for what in ("Observed", "Latent")
    ]
    note = f"Latent: median ({probability:.0%} equal-tailed interval) of the posterior."
    return Table(
        f"{_named(cell)}: observed ({'flow cytometry' if assay == 'flow' else 'qPCR'}) and latent",
        ("Patient", "Samples", *heads),
        rows,
        "n" + "r" * (1 + len(heads)),
        (note, *reasons),
    )


def _qpcr(exposure: Exposure) -> Table:
    observed = observed_quantities(exposure.cohort, "qpcr", "total", _COMPARED).set_index("patient")
    rows = [
        (str(patient), f"{observed.loc[patient, 'n_samples']}",
         *(_observed_cell(observed, patient, name)[0] for name in _COMPARED))
        for patient in observed.index
    ]  # fmt: skip
    heads = (
        "Observed Cmax [copies/µg]", "Observed Tmax [day]", "Observed AUC0-28d [copies/µg x day]"
    )  # fmt: skip
    return Table(
        "CAR transgene: observed (qPCR)", ("Patient", "Samples", *heads), rows, "nrrrr",
        ("The latent level of this fit is in cells/µL, so that these have no latent counterpart.",),
    )  # fmt: skip


def _observed_cell(observed: pd.DataFrame, patient: object, name: str) -> tuple[str, str]:
    value = observed.loc[patient, f"observed_{name}"]
    if not pd.isna(value):
        return stated(float(value)) if name == "tmax" else number(float(value)), ""
    limit = observed.loc[patient, "observed_cmax_below"]
    if name == "cmax" and not pd.isna(limit):
        return f"< {stated(float(limit))}", ""
    return "missing", str(observed.loc[patient, f"observed_{name}_reason"])


def _short(name: str) -> str:
    return find_quantity(name).label
