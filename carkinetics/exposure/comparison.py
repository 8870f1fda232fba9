"""Observed against latent: how far they differ, and which part of the difference has which reason.

The curves are read on the sampled days without error, and the same rules are applied to these
readings as to the samples. What then still differs from the curve comes from the schedule, the
limit and the rules; the rest is assay error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import Profiles, Rules, nca, rules_from
from carkinetics.noncompartmental.families import find_observed
from carkinetics.quantities import days_in
from carkinetics.quantities.families import family_of

if TYPE_CHECKING:
    from carkinetics.exposure.result import Exposure
    from carkinetics.noncompartmental.profiles import Column

_PARTS = ("between", "blq", "extrapolated", "error")
_SMALL, _SMALL_DAYS = 0.05, 0.5  # of a ratio, and days: differences not worth a reason


def against_samples(exposure: Exposure, rules: object, probability: float) -> pd.DataFrame:
    """Compare every number that both samples and curves have; see `Exposure.against_samples`."""
    chosen = rules_from(rules)
    assay = exposure.assay
    if assay not in exposure.cohort.assays:
        what = f"has no {assay} samples to compare with"
        raise DataError(Fault(f"exposure of {exposure.cohort.name}", what))
    names = [name for name in exposure.quantities if _observed_name(name)]
    cells = [str(c) for c in exposure.data["cell_type"].values]
    cells = [c for c in cells if c in exposure.cohort.cell_types(assay)]
    observed = nca(
        exposure.cohort, [_observed_name(n) for n in names], assay=assay, cell_types=cells,
        rules=chosen,
    )  # fmt: skip
    latent = exposure.table(probability=probability).set_index(["patient", "cell_type", "quantity"])
    rows = []
    for part in observed.parts:
        for i, patient in enumerate(part.profiles.patient):
            if patient not in exposure.at_samples:
                continue
            for name in names:
                column = part.columns[_observed_name(name)]
                row = _row(exposure, chosen, part.profiles, column, i, name, part.cell_type)
                known = latent.loc[(patient, part.cell_type, name)]
                rows.append(
                    {
                        "patient": patient,
                        "cell_type": part.cell_type,
                        "quantity": name,
                        "label": known["label"],
                        "observed": float(column.value[i]),
                        "latent": known["estimate"],
                        "lower": known["lower"],
                        "upper": known["upper"],
                        "unit": known["unit"],
                    }
                    | row
                )
    return pd.DataFrame(rows)


def _observed_name(name: str) -> str:
    """Name the observed counterpart of a quantity; empty where there is none to explain."""
    if name == "persistence":
        return "tlast"
    found = family_of(name)
    same = name in ("cmax", "tmax") or (found is not None and found[0].startswith(("auc", "level")))
    return name if same else ""


def _row(
    exposure: Exposure,
    rules: Rules,
    profiles: Profiles,
    column: Column,
    i: int,
    name: str,
    cell: str,
) -> dict[str, object]:
    value, reason = float(column.value[i]), str(column.reason[i])
    empty: dict[str, object] = dict.fromkeys(("ratio", "difference", *_PARTS), np.nan)
    patient = profiles.patient[i]
    if name == "persistence":
        return empty | _loss_row(exposure, profiles, i, cell, value, reason)
    if reason:
        return empty | {"reason": f"observed is missing: {reason}"}
    if value == 0 and find_observed(name).kind != "time":
        what = "observed is 0: samples below the limit count as 0 there (rules N-01, N-05, N-07)"
        return empty | {"ratio": 0.0, "reason": what}
    kept = exposure.at_samples[patient]
    draws = exposure.data[name].sel(patient=patient, cell_type=cell).values.ravel()[kept.index]
    exact, marked = _readings(profiles, i, kept, cell)
    if exact is None or marked is None:
        return empty | {"reason": "no sample of this kind was fitted"}
    measured = find_observed(name)
    free = measured.compute(exact, rules).value
    below = measured.compute(marked, rules).value
    if measured.kind == "time":
        parts = {
            "between": _mean(free - draws),
            "blq": _mean(below - free),
            "extrapolated": 0.0,
        }
        difference = value - _mean(draws)
        parts["error"] = difference - sum(parts.values())
        return empty | {"difference": difference} | parts | {"reason": _days_reason(parts)}
    logs = _log_parts(name, rules, kept, cell, exact, marked, draws, free, below)
    ratio = np.log(value) - _mean(_log(draws))
    logs["error"] = ratio - sum(logs.values())
    if not np.isfinite(logs["error"]):
        what = "the curve, read on the sampled days, has no such number under these rules"
        return empty | {"ratio": float(np.exp(ratio)), "reason": what}
    factors = {part: float(np.exp(log)) for part, log in logs.items()}
    return empty | {"ratio": float(np.exp(ratio))} | factors | {
        "reason": _ratio_reason(name, factors, exposure.last_sample[patient])
    }  # fmt: skip


def _readings(
    profiles: Profiles, i: int, kept: pd.DataFrame, cell: str
) -> tuple[Profiles | None, Profiles | None]:
    """Read the draws on the days of one patient's samples: as they are, and marked as sampled."""
    n = int(profiles.n[i])
    days = profiles.day[i, :n]
    known = np.array([("level", cell, float(day)) in kept.columns for day in days], dtype=bool)
    if not known.any():
        return None, None
    days = days[known]
    level = np.column_stack([kept["level", cell, float(day)] for day in days])
    shape = level.shape
    pad = 2 - min(2, shape[1])

    def row(values: np.ndarray, fill: float | bool) -> np.ndarray:
        padded = np.concatenate([values, np.full(pad, fill)])
        return np.broadcast_to(padded, (shape[0], padded.size))

    exact = Profiles(
        day=row(days, np.nan),
        level=np.concatenate([level, np.full((shape[0], pad), np.nan)], axis=1),
        lloq=row(profiles.lloq[i, :n][known], np.nan),
        below=np.zeros((shape[0], shape[1] + pad), dtype=bool),
        n=np.full(shape[0], shape[1]),
        patient=(profiles.patient[i],) * shape[0],
        fault=np.full(shape[0], "", dtype=object),
        unit=profiles.unit,
    )
    return exact, replace(exact, below=row(profiles.below[i, :n][known], False))


