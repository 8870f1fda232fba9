"""Quantities of curves: checked against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from carkinetics.errors import DataError
from carkinetics.quantities import (
    QUANTITIES,
    Curve,
    auc,
    cmax,
    detectable,
    find_quantity,
    level_at,
    loss,
    peak,
    persistence,
    tmax,
)

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


def test_area_of_the_stein_curve_is_its_closed_form():
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


def test_curve_cut_between_days_keeps_its_values():
    curve = gated(GRID).until(20.1)
    assert level_at(curve, 20.1) == pytest.approx(level_at(gated(GRID), 20.1), rel=1e-13)
    assert auc(curve, 0, 20.1) == pytest.approx(auc(gated(GRID), 0, 20.1), rel=1e-13)
    assert curve.day.max() == 20.1


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
    assert curve.until(20.0).day.max() == 20


@pytest.mark.parametrize("name", [*QUANTITIES, "auc_0_28", "level_28", "detectable_28"])
def test_curve_that_is_not_finite_has_no_quantity(name):
    log_level = np.log([[1.0, 10, 5], [1, np.nan, 5], [1, 10, np.inf]])
    curve = Curve([0.0, 10, 30], log_level, np.zeros((3, 3)), 2.0)
    values = find_quantity(name).compute(curve)
    assert np.isnan(values).tolist() == [False, True, True]
    assert curve.unusable.tolist() == [False, True, True]


@pytest.mark.parametrize("name", [*QUANTITIES, "auc_0_28", "level_28", "detectable_28"])
def test_quantities_scale_with_the_unit(name):
    """A-11: levels and areas by the factor, days and probabilities not at all."""
    quantity, curve = find_quantity(name), gated(GRID)
    per_ul = Curve(GRID, curve.log_level, curve.slope, 0.5)
    per_ml = Curve(GRID, curve.log_level + np.log(1000), curve.slope, 500.0)
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
    for name in [*QUANTITIES, "auc_0_28", "level_90", "detectable_180"]:
        quantity = find_quantity(name)
        assert quantity.name == name
        assert quantity.label
        assert quantity.definition.endswith(".")
        assert quantity.source
    assert find_quantity("auc_0_28").cdisc == "AUCINT"
    assert peak(exponential())[0] == cmax(exponential())
