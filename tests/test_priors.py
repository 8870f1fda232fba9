"""Priors are read from text, never executed, and agree with SciPy's distributions."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from carkinetics.errors import ModelFileError
from carkinetics.priors import FAMILIES, Prior

# Text and the same distribution in SciPy (natural scale), the reference of these tests.
KNOWN = {
    "normal(mean=0.2, sd=0.1)": stats.norm(0.2, 0.1),
    "lognormal(median=100, gsd=exp(1.5))": stats.lognorm(1.5, scale=100),
    "halfnormal(0.4)": stats.halfnorm(scale=0.4),
    "gamma(shape=2, rate=0.1)": stats.gamma(2, scale=10),
    "beta(a=2, b=5)": stats.beta(2, 5),
}


@pytest.mark.parametrize("text", KNOWN)
def test_medians_are_those_of_scipy(text):
    assert Prior.parse(text).median == pytest.approx(KNOWN[text].median(), rel=1e-12)


@pytest.mark.parametrize("text", KNOWN)
def test_draws_follow_the_distribution(text):
    # Kolmogorov-Smirnov on 5,000 draws; false alarm 1e-4 per prior (and the seed is fixed).
    draws = Prior.parse(text).sample(np.random.default_rng(3), 5000)
    assert stats.kstest(draws, KNOWN[text].cdf).pvalue > 1e-4


def test_a_logitnormal_is_normal_on_the_logit_scale():
    prior = Prior.parse("logitnormal(median=logistic(-4.8), sd=1.0)")
    assert prior.location == pytest.approx(-4.8, rel=1e-12)
    assert (prior.spread, prior.transform) == (1.0, "logit")
    draws = prior.sample(np.random.default_rng(4), 5000)
    # False alarm 1e-4.
    assert stats.kstest(np.log(draws / (1 - draws)), stats.norm(-4.8, 1).cdf).pvalue > 1e-4


def test_location_and_spread_are_on_the_scale_of_sampling():
    prior = Prior.parse("lognormal(median=0.8, gsd=1.35)")
    assert prior.transform == "log"
    assert prior.location == pytest.approx(math.log(0.8))
    assert prior.spread == pytest.approx(math.log(1.35))
    assert Prior.parse("gamma(2, 0.1)").spread == pytest.approx(stats.gamma(2, scale=10).std())
    assert Prior.parse("beta(2, 5)").spread == pytest.approx(stats.beta(2, 5).std())


@pytest.mark.parametrize("text", [*KNOWN, "logitnormal(median=0.3, sd=1.5)"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_scaling_multiplies_the_spread_and_keeps_the_location(text, factor):
    prior = Prior.parse(text)
    scaled = prior.scaled(factor)
    assert scaled.spread == pytest.approx(factor * prior.spread, rel=1e-12)
    assert scaled.location == pytest.approx(prior.location, rel=1e-12)


@pytest.mark.parametrize("text", [*KNOWN, "logitnormal(median=0.3, sd=1.5)"])
def test_the_text_of_a_prior_reads_back_as_the_prior(text):
    prior = Prior.parse(text)
    again = Prior.parse(prior.text)
    assert again.family == prior.family
    assert again.values == pytest.approx(prior.values, rel=1e-5)
    assert set(prior.arguments) == set(FAMILIES[prior.family][0])


def test_scales_convert_there_and_back():
    for text in ("lognormal(median=2, gsd=2)", "logitnormal(median=0.3, sd=1)", "normal(1, 2)"):
        prior = Prior.parse(text)
        assert prior.to_natural(prior.to_transformed(0.37)) == pytest.approx(0.37, rel=1e-14)
        assert prior.to_natural(prior.location) == pytest.approx(prior.median, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lognorml(median=1, gsd=2)", "did you mean 'lognormal'"),
        ("cauchy(0, 1)", "unknown prior 'cauchy'"),
        ("lognormal(median=1, gsdd=2)", "takes median and gsd, not 'gsdd'"),
        ("lognormal(1)", "here 1 argument"),
        ("lognormal(1, 2, 3)", "here 3 argument"),
        ("normal(mean=1, mean=2)", "takes mean and sd"),
        ("lognormal(median=100, gsd=0.5)", "gsd must be above 1"),
        ("lognormal(median=-1, gsd=2)", "median must be positive"),
        ("logitnormal(median=1.2, sd=1)", "between 0 and 1"),
        ("halfnormal(0)", "sd must be positive"),
        ("normal(a, 1)", "only numbers may stand here"),
        ("normal(1e999, 1)", "too large"),
        ("normal(9**9**9**9, 1)", "at most 100 is allowed"),
        ("normal(__import__('os'), 1)", "is not allowed"),
        ("normal", "write a prior like"),
        ("", "write a prior like"),
        ("normal(0, 1)" * 1000, "characters"),
        ("normal((((0, 1)", "argument"),
    ],
)
def test_text_that_is_no_prior_is_refused_with_a_reason(text, message):
    with pytest.raises(ModelFileError) as caught:
        Prior.parse(text)
    assert message in str(caught.value)


def test_a_fault_in_a_prior_is_pointed_at():
    with pytest.raises(ModelFileError) as caught:
        Prior.parse("lognormal(median=1, gsd=1/0)")
    _, line, caret = caught.value.faults[0].what.splitlines()
    assert line[caret.index("^") :] == "1/0)"


@pytest.mark.parametrize("text", [*KNOWN, "logitnormal(median=0.3, sd=1.5)"])
def test_variables_have_the_density_of_the_prior_on_the_scale_of_sampling(text):
    pm = pytest.importorskip("pymc")
    prior = Prior.parse(text)
    with pm.Model() as model:
        variable = prior.variable("v", scale=0.5)
    assert model.free_RVs == [variable]
    narrow = prior.scaled(0.5)
    density = {
        "identity": KNOWN.get(narrow.text),
        "log": stats.norm(narrow.location, narrow.spread),
        "logit": stats.norm(narrow.location, narrow.spread),
    }[prior.transform]
    if prior.family == "normal":
        density = stats.norm(*narrow.values)
    if prior.family == "halfnormal":
        density = stats.halfnorm(scale=narrow.values[0])
    if prior.family == "gamma":
        density = stats.gamma(narrow.values[0], scale=1 / narrow.values[1])
    if prior.family == "beta":
        density = stats.beta(*narrow.values)
    at = 0.31
    assert pm.logp(variable, at).eval() == pytest.approx(density.logpdf(at), rel=1e-9)


def test_reading_priors_loads_no_sampler():
    code = (
        "import sys; from carkinetics.priors import Prior; Prior.parse('halfnormal(1)').median;"
        "assert not {'pymc', 'numba', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
