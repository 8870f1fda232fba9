"""Why this number: from one cell of the table back to samples and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import carkinetics
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
        "assay": f"{found.assay}, levels in {part.profiles.unit or 'a unit that is not stated'}",
        "limit": _limits(part, i),
    }
    events = _events(part, i)
    if events:
        facts["events"] = "; ".join(events)
    flags = {name: value for name, value in measured.flags.items() if _raised(value)}
    if flags:
        facts["flags"] = ", ".join(f"{name} {value:.6g}" for name, value in flags.items())
    facts["versions"] = f"carkinetics {carkinetics.__version__}"
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


def _raised(value: object) -> bool:
    """Tell whether a flag says anything: true, or a number that is there and not 0."""
    return bool(value) and not (isinstance(value, float) and np.isnan(value))


def _limits(part: Part, i: int) -> str:
    limits = part.profiles.lloq[i, : part.profiles.n[i]]
    limits = np.unique(limits[np.isfinite(limits)])
    if not limits.size:
        return "no LLOQ is stated"
    return f"LLOQ {', '.join(f'{limit:g}' for limit in limits)} {part.profiles.unit}".strip()


def _events(part: Part, i: int) -> list[str]:
    """Name the days of events that rules read."""
    days = {
        "death or progression": part.profiles.stopped[i],
        "onset of cytokine release syndrome": part.profiles.onset[i],
        "transplant or new therapy": part.profiles.new_cells[i],
        "peak of the total": part.profiles.total_tmax[i],
    }
    return [f"{name} on day {day:g}" for name, day in days.items() if np.isfinite(day)]


def _rows(found: ObservedExposure, part: Part, i: int) -> pd.DataFrame:
    """List the samples, and the level at which the line passes each; none where it does not."""
    p, n = part.profiles, int(part.profiles.n[i])
    day, level, count = points(p, found.rules)
    line = dict(zip(day[i, : count[i]], level[i, : count[i]], strict=True))
    seen = {} if p.seen is None else {"detected": p.detected[i, :n]}
    return pd.DataFrame(
        _lines(found, part, p.day[i, :n], p.patient[i])
        | {
            "day": p.day[i, :n],
            "level": np.where(p.below[i, :n], np.nan, p.level[i, :n]),
            "lloq": p.lloq[i, :n],
            "below_lloq": p.below[i, :n],
        }
        | seen
        | {
            "counts_as": [line.get(at, np.nan) for at in p.day[i, :n]],
        }
    )


def _lines(found: ObservedExposure, part: Part, days: np.ndarray, patient: str) -> dict[str, list]:
    """Name the line of the file of each sample, where the data came from one."""
    levels = getattr(found.source, "levels", None)
    if levels is None or "row" not in levels:
        return {}
    own = levels[
        (levels["patient"] == patient)
        & (levels["assay"] == found.assay)
        & (levels["cell_type"] == part.cell_type)
    ]
    line = dict(zip(own["day"], own["row"], strict=True))
    return {"row": [line.get(day) for day in days]}
