"""Exposure against yes or no: exact ranks, areas under the curve, Firth's logistic regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from carkinetics.outcomes import (
    auroc,
    clopper_pearson,
    firth_logistic,
    hodges_lehmann,
    is_separated,
    logistic,
    mann_whitney,
)


def groups(with_event, without):
    """Return exposure and event of two groups."""
    event = np.repeat([True, False], [len(with_event), len(without)])
    return np.concatenate([with_event, without]).astype(float), event


def two_by_two(a, b, c, d):
    """Return a binary exposure and event with these counts: a events of a + b exposed."""
    return np.repeat([1.0, 1.0, 0.0, 0.0], [a, b, c, d]), np.repeat([1, 0, 1, 0], [a, b, c, d])


# Mann-Whitney.


def test_d05_exact_mann_whitney_of_complete_separation_is_2_in_560():
    test = mann_whitney(*groups([14, 15, 16], range(1, 14)))
    assert test.p_value == pytest.approx(2 / 560, rel=1e-12)
    assert (test.statistic, test.estimate, test.p_kind) == (39, 1.0, "exact permutation")


def test_d05_exact_mann_whitney_7_against_2_with_u_1():
    test = mann_whitney(*groups([2, 4, 5, 6, 7, 8, 9], [1, 3]))
    assert (test.statistic, 14 - test.statistic) == (13, 1)
    assert test.p_value == pytest.approx(4 / 36, rel=1e-12)


@pytest.mark.parametrize(
    ("u", "p"), [(39, 0.0036), (38, 0.0071), (37, 0.014), (36, 0.025), (35, 0.039), (34, 0.057)]
)
def test_exact_p_of_3_against_13_follows_the_published_steps(u, p):
    # 39 - u patients without the event lie above the lowest with it.
    x, event = groups([14 - (39 - u) - 0.5, 15, 16], range(1, 14))
    test = mann_whitney(x, event)
    assert test.statistic == u
    assert test.p_value == pytest.approx(p, abs=5e-4)


def test_mann_whitney_agrees_with_scipy_without_ties():
    x, event = groups([3.1, 8.2, 9.9, 12.0], [1.0, 2.0, 4.5, 7.7, 10.1, 11.5])
    theirs = stats.mannwhitneyu(x[event], x[~event], method="exact")
    ours = mann_whitney(x, event)
    assert ours.statistic == theirs.statistic
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-12)


def test_mann_whitney_given_ties_counts_all_assignments():
    x, event = groups([2, 3, 3], [1, 1, 2, 3])
    ranks = stats.rankdata(x)
    observed = abs(ranks[event].sum() - 12)
    from itertools import combinations

    sums = np.array([ranks[list(chosen)].sum() for chosen in combinations(range(7), 3)])
    share = (np.abs(sums - 12) >= observed - 1e-9).mean()
    assert mann_whitney(x, event).p_value == pytest.approx(share, rel=1e-12)


def test_drawn_p_values_agree_with_exact_ones():
    from carkinetics.outcomes.permutation import drawn_p

    x, event = groups([5, 9, 11, 14, 15, 16], [1, 2, 3, 4, 6, 7, 8, 10, 12, 13])
    ranks = x - x.mean()
    drawn = drawn_p(lambda order: ranks[order][:, event].sum(1), ranks[event].sum(), 16, seed=7)
    exact = mann_whitney(x, event).p_value
    # Five standard errors of 20,000 draws: false alarm 6e-7 (and the seed is fixed).
    assert abs(drawn - exact) < 5 * np.sqrt(exact * (1 - exact) / 20_000)


def test_patients_below_the_limit_tie_for_the_lowest_rank():
    x, event = groups([5.0, -np.inf], [1.0, 2.0, -np.inf])
    lowest = np.where(np.isinf(x), 0.0, x)
    assert mann_whitney(x, event) == mann_whitney(lowest, event)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ([], "there are no patients"),
        ([False] * 4, "no patient of 4 had the event"),
        ([True] * 4, "all 4 patients had the event"),
    ],
)
def test_one_group_alone_gives_a_reason_instead_of_numbers(event, reason):
    x = np.arange(len(event), dtype=float)
    event = np.array(event, dtype=bool)
    for found in (mann_whitney(x, event), hodges_lehmann(x, event), auroc(x, event)):
        assert (np.isnan(found.estimate), found.reason) == (True, reason)
    if event.size:
        fitted = firth_logistic(x, event)
        assert (np.isnan(fitted.coefficients[0]), fitted.reason) == (True, reason)


# Hodges-Lehmann.


def test_hodges_lehmann_of_hollander_and_wolfe():
    """Hollander and Wolfe, permeability of the amnion: shift -0.305, p 0.2544 as in R."""
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    x, event = groups(early, at_term)
    assert mann_whitney(x, event).p_value == pytest.approx(0.2544, abs=5e-5)
    assert hodges_lehmann(x, event).estimate == pytest.approx(-0.305, abs=1e-12)


def test_hodges_lehmann_limits_invert_the_exact_test():
    x, event = groups([3.1, 8.2, 9.9, 12.3], [1.0, 2.0, 4.6, 7.7, 10.5, 5.9, 6.3])
    found = hodges_lehmann(x, event)

    def p_at(shift):
        return mann_whitney(x - shift * event, event).p_value

    assert p_at(found.lower - 1e-6) <= 0.05 < p_at(found.lower + 1e-6)
    assert p_at(found.upper + 1e-6) <= 0.05 < p_at(found.upper - 1e-6)


def test_hodges_lehmann_limits_are_open_where_patients_are_too_few():
    found = hodges_lehmann(*groups([3.0], [1.0, 2.0]))
    assert (found.lower, found.estimate, found.upper) == (-np.inf, 1.5, np.inf)


def test_hodges_lehmann_is_missing_where_most_pairs_have_one_below_the_limit():
    found = hodges_lehmann(*groups([-np.inf, -np.inf], [1.0, 2.0]))
    assert np.isnan(found.estimate)
    assert "below the limit" in found.reason


# AUROC.


def test_d10_auroc_is_u_over_all_pairs():
    x, event = groups([3, 8, 9, 9], [1, 2, 4, 7, 9])
    assert auroc(x, event).estimate == mann_whitney(x, event).statistic / 20
    assert auroc(x, event).estimate == pytest.approx(mann_whitney(x, event).estimate, rel=1e-15)


@pytest.mark.parametrize(("n_event", "n_without"), [(3, 13), (12, 15), (1, 5)])
def test_limits_of_an_auroc_stay_between_0_and_1(n_event, n_without):
    rng = np.random.default_rng(n_event)
    for shift in (0.0, 1.0, 9.0, -9.0):
        x, event = groups(rng.normal(shift, 1, n_event), rng.normal(0, 1, n_without))
        found = auroc(x, event)
        assert 0 <= found.lower <= found.estimate <= found.upper <= 1
        assert found.upper > found.lower
        assert found.kind.startswith("DeLong") == (n_event == 12 and abs(shift) < 5)


# Firth's logistic regression. SE, p and limits as logistf prints them.


def test_d01_firth_logistic_of_endometrial_cancer(reference):
    data = pd.read_csv(reference / "endometrial.csv")
    found = firth_logistic(data[["NV", "PI", "EH"]], data["HG"])
    assert found.n == 79
    assert found.coefficients == pytest.approx([2.929273, -0.034752, -2.604164], abs=1e-5)
    assert found.intercepts == pytest.approx([3.774559], abs=1e-5)
    assert found.standard_errors == pytest.approx([1.46497, 0.03789, 0.75363], abs=1e-5)
    assert found.intercept_errors == pytest.approx([1.43901], abs=1e-5)
    assert found.p_values == pytest.approx([0.009124, 0.387482, 2.50687e-5], rel=1e-3)
    limits = np.column_stack([found.lower, found.upper])
    expected = [[0.6097244, 7.8546317], [-0.124459, 0.040455], [-4.365183, -1.232721]]
    assert limits == pytest.approx(np.array(expected), abs=1e-5)


def test_d02_firth_logistic_of_sex2(reference):
    data = pd.read_csv(reference / "sex2.csv")
    names = ["age", "oc", "vic", "vicl", "vis", "dia"]
    found = firth_logistic(data[names], data["case"])
    expected = [-1.10598, -0.0688167, 2.26887, -2.11141, -0.788317, 3.09601]
    assert found.coefficients == pytest.approx(expected, abs=1e-5)
    assert found.intercepts == pytest.approx([0.120254], abs=1e-5)
    assert found.loglik == pytest.approx(-132.5394, abs=1e-4)
    assert (found.lower[5], found.upper[5]) == pytest.approx((0.774568, 8.03028), abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "expected"), [((3, 0, 0, 13), 5.241747), ((3, 5, 0, 8), 2.381228)]
)
def test_d03_firth_logistic_of_a_two_by_two_table_is_closed(counts, expected):
    a, b, c, d = counts
    closed = np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
    assert closed == pytest.approx(expected, abs=1e-6)
    assert firth_logistic(*two_by_two(*counts)).coefficients[0] == pytest.approx(closed, abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_firth_limits_enclose_the_estimate_and_cut_the_likelihood(seed):
    """Small, separated and outlying data, on which Newton steps stall or cross over."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([5, 8, 16, 32]))
    x = rng.normal(4, 1, n)
    if seed % 3 == 0:
        x[0] = -20
    event = np.zeros(n, bool)
    order = np.argsort(x) if seed % 2 else rng.permutation(n)
    event[order[-rng.integers(1, n) :]] = True
    found = firth_logistic(x, event)
    assert found.lower[0] < found.coefficients[0] < found.upper[0]

    def penalized(slope, intercept):
        share = special.expit(intercept + slope * x)
        matrix = np.column_stack([x, np.ones(n)])
        information = (matrix * (share * (1 - share))[:, None]).T @ matrix
        loglik = np.where(event, np.log(share), np.log1p(-share)).sum()
        return loglik + 0.5 * np.linalg.slogdet(information)[1]

    best = penalized(found.coefficients[0], found.intercepts[0])
    assert best == pytest.approx(found.loglik, abs=1e-8)
    for limit in (found.lower[0], found.upper[0]):
        # Intercepts of the profile, on a grid around the line through the mean.
        middle = special.logit(event.mean()) - limit * np.median(x)
        reach = 6 * (abs(limit) * x.std() + 1)
        grid = np.linspace(middle - reach, middle + reach, 4001)
        with np.errstate(divide="ignore"):
            highest = max(penalized(limit, intercept) for intercept in grid)
        assert best - highest == pytest.approx(stats.chi2.ppf(0.95, 1) / 2, abs=2e-2)


