"""How well a patient left out is predicted, watched in a batch, and fitted again where needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.batch.predictive import ESTIMAND, differences
from carkinetics.batch.work import work
from carkinetics.errors import BatchError, FitError
from carkinetics.sensitivity import patients_out, weights
from carkinetics.sensitivity.without_patient import predicted_without


def jobs(fit, **declared):
    """Plan a batch on the short fit, its draws given instead of fitted."""
    declared = ck.variants(outcomes=(), quantities=["cmax", "elpd"], **declared)
    plan = declared.plan(fit.kinetic_model, fit.cohort, method="nuts", allow_failed=True)
    return plan, plan.jobs(set())


@pytest.fixture
def told(monkeypatch):
    """Let every fit without a patient say -50, and count how often it is asked for."""
    asked = []

    def without(fit, patient, *, draws, seed):
        asked.append(patient)
        return -50.0

    monkeypatch.setattr(patients_out, "predicted_without", without)
    return asked


def strict(monkeypatch, fit, **options):
    """Trust the weights of half of the patients only."""
    khat = ck.leave_patients_out(fit, **options).table()["khat"]
    monkeypatch.setattr(weights, "LARGEST_KHAT", float(khat.median()))


def test_patients_whose_weights_fail_are_fitted_without(small_fit, told, monkeypatch):
    strict(monkeypatch, small_fit, draws=60)
    plain = ck.leave_patients_out(small_fit, draws=60)
    assert told == []
    bad = list(plain.table().query("not usable")["patient"])
    assert len(bad) == 2
    assert f"fit again without {', '.join(bad)}" in repr(plain)
    again = ck.leave_patients_out(small_fit, draws=60, refit=True)
    assert told == bad
    table = again.table().set_index("patient")
    assert table["usable"].all()
    assert list(table.index[table["refitted"]]) == bad
    assert (table.loc[bad, "elpd"] == -50).all()
    assert f"{len(bad)} fitted again" in repr(again)


def test_elpd_is_a_row_beside_the_others(small_fit, told, tmp_path, monkeypatch):
    strict(monkeypatch, small_fit, seed=2026)
    plan, (job, *_) = jobs(small_fit, prior_scale=2)
    assert not plan.reweight
    small_fit.save(tmp_path / "fit.nc")
    job = replace(job, fit_file=(tmp_path / "fit.nc").read_bytes())
    (result,) = work(job).results.values()
    cmax, elpd = result["rows"]
    assert cmax["estimand"].startswith("geometric mean of cmax")
    out = ck.leave_patients_out(small_fit, seed=2026, refit=True)
    assert elpd["estimand"] == ESTIMAND
    assert elpd["estimate"] == pytest.approx(out.elpd)
    assert elpd["hi"] - elpd["estimate"] == pytest.approx(1.959964 * out.standard_error, rel=1e-6)
    assert elpd["status"] == "done"
    assert "fitted again" in elpd["method"]
    assert elpd["khat_max"] <= weights.LARGEST_KHAT  # of those that were not
    assert sum(result["elpd"].values()) == pytest.approx(out.elpd)


def test_other_samples_are_not_compared(small_fit, tmp_path):
    _, (_, job) = jobs(small_fit, blq="drop")
    small_fit.save(tmp_path / "fit.nc")
    job = replace(job, fit_file=(tmp_path / "fit.nc").read_bytes())
    (result,) = work(job).results.values()
    assert result["rows"][1]["status"] == "failed"
    assert "other samples do not compare" in result["rows"][1]["reason"]
    assert result["elpd"] == {}


def test_another_base_case_makes_another_row(small_fit):
    plain, _ = jobs(small_fit, blq="drop")
    dropped, _ = jobs(small_fit, blq="m3", base={"blq": "drop"})
    assert plain.keys["blq=drop"] != dropped.keys["base"]
    assert plain.base_fit != dropped.base_fit


def test_leukocytes_are_no_samples(small_fit):
    plan, _ = jobs(small_fit, wbc="ignored", visits=[[7, 14]])
    same = {a.name: a.same_samples for group in plan.analyses.values() for a in group}
    assert same == {"base": True, "wbc=ignored": True, "visits=7/14": False}


def test_a_model_without_subsets_does_not_predict_the_share(small_fit):
    plan, _ = jobs(small_fit, model="stein_2019", residual="student_t")
    same = {a.name: a.same_samples for group in plan.analyses.values() for a in group}
    assert same == {"base": True, "model=stein_2019": False, "residual=student_t": True}


def test_differences_are_those_of_the_patients():
    base = {"A": -10.0, "B": -12.0, "C": -9.0}
    better = {"A": -5.0, "B": -8.0, "C": -3.0}
    table = differences({"base": base, "x": better, "y": {"A": -1.0}}, "base")
    assert list(table["analysis_id"]) == ["base", "x"]
    x = table.set_index("analysis_id").loc["x"]
    assert x["difference"] == pytest.approx(15)
    assert x["standard_error"] == pytest.approx(np.sqrt(3) * np.std([5, 4, 6], ddof=1))
    assert x["verdict"] == "better"
    near = {"A": -9.0, "B": -11.0, "C": -8.0}
    assert differences({"base": base, "x": near}, "base")["verdict"][1] == "no preference"


def test_samples_alone_predict_nobody(synthetic):
    with pytest.raises(BatchError, match="'elpd' needs a fit"):
        ck.variants(quantities=["elpd"]).plan(None, synthetic, method="samples")


def test_a_fit_with_covariates_is_not_repeated(small_fit):
    plan = replace(small_fit.plan, covariates=object())
    with pytest.raises(FitError, match="centers would move"):
        predicted_without(replace(small_fit, _plan=plan), "S01", draws=10, seed=0)
