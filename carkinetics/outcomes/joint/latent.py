"""The latent exposure of the joint model: a function of each patient's own parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.inference.curves import curve_cell_types, curves_of
from carkinetics.inference.extension import CurveRequest, ExtraCurves, Rows
from carkinetics.inference.planning import Plan
from carkinetics.quantities.measures import auc, level_at, peak

PEAK_UNTIL = 60.0  # day until which the maximum is looked for [day]
# What a hazard follows along time is counted from its value on this day.
FOLLOWED_FROM = 28.0

_AREA, _LEVEL = re.compile(r"auc_0_(\d+)"), re.compile(r"level_(\d+)")


@dataclass(frozen=True)
class Latent:
    """One exposure of every patient.

    Parameters
    ----------
    name : str
        ``"cmax"``, ``"auc_0_<day>"`` or ``"level_<day>"``.
    cell_type : str
        Of the fit.
    """

    name: str
    cell_type: str

    @property
    def day(self) -> float:
        """Day of an area or a level [day]; 0 for a maximum."""
        found = _AREA.fullmatch(self.name) or _LEVEL.fullmatch(self.name)
        return float(found[1]) if found else 0.0

    @property
    def is_area(self) -> bool:
        """Whether it is an area."""
        return _AREA.fullmatch(self.name) is not None

    def request(self, n_patient: int) -> CurveRequest:
        """Say what it needs of the curves."""
        if self.name == "cmax":
            return CurveRequest(peak_of=self.cell_type, peak_until=PEAK_UNTIL)
        rows = Rows(np.arange(n_patient), np.full(n_patient, self.day))
        return CurveRequest(areas=rows) if self.is_area else CurveRequest(levels=rows)

    def value(self, curves: ExtraCurves, rows: np.ndarray) -> Any:
        """Give ln exposure, shape (patient,); `rows` are those of its levels or areas."""
        if self.name == "cmax":
            return curves.log_peak
        values = curves.log_area if self.is_area else curves.log_level
        return curves.of(values, self.cell_type)[rows]

    def typical(self, plan: Plan) -> float:
        """Give ln exposure of the typical patient: every parameter at the median of its prior."""
        median = np.array([[p.prior.median for p in plan.parameters]])
        curve = curves_of(plan, median, max(PEAK_UNTIL, self.day))
        if self.name == "cmax":
            values = peak(curve)[0]
        else:
            values = auc(curve, 0.0, self.day) if self.is_area else level_at(curve, self.day)
        cells = curve_cell_types(plan.layout.cell_types)
        return float(np.log(values[0, cells.index(self.cell_type)]))


def latent_exposure(plan: Plan, name: str, cell_type: str) -> Latent:
    """Check an exposure against a fit.

    Raises
    ------
    DataError
        If the joint model has no such exposure, or the fit no such cell type.
    """
    known = isinstance(name, str) and (
        name == "cmax" or _AREA.fullmatch(name) or _LEVEL.fullmatch(name)
    )
    latent = Latent(name, cell_type)
    if not known or (name != "cmax" and latent.day <= 0):
        what = f"the joint model has no exposure {name!r}"
        remedy = "Choose cmax, auc_0_28 (or another day) or level_14 (or another day)."
        raise DataError(Fault("fit_joint", what, remedy, section="exposure"))
    cells = curve_cell_types(plan.layout.cell_types)
    if cell_type not in cells:
        what, remedy = f"no cell type {cell_type!r} in the fit", f"Choose from {', '.join(cells)}."
        raise DataError(Fault("fit_joint", what, remedy, section="cell_type"))
    return latent