def test_firth_logistic_agrees_with_firthmodels():
    firthmodels = pytest.importorskip("firthmodels")
    rng = np.random.default_rng(11)
    x = rng.normal(0, 1, 16)
    event = rng.random(16) < special.expit(x)
    theirs = firthmodels.FirthLogisticRegression(backend="numpy").fit(x[:, None], event)
    theirs.lrt(0)
    ours = firth_logistic(x, event)
    assert ours.coefficients[0] == pytest.approx(theirs.coef_[0], abs=1e-3)
    assert ours.standard_errors[0] == pytest.approx(theirs.bse_[0], abs=1e-3)
    assert ours.p_values[0] == pytest.approx(theirs.lrt_pvalues_[0], abs=1e-4)


def test_firth_logistic_refuses_columns_that_repeat_each_other():
    x = np.arange(8.0)
    found = firth_logistic(np.column_stack([x, 2 * x]), x > 3)
    assert found.reason == "one covariate is a combination of the others"


# Separation.


def test_d15_separation_is_found_and_maximum_likelihood_refuses():
    x, event = groups([14, 15, 16], range(1, 14))
    assert is_separated(x, event)
    refused = logistic(x, event)
    assert "separation" in refused.reason
    assert np.isnan(refused.coefficients[0])
    firth = firth_logistic(x, event)
    assert np.isfinite([firth.coefficients[0], firth.lower[0], firth.upper[0]]).all()