def _log_parts(
    name: str,
    rules: Rules,
    kept: pd.DataFrame,
    cell: str,
    exact: Profiles,
    marked: Profiles,
    draws: np.ndarray,
    free: np.ndarray,
    below: np.ndarray,
) -> dict[str, float]:
    """Split ln of (readings / curve), the mean over draws, by reason."""
    days = days_in(name)
    last = float(np.nanmax(exact.day))
    whole = _log(below) - _log(draws)
    if len(days) < 2 or last >= days[1]:
        between = _log(free) - _log(draws)
        return {"between": _mean(between), "blq": _mean(whole - between), "extrapolated": 0.0}
    if days[0] >= last:
        return {"between": 0.0, "blq": 0.0, "extrapolated": _mean(whole)}
    # Until the last sample, and what lies beyond it.
    within = find_observed(f"auc_{days[0]:.17g}_{last:.17g}")
    line, cut = (_log(within.compute(p, rules).value) for p in (exact, marked))
    until = _log((kept["area", cell, last] - kept["area", cell, days[0]]).to_numpy())
    return {
        "between": _mean(line - until),
        "blq": _mean(cut - line),
        "extrapolated": _mean(whole - (cut - until)),
    }


def _log(values: np.ndarray) -> np.ndarray:
    """Give the logarithm; NaN where there is none."""
    return np.log(np.where(values > 0, values, np.nan))


def _mean(values: np.ndarray) -> float:
    """Average over the draws that have a value; NaN where none has."""
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else np.nan


_MEANING = {
    "between": "lines between samples give {factor:.0%} of the curve's area",
    "blq": "what samples below the limit count as (rule N-05) makes {factor:.0%} of it",
    "extrapolated": "what follows the last sample, day {last:g}, gives {factor:.0%}",
    "error": "assay error: the samples are {factor:.0%} of the curve on their days",
}
_MISSED_PEAK = "missed peak: the highest sampled day has {factor:.0%} of it"
_ON_LINE = "the line between samples gives {factor:.0%} of the curve"


def _ratio_reason(name: str, factors: dict[str, float], last: float) -> str:
    part = max(_PARTS, key=lambda p: abs(np.log(factors[p])) if factors[p] > 0 else 0.0)
    factor = factors[part]
    if abs(np.log(factor)) < np.log1p(_SMALL):
        return f"no part differs by more than {_SMALL:.0%}"
    words = _MEANING[part]
    if part == "between" and not name.startswith("auc"):
        words = _MISSED_PEAK if name == "cmax" else _ON_LINE
    return words.format(factor=factor, last=last)


def _days_reason(parts: dict[str, float]) -> str:
    part = max(parts, key=lambda p: abs(parts[p]))
    if abs(parts[part]) < _SMALL_DAYS:
        return f"no part differs by more than {_SMALL_DAYS:g} day"
    words = {
        "between": "missed peak: the highest sampled day",
        "blq": "samples below the limit",
        "error": "assay error chose the highest sample",
        "extrapolated": "",
    }[part]
    return f"{words}, {abs(parts[part]):.1f} days {'early' if parts[part] < 0 else 'late'}"


def _loss_row(
    exposure: Exposure, profiles: Profiles, i: int, cell: str, tlast: float, reason: str
) -> dict[str, object]:
    """Say how the last quantifiable day and the day of the last crossing belong together."""
    if reason:
        return {"reason": f"observed is missing: {reason}"}
    patient, last = profiles.patient[i], float(profiles.last_day[i])
    values = exposure.data["persistence"].sel(patient=patient, cell_type=cell)
    latent = float(values.median())
    later = profiles.day[i][profiles.sampled[i] & (profiles.day[i] > tlast)]
    if later.size == 0:
        why = f"sampling ended on day {last:g}, still above the limit"
    elif tlast <= latent <= later[0]:
        why = f"the loss lies between samples, day {tlast:g} and day {later[0]:g}"
    elif latent > later[0]:
        why = f"the curve stays above {exposure.limit:g} although the sample of day {later[0]:g} "
        why += "is below its limit"
    else:
        why = f"the curve falls below {exposure.limit:g} before the last quantifiable sample"
    return {"difference": tlast - latent, "reason": why}
