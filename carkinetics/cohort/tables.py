"""Tables as read: text, numbers as the user gave them, and the line of each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from carkinetics.cohort.faults import FaultList
from carkinetics.errors import Fault


@dataclass(frozen=True)
class Table:
    """One table and where its rows stand.

    Parameters
    ----------
    file : str
        Name shown in messages: the file's, or "levels table" for a DataFrame.
    frame : pandas.DataFrame
        The cells; a file's cells are text (categorical).
    rows : numpy.ndarray, shape (n_rows,)
        Line of each row in the file, from 1, comment lines counted. The rows of a DataFrame are
        counted as if it were written to a file: the first has row 2.
    is_text : bool
        Whether the cells are text, so that the kind of each column must be found.
    """

    file: str
    frame: pd.DataFrame
    rows: np.ndarray
    is_text: bool = False


def load_table(source: object, kind: str, faults: FaultList) -> Table | None:
    """Read a path or take a DataFrame; None (and a fault) where that is impossible."""
    if isinstance(source, pd.DataFrame):
        name = f"{kind} table"
        if source.empty:
            faults.add("empty", _file_fault(name, "has no rows", f"Pass a {kind} table with rows."))
            return None
        if not source.columns.is_unique:
            twice = sorted({str(column) for column in source.columns[source.columns.duplicated()]})
            what = f"column names stand twice: {', '.join(repr(column) for column in twice)}"
            faults.add("header", _file_fault(name, what, "Give each column a name of its own."))
            return None
        rows = np.arange(2, len(source) + 2)
        return Table(name, source.reset_index(drop=True), rows)
    if not isinstance(source, str | Path):
        what = f"is a {type(source).__name__}, neither a path nor a pandas DataFrame"
        faults.add("source", _file_fault(kind, what, "Pass one of the two."))
        return None
    path = Path(source)
    text = _text(path, faults)
    return None if text is None else _parse(path.name, text, faults)


def _file_fault(file: str, what: str, remedy: str, row: int | None = None) -> Fault:
    where = file if row is None else f"{file}, row {row}"
    return Fault(where, what, remedy, file=file, row=row)


def _text(path: Path, faults: FaultList) -> str | None:
    """Text of the file, or None and a fault."""
    try:
        content = path.read_bytes()
    except OSError as error:
        what = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        faults.add("file", _file_fault(str(path), what, "Check the path and its permissions."))
        return None
    if content[:4] == b"PK\x03\x04":
        remedy = "Save the sheet as 'CSV UTF-8', or pass pandas.read_excel(path)."
        faults.add("file", _file_fault(path.name, "is an Excel workbook, not text", remedy))
        return None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        remedy = "Save it as UTF-8, or pass pandas.read_csv(path, encoding='utf-16')."
        faults.add("encoding", _file_fault(path.name, "is UTF-16, not UTF-8", remedy))
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8: byte 0x{content[error.start]:02x} cannot be read"
        remedy = (
            "Save it as UTF-8 (in Excel: 'CSV UTF-8'), or pass "
            "pandas.read_csv(path, encoding='cp1252')."
        )
        faults.add("encoding", _file_fault(path.name, what, remedy, row))
        return None


def _parse(file: str, text: str, faults: FaultList) -> Table | None:
    """Cells as text, with comment and blank lines left out but counted."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = [i for i, line in enumerate(lines) if line.strip(", \t") and not line.startswith("#")]
    body = [lines[i] for i in kept]
    numbers = [i + 1 for i in kept]
    if not body:
        faults.add("empty", _file_fault(file, "is empty", "Pass a file with a header and rows."))
        return None
    fault = _header_fault(file, body[0], numbers[0])
    if fault is None and len(body) == 1:
        what = "has a header but no rows"
        fault = _file_fault(file, what, "Pass a file with rows.", numbers[0])
    if fault is not None:
        faults.add("header", fault)
        return None
    widths, rows = _fields(body, numbers)
    ragged = np.flatnonzero(widths != widths[0])
    if ragged.size:
        faults.add_rows(
            "number of fields",
            ragged,
            lambda i: _ragged_fault(file, int(rows[i]), int(widths[i]), int(widths[0])),
        )
        return None
    # Read as text first: straight to categories, pandas would make numbers of them, and an id
    # such as 007 would lose its zeros.
    frame = pd.read_csv(
        io.StringIO("\n".join(body)), dtype=str, keep_default_na=False, na_filter=False
    ).astype("category")
    frame.columns = [str(name).strip() for name in frame.columns]
    return Table(file, frame, rows[1:], is_text=True)


def _header_fault(file: str, header: str, row: int) -> Fault | None:
    """Say what is wrong with the header: another delimiter, or a name that stands twice."""
    for delimiter, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if header.count(delimiter) > header.count(","):
            what = f"columns are separated by {word}, not by commas"
            decimal = ", decimal=','" if delimiter == ";" else ""
            remedy = (
                "Save it with commas (and decimal points), or pass "
                f"pandas.read_csv(path, sep={delimiter!r}{decimal})."
            )
            return _file_fault(file, what, remedy, row)
    names = [name.strip() for name in next(csv.reader([header]))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"column names stand twice: {', '.join(repr(name) for name in twice)}"
        return _file_fault(file, what, "Give each column a name of its own.", row)
    return None


def _fields(body: Sequence[str], numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Count the fields of each record, header first, and find the line on which it begins."""
    if not any('"' in line for line in body):
        widths = [line.count(",") + 1 for line in body]
        return np.asarray(widths), np.asarray(numbers)
    reader = csv.reader(line + "\n" for line in body)
    widths, rows, begin = [], [], 0
    for record in reader:
        widths.append(len(record))
        rows.append(numbers[begin])
        begin = reader.line_num
    return np.asarray(widths), np.asarray(rows)


def _ragged_fault(file: str, row: int, width: int, expected: int) -> Fault:
    what = f"{width} fields where the header has {expected}"
    remedy = (
        "A decimal comma (12,5 instead of 12.5) or a comma in a text without quotes adds a field."
        if width > expected
        else "Complete the row; a missing value is an empty field, its comma stays."
    )
    return _file_fault(file, what, remedy, row)
