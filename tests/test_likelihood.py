"""Assay conversions and likelihood terms: by hand, by SciPy, and at the ends of the range."""

from __future__ import annotations

import mpmath
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from carkinetics.likelihood import (
    GENOMES_PER_UG,
    cells_per_ul,
    censored_log_likelihood,
    copies_per_ug,
    event_count_log_likelihood,
    link_log_copies,
    split_log_likelihood,
)
from carkinetics.student_t import student_log_cdf


def value(term):
    """Evaluate a tensor without compiling it."""
    return pytensor.function([], term, mode="FAST_COMPILE")()


def test_b01_genomes_per_microgram():
    assert GENOMES_PER_UG == 1e6 / 6.6
    assert round(GENOMES_PER_UG, 2) == 151_515.15


def test_b02_cells_become_copies_and_come_back():
    copies = copies_per_ug(100.0, 5000.0, 2.0)
    assert copies == pytest.approx(6060.606060606, rel=1e-12)
    assert cells_per_ul(copies, 5000.0, 2.0) == pytest.approx(100.0, rel=1e-12)


def test_b03_the_qpcr_limit_moves_with_the_leukocytes():
    """50 copies/ug are 0.165 cells/uL at 500 leukocytes per uL and 1.65 at 5,000."""
    assert cells_per_ul(50.0, np.array([500.0, 5000.0])) == pytest.approx([0.165, 1.65], rel=1e-12)


def test_conversions_take_columns_and_lists():
    cells, wbc, vcn = [1.0, 10.0], np.array([500.0, 5000.0]), [1.0, 2.0]
    copies = copies_per_ug(cells, wbc, np.array(vcn))
    assert copies == pytest.approx([GENOMES_PER_UG / 500, 2 * GENOMES_PER_UG / 500])
    assert copies_per_ug(cells, wbc, vcn) == pytest.approx(copies)
    assert cells_per_ul(list(copies), list(wbc), vcn) == pytest.approx(cells)


def test_link_with_unit_slopes_is_the_conversion():
    cells, wbc, vcn = np.array([0.1, 3.0, 800.0]), np.array([500.0, 5000.0, 9000.0]), 2.5
    predicted = link_log_copies(np.log(cells), np.log(wbc), np.log(vcn))
    assert np.exp(predicted) == pytest.approx(copies_per_ug(cells, wbc, vcn), rel=1e-12)


def test_link_turns_around_its_reference_point():
    """At 100 cells/uL and 1,000 leukocytes no slope matters; away from it both do."""
    here = link_log_copies(np.log(100.0), np.log(1000.0), 0.0, slope=0.7, wbc_slope=0.4)
    assert np.exp(here) == pytest.approx(15_151.5151515, rel=1e-9)
    there = link_log_copies(
        np.log(1000.0), np.log(4000.0), np.log(2.0), slope=0.7, wbc_slope=0.4, patient_shift=0.3
    )
    by_hand = np.log(151_515.151515 * 0.1 * 2) + 0.7 * np.log(10) - 0.4 * np.log(4) + 0.3
    assert there == pytest.approx(by_hand, abs=1e-9)


def test_two_samples_of_one_patient_by_hand():
    """ln 80 seen where 4.0 was expected, and one below ln 50 where 3.0 was expected; SD 0.5."""
    level, below = np.log([80.0, 50.0]), np.array([False, True])
    terms = value(censored_log_likelihood(level, below, np.array([4.0, 3.0]), 0.5))
    z = (np.log(80) - 4) / 0.5
    density = -0.5 * z**2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)
    below_limit = np.log(0.5 * special.erfc(-((np.log(50) - 3) / 0.5) / np.sqrt(2)))
    assert terms == pytest.approx([density, below_limit], rel=1e-12)


