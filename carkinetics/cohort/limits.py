"""Limits of quantification: which samples are below, and which cannot be decided."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from carkinetics.cohort.cells import number
from carkinetics.cohort.columns import did_you_mean
from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.level_units import UNIT_OF
from carkinetics.cohort.notices import Notice, notice
from carkinetics.cohort.places import Places
from carkinetics.errors import Fault

KEY = ["patient", "day", "assay", "cell_type"]


def stated_limits(lloq: Mapping[str, float] | None, faults: FaultList) -> dict[str, float]:
    """Check the limits a user states for samples without one."""
    checked = {}
    for assay, limit in dict(lloq or {}).items():
        value = number(str(limit))
        if assay not in UNIT_OF:
            what = f"unknown assay {assay!r}{did_you_mean(str(assay), UNIT_OF)}"
        elif not (np.isfinite(value) and value > 0):
            what = f"the limit of {assay} is {limit!r}, not a number above 0"
        else:
            checked[assay] = value
            continue
        remedy = "Write for instance lloq={'flow': 0.5} (cells/uL; copies/ug for qpcr)."
        faults.add("lloq", Fault("argument lloq", what, remedy, section="lloq"))
    return checked


def check_duplicates(samples: pd.DataFrame, places: Places, faults: FaultList) -> None:
    """Report a second level of one patient, day, assay and cell type."""
    usable = (samples["patient"] != "") & (samples["assay"] != "") & (samples["cell_type"] != "")
    usable &= samples["day"].notna()
    codes = samples[usable].groupby(KEY, sort=False, observed=True).ngroup()
    first = ~codes.duplicated()
    again = codes.index[~first.to_numpy()].to_numpy()
    if not again.size:
        return
    first_row = dict(zip(codes[first], samples["row"].loc[codes.index[first]], strict=True))
    fault = places.fault(
        "day",
        lambda i: (
            f"a second {samples['cell_type'][i]} level; the first is in row {first_row[codes[i]]}"
        ),
        "Keep one of the two (their mean, for replicates), or give the days with decimals.",
    )
    faults.add_rows("duplicate sample", again, fault)


def apply_limits(
    samples: pd.DataFrame,
    stated: Mapping[str, float],
    flag_below_lloq: bool,
    places: Places,
    faults: FaultList,
) -> tuple[pd.DataFrame, list[Notice]]:
    """Decide which samples are below their limit, and report those that cannot be decided.

    A flow row of CD4 or CD8 without a limit of its own is part of the split of the total: it may
    be 0. Every other 0 needs a limit.
    """
    limit = samples["assay"].map(dict(stated)).to_numpy(dtype=float, na_value=np.nan)
    split = samples["cell_type"].isin(["CD4", "CD8"]).to_numpy()
    lloq, level = samples["lloq"].to_numpy(), samples["level"].to_numpy()
    flagged = samples["flagged"].to_numpy() == 1
    from_user = np.isnan(lloq) & ~np.isnan(limit) & (~split | flagged)
    lloq = np.where(from_user, limit, lloq)
    none = np.isnan(lloq)
    _report_no_limit(samples, flagged & none, ~split & none & (level == 0), places, faults)
    fault = places.fault(
        "below_lloq",
        lambda i: f"flagged below LLOQ, but level {level[i]:g} is above the LLOQ {lloq[i]:g}",
        "Correct the flag, the level or the LLOQ.",
    )
    faults.add_rows("flag against level", np.flatnonzero(flagged & (level > lloq)), fault)
    # A negative level has its own fault.
    quiet = ~flagged & (level >= 0) & (level < lloq)
    if not flag_below_lloq:
        fault = places.fault(
            "below_lloq",
            lambda i: f"level {level[i]:g} is below its LLOQ {lloq[i]:g} but is not flagged",
            "Set below_lloq = true, or pass flag_below_lloq=True to flag such rows on reading.",
        )
        faults.add_rows("not flagged", np.flatnonzero(quiet & ~from_user), fault)
    notices = [
        notice("limit_stated", samples[from_user], "LLOQ stated on reading"),
        notice("flagged_on_reading", samples[quiet], "flagged below LLOQ on reading"),
    ]
    done = samples.assign(lloq=lloq, below_lloq=flagged | quiet)
    return done, [item for item in notices if item.count]


def _report_no_limit(
    samples: pd.DataFrame,
    flagged: np.ndarray,
    zero: np.ndarray,
    places: Places,
    faults: FaultList,
) -> None:
    def remedy(position: int) -> str:
        assay = samples["assay"][position]
        return (
            f"Give its lloq, or state one on reading: lloq={{'{assay}': <limit in "
            f"{UNIT_OF.get(assay, 'the unit')}>}}. The sample is then censored, never read as 0."
        )

    fault = places.fault("lloq", "flagged below LLOQ, but no LLOQ is given", remedy)
    faults.add_rows("censored without LLOQ", np.flatnonzero(flagged), fault)
    fault = places.fault("lloq", "level is 0 and no LLOQ is given", remedy)
    faults.add_rows("zero without LLOQ", np.flatnonzero(zero & ~flagged), fault)
