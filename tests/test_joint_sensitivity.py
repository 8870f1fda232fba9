"""What a joint slope owes to single patients and to its prior, against exact posteriors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from pytensor.compile.mode import Mode
from scipy import stats

from carkinetics.errors import DataError
from carkinetics.outcomes.joint import priors, terms
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.effects import Slope
from carkinetics.outcomes.joint.extension import JointExtension, pieces
from carkinetics.outcomes.joint.latent import Latent
from carkinetics.outcomes.joint.leaving_out import influence_table, sensitivity_row
from carkinetics.outcomes.joint.pointwise import outcome_log_likelihood
from carkinetics.outcomes.joint.residuals import outcome_residuals, residual_table

PLAIN = Mode(linker="py", optimizer=None)  # compiles in a second
N, CHAINS, DRAWS = 6, 2, 3


def outcome(kind, value, *, entry=0.0, covariates=None, n_grades=0):
    day = np.array([30.0, 45, 77, 130, 400, 61]) if kind == "survival" else np.empty(0)
    table = pd.DataFrame(index=range(N)) if covariates is None else covariates
    return JointOutcome(
        "o", "outcome", kind, np.array([0, 2, 3, 4, 5, 6]), np.asarray(value), day,
        np.full(N, entry) if kind == "survival" else np.empty(0), table, n_grades=n_grades,
    )  # fmt: skip


def extension(one, hazard="weibull", follow=""):
    return JointExtension(
        latent=Latent("cmax", "total"), center=2.0, followed_center=np.nan, outcomes=(one,),
        hazard=hazard, follow=follow, offsets=np.arange(8), days=np.ones(7), options={},
    )  # fmt: skip


def drawn(rng, **variables):
    """Draws of named variables; a name may have dims after a double underscore."""
    found = {"slope_o": (("chain", "draw"), rng.normal(size=(CHAINS, DRAWS)))}
    for name, (dims, value) in variables.items():
        found[name] = (("chain", "draw", *dims), value)
    return xr.Dataset(found, coords={"chain": range(CHAINS), "draw": range(DRAWS)})


def by_terms(one, draws, x, term):
    """The same by the terms of the sampled model, draw by draw."""
    found = np.empty((CHAINS, DRAWS, N))
    for c in range(CHAINS):
        for d in range(DRAWS):
            at = draws.isel(chain=c, draw=d)
            linear = float(at["slope_o"]) * (np.log(x[c, d, one.patient]) - 2.0)
            if "covariates_o" in at:
                linear = linear + one.covariates.to_numpy(float) @ at["covariates_o"].values
            expression = term(at, pt.as_tensor(linear))
            found[c, d] = pytensor.function([], expression, mode=PLAIN)()
    return found


EVENTS = [1.0, 0, 1, 1, 0, 1]


def cases():
    rng = np.random.default_rng(1)
    size = (CHAINS, DRAWS)
    age = pd.DataFrame({"age": rng.normal(size=N), "old": EVENTS}, index=range(N))
    weibull = {"log_scale_o": ((), rng.normal(4.5, 0.3, size)),
               "log_shape_o": ((), rng.normal(0, 0.3, size))}  # fmt: skip
    beta = {"covariates_o": (("covariate",), rng.normal(size=(*size, 2)))}
    plain = outcome("survival", EVENTS, covariates=age)
    yield (
        "Weibull, covariates", plain, "weibull", drawn(rng, **weibull, **beta),
        lambda at, linear: terms.weibull(np.log(plain.day), plain.value, linear,
                                         float(at["log_scale_o"]), float(at["log_shape_o"])),
    )  # fmt: skip
    late = outcome("survival", EVENTS, entry=28.0)
    yield (
        "Weibull, left truncation", late, "weibull", drawn(rng, **weibull),
        lambda at, linear: terms.weibull(np.log(late.day), late.value, linear,
                                         float(at["log_scale_o"]), float(at["log_shape_o"]),
                                         np.log(late.entry)),
    )  # fmt: skip
    walk = {"log_hazard_o": ((), rng.normal(-4.7, 0.3, size)),
            "walk_sd_o": ((), rng.uniform(0.1, 1, size)),
            "walk_o": (("cut",), rng.normal(size=(*size, 4)))}  # fmt: skip

    def piecewise(at, linear):
        spent, piece = pieces(late.entry, late.day)
        later = float(at["log_hazard_o"]) + float(at["walk_sd_o"]) * np.cumsum(at["walk_o"].values)
        log_hazard = np.concatenate([[float(at["log_hazard_o"])], later])
        return terms.piecewise(spent, piece, late.value, linear, pt.as_tensor(log_hazard))

    yield "piecewise", late, "piecewise", drawn(rng, **walk), piecewise
    grade = outcome("ordinal", np.array([0, 1, 1, 2, 3, 0]), n_grades=5)
    shares = {"probabilities_o": (("grade_of_o",), rng.dirichlet(np.ones(5), size))}
    yield (
        "grades", grade, "weibull", drawn(rng, **shares),
        lambda at, linear: terms.ordinal(
            grade.value, linear, terms.cut_points_of(pt.as_tensor(at["probabilities_o"].values))
        ),
    )  # fmt: skip
    yes = outcome("binary", EVENTS)
    odds = {"intercept_o": ((), rng.normal(size=size))}
    yield (
        "yes or no", yes, "weibull", drawn(rng, **odds),
        lambda at, linear: terms.binary(yes.value, float(at["intercept_o"]) + linear),
    )  # fmt: skip


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case[0])
def test_the_terms_after_sampling_are_those_of_the_sampled_model(case):
    _, one, hazard, draws, term = case
    x = np.exp(np.random.default_rng(2).normal(2.0, 1.0, (CHAINS, DRAWS, 7)))
    exposure = xr.DataArray(x, dims=("chain", "draw", "patient"),
                            coords={"patient": [f"P{i}" for i in range(7)]})  # fmt: skip
    found = outcome_log_likelihood(extension(one, hazard), one, draws, exposure)
    assert list(found["patient"].values) == ["P0", "P2", "P3", "P4", "P5", "P6"]
    np.testing.assert_allclose(found.values, by_terms(one, draws, x, term), rtol=1e-10)


def test_a_hazard_along_time_says_that_it_cannot():
    one = outcome("survival", EVENTS)
    with pytest.raises(DataError, match="follows the curve along time"):
        outcome_log_likelihood(extension(one, follow="level"), one, xr.Dataset(), xr.DataArray())


def test_residuals_are_what_an_outcome_was_beyond_its_expectation():
    """Martingale residuals by hand; for grades and yes or no, by the chances of the terms."""
    for name, one, hazard, draws, _ in cases():
        x = np.exp(np.random.default_rng(2).normal(2.0, 1.0, (CHAINS, DRAWS, 7)))
        exposure = xr.DataArray(x, dims=("chain", "draw", "patient"),
                                coords={"patient": [f"P{i}" for i in range(7)]})  # fmt: skip
        found = outcome_residuals(extension(one, hazard), one, draws, exposure)
        if one.kind == "survival":  # a patient without the event: its term is minus the hazard
            never = dataclasses.replace(one, value=np.zeros(N))
            censored = outcome_log_likelihood(extension(never, hazard), never, draws, exposure)
            by_hand = one.value + censored.values.mean(axis=(0, 1))
        else:
            by_hand = one.value - expected(one, hazard, draws, exposure)
        np.testing.assert_allclose(found.to_numpy(), by_hand, rtol=1e-9, err_msg=name)


def expected(one, hazard, draws, exposure):
    """Sum the grades weighed by their chances."""
    total = np.zeros(N)
    for grade in range(max(one.n_grades, 2)):
        as_if = dataclasses.replace(one, value=np.full(N, grade))
        logs = outcome_log_likelihood(extension(as_if, hazard), as_if, draws, exposure)
        total = total + grade * np.exp(logs.values).mean(axis=(0, 1))
    return total


def test_outcomes_that_share_more_than_the_exposure_are_found():
    """Twelve patients: residuals that rise together have tau 1, unrelated ones a large p."""
    names = [f"P{i}" for i in range(12)]
    rising = pd.Series(np.arange(12.0), index=names)
    mixed = pd.Series(np.array([5.0, 0, 7, 2, 9, 4, 11, 1, 8, 3, 10, 6]), index=names)
    table = residual_table({"a": rising, "b": rising**3, "c": mixed, "d": mixed[:3]})
    table = table.set_index("outcomes")
    assert table.loc["a, b", "tau"] == pytest.approx(1)
    assert table.loc["a, b", "p_value"] < 0.001
    assert table.loc["a, c", "p_value"] > 0.05
    assert "fewer than 4" in table.loc["a, d", "reason"]


# --- a posterior known exactly: slope ~ N(0, 1), each patient a Normal measurement of it ---------

SEEN = np.array([-0.9, -0.2, 0.1, -1.4, -0.6, 0.3, -0.8, -2.6])
SD = 1.5  # of each measurement


def exact(values, prior_sd=1.0):
    precision = 1 / prior_sd**2 + len(values) / SD**2
    return stats.norm(values.sum() / SD**2 / precision, precision**-0.5)


def conjugate(n_draws=20_000, sd=SD):
    rng = np.random.default_rng(3)
    draws = exact(SEEN).rvs(n_draws, random_state=rng)
    slope = Slope(outcome("survival", EVENTS), draws)
    values = stats.norm.logpdf(SEEN, draws[:, None], sd).reshape(4, -1, SEEN.size)
    names = [f"P{i}" for i in range(SEEN.size)]
    return slope, xr.DataArray(values, dims=("chain", "draw", "patient"),
                               coords={"patient": names})  # fmt: skip


def test_leaving_a_patient_out_gives_the_posterior_without_that_patient():
    """20,000 draws: medians and limits within 4 Monte-Carlo errors (false alarm 0.2 %)."""
    slope, values = conjugate()
    table = influence_table(slope, values).set_index("patient")
    for i in range(SEEN.size):
        row, without = table.loc[f"P{i}"], exact(np.delete(SEEN, i))
        error = without.std() / np.sqrt(20_000)
        assert np.log2(row["median"]) == pytest.approx(without.mean(), abs=4 * 1.3 * error)
        assert np.log2(row["lower"]) == pytest.approx(without.ppf(0.025), abs=4 * 2.7 * error)
        assert np.log2(row["upper"]) == pytest.approx(without.ppf(0.975), abs=4 * 2.7 * error)
        assert row["k_hat"] < 0.5
        assert row["reason"] == ""
    # The farthest measurement comes first, and pulled the slope down.
    assert influence_table(slope, values)["patient"].iloc[0] == "P7"
    assert table.loc["P7", "shift"] > 0


@pytest.mark.parametrize("sd", [0.05, 0.3])
def test_e_11_a_patient_who_decides_alone_is_named_as_not_reliable(sd):
    slope, values = conjugate(2000)
    values = values.copy()
    values.loc[{"patient": "P7"}] = stats.norm.logpdf(-3.0, slope.draws, sd).reshape(4, -1)
    row = influence_table(slope, values).set_index("patient").loc["P7"]
    assert not row["k_hat"] <= 0.7  # unknown where one draw has all the weight
    assert "fit without this patient" in row["reason"]


def test_other_priors_give_the_posterior_under_that_prior():
    slope, values = conjugate()
    row = sensitivity_row(slope, values)
    for name, factor in (("half", 0.5), ("twice", 2.0)):
        other = exact(SEEN, factor)
        assert np.log2(row[f"{name}_median"]) == pytest.approx(other.mean(), abs=0.03)
        assert np.log2(row[f"{name}_lower"]) == pytest.approx(other.ppf(0.025), abs=0.08)
    assert row["k_hat"] < 0.7


def test_e_12_power_scaling_tells_a_prior_that_counts_from_one_that_does_not():
    slope, values = conjugate()
    weak = sensitivity_row(slope, values * 1e-6)
    assert weak["likelihood"] < 0.01
    assert weak["prior"] > 0.05
    assert "the prior counts, the outcome hardly" in weak["diagnosis"]
    sharp = sensitivity_row(Slope(slope.outcome, 0.1 + 0.01 * slope.draws), values)
    assert sharp["prior"] < 0.05
    assert "the outcome counts" in sharp["diagnosis"]


def test_the_prior_of_the_example_is_that_of_the_package():
    assert priors.SLOPE_SD["survival"] == 1.0