def test_f09_firth_stays_finite_for_the_three_highest_of_sixteen():
    x = np.log(np.geomspace(13, 552, 16))
    found = firth_logistic(x, np.arange(16) >= 13)
    assert 0 < found.coefficients[0] < 10
    assert np.isfinite([found.lower[0], found.upper[0]]).all()


def test_touching_groups_count_as_separated_and_overlapping_ones_do_not():
    assert is_separated(*groups([3, 4], [1, 2, 3]))
    assert is_separated(*groups([1, 2], [3, 4]))
    assert not is_separated(*groups([2, 4], [1, 3]))
    assert not is_separated([1.0, 1.0], [0, 1])


# Shares.


@pytest.mark.parametrize(
    ("events", "lower", "upper"), [(3, 4.0, 45.6), (13, 54.4, 96.0), (12, 47.6, 92.7)]
)
def test_d12_clopper_pearson_of_16_patients(events, lower, upper):
    found = clopper_pearson(events, 16)
    assert 100 * np.array(found) == pytest.approx([lower, upper], abs=0.05)


def test_clopper_pearson_ends_at_0_and_1():
    assert clopper_pearson(0, 16)[0] == 0
    assert clopper_pearson(16, 16)[1] == 1
    assert np.isnan(clopper_pearson(0, 0)).all()