@pytest.mark.parametrize("nu", [None, 2.5, 4.0, 30.0])
@pytest.mark.parametrize("below", ["none", "some", "all"])
def test_e01_censored_likelihood_agrees_with_scipy(nu, below):
    rng = np.random.default_rng(31)
    level, mean = rng.normal(3, 1, 8), rng.normal(3, 1, 8)
    sigma = rng.uniform(0.2, 1.5, 8)
    flags = {"none": np.zeros(8), "all": np.ones(8), "some": np.arange(8) % 2}[below].astype(bool)
    terms = value(censored_log_likelihood(level, flags, mean, sigma, nu))
    residual = stats.norm(mean, sigma) if nu is None else stats.t(nu, mean, sigma)
    exact = np.where(flags, residual.logcdf(level), residual.logpdf(level))
    assert terms == pytest.approx(exact, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("nu", [None, 4.0])
def test_e01_at_the_limit_half_the_probability_lies_below(nu):
    terms = value(censored_log_likelihood(np.log([50.0]), [True], np.log([50.0]), 0.7, nu))
    assert terms == pytest.approx([-0.693147180559945], abs=1e-9)


def test_e01_normal_term_is_finite_and_exact_forty_deviations_below():
    """The log-cdf, not the log of the cdf: -804.608442 by SciPy's log_ndtr."""
    mean = pt.dvector("mean")
    terms = censored_log_likelihood(np.zeros(3), [True] * 3, mean, 0.5)
    f = pytensor.function([mean], [terms, pytensor.grad(terms.sum(), mean)], mode="FAST_COMPILE")
    at = np.array([20.0, 50.0, 500.0])
    found, gradient = f(at)
    assert found == pytest.approx(special.log_ndtr(-at / 0.5), rel=1e-9)
    assert found[0] == pytest.approx(-804.608442, rel=1e-8)
    slope = -np.exp(stats.norm.logpdf(-at / 0.5) - special.log_ndtr(-at / 0.5)) / 0.5
    assert gradient == pytest.approx(slope, rel=1e-6)


def test_e01_student_term_is_finite_forty_deviations_below():
    mean = pt.dvector("mean")
    terms = censored_log_likelihood(np.zeros(3), [True] * 3, mean, 0.5, 4.0)
    f = pytensor.function([mean], [terms, pytensor.grad(terms.sum(), mean)], mode="FAST_COMPILE")
    at = np.array([20.0, 50.0, 500.0])
    found, gradient = f(at)
    assert found == pytest.approx(stats.t.logcdf(-at / 0.5, 4.0), rel=1e-8)
    slope = -stats.t.pdf(at / 0.5, 4.0) / stats.t.cdf(-at / 0.5, 4.0) / 0.5
    assert gradient == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
@pytest.mark.parametrize("nu", [2.0, 3.0, 30.0, 399.0, 401.0, 1000.0, 1e5])
def test_e01_student_term_is_exact_in_both_tails_by_every_argument(nu, mode):
    """Value and derivatives against mpmath with 60 digits, also where the cdf underflows."""
    z, freedom = pt.dvector("z"), pt.dscalar("freedom")
    terms = student_log_cdf(z, freedom)
    outputs = [terms, *(pytensor.grad(terms.sum(), [z, freedom]))]
    f = pytensor.function([z, freedom], outputs, mode=mode)
    for at in (-14000.0, -60.0, -5.0, -2.0, -1.5, -0.3, -1e-6, 0.0, 0.7, 1.8, 3.0, 8.0):
        exact, by_z, by_freedom = student_log_cdf_by_mpmath(at, nu)
        found = [float(np.ravel(v)[0]) for v in f(np.array([at]), nu)]
        assert found[0] == pytest.approx(exact, rel=1e-9)
        assert found[1] == pytest.approx(by_z, rel=1e-9)
        assert found[2] == pytest.approx(by_freedom, rel=1e-6, abs=1e-15)


def student_log_cdf_by_mpmath(z, nu):
    def log_cdf(z, nu):
        share = z * z / (nu + z * z)
        half = mpmath.mpf("0.5")
        if z * z > 1:
            tail = mpmath.betainc(nu / 2, half, 0, 1 - share, regularized=True) / 2
        else:
            tail = half - mpmath.betainc(half, nu / 2, 0, share, regularized=True) / 2
        return mpmath.log(tail if z <= 0 else 1 - tail)

    with mpmath.workdps(60):
        z, nu, step = mpmath.mpf(z), mpmath.mpf(nu), mpmath.mpf(10) ** -15
        dz, dnu = step * (1 + abs(z)), step * nu
        by_z = (log_cdf(z + dz, nu) - log_cdf(z - dz, nu)) / (2 * dz)
        by_nu = (log_cdf(z, nu + dnu) - log_cdf(z, nu - dnu)) / (2 * dnu)
        return float(log_cdf(z, nu)), float(by_z), float(by_nu)


@pytest.mark.parametrize("at", [1e8, 1e100, 1e200])
def test_student_term_stays_finite_however_far_a_trajectory_runs(at):
    z = pt.dvector("z")
    terms = student_log_cdf(z, 300.0)
    f = pytensor.function([z], [terms, pytensor.grad(terms.sum(), z)], mode="FAST_COMPILE")
    assert np.isfinite(f(np.array([-at, at]))).all()


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
@pytest.mark.parametrize("nu", [None, 4.0])
def test_a_prediction_far_below_the_limit_agrees_and_has_no_gradient(nu, mode):
    """Long before the rise a sample below the LLOQ says nothing more, and must not say NaN."""
    mean = pt.dvector("mean")
    terms = censored_log_likelihood(np.zeros(4), [True] * 4, mean, 1.0, nu)
    f = pytensor.function([mean], [terms, pytensor.grad(terms.sum(), mean)], mode=mode)
    found, gradient = f(-np.array([30.0, 38.0, 100.0, 1000.0]))
    assert found == pytest.approx(0, abs=1e-5)
    assert gradient == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("nu", [None, 4.0])
def test_censored_gradients_agree_with_finite_differences(nu):
    """By mean and residual SD, quantified and censored."""
    mean, sigma = pt.dvector("mean"), pt.dvector("sigma")
    flags = np.array([False, True, False, True])
    level = np.array([3.0, 2.0, -1.0, 5.0])
    terms = censored_log_likelihood(level, flags, mean, sigma, nu)
    f = pytensor.function([mean, sigma], terms, mode="FAST_COMPILE")
    g = pytensor.function(
        [mean, sigma], pytensor.grad(terms.sum(), [mean, sigma]), mode="FAST_COMPILE"
    )
    m, s, step = np.array([2.0, 4.0, 0.0, 3.0]), np.array([0.5, 0.7, 1.0, 0.4]), 1e-6
    by_mean = (f(m + step, s) - f(m - step, s)) / (2 * step)
    by_sigma = (f(m, s + step) - f(m, s - step)) / (2 * step)
    assert g(m, s)[0] == pytest.approx(by_mean, rel=1e-6, abs=1e-6)
    assert g(m, s)[1] == pytest.approx(by_sigma, rel=1e-6, abs=1e-6)


def test_student_residuals_become_normal_with_many_degrees_of_freedom():
    level, flags = np.array([1.0, 2.0, 4.0]), np.array([False, True, False])
    mean = np.array([2.0, 2.5, 3.0])
    normal = value(censored_log_likelihood(level, flags, mean, 0.5))
    student = value(censored_log_likelihood(level, flags, mean, 0.5, 1e7))
    assert student == pytest.approx(normal, abs=1e-5)


def test_b05_split_without_overdispersion_is_binomial():
    events, cd8 = np.array([20, 200, 5, 60]), np.array([3, 150, 5, 0])
    share = np.array([0.2, 0.7, 0.9, 0.02])
    terms = value(split_log_likelihood(cd8, events, share, 1e-10))
    assert terms == pytest.approx(stats.binom.logpmf(cd8, events, share), abs=1e-6)


def test_split_agrees_with_scipy_and_by_hand():
    """One of two events with share 1/2 and rho 1/3: beta(1, 1), so 1/3."""
    terms = value(split_log_likelihood(np.array([1]), np.array([2]), 0.5, 1 / 3))
    assert terms == pytest.approx([np.log(1 / 3)], abs=1e-12)
    events, cd8, share, rho = np.array([20, 200]), np.array([3, 150]), np.array([0.2, 0.7]), 0.05
    weight = 1 / rho - 1
    exact = stats.betabinom.logpmf(cd8, events, share * weight, (1 - share) * weight)
    assert value(split_log_likelihood(cd8, events, share, rho)) == pytest.approx(exact, rel=1e-9)


def test_b05_counts_without_overdispersion_are_poisson():
    events, expected = np.array([0, 3, 40, 500]), np.array([0.5, 3.0, 35.0, 520.0])
    terms = value(event_count_log_likelihood(events, expected, 1e-6))
    assert terms == pytest.approx(stats.poisson.logpmf(events, expected), abs=1e-6)


def test_b05_the_poisson_limit_itself_is_reached():
    events, expected = np.array([0, 3, 40, 500]), np.array([0.5, 3.0, 35.0, 520.0])
    terms = value(event_count_log_likelihood(events, expected, 0.0))
    assert terms == pytest.approx(stats.poisson.logpmf(events, expected), abs=1e-6)


def test_b05_the_binomial_limit_itself_is_reached():
    events, cd8, share = np.array([20, 200]), np.array([3, 150]), np.array([0.2, 0.7])
    terms = value(split_log_likelihood(cd8, events, share, 0.0))
    assert terms == pytest.approx(stats.binom.logpmf(cd8, events, share), abs=1e-6)


def test_counts_agree_with_scipy_and_zero_is_data():
    """Zero events are as likely as (phi / (phi + mu))^phi."""
    events, expected, root = np.array([0, 3, 40]), np.array([0.5, 3.0, 35.0]), 0.4
    phi = 1 / root**2
    terms = value(event_count_log_likelihood(events, expected, root))
    assert terms[0] == pytest.approx(phi * np.log(phi / (phi + 0.5)), rel=1e-12)
    assert terms == pytest.approx(
        stats.nbinom.logpmf(events, phi, phi / (phi + expected)), rel=1e-9
    )


def test_terms_stand_in_a_model_and_its_log_density():
    """Two samples in a PyMC model: the potential is their sum."""
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma", 1.0)
        term = censored_log_likelihood(np.array([4.0, 3.0]), [False, True], 3.5, sigma)
        pm.Potential("flow", term.sum())
    point = {"sigma_log__": np.log(0.6)}
    logp = model.compile_logp(mode="FAST_COMPILE", jacobian=False)(point)
    exact = (
        stats.halfnorm.logpdf(0.6)
        + stats.norm.logpdf(4.0, 3.5, 0.6)
        + stats.norm.logcdf(3.0, 3.5, 0.6)
    )
    assert logp == pytest.approx(exact, rel=1e-10)
