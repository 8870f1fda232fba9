"""Cells of a column as text, numbers, yes/no; each different cell is looked at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

_MISSING = frozenset({"", "na", "n/a", "nan", "null", ".", "<na>"})
_YES = frozenset({"1", "1.0", "true", "t", "yes", "y"})
_NO = frozenset({"0", "0.0", "false", "f", "no", "n"})
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*")
_BELOW_WORDS = frozenset(
    {"blq", "bloq", "bql", "blloq", "<lloq", "<loq", "<blq", "belowlloq", "belowloq"}
)


@dataclass(frozen=True)
class Cells:
    """A column as text, each different text held once.

    Parameters
    ----------
    codes : numpy.ndarray of int, shape (n_rows,)
        Place of each row's text in `labels`; -1 for a missing cell.
    labels : numpy.ndarray of object, shape (n_labels,)
        The different texts, stripped.
    """

    codes: np.ndarray
    labels: np.ndarray

    def at(self, position: int) -> str:
        """Text of one row, "" where missing."""
        code = self.codes[position]
        return "" if code < 0 else str(self.labels[code])

    def each(self, look: Callable[[str], object], missing: object, dtype: type) -> np.ndarray:
        """Look every different text up once; shape (n_rows,)."""
        values: np.ndarray = np.empty(len(self.labels) + 1, dtype=dtype)
        for place, label in enumerate(self.labels):
            values[place] = look(str(label))
        values[-1] = missing
        return values[self.codes]

    @property
    def missing(self) -> np.ndarray:
        """Rows without text, shape (n_rows,)."""
        return self.codes < 0


def cells_of(column: pd.Series) -> Cells:
    """Text of each cell of a column; NaN, None and words such as NA are missing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        uniques = column.cat.categories
    else:
        codes, uniques = pd.factorize(column, use_na_sentinel=True)
    texts = [_text(value) for value in uniques]
    labels = {text: place for place, text in enumerate(dict.fromkeys(filter(_given, texts)))}
    places = np.array([labels.get(text, -1) for text in texts] + [-1], dtype=np.int64)
    return Cells(places[codes], np.array(list(labels), dtype=object))


def _given(text: str) -> bool:
    return text.lower() not in _MISSING


def _text(value: object) -> str:
    """Text of a cell; 277.0 becomes "277", so that ids survive a column with gaps."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def number(text: str) -> float:
    """Read the number a text says, NaN where it says none."""
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def numbers_of(column: pd.Series) -> tuple[np.ndarray, np.ndarray, Cells | None]:
    """Numbers of a column, which of its cells are text that is no number, and its cells.

    Returns
    -------
    values : numpy.ndarray of float, shape (n_rows,)
        NaN where missing or no number.
    wrong : numpy.ndarray of bool, shape (n_rows,)
        True where a cell holds something that is not a number.
    cells : Cells or None
        The text; None for a column of numbers, which has none.
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        return values, np.zeros(len(values), dtype=bool), None
    cells = cells_of(column)
    values = cells.each(number, np.nan, float)
    wrong = ~cells.missing & np.isnan(values)
    return values, wrong, cells


def booleans_of(column: pd.Series) -> tuple[np.ndarray, np.ndarray, Cells]:
    """Yes (1), no (0), missing (-1) of a column, which cells say neither, and its cells."""
    cells = cells_of(column)
    values = cells.each(_truth, -1, np.int8)
    return values, values == -2, cells


def _truth(text: str) -> int:
    word = text.lower()
    return 1 if word in _YES else 0 if word in _NO else -2


def below_limit(text: str) -> float | None:
    """Limit named by a text such as "<50"; NaN for "BLQ" and the like; None for other texts."""
    word = text.lower().replace(" ", "")
    if word in _BELOW_WORDS:
        return np.nan
    if word.startswith("<"):
        limit = number(word[1:])
        return limit if np.isfinite(limit) else None
    return None


def why_no_number(text: str) -> str:
    """Say what to do about a text that stands where a number should."""
    if _DECIMAL_COMMA.fullmatch(text):
        return f"Write a decimal point: {text.replace(',', '.')}."
    if text.lower() in {"nd", "n.d.", "not detected", "not done", "undetectable", "negative"}:
        return (
            "A sample below the limit is written BLQ (with its lloq); leave out the row of a "
            "sample that was not measured."
        )
    if _DATE.fullmatch(text):
        return "Give the number of days since the infusion (day 0), not a date."
    if text.startswith(">"):
        return "A level above the upper limit cannot be used; give the diluted result."
    return "Write a number with a decimal point and no unit."
