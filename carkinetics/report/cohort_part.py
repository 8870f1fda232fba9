"""What the page says of the cohort: patients, outcomes, samples, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.outcomes import clopper_pearson, kaplan_meier
from carkinetics.report.family import COLUMNS, has_outcome
from carkinetics.report.numbers import between, day, exact_percent, percent, stated, unit
from carkinetics.report.parts import Block, Items, Section, Table, Text

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.inference import Fit

_CLOCKS = {
    "ttp": ("Time to progression", "progressed"),
    "pfs": ("Progression-free survival", "progressed or died"),
    "os": ("Overall survival", "died"),
}
_GRADES = {"crs_grade": "CRS", "icans_grade": "ICANS"}
_RESPONSES = ("CR", "PR", "SD", "PD")  # best first
_ASSAYS = {"flow": "flow cytometry", "qpcr": "qPCR"}


def cohort_section(fit: Fit, probability: float) -> Section:
    """Describe patients and outcomes, with every notice of the reader."""
    cohort = fit.cohort
    left = [p for p in cohort.patient_ids if p not in fit.patients]
    who = (
        f"The cohort {cohort.name} has {cohort.n_patients} patients; "
        f"{len(fit.patients)} of them have samples that were fitted."
    )
    if left:
        who += f" Without fitted samples: {', '.join(left)}."
    blocks: list[Block] = [Text(who)]
    shares = _shares(cohort, probability)
    if shares.rows:
        blocks.append(shares)
    clocks = _clocks(cohort, probability)
    if clocks.rows:
        blocks.append(clocks)
    if not shares.rows and not clocks.rows:
        blocks.append(Text("The table of patients has no outcomes."))
    if cohort.notices:
        notices = tuple(f"{notice.text}." for notice in cohort.notices)
        blocks.append(Items(notices, "Accepted on reading, and worth knowing"))
    else:
        blocks.append(Text("Reading the tables gave no notices."))
    return Section("cohort", "The cohort", tuple(blocks))


def _shares(cohort: Cohort, probability: float) -> Table:
    rows = [
        (
            label,
            f"{events} of {n}",
            exact_percent(events / n),
            " to ".join(exact_percent(limit) for limit in limits),
        )
        for label, events, n in _counts(cohort)
        for limits in [clopper_pearson(events, n, probability)]
    ]
    return Table(
        "Outcomes: counts and shares",
        ("Outcome", "Patients", "Share", f"{probability:.0%} interval"),
        rows,
        "lrrr",
        (
            "Intervals are exact (Clopper-Pearson). Patients without a value are not counted. "
            "Progression and death are counted up to each patient's end of follow-up, however "
            "long that was; the next table allows for it.",
        ),
    )


def _counts(cohort: Cohort) -> Iterator[tuple[str, int, int]]:
    patients = cohort.patients
    for column, name in _GRADES.items():
        if not has_outcome(cohort, column):
            continue
        grades = patients[column].dropna().astype(int)
        for grade in sorted(set(grades)):
            yield f"{name} grade {grade}", int((grades == grade).sum()), len(grades)
        for grade in (2, 3):
            if grades.max() > grade:
                yield f"{name} grade {grade} or higher", int((grades >= grade).sum()), len(grades)
    if has_outcome(cohort, "iec_hs"):
        said = patients["iec_hs"].dropna().astype(bool)
        yield "IEC-HS", int(said.sum()), len(said)
    if has_outcome(cohort, "response"):
        answers = patients["response"].dropna().astype(str)
        counts = answers.value_counts()
        known = [value for value in _RESPONSES if value in counts]
        for value in [*known, *(v for v in counts.index if v not in known)]:
            yield f"Response {value}", int(counts[value]), len(answers)
    for name, (_, what) in _CLOCKS.items():
        if has_outcome(cohort, name):
            happened = _clock(cohort, name)["event"]
            yield f"{what.capitalize()} ({name.upper()} event)", int(happened.sum()), len(happened)


def _clock(cohort: Cohort, name: str) -> pd.DataFrame:
    days, event = COLUMNS[name]
    known = cohort.patients[[days, event]].dropna()
    return pd.DataFrame({"day": known[days].astype(float), "event": known[event].astype(bool)})


def _clocks(cohort: Cohort, probability: float) -> Table:
    rows = []
    for name, (label, what) in _CLOCKS.items():
        if not has_outcome(cohort, name):
            continue
        table = _clock(cohort, name)
        curve = kaplan_meier(table["day"], table["event"], probability=probability)
        limits = (day(v) for v in (curve.median, curve.median_lower, curve.median_upper))
        rows.append(
            (f"{label} ({name.upper()})", what, str(curve.n), str(curve.n_total_events),
             between(*limits), f"{table['day'].min():g} to {table['day'].max():g}")
        )  # fmt: skip
    return Table(
        "Outcomes in time, from the infusion",
        ("Clock", "Event", "Patients", "Events", f"Median ({probability:.0%} interval) [day]",
         "Observed times [day]"),
        rows,
        "llrrrr",
        (
            "Medians are Kaplan-Meier estimates; their limits are where the pointwise limits of "
            "the curve, symmetric on the log(-log) scale, cross one half.",
        ),
    )  # fmt: skip


def data_section(fit: Fit) -> Section:
    """Count samples and those below the limit, for each assay and cell type."""
    cohort, fitted = fit.cohort, set(fit.settings["assays"])
    rows, split = [], False
    for (assay, cell_type), part in cohort.levels.groupby(["assay", "cell_type"], sort=True):
        after = part[~part["baseline"]]
        below = _below(cohort, str(assay), str(cell_type))
        part_of_total = below is None
        split |= part_of_total
        rows.append(
            (
                _ASSAYS.get(str(assay), str(assay)),
                str(cell_type),
                unit(str(part["unit"].iloc[0])),
                "yes" if assay in fitted else "no",
                str(len(after)),
                str(after["patient"].nunique()),
                "with its total" if below is None else f"{below} ({percent(below / len(after))})",
                "that of its total" if part_of_total else _limits(part["lloq"]),
                f"{after['day'].min():g} to {after['day'].max():g}" if len(after) else "none",
                str(int(part["baseline"].sum())),
            )
        )
    notes = [
        "BLQ samples carry information: each enters the likelihood as the probability of a level "
        "below its limit (method M3). They are never set to zero, to the limit or left out."
    ]
    if split:
        notes.append(
            "CD4 and CD8 counts without a limit of their own are the split of the total of the "
            "same sample: they enter as the share of CD8, from samples whose total is "
            "quantifiable."
        )
    table = Table(
        "Samples after the infusion, by assay and cell type",
        ("Assay", "Cell type", "Unit", "Fitted", "Samples", "Patients", "BLQ", "LLOQ", "Days",
         "Before infusion (not fitted)"),
        rows,
        "lnnlrrrrrr",
        tuple(notes),
    )  # fmt: skip
    return Section("data", "Data, and samples below the limit", (table, _visits(cohort)))


def _below(cohort: Cohort, assay: str, cell_type: str) -> int | None:
    """Count BLQ samples; None where the total's limit decides."""
    samples = cohort.samples(assay, cell_type)
    if cell_type != "total" and samples["lloq"].isna().all():
        return None
    return int(samples["below_lloq"].sum())


def _limits(limits: pd.Series) -> str:
    known = limits.dropna()
    if known.empty:
        return "none"
    low, high = known.min(), known.max()
    return stated(low) if low == high else f"{stated(low)} to {stated(high)}"


def _visits(cohort: Cohort) -> Text:
    """Say how densely patients were sampled."""
    samples = cohort.samples(cell_type="total")
    if samples.empty:
        samples = cohort.samples()
    counts = samples.groupby("patient")["day"].nunique()
    return Text(
        f"Patients have {counts.min()} to {counts.max()} days with a sample after the infusion "
        f"(median {counts.median():g})."
    )


def blq_line(fit: Fit) -> str:
    """Give the share of BLQ samples of each assay on one line."""
    parts = []
    for assay in fit.settings["assays"]:
        samples = fit.cohort.samples(assay)
        limited = samples[(samples["cell_type"] == "total") | samples["lloq"].notna()]
        below = int(limited["below_lloq"].sum())
        share = percent(below / len(limited)) if len(limited) else "none"
        parts.append(f"{_ASSAYS[assay]} {below} of {len(limited)} ({share})")
    return "; ".join(parts)
