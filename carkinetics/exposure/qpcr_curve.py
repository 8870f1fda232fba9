"""The curve as qPCR sees it: the total through the assay link, with the patient's leukocytes.

The link takes ln cells to ln copies by a straight line, and leukocytes are straight on the log
scale between draws of blood. So a cubic stays a cubic, with a kink on each draw: nothing is
approximated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.inference.draws import SAMPLE
from carkinetics.inference.prediction import link_draws
from carkinetics.likelihood import REFERENCE_WBC, link_log_copies
from carkinetics.quantities.curve import Curve

if TYPE_CHECKING:
    from carkinetics.inference.result import Fit


@dataclass(frozen=True)
class Leukocytes:
    """ln leukocytes over time: straight between days, held before the first and after the last.

    Parameters
    ----------
    day : array, shape (knot,)
        Days of the draws, rising [day].
    log_wbc : array, shape (knot,) or (curve, knot)
        ln leukocytes [ln cells/uL].
    counted : bool
        Whether any were counted; else they are the reference of the link throughout.
    """

    day: np.ndarray
    log_wbc: np.ndarray
    counted: bool = True

    def at(self, days: np.ndarray) -> np.ndarray:
        """Read ln leukocytes on days of shape (day,), or (curve, day) for one row each."""
        if self.log_wbc.ndim == 1:
            return np.interp(days, self.day, self.log_wbc)
        rows = np.broadcast_to(days, (len(self.log_wbc), days.shape[-1]))
        place = np.clip(np.searchsorted(self.day, rows) - 1, 0, max(self.day.size - 2, 0))
        right = np.minimum(place + 1, self.day.size - 1)
        width = self.day[right] - self.day[place]
        share = np.divide(rows - self.day[place], width, out=np.zeros(rows.shape), where=width > 0)
        ends = (np.take_along_axis(self.log_wbc, k, axis=1) for k in (place, right))
        low, high = ends
        return low + np.clip(share, 0.0, 1.0) * (high - low)


@dataclass(frozen=True)
class Link:
    """The assay link of every draw.

    Parameters
    ----------
    log_copies, slope, by_leukocytes : array, shape (...)
        ln vector copy number, and the exponents of cells and of leukocytes.
    """

    log_copies: np.ndarray
    slope: np.ndarray
    by_leukocytes: np.ndarray

    def some(self, draws: np.ndarray) -> Link:
        """Keep some draws, counted through all chains; shape (draw, 1)."""
        parts = (self.log_copies, self.slope, self.by_leukocytes)
        return Link(*(part.reshape(-1, 1)[draws] for part in parts))


def through_link(
    curve: Curve, link: Link, leukocytes: Leukocytes, shift: np.ndarray | float = 0.0
) -> Curve:
    """Take curves of cells to the curves that qPCR shows.

    Parameters
    ----------
    curve : Curve
        Latent levels of shape (..., cell type, day), the total last [cells/uL].
    link : Link
        Of the shape (...).
    leukocytes : Leukocytes
        Of all curves, or of each in a row of its own.
    shift : array, shape (...)
        The patients' own offsets [ln copies/ug].

    Returns
    -------
    Curve
        Of shape (..., 1, day) [copies/ug], with every draw of blood as a kink.
    """
    day = curve.day if curve.day.ndim == 1 else curve.day[..., -1:, :]
    total = Curve(day, curve.log_level[..., -1:, :], curve.slope[..., -1:, :])
    days, log_cells, slope = with_days(total, leukocytes.day)
    log_wbc, change = leukocytes.at(days), _changes(days, leukocytes)
    shape = (*curve.shape[:-1], 1)

    def each(values: np.ndarray) -> np.ndarray:
        """Give rows of days the shape of the curves; one row stands for all."""
        return values if values.ndim == 1 or len(values) == 1 else values.reshape(*shape, -1)

    def own(values: np.ndarray | float) -> np.ndarray:
        return np.asarray(values, dtype=float)[..., None, None]

    log_copies = link_log_copies(
        log_cells.reshape(*shape, -1), each(log_wbc), own(link.log_copies), own(link.slope),
        own(link.by_leukocytes), own(shift),
    )  # fmt: skip
    rise = own(link.slope) * slope.reshape(*shape, -1) - own(link.by_leukocytes) * each(change)
    shared = days[0] if len(days) == 1 else days.reshape(*shape, -1)
    return Curve(shared, log_copies, rise)


def with_days(curve: Curve, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the pieces of curves on some days, each given twice; the curves stay the same.

    Returns
    -------
    day : array, shape (1 or curve, day)
        Days [day].
    log_level, slope : array, shape (curve, day)
        One row per curve.
    """
    day, level, slope, _ = curve.rows
    new = np.asarray(days, dtype=float)
    new = np.repeat(new[(new > day[:, 0].max()) & (new < day[:, -1].min())], 2)
    place = (day[:, :, None] <= new).sum(axis=1) - 1
    rows = np.broadcast_to(place, (len(level), new.size))
    left, width = (np.take_along_axis(v, place, axis=1) for v in (day[:, :-1], np.diff(day)))
    u, ends = (new - left) / width, (rows, rows + 1)
    y, z = (np.take_along_axis(level, k, axis=1) for k in ends)
    a, b = (width * np.take_along_axis(slope, k, axis=1) for k in ends)
    square, cube = 3 * (z - y) - 2 * a - b, a + b - 2 * (z - y)
    values = y + u * (a + u * (square + u * cube))
    slopes = (a + u * (2 * square + 3 * u * cube)) / width
    together = np.concatenate([day, np.broadcast_to(new, (len(day), new.size))], axis=1)
    # Stable: on an old day the new nodes come after it, and carry the slope that follows.
    order = np.argsort(together, axis=1, kind="stable")
    by_row = np.broadcast_to(order, (len(level), order.shape[1]))
    parts = (np.concatenate(pair, axis=1) for pair in ((level, values), (slope, slopes)))
    levels, rates = (np.take_along_axis(part, by_row, axis=1) for part in parts)
    return np.take_along_axis(together, order, axis=1), levels, rates


