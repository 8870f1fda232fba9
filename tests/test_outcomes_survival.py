"""Time to an event: Kaplan-Meier, log-rank, Cox, and Cox after Firth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from carkinetics.errors import DataError
from carkinetics.outcomes import cox, firth_cox, is_monotone, kaplan_meier, log_rank


def freireich():
    """Return day (weeks there), event and placebo indicator of Freireich's trial."""
    treated = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    event = np.repeat([1, 0, 1], [9, 12, 21])
    return np.array(treated + placebo, float), event, np.repeat([0, 1], 21)


# Kaplan-Meier and log-rank.


def test_c01_kaplan_meier_of_freireich():
    time, event, placebo = freireich()
    treated = kaplan_meier(time[placebo == 0], event[placebo == 0])
    assert treated.median == 23
    assert treated.at(10) == pytest.approx(0.752941, abs=1e-6)
    assert treated.at(23) == pytest.approx(0.448179, abs=1e-6)
    assert treated.at(0) == 1
    assert kaplan_meier(time[placebo == 1], event[placebo == 1]).median == 8


def test_c01_log_rank_of_freireich():
    found = log_rank(*freireich())
    assert found.chi2 == pytest.approx(16.792941, abs=1e-6)
    assert found.p_value == pytest.approx(4.168809e-5, rel=1e-5)


def test_c05_waltons(reference):
    data = pd.read_csv(reference / "waltons.csv")
    for group, median in (("miR-137", 26), ("control", 58)):
        some = data[data["group"] == group]
        assert kaplan_meier(some["T"], some["E"]).median == median
    assert log_rank(data["T"], data["E"], data["group"]).chi2 == pytest.approx(122.2491, abs=1e-3)


PFS = {
    "log-log": (31, 119),
    "log": (42, 523),
    "plain": (42, 119),
    "logit": (31, 119),
    "arcsine": (42, 119),
}
OS = {
    "log-log": (108, np.inf),
    "log": (151, np.inf),
    "plain": (151, np.inf),
    "logit": (108, np.inf),
    "arcsine": (151, np.inf),
}


@pytest.mark.parametrize("transform", PFS)
def test_c06_medians_of_the_synthetic_cohort(synthetic, transform):
    patients = synthetic.patients
    pfs = kaplan_meier(patients["pfs_day"], patients["pfs_event"], transform=transform)
    assert (pfs.median, pfs.median_lower, pfs.median_upper) == (77, *PFS[transform])
    os = kaplan_meier(patients["os_day"], patients["died"], transform=transform)
    assert (os.median, os.median_lower, os.median_upper) == (523, *OS[transform])
    assert not pfs.flat_at_half


def test_c06_follow_up_of_the_synthetic_cohort(synthetic):
    patients = synthetic.patients
    assert patients["os_day"].median() == 523
    assert kaplan_meier(patients["os_day"], ~patients["died"].astype(bool)).median == 934


def test_c07_a_flat_stretch_at_one_half_is_flagged():
    found = kaplan_meier([*range(1, 9), *[20] * 8], [1] * 8 + [0] * 8)
    assert (found.median, found.flat_at_half) == (8, True)
    assert not kaplan_meier([1, 2, 3], [1, 1, 1]).flat_at_half


def test_a_median_that_is_not_reached_is_infinite():
    found = kaplan_meier([5, 6, 7, 8], [1, 0, 0, 0])
    assert (found.median, found.median_upper) == (np.inf, np.inf)


def test_an_unknown_transform_and_an_empty_table_are_refused():
    with pytest.raises(DataError, match=r"'loglog' is unknown\n.*Choose from log-log, log, plain"):
        kaplan_meier([1, 2], [1, 1], transform="loglog")
    with pytest.raises(DataError, match="there are no patients"):
        kaplan_meier([], [])


@pytest.mark.parametrize(
    ("event", "group", "reason"),
    [
        ([1, 1, 1], [0, 0, 0], "there is one group only"),
        ([0, 0, 0], [0, 0, 1], "there is no event"),
        ([0, 0, 1], [1, 0, 0], "no event comes while all groups are at risk"),
    ],
)
def test_a_log_rank_that_cannot_be_made_gives_a_reason(event, group, reason):
    found = log_rank([1.0, 2.0, 3.0], event, group)
    assert (np.isnan(found.p_value), found.reason) == (True, reason)


