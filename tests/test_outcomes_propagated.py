"""The cut posterior: classical estimates of single draws, pooled."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import carkinetics as ck
from carkinetics.outcomes import auroc, cox

CUT = "propagated (cut)"


def exposures_with(cohort: ck.Cohort, noise: float, seed: int = 1) -> SimpleNamespace:
    """Return exposures whose draws scatter around the observed peak (log SD `noise`)."""
    peak = ck.observed_quantities(cohort, quantities=["cmax"])["observed_cmax"].to_numpy(float)
    rng = np.random.default_rng(seed)
    draws = peak * np.exp(noise * rng.standard_normal((2, 200, 16)))
    dims = ("chain", "draw", "patient", "cell_type")
    coordinates = {"patient": list(cohort.patient_ids), "cell_type": ["total"]}
    data = xr.Dataset(
        {"cmax": (dims, draws[..., None], {"units": "cells/uL"}),
         "tmax": (dims, np.full((2, 200, 16, 1), 14.0), {"units": "day"})},
        coords=coordinates,
    )  # fmt: skip
    return SimpleNamespace(cohort=cohort, data=data)


def cut(association: ck.Association, start: str):
    return next(e for e in association.of_mode(CUT) if e.method.startswith(start))


def test_draws_that_agree_give_the_plain_estimate(synthetic):
    found = ck.associate(exposures_with(synthetic, 0.0), outcome="ttp")
    pooled = cut(found, "Cox (Efron), Rubin's rules")
    peak = ck.observed_quantities(synthetic, quantities=["cmax"])["observed_cmax"]
    table = synthetic.patients
    plain = cox(table["ttp_day"], table["progressed"], np.log(peak))
    assert pooled.estimate == pytest.approx(2 ** plain.coefficients[0], rel=1e-5)
    assert "100 draws" in pooled.interval_kind
    # Student t with the freedom of Barnard and Rubin, which is below events - 1.
    wald = 2 ** (plain.coefficients[0] + 1.959964 * plain.standard_errors[0])
    assert pooled.upper > wald


@pytest.mark.parametrize(
    ("outcome", "method"),
    [
        ("ttp", "Cox (Efron), Rubin's rules"),
        ("iec_hs", "Firth logistic, Rubin's rules"),
        ("crs_grade", "proportional odds, Rubin's rules"),
    ],
)
def test_noisy_kinetics_weaken_the_pooled_ratio_and_widen_it(synthetic, outcome, method):
    sharp = cut(ck.associate(exposures_with(synthetic, 0.05), outcome=outcome), method)
    noisy = cut(ck.associate(exposures_with(synthetic, 1.5), outcome=outcome), method)
    assert abs(np.log(noisy.estimate)) < abs(np.log(sharp.estimate))
    assert noisy.p_value > sharp.p_value
    assert "sensitivity analysis" in noisy.note


def test_rank_statistics_over_draws_are_described_and_never_tested(synthetic):
    found = ck.associate(exposures_with(synthetic, 0.4), outcome="iec_hs")
    area = cut(found, "AUROC")
    assert np.isnan(area.p_value)
    assert "no test" in area.note
    peak = ck.observed_quantities(synthetic, quantities=["cmax"])["observed_cmax"]
    truth = auroc(peak, synthetic.patients["iec_hs"]).estimate
    assert area.lower <= truth <= area.upper


def test_the_propagated_estimate_can_be_left_out(synthetic):
    exposures = exposures_with(synthetic, 0.4)
    assert not ck.associate(exposures, outcome="iec_hs", propagate=False).of_mode(CUT)


def test_draws_without_an_estimate_are_counted_or_give_a_reason(synthetic):
    exposures = exposures_with(synthetic, 0.0)
    exposures.data["cmax"][:] = 7.0
    found = cut(ck.associate(exposures, outcome="ttp"), "Cox")
    assert found.missing
    assert found.note == "only 0 of 100 draws have a finite estimate"
