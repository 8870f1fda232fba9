"""Names of the columns of both tables, and how a user's names become ours."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from carkinetics.cohort.faults import FaultList
from carkinetics.cohort.tables import Table
from carkinetics.errors import Fault

LEVEL_COLUMNS = (
    "patient",
    "day",
    "assay",
    "cell_type",
    "level",
    "unit",
    "lloq",
    "below_lloq",
    "lod",
    "detected",
    "wbc_per_ul",
    "cd3_per_ul",
    "events",
    "events_cd8",
    "dna_ug",
    "synthetic",
)
REQUIRED_LEVEL_COLUMNS = LEVEL_COLUMNS[:6]

PATIENT_COLUMNS = (
    "patient",
    "ttp_day",
    "progressed",
    "pfs_day",
    "pfs_event",
    "os_day",
    "died",
    "crs_grade",
    "crs_onset_day",
    "icans_grade",
    "iec_hs",
    "iec_hs_day",
    "response",
    "product_cd4_share",
    "dose",
    "synthetic",
)

# Other names in common use. Names that hide a unit (TIME, WBC) or invert a meaning (CNSR, where
# 0 is the event) are left out on purpose: the user maps those with `columns`.
_PATIENT_NAMES = ("patient_id", "usubjid", "subjid", "subject", "subject_id", "pt_id", "id")
_LEVEL_ALIASES = {
    "patient": _PATIENT_NAMES,
    "day": ("days", "study_day_from_infusion", "day_from_infusion", "days_after_infusion"),
    "assay": ("method",),
    "cell_type": ("celltype", "subset", "population"),
    "level": ("value", "result", "dv", "aval"),
    "unit": ("units", "avalu"),
    "lloq": ("alloq", "loq", "lower_limit_of_quantification"),
    "below_lloq": ("blq", "bloq", "blqfl", "cens"),
    "lod": ("alod", "limit_of_detection", "lower_limit_of_detection"),
    "wbc_per_ul": ("wbc_cells_per_ul",),
    "cd3_per_ul": ("cd3_cells_per_ul",),
    "dna_ug": ("dna_input_ug",),
}
_PATIENT_ALIASES = {
    "patient": _PATIENT_NAMES,
    "ttp_day": ("ttp_days",),
    "progressed": ("ttp_event",),
    "pfs_day": ("pfs_days",),
    "os_day": ("os_days",),
    "died": ("death_event", "os_event"),
    "crs_grade": ("max_crs_grade",),
    "icans_grade": ("max_icans_grade",),
    "iec_hs_day": ("iec_hs_onset_day",),
    "response": ("best_response",),
    "product_cd4_share": ("product_cd4_frac", "product_cd4_fraction"),
}


def bare(name: object) -> str:
    """Keep letters and digits of a name in lower case: ``"Cell-Type"`` -> ``"celltype"``."""
    return re.sub(r"[^a-z0-9]", "", str(name).replace("µ", "u").replace("μ", "u").lower())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest a known name, to end a sentence with; "" where none is close."""
    by_bare = {bare(name): name for name in known}
    close = difflib.get_close_matches(bare(word), by_bare, n=1, cutoff=0.6)
    return f"; did you mean {by_bare[close[0]]!r}?" if close else ""


def name_columns(table: Table, kind: str, columns: Mapping[str, str], faults: FaultList) -> Table:
    """Rename the columns of a table to ours.

    Parameters
    ----------
    table : Table
        The table as read.
    kind : {"levels", "patients"}
        Which of the two tables it is.
    columns : mapping of str to str
        The user's names -> ours; goes before all aliases.
    faults : FaultList
        Receives two columns of one meaning and required columns that are missing.

    Returns
    -------
    Table
        The same rows; columns that are not ours keep their name.
    """
    ours = LEVEL_COLUMNS if kind == "levels" else PATIENT_COLUMNS
    aliases = _LEVEL_ALIASES if kind == "levels" else _PATIENT_ALIASES
    required = REQUIRED_LEVEL_COLUMNS if kind == "levels" else ("patient",)
    given = [str(name) for name in table.frame.columns]
    new = {name: columns[name] for name in given if name in columns}
    for target in ours:
        if target in new.values():
            continue
        found = _first_match(given, target, aliases.get(target, ()), new)
        new.update(dict.fromkeys(found, target))
    _check_unique(table, given, new, faults)
    missing = [name for name in required if name not in new.values()]
    for name in missing:
        faults.add("missing column", _missing(table, name, given))
    frame = table.frame.set_axis([new.get(name, name) for name in given], axis=1)
    # Columns that stand twice are reported above; the first is checked further.
    return replace(table, frame=frame.loc[:, ~frame.columns.duplicated()])


def check_mapping(columns: Mapping[str, str], tables: Iterable[Table], faults: FaultList) -> None:
    """Report entries of `columns` that name a column no table has, or an unknown target."""
    present = [str(name) for table in tables for name in table.frame.columns]
    known = sorted({*LEVEL_COLUMNS, *PATIENT_COLUMNS})
    for user, target in columns.items():
        where = f"columns, {user!r}"
        if user not in present:
            what = f"no table has a column {user!r}{did_you_mean(user, present)}"
            faults.add("columns", Fault(where, what, "Correct the name.", section="columns"))
        if target not in known:
            what = f"{target!r} is not a column of ours{did_you_mean(target, known)}"
            remedy = f"Ours are: {', '.join(known)}."
            faults.add("columns", Fault(where, what, remedy, section="columns"))


def _first_match(
    given: list[str], target: str, aliases: Iterable[str], taken: Mapping[str, str]
) -> list[str]:
    """Find columns that carry the target's own name, else those that carry one of its aliases."""
    free = [name for name in given if name not in taken]
    exact = [name for name in free if name == target]
    if exact:
        return exact
    own = [name for name in free if bare(name) == bare(target)]
    return own or [name for name in free if bare(name) in {bare(alias) for alias in aliases}]


def _check_unique(
    table: Table, given: list[str], new: Mapping[str, str], faults: FaultList
) -> None:
    final = [new.get(name, name) for name in given]
    for name in dict.fromkeys(final):
        if final.count(name) > 1:
            users = [user for user in given if new.get(user, user) == name]
            what = f"{len(users)} columns mean {name!r}: {', '.join(users)}"
            remedy = "Keep one of them, or rename the others."
            faults.add(
                "two columns",
                Fault(f"{table.file}, header", what, remedy, file=table.file, section=name),
            )


def _missing(table: Table, name: str, given: list[str]) -> Fault:
    hint = did_you_mean(name, given)
    remedy = f"Add the column, or map yours: columns={{'your name': '{name}'}}."
    if name == "cell_type":
        remedy += " Write 'total' where CD4 and CD8 were not counted apart."
    what = f"column {name!r} is missing{hint} The columns are: {', '.join(given)}."
    if not hint:
        what = f"column {name!r} is missing. The columns are: {', '.join(given)}."
    return Fault(f"{table.file}, header", what, remedy, file=table.file, section=name)
