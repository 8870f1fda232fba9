"""What may be added to a fit: terms that need more of the patients' curves than their samples do.

The joint model is such an addition. A fit knows nothing of outcomes; it asks the extension which
levels, areas and maxima it needs, solves for them together with those at the samples, and hands
them over as tensors inside the PyMC model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from carkinetics.errors import FitError
from carkinetics.model.system import expanded_name
from carkinetics.solve.closed_form import closed_form_log_levels, columns_of, log_of, to_tensor
from carkinetics.solve.compiled import compile_curves
from carkinetics.solve.curves_op import log_curves

if TYPE_CHECKING:
    import xarray as xr

    from carkinetics.inference.layout import Layout
    from carkinetics.model import System

TOTAL = "total"


@dataclass(frozen=True, eq=False)
class Rows:
    """Days of patients, in rising order of patient and day.

    Attributes
    ----------
    patient : array of int, shape (row,)
        Index of the patient.
    day : array, shape (row,)
        Day from the infusion [day].
    """

    patient: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    day: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        order = np.lexsort((self.day, self.patient))
        if not np.array_equal(order, np.arange(order.size)):
            raise FitError("rows of an extension: sort them by patient and day.")

    def offsets(self, n_patient: int) -> np.ndarray:
        """Return where the rows of each patient begin, shape (patient + 1,)."""
        return np.searchsorted(self.patient, np.arange(n_patient + 1))


@dataclass(frozen=True, eq=False)
class CurveRequest:
    """What an extension needs of the curves.

    Attributes
    ----------
    levels, areas : Rows
        Where it needs the level, and the area from day 0.
    peak_of : str or None
        Cell type (or ``"total"``) of which it needs the maximum.
    peak_until : float
        Day until which the maximum is looked for [day].
    """

    levels: Rows = field(default_factory=Rows)
    areas: Rows = field(default_factory=Rows)
    peak_of: str | None = None
    peak_until: float = 0.0


@dataclass(frozen=True, eq=False)
class ExtraCurves:
    """What it gets.

    Attributes
    ----------
    log_level, log_area : tensor, shape (row, cell_type)
        At its rows.
    log_peak : tensor, shape (patient,), or None
        ln of the maximum.
    cell_types : tuple of str
        Columns.
    """

    log_level: Any
    log_area: Any
    log_peak: Any
    cell_types: tuple[str, ...]

    def of(self, values: Any, cell_type: str) -> Any:
        """Pick a cell type, or the total, of log levels or log areas, shape (row,)."""
        if cell_type in self.cell_types:
            return values[:, self.cell_types.index(cell_type)]
        return pt.logaddexp(values[:, 0], values[:, 1])


class Extension(Protocol):
    """An addition to a fit."""

    def request(self) -> CurveRequest:
        """Say what is needed of the curves."""

    def add(self, curves: ExtraCurves) -> None:
        """Add variables and terms to the current PyMC model."""

    def prior_texts(self) -> dict[str, str]:
        """Return the priors of these variables in words."""

    def settings(self) -> dict[str, Any]:
        """Return what is to be kept with the fit."""

    def group(self, posterior: xr.Dataset) -> xr.Dataset:
        """Return the draws whose convergence is to be checked, dims chain and draw first."""


def extended_levels(
    system: System, layout: Layout, parameters: Any, request: CurveRequest, tolerance: float
) -> tuple[Any, ExtraCurves]:
    """Write log levels at the samples and what an extension needs, by one solve.

    Parameters
    ----------
    system : System
        Equations of the model.
    layout : Layout
        Samples of the fit.
    parameters : tensor, shape (patient, parameter)
        Natural-scale parameters, then open inputs.
    request : CurveRequest
        What the extension needs.
    tolerance : float
        Local error of the solver.

    Returns
    -------
    log_level : tensor, shape (row, cell_type)
        At the samples.
    curves : ExtraCurves
    """
    n = len(layout.patients)
    visit_patient = np.repeat(np.arange(n), np.diff(layout.offsets))
    patient = np.concatenate([visit_patient, request.levels.patient])
    day = np.concatenate([layout.days, request.levels.day])
    order = np.lexsort((day, patient))
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    n_visit = len(layout.days)
    if system.closed_form:
        level, area, peak = _closed_form(system, parameters, patient[order], day[order], request)
    else:
        level, area, peak = _solved(
            system, parameters, n, patient[order], day[order], request, tolerance
        )
    extra = ExtraCurves(level[place[n_visit:]], area, peak, tuple(system.cell_types))
    return level[place[:n_visit]], extra


def _solved(
    system: System,
    parameters: Any,
    n: int,
    patient: np.ndarray,
    day: np.ndarray,
    request: CurveRequest,
    tolerance: float,
) -> tuple[Any, Any, Any]:
    cell_types = list(system.cell_types)
    column = () if request.peak_of is None else (_column(cell_types, request.peak_of),)
    curves = log_curves(
        compile_curves(system),
        parameters,
        (np.searchsorted(patient, np.arange(n + 1)), day),
        (request.areas.offsets(n), request.areas.day),
        peak_until=request.peak_until,
        curves=column,
        tolerance=tolerance,
    )
    pm.Potential("solved", pt.switch(pt.eq(pt.sum(curves.outcome), 0), 0.0, -np.inf))
    return curves.log_level, curves.log_area, curves.log_peak[:, 0] if column else None


def _column(cell_types: list[str], wanted: str) -> int:
    if wanted in cell_types:
        return cell_types.index(wanted)
    if wanted == TOTAL:
        return len(cell_types)
    known = ", ".join([*cell_types, TOTAL])
    raise FitError(f"no curve of {wanted!r} in this fit; it has {known}.")


def _closed_form(
    system: System,
    parameters: Any,
    patient: np.ndarray,
    day: np.ndarray,
    request: CurveRequest,
) -> tuple[Any, Any, Any]:
    level = closed_form_log_levels(system, columns_of(system, parameters[patient]), day)
    area = peak = None
    if request.areas.day.size:
        values = _values(system, parameters[request.areas.patient])
        values[system.time] = pt.as_tensor_variable(request.areas.day)
        parts = [_exact(system, "auc", cell) for cell in system.cell_types]
        area = pt.stack([pt.log(to_tensor(part, values)) for part in parts], axis=1)
    if request.peak_of is not None:
        if request.peak_of not in system.cell_types:
            raise FitError(
                "the maximum of the total of several cell types has no closed form; choose a "
                "cell type, or an area."
            )
        expression = log_of(_exact(system, "cmax", request.peak_of))
        peak = to_tensor(expression, _values(system, parameters))
    return level, area, peak


def _values(system: System, parameters: Any) -> dict[Any, Any]:
    symbols = (*system.parameter_symbols, *system.input_symbols)
    return dict(zip(symbols, columns_of(system, parameters), strict=True))


def _exact(system: System, name: str, cell_type: str) -> Any:
    for key in (expanded_name(name, cell_type), name):
        if key in system.exact:
            return system.exact[key]
    raise FitError(
        f"this closed form does not say its {name}. Add {name} to [solution] in the model's file, "
        "or choose another exposure."
    )
