"""The maximum and the area of a curve, taken while the solver steps along it.

The generated solver calls `follow` after each step of its lanes. A maximum lies where the slope
of a curve changes its sign inside a step; it is found on the step's interpolant. There the level
does not change with the day, so that its derivative by a parameter is that at the fixed day (the
envelope theorem). Areas are summed by Gauss-Legendre quadrature of the same interpolant, level and
derivative alike, so that value and gradient belong to the same discrete solution.

As in the solver, everything that costs time is done for all lanes at once.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from carkinetics.solve.fastmath import exp, log
from carkinetics.solve.lanes import LANES
from carkinetics.solve.written import compiled

# What is wanted: peaks until a day (of the columns of ``curves``; the number after the last cell
# type is the total), and areas from day 0 to the days of each patient.
Wanted = namedtuple("Wanted", "peak_until curves area_offsets area_days")
# What comes out, one row per patient (peaks) or per day (areas).
Features = namedtuple("Features", "log_peak peak_day peak_jacobian log_area area_jacobian")
# Where each lane stands.
Progress = namedtuple("Progress", "state slope cursor last reached area area_jacobian")
# One place inside the step of every lane, and what the curves are there: ``out`` holds levels,
# then slopes, both ``[cell_type * lanes + lane]``.
Place = namedtuple("Place", "fraction out jacobian first_level")

RUNNING, SWITCHED, NEW = 0, 1, 2
# Slope of ln level [1/day] at which the search for a maximum ends: the level is exact then.
_FLAT, _MOST_STEPS = 1e-8, 60
_SAME_DAY = 1e-9  # days closer than that are the same
# One panel of quadrature covers at most this range of ln level.
_PANEL_RANGE = 2.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


@compiled
def make_features(n_patient, n_out, n_par, wanted):
    """Make the arrays of the results."""
    n_curve, n_area = wanted.curves.shape[0], wanted.area_days.shape[0]
    return Features(
        np.full((n_patient, n_curve), -np.inf),
        np.zeros((n_patient, n_curve)),
        np.zeros((n_patient, n_curve, n_par)),
        np.zeros((n_area, n_out)),
        np.zeros((n_area, n_out, n_par)),
    )


@compiled
def make_progress(n_out, n_par, wanted):
    """Make the arrays of the lanes."""
    return Progress(
        np.full(LANES, NEW),
        np.zeros((LANES, wanted.curves.shape[0])),
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES),
        np.zeros(n_out * LANES),
        np.zeros(n_out * n_par * LANES),
    )


@compiled
def make_place(n_out, n_par):
    """Make the arrays of a place inside the steps of all lanes."""
    return Place(
        np.zeros(LANES),
        np.zeros(2 * n_out * LANES),
        np.zeros(n_out * n_par * LANES),
        np.zeros(n_out * LANES),
    )


@compiled
def begin(lane, who, wanted, progress, last_visit):
    """Put a patient into a lane; return the day up to which it must be followed."""
    progress.state[lane], progress.reached[lane] = NEW, 0.0
    progress.cursor[lane] = wanted.area_offsets[who]
    progress.last[lane] = wanted.area_offsets[who + 1]
    for i in range(progress.area.shape[0] // LANES):
        progress.area[i * LANES + lane] = 0.0
    for i in range(progress.area_jacobian.shape[0] // LANES):
        progress.area_jacobian[i * LANES + lane] = 0.0
    final = last_visit
    if wanted.curves.shape[0] > 0:
        final = max(final, wanted.peak_until)
    if progress.last[lane] > progress.cursor[lane]:
        final = max(final, wanted.area_days[progress.last[lane] - 1])
    return final


@compiled
def follow(
    inside, at_end, gradient, room, patient, error, t, h, wanted, progress, place, found
):  # fmt: skip
    """Look for maxima in the steps just made, and add them to the areas.

    Parameters
    ----------
    inside, at_end, gradient : compiled functions
        Fill ``place.out`` at the fractions of ``place``, the same at the end of the steps, and
        (after `inside`) ``place.jacobian``.
    room : array
        Arrays of the solver, for these functions.
    patient, error : array, shape (lane,)
        The patient of each lane (-1: none), and the scaled error of its step, which counts if
        this is not above 1.
    t, h : array, shape (lane,)
        Begin and length of each step [day].
    wanted, progress, place, found : Wanted, Progress, Place, Features
        What is wanted, where the lanes stand, room to work in, and what has been found.
    """
    if wanted.curves.shape[0] > 0:
        _follow_peaks(
            inside, at_end, gradient, room, patient, error, t, h, wanted, progress, place, found
        )
    if wanted.area_days.shape[0] > 0:
        _follow_areas(inside, gradient, room, patient, error, t, h, wanted, progress, place, found)


@compiled
def _curve(column, lane, place):
    """Return ln level and slope of a cell type, or of the total of all."""
    n_out = place.out.shape[0] // (2 * LANES)
    if column < n_out:
        return place.out[column * LANES + lane], place.out[(n_out + column) * LANES + lane]
    top = -np.inf
    for j in range(n_out):
        top = max(top, place.out[j * LANES + lane])
    whole, weighted = 0.0, 0.0
    for j in range(n_out):
        part = exp(place.out[j * LANES + lane] - top)
        whole += part
        weighted += part * place.out[(n_out + j) * LANES + lane]
    return top + log(whole), weighted / whole


@compiled
def _follow_peaks(
    inside, at_end, gradient, room, patient, error, t, h, wanted, progress, place, found
):  # fmt: skip
    curves, before = wanted.curves, progress.slope
    looking, starting = False, False
    for lane in range(LANES):
        place.fraction[lane] = 0.0
        if patient[lane] >= 0 and error[lane] <= 1.0 and t[lane] < wanted.peak_until:
            looking = True
            starting |= progress.state[lane] != RUNNING
    if starting:
        # Day 0, or a known day on which the equations switch and the slope may jump.
        inside(room, place)
        for lane in range(LANES):
            if patient[lane] < 0 or error[lane] > 1.0 or progress.state[lane] == RUNNING:
                continue
            for j in range(curves.shape[0]):
                value, slope = _curve(curves[j], lane, place)
                jumps = before[lane, j] > 0.0 and slope <= 0.0
                if progress.state[lane] == NEW or jumps:
                    _offer(gradient, value, j, room, lane, patient[lane], t, h, wanted, place,
                           found)  # fmt: skip
                before[lane, j] = slope
            progress.state[lane] = RUNNING
    if not looking:
        return
    whole = True
    for lane in range(LANES):
        place.fraction[lane] = 1.0
        if t[lane] + h[lane] > wanted.peak_until and h[lane] > 0.0:
            whole &= t[lane] >= wanted.peak_until
            place.fraction[lane] = max(0.0, (wanted.peak_until - t[lane]) / h[lane])
    if whole:
        at_end(room, place)
    else:
        inside(room, place)
    for lane in range(LANES):
        if patient[lane] < 0 or error[lane] > 1.0 or t[lane] >= wanted.peak_until:
            continue
        stop, moved = place.fraction[lane], False
        ends = t[lane] + h[lane] >= wanted.peak_until - _SAME_DAY
        for j in range(curves.shape[0]):
            if moved:
                place.fraction[lane] = stop
                inside(room, place)
            value, slope = _curve(curves[j], lane, place)
            if before[lane, j] > 0.0 and slope <= 0.0:
                value = _summit(inside, room, lane, t, h, curves[j], before[lane, j], slope, place)
                moved = True
                _offer(gradient, value, j, room, lane, patient[lane], t, h, wanted, place, found)
            elif ends and slope > 0.0:
                inside(room, place)  # which `gradient` builds on
                _offer(gradient, value, j, room, lane, patient[lane], t, h, wanted, place, found)
            before[lane, j] = slope


@compiled
def _summit(inside, room, lane, t, h, column, rising, falling, place):
    """Find where a slope goes through zero inside a step (regula falsi, Illinois)."""
    low, high, kept, value = 0.0, place.fraction[lane], 0, 0.0
    for _ in range(_MOST_STEPS):
        here = high - falling * (high - low) / (falling - rising)
        place.fraction[lane] = here
        inside(room, place)
        value, slope = _curve(column, lane, place)
        if abs(slope) < _FLAT:
            break
        if slope > 0.0:
            low, rising = here, slope
            falling = falling / 2.0 if kept == 1 else falling
            kept = 1
        else:
            high, falling = here, slope
            rising = rising / 2.0 if kept == -1 else rising
            kept = -1
    return value


@compiled
def _offer(gradient, value, j, room, lane, who, t, h, wanted, place, found):
    """Keep a maximum if it is the highest so far; ``inside`` has just been called there."""
    if value <= found.log_peak[who, j]:
        return
    found.log_peak[who, j] = value
    found.peak_day[who, j] = t[lane] + place.fraction[lane] * h[lane]
    gradient(room, place)
    column, n_par = wanted.curves[j], found.peak_jacobian.shape[2]
    n_out = place.out.shape[0] // (2 * LANES)
    for q in range(n_par):
        if column < n_out:
            found.peak_jacobian[who, j, q] = place.jacobian[(column * n_par + q) * LANES + lane]
            continue
        mixed = 0.0
        for i in range(n_out):
            share = exp(place.out[i * LANES + lane] - value)
            mixed += share * place.jacobian[(i * n_par + q) * LANES + lane]
        found.peak_jacobian[who, j, q] = mixed


@compiled
def _follow_areas(
    inside, gradient, room, patient, error, t, h, wanted, progress, place, found
):  # fmt: skip
    low, high = np.zeros(LANES), np.zeros(LANES)
    while True:
        adding = False
        for lane in range(LANES):
            low[lane] = high[lane] = t[lane]
            if patient[lane] < 0 or error[lane] > 1.0:
                continue
            if progress.cursor[lane] >= progress.last[lane]:
                continue
            end, day = t[lane] + h[lane], wanted.area_days[progress.cursor[lane]]
            low[lane] = max(t[lane], progress.reached[lane])
            high[lane] = max(low[lane], min(day, end))
            adding |= high[lane] > low[lane]
        if adding:
            _add_pieces(inside, gradient, low, high, room, t, h, progress, place)
        again = False
        for lane in range(LANES):
            if patient[lane] < 0 or error[lane] > 1.0:
                continue
            if progress.cursor[lane] >= progress.last[lane]:
                continue
            progress.reached[lane] = high[lane]
            day = wanted.area_days[progress.cursor[lane]]
            if day <= t[lane] + h[lane] + _SAME_DAY:
                _write_area(lane, progress, found)
                again |= progress.cursor[lane] < progress.last[lane]
        if not again:
            return


@compiled
def _write_area(lane, progress, found):
    """Write the area so far of one lane, and go on to its next day."""
    row = progress.cursor[lane]
    n_out, n_par = found.area_jacobian.shape[1:]
    for j in range(n_out):
        area = progress.area[j * LANES + lane]
        found.log_area[row, j] = log(area)
        for q in range(n_par):
            derivative = progress.area_jacobian[(j * n_par + q) * LANES + lane]
            found.area_jacobian[row, j, q] = derivative / area
    progress.cursor[lane] += 1


@compiled
def _add_pieces(inside, gradient, low, high, room, t, h, progress, place):
    """Add the area between two days of each lane's step, and its derivatives."""
    n_out = progress.area.shape[0] // LANES
    n_par = progress.area_jacobian.shape[0] // (n_out * LANES)
    _go_to(low, t, h, place)
    inside(room, place)
    for i in range(n_out * LANES):
        place.first_level[i] = place.out[i]
    _go_to(high, t, h, place)
    inside(room, place)
    range_of_level = 0.0
    for j in range(n_out):
        for lane in range(LANES):
            if high[lane] > low[lane]:
                change = place.out[j * LANES + lane] - place.first_level[j * LANES + lane]
                range_of_level = max(range_of_level, abs(change))
    panels = 1 + int(min(range_of_level, 1e3) / _PANEL_RANGE)
    here, part = np.zeros(LANES), np.zeros(LANES)
    for panel in range(panels):
        for m in range(_NODES.shape[0]):
            share = (panel + 0.5 + 0.5 * _NODES[m]) / panels
            for lane in range(LANES):
                here[lane] = low[lane] + share * (high[lane] - low[lane])
            _go_to(here, t, h, place)
            inside(room, place)
            gradient(room, place)
            for j in range(n_out):
                for lane in range(LANES):
                    width = 0.5 * _WEIGHTS[m] * (high[lane] - low[lane]) / panels
                    level = place.out[j * LANES + lane]
                    part[lane] = width * exp(level) if width > 0.0 else 0.0
                    progress.area[j * LANES + lane] += part[lane]
                for q in range(n_par):
                    first = (j * n_par + q) * LANES
                    for lane in range(LANES):
                        # A lane that adds nothing may hold what is not a number.
                        added = part[lane] * place.jacobian[first + lane]
                        progress.area_jacobian[first + lane] += added if part[lane] > 0.0 else 0.0


@compiled
def _go_to(day, t, h, place):
    for lane in range(LANES):
        place.fraction[lane] = (day[lane] - t[lane]) / h[lane] if h[lane] > 0.0 else 0.0


@compiled
def mark_failed_features(wanted, found, outcome, solved, not_finite):
    """Name a patient whose peak or area is not finite."""
    n_par = found.peak_jacobian.shape[2]
    for i in range(outcome.shape[0]):
        total = 0.0  # stays zero where all numbers are finite, and becomes NaN elsewhere
        for j in range(found.log_peak.shape[1]):
            total += 0.0 * found.log_peak[i, j]
            for q in range(n_par):
                total += 0.0 * found.peak_jacobian[i, j, q]
        for row in range(wanted.area_offsets[i], wanted.area_offsets[i + 1]):
            for j in range(found.log_area.shape[1]):
                total += 0.0 * found.log_area[row, j]
                for q in range(n_par):
                    total += 0.0 * found.area_jacobian[row, j, q]
        if outcome[i] == solved and total != 0.0:
            outcome[i] = not_finite
