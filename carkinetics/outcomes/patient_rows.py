"""One row per patient of an association, for figures and listings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from carkinetics.outcomes.association import OBSERVED_VALUE, POSTERIOR_MEAN
from carkinetics.outcomes.endpoint import Endpoint
from carkinetics.outcomes.exposure_values import ExposureValues


def patient_table(modes: list[ExposureValues], endpoint: Endpoint) -> pd.DataFrame:
    """Collect exposure and outcome of every patient.

    Parameters
    ----------
    modes : list of ExposureValues
        The exposure in every mode there is.
    endpoint : Endpoint
        The outcome, on its final clock.

    Returns
    -------
    DataFrame
        The ``data`` of an `Association`.
    """
    everyone = endpoint.values.index
    for values in modes:
        everyone = everyone.union(values.table.index)
    table = endpoint.values.reindex(everyone)
    columns: dict[str, Any] = {}
    for values in modes:
        rows = values.table.reindex(table.index)
        if values.mode == POSTERIOR_MEAN:
            columns |= {f"posterior_{end}": rows[end] for end in ("lower", "upper")}
            columns["posterior_mean"] = rows["value"]
        if values.mode == OBSERVED_VALUE:
            columns["observed"] = rows["value"]
            columns["observed_below_lloq"] = rows["below_lloq"].eq(True)
    order = ("posterior_mean", "posterior_lower", "posterior_upper", "observed")
    frame = pd.DataFrame({name: columns.get(name, np.nan) for name in order}, index=table.index)
    frame["observed_below_lloq"] = columns.get("observed_below_lloq", False)
    frame = frame.join(table)
    frame["left_out"] = [endpoint.left_out.get(str(p), "") for p in frame.index]
    return frame.rename_axis("patient").reset_index()
