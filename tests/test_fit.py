"""`fit`: the gate before it, reproducible draws, what it refuses, and what it says."""

from __future__ import annotations

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.inference.choose_centering import centering_weights

VISITS = (5.0, 9.0, 14.0, 28.0, 90.0)


@pytest.fixture(scope="module")
def stein():
    return ck.load_model("stein_2019")


@pytest.fixture(scope="module")
def copies(stein):
    """Three patients with qPCR alone."""
    return ck.simulate(stein, 3, seed=8, assays=["qpcr"], visits=VISITS)


SHORT = {
    "seed": 5, "draws": 20, "tune": 60, "chains": 2, "patient_effects": "student_t",
    "residual": "student_t",
}  # fmt: skip


@pytest.fixture(scope="module")
def twice(stein, copies):
    """A fit far too short, sampled once more by itself, with what it wrote."""
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.warns(CarkineticsWarning) as warned:
        fit = ck.fit(stein, copies, **SHORT, rerun=True, progress="log")
    return fit, said.getvalue(), [str(w.message) for w in warned]


# --- settings and draws -----------------------------------------------------------------------


def test_a_fit_that_misses_its_checks_is_sampled_once_more(twice):
    fit, said, _ = twice
    assert fit.settings["attempt"] == 2
    assert fit.settings["draws"] == 40
    assert fit.settings["tune"] == 120
    assert fit.data["posterior"].sizes["draw"] == 40
    assert said.count("Sampling once more at stricter settings.") == 1
    assert said.count("The sampler missed its checks: ") == 1
    assert "after a rerun at stricter settings" in fit.check().verdict


def test_every_step_is_said_in_whole_lines(twice):
    lines = twice[1].splitlines()
    assert "\r" not in twice[1]
    assert lines[0].startswith("priors alone: Cmax plausible")
    assert "Compiling, and looking for starting points ..." in lines
    assert sum(line.startswith(f"Sampling [{'#' * 24}] 100%") for line in lines) == 2


def test_a_fit_that_fails_its_checks_warns_once(twice):
    _, _, messages = twice
    assert len(messages) == 1
    assert messages[0].startswith("Fit not trustworthy, after a rerun at")


def test_a_fit_that_fails_its_checks_is_not_summarized_unless_told(twice):
    fit = twice[0]
    with pytest.raises(FitError, match=r"(?s)Fit not trustworthy.*allow_failed=True"):
        ck.summarize(fit)
    assert ck.summarize(fit, ["cmax"], allow_failed=True).quantities == ("cmax",)


def test_qpcr_alone_gives_copies_and_one_population(twice):
    fit = twice[0]
    assert fit.latent_unit == "copies/ug"
    assert fit.cell_types == ("total",)
    assert fit.data["carkinetics/exposure_check"]["cmax"].attrs["units"] == "copies/ug"
    exposure = ck.summarize(fit, ["cmax", "persistence"], allow_failed=True)
    assert exposure.limit == 50.0
    assert exposure.data["cmax"].dims == ("chain", "draw", "patient", "cell_type")
    assert exposure.data["cmax"].attrs["units"] == "copies/ug"
    assert set(exposure.table()["cell_type"]) == {"total"}
    days = [9.0, 28.0]
    assert np.array_equal(
        fit.qpcr_curves(days).values, fit.curves(days).sel(cell_type="total").values
    )


def test_a_closed_form_is_followed_to_its_peak(twice):
    """The reported Cmax and Tmax are the model's own parameters, to the last digits."""
    fit = twice[0]
    exposure = ck.summarize(fit, ["cmax", "tmax"], horizon=180, allow_failed=True)
    for name in ("cmax", "tmax"):
        truth = fit.data["carkinetics/parameters"][name].values
        assert exposure.data[name].values[..., 0] == pytest.approx(truth, rel=1e-9)


def test_heavy_tails_have_their_degrees_of_freedom(twice):
    posterior = twice[0].data["posterior"]
    for name in ("nu_patients", "nu_residual"):
        assert (posterior[name].values > 2).all()
    assert twice[0].settings["priors"]["nu_residual"] == "gamma(shape=2, rate=0.1) above 2"


def test_the_same_seed_gives_the_same_draws_to_the_last_bit(stein, copies, twice):
    """The second attempt's settings, given at once, are that attempt; silence is kept."""
    settings = twice[0].settings
    again = SHORT | {name: settings[name] for name in ("seed", "draws", "tune", "target_accept")}
    with pytest.warns(CarkineticsWarning, match="not trustworthy"):
        repeated = ck.fit(stein, copies, **again, rerun=False, progress="none")
    for name, values in twice[0].data["posterior"].data_vars.items():
        assert np.array_equal(repeated.data["posterior"][name].values, values.values), name


