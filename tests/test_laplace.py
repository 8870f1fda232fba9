"""`fit(method="laplace")`: what it finds, what it says of itself, and that it can be repeated."""

from __future__ import annotations

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import FitError
from carkinetics.inference.climb import climb
from carkinetics.inference.laplace import approximate
from carkinetics.inference.marginal import Marginal

VISITS = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0)
SETTINGS = {"seed": 3, "method": "laplace", "draws": 100, "chains": 2, "progress": "none"}


@pytest.fixture(scope="module")
def model():
    return ck.load_model("cd4_cd8_expansion")


@pytest.fixture(scope="module")
def cohort(model):
    """Six patients with flow and qPCR: SYNTHETIC, not patient data."""
    return ck.simulate(model, 6, seed=11, visits=VISITS)


@pytest.fixture(scope="module")
def quick(model, cohort):
    return ck.fit(model, cohort, **SETTINGS)


def test_the_result_says_everywhere_that_it_is_approximate(quick, tmp_path):
    assert quick.approximate
    assert quick.settings["method"] == "laplace"
    assert "APPROXIMATE: 200 independent draws of Laplace's approximation, not MCMC" in repr(quick)
    check = quick.check()
    assert check.verdict == "Approximate fit (Laplace): passes the few checks that it allows."
    assert "R-hat, effective sample size and divergences do not apply" in str(check)
    assert "sample_stats" not in quick.data.children
    exposure = ck.summarize(quick, ["cmax"])
    assert exposure.approximate
    assert "[APPROXIMATE: Laplace, not MCMC]" in repr(exposure)
    assert "[APPROXIMATE: Laplace, not MCMC]" in exposure.to_html()
    assert exposure.to_adpp()["PARCAT1"].str.contains("APPROXIMATE").all()
    why = exposure.why(quick.patients[0], "cmax", "total")
    assert why.facts["draws"].startswith("APPROXIMATE: 200 independent draws")
    figure = ck.plot_levels(quick).figure
    assert any("APPROXIMATE" in text.get_text() for text in figure.texts)


def test_an_approximate_fit_is_stored_and_read(quick, tmp_path):
    again = ck.load_fit(quick.save(tmp_path / "fit.nc"))
    assert again.approximate
    assert str(again.check()) == str(quick.check())
    for name, values in quick.data["posterior"].data_vars.items():
        assert np.array_equal(again.data["posterior"][name].values, values.values), name


def test_the_same_seed_gives_the_same_approximate_draws(model, cohort, quick):
    again = ck.fit(model, cohort, **SETTINGS)
    for group in ("posterior", "log_likelihood", "carkinetics/parameters"):
        for name, values in quick.data[group].data_vars.items():
            assert again.data[group][name].values.tobytes() == values.values.tobytes(), name


def test_other_levels_of_the_same_shape_are_not_compiled_again(model, cohort, quick, monkeypatch):
    """And the first levels give the first draws again: no data stay behind."""
    import dataclasses

    from carkinetics.inference import reuse

    def refuse(*_, **__):
        raise AssertionError("compiled again")

    monkeypatch.setattr(reuse, "compile_model", refuse)
    levels = cohort.levels.copy()
    seen = ~levels["below_lloq"].astype(bool)
    levels.loc[seen, "level"] *= 1.1
    other = ck.fit(model, dataclasses.replace(cohort, levels=levels), **SETTINGS)
    again = ck.fit(model, cohort, **SETTINGS)
    for name, values in quick.data["posterior"].data_vars.items():
        assert again.data["posterior"][name].values.tobytes() == values.values.tobytes(), name
        assert other.data["posterior"][name].values.tobytes() != values.values.tobytes(), name


def test_an_unknown_method_is_refused(model, cohort):
    with pytest.raises(FitError, match=r"method='fast': choose 'nuts' or 'laplace'"):
        ck.fit(model, cohort, seed=1, method="fast")


# --- the approximation itself, where the answer is known --------------------------------------


def _normal_hierarchy(n=5, seed=4):
    """Two effects per patient, measured with noise; everything Normal, SDs known.

    The density of the location with all effects integrated out is Normal, and Laplace's
    approximation is exact.
    """
    rng = np.random.default_rng(seed)
    omega, sigma = np.array([0.7, 1.3]), np.array([0.4, 0.9])
    y = rng.standard_normal((n, 2)) * np.hypot(omega, sigma) + np.array([1.0, -2.0])

    def density(point):
        location, x = point[:2], point[2:].reshape(n, 2)
        value = -0.5 * (((y - x) / sigma) ** 2 + ((x - location) / omega) ** 2).sum()
        to_x = (y - x) / sigma**2 - (x - location) / omega**2
        to_location = ((x - location) / omega**2).sum(axis=0)
        return float(value), np.concatenate([to_location, to_x.ravel()])

    return density, y, omega, sigma


