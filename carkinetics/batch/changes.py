"""Changes of the data: every data factor as a function from cohort to cohort."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault

# Rules that a fit on logarithms can take, and those of a noncompartmental analysis (rule N-05).
FIT_BLQ = ("m3", "drop", "half_lloq", "lloq", "first_half_lloq", "stop_at_first")
SAMPLE_BLQ = (
    "default", "zero", "half_lloq", "lloq", "drop", "pknca", "zero_then_drop", "stop_at_first",
    "first_half_lloq", "m3",
)  # fmt: skip
_PROFILE = ["patient", "assay", "cell_type"]
_NEAR = 3.0  # a planned visit takes the nearest sample within so many days [day]
_CONDITION = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*\Z")
_COMPARED = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def changed_cohort(cohort: Cohort, choices: Mapping[str, Any], *, for_fit: bool) -> Cohort:
    """Change the data as the data factors of a variant say.

    Parameters
    ----------
    cohort : Cohort
        As it was given.
    choices : mapping of str to level
        Of all factors.
    for_fit : bool
        Whether the samples go into a fit; a noncompartmental analysis handles those below the
        limit by its own rules.

    Returns
    -------
    Cohort
        The same object where nothing changes.
    """
    if choices["leave_out"] != "none":
        gone = choices["leave_out"]
        gone = {gone} if isinstance(gone, str) else set(gone)
        cohort = cohort.select(p for p in cohort.patient_ids if p not in gone)
    levels = cohort.levels
    if choices["assay"] != "all":
        levels = levels[levels["assay"] == choices["assay"]]
    if choices["cell_types"] == "total":
        levels = levels[levels["cell_type"] == "total"]
    if choices["wbc"] == "ignored":
        levels = levels.assign(wbc_per_ul=np.nan)
    if choices["visits"] != "all":
        levels = _thinned(levels, [float(day) for day in choices["visits"]])
    if choices["lloq_scale"] != 1:
        levels = _other_limit(levels, float(choices["lloq_scale"]))
    if choices["blq_cap"] != "all":
        levels = _capped(levels, int(choices["blq_cap"]))
    if for_fit and choices["blq"] != "m3":
        levels = _substituted(levels, str(choices["blq"]))
    if levels is cohort.levels:
        return cohort
    return replace(cohort, levels=levels.reset_index(drop=True))


def _thinned(levels: pd.DataFrame, days: list[float]) -> pd.DataFrame:
    """Keep, of every profile, the sample nearest to each day, within three days of it."""
    keep = levels["baseline"].to_numpy(bool).copy()
    for _, rows in levels[~levels["baseline"]].groupby(_PROFILE, sort=False):
        at = rows["day"].to_numpy(float)
        for day in days:
            distance = np.abs(at - day)
            nearest = int(distance.argmin())
            if distance[nearest] <= _NEAR:
                keep[levels.index.get_loc(rows.index[nearest])] = True
    return levels[keep]


def _other_limit(levels: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Move the limits; samples that are now below theirs are flagged, and their level is gone."""
    lloq = levels["lloq"] * factor
    below = levels["below_lloq"] | (levels["level"] < lloq).fillna(False)
    level = levels["level"].mask(below & ~levels["below_lloq"])
    return levels.assign(lloq=lloq, below_lloq=below, level=level)


def _capped(levels: pd.DataFrame, most: int) -> pd.DataFrame:
    """Keep at most so many samples below the limit after the last quantifiable one."""
    late = _after_last_quantifiable(levels)
    rank = late.groupby([levels[name] for name in _PROFILE]).cumsum()
    return levels[~(late & (rank > most))]


def _substituted(levels: pd.DataFrame, rule: str) -> pd.DataFrame:
    below = levels["below_lloq"] & ~levels["baseline"]
    if rule == "drop":
        return levels[~below]
    if rule in ("half_lloq", "lloq"):
        return _set(levels, below, 0.5 if rule == "half_lloq" else 1.0)
    groups = [levels[name] for name in _PROFILE]
    if rule == "stop_at_first":
        quantified = (~levels["below_lloq"] & ~levels["baseline"]).groupby(groups).cumsum() > 0
        ended = (below & quantified).groupby(groups).cumsum() > 0
        return levels[~(below | ended)]
    late = _after_last_quantifiable(levels)
    first = late & (late.groupby(groups).cumsum() == 1)
    return _set(levels, first, 0.5)[~below | first]


def _after_last_quantifiable(levels: pd.DataFrame) -> pd.Series:
    """Tell which samples below the limit follow the last quantifiable one of their profile."""
    fitted = ~levels["baseline"]
    quantified = ~levels["below_lloq"] & fitted
    groups = [levels[name] for name in _PROFILE]
    last = levels["day"].where(quantified).groupby(groups).transform("max")
    return levels["below_lloq"] & fitted & (levels["day"] > last)


def _set(levels: pd.DataFrame, which: pd.Series, share: float) -> pd.DataFrame:
    """Give some samples a share of their limit as a level that counts as measured."""
    return levels.assign(
        level=levels["level"].mask(which, share * levels["lloq"]),
        below_lloq=levels["below_lloq"] & ~which,
    )


def parse_subset(text: Any, cohort: Cohort) -> tuple[str, ...]:
    """Find the patients that a condition keeps.

    Parameters
    ----------
    text : str
        ``"all"``, or a column of the table of patients, a comparison and a value, such as
        ``"response == CR"`` or ``"iec_hs == false"``; several with ``and``.
    cohort : Cohort
        With that column.

    Returns
    -------
    tuple of str
        Patients for whom every condition is known and true.

    Examples
    --------
    >>> from carkinetics.cohort import synthetic_cohort
    >>> len(parse_subset("response == CR", synthetic_cohort()))
    12
    """
    if text == "all":
        return cohort.patient_ids
    keep = pd.Series(True, index=cohort.patients.index)
    for part in str(text).split(" and "):
        keep &= _condition(part, cohort)
    return tuple(cohort.patients.loc[keep, "patient"])


def _condition(text: str, cohort: Cohort) -> pd.Series:
    match = _CONDITION.match(text)
    if match is None:
        what = f"{text!r} is no condition"
        raise DataError(Fault("subset", what, 'Write it like "response == CR", or "all".'))
    name, sign, wanted = match[1], match[2], match[3].strip("\"'")
    table = cohort.patients
    if name not in table.columns:
        close = difflib.get_close_matches(name, list(map(str, table.columns)), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        what = f"the table of patients has no column {name!r}{hint}"
        raise DataError(Fault("subset", what, "See cohort.patients.columns."))
    column = table[name]
    value: Any = wanted
    if pd.api.types.is_bool_dtype(column.dtype) and wanted.lower() in ("true", "false", "0", "1"):
        value = wanted.lower() in ("true", "1")
    elif pd.api.types.is_numeric_dtype(column.dtype):
        try:
            value = float(wanted)
        except ValueError:
            what = f"{name} holds numbers, not {wanted!r}"
            raise DataError(Fault("subset", what, "Compare it with a number.")) from None
    elif sign not in ("==", "!="):
        what = f"{name} holds text, which has no order"
        raise DataError(Fault("subset", what, "Compare it with == or !=."))
    elif wanted not in set(column.dropna().astype(str)):
        known = ", ".join(sorted(set(column.dropna().astype(str)))[:8])
        raise DataError(Fault("subset", f"no patient has {name} {wanted!r}", f"There are {known}."))
    else:
        column = column.astype(object).where(column.isna(), column.astype(str))
    known = column.notna()
    return (_COMPARED[sign](column, value).fillna(False).astype(bool)) & known
