"""Why this number: from one cell of the table back to samples and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental.lines import points
from carkinetics.quantities.why import Why

if TYPE_CHECKING:
    from carkinetics.noncompartmental.result import ObservedExposure, Part


def trace(found: ObservedExposure, patient: str, quantity: str, part: Part) -> Why:
    """Collect what one number comes from; see `ObservedExposure.why`."""
    if patient not in part.profiles.patient or quantity not in part.columns:
        what = f"no cell ({patient}, {quantity}, {part.cell_type})"
        known = f"patients {', '.join(part.profiles.patient)}; quantities {', '.join(part.columns)}"
        raise DataError(Fault("nca", what, f"It has {known}."))
    i = part.profiles.patient.index(patient)
    about, measured = found.quantities[quantity], part.columns[quantity].only(i)
    unit = about.unit(part.profiles.unit)
    number = f"{measured.value:.10g} {unit}".strip() if not np.isnan(measured.value) else "missing"
    rules = found.rules.describe()
    facts = {
        "rules": "; ".join(f"{r.rule} {r.chosen}" for r in rules.itertuples()),
        "data (SHA-256)": found.source.data_hash,
        "assay": found.assay,
    }
    flags = {name: value for name, value in measured.flags.items() if value not in (False, 0)}
    if flags:
        facts["flags"] = ", ".join(f"{name} {value}" for name, value in flags.items())
    return Why(
        cell=(patient, about.label, part.cell_type),
        number=number,
        definition=about.definition,
        source=about.source,
        facts=facts,
        rows=_rows(found, part, i),
        note=measured.reason,
        synthetic=found.synthetic,
    )


def _rows(found: ObservedExposure, part: Part, i: int) -> pd.DataFrame:
    """List the samples, and the level at which the line passes each; none where it does not."""
    p, n = part.profiles, int(part.profiles.n[i])
    day, level, count = points(p, found.rules)
    line = dict(zip(day[i, : count[i]], level[i, : count[i]], strict=True))
    return pd.DataFrame(
        {
            "day": p.day[i, :n],
            "level": np.where(p.below[i, :n], np.nan, p.level[i, :n]),
            "lloq": p.lloq[i, :n],
            "below_lloq": p.below[i, :n],
            "counts_as": [line.get(at, np.nan) for at in p.day[i, :n]],
        }
    )
