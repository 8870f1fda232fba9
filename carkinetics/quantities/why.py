"""The answer to "why this number": what one cell of a table comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Why:
    """One number of an exposure table, traced to what it comes from.

    Parameters
    ----------
    cell : tuple of str
        Patient, quantity and cell type.
    number : str
        The number with its unit, or ``"missing"``.
    definition, source : str
        What the quantity is, and where the definition comes from.
    facts : mapping of str to str
        Rule, limit, hashes, model, draws, seed, versions: whatever applies.
    rows : DataFrame
        The rows of data behind it.
    note : str
        What else has to be known, or why the number is missing.
    synthetic : bool
        Whether the patients are invented.
    """

    cell: tuple[str, str, str]
    number: str
    definition: str
    source: str
    facts: Mapping[str, str]
    rows: pd.DataFrame
    note: str = ""
    synthetic: bool = False

    def _lines(self) -> list[tuple[str, str]]:
        patient, label, cell_type = self.cell
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        return [
            ("number", f"{label} of {patient}, {cell_type}: {self.number}{mark}"),
            ("definition", f"{self.definition} ({self.source})"),
            *([("note", self.note)] if self.note else []),
            *self.facts.items(),
            ("rows", f"{len(self.rows)} samples"),
        ]

    def __repr__(self) -> str:
        lines = [f"{name}: {text}" for name, text in self._lines()]
        return "\n".join([*lines, self.rows.to_string(index=False)])

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in self._lines()
        )
        return f"<dl>{lines}</dl>" + self.rows.to_html(index=False)
