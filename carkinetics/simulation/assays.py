"""What the assays read off the curves of virtual patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from carkinetics.likelihood import link_log_copies

_COPIES_PER_CELL = 2.0
_SHARE_SD = 0.25  # logit scale
# Leukocytes after lymphodepletion: a nadir and a slow return [cells/uL].
_NADIR, _RECOVERED, _RETURN = 200.0, 4500.0, 15.0


def leukocytes(rng: np.random.Generator, days: np.ndarray) -> np.ndarray:
    """Leukocytes of one patient: lymphodepleted, then recovering, with 30 % scatter."""
    typical = _NADIR + (_RECOVERED - _NADIR) / (1 + np.exp(-(days - 20.0) / (_RETURN / 3)))
    shift = np.exp(rng.normal(0, 0.3))
    return np.round(shift * typical * np.exp(rng.normal(0, 0.3, days.size)), 1)


class Draws:
    """What the assays read off one patient's curve."""

    def __init__(
        self,
        patient: str,
        days: np.ndarray,
        log_level: np.ndarray,
        cell_types: Sequence[str],
        wbc: np.ndarray,
        limits: Mapping[str, float],
        errors: Mapping[str, float],
    ) -> None:
        self.base: dict[str, Any] = {"patient": patient, "day": days, "wbc_per_ul": wbc}
        self.log_level, self.cell_types = log_level, tuple(cell_types)
        self.limits, self.errors = limits, errors

    def flow(self, rng: np.random.Generator) -> pd.DataFrame:
        """Flow: the total with error and limit, and its split where there are subsets."""
        total = np.exp(
            self.log_level[-1] + self.errors["flow"] * rng.standard_normal(self.log_level.shape[1])
        )
        tables = [self._table("flow", "total", total, "cells/uL")]
        if set(self.cell_types) == {"CD4", "CD8"}:
            eight, four = (self.log_level[self.cell_types.index(c)] for c in ("CD8", "CD4"))
            noise = _SHARE_SD * rng.standard_t(4, four.size)
            share = 1 / (1 + np.exp(-(eight - four + noise)))
            known = total >= self.limits["flow"]
            for name, part in (("CD4", total * (1 - share)), ("CD8", total * share)):
                table = self._table("flow", name, part, "cells/uL")
                tables.append(table[known].assign(lloq=np.nan, below_lloq=False, level=part[known]))
        return pd.concat(tables, ignore_index=True)

    def qpcr(self, rng: np.random.Generator, linked: bool) -> pd.DataFrame:
        """Transgene of the total, through the assay link where flow gives the unit of the level."""
        mean = self.log_level[-1]
        if linked:
            mean = link_log_copies(mean, np.log(self.base["wbc_per_ul"]), np.log(_COPIES_PER_CELL))
        copies = np.exp(mean + self.errors["qpcr"] * rng.standard_normal(mean.size))
        return self._table("qpcr", "total", copies, "copies/ug")

    def _table(self, assay: str, cell_type: str, level: np.ndarray, unit: str) -> pd.DataFrame:
        below = level < self.limits[assay]
        columns = {"assay": assay, "cell_type": cell_type, "unit": unit}
        return pd.DataFrame(
            self.base
            | columns
            | {
                "level": np.where(below, np.nan, level),
                "lloq": self.limits[assay],
                "below_lloq": below,
            }
        )