# Cox.


def test_c02_cox_of_freireich_by_ties():
    time, event, placebo = freireich()
    assert cox(time, event, placebo).coefficients[0] == pytest.approx(1.572125, abs=1e-6)
    breslow = cox(time, event, placebo, ties="breslow")
    assert breslow.coefficients[0] == pytest.approx(1.509191, abs=1e-6)
    exact = cox(time, event, placebo, ties="exact")
    assert exact.coefficients[0] == pytest.approx(1.62824, abs=1e-5)


def test_exact_ties_are_a_conditional_logistic_regression_of_every_day():
    """statsmodels, one group of patients at risk per day; time is in days counted whole."""
    discrete = pytest.importorskip("statsmodels.discrete.conditional_models")
    rng = np.random.default_rng(9)
    x = rng.normal(2, 3, 14)
    time, event = np.ceil(rng.exponential(3, 14)), rng.random(14) < 0.8
    groups = [(day, time >= day) for day in np.unique(time[event])]
    # A day on which all at risk are struck says nothing of the covariate; theirs warns of it.
    groups = [(d, r) for d, r in groups if event[r][time[r] == d].sum() < r.sum()]
    struck = np.concatenate([event[risk] & (time[risk] == day) for day, risk in groups])
    theirs = discrete.ConditionalLogit(
        struck.astype(float),
        np.concatenate([x[risk] for _, risk in groups])[:, None],
        groups=np.concatenate([np.full(risk.sum(), day) for day, risk in groups]),
    ).fit(disp=0)
    ours = cox(time, event, x, ties="exact")
    assert ours.coefficients[0] == pytest.approx(theirs.params[0], abs=1e-5)
    assert ours.standard_errors[0] == pytest.approx(theirs.bse[0], rel=1e-3)
    assert ours.lower[0] < ours.coefficients[0] < ours.upper[0]
    assert (ours.n, ours.n_events) == (14, int(event.sum()))


def test_exact_ties_without_any_are_those_of_efron():
    time, event, x = np.arange(1.0, 9), [1, 1, 0, 1, 1, 1, 0, 1], [3.0, 1, 2, 4, 1, 0, 2, 1]
    one, other = cox(time, event, x), cox(time, event, x, ties="exact")
    for name in ("coefficients", "standard_errors", "lower", "upper", "p_values"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4)
    assert one.loglik == pytest.approx(other.loglik, abs=1e-8)


def test_exact_ties_take_one_covariate_and_an_unknown_way_is_refused():
    x = np.array([[1.0, 2], [2, 1], [3, 3], [0, 1]])
    found = cox([1, 2, 3, 4], [1, 1, 1, 0], x, ties="exact")
    assert found.reason == "the exact treatment of ties takes one covariate"
    with pytest.raises(DataError, match=r"ties is 'exakt'\n.*efron, breslow, exact"):
        cox([1, 2, 3, 4], [1, 1, 1, 0], x, ties="exakt")


def test_c03_cox_of_rossi(reference):
    data = pd.read_csv(reference / "rossi.csv")
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    found = cox(data["week"], data["arrest"], data[names])
    expected = [-0.379422, -0.057438, 0.313900, -0.149796, -0.433704, -0.084871, 0.091497]
    assert found.coefficients == pytest.approx(expected, abs=1e-5)
    errors = [0.191379, 0.021999, 0.307993, 0.212224, 0.381868, 0.195757, 0.028649]
    assert found.standard_errors == pytest.approx(errors, abs=1e-5)
    assert found.loglik == pytest.approx(-658.747659, abs=1e-5)
    assert (found.n, found.n_events) == (432, 114)


def test_cox_limits_and_p_come_from_the_partial_likelihood():
    """Partial likelihood written out for five patients without ties."""
    x, event = np.array([2.0, 1.0, 3.0, 0.5, 1.5]), np.array([1, 1, 0, 1, 1])
    found = cox([1, 2, 3, 4, 5], event, x)

    def loglik(b):
        return sum(b * x[i] - np.log(np.exp(b * x[i:]).sum()) for i in range(5) if event[i])

    top = loglik(found.coefficients[0])
    assert found.loglik == pytest.approx(top, abs=1e-9)
    assert found.p_values[0] == pytest.approx(stats.chi2.sf(2 * (top - loglik(0.0)), 1), abs=1e-9)
    for limit in (found.lower[0], found.upper[0]):
        assert top - loglik(limit) == pytest.approx(stats.chi2.ppf(0.95, 1) / 2, abs=1e-6)


