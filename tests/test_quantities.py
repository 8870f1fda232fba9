"""Quantities of curves: checked against closed forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import interpolate, optimize, stats

from carkinetics.errors import DataError
from carkinetics.quantities import (
    QUANTITIES,
    Curve,
    auc,
    auc_to_onset,
    cmax,
    contraction_half_life,
    days_in,
    detectable,
    doubling_time,
    find_quantity,
    growth,
    kernel,
    level_at,
    level_at_total_peak,
    loss,
    mean_level,
    peak,
    persistence,
    share_at,
    share_at_total_peak,
    slope_to_onset,
    terminal_half_life,
    time_above,
    tmax,
)

FAMILIES = ["auc_0_28", "level_28", "detectable_28", "share_14", "slope_3_7"]
EVERY = [*QUANTITIES, *FAMILIES]
GRID = np.unique(np.concatenate([np.arange(0, 35, 0.25), np.arange(35, 181, 2.5)]))


def exponential(day=GRID, rate=0.1, start=100.0, limit=np.nan):
    """Build start * exp(-rate * day), for arrays of rates too."""
    rate = np.asarray(rate)[..., None]
    return Curve(day, np.log(start) - rate * day, -rate * np.ones_like(day), limit)


def stein(spacing=0.5):
    """Build the curve of A-05: Cmax 100, Tmax 14, doubling 1 d, alpha .2, F_B .01, beta .01."""
    before, after = np.arange(0, 14 + spacing / 2, spacing), np.arange(14, 28.1, spacing)
    fast, slow = 99 * np.exp(-0.2 * (after - 14)), np.exp(-0.01 * (after - 14))
    log_level = np.concatenate([np.log(100) + np.log(2) * (before - 14), np.log(fast + slow)])
    decline = -(0.2 * fast + 0.01 * slow) / (fast + slow)
    slope = np.concatenate([np.full(before.size, np.log(2)), decline])
    return Curve(np.concatenate([before, after]), log_level, slope)


def gated(day, gate=12.3, rho=0.9, alpha=0.3, width=0.25, level=250.0):
    """Build ln E = ln level + rho (t - gate) - (rho + alpha) w softplus((t - gate)/w)."""
    x = (day - gate) / width
    log_level = np.log(level) + rho * (day - gate) - (rho + alpha) * width * np.logaddexp(0, x)
    return Curve(day, log_level, rho - (rho + alpha) / (1 + np.exp(-np.clip(x, -700, 700))))


def two_cell_types():
    """Build CD4 and CD8 with gates of their own, and their total."""
    parts = [gated(GRID, 11.0, 0.8, 0.25, 0.25, 40.0), gated(GRID, 13.0, 0.95, 0.35, 0.25, 210.0)]
    level = np.exp([part.log_level for part in parts])
    slope = np.array([part.slope for part in parts])
    whole = level.sum(axis=0)
    of_total = (level * slope).sum(axis=0) / whole
    levels, slopes = np.log([*level, whole]), np.stack([*slope, of_total])
    return Curve(GRID, levels, slopes, 0.5, 90.0, 60.0, 8.5)


def test_a05_area_of_the_stein_curve_is_its_closed_form():
    """A-05, closed form; the kink on day 14 is a day given twice."""
    r0, rho = 100 * 2.0**-14, np.log(2)
    closed = r0 * np.expm1(rho * 14) / rho + 99 * -np.expm1(-2.8) / 0.2 - np.expm1(-0.14) / 0.01
    assert closed == pytest.approx(622.2238940, abs=5e-8)
    assert auc(stein()) == pytest.approx(closed, rel=1e-8)
    assert cmax(stein()) == pytest.approx(100, rel=1e-12)
    assert tmax(stein()) == 14.0


def test_exponential_curve_has_its_exact_area_in_any_window():
    """Closed form; windows begin and end between the days of the grid."""
    for start, end in [(0, 28), (0.1, 27.9), (3.33, 3.35), (30, 180)]:
        exact = 1000 * (np.exp(-0.1 * start) - np.exp(-0.1 * end))
        assert auc(exponential(), start, end) == pytest.approx(exact, rel=1e-9)


def test_area_is_exact_for_growth_over_long_pieces():
    """Closed form; pieces of 2.5 days at a doubling time of one day."""
    day, rho = np.arange(0, 31, 2.5), np.log(2)
    curve = Curve(day, rho * day, np.full(day.size, rho))
    assert auc(curve) == pytest.approx(np.expm1(28 * rho) / rho, rel=1e-9)


def test_peak_of_the_gated_curve_is_its_closed_form():
    """E peaks w ln(rho/alpha) after the gate, lower by exp(-(rho + alpha) w h).

    With days 0.25 apart, cutting the curve into cubics costs less than 1e-4 of ln Cmax.
    """
    gates, rho, alpha, width = np.linspace(10, 11, 21)[:, None], 0.9, 0.3, 0.25
    curve = gated(np.arange(0, 30, 0.25), gates, rho, alpha, width)
    p = alpha / (rho + alpha)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    exact = np.log(250) - (rho + alpha) * width * entropy
    assert np.log(cmax(curve)) == pytest.approx(np.full(21, exact), abs=1e-4)
    assert tmax(curve) == pytest.approx(gates[:, 0] + width * np.log(rho / alpha), abs=0.01)


def test_error_of_the_gated_peak_falls_with_the_fourth_power_of_the_spacing():
    errors = []
    for spacing in (0.2, 0.1):
        curve = gated(np.arange(0, 30, spacing), np.linspace(10, 11, 101)[:, None])
        fine = gated(np.arange(0, 30, 0.01), np.linspace(10, 11, 101)[:, None])
        errors.append(np.abs(np.log(cmax(curve) / cmax(fine))).max())
    assert errors[1] < errors[0] / 10


@pytest.mark.parametrize("bend", [-1.0, 1.0, 0.0])
@pytest.mark.parametrize("shift", [0.0, 1e-9, 0.3, 0.999])
def test_maximum_of_a_cubic_is_found_to_the_last_digits(bend, shift):
    """One piece that is a cubic: its maximum by a fine grid, its level to 1e-12."""
    day = np.array([0.0, 4.0])
    top = 1.0 + shift
    log_level = -((day - top) ** 2) / 10 + bend * (day - top) ** 3 / 100
    slope = -(day - top) / 5 + 3 * bend * (day - top) ** 2 / 100
    curve = Curve(day, log_level, slope)
    assert cmax(curve) == pytest.approx(1.0, rel=1e-12)
    assert tmax(curve) == pytest.approx(top, abs=1e-7)


def test_peak_at_either_end_is_found():
    assert tmax(exponential()) == 0
    assert tmax(exponential(rate=-0.01)) == GRID[-1]


def test_first_of_equal_peaks_counts():
    day = np.arange(5.0)
    assert tmax(Curve(day, [0, 1, 0, 1, 0.0], np.zeros(5))) == 1


@pytest.mark.parametrize("own_days", [False, True])
def test_peaks_and_levels_of_many_curves_are_those_of_their_cubics(own_days, monkeypatch):
    """Peaks by polynomial roots, as many curves at once as do not fit, one of them not finite."""
    monkeypatch.setattr(kernel, "_AT_ONCE", 40)
    rng = np.random.default_rng(4)
    level, slope = rng.normal(size=(2, 23, 8))
    level[5, 3] = np.nan
    days = np.cumsum(rng.uniform(0.2, 2.0, size=(23, 8) if own_days else 8), axis=-1)
    curves = Curve(days, level, slope)
    at = rng.uniform(days[..., :1].max(), days[..., -1:].min(), size=23)
    found, read = curves.peaks, np.log(level_at(curves, at))
    for i, day in enumerate(np.broadcast_to(days, level.shape)):
        if i == 5:
            assert np.isnan([*found[:, i], read[i]]).all()
            continue
        cubic = interpolate.CubicHermiteSpline(day, level[i], slope[i])
        places = np.concatenate([day, cubic.derivative().roots(extrapolate=False)])
        assert found[0, i] == pytest.approx(cubic(places).max(), abs=1e-12)
        assert found[1, i] == pytest.approx(places[cubic(places).argmax()], abs=1e-9)
        assert read[i] == pytest.approx(float(cubic(at[i])), abs=1e-12)


def test_level_between_days_is_that_of_the_curve():
    """Closed form of an exponential."""
    for day in (0, 0.01, 5.3, 100, 180):
        assert level_at(exponential(), day) == pytest.approx(100 * np.exp(-0.1 * day), rel=1e-12)


@pytest.mark.parametrize("limit", [0.5, 99.9, 1e-6])
def test_persistence_of_an_exponential_is_its_crossing(limit):
    """Closed form ln(start / limit) / rate."""
    exact = np.log(100 / limit) / 0.1
    found = loss(exponential(limit=limit))
    assert found.day == pytest.approx(min(exact, 180), rel=1e-12)
    assert found.censored == (exact > 180)


def test_persistence_is_zero_where_the_limit_is_never_exceeded():
    assert persistence(exponential(limit=101.0)) == 0
    assert not loss(exponential(limit=101.0)).censored


def test_persistence_is_censored_at_the_horizon_asked_for():
    """Closed form: crossing on day ln(200)/0.1 = 52.98."""
    curve = exponential(limit=0.5)
    assert loss(curve, 40.3).day == 40.3
    assert loss(curve, 40.3).censored
    assert loss(curve, 60.3).day == pytest.approx(np.log(200) / 0.1, rel=1e-12)


def test_last_of_several_crossings_counts():
    """By hand: straight pieces of ln level; up through 0 on day 2.5, down on day 3.5."""
    day = np.repeat(np.arange(5.0), 2)[1:-1]
    log_level = np.repeat([1, -1, -1, 1, -1.0], 2)[1:-1]
    slope = np.repeat([-2, 0, 2, -2.0], 2)
    assert persistence(Curve(day, log_level, slope, 1.0)) == pytest.approx(3.5, rel=1e-12)


def test_short_rise_above_the_limit_between_two_days_counts():
    """Closed form: ln level = 0.5 - (t - 2)^2 is above 0 until 2 + sqrt(0.5)."""
    day = np.array([0.0, 1.0, 3.0, 6.0])
    curve = Curve(day, 0.5 - (day - 2) ** 2, -2 * (day - 2), 1.0)
    assert persistence(curve) == pytest.approx(2 + np.sqrt(0.5), rel=1e-12)


def test_detectability_compares_the_level_with_the_limit():
    """Closed form: 100 exp(-2.8) = 6.08."""
    assert detectable(exponential(limit=6.0), 28) == 1
    assert detectable(exponential(limit=6.2), 28) == 0
    assert np.isnan(detectable(exponential(), 28))


def test_many_curves_at_once_agree_with_one_at_a_time():
    rates, limits = np.array([[0.05, 0.1, 0.2], [0.3, 0.4, 0.5]]), np.array([0.5, 1.0, 2.0])
    together = exponential(rate=rates, limit=limits)
    assert cmax(together).shape == auc(together).shape == persistence(together).shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        alone = exponential(rate=rates[i, j], limit=limits[j])
        assert auc(together)[i, j] == pytest.approx(auc(alone), rel=1e-13)
        assert persistence(together)[i, j] == pytest.approx(persistence(alone), rel=1e-13)
        assert detectable(together, 28)[i, j] == detectable(alone, 28)


def test_curves_may_have_days_of_their_own():
    """Two gates, each with a grid around it; the same peak in both."""
    gates = np.array([[9.0], [15.0]])
    day = np.concatenate([np.zeros((2, 1)), gates + np.linspace(-2, 2, 81), [[180.0], [180.0]]], 1)
    curve = gated(day, gates)
    assert np.diff(cmax(curve)) == pytest.approx(0, abs=1e-9)
    assert np.diff(tmax(curve)) == pytest.approx(6, abs=1e-9)
    assert loss(Curve(curve.day, curve.log_level, curve.slope, 1e-9), 20.0).day.tolist() == [20, 20]


@pytest.mark.parametrize("name", EVERY)
def test_curve_that_is_not_finite_has_no_quantity(name):
    log_level = np.log([[1.0, 10, 5], [1, np.nan, 5], [1, 10, np.inf]])[:, None, :]
    slope = np.broadcast_to([0.1, 0.0, -0.1], log_level.shape)
    curve = Curve([0.0, 10, 30], log_level, slope, 2.0, None, 25.0, 9.0)
    values = find_quantity(name).compute(curve)
    assert np.isnan(values).tolist() == [[False], [True], [True]]
    assert curve.unusable.tolist() == [[False], [True], [True]]


@pytest.mark.parametrize("name", EVERY)
def test_a11_quantities_scale_with_the_unit(name):
    """A-11: levels and areas by the factor; days, rates and shares not at all."""
    quantity, curve = find_quantity(name), two_cell_types()
    per_ul = dataclasses.replace(curve, limit=0.5)
    per_ml = dataclasses.replace(curve, log_level=curve.log_level + np.log(1000), limit=500.0)
    factor = 1000 if quantity.kind in ("level", "area") else 1
    expected = factor * quantity.compute(per_ul)
    assert quantity.compute(per_ml) == pytest.approx(expected, rel=1e-11)


def test_estimated_slopes_come_close():
    """Left out, slopes are estimated; the peak of the gated curve moves by less than 1 %."""
    curve = gated(np.arange(0, 30, 0.25))
    assert cmax(Curve(curve.day, curve.log_level)) == pytest.approx(cmax(curve), rel=0.01)


def test_window_outside_the_curve_is_refused():
    for ask in (lambda c: auc(c, 0, 200), lambda c: level_at(c, 181), lambda c: loss(c, 365)):
        with pytest.raises(DataError, match="days 0 to 180"):
            ask(exponential(limit=0.5))


@pytest.mark.parametrize("name", ["cmx", "auc_28_0", "auc_28", "detectable"])
def test_unknown_quantity_is_refused_with_the_choices(name):
    with pytest.raises(DataError, match="persistence"):
        find_quantity(name)


def test_every_quantity_says_what_it_is():
    for name in [*EVERY, "time_above_5"]:
        quantity = find_quantity(name)
        assert 0 < len(quantity.code) <= 8
        assert len(quantity.label) <= 40
        assert quantity.name == name
        assert quantity.label
        assert quantity.definition.endswith(".")
        assert quantity.source
    assert find_quantity("auc_0_28").cdisc == "AUCINT"
    assert peak(exponential())[0] == cmax(exponential())


# Rates, subsets, onset.


def test_a06_typical_patient_of_stein_has_the_published_quantities():
    """Published: AUC0-28 171,774, level on day 28 1,373.6, doubling time 0.7796 day."""
    fold, tmax_day, top, alpha, share, beta = 3900.0, 9.3, 24_000.0, 0.16, 0.0079, 0.0032
    rho = np.log(fold) / tmax_day
    before, after = np.linspace(0, tmax_day, 40), np.linspace(tmax_day, 100, 400)
    fast = (1 - share) * np.exp(-alpha * (after - tmax_day))
    slow = share * np.exp(-beta * (after - tmax_day))
    log_level = np.log(top) + np.concatenate([rho * (before - tmax_day), np.log(fast + slow)])
    decline = -(alpha * fast + beta * slow) / (fast + slow)
    curve = Curve(
        np.concatenate([before, after]), log_level,
        np.concatenate([np.full(before.size, rho), decline]), 50.0,
    )  # fmt: skip
    assert auc(curve) == pytest.approx(171_774, rel=1e-4)
    assert level_at(curve, 28) == pytest.approx(1373.6, rel=1e-4)
    assert doubling_time(curve) == pytest.approx(0.7796, rel=1e-4)
    assert doubling_time(curve) == pytest.approx(np.log(2) / rho, rel=1e-10)
    steepest = (1 - share) * alpha + share * beta  # right after the peak
    assert contraction_half_life(curve) == pytest.approx(np.log(2) / steepest, rel=1e-9)


def test_half_lives_of_two_phases_are_not_pooled():
    """Closed form: the decline at the horizon, 100 days after the peak, is all slow."""
    day = np.linspace(0, 150, 1501)
    fast, slow = 99 * np.exp(-0.5 * day), np.exp(-0.01 * day)
    curve = Curve(day, np.log(fast + slow), -(0.5 * fast + 0.01 * slow) / (fast + slow))
    assert terminal_half_life(curve) == pytest.approx(np.log(2) / 0.01, rel=1e-6)
    assert contraction_half_life(curve) == pytest.approx(np.log(2) / 0.4951, rel=1e-6)


def test_what_does_not_rise_or_fall_has_no_doubling_time_or_half_life():
    assert np.isnan(doubling_time(exponential()))
    assert np.isnan(terminal_half_life(exponential(rate=-0.01)))
    assert np.isnan(contraction_half_life(exponential(rate=-0.01)))


@pytest.mark.parametrize("limit", [60.0, 5.0, 0.02])
def test_time_above_a_limit_is_what_lies_between_its_crossings(limit):
    """Roots of the gated curve by SciPy, on either side of the peak."""
    curve = dataclasses.replace(gated(np.arange(0, 60, 0.05)), limit=limit)

    def height(day):
        return float(gated(np.array([day, day + 1.0])).log_level[0]) - np.log(limit)

    top = float(tmax(curve))
    first = optimize.brentq(height, 0, top) if height(0.0) < 0 else 0.0
    last = optimize.brentq(height, top, 59.9)
    assert time_above(curve) == pytest.approx(last - first, abs=1e-3)
    assert time_above(curve, limit) == time_above(curve)
    assert persistence(curve) == pytest.approx(last, abs=1e-3)


def test_time_above_counts_every_stay_above():
    """By hand: above 1 for one day around day 0, and for one day around day 3."""
    day = np.repeat(np.arange(5.0), 2)[1:-1]
    log_level = np.repeat([1, -1, -1, 1, -1.0], 2)[1:-1]
    curve = Curve(day, log_level, np.repeat([-2, 0, 2, -2.0], 2), 1.0)
    assert time_above(curve) == pytest.approx(1.5, rel=1e-12)


def test_mean_level_is_the_area_over_the_observed_time():
    curve = dataclasses.replace(exponential(), last_sample=20.0)
    assert mean_level(curve) == pytest.approx(100 * -np.expm1(-2.0) / 2, rel=1e-9)
    assert np.isnan(mean_level(exponential()))


def test_subsets_are_read_at_the_peak_of_the_total():
    """Own peak is never below the level at the total's peak, and the shares add up to one."""
    curve = two_cell_types()
    at_total = level_at_total_peak(curve)
    assert at_total[-1] == pytest.approx(cmax(curve)[-1], rel=1e-10)
    assert (cmax(curve) >= at_total * (1 - 1e-12)).all()
    assert cmax(curve)[0] > 1.2 * at_total[0]
    # Each curve is a cubic of its own between the days.
    assert share_at_total_peak(curve)[:2].sum() == pytest.approx(1.0, abs=1e-5)
    assert share_at(curve, 14)[-1] == 1.0


