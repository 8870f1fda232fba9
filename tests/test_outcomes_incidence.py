"""Competing risks, restricted means, follow-up, Weibull hazards, exposure so far."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from carkinetics.errors import DataError
from carkinetics.outcomes import (
    causes_of_progression,
    concordance_index,
    cox,
    cox_so_far,
    cumulative_incidence,
    follow_up,
    kaplan_meier,
    log_rank,
    permuted_log_rank,
    restricted_mean,
    restricted_mean_difference,
    weibull_hazards,
)

ROSSI = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]


@pytest.fixture(scope="module")
def rossi(reference):
    return pd.read_csv(reference / "rossi.csv")


# Cumulative incidence.


def test_c08_aalen_johansen_of_five_patients():
    found = cumulative_incidence([1, 2, 3, 4, 5], [1, 2, 1, 0, 2])
    assert found.at(3, 1) == pytest.approx(0.40, abs=1e-12)
    assert found.at(5, 2) == pytest.approx(0.60, abs=1e-12)
    total = found.incidence.sum(axis=0) + found.survival
    assert total == pytest.approx(np.ones(5), abs=1e-12)
    assert found.at(0.5, 1) == 0


def test_c09_competing_deaths_lower_the_incidence_of_progression(synthetic):
    table = causes_of_progression(synthetic)
    assert table["cause"].value_counts().to_dict() == {1: 11, 0: 3, 2: 2}
    share, low, high = cumulative_incidence(table["day"], table["cause"]).interval_at(180, 1)
    assert share == pytest.approx(0.679924, abs=1e-6)
    assert 0 < low < share < high < 1
    alone = kaplan_meier(table["day"], table["cause"] == 1)
    assert 1 - alone.at(180) == pytest.approx(0.778409, abs=1e-6)


def test_incidence_and_standard_errors_agree_with_statsmodels():
    survfunc = pytest.importorskip("statsmodels.duration.survfunc")
    rng = np.random.default_rng(5)
    time = rng.exponential(100, 60).round() + 1
    cause = rng.integers(0, 3, 60)
    cause[np.argmax(time)] = 0  # theirs divides by zero where the last patient has an event
    theirs = survfunc.CumIncidenceRight(time, cause)
    ours = cumulative_incidence(time, cause)
    days = np.searchsorted(ours.day, theirs.times)
    for row in range(2):
        assert ours.incidence[row][days] == pytest.approx(theirs.cinc[row], abs=1e-12)
        assert ours.standard_error[row][days] == pytest.approx(theirs.cinc_se[row], abs=1e-12)


def test_incidence_without_competitors_is_one_minus_kaplan_meier():
    rng = np.random.default_rng(6)
    time, event = rng.exponential(50, 30), rng.integers(0, 2, 30)
    alone = kaplan_meier(time, event)
    assert cumulative_incidence(time, event).incidence[0] == pytest.approx(1 - alone.survival)


def test_incidence_of_nobody_is_refused_and_of_no_event_is_zero():
    with pytest.raises(DataError, match="there are no patients"):
        cumulative_incidence([], [])
    found = cumulative_incidence([3, 5], [0, 0])
    assert (found.causes, found.at(5, 1)) == ((), 0.0)


# Restricted means and follow-up.


def test_restricted_mean_without_censoring_is_a_mean():
    time = np.array([10.0, 50, 90, 200, 400])
    cut = np.minimum(time, 180)
    found = restricted_mean(time, np.ones(5), horizon=180)
    assert found.estimate == pytest.approx(cut.mean())
    # Greenwood's variance is then that of the mean, with n in place of n - 1.
    assert found.standard_error == pytest.approx(cut.std() / np.sqrt(5))


def test_a_restricted_mean_beyond_follow_up_is_missing_with_a_reason():
    found = restricted_mean([10, 20, 30], [1, 0, 0], horizon=180)
    assert np.isnan(found.estimate)
    assert found.reason == "nobody was followed to day 180 (last day 30)"
    with pytest.raises(DataError, match="horizon is 0"):
        restricted_mean([10], [1], horizon=0)


def test_difference_of_restricted_means_flips_with_the_groups():
    rng = np.random.default_rng(8)
    time, event = rng.exponential(100, 40), np.ones(40)
    group = np.arange(40) % 2 == 0
    one = restricted_mean_difference(time, event, group, horizon=60)
    other = restricted_mean_difference(time, event, ~group, horizon=60)
    assert one.estimate == pytest.approx(-other.estimate)
    assert one.p_value == pytest.approx(other.p_value)
    alone = restricted_mean_difference(time, event, np.ones(40), horizon=60)
    assert alone.reason == "there is one group only"


def test_c06_follow_up_is_told_both_ways(synthetic):
    patients = synthetic.patients
    found = follow_up(patients["os_day"], patients["died"])
    assert (found.observed_median, found.reverse_median) == (523, 934)
    with pytest.raises(DataError, match="there are no patients"):
        follow_up([], [])


# Log-rank by permutation.


def test_permuted_log_rank_counts_every_assignment():
    time, event = [3, 5, 5, 8, 9, 12, 15], [1, 1, 0, 1, 1, 0, 1]
    group = np.array([1, 1, 0, 0, 1, 0, 0], dtype=bool)
    found, kind = permuted_log_rank(time, event, group)
    assert kind == "exact permutation"

    def numerator(some):
        # Observed less expected events, by hand.
        total = 0.0
        for day in sorted({t for t, e in zip(time, event, strict=True) if e}):
            risk = [i for i, t in enumerate(time) if t >= day]
            struck = [i for i in risk if time[i] == day and event[i]]
            total += sum(i in some for i in struck)
            total -= len(struck) * sum(i in some for i in risk) / len(risk)
        return total

    every = [numerator(some) for some in itertools.combinations(range(7), 3)]
    far = np.abs(every) >= abs(numerator(tuple(np.flatnonzero(group)))) - 1e-9
    assert found.p_value == pytest.approx(far.mean())
    assert found.chi2 == log_rank(time, event, group).chi2


def test_permuted_log_rank_says_why_it_cannot_be_made():
    found, kind = permuted_log_rank([1, 2], [0, 0], [True, False])
    assert (found.reason, kind) == ("there is no event", "")


# Hazards.


def test_c03_concordance_of_rossi(rossi):
    fitted = cox(rossi["week"], rossi["arrest"], rossi[ROSSI])
    risk = rossi[ROSSI].to_numpy() @ fitted.coefficients
    assert concordance_index(rossi["week"], rossi["arrest"], risk) == pytest.approx(
        0.64033, abs=1e-5
    )
    assert np.isnan(concordance_index([1, 2], [0, 0], [1, 2]))


def test_c04_weibull_hazards_of_rossi(rossi):
    found = weibull_hazards(rossi["week"], rossi["arrest"], rossi[ROSSI])
    shape = np.exp(found.intercepts[1])
    assert shape == pytest.approx(1.403688, abs=1e-5)
    assert found.loglik == pytest.approx(-679.91656, abs=1e-4)
    hazards = [-0.38205, -0.05715, 0.31556, -0.14956, -0.43691, -0.08257, 0.09239]
    assert found.coefficients == pytest.approx(hazards, abs=5e-5)
    accelerated = [0.27217, 0.04071, -0.22481, 0.10655, 0.31126, 0.05882, -0.06582]
    assert -found.coefficients / shape == pytest.approx(accelerated, abs=2e-5)
    assert found.intercepts[0] == pytest.approx(3.99012, abs=1e-4)


def test_weibull_hazards_with_shape_1_are_exponential_and_forget_the_start():
    """Exponential times have no memory: left truncation at day 10 leaves events per day."""
    rng = np.random.default_rng(9)
    x = rng.normal(0, 1, 400)
    time = rng.exponential(100 * np.exp(-0.5 * x)) + 10
    found = weibull_hazards(time, np.ones(400), x, entry=np.full(400, 10.0))
    # Four standard errors: false alarm 6e-5.
    assert abs(found.coefficients[0] - 0.5) < 4 * found.standard_errors[0]
    assert found.lower[0] < found.coefficients[0] < found.upper[0]
    late = weibull_hazards([5.0, 6.0, 7.0], [1, 1, 1], [1.0, 3.0, 2.0], entry=[5.0, 0.0, 0.0])
    assert late.reason == "a patient's time is not after the start of risk"


def test_an_exposure_that_never_changes_gives_the_ordinary_cox_model():
    rng = np.random.default_rng(10)
    x, time = rng.normal(0, 1, 20), np.ceil(rng.exponential(30, 20))
    event = rng.random(20) < 0.7
    plain = cox(time, event, x)
    half = time / 2
    start, stop = np.concatenate([np.zeros(20), half]), np.concatenate([half, time])
    ends = np.concatenate([np.zeros(20, dtype=bool), event])
    found = cox_so_far(start, stop, ends, np.concatenate([x, x]))
    assert found.coefficients[0] == pytest.approx(plain.coefficients[0], abs=1e-6)
    assert found.p_values[0] == pytest.approx(plain.p_values[0], abs=1e-8)
    assert found.lower[0] == pytest.approx(plain.lower[0], abs=1e-5)


def test_an_exposure_so_far_is_that_of_the_day_of_the_event():
    """Two patients at risk: the partial likelihood by hand."""
    start, stop = [0.0, 4.0, 0.0], [4.0, 9.0, 6.0]
    event, x = [False, False, True], [0.0, 2.0, 1.0]
    found = cox_so_far([*start, 0.0], [*stop, 9.0], [*event, True], [*x, 0.5])
    # Day 6: at risk x = 2 (second span), 1 (struck), 0.5; day 9: 2 and 0.5 (struck).
    at = np.linspace(-6, 6, 200_001)
    loglik = at - np.log(np.exp(2 * at) + np.exp(at) + np.exp(0.5 * at))
    loglik += 0.5 * at - np.log(np.exp(2 * at) + np.exp(0.5 * at))
    assert found.coefficients[0] == pytest.approx(at[loglik.argmax()], abs=1e-3)


@pytest.mark.parametrize(
    ("event", "x", "reason"),
    [
        ([0, 0], [1.0, 2.0], "there is no event"),
        ([1, 0], [1.0, 1.0], "the exposure is the same in all patients at risk when events occur"),
        ([1, 0], [2.0, 1.0], "every event strikes the highest (or the lowest) exposure at risk"),
    ],
)
def test_an_exposure_so_far_without_a_ratio_gives_a_reason(event, x, reason):
    found = cox_so_far([0, 0], [5, 6], event, x)
    assert (found.reason, np.isnan(found.p_values[0])) == (reason, True)


def test_the_drawn_log_rank_agrees_with_its_chi_square_for_many_patients():
    rng = np.random.default_rng(11)
    time, group = rng.exponential(100, 60), np.arange(60) < 20
    found, kind = permuted_log_rank(time, np.ones(60), group)
    assert kind == "permutation (20,000 draws)"
    # Five standard errors of the draws and 0.02 for the approximation: false alarm 6e-7.
    assert abs(found.p_value - stats.chi2.sf(found.chi2, 1)) < 5 * 0.0036 + 0.02