def test_cox_finds_its_maximum_beside_a_patient_far_below_the_others():
    rng = np.random.default_rng(1)
    for _ in range(10):
        x = rng.normal(4, 1, 32)
        x[rng.integers(32)] = -20
        found = cox(rng.exponential(100, 32), rng.random(32) < 0.5, x)
        assert found.lower[0] < found.coefficients[0] < found.upper[0]


def test_monotone_likelihood_is_found_and_refused():
    x = [4.0, 3.0, 2.0, 1.0]
    assert is_monotone([1, 2, 3, 4], [1, 1, 0, 0], x)
    assert not is_monotone([1, 2, 3, 4], [1, 1, 0, 0], [3.0, 4.0, 2.0, 1.0])
    found = cox([1, 2, 3, 4], [1, 1, 0, 0], x)
    assert "monotone likelihood" in found.reason
    assert np.isnan(found.coefficients[0])
    firth = firth_cox([1, 2, 3, 4], [1, 1, 0, 0], x)
    assert np.isfinite([firth.coefficients[0], firth.lower[0], firth.upper[0]]).all()


@pytest.mark.parametrize("fit", [cox, firth_cox])
@pytest.mark.parametrize(
    ("time", "event", "x", "reason"),
    [
        ([1, 2, 3], [0, 0, 0], [1.0, 2, 3], "there is no event among 3 patients"),
        ([1, 2, 3], [1, 1, 1], [2.0, 2, 2], "the exposure is the same in all patients"),
        ([1, 2, 3], [0, 1, 1], [1.0, 2, 2], "in all patients at risk when events occur"),
    ],
)
def test_what_has_no_hazard_ratio_gives_a_reason(fit, time, event, x, reason):
    found = fit(time, event, x)
    assert reason in found.reason
    assert np.isnan(found.p_values[0])


# Cox after Firth.


def test_d04_firth_cox_of_two_individuals_is_a_ratio_of_3():
    found = firth_cox([1, 2], [1, 0], [1.0, 0.0])
    assert np.exp(found.coefficients[0]) == pytest.approx(3, abs=1e-6)


def test_firth_cox_agrees_with_firthmodels_given_ties():
    firthmodels = pytest.importorskip("firthmodels")
    rng = np.random.default_rng(8)
    x = rng.normal(0, 1, 24)
    time = np.ceil(rng.exponential(np.exp(-0.7 * x)) * 6)
    event = rng.random(24) < 0.7
    theirs = firthmodels.FirthCoxPH(backend="numpy", gtol=1e-6).fit(x[:, None], (event, time))
    theirs.lrt()
    limits = theirs.conf_int(0.05, method="pl", tol=1e-6)[0]
    ours = firth_cox(time, event, x)
    assert ours.coefficients[0] == pytest.approx(theirs.coef_[0], abs=1e-5)
    assert ours.standard_errors[0] == pytest.approx(theirs.bse_[0], abs=1e-5)
    assert ours.loglik == pytest.approx(theirs.loglik_, abs=1e-8)
    assert ours.p_values[0] == pytest.approx(theirs.lrt_pvalues_[0], abs=1e-6)
    assert (ours.lower[0], ours.upper[0]) == pytest.approx(tuple(limits), abs=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_firth_cox_limits_enclose_the_estimate(seed):
    """Monotone, tied and outlying data, on which Newton steps diverge."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([5, 8, 16, 55]))
    x = rng.normal(4, 1, n)
    if seed % 3 == 0:
        x[0] = -20
    time = rng.exponential(100, n)
    if seed % 2:
        time = np.ceil(np.sort(time)[np.argsort(np.argsort(-x))] / 20)
    event = np.arange(n) < max(2, n // 3)
    found = firth_cox(time, event, x)
    assert found.reason == ""
    assert found.lower[0] < found.coefficients[0] < found.upper[0]
    assert np.isfinite([found.lower[0], found.upper[0]]).all()


def test_firth_cox_takes_one_covariate():
    found = firth_cox([1, 2, 3], [1, 1, 1], np.arange(6.0).reshape(3, 2) ** 2)
    assert found.reason == "the penalized model takes one covariate"
