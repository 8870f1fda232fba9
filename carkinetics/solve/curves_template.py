"""The solver's function `solve_curves`: log levels, areas and maxima, with their derivatives.

The code generator appends this file to ``loop_template.py`` where areas or maxima are asked for.
"""

# --- standing alone: begin ---
import numpy as np
from numba import njit

from carkinetics.solve import curve_features as features
from carkinetics.solve.loop_template import NOT_FINITE, SOLVED, blank_failures, integrate
from carkinetics.solve.queue import longest_first
from carkinetics.solve.stepper_template import N_OUT, N_PAR, N_STATE

# --- standing alone: end ---


@njit(cache=True, error_model="numpy", nogil=True)
def solve_curves(
    params, offsets, days, area_offsets, area_days, peak_until, curves, tolerance, max_steps
):  # fmt: skip
    """Integrate every patient; report log levels, areas and maxima with their derivatives.

    Parameters
    ----------
    params, offsets, days, tolerance, max_steps
        See `solve`; every patient has a day.
    area_offsets, area_days
        Days of each patient, after 0 and in rising order, up to which the area from day 0 is
        wanted [day].
    peak_until : float
        Day until which the maximum is looked for [day].
    curves : array of int, shape (curve,)
        Curves whose maximum is wanted: columns of the levels; the number after the last column is
        the total.

    Returns
    -------
    level, jacobian : array, shape (row, cell_type) and (row, cell_type, parameter)
        As in `solve`.
    log_area, area_jacobian : array, shape (area row, cell_type) and (..., parameter)
        Natural logarithm of the area, and its derivatives.
    log_peak, peak_jacobian : array, shape (patient, curve) and (..., parameter)
        Natural logarithm of the highest level, and its derivatives.
    peak_day : array, shape (patient, curve)
        First day of the highest level [day].
    outcome, steps : array of int, shape (patient,)
        As in `solve`.
    """
    n_patient, n_row = params.shape[0], days.shape[0]
    level, slope = np.empty((n_row, N_OUT)), np.empty((n_row, N_OUT))
    jacobian = np.empty((n_row, N_OUT, N_PAR))
    outcome, steps = np.zeros(n_patient, np.int64), np.zeros(n_patient, np.int64)
    wanted = features.Wanted(peak_until, curves, area_offsets, area_days)
    found = features.make_features(n_patient, N_OUT, N_PAR, wanted)
    queue = longest_first(offsets, days)
    integrate(
        params, offsets, days, queue, tolerance, max_steps, True,
        level, slope, jacobian, outcome, steps, wanted, found,
        # --- tape: begin ---
        np.empty((n_row, N_STATE + 1)),
        # --- tape: end ---
    )  # fmt: skip
    blank_failures(offsets, level, slope, jacobian, outcome)
    features.mark_failed_features(wanted, found, outcome, SOLVED, NOT_FINITE)
    return (
        level, jacobian, found.log_area, found.area_jacobian, found.log_peak,
        found.peak_jacobian, found.peak_day, outcome, steps,
    )  # fmt: skip