def test_settings_hold_what_the_draws_depend_on(small_fit):
    settings = small_fit.settings
    assert settings["seed"] == 1
    assert settings["attempt"] == 1
    assert (settings["draws"], settings["tune"], settings["chains"]) == (60, 100, 2)
    assert settings["assays"] == ["flow", "qpcr"]
    assert settings["cell_types"] == ["CD4", "CD8"]
    assert settings["latent_unit"] == "cells/uL"
    assert settings["priors"]["omega_gate_day"] == "halfnormal(sd=0.3)"
    assert set(settings["versions"]) >= {"python", "carkinetics", "numpy", "pymc", "nutpie"}


def test_groups_have_standard_names_and_canonical_dims(small_fit):
    standard = {
        "posterior", "sample_stats", "log_likelihood", "posterior_predictive", "observed_data",
        "constant_data", "carkinetics",
    }  # fmt: skip
    assert set(small_fit.data.children) == standard
    assert small_fit.data["posterior"]["x"].dims == ("chain", "draw", "patient", "effect")
    for node in small_fit.data["carkinetics"].subtree:
        for name, values in node.data_vars.items():
            if "chain" in values.dims:
                assert values.dims[:2] == ("chain", "draw"), name
            if node.name != "effects":
                assert "units" in values.attrs, name
    replicates = small_fit.data["posterior_predictive"]
    assert replicates["flow"].attrs["units"] == "cells/uL"
    assert replicates["qpcr"].attrs["units"] == "copies/ug"


def test_a_fit_prints_what_it_is(small_fit):
    text = repr(small_fit)
    assert text.startswith("Fit of cd4_cd8_expansion to virtual cd4_cd8_expansion [SYNTHETIC")
    assert "4 patients; assays flow, qpcr; cell types CD4, CD8, total; levels in cells/uL" in text
    html = small_fit._repr_html_()
    assert "SYNTHETIC" in html
    assert "Fit not trustworthy" in html


# --- centering --------------------------------------------------------------------------------


def test_effects_are_centered_by_their_data_and_not_upon_an_sd_that_may_be_zero():
    """Of 16 patients: a share of 0.45 gives a log likelihood ratio of 1.8, 0.9 gives 54."""
    weak, strong = np.full(16, 0.45), np.full(16, 0.9)
    few = np.where(np.arange(16) < 5, 0.93, 0.01)
    found = centering_weights({"weak": weak, "strong": strong, "few": few})
    assert (found["weak"] == 0).all()
    assert found["strong"] == pytest.approx(0.9**1.5)
    assert found["few"] == pytest.approx(few * np.sqrt(few.mean()))
    assert (centering_weights({"sure": np.ones(3)})["sure"] == 1).all()


# --- the gate ---------------------------------------------------------------------------------


class Stop(Exception):
    """Raised in place of the first slow step."""


@pytest.fixture
def gate_only(monkeypatch):
    """Stop a fit after its gate."""
    import importlib

    def stop(plan):
        raise Stop

    monkeypatch.setattr(importlib.import_module("carkinetics.inference.fit"), "machine", stop)


# Their published equations have no memory phase and their cells are gone by day 90: the pages say
# that they are fitted with prior_check=False.
WITHOUT_MEMORY = {"kimmel_2021", "mueller_schoell_2021"}


def fitted(name, assay):
    """Say whether a fit can use a model with this assay alone."""
    model = ck.load_model(name)
    unit = {"flow": "cells/uL", "qpcr": "copies/ug"}[assay]
    varies = any(p.vary for p in model.parameters.values())
    return assay in model.observed and unit in model.latent_units and varies and not model.stiff


@pytest.mark.parametrize(
    ("name", "assay"),
    [(n, assay) for n in ck.list_models() for assay in ("flow", "qpcr") if fitted(n, assay)],
)
@pytest.mark.parametrize("effects", ["normal", "student_t"])
@pytest.mark.usefixtures("gate_only")
def test_shipped_models_pass_the_gate(name, assay, effects, stein):
    """In both units of the level, and with heavy tails, too."""
    cohort = ck.simulate(stein, 2, seed=2, visits=VISITS)
    with pytest.raises(Stop):
        ck.fit(
            ck.load_model(name), cohort, seed=9, assays=[assay], patient_effects=effects,
            progress="none", prior_check=name not in WITHOUT_MEMORY,
        )  # fmt: skip


