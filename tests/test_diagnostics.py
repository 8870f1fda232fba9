"""The verdict on a fit: what it counts, what it says, and what it must not miss."""

from __future__ import annotations

import dataclasses

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import stats

from carkinetics.diagnostics import DEFAULT_LIMITS, Check, Limits, check_fit
from carkinetics.diagnostics.predictive import coverage_row, heavy_tail
from carkinetics.diagnostics.sampler import convergence, divergences, smallest_e_bfmi

CHAINS, DRAWS, PATIENTS, SAMPLES = 4, 500, 40, 60


def made_tree(seed=1, **changes):
    """A fit of which everything is known: independent draws, samples from their own predictive."""
    rng = np.random.default_rng(seed)
    shape = (CHAINS, DRAWS)
    sample = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
    dims = ("chain", "draw")
    effects = changes.get("effects", rng.standard_normal(PATIENTS))
    replicates = np.exp(rng.standard_normal((*shape, SAMPLES)))
    observed = changes.get("observed", np.exp(rng.standard_normal(SAMPLES)))
    below = observed < 0.2
    groups = {
        "sample_stats": xr.Dataset(
            {
                "diverging": (dims, np.zeros(shape, dtype=int)),
                "evaluation_failed": (dims, np.zeros(shape, dtype=int)),
                "energy": (dims, rng.standard_normal(shape)),
            },
            coords=sample,
        ),
        "posterior_predictive": xr.Dataset(
            {"flow": ((*dims, "flow_sample"), replicates)}, coords=sample
        ),
        "observed_data": xr.Dataset(
            {
                "flow": ("flow_sample", np.where(below, 0.2, observed)),
                "flow_lloq": ("flow_sample", np.full(SAMPLES, 0.2)),
                "flow_below": ("flow_sample", below.astype(int)),
            }
        ),
        "carkinetics/population": xr.Dataset(
            {"gate_day": (dims, rng.standard_normal(shape))}, coords=sample
        ),
        "carkinetics/exposure_check": xr.Dataset(
            {"cmax": ((*dims, "patient"), rng.standard_normal((*shape, 2)))},
            coords=sample | {"patient": ["P1", "P2"]},
        ),
        "carkinetics/effects": xr.Dataset(
            {
                "mean": (("patient", "effect"), effects[:, None]),
                "information": (("patient", "effect"), np.full((effects.size, 1), 0.9)),
            },
            coords={"effect": ["level_at_gate"]},
            attrs={"distribution": changes.get("distribution", "normal")},
        ),
    }
    return xr.DataTree.from_dict({f"/{name}": group for name, group in groups.items()})


def row(check, name):
    found = check.table[check.table["check"] == name]
    assert len(found) == 1
    return found.iloc[0]


# --- the verdict ------------------------------------------------------------------------------


def test_a_good_fit_passes():
    check = check_fit(made_tree())
    assert bool(check)
    assert check.passed
    assert check.problems == ()
    assert check.advice == ()
    assert check.verdict == "Fit passes its checks."
    assert list(check.table.columns) == ["check", "value", "limit", "passed", "where"]
    assert check.table["passed"].all()


def test_a_second_attempt_is_told():
    assert check_fit(made_tree(), attempts=2).verdict == (
        "Fit passes its checks, after a rerun at stricter settings."
    )


def test_chains_that_disagree_are_named():
    tree = made_tree()
    tree["carkinetics/exposure_check/cmax"].values[2, :, 1] += 3
    check = check_fit(tree)
    assert not check
    worst = row(check, "largest R-hat")
    assert not worst.passed
    assert worst["where"] == "cmax[P2]"
    assert worst.value > 1.01
    assert check.verdict.startswith("Fit not trustworthy: ")
    text = str(check)
    assert "FAIL largest R-hat: " in text
    assert "cmax[P2]" in text
    twice = 2 * tree["sample_stats"].sizes["draw"]
    assert f"sample longer (draws={twice}, tune={twice})" in text


