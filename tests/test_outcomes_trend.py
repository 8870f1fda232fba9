"""Exposure against grades and numbers, and families of tests."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import special, stats

from carkinetics.outcomes import (
    benjamini_hochberg,
    firth_logistic,
    holm,
    jonckheere_terpstra,
    kendall,
    logistic,
    odds_by_cut,
    proportional_odds,
    spearman,
)

HOLLANDER_WOLFE = (
    (40, 35, 38, 43, 44, 41),
    (38, 40, 47, 44, 40, 42),
    (48, 40, 45, 43, 46, 44),
)


def share_at_least_as_far(statistic, x, y):
    """Return the two-sided permutation p-value by listing all permutations of `y`."""
    values = np.array([statistic(x, np.array(order)) for order in permutations(y)])
    observed = statistic(x, np.asarray(y))
    far = np.abs(values - values.mean()) >= abs(observed - values.mean()) - 1e-9
    return far.mean()


# Jonckheere-Terpstra.


def test_d06_jonckheere_terpstra_of_hollander_and_wolfe():
    x, grade = np.concatenate(HOLLANDER_WOLFE), np.repeat([0, 1, 2], 6)
    found = jonckheere_terpstra(x, grade)
    assert found.statistic == 79
    # The mean is half of the 108 pairs of different grade.
    assert found.statistic / found.estimate / 2 == pytest.approx(54, rel=1e-12)
    # Published: 0.0208 one-sided by 20,000 permutations; ours is exact and two-sided.
    assert found.p_kind == "exact permutation"
    assert found.p_value / 2 == pytest.approx(0.0208, abs=0.003)


def test_d06_jonckheere_terpstra_without_ties_has_variance_153():
    # 18 patients in three groups of 6, with J = 79 as above: z = 25 / sqrt(153) = 2.0211.
    grade = np.repeat([0, 1, 2], 6)
    x = np.array([1, 2, 3, 4, 10, 18, 5, 6, 7, 12, 13, 17, 8, 9, 11, 14, 15, 16], dtype=float)
    found = jonckheere_terpstra(x, grade)
    assert found.statistic == 79
    assert stats.norm.isf(found.p_asymptotic / 2) == pytest.approx(2.0211302, abs=1e-6)
    assert found.p_asymptotic / 2 == pytest.approx(0.02163314, abs=1e-7)


def test_jonckheere_terpstra_of_two_grades_is_mann_whitney():
    from carkinetics.outcomes import mann_whitney

    x, event = np.array([1.0, 2, 2, 3, 5, 8, 8, 9]), np.array([0, 0, 1, 0, 1, 0, 1, 1])
    assert jonckheere_terpstra(x, event).p_value == mann_whitney(x, event).p_value
    assert jonckheere_terpstra(x, event).statistic == mann_whitney(x, event).statistic


def test_jonckheere_terpstra_given_ties_counts_all_permutations():
    x, grade = np.array([1.0, 2, 2, 3, 5, 5, 4]), (0, 0, 1, 2, 1, 2, 2)

    def statistic(x, grade):
        higher = grade[:, None] > grade[None, :]
        return (np.sign(x[:, None] - x[None, :]) * higher).sum()

    expected = share_at_least_as_far(statistic, x, grade)
    assert jonckheere_terpstra(x, grade).p_value == pytest.approx(expected, rel=1e-12)


def test_drawn_permutations_agree_with_the_normal_approximation_for_many_patients():
    rng = np.random.default_rng(3)
    grade = np.repeat([0, 1, 2, 3], 20)
    found = jonckheere_terpstra(rng.normal(0.25 * grade, 1), grade)
    assert found.p_kind == "permutation (20,000 draws)"
    assert 0.005 < found.p_asymptotic < 0.5
    # Five standard errors of the draws plus 0.002 for the approximation: false alarm 6e-7.
    assert abs(found.p_value - found.p_asymptotic) < 5 * 0.0036 + 0.002


# Correlations.


def test_d07_kendall_of_four_in_perfect_order():
    found = kendall([1, 2, 3, 4], [10, 20, 30, 40])
    assert found.estimate == 1
    assert found.p_value == pytest.approx(2 / 24, rel=1e-12)


def test_correlations_agree_with_scipy_given_ties():
    x, y = [1.0, 4, 2, 2, 9, 7, 5, 3], [0, 1, 1, 0, 2, 2, 1, 0]
    assert kendall(x, y).estimate == pytest.approx(stats.kendalltau(x, y).statistic, rel=1e-12)
    assert spearman(x, y).estimate == pytest.approx(stats.spearmanr(x, y).statistic, rel=1e-12)


def test_spearman_p_counts_all_permutations():
    x, y = np.array([1.0, 4, 2, 2, 9, 7]), (3, 2, 1, 1, 4, 5)

    def statistic(x, y):
        return np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1]

    expected = share_at_least_as_far(statistic, x, y)
    assert spearman(x, y).p_value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("test", [jonckheere_terpstra, kendall, spearman])
@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1.0, 2.0], [0, 1], "2 patients are too few"),
        ([1.0, 1.0, 1.0], [0, 1, 2], "the exposure is the same in all patients"),
        ([1.0, 2.0, 3.0], [1, 1, 1], "the outcome is the same in all patients"),
    ],
)
def test_what_cannot_be_ordered_gives_a_reason(test, x, y, reason):
    found = test(x, y)
    assert (np.isnan(found.p_value), found.reason) == (True, reason)


# Proportional odds.


def test_d08_thresholds_of_an_exposure_that_says_nothing():
    # Counts 3, 6, 6, 1; symmetric around 0 within each grade, so that the slope is 0.
    x = [-1, 0, 1, -3, -2, -1, 1, 2, 3, -3, -2, -1, 1, 2, 3, 0]
    found = proportional_odds(x, np.repeat([0, 1, 2, 3], [3, 6, 6, 1]))
    assert found.coefficients[0] == pytest.approx(0, abs=1e-6)
    assert found.p_values[0] == pytest.approx(1, abs=1e-6)
    assert found.intercepts == pytest.approx([-1.466337, 0.251314, 2.708050], abs=1e-6)


def test_d09_two_grades_are_a_logistic_regression():
    statsmodels = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, 40)
    event = rng.random(40) < special.expit(0.5 + x)
    design = statsmodels.add_constant(x)
    theirs = statsmodels.Logit(event, design).fit(disp=0, method="newton", tol=1e-12)
    ours = logistic(x, event)
    assert ours.coefficients[0] == pytest.approx(theirs.params[1], abs=1e-8)
    assert ours.intercepts[0] == pytest.approx(theirs.params[0], abs=1e-8)
    assert ours.loglik == pytest.approx(theirs.llf, abs=1e-8)
    assert ours.p_values[0] == pytest.approx(theirs.llr_pvalue, abs=1e-8)
    two_grades = proportional_odds(x, event)
    assert two_grades.coefficients[0] == pytest.approx(ours.coefficients[0], abs=1e-12)


def test_d09_reversing_the_order_of_grades_flips_the_sign():
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, 30)
    grade = np.digitize(x + rng.logistic(0, 1, 30), [-1, 0, 1.5])
    forward, backward = proportional_odds(x, grade), proportional_odds(x, 3 - grade)
    assert forward.coefficients[0] == pytest.approx(-backward.coefficients[0], abs=1e-8)
    assert forward.p_values[0] == pytest.approx(backward.p_values[0], abs=1e-8)
    assert forward.lower[0] == pytest.approx(-backward.upper[0], abs=1e-5)


def test_proportional_odds_limits_cut_the_profile_likelihood():
    rng = np.random.default_rng(6)
    x = rng.normal(0, 1, 24)
    event = rng.random(24) < special.expit(x)
    found = proportional_odds(x, event)
    for limit in (found.lower[0], found.upper[0]):
        intercepts = np.linspace(-8, 8, 20_001)[:, None]
        linear = intercepts + limit * x
        profile = special.log_expit(np.where(event, linear, -linear)).sum(axis=1).max()
        assert found.loglik - profile == pytest.approx(stats.chi2.ppf(0.95, 1) / 2, abs=1e-4)


def test_an_exposure_that_orders_the_grades_is_refused():
    found = proportional_odds([1.0, 2, 3, 4, 5], [0, 0, 1, 2, 2])
    assert "separation" in found.reason
    assert np.isnan(found.coefficients[0])


# Families of tests.


def test_d11_holm_and_benjamini_hochberg():
    p = [0.01, 0.02, 0.03, 0.04]
    assert holm(p) == pytest.approx([0.04, 0.06, 0.06, 0.06], abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx([0.04] * 4, abs=1e-12)


def test_adjusted_p_values_keep_their_order_and_leave_out_missing_ones():
    p = [0.04, np.nan, 0.01, 0.5]
    assert holm(p) == pytest.approx([0.08, np.nan, 0.03, 0.5], abs=1e-12, nan_ok=True)
    assert benjamini_hochberg(p) == pytest.approx([0.06, np.nan, 0.03, 0.5], nan_ok=True)
    assert benjamini_hochberg(p)[3] == stats.false_discovery_control([0.04, 0.01, 0.5])[2]


# Cut by cut.


def test_every_cut_is_a_penalized_logistic_regression_of_its_own():
    rng = np.random.default_rng(5)
    x, grade = rng.standard_normal(40), rng.integers(0, 4, 40)
    grade[grade == 2] = 3  # a grade nobody has makes no cut
    found = odds_by_cut(x, grade).set_index("at_least")
    assert list(found.index) == [1, 3]
    for cut in found.index:
        alone = firth_logistic(x, grade >= cut)
        assert found.loc[cut, "estimate"] == pytest.approx(float(alone.coefficients[0]))
        assert found.loc[cut, "p_value"] == pytest.approx(float(alone.p_values[0]))
        assert found.loc[cut, "n_events"] == (grade >= cut).sum()


def test_under_proportional_odds_all_cuts_find_the_one_slope():
    """20,000 patients, slope 0.7: within 4 standard errors (0.02 to 0.05) at each of three cuts."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal(20_000)
    grade = np.searchsorted([-1.5, 0.2, 2.7], 0.7 * x + rng.logistic(size=x.size))
    found = odds_by_cut(x, grade)
    assert list(found["at_least"]) == [1, 2, 3]
    np.testing.assert_allclose(found["estimate"], 0.7, atol=4 * 0.04)


def test_where_odds_are_not_proportional_the_cuts_differ():
    rng = np.random.default_rng(7)
    x = rng.standard_normal(2000)
    severe = rng.logistic(size=x.size) < 1.5 * x - 1.0
    grade = np.where(severe, 2, (rng.random(x.size) < 0.5).astype(int))
    found = odds_by_cut(x, grade)["estimate"]
    assert found[1] > 1.5 * found[0]


def test_one_grade_has_no_cut():
    assert odds_by_cut([1.0, 2.0, 3.0], [1, 1, 1]).empty
