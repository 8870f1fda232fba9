"""Posterior curves and the quantities taken from them, against the solver and fine grids."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.likelihood import link_log_copies
from carkinetics.solve.curves import latent_levels

HORIZON, LIMIT = 60.0, 2.0
QUANTITIES = ("cmax", "tmax", "auc_0_28", "persistence", "level_28", "level_90")
SAMPLE_DIMS = ("chain", "draw", "patient", "cell_type")


@pytest.fixture(scope="module")
def exposure(small_fit):
    return ck.summarize(
        small_fit, QUANTITIES, limit=LIMIT, horizon=HORIZON, at_days=(28, 90), allow_failed=True
    )


@pytest.fixture(scope="module")
def fine(small_fit):
    """Twelve curves on a grid of a thousandth of a day: day, level (draw, cell type, day)."""
    days = np.arange(0, 60_001) / 1000
    parameters = small_fit.patient_draws()[0, :12, 1]
    found = latent_levels(small_fit.plan.system, parameters, days, tolerance=1e-10)
    return days, np.exp(found.log_level)


def of_patient_two(exposure, name):
    return exposure.data[name].values[0, :12, 1]


# --- curves -----------------------------------------------------------------------------------


def test_curves_equal_the_solver(small_fit):
    days = np.unique(small_fit.plan.layout.days)
    curves = small_fit.curves(days)
    assert curves.dims == (*SAMPLE_DIMS, "day")
    assert curves.attrs["units"] == "cells/uL"
    assert list(curves["cell_type"].values) == ["CD4", "CD8", "total"]
    parameters = small_fit.patient_draws()
    for draw, patient in ((4, 0), (44, 3)):
        one = latent_levels(
            small_fit.plan.system, parameters[1, draw, [patient]], days, tolerance=1e-10
        )
        values = curves.values[1, draw, patient]
        # The fit asks the solver for 1e-6 per step; ln levels are good to 1e-4.
        assert np.log(values) == pytest.approx(one.log_level[0], abs=1e-4)


def test_total_is_the_sum_of_cd4_and_cd8(small_fit):
    curves = small_fit.curves([0.0, 3.0, 10.5, 28.0, 300.0])
    parts = curves.sel(cell_type="CD4") + curves.sel(cell_type="CD8")
    assert curves.sel(cell_type="total").values == pytest.approx(parts.values, rel=1e-12)


def test_curves_of_chosen_patients_are_the_same_ones(small_fit):
    days = [7.0, 14.0]
    chosen = small_fit.curves(days, ["S03", "S01"])
    assert list(chosen["patient"].values) == ["S03", "S01"]
    assert np.array_equal(chosen.values, small_fit.curves(days).sel(patient=["S03", "S01"]).values)


def test_qpcr_curves_come_through_the_link_by_hand(small_fit):
    """One draw: total, leukocytes of the patient between draws of blood, own offset."""
    days = np.array([3.0, 12.0, 500.0])
    found = small_fit.qpcr_curves(days, ["S02"])
    assert found.dims == ("chain", "draw", "patient", "day")
    assert found.attrs["units"] == "copies/ug"
    draw = small_fit.data["posterior"].to_dataset().isel(chain=1, draw=17)
    total = small_fit.curves(days, ["S02"]).sel(cell_type="total").values[1, 17, 0]
    rows = small_fit.cohort.samples("qpcr")
    rows = rows[rows["patient"] == "S02"]
    wbc = np.exp(np.interp(days, rows["day"], np.log(rows["wbc_per_ul"])))
    assert wbc[0] == pytest.approx(rows["wbc_per_ul"].iloc[0])
    assert wbc[2] == pytest.approx(rows["wbc_per_ul"].iloc[-1])
    by_hand = np.exp(
        np.log(151_515.1515 * 100 / 1000)
        + float(draw["log_copies_per_cell"])
        + float(draw["link_slope"]) * np.log(total / 100)
        - float(draw["wbc_slope"]) * np.log(wbc / 1000)
        + float(draw["qpcr_shift"].sel(patient="S02"))
    )
    assert found.values[1, 17, 0] == pytest.approx(by_hand, rel=1e-8)
    same = link_log_copies(
        np.log(total), np.log(wbc), *(float(draw[n]) for n in (
            "log_copies_per_cell", "link_slope", "wbc_slope")),
        float(draw["qpcr_shift"].sel(patient="S02")),
    )  # fmt: skip
    assert np.exp(same) == pytest.approx(by_hand, rel=1e-8)


def test_population_curves_are_those_of_the_typical_patient(small_fit):
    days = [0.0, 10.0, 28.0]
    typical = small_fit.population_curves(days)
    assert typical.dims == ("chain", "draw", "cell_type", "day")
    group = small_fit.data["carkinetics/population"].to_dataset().isel(chain=0, draw=9)
    values = np.array([[float(group[p.name]) for p in small_fit.plan.parameters]])
    one = latent_levels(small_fit.plan.system, values, np.array(days), tolerance=1e-10)
    assert np.log(typical.values[0, 9]) == pytest.approx(one.log_level[0], abs=1e-4)


def test_new_patients_scatter_around_the_typical_one(small_fit):
    days = [10.0]
    first = small_fit.population_curves(days, new_patient=True, seed=4)
    assert np.array_equal(
        first.values, small_fit.population_curves(days, new_patient=True, seed=4).values
    )
    typical = np.log(small_fit.population_curves(days).values)
    assert np.log(first.values)[:, :, 2].std() > typical[:, :, 2].std()


@pytest.mark.parametrize("days", [[-1.0, 0.0], [5.0, 3.0], [], [np.nan], [[1.0]]])
def test_days_that_make_no_curve_are_refused(small_fit, days):
    with pytest.raises(DataError, match="curves: days"):
        small_fit.curves(days)


def test_a_patient_that_was_not_fitted_is_named(small_fit):
    with pytest.raises(DataError, match=r"no fitted samples of patient\(s\) S17"):
        small_fit.curves([1.0], ["S01", "S17"])


# --- quantities -------------------------------------------------------------------------------


def test_dims_and_units_are_always_the_same(exposure):
    units = {
        "cmax": "cells/uL", "tmax": "day", "auc_0_28": "cells/uL*day", "persistence": "day",
        "level_28": "cells/uL", "level_90": "cells/uL", "detectable_28": "", "detectable_90": "",
    }  # fmt: skip
    assert exposure.quantities == tuple(units)
    for name, unit in units.items():
        values = exposure.data[name]
        assert values.dims == SAMPLE_DIMS
        assert values.attrs["units"] == unit
        assert exposure.population[name].dims == ("chain", "draw", "who", "cell_type")
        assert np.isfinite(values.values).all()
    assert list(exposure.data["cell_type"].values) == ["CD4", "CD8", "total"]


def test_cmax_is_at_least_every_level(exposure, small_fit):
    highest = small_fit.curves(np.linspace(0, HORIZON, 121)).max("day").values
    assert (exposure.data["cmax"].values >= highest * (1 - 1e-4)).all()


def test_cmax_and_tmax_equal_a_fine_grid(exposure, fine):
    days, level = fine
    assert of_patient_two(exposure, "cmax") == pytest.approx(level.max(axis=-1), rel=1e-4)
    assert of_patient_two(exposure, "tmax") == pytest.approx(days[level.argmax(axis=-1)], abs=0.02)


def test_auc_equals_the_trapezoid_on_a_fine_grid(exposure, fine):
    days, level = fine
    until = days <= 28
    area = np.trapezoid(level[..., until], days[until], axis=-1)
    assert of_patient_two(exposure, "auc_0_28") == pytest.approx(area, rel=1e-4)


def test_persistence_equals_the_crossing_on_a_fine_grid(exposure, fine):
    """P5: last downward crossing; 0 where never above the limit; the horizon where still above."""
    days, level = fine
    above = level > LIMIT
    last = above.shape[-1] - 1 - above[..., ::-1].argmax(axis=-1)
    crossing = np.where(above.any(axis=-1), days[last], 0.0)
    found = of_patient_two(exposure, "persistence")
    assert found == pytest.approx(np.minimum(crossing, HORIZON), abs=0.02)
    assert ((found > 0) & (found < HORIZON)).any()


def test_persistence_ends_at_zero_and_at_the_horizon(small_fit):
    never = ck.summarize(small_fit, ["persistence"], limit=1e6, horizon=60, allow_failed=True)
    assert (never.data["persistence"].values == 0).all()
    assert (never.censored.values == 0).all()
    always = ck.summarize(small_fit, ["persistence"], limit=1e-12, horizon=30, allow_failed=True)
    assert (always.data["persistence"].values == 30).all()
    assert (always.censored.values == 1).all()
    notes = always.table()
    notes = notes[notes["quantity"] == "persistence"]["note"]
    assert notes.str.contains(r"beyond day 30 in 100% of draws \(censored\)").all()


def test_detectable_is_the_share_of_draws_above_the_limit(exposure):
    table = exposure.table()
    rows = table[table["quantity"] == "detectable_28"].set_index(["patient", "cell_type"])
    share = (exposure.data["level_28"] > LIMIT).mean(("chain", "draw"))
    for patient in exposure.data["patient"].values:
        for cell in exposure.data["cell_type"].values:
            expected = float(share.sel(patient=patient, cell_type=cell))
            assert rows.loc[(patient, cell), "estimate"] == pytest.approx(expected)
    assert set(rows["statistic"]) == {"probability"}
    assert rows[["lower", "upper", "probability"]].isna().all(axis=None)


def test_levels_are_those_of_the_curves(exposure, small_fit):
    curves = small_fit.curves([28.0, 90.0])
    for k, name in enumerate(("level_28", "level_90")):
        values = exposure.data[name].values
        assert values == pytest.approx(curves.values[..., k], rel=2e-4)


def test_checked_exposure_is_the_reported_one(exposure, small_fit):
    """Convergence is judged on the same Cmax and AUC that are reported."""
    checked = small_fit.data["carkinetics/exposure_check"]
    total = exposure.data.sel(cell_type="total")
    # The check keeps to days a quarter apart, which costs up to 1e-4 of the peak and 1e-5 of the
    # area; both are far below the Monte-Carlo error of the draws.
    assert checked["auc_0_28"].values == pytest.approx(total["auc_0_28"].values, rel=1e-5)
    assert checked["cmax"].values == pytest.approx(total["cmax"].values, rel=1e-4)
    assert checked["cmax"].attrs == {"cell_type": "total", "units": "cells/uL"}


# --- tables -----------------------------------------------------------------------------------


def test_table_states_unit_probability_and_kind_of_interval(exposure):
    table = exposure.table(probability=0.8)
    assert list(table.columns) == [
        "patient", "cell_type", "quantity", "label", "estimate", "lower", "upper", "unit",
        "statistic", "probability", "interval", "note",
    ]  # fmt: skip
    assert len(table) == 4 * 3 * len(exposure.quantities)
    row = table[(table["patient"] == "S02") & (table["cell_type"] == "CD8")]
    row = row[row["quantity"] == "cmax"].iloc[0]
    draws = exposure.data["cmax"].sel(patient="S02", cell_type="CD8").values.ravel()
    assert row["estimate"] == pytest.approx(np.median(draws))
    assert [row["lower"], row["upper"]] == pytest.approx(list(np.quantile(draws, [0.1, 0.9])))
    assert (row["probability"], row["interval"], row["unit"]) == (0.8, "equal-tailed", "cells/uL")


@pytest.mark.parametrize("by", ["patient", "cell_type", "quantity"])
def test_table_is_sorted_by(exposure, by):
    table = exposure.table(by=by)
    assert table[by].is_monotonic_increasing or by != "patient"
    assert len(table[by].drop_duplicates()) == (table[by] != table[by].shift()).sum()


def test_what_lies_after_the_last_sample_is_noted(exposure):
    table = exposure.table()
    note = "extrapolated after the last sample on day 60"
    assert (table[table["quantity"] == "level_90"]["note"] == note).all()
    assert (table[table["quantity"] == "detectable_90"]["note"] == note).all()
    assert (table[table["quantity"].isin(["cmax", "auc_0_28", "level_28"])]["note"] == "").all()


def test_population_table_has_the_typical_and_a_new_patient(exposure):
    table = exposure.population_table()
    assert list(table["who"].unique()) == ["typical patient", "new patient"]
    width = table[(table["quantity"] == "cmax") & (table["cell_type"] == "total")]
    width = np.log(width.set_index("who")["upper"] / width.set_index("who")["lower"])
    assert width["new patient"] > width["typical patient"]


def test_exposure_prints_what_it_is(exposure):
    text = repr(exposure)
    assert "[SYNTHETIC, not patient data]" in text
    assert "limit 2 cells/uL, horizon day 60" in text
    assert "<table" in exposure._repr_html_()


def test_defaults_are_the_median_limit_and_the_last_sample(small_fit):
    found = ck.summarize(small_fit, "persistence", allow_failed=True)
    assert found.limit == 0.5
    assert found.horizon == 60.0
    assert found.quantities == ("persistence", "detectable_28", "detectable_90", "detectable_180")


def test_without_any_limit_persistence_is_missing_with_its_reason(small_fit):
    """Two of the samples had a limit; here none has, and no number is made up."""
    layout = small_fit.plan.layout
    flow = dataclasses.replace(layout.flow, table=layout.flow.table.assign(lloq=np.nan))
    bare = dataclasses.replace(
        small_fit,
        _plan=dataclasses.replace(small_fit.plan, layout=dataclasses.replace(layout, flow=flow)),
    )
    table = ck.summarize(bare, ["persistence", "cmax"], allow_failed=True).table()
    lost = table[table["quantity"] != "cmax"]
    assert lost["estimate"].isna().all()
    assert (lost["note"] == "no limit of quantification: pass limit= to summarize").all()
    assert table[table["quantity"] == "cmax"]["estimate"].notna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantities": ["half_life"]}, "quantity 'half_life': is unknown"),
        ({"quantities": []}, "no quantity"),
        ({"limit": 0.0}, "limit: is 0"),
        ({"limit": np.inf}, "limit: is inf"),
        ({"horizon": 0.5}, "horizon: is day 0.5"),
        ({"horizon": np.inf}, "horizon: is day inf"),
        ({"at_days": [28.5]}, r"at_days: has 28\.5"),
    ],
)
def test_what_makes_no_sense_is_refused(small_fit, options, message):
    with pytest.raises(DataError, match=message):
        ck.summarize(small_fit, **options, allow_failed=True)


def test_tables_refuse_what_they_do_not_know(exposure):
    with pytest.raises(DataError, match="by='day'"):
        exposure.table(by="day")
    with pytest.raises(DataError, match="probability=95"):
        exposure.table(probability=95)
