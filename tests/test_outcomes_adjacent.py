"""Odds of each grade against the one below it: one slope for all steps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

import carkinetics as ck
from carkinetics.outcomes import adjacent_categories, logistic
from carkinetics.outcomes.adjacent import permuted_adjacent


def patients(n, slope, seed):
    """Draw grades 0 to 3 whose adjacent log odds rise by `slope` per unit of x."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    steps = np.array([0.0, 0.4, 0.2, -0.9])
    logit = steps + slope * x[:, None] * np.arange(4)
    chance = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    grade = (rng.random(n)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    return x, grade.astype(float)


def test_two_grades_are_logistic_regression():
    x, grade = patients(40, 0.6, 1)
    event = (grade > 1).astype(float)
    ours, other = adjacent_categories(x, event), logistic(x, event)
    for name in ("coefficients", "standard_errors", "lower", "upper", "p_values", "intercepts"):
        assert getattr(ours, name) == pytest.approx(getattr(other, name), abs=2e-5)
    assert ours.loglik == pytest.approx(other.loglik, abs=1e-8)


def test_reversing_the_grades_flips_the_sign():
    x, grade = patients(30, 0.5, 2)
    forward, backward = adjacent_categories(x, grade), adjacent_categories(x, 3 - grade)
    assert backward.coefficients == pytest.approx(-forward.coefficients, abs=1e-8)
    assert backward.lower == pytest.approx(-forward.upper, abs=1e-5)
    assert backward.p_values == pytest.approx(forward.p_values, abs=1e-8)


def test_it_is_a_log_linear_model_of_counts_by_statsmodels():
    """Agresti: a Poisson regression with a term for each patient, and grade times covariate."""
    sm = pytest.importorskip("statsmodels.api")
    x, grade = patients(25, 0.5, 3)
    other = np.random.default_rng(4).standard_normal(25)
    found = adjacent_categories(np.column_stack([x, other]), grade)
    rows = [(i, k) for i in range(25) for k in range(4)]
    count = np.array([float(grade[i] == k) for i, k in rows])
    columns = [[float(i == j) for i, _ in rows] for j in range(25)]
    columns += [[float(k >= step) for _, k in rows] for step in (1, 2, 3)]
    columns += [[k * values[i] for i, k in rows] for values in (x, other)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = sm.GLM(count, np.array(columns).T, family=sm.families.Poisson()).fit(tol=1e-12)
    assert found.coefficients == pytest.approx(glm.params[-2:], abs=1e-7)
    assert found.standard_errors == pytest.approx(glm.bse[-2:], rel=1e-6)
    assert found.intercepts == pytest.approx(glm.params[25:28], abs=1e-7)


def test_its_limits_cut_the_profile_likelihood():
    x, grade = patients(30, 0.5, 5)
    found = adjacent_categories(x, grade, probability=0.9)

    def at(slope):
        """Maximize over the steps by a covariate without freedom: the slope is in the offset."""
        from carkinetics.outcomes.adjacent import _maximize

        return _maximize(grade.astype(int), np.empty((30, 0)), slope * x).loglik

    drop = stats.chi2.ppf(0.9, 1) / 2
    for limit in (found.lower[0], found.upper[0]):
        assert found.loglik - at(limit) == pytest.approx(drop, abs=1e-5)


def test_a_large_sample_finds_the_slope():
    # The estimate is normal; four standard errors: a false alarm in 16,000.
    found = adjacent_categories(*patients(3000, 0.5, 6))
    assert abs(found.coefficients[0] - 0.5) < 4 * found.standard_errors[0]
    assert found.intercepts == pytest.approx([0.4, -0.2, -1.1], abs=0.4)


def test_grades_without_overlap_give_a_reason():
    assert "separation" in adjacent_categories([1.0, 2, 3, 4, 5], [0, 0, 1, 2, 2]).reason
    assert "same" in adjacent_categories([1.0, 2, 3], [1, 1, 1]).reason


def test_the_permuted_score_agrees_with_the_likelihood_ratio_in_many_patients():
    x, grade = patients(150, 0.12, 7)
    ratio = adjacent_categories(x, grade).p_values[0]
    assert permuted_adjacent(x, grade) == pytest.approx(ratio, abs=0.02)


def test_associate_shows_it_beside_proportional_odds(synthetic):
    found = ck.associate(synthetic, "cmax", "crs_grade", power=False)
    methods = [e.method for e in found.estimates]
    assert methods.index("adjacent categories") == methods.index("proportional odds") + 1
    (one,) = [e for e in found.estimates if e.method == "adjacent categories"]
    assert one.measure == "odds ratio of the next grade per doubling"
    assert one.lower < one.estimate < one.upper
    assert "permutation" in one.p_kind


def test_a_batch_can_ask_for_it(synthetic, tmp_path):
    declared = ck.variants(
        outcomes=["crs_grade"], test=["adjacent categories", "Jonckheere-Terpstra"]
    )
    runs = ck.run_variants(
        None, synthetic, declared, folder=tmp_path, method="samples", progress="none"
    )
    table = runs.table.set_index("analysis_id")
    assert table.loc["base", "method"] == "proportional odds"
    assert table.loc["test=adjacent categories", "method"] == "adjacent categories"
    assert table.loc["test=adjacent categories", "status"] == "done"
