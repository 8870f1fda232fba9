"""An assay link whose slope is held: levels of qPCR and flow are proportional."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import BatchError, CarkineticsWarning, FitError


@pytest.fixture(scope="module")
def proportional() -> ck.Fit:
    """Return a quick fit of eight SYNTHETIC patients with the slope held at 1."""
    model = ck.load_model("stein_2019")
    cohort = ck.simulate(model, 8, seed=3, visits=(5.0, 8.0, 11.0, 14.0, 21.0, 28.0, 60.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        return ck.fit(
            model, cohort, seed=1, method="laplace", draws=50, link_slope=1, prior_check=False,
            progress="none",
        )  # fmt: skip


def test_the_curve_of_qpcr_is_a_multiple_of_the_curve(proportional):
    assert "link_slope" not in proportional.data["posterior"]
    days = [10.0, 20.0]
    total = proportional.curves(days, ["S03"]).sel(cell_type="total").values
    copies = proportional.qpcr_curves(days, ["S03"]).values
    patient = proportional.cohort.samples("qpcr")
    patient = patient[patient["patient"] == "S03"]
    wbc = np.exp(np.interp(days, patient["day"], np.log(patient["wbc_per_ul"])))
    posterior = proportional.data["posterior"].to_dataset()
    by_wbc = posterior["wbc_slope"].values[..., None, None] * np.log(wbc / 1000)
    ratio = np.log(copies / total) + by_wbc
    assert ratio[..., 0] == pytest.approx(ratio[..., 1], abs=1e-9)


def test_it_is_kept_with_the_fit_and_told(proportional, tmp_path):
    again = ck.load_fit(proportional.save(tmp_path / "fit.nc"))
    assert again.settings["link_slope"] == 1.0
    assert again.plan.link_slope == 1.0
    assert "link_slope" not in again.settings["priors"]
    assert np.array_equal(again.qpcr_curves([9.0]).values, proportional.qpcr_curves([9.0]).values)
    exposures = ck.summarize(proportional, ["cmax"], assay="qpcr", allow_failed=True)
    assert np.isfinite(exposures.data["cmax"]).all()
    page = ck.write_report(proportional, tmp_path / "report.html", allow_failed=True)
    assert "with a slope held at 1" in page.read_text()


def test_a_patient_left_out_is_predicted_through_the_same_link(proportional):
    found = ck.leave_patients_out(proportional, ["S03"])
    assert np.isfinite(found.elpd)


def test_a_slope_without_a_link_is_refused(synthetic):
    model = ck.load_model("stein_2019")
    with pytest.raises(FitError, match="no link without both flow and qPCR"):
        ck.fit(model, synthetic, seed=1, assays=["flow"], link_slope=1)
    with pytest.raises(FitError, match="link_slope=-1: give a number above 0"):
        ck.fit(model, synthetic, seed=1, link_slope=-1)


def test_it_is_a_factor_of_a_batch(synthetic):
    model = ck.load_model("stein_2019")
    listed = [{"link_slope": 1, "assay": "flow"}]
    plan = ck.variants(link_slope=[1], listed=listed).plan(model, synthetic, method="laplace")
    assert plan.n_fits == 3
    assert list(plan.refused) == ["assay=flow, link_slope=1"]
    with pytest.raises(BatchError, match="link_slope"):
        ck.variants(link_slope=["steep"]).plan(model, synthetic, method="laplace")
