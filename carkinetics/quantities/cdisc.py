"""Tables of quantities in the manner of CDISC PP and ADPP, as LaTeX and as HTML.

Codes are those of the CDISC terminology where it has one; others are the sponsor's, and
``PPTESTCD`` says which by the column ``OFFICIAL``.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from carkinetics.quantities.families import days_in, find_quantity, is_window
from carkinetics.quantities.registry import Quantity

_SPECIMEN = "BLOOD"
SYNTHETIC = "SYNTHETIC, not patient data"


def pp_table(tidy: pd.DataFrame, study: str, synthetic: bool) -> pd.DataFrame:
    """Arrange quantities in the manner of SDTM PP.

    Parameters
    ----------
    tidy : DataFrame
        Columns ``patient``, ``cell_type``, ``quantity``, ``value``, ``unit``, ``reason``,
        ``below`` (limit a missing value is known to lie under), ``category``; optionally ``above``
        (day a value is known to reach at least), ``lower`` and ``upper``, and ``note`` on values
        that are there.
    study : str
        ``STUDYID``.
    synthetic : bool
        Whether the patients are invented; then every row says so.

    Returns
    -------
    DataFrame
        ``PPSTRESN`` is empty, ``PPSTAT`` is NOT DONE and ``PPREASND`` says why where a number is
        missing; a value known only to lie under a limit, or beyond a horizon, stands as text, such
        as ``<0.5`` and ``>=365``. ``PPNOTE`` is the sponsor's: flags, censoring, extrapolation.
    """
    about = [_about(row) for row in tidy.itertuples()]
    text = [_text(row) for row in tidy.itertuples()]
    missing = tidy["value"].isna() & ~pd.Series(text, index=tidy.index).str.startswith("<")
    table = pd.DataFrame(
        {
            "STUDYID": study,
            "DOMAIN": "PP",
            "USUBJID": tidy["patient"].to_numpy(),
            "PPSEQ": tidy.groupby("patient").cumcount().to_numpy() + 1,
            "PPTESTCD": [code for code, _, _, _ in about],
            "PPTEST": [label for _, label, _, _ in about],
            "OFFICIAL": [official for _, _, official, _ in about],
            "PPCAT": tidy["category"].to_numpy(),
            "PPSCAT": tidy["cell_type"].to_numpy(),
            "PPORRES": text,
            "PPORRESU": tidy["unit"].to_numpy(),
            "PPSTRESC": text,
            "PPSTRESN": tidy["value"].mask(_above(tidy).notna()).to_numpy(),
            "PPSTRESU": tidy["unit"].to_numpy(),
            "PPSTAT": np.where(missing, "NOT DONE", ""),
            "PPREASND": np.where(missing, tidy["reason"], ""),
            "PPSPEC": _SPECIMEN,
            "PPSTINT": [start for _, _, _, (start, _) in about],
            "PPENINT": [end for _, _, _, (_, end) in about],
        }
    )
    if "lower" in tidy:
        table = table.assign(PPLO=tidy["lower"].to_numpy(), PPHI=tidy["upper"].to_numpy())
    if "note" in tidy:
        table = table.assign(PPNOTE=tidy["note"].to_numpy())
    return table.assign(SYNTHETIC="Y") if synthetic else table


def adpp_table(tidy: pd.DataFrame, study: str, synthetic: bool) -> pd.DataFrame:
    """Arrange quantities in the manner of ADaM ADPP; arguments as for `pp_table`.

    ``PARAM`` names quantity, cell type and unit, and has a ``PARAMCD`` of its own, as ADaM asks:
    several windows share one ``PPTESTCD``.
    """
    about = [_about(row) for row in tidy.itertuples()]
    units = tidy["unit"].to_numpy()
    cells = tidy["cell_type"].to_numpy()
    params = [
        f"{label}, {cell} ({unit})" if unit else f"{label}, {cell}"
        for (_, label, _, _), cell, unit in zip(about, cells, units, strict=True)
    ]
    codes = [code for code, _, _, _ in about]
    table = pd.DataFrame(
        {
            "STUDYID": study,
            "USUBJID": tidy["patient"].to_numpy(),
            "PARAMCD": _param_codes(codes, cells, params),
            "PARAM": params,
            "PPTESTCD": codes,
            "PARCAT1": tidy["category"].to_numpy(),
            "PARCAT2": cells,
            "AVAL": tidy["value"].to_numpy(),
            "AVALC": [_text(row) for row in tidy.itertuples()],
            "AVALU": units,
            "AVISIT": "OVERALL",
            "ATPTREF": "INFUSION",
            "PPSTINT": [start for _, _, _, (start, _) in about],
            "PPENINT": [end for _, _, _, (_, end) in about],
            "REASND": np.where(tidy["value"].isna(), tidy["reason"], ""),
        }
    )
    if "lower" in tidy:
        table = table.assign(AVALLO=tidy["lower"].to_numpy(), AVALHI=tidy["upper"].to_numpy())
    if "note" in tidy:
        table = table.assign(NOTE=tidy["note"].to_numpy())
    return table.assign(SYNTHETIC="Y") if synthetic else table


_LONGEST = 8  # letters of a PARAMCD


def _param_codes(codes: Sequence[str], cells: Sequence[str], params: Sequence[str]) -> list[str]:
    """Make one code of at most 8 letters for each PARAM: CMAXT, CMAX4, CMAX8; AUCINTT, AUCINTBT."""
    found: dict[str, str] = {}
    for code, cell, param in zip(codes, cells, params, strict=True):
        if param in found:
            continue
        end = cell[-1].upper() if cell != "total" else "T"
        wanted, number = f"{code[: _LONGEST - 1]}{end}", 1
        while wanted in found.values():
            letters = _letters(number)
            wanted = f"{code[: _LONGEST - 1 - len(letters)]}{letters}{end}"
            number += 1
        found[param] = wanted
    return [found[param] for param in params]


def _letters(number: int) -> str:
    """Count in letters, from B for the second of its kind; figures would look like days."""
    high, low = divmod(number, 26)
    return (_letters(high - 1) if high else "") + chr(ord("A") + low)


def _about(row: object) -> tuple[str, str, str, tuple[str, str]]:
    name = row.quantity  # type: ignore[attr-defined]
    given: Quantity | None = getattr(row, "about", None)
    quantity = given if given is not None else find_quantity(name)
    official = "Y" if quantity.cdisc else "N"
    return quantity.code, quantity.label, official, _interval(name)


def _interval(name: str) -> tuple[str, str]:
    """Give start and end of the interval a name speaks of, as ISO 8601 durations."""
    days = days_in(name)
    if not days:
        return "", ""
    first = days[0] if is_window(name) else days[-1]
    return f"P{first:g}D", f"P{days[-1]:g}D"


def _text(row: object) -> str:
    value, below = row.value, row.below  # type: ignore[attr-defined]
    above = getattr(row, "above", np.nan)
    if not np.isnan(above):
        return f">={above:g}"
    if not np.isnan(value):
        return f"{value:.10g}"
    return "" if np.isnan(below) else f"<{below:g}"


def _above(tidy: pd.DataFrame) -> pd.Series:
    return tidy["above"] if "above" in tidy else pd.Series(np.nan, index=tidy.index)


def table_html(table: pd.DataFrame, heading: str) -> str:
    """Write a table as HTML with a caption; all text is escaped."""
    body = table.to_html(index=False, border=0, na_rep="")
    head, rest = body.split(">", 1)
    return f"{head}>\n  <caption>{escape(heading)}</caption>{rest}"


def table_latex(table: pd.DataFrame, heading: str) -> str:
    """Write a table as LaTeX with a caption; special characters are escaped."""
    shown = table.map(_latex_escaped).rename(columns=_latex_escaped)
    sides = "".join("r" if _is_number(table[name]) else "l" for name in table)
    return str(
        shown.to_latex(
            index=False, escape=False, caption=_latex_escaped(heading), column_format=sides
        )
    )


def _is_number(column: pd.Series) -> bool:
    """Tell whether a column holds numbers, or numbers as text; such columns stand flush right."""
    known = column[column.notna() & (column.astype(str) != "")]
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().all())


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _latex_escaped(text: object) -> str:
    if isinstance(text, float) and np.isnan(text):
        return ""
    return "".join(_LATEX.get(letter, letter) for letter in str(text))
