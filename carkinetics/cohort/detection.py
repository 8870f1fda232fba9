"""Limits of detection: in which samples below the limit of quantification cells were seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.places import Places


def apply_detection(samples: pd.DataFrame, places: Places, faults: FaultList) -> pd.DataFrame:
    """Decide in which samples cells were detected, and report what contradicts itself.

    Parameters
    ----------
    samples : DataFrame
        With ``level``, ``lloq``, ``lod``, ``below_lloq`` and ``detected`` (1, 0, -1 where not
        said).
    places : Places
        Where the rows stand.
    faults : FaultList
        Receives contradictions.

    Returns
    -------
    DataFrame
        ``detected`` is true where a level is quantifiable, where the table says so, and where a
        level below its LLOQ reaches its LOD. A table that says nothing of detection loses both
        columns: there detected is quantified.
    """
    said = samples["detected"].to_numpy()
    lod, lloq, level = (samples[name].to_numpy(float) for name in ("lod", "lloq", "level"))
    if np.isnan(lod).all() and (said < 0).all():
        return samples.drop(columns=["lod", "detected"])
    below = samples["below_lloq"].to_numpy(bool)
    with np.errstate(invalid="ignore"):
        reaches, under = level >= lod, level < lod
        high, quantified = lod > lloq, ~below & (level > 0)
    fault = places.fault(
        "lod",
        lambda i: f"the LOD {lod[i]:g} is above the LLOQ {lloq[i]:g}",
        "Correct one of them: what can be quantified can be detected.",
    )
    faults.add_rows("LOD above LLOQ", np.flatnonzero(high), fault)
    fault = places.fault(
        "detected",
        lambda i: (
            f"not detected, but level {level[i]:g} is not below its LLOQ"
            if quantified[i]
            else f"not detected, but level {level[i]:g} reaches the LOD {lod[i]:g}"
        ),
        "Correct the flag, the level or the limit.",
    )
    faults.add_rows("not detected", np.flatnonzero((said == 0) & (quantified | reaches)), fault)
    fault = places.fault(
        "detected",
        lambda i: f"detected, but level {level[i]:g} is below the LOD {lod[i]:g}",
        "Correct the flag, the level or the limit.",
    )
    faults.add_rows("detected", np.flatnonzero((said == 1) & under), fault)
    return samples.assign(detected=quantified | (said == 1) | ((said < 0) & below & reaches))
