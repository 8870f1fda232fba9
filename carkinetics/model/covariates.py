"""Published covariate coefficients of a parameter: the table of a model file, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carkinetics.equations.nodes import EquationFault
from carkinetics.equations.reading import read_expression

if TYPE_CHECKING:
    from carkinetics.model.sheet import Sheet
    from carkinetics.model.tables import ParameterTable


@dataclass(frozen=True)
class PublishedCovariate:
    """How far a parameter moves with a covariate, as published.

    Parameters
    ----------
    term : str
        A yes/no column, or an expression of columns that is zero at the published reference,
        such as ``"log(dose_e6_per_kg / 3.1)"``.
    value : float
        Change of the parameter on its transformed scale when the term goes up by one.
    source, standing : str
        Where it comes from.
    se : float, optional
        Its published standard error.
    """

    term: str
    value: float
    source: str
    standing: str
    se: float | None = None


def read_published_covariates(
    sheet: Sheet, where: str, table: ParameterTable
) -> Mapping[str, PublishedCovariate]:
    """Read ``[parameters.NAME.covariates]``; faults are noted on the sheet."""
    if table.covariates and table.vary is None:
        sheet.fault(
            f"{where}.covariates",
            "belongs to a parameter that varies between patients",
            'Give the parameter vary = "patient" and an omega.',
        )
    found = {}
    for term, entry in table.covariates.items():
        place = f"{where}.covariates"
        try:
            expression = read_expression(term)
        except EquationFault as fault:
            sheet.fault_at(place, term, fault)
            continue
        for node in expression.root.walk():
            if node.kind == "total":
                what = "total(...) sums over cell types; patients have none"
                sheet.fault_at(place, term, EquationFault(what, node.start))
        if not expression.names:
            sheet.fault_at(place, term, EquationFault("names no column of the table of patients"))
        found[term] = PublishedCovariate(term, entry.value, entry.source, entry.standing, entry.se)
    return found
