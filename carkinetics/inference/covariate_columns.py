"""From a covariate term to the columns of a design matrix: centered, scaled, compared, refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.cohort.covariate_terms import TermValues, listed, term_values
from carkinetics.errors import Fault
from carkinetics.model.schema import did_you_mean

if TYPE_CHECKING:
    from carkinetics.inference.covariates import Covariate

# A column that the others explain up to this share of its variance adds nothing.
_UNEXPLAINED = 1e-8


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a design matrix.

    Attributes
    ----------
    name : str
        The term, for text with the value compared: ``age_group[adult]``.
    values : array, shape (patient,)
        Centered and scaled numbers; 0 and 1 for yes/no columns and values of text.
    per : str
        What a coefficient is told for: ``"SD (0.69)"``, ``"yes against no"``.
    typical : str
        The value at which the column is zero.
    kind : str
        ``"number"``, ``"flag"`` or ``"text"``.
    center, scale : float
        What was subtracted, and what it was divided by.
    reference : str or None
        For text: the value compared with.
    imputed : tuple of str
        Patients without a value, put at the mean.
    prior : str or None
        Prior asked for.
    """

    name: str
    values: np.ndarray
    per: str
    typical: str
    kind: str
    center: float
    scale: float
    reference: str | None
    imputed: tuple[str, ...]
    prior: str | None

    def as_plain(self) -> dict[str, Any]:
        """Return everything but the values, ready for JSON."""
        shown = (f.name for f in dataclasses.fields(self) if f.name != "values")
        return {name: getattr(self, name) for name in shown} | {"imputed": list(self.imputed)}


def columns_of(
    covariate: Covariate, rows: pd.DataFrame, where: str
) -> tuple[list[Column], list[Fault]]:
    """Compute the columns of one term.

    Parameters
    ----------
    covariate : Covariate
        The term.
    rows : DataFrame
        The table of patients, one row per fitted patient.
    where : str
        Place that faults name.

    Returns
    -------
    columns : list of Column
        Empty where there is a fault.
    faults : list of Fault
    """
    found, faults = term_values(covariate.term, rows, where)
    if found is None:
        return [], faults
    faults = [*_missing(covariate, found, rows, where), *_misfits(covariate, found, where)]
    known = found.values[~found.missing]
    if len(set(known)) < 2:
        value = f"has the one value {known[0]!s}" if len(known) else "has no value"
        what = f"'{covariate.term}' {value} in the fitted patients"
        faults.append(Fault(where, what, "Leave it out: it tells no patients apart."))
    if faults:
        return [], faults
    imputed = tuple(rows["patient"][found.missing].astype(str))
    if found.kind == "text":
        return _indicators(covariate, found, imputed), []
    return [_number(covariate, found, imputed)], []


def collinear(columns: Sequence[Column], where: str) -> list[Fault]:
    """Refuse columns that those before them determine, by name."""
    faults = []
    for j, column in enumerate(columns):
        if column.name in [other.name for other in columns[:j]]:
            faults.append(Fault(where, f"'{column.name}' is named twice", "Name it once."))
            continue
        basis = np.column_stack(
            [np.ones(column.values.size), *(other.values for other in columns[:j])]
        )
        weights = np.linalg.lstsq(basis, column.values, rcond=None)[0]
        rest = column.values - basis @ weights
        if rest @ rest > _UNEXPLAINED * np.sum((column.values - column.values.mean()) ** 2):
            continue
        involved = [
            f"'{other.name}'"
            for other, weight in zip(columns[:j], weights[1:], strict=True)
            if abs(weight) * other.values.std() > 1e-6 * column.values.std()
        ]
        what = f"'{column.name}' follows from {', '.join(involved)} in the fitted patients"
        faults.append(Fault(where, what, "Leave out one of them: they cannot be told apart."))
    return faults


def _missing(
    covariate: Covariate, found: TermValues, rows: pd.DataFrame, where: str
) -> list[Fault]:
    if covariate.missing == "mean" or not found.missing.any():
        return []
    what = f"'{covariate.term}' has no value for {listed(rows['patient'][found.missing])}"
    remedy = (
        "Complete the table, leave these patients out with cohort.select, or write "
        f'Covariate("{covariate.term}", missing="mean") to put them at the mean of the others.'
    )
    return [Fault(where, what, remedy)]


def _misfits(covariate: Covariate, found: TermValues, where: str) -> list[Fault]:
    """Refuse options that this kind of term does not have."""
    term = covariate.term
    if found.kind != "text":
        if covariate.reference is None:
            return []
        what = f"'{term}' is not text, so it has no reference value"
        return [Fault(where, what, "Give a center instead.")]
    faults = []
    if covariate.center is not None or covariate.scale is not None:
        what = f"'{term}' is text, so it has no center and scale"
        faults.append(Fault(where, what, "Give a reference instead."))
    values = sorted(set(found.values[~found.missing]))
    if covariate.reference is not None and covariate.reference not in values:
        what = f"no fitted patient has '{term}' {covariate.reference!r}"
        what += did_you_mean(covariate.reference, values)
        faults.append(Fault(where, what, "Choose a reference that patients have."))
    return faults


def _indicators(covariate: Covariate, found: TermValues, imputed: tuple[str, ...]) -> list[Column]:
    term, known = covariate.term, found.values[~found.missing]
    values, counts = np.unique(known.astype(str), return_counts=True)
    # The most frequent; of equally frequent ones the first of the alphabet.
    reference = covariate.reference or str(values[np.argmax(counts)])
    columns = []
    for value in (str(v) for v in values if v != reference):
        column = np.array([float(v == value) for v in found.values])
        column[found.missing] = column[~found.missing].mean()
        columns.append(
            Column(
                name=f"{term}[{value}]",
                values=column,
                per=f"{value} against {reference}",
                typical=f"{term} = {reference}",
                kind="text",
                center=0.0,
                scale=1.0,
                reference=reference,
                imputed=imputed,
                prior=covariate.prior,
            )
        )
    return columns


def _number(covariate: Covariate, found: TermValues, imputed: tuple[str, ...]) -> Column:
    known = found.values[~found.missing].astype(float)
    flag = found.kind == "flag"
    center, scale = (0.0, 1.0) if flag else (float(known.mean()), float(known.std(ddof=1)))
    per, typical = f"SD ({scale:.3g})", f"{covariate.term} = {center:.4g} (mean)"
    if flag:
        per, typical = "yes against no", f"{covariate.term} = no"
    if covariate.center is not None:
        center = float(covariate.center)
        typical = typical if flag and center == 0 else f"{covariate.term} = {center:.4g}"
    if covariate.scale is not None:
        scale = float(covariate.scale)
        per = per if flag and scale == 1 else f"{scale:g}"
    filled = np.where(found.missing, known.mean(), found.values).astype(float)
    return Column(
        name=covariate.term,
        values=(filled - center) / scale,
        per=per,
        typical=typical,
        kind=found.kind,
        center=center,
        scale=scale,
        reference=None,
        imputed=imputed,
        prior=covariate.prior,
    )