def test_the_approximation_is_exact_where_everything_is_normal():
    density, y, omega, sigma = _normal_hierarchy()
    n = len(y)
    own = 2 + np.arange(2 * n).reshape(n, 2)
    nothing = np.zeros(2 + 2 * n, dtype=bool)
    found = approximate(density, np.zeros(2 + 2 * n), own, np.full(2 + 2 * n, 0.5), nothing)
    assert found.center.shared == pytest.approx(y.mean(axis=0), abs=1e-6)
    variance = (omega**2 + sigma**2) / n
    assert found.root @ found.root.T == pytest.approx(np.diag(variance), abs=1e-6)
    share = omega**2 / (omega**2 + sigma**2)
    expected = y.mean(axis=0) + share * (y - y.mean(axis=0))
    assert found.center.mode == pytest.approx(expected, abs=1e-6)
    covariance = found.center.root @ found.center.root.transpose(0, 2, 1)
    given = np.diag(omega**2 * sigma**2 / (omega**2 + sigma**2))
    assert covariance == pytest.approx(np.broadcast_to(given, (n, 2, 2)), abs=1e-6)
    marginal = -0.5 * ((y - y.mean(axis=0)) ** 2 / (omega**2 + sigma**2)).sum()
    constant = n * np.log(np.sqrt(2 * np.pi) * omega * sigma / np.hypot(omega, sigma)).sum()
    assert found.center.log_marginal == pytest.approx(marginal + constant, abs=1e-6)


def _skewed(n=4):
    """Patients whose log density is not quadratic, under an unknown location and log SD."""
    y = np.linspace(-1.0, 2.0, n)

    def density(point):
        location, log_omega, x = point[0], point[1], point[2:]
        z = (x - location) * np.exp(-log_omega)
        value = (y * x - np.exp(x)).sum() - 0.5 * (z**2).sum() - n * log_omega
        value -= 0.5 * (location**2 + log_omega**2)
        to_x = y - np.exp(x) - z * np.exp(-log_omega)
        to_location = (z * np.exp(-log_omega)).sum() - location
        to_log_omega = (z**2).sum() - n - log_omega
        return float(value), np.array([to_location, to_log_omega, *to_x])

    return Marginal(density, 2 + np.arange(n)[:, None], np.arange(2))


def test_the_gradient_of_the_marginal_is_that_of_its_differences():
    """To what steps of half an SD leave: some per cent of a nat."""
    marginal = _skewed()
    start, root = np.zeros((4, 1)), np.ones((4, 1, 1))
    theta, step = np.array([0.3, -0.4]), 0.05
    center = marginal.at(theta, start, root)
    for j in range(2):
        away = step * np.eye(2)[j]
        up, down = (marginal.at(theta + s * away, center.mode, center.root) for s in (1, -1))
        difference = (up.log_marginal - down.log_marginal) / (2 * step)
        assert center.gradient[j] == pytest.approx(difference, abs=0.02)


def test_a_density_without_a_maximum_is_refused():
    """It rises for ever with the one patient's coordinate."""

    def rising(point):
        return float(point.sum()), np.ones(2)

    with pytest.raises(FitError, match="found no optimum"):
        approximate(rising, np.zeros(2), np.array([[1]]), np.ones(2), np.zeros(2, dtype=bool))


def test_a_climb_finds_the_top_of_a_narrow_ridge():
    """Rosenbrock's function, whose top is at one; SciPy's L-BFGS-B takes 37 steps."""

    def objective(x):
        a, b = x
        gradient = np.array([2 * (1 - a) + 400 * a * (b - a * a), -200 * (b - a * a)])
        return -((1 - a) ** 2) - 100 * (b - a * a) ** 2, gradient

    assert climb(objective, np.array([-1.2, 1.0]), steps=200) == pytest.approx(1.0, abs=1e-3)


# --- against NUTS -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_built_in_cohort_agrees_with_nuts(model, synthetic):
    """Medians of ln Cmax and ln AUC0-28 of every patient, in posterior SDs of NUTS.

    Both are estimated from draws: with 2,000 and some 3,000 effective draws the median is off
    by 0.04 SD at most, in 99 of 100 runs.
    """
    sampled = ck.fit(model, synthetic, seed=2026, draws=1500, rerun=False, progress="none")
    quick = ck.fit(model, synthetic, seed=1, method="laplace", progress="none")
    for name in ("cmax", "auc_0_28"):
        one, other = (
            np.log(f.data["carkinetics/exposure_check"][name].values).reshape(-1, 16)
            for f in (quick, sampled)
        )
        spread = other.std(axis=0)
        away = np.abs(np.median(one, axis=0) - np.median(other, axis=0)) / spread
        # One patient's samples allow two curves, one of which the approximation does not see.
        assert (away < 0.25).sum() >= 15, away
        assert away.max() < 0.5
        assert np.all((one.std(axis=0) / spread > 0.8) & (one.std(axis=0) / spread < 1.25))
