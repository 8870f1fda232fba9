"""Why this number: from one cell of the table back to data, model, draws and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.quantities import find_quantity
from carkinetics.quantities.why import Why

if TYPE_CHECKING:
    from carkinetics.exposure.result import Exposure


def trace(exposure: Exposure, patient: str, quantity: str, cell_type: str) -> Why:
    """Collect what one number comes from; see `Exposure.why`."""
    table = exposure.table()
    hit = table[
        (table["patient"] == patient)
        & (table["quantity"] == quantity)
        & (table["cell_type"] == cell_type)
    ]
    if hit.empty:
        have = {c: ", ".join(table[c].unique()) for c in ("patient", "quantity", "cell_type")}
        what = f"no cell ({patient}, {quantity}, {cell_type})"
        remedy = "; ".join(f"{name}: {names}" for name, names in have.items())
        raise DataError(Fault("exposure", what, f"It has {remedy}."))
    row, about = hit.iloc[0], find_quantity(quantity)
    levels = exposure.cohort.levels
    used = levels[(levels["patient"] == patient) & ~levels["baseline"].astype(bool)]
    if exposure.facts:
        used = used[used["assay"].isin(exposure.facts["assays"])]
    return Why(
        cell=(patient, about.label, cell_type),
        number=_number(row),
        definition=about.definition,
        source=about.source,
        facts=_facts(exposure, about.needs),
        rows=used.reset_index(drop=True),
        note=str(row["note"]),
        synthetic=exposure.synthetic,
    )


def _number(row: object) -> str:
    value, unit = row["estimate"], row["unit"]  # type: ignore[index]
    if np.isnan(value):
        return "missing"
    if row["statistic"] == "probability":  # type: ignore[index]
        return f"{value:.6g} (share of the posterior draws)"
    return (
        f"{value:.6g} {unit} (median; {row['probability']:.0%} "  # type: ignore[index]
        f"{row['interval']} interval {row['lower']:.6g} to {row['upper']:.6g})"  # type: ignore[index]
    )


def _facts(exposure: Exposure, needs: str) -> dict[str, str]:
    facts = exposure.facts
    found = {
        "rule for samples below the LLOQ": "likelihood of censored samples (M3)",
        "data (SHA-256)": exposure.cohort.data_hash,
    }
    if needs in ("limit", "assay"):
        default = facts.get("default_limit") == exposure.limit
        origin = "the median LLOQ of the assay" if default else "as given"
        found["limit"] = f"{exposure.limit:g} ({origin})"
    found["horizon"] = f"day {exposure.horizon:g}"
    if not facts:
        return found
    versions = facts["versions"]
    return found | {
        "model": str(facts["model"]),
        "model text (SHA-256)": str(facts["model_hash"]),
        "draws": _draws(facts),
        "seed": str(facts["seed"]),
        "solver": f"relative error {facts['tolerance']:g} per step; between its days ln level is "
        f"within {facts['error_bound']:.1g} of the curve used",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _draws(facts: Mapping[str, Any]) -> str:
    if facts.get("approximate"):
        count = facts["chains"] * facts["draws"]
        return f"APPROXIMATE: {count} independent draws of Laplace's approximation, not MCMC"
    return f"{facts['chains']} chains of {facts['draws']}"
