"""Quantities of the curve as qPCR sees it: closed forms, fine grids and the link by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.exposure.qpcr_curve import Leukocytes, Link, through_link, with_days
from carkinetics.likelihood import GENOMES_PER_UG
from carkinetics.quantities import Curve, auc, cmax, level_at, loss, tmax

HORIZON, LIMIT = 60.0, 3000.0
NAMES = ["cmax", "tmax", "auc_0_28", "persistence", "level_12", "quantifiable_28", "mean_level"]
DAILY = tuple(map(float, range(101)))
ONE = Link(np.zeros(()), np.ones(()), np.ones(()))  # one copy per cell, both exponents 1


@pytest.fixture(scope="module")
def exposure(small_fit):
    return ck.summarize(
        small_fit, NAMES, assay="qpcr", limit=LIMIT, horizon=HORIZON, at_days=(28,),
        allow_failed=True,
    )  # fmt: skip


def falling(rate, day=(0.0, 100.0)):
    """Make one cell type that falls from 10 cells/uL at a constant rate."""
    day = np.array(day)
    return Curve(day, np.log(10) - rate * day[None, :], np.full((1, day.size), -rate))


# The curve.


def test_p5_by_qpcr_of_constant_cells_is_the_day_their_leukocytes_are_back():
    """Closed form: 1 cell/uL is above 50 copies/ug while leukocytes are below 3,030 per uL."""
    day = np.array([0.0, 40.0])
    cells = Curve(day, np.zeros((1, 2)), np.zeros((1, 2)))
    wbc = Leukocytes(np.array([10.0, 20.0]), np.log([500.0, 5000.0]))
    seen = dataclasses.replace(through_link(cells, ONE, wbc), limit=np.array(50.0))
    expected = 10 + 10 * np.log(GENOMES_PER_UG / 50 / 500) / np.log(10)
    assert loss(seen).day == pytest.approx([expected], rel=1e-12)
    # B-03: the limit is 0.165 cells/uL at 500 leukocytes, 1.65 at 5,000.
    assert level_at(seen, 5.0) / 50 == pytest.approx(1 / 0.165, rel=1e-12)
    assert level_at(seen, 30.0) / 50 == pytest.approx(1 / 1.65, rel=1e-12)


@pytest.mark.parametrize(("slope", "by_wbc"), [(1.0, 1.0), (0.6, 0.4), (0.7, 0.0)])
def test_an_exponential_decline_stays_exponential_between_draws_of_blood(slope, by_wbc):
    """Closed form of peak, level, area and crossing: straight pieces of ln copies."""
    knots, counts = np.array([3.0, 7.0, 30.0]), np.array([1000.0, 200.0, 6000.0])
    link = Link(np.log(np.full((), 2.0)), np.full((), slope), np.full((), by_wbc))
    seen = through_link(falling(0.1, DAILY), link, Leukocytes(knots, np.log(counts)), 0.3)

    def by_hand(day):
        wbc = np.exp(np.interp(day, knots, np.log(counts)))
        cells = 10 * np.exp(-0.1 * day) / 100
        return 2 * GENOMES_PER_UG * 0.1 * np.exp(0.3) * cells**slope * (wbc / 1000) ** -by_wbc

    for day in (0.0, 2.0, 5.5, 7.0, 18.0, 100.0):
        assert level_at(seen, day) == pytest.approx([by_hand(day)], rel=1e-12)
    # Without leukocytes in the link the curve falls from day 0; with them the nadir is the peak.
    top = max((0.0, 3.0, 7.0, 30.0, 100.0), key=by_hand)
    assert tmax(seen) == pytest.approx([top], abs=1e-9)
    assert cmax(seen) == pytest.approx([by_hand(top)], rel=1e-12)
    ends = np.array([0.0, 3.0, 7.0, 28.0])
    at = by_hand(ends)
    pieces = np.diff(ends) * np.diff(at) / np.log(at[1:] / at[:-1])
    assert auc(seen, 0.0, 28.0) == pytest.approx([pieces.sum()], rel=1e-9)
    limit = by_hand(50.0)
    late = dataclasses.replace(seen, limit=np.array(limit))
    assert loss(late).day == pytest.approx([50.0], abs=1e-9)


def test_cutting_a_curve_on_days_changes_nothing():
    """Random cubics, one row of days for all or one for each; days outside are left out."""
    rng = np.random.default_rng(3)
    for shape in ((9,), (5, 9)):
        day = np.sort(rng.uniform(0, 40, shape), axis=-1)
        day[..., 0], day[..., -1] = 0.0, 40.0
        curve = Curve(day, rng.normal(size=(5, 9)), rng.normal(size=(5, 9)))
        cut = np.array([-1.0, 3.3, 20.0, 55.0])
        cut_days, levels, slopes = with_days(curve, cut)
        assert cut_days.shape[-1] == 9 + 4
        assert (np.diff(cut_days) >= 0).all()
        one = cut_days[0] if len(cut_days) == 1 else cut_days
        whole = Curve(one, levels, slopes)
        for at in (0.0, 1.1, 3.3, 17.0, 20.0, 33.0, 40.0):
            assert level_at(whole, at) == pytest.approx(level_at(curve, at), rel=1e-9)
        assert cmax(whole) == pytest.approx(cmax(curve), rel=1e-9)


def test_a_draw_of_blood_on_a_day_of_the_curve_is_a_kink_all_the_same():
    """The nodes of the curve are whole days, as the days of visits often are."""
    wbc = Leukocytes(np.array([7.0, 14.0]), np.log([200.0, 4000.0]))
    coarse, fine = (through_link(falling(0.1, days), ONE, wbc) for days in ((0.0, 100.0), DAILY))
    assert auc(coarse, 7, 14) == pytest.approx(auc(fine, 7, 14), rel=1e-6)
    assert tmax(fine) == pytest.approx([0.0])
    for day in (6.99, 7.01, 10.0, 13.99, 14.01):
        assert level_at(fine, day) == pytest.approx(level_at(coarse, day), rel=1e-9)


def test_each_curve_may_have_leukocytes_of_its_own():
    day = np.array([0.0, 50.0, 100.0])
    two = Curve(day, np.zeros((2, 1, 3)), np.zeros((2, 1, 3)))
    counts = np.log([[500.0, 5000.0], [2000.0, 2000.0]])
    link = Link(*(np.full(2, v) for v in (0.0, 1.0, 1.0)))
    seen = through_link(two, link, Leukocytes(np.array([10.0, 30.0]), counts))
    middle = np.exp([(np.log(500) + np.log(5000)) / 2, np.log(2000)])
    assert level_at(seen, 20.0)[:, 0] == pytest.approx(GENOMES_PER_UG / middle, rel=1e-12)
    assert level_at(seen, 90.0)[:, 0] == pytest.approx(GENOMES_PER_UG / np.array([5000, 2000]))


# A fit.


def test_curve_of_qpcr_is_that_of_the_fit(exposure, small_fit):
    """Levels by `Fit.qpcr_curves`, which applies the link to single days."""
    assert exposure.data["cmax"].attrs["units"] == "copies/ug"
    assert list(exposure.data["cell_type"].values) == ["total"]
    days = np.array([12.0])
    expected = small_fit.qpcr_curves(days).values[..., 0]
    assert exposure.data["level_12"].values[..., 0] == pytest.approx(expected, rel=2e-4)


def test_p5_by_qpcr_is_the_crossing_on_a_fine_grid(exposure, small_fit):
    days = np.arange(0, 6001) / 100
    fine = small_fit.qpcr_curves(days, ["S02"]).values[:, :, 0]
    own = exposure.data.sel(patient="S02", cell_type="total")
    assert own["cmax"].values == pytest.approx(fine.max(axis=-1), rel=1e-3)
    assert own["auc_0_28"].values == pytest.approx(
        np.trapezoid(fine[..., :2801], days[:2801], axis=-1), rel=1e-3
    )
    above = fine > LIMIT
    last = np.where(above.any(axis=-1), days[6000 - above[..., ::-1].argmax(axis=-1)], 0.0)
    assert own["persistence"].values == pytest.approx(last, abs=0.0101)
    assert ((last > 0) & (last < HORIZON)).mean() > 0.5  # most draws say something


def test_limit_is_that_of_qpcr_by_default(small_fit):
    found = ck.summarize(small_fit, ["persistence"], assay="qpcr", allow_failed=True)
    limits = small_fit.cohort.samples("qpcr")["lloq"]
    assert found.limit == limits.median() == 50
    assert "qpcr curve, limit 50" in repr(found)
    usual = ck.summarize(small_fit, ["cmax"], allow_failed=True)
    assert (usual.assay, found.assay) == ("flow", "qpcr")


def test_population_has_the_mean_leukocytes_and_new_patients_those_of_one(exposure, small_fit):
    """The typical patient by hand on day 12; new patients vary more than what is known of it."""
    typical = small_fit.population_curves([12.0]).sel(cell_type="total").values[..., 0]
    rows = small_fit.cohort.samples("qpcr")
    counts = [
        np.interp(12.0, own["day"], np.log(own["wbc_per_ul"])) for _, own in rows.groupby("patient")
    ]
    post = small_fit.data["posterior"]
    by_hand = np.exp(
        np.log(GENOMES_PER_UG * 0.1)
        + post["log_copies_per_cell"].values
        + post["link_slope"].values * np.log(typical / 100)
        - post["wbc_slope"].values * (np.mean(counts) - np.log(1000))
    )
    people = exposure.population["level_12"].isel(cell_type=0)
    assert people.sel(who="typical patient").values == pytest.approx(by_hand, rel=2e-3)
    new = np.log(people.sel(who="new patient").values)
    assert np.isfinite(new).all()
    assert new.std() > np.log(people.sel(who="typical patient").values).std()


def test_sample_is_quantifiable_with_the_error_of_qpcr(exposure, small_fit):
    from scipy import stats

    level = small_fit.qpcr_curves([28.0]).values[..., 0]
    sigma = small_fit.data["posterior"]["sigma_qpcr"].values[..., None]
    expected = stats.norm.cdf(np.log(level / LIMIT) / sigma)
    assert exposure.data["quantifiable_28"].values[..., 0] == pytest.approx(expected, abs=1e-3)


def test_samples_of_qpcr_stand_beside_the_curve_of_qpcr(exposure):
    table = exposure.against_samples()
    assert set(table["cell_type"]) == {"total"}
    assert table.query("quantity == 'cmax'")["unit"].eq("copies/ug").all()
    assert (table["reason"] != "").all()
    known = table[table["quantity"].isin(["cmax", "auc_0_28"])].dropna(subset=["error"])
    product = known[["between", "blq", "extrapolated", "error"]].prod(axis=1)
    assert len(known) >= 4
    assert product.to_numpy() == pytest.approx(known["ratio"].to_numpy())


def test_why_tells_link_and_leukocytes(exposure):
    why = exposure.why("S02", "persistence")
    assert "through the assay link" in why.facts["curve"]
    assert "leukocytes of 7 draws of blood" in why.facts["curve"]
    assert why.facts["limit"] == "3000 copies/ug (as given)"


def test_what_was_not_fitted_is_refused(small_fit):
    settings = dict(small_fit.settings) | {"assays": ["flow"]}
    flow_only = dataclasses.replace(small_fit, settings=settings)
    with pytest.raises(DataError, match="'qpcr' was not fitted"):
        ck.summarize(flow_only, ["cmax"], assay="qpcr", allow_failed=True)
    with pytest.raises(DataError, match="'elisa' was not fitted"):
        ck.summarize(small_fit, ["cmax"], assay="elisa", allow_failed=True)
