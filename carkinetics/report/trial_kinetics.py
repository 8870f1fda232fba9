"""The sections of a trial's report that rest on samples: kinetics, relapse, product, listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.report.numbers import day, number, p_value, unit
from carkinetics.report.parts import Block, Section, Table, Text
from carkinetics.report.trial_parts import Blocks, drawn, shares_block
from carkinetics.trial import (
    detection_table,
    kinetics_table,
    patient_listing,
    peak_days,
    relapse_samples,
    subset_peak,
)

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort


def kinetics_section(cohort: Cohort, figures: Blocks) -> Section:
    """Summarize observed kinetics: peak, area, subsets, detection."""
    blocks: list[Block] = []
    for assay in cohort.assays:
        if "total" not in cohort.cell_types(assay):
            continue
        rows = [
            (row.what, unit(row.unit), str(row.n), str(row.missing), number(row.geometric_mean),
             number(row.gcv), number(row.median), f"{number(row.lowest)} to {number(row.highest)}")
            for row in kinetics_table(cohort, assay).itertuples()
        ]  # fmt: skip
        heads = ("", "Unit", "Patients", "Missing", "Geometric mean", "gCV [%]", "Median", "Range")
        blocks.append(Table(f"Observed kinetics, {assay}", heads, rows, "lnrrrrrr"))
        days = peak_days(cohort, assay)
        blocks.append(
            Text(
                f"{assay}: the median of the patients' peak days is {day(days.median_of_days)}; "
                f"the median profile is highest on day {day(days.day_of_median)}."
            )
        )
        blocks.append(
            shares_block(
                f"Quantifiable CAR T cells, {assay}",
                detection_table(cohort, assay),
                (),
                "Of patients sampled in the window, before transplant or other therapy.",
            )
        )
    subsets = subset_peak(cohort)
    if subsets is not None:
        limits = f"{subsets.lower:.1f} to {subsets.upper:.1f}"
        blocks.append(
            Text(
                f"At the peak of the total: CD8 {number(subsets.median_cd8)} and CD4 "
                f"{number(subsets.median_cd4)} {unit(subsets.unit)} (medians, {subsets.n} "
                f"patients); CD8/CD4 {subsets.ratio:.1f} (geometric mean, 95 % interval {limits})."
            )
        )
    blocks += drawn(
        figures,
        "profile_flow",
        "profile_qpcr",
        "persistence_flow",
        "persistence_qpcr",
        "subsets",
        "cd8_share",
    )
    return Section("kinetics", "Observed kinetics", tuple(blocks))


def relapse_section(cohort: Cohort, figures: Blocks) -> Section | None:
    """Describe antigen and CAR T cells in samples with disease."""
    found = relapse_samples(cohort)
    if found is None:
        return None
    note = (
        f"Of the {found.evaluable} evaluable among {found.with_disease} patients with an entry: "
        "relapsed, progressed or never responded."
    )
    states = ", ".join(f"{row.antigen} {row.patients}" for row in found.detectable.itertuples())
    blocks: list[Block] = [shares_block("Antigen in samples with disease", found.antigen, (), note)]
    if found.n_detectable:
        text = f"CAR T cells were detectable then in {found.n_detectable} patients ({states})."
        blocks.append(Text(text.replace("_", " ")))
    blocks += drawn(figures, "antigen")
    return Section("relapse", "Relapse", tuple(blocks))


def screen_section(table: pd.DataFrame, outcome: str, figures: Blocks) -> Section:
    """Show every attribute of the screen."""
    rows = [
        (str(row.attribute).replace("_", " "), f"{row.n_with} and {row.n_without}",
         f"{row.difference:.3g} ({row.lower:.3g} to {row.upper:.3g})",
         f"{row.auroc:.2f} ({row.auroc_lower:.2f} to {row.auroc_upper:.2f})",
         p_value(row.p), p_value(row.q), row.reason)
        for row in table.itertuples()
    ]  # fmt: skip
    heads = ("Attribute", "With and without", "Difference", "AUROC", "p", "q", "Why missing")
    note = (
        "p: exact Mann-Whitney; q: Benjamini and Hochberg over all attributes; difference: "
        "Hodges-Lehmann. A screen gives hypotheses, no results."
    )
    caption = f"Product attributes by {outcome}: all {len(table)} of them"
    block = Table(caption, heads, rows, "lrrrrrl", (note,)).without_empty()
    return Section("screen", "Product attributes", (block, *drawn(figures, "screen")))


def listing_section(cohort: Cohort, figures: Blocks) -> Section:
    """List every patient."""
    assay = "flow" if "flow" in cohort.assays else cohort.assays[0] if cohort.assays else "flow"
    table = patient_listing(cohort, assay)
    rows = [tuple(map(_cell, row)) for row in table.itertuples(index=False)]
    heads = tuple(name.replace("_", " ") for name in table.columns)
    listing = Table("Listing of patients", heads, rows, "n" + "r" * (len(heads) - 1))
    return Section("listing", "Patient by patient", (*drawn(figures, "swimmer"), listing))


def _cell(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
