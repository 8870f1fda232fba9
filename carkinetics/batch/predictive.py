"""How well the model of a variant predicts a patient that it has not seen: elpd, watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from carkinetics.batch.rows import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carkinetics.batch.job import Analysis, Job
    from carkinetics.inference import Fit

ELPD = "elpd"
ESTIMAND = "elpd of a patient left out [nat]"
# A difference below either of these prefers no model: of 16 patients it is noise.
LEAST_DIFFERENCE, LEAST_ERRORS = 4.0, 2.0
_OTHER_DATA = (
    "the samples that it predicts differ from those of the base case, and densities of other "
    "samples do not compare"
)


def elpd_record(fit: Fit, job: Job, analysis: Analysis) -> dict[str, Any]:
    """Give the row of a variant, and the densities of its patients.

    Parameters
    ----------
    fit : Fit
        Of the variant.
    job : Job
        Says with what probability intervals are made.
    analysis : Analysis
        The variant.

    Returns
    -------
    dict
        ``row``: `COLUMNS` as far as they do not depend on the run; ``by_patient``: log
        predictive densities [nat], empty where they cannot be compared with the base case.
    """
    if not analysis.same_samples:
        return {"row": {"estimand": ESTIMAND, "reason": _OTHER_DATA}, "by_patient": {}}
    from carkinetics.sensitivity.patients_out import leave_patients_out

    left_out = leave_patients_out(fit, seed=int(job.settings["seed"]), refit=True)
    half = float(ndtri(0.5 + job.watched.probability / 2)) * left_out.standard_error
    table = left_out.table()
    refitted = int(table["refitted"].sum())
    again = f", {refitted} of {len(left_out.patients)} fitted again" if refitted else ""
    row = {
        "estimand": ESTIMAND,
        "estimate": left_out.elpd,
        "lo": left_out.elpd - half,
        "hi": left_out.elpd + half,
        "n": len(left_out.patients),
        "probability": job.watched.probability,
        "interval_kind": "normal, standard error over patients",
        "method": f"leave-one-patient-out by weights{again}",
        "khat_max": float(table.loc[~table["refitted"], "khat"].max()),
        "reason": "",
    }
    by_patient = {name: found.elpd for name, found in left_out.patients.items()}
    return {"row": {k: row[k] for k in COLUMNS if k in row}, "by_patient": by_patient}


def differences(by_patient: Mapping[str, Mapping[str, float]], base: str) -> pd.DataFrame:
    """Compare variants by how well they predict patients, patient by patient.

    Parameters
    ----------
    by_patient : mapping of str to mapping of str to float
        Log predictive densities by variant and patient [nat].
    base : str
        The variant that the others are compared with.

    Returns
    -------
    DataFrame
        ``analysis_id``, ``elpd``, ``difference`` (positive: better than the base case),
        ``standard_error`` of the difference over patients, ``n`` patients, ``verdict``. Variants
        with the densities of other patients than the base case are left out.
    """
    rows = []
    reference = by_patient.get(base, {})
    for name, found in by_patient.items():
        if not reference or set(found) != set(reference):
            continue
        each = np.array([found[p] - reference[p] for p in reference])
        error = float(np.sqrt(each.size) * each.std(ddof=1))
        total = float(each.sum())
        verdict = "base case" if name == base else _verdict(total, error)
        rows.append((name, sum(found.values()), total, error, each.size, verdict))
    names = ["analysis_id", "elpd", "difference", "standard_error", "n", "verdict"]
    return pd.DataFrame(rows, columns=names)


def _verdict(difference: float, error: float) -> str:
    if abs(difference) < LEAST_DIFFERENCE or abs(difference) < LEAST_ERRORS * error:
        return "no preference"
    return "better" if difference > 0 else "worse"