def test_slow_mixing_is_named():
    tree = made_tree()
    tree["carkinetics/population/gate_day"].values[:] = np.repeat(
        np.random.default_rng(2).standard_normal((CHAINS, DRAWS // 20)), 20, axis=1
    )
    check = check_fit(tree)
    assert row(check, "smallest bulk ESS")["where"] == "gate_day"
    assert not row(check, "smallest bulk ESS").passed


def test_one_chain_cannot_pass():
    tree = made_tree()
    groups = {n: g.to_dataset() for n, g in tree.subtree_with_keys if g.data_vars}
    one = {
        f"/{n}": g.isel(chain=slice(0, 1)) if "chain" in g.dims else g for n, g in groups.items()
    }
    check = check_fit(xr.DataTree.from_dict(one))
    assert not check
    assert any("takes at least two chains" in text for text in check.problems)


def test_failed_evaluations_are_counted_apart_from_energy_divergences():
    tree = made_tree()
    tree["sample_stats/diverging"].values[0, :5] = 1
    tree["sample_stats/evaluation_failed"].values[0, :2] = 1
    check = check_fit(tree)
    assert row(check, "energy divergences per 1,000 draws").value == 1000 * 3 / 2000
    assert row(check, "failed evaluations").value == 2
    assert len(check.problems) == 2
    assert any("Try target_accept=0.97" in text for text in check.problems)
    assert any("equations could not be solved" in text for text in check.problems)


def test_one_energy_divergence_in_a_thousand_is_let_pass():
    tree = made_tree()
    tree["sample_stats/diverging"].values[1, :2] = 1
    assert check_fit(tree)
    tree["sample_stats/diverging"].values[1, 2] = 1
    assert not check_fit(tree)


def test_the_message_of_the_sampler_is_understood():
    """A density that cannot be evaluated is a failed evaluation, by the sampler's own words."""
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Potential("solved", pt.switch(pt.lt(x, 0.3), 0.0, -np.inf))
    sampled = nutpie.sample(
        nutpie.compile_pymc_model(model), draws=100, tune=100, chains=1, seed=1,
        store_divergences=True, progress_bar=False, save_warmup=False,
    )  # fmt: skip
    energy, failed = divergences(sampled["sample_stats"].to_dataset())
    assert failed > 10
    assert energy == 0


def test_slow_energy_is_named():
    tree = made_tree()
    walk = np.cumsum(np.random.default_rng(3).standard_normal((CHAINS, DRAWS)), axis=1)
    tree["sample_stats/energy"].values[:] = walk
    check = check_fit(tree)
    assert not row(check, "smallest E-BFMI").passed
    assert "between-patient SD is probably close to zero" in str(check)


def test_e_bfmi_by_hand():
    energy = np.array([[1.0, 3.0, 2.0, 6.0], [0.0, 1.0, 0.0, 1.0]])
    stats_ = xr.Dataset({"energy": (("chain", "draw"), energy)})
    first = np.mean([4, 1, 16]) / np.var([1, 3, 2, 6])
    second = np.mean([1, 1, 1]) / 0.25
    assert smallest_e_bfmi(stats_) == pytest.approx(min(first, second))


def test_limits_can_be_chosen():
    strict = dataclasses.replace(DEFAULT_LIMITS, ess=1e6)
    check = check_fit(made_tree(), strict)
    assert [r.check for r in check.table.itertuples() if not r.passed] == [
        "smallest bulk ESS", "smallest tail ESS",
    ]  # fmt: skip
    assert Limits() == DEFAULT_LIMITS


def test_numbers_that_never_change_are_left_out():
    draws = np.random.default_rng(1).standard_normal((2, 100))
    group = xr.Dataset(
        {
            "correlation": (("chain", "draw", "e"), np.stack([np.ones((2, 100)), draws], axis=-1)),
        },
        coords={"e": ["a", "b"]},
    )
    assert list(convergence(group)["name"]) == ["correlation[b]"]


def test_a_check_prints_as_html():
    tree = made_tree()
    tree["carkinetics/exposure_check/cmax"].values[2, :, 1] += 3
    html = check_fit(tree)._repr_html_()
    assert "<b>FAIL</b>" in html
    assert "cmax[P2]" in html
    assert "<table>" in html
    table = pd.DataFrame([("a < b", 1.0, "x", True, "<script>")],
                         columns=["check", "value", "limit", "passed", "where"])  # fmt: skip
    escaped = Check(table, pd.DataFrame(), ())._repr_html_()
    assert "<script>" not in escaped
    assert "a &lt; b" in escaped


def test_a_real_fit_has_a_check(small_fit):
    check = small_fit.check()
    assert not check
    assert list(check.coverage["assay"]) == ["flow", "qPCR", "CD8 share"]
    quantified = (~small_fit.cohort.samples("flow", "total")["below_lloq"]).sum()
    assert check.coverage["quantified"].iloc[0] == quantified
    assert "quantified samples inside their 90 % predictive interval; below the LLOQ" in str(check)


# --- coverage ---------------------------------------------------------------------------------


def test_coverage_row_by_hand():
    """Replicates 0..100 for every sample: the 90 % interval is 5 to 95, of those above 49: 51.6."""
    replicates = np.repeat(np.arange(101.0)[:, None], 4, axis=1)
    found = coverage_row(
        "flow",
        observed=np.array([50.0, 96.0, 51.0, 49.5]),
        below=np.array([False, False, False, True]),
        log_limit=np.array([np.nan, np.nan, 49.5, 49.5]),
        replicates=replicates,
    )
    # 50 in [5, 95]; 96 not; 51 not in [50 + 0.05 * 50, 50 + 0.95 * 50]; the last is below.
    assert found["quantified"] == 3
    assert found["inside"] == pytest.approx(1 / 3)
    assert found["alarm"] == pytest.approx(0.1**3 + 3 * 0.9 * 0.1**2)
    assert found["with_limit"] == 2
    assert found["below_observed"] == 0.5
    assert found["below_predicted"] == pytest.approx(50 / 101)


def test_samples_outside_their_intervals_are_a_problem():
    """At twice the scatter 59 % of the samples are expected inside, not 90 %."""
    observed = np.exp(2 * np.random.default_rng(5).standard_normal(SAMPLES))
    check = check_fit(made_tree(observed=observed))
    assert not check
    assert any(
        "flow samples lie inside their 90 % predictive interval" in text
        and "try residual='student_t'" in text
        for text in check.problems
    )


def test_an_assay_without_a_quantified_sample_says_so():
    check = check_fit(made_tree(observed=np.full(SAMPLES, 0.1)))
    assert "flow: no quantified sample; below the LLOQ 100% observed" in str(check)
    assert "nan" not in str(check)


# --- heavy tails ------------------------------------------------------------------------------


def test_heavy_tails_are_advised():
    effects = np.concatenate([np.random.default_rng(6).standard_normal(PATIENTS - 3), [-9, -8, 7]])
    check = check_fit(made_tree(effects=effects))
    assert check.passed
    assert len(check.advice) == 1
    assert "level_at_gate (log likelihood +" in check.advice[0]
    assert "patient_effects='student_t'" in check.advice[0]
    again = check_fit(made_tree(effects=effects, distribution="student_t"))
    assert again.advice == ()


def test_heavy_tail_is_the_difference_of_two_maxima():
    """Against SciPy's own maximum of the Student-t likelihood."""
    x = stats.t.rvs(4, size=50, random_state=7) * 0.3 + 2
    _, location, scale = stats.t.fit(x, f0=4)
    best = stats.t.logpdf(x, 4, location, scale).sum()
    normal = stats.norm.logpdf(x, x.mean(), x.std()).sum()
    assert heavy_tail(x) == pytest.approx(best - normal, abs=1e-4)


@pytest.mark.parametrize("patients", [16, 32, 64])
def test_normal_effects_seldom_look_heavy(patients):
    """In under 2 % of cohorts, as promised: of 400, more than 17 with a probability of 0.002."""
    rng = np.random.default_rng(patients)
    alarms = sum(heavy_tail(rng.standard_normal(patients)) > 2 for _ in range(400))
    assert alarms <= 17


def test_student_t_effects_often_look_heavy():
    """At 3 degrees of freedom and 64 patients in more than half of the cohorts."""
    rng = np.random.default_rng(9)
    found = [heavy_tail(rng.standard_t(3, 64)) > 2 for _ in range(100)]
    assert np.mean(found) > 0.5


def test_a_curve_that_is_not_finite_fails_the_check_by_name(small_fit):
    data = small_fit.data.copy(deep=True)
    data["carkinetics/exposure_check"]["cmax"].values[0, 0, 1] = np.nan
    check = check_fit(data)
    assert not check.passed
    name = f"cmax[{small_fit.patients[1]}]"
    assert any(name in text and "finite curve" in text for text in check.problems)