def per_milliliter(model):
    """The mistake of giving the level at the gate per mL, a thousand times too high."""
    text = model.text.replace(
        '"cells/uL" = "lognormal(median=100, gsd=exp(1.5))"',
        '"cells/uL" = "lognormal(median=100000, gsd=exp(1.5))"',
    )
    assert text != model.text
    return ck.Model.from_text(text, "per_milliliter")


@pytest.mark.usefixtures("gate_only")
def test_cells_per_milliliter_stop_at_the_gate(stein):
    cohort = ck.simulate(stein, 2, seed=2, visits=VISITS)
    wrong = per_milliliter(ck.load_model("cd4_cd8_expansion"))
    with pytest.raises(FitError) as stopped:
        ck.fit(wrong, cohort, seed=1, progress="none")
    message = str(stopped.value)
    assert "priors of per_milliliter: only " in message
    assert "of patients drawn from them have a Cmax of 0.05-20000 cells/uL" in message
    assert "Check the units of the levels and the priors of the model" in message
    assert "prior_check=False" in message
    assert "cmax" in {fault.section for fault in stopped.value.faults}


@pytest.mark.usefixtures("gate_only")
def test_a_late_peak_stops_at_the_gate(stein):
    cohort = ck.simulate(stein, 2, seed=2, visits=VISITS)
    text = stein.text.replace("lognormal(median=9.3, gsd=exp(0.25))", "lognormal(median=40, gsd=2)")
    with pytest.raises(FitError, match="peak between day 4 and 35"):
        ck.fit(ck.Model.from_text(text, "late"), cohort, seed=1, progress="none")


@pytest.mark.usefixtures("gate_only")
def test_the_gate_can_be_passed_by_on_purpose(stein):
    cohort = ck.simulate(stein, 2, seed=2, visits=VISITS)
    with pytest.raises(Stop):
        ck.fit(
            per_milliliter(ck.load_model("cd4_cd8_expansion")), cohort, seed=1,
            prior_check=False, progress="none",
        )  # fmt: skip


# --- what is refused --------------------------------------------------------------------------


def test_bad_settings_are_listed_all_at_once(stein, copies):
    with pytest.raises(FitError) as refused:
        ck.fit(
            stein, copies, seed=-1, draws=2, tune=10.5, chains=True, cores=0, target_accept=1.0,
            tolerance=-1e-6,
        )  # fmt: skip
    message = str(refused.value)
    for what in (
        "draws=2 (a whole number, at least 4)", "tune=10.5", "chains=True", "cores=0", "seed=-1",
        "target_accept=1.0 (from 0.5 to below 1)", "tolerance=-1e-06",
    ):  # fmt: skip
        assert what in message
    assert message.count("cannot use") == 1


def test_an_unknown_progress_is_refused_before_anything_slow(stein, copies):
    with pytest.raises(FitError, match="progress='loud'"):
        ck.fit(stein, copies, seed=1, progress="loud")


# --- centering and the deterministic fit -------------------------------------------------------


@pytest.mark.slow
def test_e03_every_centering_has_the_same_posterior(stein):
    """Closed form, 16 patients: means of all shared numbers within 4 standard errors.

    13 numbers, two comparisons: 26 * P(|z| > 4) = 0.002 is the false-alarm rate.
    """
    import arviz as az

    from carkinetics.inference.centering import Centering
    from carkinetics.inference.choose_centering import centered
    from carkinetics.inference.planning import plan_fit
    from carkinetics.inference.progress import Reporter
    from carkinetics.inference.reuse import machine
    from carkinetics.inference.sampling import (
        SamplerSettings,
        prepare,
        ready_to_run,
        recentered,
        sample,
    )

    cohort = ck.simulate(stein, 16, seed=3, assays=["qpcr"])
    plan = plan_fit(stein, cohort)
    with machine(plan) as compiled:
        prepared = prepare(ready_to_run(plan, compiled))
    ends = centered(plan, prepared.effects)
    none = Centering({name: 0 * w for name, w in ends.weights.items()}, seen=ends.seen)
    found = []
    for centering in (none, ends, prepared.centering):
        chosen = recentered(prepared, centering)
        settings = SamplerSettings(draws=4000, tune=1500, target_accept=0.97)
        posterior = sample(chosen, settings, 1, Reporter("none"))["posterior"].to_dataset()
        found.append(
            {
                name: (float(v.mean()), float(az.mcse(v.transpose("chain", "draw").values)))
                for name, v in posterior.data_vars.items()
                if v.ndim == 2
            }
        )
    for other in found[:2]:
        for name, (mean, error) in other.items():
            reference, its_error = found[2][name]
            assert abs(mean - reference) < 4 * np.hypot(error, its_error), name
