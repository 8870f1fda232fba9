"""Levels of patients over time: samples, posterior curves with their bands, both assays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from carkinetics.errors import DataError, Fault
from carkinetics.inference.curves import curve_days
from carkinetics.plotting.style import (
    COLORS,
    MUTED,
    Picture,
    below_marks,
    caption,
    fold,
    level_label,
    log_ticks,
    new_figure,
    picture,
    stamp,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from carkinetics.inference import Fit

_SIDE_BY_SIDE = 5.0  # inches from which the two assays of a single patient stand side by side
_NARROWEST = 1.45  # inches of a column of panels
_LINEAR_UNTIL = 45.0  # days; longer stretches get a square-root axis, or the rise is a wall
_SHADE = "#ececec"
# Ticks of the day axis, the most wanted first [day].
_TICKS = (0, 28, 90, 180, 365, 730, 7, 14, 60, 545, 1095, 1825, 21, 270, 42, 120)


@dataclass(frozen=True)
class _Event:
    """A day worth a mark: its letter in the panels, what it means, where it stands."""

    letter: str
    label: str
    day: str
    only_if: str = ""


_EVENTS = (
    _Event("C", "CRS onset", "crs_onset_day"),
    _Event("H", "IEC-HS onset", "iec_hs_day"),
    _Event("P", "progression", "ttp_day", "progressed"),
)


@dataclass(frozen=True)
class _Panel:
    """One patient, one assay: samples, and quantiles by cell type, shape (quantile, day)."""

    patient: str
    assay: str
    samples: pd.DataFrame
    quantiles: dict[str, np.ndarray]


@picture
def plot_levels(
    fit: Fit,
    patients: Sequence[str] | str | None = None,
    *,
    assays: Sequence[str] | None = None,
    cell_types: Sequence[str] | str | None = None,
    probabilities: Sequence[float] = (0.5, 0.9),
    until: float | None = None,
    events: bool = True,
    draws: int = 1000,
    width: float | None = None,
) -> Picture:
    """Draw the samples of patients and their posterior curves, one panel per patient and assay.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`.
    patients : sequence of str, optional
        All fitted patients by default; on paper, 12 to a page read well.
    assays : sequence of str, optional
        ``"flow"``, ``"qpcr"`` or both; those that were fitted by default.
    cell_types : sequence of str, optional
        Of the flow panels: ``"CD4"``, ``"CD8"``, ``"total"``; those that were fitted by default.
    probabilities : sequence of float
        Of the equal-tailed posterior intervals drawn as bands.
    until : float, optional
        Last day drawn; a little after the last sample of these patients by default [day].
        Axes of more than 45 days have a square-root scale, and say so.
    events : bool
        Mark the days of CRS onset, IEC-HS onset and progression, where the cohort has them.
    draws : int
        Bands are computed from at most about this many draws, evenly spaced among all.
    width : float, optional
        Of the figure [inch]; by the number of patients when left out.

    Returns
    -------
    Picture
        Axes patient by patient, flow before qPCR; all panels of an assay share their scale.
        Flow in cells/uL, qPCR in copies/ug. Curves and bands are latent levels, without assay
        error, so samples scatter around them by more than the bands are wide. Samples below the
        limit are open triangles that hang from it. Behind a gray ground, after the patient's last
        sample of any assay, the curve is extrapolated.

    Raises
    ------
    DataError
        For a patient, an assay or a cell type that was not fitted.
    """
    chosen = fit.select_patients(patients)
    shown = _shown_assays(fit, assays)
    cells = _shown_cells(fit, cell_types)
    inner, outer = _levels_of_bands(probabilities)
    last = {p: _last_sample(fit, p) for p in chosen}
    until = 1.08 * max(last.values()) if until is None else _checked(until)
    days = curve_days(until)
    thin, used = _thinned(fit, draws)
    ends = sorted({(1 - q) / 2 for q in (inner, outer)} | {(1 + q) / 2 for q in (inner, outer)})
    panels = [
        _Panel(p, assay, _samples(fit, p, assay, cells), quantiles)
        for p in chosen
        for assay, quantiles in _quantiles(thin, p, shown, cells, days, [0.5, *ends]).items()
    ]
    width = _width(len(chosen)) if width is None else width
    figure, axes, columns = _lay_out(len(chosen), len(shown), width)
    limits = {assay: _limits([p for p in panels if p.assay == assay], days) for assay in shown}
    marked = _marked_events(fit, chosen, until) if events else {}
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel, days, limits[panel.assay])
        _shade(axis, last[panel.patient], until)
        _mark_events(axis, marked.get(panel.patient, []), until, width / columns)
    _label(axes, panels, limits, fit.latent_unit, columns, until, width)
    _write_legend(figure, panels, [e for e in _EVENTS if _is_marked(e, marked)], probabilities)
    _write_caption(figure, fit, until, used)
    stamp(figure, fit.synthetic)
    return Picture(figure, np.array(axes))
