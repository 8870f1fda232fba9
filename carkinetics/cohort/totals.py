"""Totals of CD4 and CD8 flow rows, and whether a given total agrees with them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.notices import Notice, notice
from carkinetics.cohort.places import Places

_DRAW = ["patient", "day"]
# A total that differs by more than this from CD4 + CD8 is mentioned, not refused: cells that are
# neither, or both, exist.
_AGREE_WITHIN = 0.1


def draws(samples: pd.DataFrame) -> pd.DataFrame:
    """One row per flow draw with the positions of its CD4, CD8 and total rows (-1: none)."""
    flow = samples[samples["assay"] == "flow"]
    parts = {}
    for name in ("CD4", "CD8", "total"):
        rows = flow[flow["cell_type"] == name].drop_duplicates(_DRAW)
        parts[name] = pd.Series(rows.index, index=pd.MultiIndex.from_frame(rows[_DRAW]))
    return pd.DataFrame(parts).fillna(-1).astype(np.int64)


def add_totals(
    samples: pd.DataFrame, stated: float | None, places: Places, faults: FaultList
) -> tuple[pd.DataFrame, list[Notice]]:
    """Add the total of draws that have CD4 and CD8 but no total; compare it where they have.

    The total is CD4 + CD8. Its LLOQ is the one stated for flow, else the sum of the two LLOQs. It
    is below its LLOQ when the sum is; where one of the two has no number, the total lies under the
    sum of the other and the limit of that one, which becomes its limit.
    """
    drawn = draws(samples)
    four, eight, total = (drawn[name].to_numpy() for name in ("CD4", "CD8", "total"))
    both = (four >= 0) & (eight >= 0)
    alone = (four >= 0) != (eight >= 0)
    new = both & (total < 0)
    added = _sums(samples, four[new], eight[new], stated)
    undecided = (added["level"] == 0) & added["lloq"].isna()
    positions = four[new][undecided.to_numpy()]
    fault = places.fault(
        "lloq",
        "CD4 + CD8 is 0 and no LLOQ is given",
        "Give the LLOQ of the total on a row of its own, or state one on reading: "
        "lloq={'flow': <limit in cells/uL>}. The sample is then censored, never read as 0.",
    )
    faults.add_rows("zero without LLOQ", positions, fault)
    compared = both & (total >= 0)
    notices = [
        notice("total_computed", added, "flow totals computed as CD4 + CD8"),
        _disagreement(samples, four[compared], eight[compared], total[compared]),
        notice(
            "split_incomplete",
            samples.loc[np.maximum(four, eight)[alone]],
            "CD4 or CD8 flow levels without the other, of no use as a split",
        ),
    ]
    if len(added):
        samples = pd.concat([samples, added], ignore_index=True)
    return samples, [item for item in notices if item.count]


def _sums(
    samples: pd.DataFrame, four: np.ndarray, eight: np.ndarray, stated: float | None
) -> pd.DataFrame:
    """Rows of the totals, from the positions of their CD4 and CD8 rows."""
    first, second = samples.loc[four], samples.loc[eight]
    level = first["level"].fillna(0.0).to_numpy() + second["level"].fillna(0.0).to_numpy()
    own = first["lloq"].to_numpy() + second["lloq"].to_numpy()
    lloq = np.full(len(level), stated) if stated is not None else own
    unknown = first["level"].isna().to_numpy() | second["level"].isna().to_numpy()
    both_below = first["below_lloq"].to_numpy() & second["below_lloq"].to_numpy()
    # What is only known to lie under a limit adds that limit to the bound of the total.
    bound = sum(
        np.where(part["level"].isna(), part["lloq"], part["level"]) for part in (first, second)
    )
    below = (level < lloq) | both_below
    lloq = np.where(below & unknown, np.fmax(lloq, bound), lloq)
    seen = {}
    if "detected" in samples:
        either = first["detected"].to_numpy() | second["detected"].to_numpy()
        seen = {"detected": either | ~below, "lod": np.nan}
    return first.assign(
        cell_type="total",
        level=np.where(below & unknown, np.nan, level),
        lloq=lloq,
        below_lloq=below,
        row=np.minimum(first["row"].to_numpy(), second["row"].to_numpy()),
        **seen,
    )


def _disagreement(
    samples: pd.DataFrame, four: np.ndarray, eight: np.ndarray, total: np.ndarray
) -> Notice:
    level = samples["level"].to_numpy()
    above = ~samples["below_lloq"].to_numpy()[total]
    gap = np.abs(level[four] + level[eight] - level[total])
    differs = above & (gap > _AGREE_WITHIN * level[total])
    return notice(
        "split_differs",
        samples.loc[total[differs]],
        "flow totals that differ by more than 10 % from CD4 + CD8",
    )
