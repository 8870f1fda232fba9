"""Contradictions in a trial's own table of patients: dates, grades and causes that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.trial.roles import find_role

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_SLACK = 0.5  # days: rounding of dates is no contradiction


@dataclass(frozen=True)
class Contradiction:
    """Two statements that cannot both be true.

    Parameters
    ----------
    rule : str
        What must hold.
    what : str
        What the data say instead.
    patients : tuple of str
        Whom it concerns; empty for numbers of a whole trial.
    """

    rule: str
    what: str
    patients: tuple[str, ...] = ()

    def __str__(self) -> str:
        who = f" ({', '.join(self.patients)})" if self.patients else ""
        return f"{self.rule}: {self.what}{who}"


def find_contradictions(cohort: Cohort) -> tuple[Contradiction, ...]:
    """Look for statements about a patient that cannot all be true.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.

    Returns
    -------
    tuple of Contradiction
        Empty where there are none: events after death, grades without onset and onsets without
        grade, times that disagree, causes without death, responses that cannot relapse, samples
        after death. Nothing is changed.
    """
    table = cohort.patients.set_index("patient")
    found = [item for rule in _RULES for item in rule(table)]
    return tuple([*found, *_by_role(cohort, table), *_samples(cohort, table)])


def _says(rule: str, what: str, wrong: pd.Series) -> Iterator[Contradiction]:
    patients = tuple(map(str, wrong.index[wrong.astype("boolean").fillna(False)]))
    if patients:
        yield Contradiction(rule, what, patients)


def _has(table: pd.DataFrame, *names: str) -> bool:
    return set(names) <= set(table.columns)


def _days_after(
    table: pd.DataFrame, earlier: str, later: str, rule: str
) -> Iterator[Contradiction]:
    if _has(table, earlier, later):
        wrong = table[earlier].astype(float) > table[later].astype(float) + _SLACK
        yield from _says(rule, f"{earlier} is after {later}", wrong)


def _order(table: pd.DataFrame) -> Iterator[Contradiction]:
    for day in ("ttp_day", "pfs_day", "crs_onset_day", "icans_onset_day", "iec_hs_day",
                "response_day"):  # fmt: skip
        yield from _days_after(table, day, "os_day", "nothing happens after the last contact")
    yield from _days_after(table, "response_day", "ttp_day", "a response precedes its loss")


def _onsets(table: pd.DataFrame) -> Iterator[Contradiction]:
    pairs = (("crs_grade", "crs_onset_day"), ("icans_grade", "icans_onset_day"),
             ("iec_hs", "iec_hs_day"))  # fmt: skip
    for grade, onset in pairs:
        if not _has(table, grade, onset):
            continue
        had, known = table[grade].astype("Float64") > 0, table[onset].notna()
        rule = f"{grade} and {onset} agree"
        yield from _says(rule, f"{onset} is missing though {grade} is above 0", had & ~known)
        none = table[grade].notna() & ~had.fillna(False)
        yield from _says(rule, f"{onset} is given though {grade} is 0", none & known)


def _fatal(table: pd.DataFrame) -> Iterator[Contradiction]:
    if not _has(table, "died"):
        return
    alive = ~table["died"].astype("boolean").fillna(True)
    for grade in ("crs_grade", "icans_grade"):
        if _has(table, grade):
            wrong = (table[grade].astype("Float64") == 5) & alive
            yield from _says("grade 5 is death", f"{grade} is 5 in a patient alive", wrong)


def _clocks(table: pd.DataFrame) -> Iterator[Contradiction]:
    if _has(table, "pfs_event", "progressed", "died"):
        event, died = (table[c].astype("boolean") for c in ("pfs_event", "died"))
        progressed = table["progressed"].astype("boolean")
        rule = "a PFS event is progression or death"
        what = "pfs_event is 1 without progression or death"
        yield from _says(rule, what, event & ~progressed & ~died)
        yield from _says(rule, "progressed is 1 but pfs_event is 0", progressed & ~event)
    if _has(table, "pfs_day", "ttp_day", "progressed"):
        progressed = table["progressed"].astype("boolean").fillna(False)
        apart = (table["pfs_day"].astype(float) - table["ttp_day"].astype(float)).abs() > _SLACK
        rule = "progression ends PFS and TTP on one day"
        yield from _says(rule, "pfs_day and ttp_day differ", apart & progressed)


def _responses(table: pd.DataFrame) -> Iterator[Contradiction]:
    if _has(table, "dor_days", "response", "progressed"):
        has = table["dor_days"].notna()
        rule = "only responders have a duration of response"
        responded = table["response"].isin(("CR", "PR")).astype("boolean")
        yield from _says(rule, "dor_days is given without CR or PR", has & ~responded)
    if _has(table, "dor_days", "ttp_day", "progressed") and not _has(table, "response_day"):
        known = table["dor_days"].notna() & table["progressed"].astype("boolean").fillna(False)
        offset = (table["ttp_day"].astype(float) - table["dor_days"].astype(float))[known]
        if len(offset) > 1 and offset.max() - offset.min() > _SLACK:
            rule = "durations of response have one origin, or days of response"
            what = (
                f"ttp_day - dor_days ranges from {offset.min():g} to {offset.max():g} days, and "
                "there is no response_day"
            )
            yield Contradiction(rule, what, tuple(map(str, offset.index)))


_RULES: tuple[Callable[[pd.DataFrame], Iterator[Contradiction]], ...] = (
    _order, _onsets, _fatal, _clocks, _responses,
)  # fmt: skip


def _by_role(cohort: Cohort, table: pd.DataFrame) -> Iterator[Contradiction]:
    cause = find_role(cohort, "death_cause")
    if cause is not None and _has(table, "died"):
        alive = ~table["died"].astype("boolean").fillna(True)
        rule = "a cause of death needs a death"
        yield from _says(rule, f"{cause} is given though died is 0", table[cause].notna() & alive)


def _samples(cohort: Cohort, table: pd.DataFrame) -> Iterator[Contradiction]:
    if not _has(table, "os_day", "died"):
        return
    last = cohort.levels.groupby("patient")["day"].max().reindex(table.index)
    died = table["died"].astype("boolean").fillna(False)
    wrong = (last > table["os_day"].astype(float) + _SLACK) & died
    yield from _says("nobody is sampled after death", "a sample is later than os_day", wrong)
