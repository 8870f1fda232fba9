"""The sections of a trial's report: patients, toxicity, response, survival, relapse, listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.report.numbers import day, exact_percent, p_value
from carkinetics.report.parts import Block, Items, Section, Table, Text
from carkinetics.trial import (
    baseline_table,
    clocks,
    compare_arms,
    death_table,
    dose_limiting,
    duration_of_response,
    fate_table,
    find_contradictions,
    manufacturing_table,
    onset_table,
    patient_flow,
    response_table,
    toxicity_table,
    trial_follow_up,
)
from carkinetics.trial.duration import SELECTED

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

Blocks = Mapping[str, Block]
_EXACT = "Intervals are exact (Clopper-Pearson)."


def drawn(figures: Blocks, *names: str) -> list[Block]:
    """Take some of the figures, as far as they are there."""
    return [figures[name] for name in names if name in figures]


def patients_section(
    cohort: Cohort, figures: Blocks, not_infused: Mapping[str, int] | pd.DataFrame | None
) -> Section:
    """Say who was treated, and what the table of patients contradicts."""
    flow = patient_flow(cohort, not_infused)
    blocks: list[Block] = [Text(f"{flow.infused} patients were infused: the denominator below.")]
    if flow.manufactured is not None:
        made, low, high = flow.manufactured
        text = f"A product was made for {made} of {flow.enrolled} enrolled patients"
        limits = f"{exact_percent(low)} to {exact_percent(high)}"
        blocks.append(Text(f"{text} (exact 95 % interval {limits})."))
    days = manufacturing_table(cohort)
    if days is not None:
        row = days.iloc[0]
        text = f"Manufacturing took {row['median']:g} days (median; {row['lowest']:g} to "
        blocks.append(Text(f"{text}{row['highest']:g}; {int(row['n'])} patients)."))
    blocks += drawn(figures, "patient_flow")
    table = baseline_table(cohort)
    groups = [name for name in table.columns if name not in _NOT_GROUPS]
    blocks.append(
        Table(
            "Table 1: patients before the infusion",
            ("", "", *(name.capitalize() for name in groups), "Missing"),
            [
                (row["variable"].replace("_", " "), row["category"] or row["statistic"],
                 *("" if pd.isna(row[g]) else str(row[g]) for g in groups), str(row["missing"]))
                for _, row in table.iterrows()
            ],
            f"ll{'r' * len(groups)}r",
            ("Counts are of the patients whose value is known.",),
        )
    )  # fmt: skip
    found = find_contradictions(cohort)
    if found:
        items = tuple(f"{item}." for item in found)
        blocks.append(Items(items, "Contradictions in the table of patients"))
    else:
        blocks.append(Text("Dates, grades, causes and responses do not contradict each other."))
    notices = tuple(f"{notice.text}." for notice in cohort.notices)
    blocks += [Items(notices, "Accepted on reading, and worth knowing")] if notices else []
    return Section("patients", "Patients", tuple(blocks))


_NOT_GROUPS = {"variable", "category", "statistic", "lower", "upper", "missing"}


def shares_block(
    caption: str, table: pd.DataFrame, extra: tuple[str, ...] = (), note: str = ""
) -> Table:
    """Lay out a table of shares, with some of its other columns in front."""
    names = [name for name in extra if name in table.columns]
    rows = [
        (row["what"], *(str(row[name]) for name in names), f"{row['patients']} of {row['of']}",
         *(("none",) * 2 if np.isnan(row["share"]) else
           (exact_percent(row["share"]),
            f"{exact_percent(row['lower'])} to {exact_percent(row['upper'])}")))
        for _, row in table.iterrows()
    ]  # fmt: skip
    heads = ("", *(name.capitalize() for name in names), "Patients", "Share", "95 % interval")
    notes = tuple(filter(None, (_EXACT, note)))
    return Table(caption, heads, rows, f"l{'l' * len(names)}rrr", notes)


def toxicity_section(
    cohort: Cohort, figures: Blocks, dlt: int | None, acceptable: float
) -> Section | None:
    """Count toxicity, its onsets, and dose-limiting toxicity."""
    table = toxicity_table(cohort)
    if table.empty:
        return None
    blocks: list[Block] = [shares_block("Toxicity", table)]
    onsets = onset_table(cohort)
    if len(onsets):
        rows = [
            (row.what, str(row.n), f"{row.median:g} ({row.lowest:g} to {row.highest:g})", row.days)
            for row in onsets.itertuples()
        ]
        heads = ("", "Patients", "Onset, median (range) [day]", "Days")
        blocks.append(Table("Onset, in those who had it", heads, rows, "lrrl").without_empty())
    if dlt is not None:
        rate = dose_limiting(dlt, cohort.n_patients, acceptable)
        limits = f"{exact_percent(rate.lower)} to {exact_percent(rate.upper)}"
        blocks.append(
            Text(
                f"Dose-limiting toxicity in {rate.events} of {rate.n} patients "
                f"({exact_percent(rate.share)}, exact 95 % interval {limits}). The probability "
                f"that the rate is below {rate.acceptable:.0%} is {rate.posterior:.3f} (uniform "
                "prior)."
            )
        )
    blocks += drawn(figures, "toxicity", "onset_crs_grade", "onset_iec_hs")
    return Section("toxicity", "Toxicity", tuple(blocks))


def response_section(cohort: Cohort, figures: Blocks, transform: str) -> Section | None:
    """Count responses, and say how long they lasted and what became of them."""
    if "response" not in cohort.patients.columns:
        return None
    blocks: list[Block] = [
        shares_block(
            "Best response", response_table(cohort).rename(columns={"arm": "group"}), ("group",)
        )
    ]
    arms = compare_arms(cohort)
    if arms is not None:
        counted = zip(arms.arms, arms.responded, arms.n, strict=True)
        told = " and ".join(f"{c} of {n} ({name})" for name, c, n in counted)
        blocks.append(
            Text(f"Complete response in {told}: Fisher's exact p = {p_value(arms.p_value)}.")
        )
    blocks += drawn(figures, "response")
    found = duration_of_response(cohort, transform)
    if found is not None:
        curve = found.curve
        limits = f"{day(curve.median_lower)} to {day(curve.median_upper)}"
        blocks.append(
            Text(
                f"Duration of response, {found.origin}: Kaplan-Meier median {day(curve.median)} "
                f"days (95 % interval {limits}, {transform} scale), {curve.n} responders, "
                f"{curve.n_total_events} relapses or progressions."
            )
        )
        rows = [
            (row.group, str(row.n), "" if row.n == 0 else
             f"{row.median:g} ({row.lowest:g} to {row.highest:g})")
            for row in found.relapsers.itertuples()
        ]  # fmt: skip
        test = found.test
        p = f" Mann-Whitney p = {p_value(test.p_value)} ({test.p_kind})." if test else ""
        blocks.append(
            Table(
                f"Duration of complete response in relapsers, {found.origin}",
                ("", "Relapsed", "Median (range) [day]"),
                rows,
                "lrr",
                (f"Selected: {SELECTED}.{p}",),
            )
        )
    blocks += _fate(cohort)
    return Section("response", "Response", tuple(blocks))


def _fate(cohort: Cohort) -> list[Block]:
    table = fate_table(cohort)
    if table is None or "ngs_negative" not in table.columns:
        return []
    rows = []
    for negative, part in table.groupby("ngs_negative"):
        label = "NGS negative" if negative else "not NGS negative or unknown"
        grafts = (
            part["transplant_day"].notna() if "transplant_day" in part else part["relapsed"] & False
        )
        rows.append(
            (label, str(len(part)), str(int(part["relapsed"].sum())), str(int(grafts.sum())),
             str(int((grafts & ~part["relapsed"]).sum())))
        )  # fmt: skip
    heads = ("Complete responders", "Patients", "Relapsed", "Transplant", "of them not relapsed")
    return [Table("What became of complete responders", heads, rows, "lrrrr")]


def survival_section(cohort: Cohort, figures: Blocks, transform: str) -> Section | None:
    """Give medians with named intervals, follow-up both ways, and causes of death."""
    known = clocks(cohort, transform)
    if not known:
        return None
    rows = [
        (clock.label, str(clock.curve.n), str(clock.curve.n_total_events),
         f"{day(clock.curve.median)} ({day(clock.curve.median_lower)} to "
         f"{day(clock.curve.median_upper)})",
         f"{clock.table['day'].min():g} to {clock.table['day'].max():g}")
        for clock in known.values()
    ]  # fmt: skip
    blocks: list[Block] = [
        Table(
            "Survival from the infusion",
            ("", "Patients", "Events", "Kaplan-Meier median (95 % interval) [day]",
             "Observed times [day]"),
            rows,
            "lrrrr",
            (f"Limits of the medians invert pointwise limits symmetric on the {transform} scale.",),
        )
    ]  # fmt: skip
    found = trial_follow_up(cohort, transform)
    if found is not None:
        blocks.append(
            Text(
                f"Median follow-up of all treated patients: {day(found.observed_median)} days as "
                f"the plain median of observed times, {day(found.reverse_median)} days by reverse "
                "Kaplan-Meier (deaths as censorings)."
            )
        )
    deaths = death_table(cohort)
    if deaths is not None and len(deaths):
        text = ", ".join(f"{row.cause} {row.deaths}" for row in deaths.itertuples())
        blocks.append(Text(f"Deaths: {int(deaths['deaths'].sum())} ({text.replace('_', ' ')})."))
    blocks += drawn(figures, "pfs", "os", "pfs_by_arm", "os_by_arm", "progression", "deaths")
    return Section("survival", "Survival", tuple(blocks))


def kept(sections: Iterable[Section | None]) -> tuple[Section, ...]:
    """Leave out the sections that the cohort has nothing for."""
    return tuple(section for section in sections if section is not None)
