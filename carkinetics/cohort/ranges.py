"""Ranges of single columns, declared as pandera schemas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa

from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.places import Places

_GE = pa.Check.ge(0, name="ge", error="is negative")
_GT = pa.Check.gt(0, name="gt", error="is not above 0")
_FINITE = pa.Check(np.isfinite, name="finite", error="is not a finite number")


def _number(*checks: pa.Check) -> pa.Column:
    return pa.Column(float, [*checks, _FINITE], nullable=True, coerce=True, required=False)


_LEVELS = pa.DataFrameSchema(
    {
        "day": _number(),
        "level": _number(_GE),
        "lloq": _number(_GT),
        "lod": _number(_GT),
        "wbc_per_ul": _number(_GT),
        "cd3_per_ul": _number(_GE),
        "events": _number(_GE),
        "events_cd8": _number(_GE),
        "dna_ug": _number(_GT),
    }
)
_DAYS = ("ttp_day", "pfs_day", "os_day", "crs_onset_day", "iec_hs_day")
_GRADE = pa.Check.in_range(0, 5, name="grade", error="is not a grade from 0 to 5")
_WHOLE = pa.Check(lambda grade: grade == grade.round(), name="whole", error="is not a whole grade")
_SHARE = pa.Check.in_range(0, 1, name="share", error="is not a share from 0 to 1")
_PATIENTS = pa.DataFrameSchema(
    {
        **{name: _number(_GE) for name in _DAYS},
        "crs_grade": _number(_GRADE, _WHOLE),
        "icans_grade": _number(_GRADE, _WHOLE),
        "product_cd4_share": _number(_SHARE),
        "dose": _number(_GT),
    }
)

_REMEDIES = {
    "ge": "Correct the number, or leave it empty.",
    "gt": "Correct the number, or leave it empty.",
    "finite": "Give a finite number.",
    "grade": "Grades are 0 (none) to 5; leave it empty where unknown.",
    "whole": "Grades are 0 (none) to 5; leave it empty where unknown.",
    "share": "Divide a percentage by 100.",
}


def check_ranges(frame: pd.DataFrame, places: Places, faults: FaultList) -> None:
    """Report numbers of a table (columns already numbers) outside their range."""
    schema = _LEVELS if "level" in frame.columns else _PATIENTS
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for (column, check), cases in errors.failure_cases.groupby(["column", "check"], sort=False):
            _add(str(column), str(check), cases["index"], frame, places, faults)


def _add(
    column: str,
    check: str,
    index: pd.Series,
    frame: pd.DataFrame,
    places: Places,
    faults: FaultList,
) -> None:
    rule = next(rule for rule in _RULES if rule.error == check)
    positions = np.sort(index.to_numpy(dtype=int))
    values = frame[column].to_numpy()
    fault = places.fault(
        column, lambda i: f"{column} {values[i]:g} {rule.error}", _REMEDIES[str(rule.name)]
    )
    faults.add_rows(f"{column} {rule.error}", positions, fault)


_RULES = (_GE, _GT, _FINITE, _GRADE, _WHOLE, _SHARE)
