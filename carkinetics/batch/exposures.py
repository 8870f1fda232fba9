"""An exposure as it is written in a plan: ``"cmax"``, ``"cmax CD8"``, ``"cmax qpcr"``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from carkinetics.cohort import Cohort
from carkinetics.errors import CarkineticsError, DataError, Fault
from carkinetics.noncompartmental import OBSERVED
from carkinetics.outcomes.exposure_values import OBSERVED_ONLY, has_observed
from carkinetics.quantities import find_quantity

_CELL_TYPES = ("CD4", "CD8", "total")
_ASSAYS = ("flow", "qpcr")


@dataclass(frozen=True)
class ExposureChoice:
    """A quantity, with the cells and the assay where they are named.

    Attributes
    ----------
    quantity : str
        Such as ``"cmax"``.
    cell_type : str
        ``"total"`` where nothing is said.
    assay : str
        Assay of values taken from samples; empty where nothing is said.
    """

    quantity: str
    cell_type: str
    assay: str

    def fault(self, cohort: Cohort, from_samples: bool) -> str:
        """Say why the cohort cannot give it, or nothing."""
        if not from_samples:
            return "" if not self.assay else f"names an assay ({self.assay}); a fit has one curve"
        assay = self.assay or sample_assay(cohort)
        if not has_observed(self.quantity):
            return f"is {self.quantity!r}, which cannot be read off samples"
        if self.cell_type not in cohort.cell_types(assay):
            return f"needs {assay} samples of {self.cell_type} cells, which the cohort has not"
        return ""


def sample_assay(cohort: Cohort) -> str:
    """Give the assay from which exposures are taken where none is named: flow if there is any."""
    return "flow" if "flow" in cohort.assays or not cohort.assays else cohort.assays[0]


def parse_exposure(text: Any) -> ExposureChoice:
    """Read an exposure.

    Parameters
    ----------
    text : str
        A quantity, then in any order a cell type and an assay, where they are not those of the
        whole: ``"auc_0_28"``, ``"cmax CD8"``, ``"cmax qpcr"``.

    Returns
    -------
    ExposureChoice

    Raises
    ------
    DataError
        For a quantity that does not exist, or a word that means nothing.

    Examples
    --------
    >>> parse_exposure("cmax CD8")
    ExposureChoice(quantity='cmax', cell_type='CD8', assay='')
    """
    if not isinstance(text, str) or not text.split():
        raise DataError(Fault("exposure", f"is {text!r}", 'Give a quantity, such as "cmax".'))
    quantity, *words = text.split()
    cell_type, assay = "total", ""
    for word in words:
        if word in _CELL_TYPES:
            cell_type = word
        elif word in _ASSAYS:
            assay = word
        else:
            known = ", ".join((*_CELL_TYPES, *_ASSAYS))
            raise DataError(Fault("exposure", f"has the word {word!r}", f"Known are {known}."))
    _require(quantity)
    return ExposureChoice(quantity, cell_type, assay)


def _require(quantity: str) -> None:
    if quantity in OBSERVED_ONLY or quantity in OBSERVED or has_observed(quantity):
        return
    try:
        find_quantity(quantity)
    except CarkineticsError as error:
        raise DataError(Fault("exposure", f"{quantity!r} is no quantity", str(error))) from error
