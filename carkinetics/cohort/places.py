"""Writes faults that say where they are: file, row, patient, and what else names the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from carkinetics.cohort.cells import Cells
from carkinetics.cohort.tables import Table
from carkinetics.errors import Fault

Text = str | Callable[[int], str]


@dataclass(frozen=True)
class Places:
    """Where the rows of a table stand.

    Parameters
    ----------
    table : Table
        The table.
    patient : Cells
        Patient of each row.
    also : tuple of (str, Cells)
        What else names a row, each with the word put before it: ``("day ", days)``.
    """

    table: Table
    patient: Cells
    also: tuple[tuple[str, Cells], ...] = ()

    def fault(self, section: str, what: Text, remedy: Text) -> Callable[[int], Fault]:
        """Return a function that writes the fault of a row, given its position (from 0).

        Parameters
        ----------
        section : str
            The column.
        what, remedy : str or function of the position
            The two sentences.
        """

        def write(position: int) -> Fault:
            row, patient = int(self.table.rows[position]), self.patient.at(position)
            named = [f"patient {patient}" if patient else "no patient"]
            named += [word + cells.at(position) for word, cells in self.also if cells.at(position)]
            return Fault(
                f"{self.table.file}, row {row} ({', '.join(named)})",
                what if isinstance(what, str) else what(position),
                remedy if isinstance(remedy, str) else remedy(position),
                file=self.table.file,
                section=section,
                patient=patient or None,
                row=row,
            )

        return write

    def header_fault(self, section: str, what: str, remedy: str) -> Fault:
        """Write a fault of the header."""
        file = self.table.file
        return Fault(f"{file}, header", what, remedy, file=file, section=section)
