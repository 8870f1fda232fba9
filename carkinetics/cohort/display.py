"""How a cohort prints, as text and in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from carkinetics.cohort.cohort import Cohort

SYNTHETIC = "SYNTHETIC, not patient data"
_EVENTS = {
    "ttp": ("ttp_day", "progressed"),
    "pfs": ("pfs_day", "pfs_event"),
    "os": ("os_day", "died"),
}


def as_text(cohort: Cohort) -> str:
    """Compact description of a cohort."""
    lines = [headline(cohort)]
    table = sample_table(cohort)
    lines += _aligned(table)
    lines += _aligned(outcome_table(cohort))
    lines.extend(f"  note: {item.text}" for item in cohort.notices)
    return "\n".join(lines)


def as_html(cohort: Cohort) -> str:
    """Render the same as HTML for notebooks."""
    parts = [f"<p><strong>{escape(headline(cohort))}</strong></p>"]
    for table in (sample_table(cohort), outcome_table(cohort)):
        if len(table):
            parts.append(table.to_html(index=False, border=0))
    if cohort.notices:
        items = "".join(f"<li>{escape(item.text)}</li>" for item in cohort.notices)
        parts.append(f"<ul>{items}</ul>")
    return "<div>" + "".join(parts) + "</div>"


def headline(cohort: Cohort) -> str:
    """Name, size and days of a cohort, with the mark of a synthetic one."""
    mark = f" [{SYNTHETIC}]" if cohort.synthetic else ""
    days = cohort.levels["day"]
    span = f", days {days.min():g} to {days.max():g}" if len(days) else ""
    return f"Cohort {cohort.name}{mark}: {cohort.n_patients} patients, {len(days)} levels{span}"


def sample_table(cohort: Cohort) -> pd.DataFrame:
    """Count samples by assay and cell type.

    Returns
    -------
    pandas.DataFrame
        Columns assay, cell type, unit, samples, patients, below LLOQ, LLOQ ("split of total"
        for CD4 and CD8 rows without one), before infusion; detected below LLOQ, where the table
        tells detection from quantification.
    """
    rows = []
    for (assay, cell_type), part in cohort.levels.groupby(["assay", "cell_type"], sort=True):
        rows.append(
            {
                "assay": assay,
                "cell type": cell_type,
                "unit": part["unit"].iloc[0],
                "samples": len(part),
                "patients": part["patient"].nunique(),
                "below LLOQ": int(part["below_lloq"].sum()),
                "LLOQ": _limits(part),
                "before infusion": int(part["baseline"].sum()),
            }
        )
        if "detected" in part:
            seen = part["detected"] & part["below_lloq"]
            rows[-1]["detected below LLOQ"] = int(seen.sum())
    return pd.DataFrame(rows)


def _limits(part: pd.DataFrame) -> str:
    limits = part["lloq"].dropna()
    if limits.empty:
        split = part["cell_type"].iloc[0] != "total"
        return "split of total" if split else "none"
    low, high = limits.min(), limits.max()
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def outcome_table(cohort: Cohort) -> pd.DataFrame:
    """Describe the outcomes a cohort has.

    Returns
    -------
    pandas.DataFrame
        Columns outcome, patients (with a value), values.
    """
    patients, rows = cohort.patients, []
    for name, (day, event) in _EVENTS.items():
        if day in patients.columns:
            days, happened = patients[day].dropna(), patients[event].fillna(False).sum()
            text = f"{int(happened)} events, median of observed times {days.median():g} days"
            rows.append((name, len(days), text))
    for name in ("crs_grade", "icans_grade", "response"):
        if name in patients.columns:
            counts = patients[name].value_counts().sort_index()
            text = ", ".join(f"{value}: {count}" for value, count in counts.items())
            rows.append((name, int(counts.sum()), text))
    if "iec_hs" in patients.columns:
        said = patients["iec_hs"].dropna()
        rows.append(("iec_hs", len(said), f"{int(said.sum())} with the syndrome"))
    return pd.DataFrame(rows, columns=["outcome", "patients", "values"])


def _aligned(table: pd.DataFrame) -> list[str]:
    """Lines of a table, header first; text to the left, numbers to the right."""
    if not len(table):
        return []
    columns = []
    for name in table.columns:
        cells = [name, *(str(value) for value in table[name])]
        width = max(len(cell) for cell in cells)
        right = pd.api.types.is_numeric_dtype(table[name].dtype)
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    return ["  " + "  ".join(line).rstrip() for line in zip(*columns, strict=True)]