def _changes(days: np.ndarray, leukocytes: Leukocytes) -> np.ndarray:
    """Give d ln leukocytes / d day at each node: before it where the day comes again, else after.

    Every draw of blood is a node given twice, so that each piece has one slope.
    """
    log_wbc = leukocytes.at(days)
    width = np.broadcast_to(np.diff(days), log_wbc[..., 1:].shape)
    rise = np.divide(np.diff(log_wbc), width, out=np.zeros(width.shape), where=width > 0)
    before = np.concatenate([rise[..., :1], rise], axis=-1)
    after = np.concatenate([rise, rise[..., -1:]], axis=-1)
    again = np.concatenate([width == 0, np.zeros((*width.shape[:-1], 1), bool)], axis=-1)
    return np.where(again, before, after)


@dataclass(frozen=True)
class QpcrView:
    """What it takes to show the curves of a fit as qPCR sees them.

    Parameters
    ----------
    fit : Fit
        With qPCR and flow.
    link : Link
        Of every draw, shape (chain, draw).
    shifts : array, shape (chain, draw, patient)
        The patients' own offsets.
    new_shift : array, shape (draw,)
        Offset of the new patient of each draw, chains one after the other.
    common : Leukocytes
        The mean over patients, on whole days.
    drawn : Leukocytes
        Of the new patients: each has those of a patient of the cohort.
    """

    fit: Fit
    link: Link
    shifts: np.ndarray
    new_shift: np.ndarray
    common: Leukocytes
    drawn: Leukocytes

    def patient(self, curve: Curve, patient: str) -> Curve:
        """Show the curves of a patient, shape (chain, draw, cell type)."""
        i = list(map(str, self.fit.patients)).index(patient)
        return through_link(curve, self.link, leukocytes_of(self.fit, patient), self.shifts[..., i])

    def population(self, curve: Curve, draws: np.ndarray, new: bool) -> Curve:
        """Show the curve of the typical or a new patient for some draws, shape (draw, 1, ...)."""
        link = self.link.some(draws)
        if not new:
            return through_link(curve, link, self.common)
        own = replace(self.drawn, log_wbc=self.drawn.log_wbc[draws])
        return through_link(curve, link, own, self.new_shift[draws][:, None])


def qpcr_view(fit: Fit, seed: int) -> QpcrView:
    """Collect link, offsets and leukocytes; refuses a fit without qPCR beside flow."""
    posterior = fit.data["posterior"]
    if "qpcr_shift" not in posterior:
        what = "no qPCR was fitted beside flow, so there is no link between them"
        raise DataError(Fault(f"fit of {fit.cohort.name}", what, 'Fit with assays "flow", "qpcr".'))

    def values(name: str) -> np.ndarray:
        return np.asarray(posterior[name].transpose(*SAMPLE).values)

    link = Link(*link_draws(fit.plan, posterior.to_dataset()))
    rng = np.random.default_rng([seed, 19])
    spread = values("omega_qpcr_shift").ravel()
    known = [leukocytes_of(fit, str(patient)) for patient in fit.patients]
    # Whole days will do for a mean; the patients keep the days of their own draws.
    knots = np.unique(np.concatenate([part.day.round() for part in known]))
    each = np.stack([part.at(knots) for part in known])
    return QpcrView(
        fit,
        link,
        np.asarray(posterior["qpcr_shift"].transpose(*SAMPLE, "patient").values),
        spread * rng.standard_normal(spread.size),
        Leukocytes(knots, each.mean(axis=0)),
        Leukocytes(knots, each[rng.integers(len(each), size=spread.size)]),
    )


def leukocytes_of(fit: Fit, patient: str) -> Leukocytes:
    """Give a patient's leukocytes; the reference of the link where none were counted."""
    rows = fit.plan.layout.qpcr.table
    rows = rows[(rows["patient"] == patient) & (rows["wbc_per_ul"] > 0)].sort_values("day")
    if rows.empty:
        return Leukocytes(np.zeros(1), np.log([REFERENCE_WBC]), counted=False)
    return Leukocytes(rows["day"].to_numpy(float), np.log(rows["wbc_per_ul"].to_numpy(float)))
