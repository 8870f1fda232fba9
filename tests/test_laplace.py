"""`fit(method="laplace")`: what it finds, what it says of itself, and that it can be repeated."""

from __future__ import annotations

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import FitError

VISITS = (5.0, 9.0, 14.0, 28.0, 90.0)
SETTINGS = {"seed": 3, "method": "laplace", "draws": 100, "chains": 2, "progress": "none"}


@pytest.fixture(scope="module")
def stein():
    return ck.load_model("stein_2019")


@pytest.fixture(scope="module")
def copies(stein):
    """Six patients with qPCR alone: SYNTHETIC, not patient data."""
    return ck.simulate(stein, 6, seed=8, assays=["qpcr"], visits=VISITS)


@pytest.fixture(scope="module")
def quick(stein, copies):
    return ck.fit(stein, copies, **SETTINGS)


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


def test_the_same_seed_gives_the_same_approximate_draws(stein, copies, quick):
    again = ck.fit(stein, copies, **SETTINGS)
    for group in ("posterior", "log_likelihood", "carkinetics/parameters"):
        for name, values in quick.data[group].data_vars.items():
            assert again.data[group][name].values.tobytes() == values.values.tobytes(), name


def test_an_unknown_method_is_refused(stein, copies):
    with pytest.raises(FitError, match=r"method='fast': choose 'nuts' or 'laplace'"):
        ck.fit(stein, copies, seed=1, method="fast")
