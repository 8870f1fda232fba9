"""Values of covariate terms: columns of the table of patients, or safe expressions of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from carkinetics.cohort.patient_table import EVENT_OF, FLAGS, GRADES, NUMBERS
from carkinetics.equations import NUMERIC, Expression, Node, read_expression
from carkinetics.equations.nodes import EquationFault, point_at
from carkinetics.errors import Fault
from carkinetics.model.schema import did_you_mean

_KNOWN_AT_INFUSION = {"product_cd4_share", "dose"}
# Columns of our own names that are not known on the day of infusion, and the key.
_NO_COVARIATES = {"patient", "response", *NUMBERS, *FLAGS, *GRADES, *EVENT_OF} - _KNOWN_AT_INFUSION
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class TermValues:
    """Values of one term for some patients.

    Attributes
    ----------
    term : str
        Its text.
    kind : str
        ``"number"``, ``"flag"`` (0 or 1) or ``"text"``.
    values : array, shape (patient,)
        Floats, NaN where missing; objects for text.
    missing : array of bool, shape (patient,)
        Patients without a value.
    """

    term: str
    kind: str
    values: np.ndarray
    missing: np.ndarray


def term_values(
    term: str, table: pd.DataFrame, where: str
) -> tuple[TermValues | None, list[Fault]]:
    """Compute a term for every row of a table of patients.

    Parameters
    ----------
    term : str
        A column, or an expression of columns for the equation reader.
    table : DataFrame
        One row per patient, with the column ``patient``.
    where : str
        Place that the faults name.

    Returns
    -------
    values : TermValues or None
        None where there is a fault.
    faults : list of Fault
        Everything wrong with the term.
    """
    if term in table.columns:
        fault = _refused(term, where)
        return (None, [fault]) if fault else (_column(term, table[term]), [])
    try:
        expression = read_expression(term)
    except EquationFault as found:
        return None, [_pointed(where, found.what, term, found.place)]
    columns, faults = _columns_of(expression, table, where)
    if faults:
        return None, faults
    with np.errstate(all="ignore"):
        values = np.asarray(_value(expression.root, columns), dtype=float)
    values = np.broadcast_to(values, len(table)).copy()
    missing = np.zeros(len(table), dtype=bool)
    for column in columns.values():
        missing |= np.isnan(column)
    wrong = ~missing & ~np.isfinite(values)
    if wrong.any():
        what = f"'{term}' is no finite number for {listed(table['patient'][wrong])}"
        return None, [Fault(where, what, "Correct these values, or write another term.")]
    values[missing] = np.nan
    return TermValues(term, _kind(values), values, missing), []


def columns_read(term: str, table: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns that a term reads, present in the table or not."""
    if term in table.columns:
        return (term,)
    return tuple(dict.fromkeys(node.name for node in read_expression(term).names))


def listed(patients: Sequence[Any] | pd.Series) -> str:
    """Name patients in a message: the first eight, and how many more."""
    names = [str(patient) for patient in patients]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"patient(s) {', '.join(names[:_SHOWN])}{more}"


def _refused(column: str, where: str) -> Fault | None:
    if column not in _NO_COVARIATES:
        return None
    what = f"'{column}' is no covariate: it is not known on the day of infusion"
    return Fault(where, what, "Relate outcomes to exposure with associate.")


def _column(name: str, column: pd.Series) -> TermValues:
    missing = column.isna().to_numpy(bool).copy()
    known = column[~missing]
    if pd.api.types.is_bool_dtype(known.infer_objects()) or pd.api.types.is_numeric_dtype(column):
        values = np.full(len(column), np.nan)
        values[~missing] = known.astype(float)
        return TermValues(name, _kind(values), values, missing)
    texts = ["" if m else str(v).strip() for v, m in zip(column, missing, strict=True)]
    missing |= np.array([not text for text in texts])
    values = np.array([text or None for text in texts], dtype=object)
    return TermValues(name, "text", values, missing)


def _kind(values: np.ndarray) -> str:
    return "flag" if set(values[~np.isnan(values)]) <= {0.0, 1.0} else "number"


def _columns_of(
    expression: Expression, table: pd.DataFrame, where: str
) -> tuple[dict[str, np.ndarray], list[Fault]]:
    known = [str(name) for name in table.columns if name not in _NO_COVARIATES]
    found: dict[str, np.ndarray] = {}
    faults = []
    for node in expression.root.walk():
        if node.kind == "total":
            what = "total(...) sums over cell types; patients have none"
            faults.append(_pointed(where, what, expression.text, node.start))
    if not expression.names:
        faults.append(Fault(where, f"'{expression.text}' names no column of the table of patients"))
    for node in expression.names:
        if node.name not in table.columns:
            what = f"no column '{node.name}' in the table of patients"
            what += did_you_mean(node.name, known)
            faults.append(_pointed(where, what, expression.text, node.start))
        elif fault := _refused(node.name, where):
            faults.append(fault)
        else:
            values = _column(node.name, table[node.name])
            if values.kind == "text":
                what = f"column '{node.name}' holds text; an expression needs numbers"
                faults.append(_pointed(where, what, expression.text, node.start))
            else:
                found[node.name] = values.values
    return found, faults


def _pointed(where: str, what: str, text: str, place: int | None) -> Fault:
    return Fault(where, f"{what}\n{point_at(text, place)}")


_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power},
    **{"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal},
    **{"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "negate": np.negative, "where": np.where},
    **{name: NUMERIC[name] for name in ("logistic", "softplus", "hill")},
}


def _value(node: Node, columns: dict[str, np.ndarray]) -> Any:
    # The reader has bounded depth and size, and there is no other function.
    if node.kind == "number":
        return np.float64(node.value)
    if node.kind == "name":
        return columns[node.name]
    return _OPERATIONS[node.kind](*(_value(child, columns) for child in node.children))