def test_exposure_before_onset_stops_at_the_onset():
    curve = dataclasses.replace(exponential(rate=-0.3, start=1.0), onset=6.0)
    assert auc_to_onset(curve) == pytest.approx(np.expm1(1.8) / 0.3, rel=1e-9)
    assert slope_to_onset(curve) == pytest.approx(0.3, rel=1e-10)
    assert np.isnan(auc_to_onset(exponential()))
    assert growth(curve, 2.0, 5.0) == pytest.approx(0.3, rel=1e-10)


@pytest.mark.parametrize(("df", "law"), [(np.inf, stats.norm()), (4.0, stats.t(4))])
def test_sample_is_quantifiable_with_the_error_of_its_assay(df, law):
    """By hand: ln(level / limit) / SD in the distribution of the error."""
    curve = dataclasses.replace(exponential(limit=5.0), assay_sd=0.5, assay_df=df)
    expected = law.cdf((np.log(100 / 5) - 2.8) / 0.5)
    found = find_quantity("quantifiable_28").compute(curve)
    assert found == pytest.approx(expected, rel=1e-9)
    assert detectable(curve, 28) == 1


def test_error_bound_holds_for_the_cubics():
    """The estimate is no smaller than the error found on a fine grid, and not ten times larger."""
    gates = np.linspace(10, 11, 21)[:, None]
    for spacing in (0.25, 0.1):
        curve = gated(np.arange(0, 30, spacing), gates)
        days = np.linspace(5, 20, 1501)
        exact = gated(days, gates).log_level
        found = np.stack([np.log(level_at(curve, day)) for day in days], axis=-1)
        error = np.abs(found - exact).max(axis=-1)
        assert (curve.error_bound >= 0.9 * error).all()
        assert (curve.error_bound <= 10 * error).all()


def test_shifted_time_shifts_days_and_nothing_else():
    curve = two_cell_types()
    later = dataclasses.replace(
        curve, day=curve.day + 3, horizon=93.0, last_sample=np.nan, onset=np.nan
    )
    for name in ("cmax", "doubling_time", "contraction_half_life", "share_at_total_peak"):
        compute = find_quantity(name).compute
        assert compute(later) == pytest.approx(compute(curve), rel=1e-9)
    assert tmax(later) == pytest.approx(tmax(curve) + 3, abs=1e-9)
    assert persistence(later) == pytest.approx(persistence(curve) + 3, abs=1e-9)
    assert auc(later, 3, 31) == pytest.approx(auc(curve, 0, 28), rel=1e-12)


def test_name_that_is_nearly_right_is_suggested():
    with pytest.raises(DataError, match="did you mean 'doubling_time'"):
        find_quantity("doubling_tim")


def test_days_are_read_from_names():
    assert days_in("auc_0_28") == (0.0, 28.0)
    assert days_in("slope_3.5_7") == (3.5, 7.0)
    assert days_in("time_above_5") == days_in("cmax") == ()
