"""How far outcomes move each patient's exposure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

LISTED = 0.5  # posterior SDs
_LIMITS = (0.025, 0.975)


def feedback_table(joint: xr.DataArray, alone: xr.DataArray, exposure: str) -> pd.DataFrame:
    """Compare the posterior mean of each patient's log exposure with and without outcomes.

    Parameters
    ----------
    joint, alone : DataArray, dims (chain, draw, patient)
        Exposure in the joint model and in a fit of the kinetics alone, natural scale.
    exposure : str
        Its name.

    Returns
    -------
    DataFrame
        One row per patient: ``patient``, ``mean_alone`` and ``mean_joint`` of ln exposure,
        ``sd_alone``, ``shift`` (difference of the means over that SD), and ``listed`` where it is
        beyond 0.5: there the outcome rewrites the kinetics, and the propagated estimate is the
        one to compare with. ``lower_alone`` to ``upper_joint``: 95 % equal-tailed limits of the
        exposure, natural scale.
    """
    patients = [str(p) for p in joint["patient"].values]
    one = np.log(joint.transpose("patient", "chain", "draw").values.reshape(len(patients), -1))
    ordered = alone.sel(patient=patients).transpose("patient", "chain", "draw")
    other = np.log(ordered.values.reshape(len(patients), -1))
    sd = other.std(axis=1, ddof=1)
    shift = (one.mean(axis=1) - other.mean(axis=1)) / sd
    table = pd.DataFrame(
        {
            "patient": patients,
            "exposure": exposure,
            "mean_alone": other.mean(axis=1),
            "mean_joint": one.mean(axis=1),
            "sd_alone": sd,
            "shift": shift,
            "listed": np.abs(shift) > LISTED,
        }
    )
    for name, logs in (("alone", other), ("joint", one)):
        limits = np.exp(np.quantile(logs, _LIMITS, axis=1))
        table[f"lower_{name}"], table[f"upper_{name}"] = limits
    return table
