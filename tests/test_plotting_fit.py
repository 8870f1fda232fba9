"""Figures of a fit: levels with their curves, exposures, associations."""

from __future__ import annotations

import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.inference.planning import plan_fit
from carkinetics.plotting.style import PHONE_WIDTH
from carkinetics.simulation import true_parameters

MODEL = ck.load_model("cd4_cd8_expansion")


def words_of(picture) -> str:
    """Return all words, with the breaks of lines undone."""
    picture.figure.draw_without_rendering()
    texts = picture.figure.findobj(matplotlib.text.Text)
    return " ".join(" ".join(t.get_text().split()) for t in texts if t.get_visible())


def lines_of(axes, label):
    return [line for line in axes.get_lines() if line.get_label() == label]


class Unsampled(ck.Fit):
    """Curves of chosen parameters; there is no sampler whose checks could fail."""

    def check(self, *_):
        return dataclasses.make_dataclass("Passed", ["passed"])(True)


def unsampled_fit(cohort, assays=None, n_draws=8) -> ck.Fit:
    """Return a fit whose draws lie around the true parameters; no compiling, no sampling."""
    plan = plan_fit(
        MODEL, cohort, assays=assays, patient_effects="normal", residual="normal",
        correlated=True, tolerance=1e-5,
    )  # fmt: skip
    patients = list(plan.layout.patients)
    unit = plan.layout.latent_unit
    truth = true_parameters(MODEL, len(patients), seed=5, unit=unit)
    rng = np.random.default_rng(3)
    draws = {}
    for parameter in plan.parameters:
        center = truth[parameter.name.replace("[total]", "[CD8]")].to_numpy(float)
        noise = np.exp(0.03 * rng.standard_normal((2, n_draws, len(patients))))
        draws[parameter.name] = (("chain", "draw", "patient"), center * noise)
    coords = {"chain": [0, 1], "draw": np.arange(n_draws)}
    groups = {
        "/posterior": xr.Dataset(coords=coords),
        "/carkinetics/parameters": xr.Dataset(draws, coords=coords | {"patient": patients}),
    }
    return Unsampled(MODEL, cohort, xr.DataTree.from_dict(groups), {}, plan)


def without_subsets(cohort) -> ck.Cohort:
    levels = cohort.levels[cohort.levels["cell_type"] == "total"]
    return ck.read_cohort(levels.drop(columns=["baseline", "row"]), cohort.patients)


@pytest.fixture(scope="module")
def virtual() -> ck.Cohort:
    """Four SYNTHETIC patients with days worth a mark."""
    cohort = ck.simulate(MODEL, 4, seed=5, visits=(3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0))
    levels = cohort.levels.drop(columns=["baseline", "row"])
    # The last patient has no sample after day 28.
    levels = levels[(levels["patient"] != "S04") | (levels["day"] <= 28)]
    patients = cohort.patients.assign(
        crs_grade=[0, 1, 2, 2], crs_onset_day=[np.nan, 5, 6, 7], iec_hs=[False, False, True, True],
        iec_hs_day=[np.nan, np.nan, 17, 18], ttp_day=[45.0, 50.0, 300.0, 28.0],
        progressed=[True, False, True, True], synthetic=True,
    )  # fmt: skip
    return ck.read_cohort(levels, patients)


@pytest.fixture(scope="module")
def both(virtual) -> ck.Fit:
    return unsampled_fit(virtual, ["flow"])


@pytest.fixture(scope="module")
def exposure(both) -> ck.Exposure:
    draws = {}
    rng = np.random.default_rng(8)
    shape = (2, 50, 4, 3)
    centers = {"cmax": 80.0, "tmax": 12.0, "auc_0_28": 900.0, "persistence": 40.0}
    units = {"cmax": "cells/uL", "tmax": "day", "auc_0_28": "cells/uL*day", "persistence": "day"}
    labels = {"cmax": "Cmax", "tmax": "Tmax", "auc_0_28": "AUC0-28d", "persistence": "Persistence"}
    levels = np.array([1.0, 4.0, 2.0, 0.5])[:, None] * np.array([0.2, 0.8, 1.0])
    for name, center in centers.items():
        values = center * levels * np.exp(0.2 * rng.standard_normal(shape))
        values = np.minimum(values, 60.0) if name == "persistence" else values
        draws[name] = (("chain", "draw", "patient", "cell_type"), values)
    draws["detectable_28"] = (("chain", "draw", "patient", "cell_type"), np.ones(shape))
    coords = {"chain": [0, 1], "draw": range(50), "cell_type": ["CD4", "CD8", "total"]}
    data = xr.Dataset(draws, coords=coords | {"patient": list(both.patients)})
    for name in draws:
        data[name].attrs = {
            "units": units.get(name, ""), "long_name": labels.get(name, "Detectable on day 28"),
        }  # fmt: skip
    population = data.isel(patient=[0, 1]).rename(patient="who")
    population = population.assign_coords(who=["typical patient", "new patient"])
    return ck.Exposure(
        data=data,
        population=population,
        censored=(data["persistence"] >= 60).mean(("chain", "draw")),
        last_sample=pd.Series([60.0, 60.0, 60.0, 28.0], index=list(both.patients)),
        cohort=both.cohort,
        limit=0.5,
        horizon=60.0,
    )


# Levels.


def test_a_fit_of_both_assays_has_one_panel_per_patient_and_assay(small_fit):
    picture = ck.plot_levels(small_fit, draws=40)
    assert len(picture.axes) == 8
    words = words_of(picture)
    for text in (
        "S01", "S04", "CAR+ cells", "[cells/µL]", "copies/µg DNA", "Day since infusion",
        "50 % interval", "90 % interval", "equal-tailed", "40 of 120 draws", "LLOQ",
    ):  # fmt: skip
        assert text in words, text
    assert "does not pass its checks" in words


def test_scales_of_an_assay_are_shared(small_fit):
    axes = ck.plot_levels(small_fit, draws=40).axes
    assert len({a.get_ylim() for a in axes[::2]}) == 1
    assert len({a.get_ylim() for a in axes[1::2]}) == 1
    assert len({a.get_xlim() for a in axes}) == 1


def test_a_bad_fit_is_told_from_a_good_one(both):
    assert "does not pass" not in words_of(ck.plot_levels(both))


def test_samples_below_the_limit_are_triangles_that_hang_from_it(small_fit):
    axes = ck.plot_levels(small_fit, draws=20).axes
    samples = small_fit.cohort.samples()
    for assay, panels in (("flow", axes[::2]), ("qpcr", axes[1::2])):
        below = samples[(samples["assay"] == assay) & samples["below_lloq"]]
        marks = [line for a in panels for line in lines_of(a, "below total")]
        drawn = np.concatenate([line.get_ydata() for line in marks])
        assert len(drawn) == len(below) > 0
        assert set(drawn) == set(below["lloq"])
        assert all(line.get_markerfacecolor() == "white" for line in marks)
        seen = np.concatenate([lines_of(a, "samples total")[0].get_ydata() for a in panels])
        total = samples[(samples["assay"] == assay) & (samples["cell_type"] == "total")]
        assert sorted(seen) == sorted(total.loc[~total["below_lloq"], "level"])


def test_bands_contain_the_median_and_the_outer_band_the_inner(small_fit):
    axes = ck.plot_levels(small_fit, ["S02"], assays=["flow"], cell_types="total", draws=60).axes[0]
    inner, outer = sorted(
        (band.get_paths()[0] for band in axes.collections), key=lambda p: np.ptp(p.vertices[:, 1])
    )
    days, median = lines_of(axes, "median total")[0].get_data()
    curves = small_fit.curves(days, ["S02"]).sel(cell_type="total").isel(patient=0)
    curves = curves.isel(draw=slice(None, None, 2))
    expected = curves.median(("chain", "draw")).to_numpy()
    in_view = expected > axes.get_ylim()[0]
    assert median[in_view] == pytest.approx(expected[in_view])
    ends = []
    for path in (inner, outer):
        frame = pd.DataFrame(path.vertices, columns=["day", "level"]).groupby("day")["level"]
        ends.append((frame.min().reindex(days).to_numpy(), frame.max().reindex(days).to_numpy()))
    (inner_low, inner_high), (outer_low, outer_high) = ends
    for lower, upper in ((outer_low, inner_low), (inner_low, median), (median, inner_high),
                         (inner_high, outer_high)):  # fmt: skip
        assert np.all(lower[in_view] <= upper[in_view] * (1 + 1e-12))
    high = curves.quantile(0.95, ("chain", "draw")).to_numpy()
    assert outer_high[in_view] == pytest.approx(high[in_view])


def test_flow_alone_has_panels_of_three_cell_types(both):
    picture = ck.plot_levels(both, ["S01", "S03"])
    assert len(picture.axes) == 2
    names = {line.get_label() for line in picture.axes[0].get_lines()}
    assert {"median CD4", "median CD8", "median total"} <= names
    assert "copies" not in words_of(picture)


def test_qpcr_alone_is_drawn_in_its_own_unit(virtual):
    picture = ck.plot_levels(unsampled_fit(virtual, ["qpcr"]))
    words = words_of(picture)
    assert len(picture.axes) == 4
    assert "[copies/µg DNA]" in words
    assert "cells/µL" not in words


def test_total_alone_draws_no_subsets(virtual):
    picture = ck.plot_levels(unsampled_fit(without_subsets(virtual), ["flow"]))
    names = {line.get_label() for line in picture.axes[0].get_lines()}
    assert "median total" in names
    assert not any("CD4" in name or "CD8" in name for name in names)


def test_the_ground_is_gray_after_the_last_sample_of_the_patient(both):
    axes = ck.plot_levels(both).axes
    starts = [
        patch.get_x() for a in axes for patch in a.patches if patch.get_label() == "extrapolated"
    ]
    assert starts == [60, 60, 60, 28]


def test_days_of_events_are_marked_where_they_are_known(both):
    axes = ck.plot_levels(both).axes
    letters = [sorted({t.get_text() for t in a.texts} - {"SYNTHETIC"}) for a in axes]
    # S02 was censored; S03 progressed after the last day drawn.
    assert letters == [["P"], ["C"], ["C", "H"], ["C", "H", "P"]]
    bare = ck.plot_levels(both, events=False)
    assert {t.get_text() for a in bare.axes for t in a.texts} == {"SYNTHETIC"}
    assert "CRS onset" not in words_of(bare)


def test_a_short_axis_is_linear_and_a_long_one_says_that_it_is_not(both):
    short, long = ck.plot_levels(both, until=28), ck.plot_levels(both)
    assert short.axes[0].get_xscale() == "linear"
    assert "square-root" not in words_of(short)
    assert "square-root scale" in words_of(long)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patients": ["S09"]}, "no fitted samples of patient.* S09"),
        ({"assays": ["qpcr"]}, "no fitted qpcr samples"),
        ({"cell_types": ["NK"]}, "no curves of NK cells"),
        ({"probabilities": (1.5,)}, "between 0 and 1"),
        ({"until": 0.0}, "from 1 on"),
    ],
)
def test_what_was_not_fitted_is_named(both, options, message):
    with pytest.raises(DataError, match=message):
        ck.plot_levels(both, **options)


@pytest.mark.parametrize(
    ("n", "width"),
    [(1, None), (2, None), (4, None), (16, None), (59, None), (1, PHONE_WIDTH), (16, PHONE_WIDTH)],
)
def test_pages_of_any_number_of_patients_hold_all_panels(n, width):
    cohort = ck.simulate(MODEL, n, seed=5, visits=(7.0, 14.0, 28.0))
    picture = ck.plot_levels(unsampled_fit(cohort, ["flow"], n_draws=3), width=width)
    assert len(picture.axes) == n
    if width is not None:
        assert picture.figure.get_size_inches()[0] == width
    picture.figure.draw_without_rendering()
    page = picture.figure.bbox
    for axes in picture.axes:
        box = axes.get_tightbbox()
        assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1
        assert axes.get_window_extent().width > 70  # pixels of which an inch has 100


# Exposure.


def test_exposure_has_one_panel_per_quantity_sorted_by_the_first(exposure):
    picture = ck.plot_exposure(exposure)
    assert [a.get_title(loc="left") for a in picture.axes] == [
        "Cmax", "Tmax", "AUC0-28d", "Persistence",
    ]  # fmt: skip
    rows = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert rows == ["S02", "S03", "S01", "S04", "typical patient", "new patient"]
    words = words_of(picture)
    for text in ("95 % equal-tailed intervals", "[cells/µL]", "[day]", "CD4", "CD8", "total"):
        assert text in words, text
    assert picture.axes[0].get_xscale() == "log"
    assert picture.axes[1].get_xscale() == "linear"


def test_intervals_of_exposure_are_those_of_its_table(exposure):
    axes = ck.plot_exposure(exposure, "cmax", "CD8", 0.8).axes[0]
    table = exposure.table(probability=0.8)
    table = table[(table["quantity"] == "cmax") & (table["cell_type"] == "CD8")]
    segments = np.array(axes.collections[0].get_segments())
    assert sorted(segments[:4, 0, 0]) == pytest.approx(sorted(table["lower"]))
    assert sorted(segments[:4, 1, 0]) == pytest.approx(sorted(table["upper"]))


def test_persistence_that_reaches_the_horizon_ends_in_an_arrow(exposure):
    axes = ck.plot_exposure(exposure, ["persistence"]).axes[0]
    arrows = lines_of(axes, "censored total")[0]
    table = pd.concat([exposure.table(), exposure.population_table()])
    reached = table[(table["quantity"] == "persistence") & (table["cell_type"] == "total")]
    assert len(arrows.get_xdata()) == (reached["upper"] >= 60).sum() > 0
    assert set(arrows.get_xdata()) == {60.0}
    assert "censored at the horizon, day 60" in words_of(ck.plot_exposure(exposure))


def test_what_the_exposure_does_not_hold_is_named(exposure):
    for options, name in (({"quantities": "level_9"}, "level_9"), ({"cell_types": "NK"}, "NK"),
                          ({"patients": "S09"}, "S09")):  # fmt: skip
        with pytest.raises(DataError, match=f"has no {name}"):
            ck.plot_exposure(exposure, **options)


def test_missing_quantities_say_why(exposure):
    nothing = exposure.data.assign(persistence=exposure.data["persistence"] * np.nan)
    nothing["persistence"].attrs = exposure.data["persistence"].attrs
    changed = dataclasses.replace(
        exposure, data=nothing, population=exposure.population * 1, limit=np.nan
    )
    changed.population["persistence"] = changed.population["persistence"] * np.nan
    for name in nothing:
        changed.population[name].attrs = nothing[name].attrs
    words = words_of(ck.plot_exposure(changed, ["cmax", "persistence"]))
    assert "missing: no limit of quantification" in words
    assert "nan" not in words


def test_probabilities_have_an_axis_from_0_to_1(exposure):
    axes = ck.plot_exposure(exposure, ["detectable_28"]).axes[0]
    low, high = axes.get_xlim()
    assert low < 0
    assert high > 1
    assert "no interval" in words_of(ck.plot_exposure(exposure, ["detectable_28"]))


# Association.


@pytest.fixture(scope="module")
def grades(exposure) -> ck.Association:
    return ck.associate(exposure, exposure="cmax", outcome="crs_grade")


@pytest.fixture(scope="module")
def survival(exposure) -> ck.Association:
    return ck.associate(exposure, exposure="cmax", outcome="ttp")


def test_grades_show_posterior_and_observed_values_and_both_estimates(grades):
    picture = ck.plot_association(grades)
    axes = picture.axes[0]
    posterior = np.concatenate([line.get_ydata() for line in lines_of(axes, "posterior mean")])
    assert sorted(posterior) == pytest.approx(sorted(grades.data["posterior_mean"]))
    observed = np.concatenate([line.get_ydata() for line in lines_of(axes, "observed")])
    assert sorted(observed) == pytest.approx(sorted(grades.data["observed"]))
    words = words_of(picture)
    assert axes.get_yscale() == "log"
    for e in grades.estimates:
        assert f"{e.method}, {e.measure}" in words
        assert f"{e.estimate:.3g}" in words or e.missing
    for text in ("Association of Cmax", "posterior mean", "observed value", "p = ", "n = 2"):
        assert text in words, text


def test_observed_values_below_the_limit_are_triangles(grades):
    table = grades.data.assign(observed_below_lloq=[True, False, False, False])
    picture = ck.plot_association(dataclasses.replace(grades, data=table))
    marks = np.concatenate([line.get_ydata() for line in lines_of(picture.axes[0], "below")])
    assert list(marks) == [table["observed"].iloc[0]]
    assert "observed, below the LLOQ" in words_of(picture)


def test_survival_is_split_at_the_median_for_the_picture_only(survival):
    picture = ck.plot_association(survival)
    words = words_of(picture)
    for text in ("Median split, for the picture only", "at risk", "above the median",
                 "hazard ratio per doubling", "Share without progression"):  # fmt: skip
        assert text in words, text
    curve = lines_of(picture.axes[0], "above the median")[0]
    # S02 (censored on day 50) and S03 (progressed on day 300) have the higher peaks.
    assert list(curve.get_xdata()) == [0, 50, 300]
    assert list(curve.get_ydata()) == [1, 1, 0]


def test_binary_outcomes_and_cohorts_without_a_fit_are_drawn(exposure, virtual):
    picture = ck.plot_association(ck.associate(exposure, exposure="cmax", outcome="iec_hs"))
    labels = [label.get_text() for label in picture.axes[0].get_xticklabels()]
    assert labels == ["no\nn = 2", "yes\nn = 2"]
    words = words_of(ck.plot_association(ck.associate(virtual, exposure="cmax", outcome="ttp")))
    assert "observed value" in words
    assert "posterior" not in words


def test_patients_left_out_are_counted_and_none_left_is_an_error(grades):
    table = grades.data.assign(left_out=["no crs_grade", "", "", ""])
    words = words_of(ck.plot_association(dataclasses.replace(grades, data=table)))
    assert "1 patient(s) without exposure or outcome left out" in words
    nobody = dataclasses.replace(grades, data=grades.data.assign(left_out="no crs_grade"))
    with pytest.raises(DataError, match="no patient has both cmax and crs_grade"):
        ck.plot_association(nobody)


def test_notes_are_written_where_asked_for(grades):
    assert "Note:" not in words_of(ck.plot_association(grades))
    assert "Note:" in words_of(ck.plot_association(grades, notes=True))


# All of them.


@pytest.fixture(scope="module")
def pictures(both, exposure, grades, survival):
    return lambda **options: [
        ck.plot_levels(both, **options),
        ck.plot_exposure(exposure, **options),
        ck.plot_association(grades, **options),
        ck.plot_association(survival, **options),
    ]


@pytest.mark.parametrize("options", [{}, {"width": PHONE_WIDTH}])
def test_every_letter_lies_within_the_page(pictures, options):
    for picture in pictures(**options):
        picture.figure.draw_without_rendering()
        page = picture.figure.bbox
        boxes = [a.get_tightbbox() for a in picture.axes]
        boxes += [text.get_window_extent() for text in picture.figure.texts]
        boxes += [legend.get_window_extent() for legend in picture.figure.legends]
        for box in boxes:
            assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1
            assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1


@pytest.mark.parametrize("options", [{}, {"width": PHONE_WIDTH}])
def test_caption_panels_and_legend_do_not_lie_on_each_other(pictures, options):
    for picture in pictures(**options):
        picture.figure.draw_without_rendering()
        boxes = [a.get_tightbbox() for a in picture.axes]
        boxes += [text.get_window_extent() for text in picture.figure.texts]
        boxes += [legend.get_window_extent() for legend in picture.figure.legends]
        for i, box in enumerate(boxes):
            for other in boxes[i + 1 :]:
                assert not box.padded(-3).overlaps(other.padded(-3)), (i, box, other)


def test_synthetic_is_written_into_every_panel_and_under_the_figure(pictures):
    for picture in pictures():
        for axes in picture.axes:
            assert "SYNTHETIC" in [text.get_text() for text in axes.texts]
        assert "SYNTHETIC, not patient data" in words_of(picture)


def test_figures_of_patients_are_not_marked(virtual, exposure, grades, survival):
    levels = virtual.levels.drop(columns=["baseline", "row", "synthetic"], errors="ignore")
    table = virtual.patients.drop(columns="synthetic", errors="ignore")
    cohort = ck.read_cohort(levels, table, name="trial")
    assert not cohort.synthetic
    pictures = [
        ck.plot_levels(unsampled_fit(cohort, ["flow"])),
        ck.plot_exposure(dataclasses.replace(exposure, cohort=cohort)),
        ck.plot_association(dataclasses.replace(grades, synthetic=False)),
        ck.plot_association(dataclasses.replace(survival, synthetic=False)),
    ]
    for picture in pictures:
        assert "SYNTHETIC" not in words_of(picture)


def test_settings_of_matplotlib_stay_as_they_were(pictures):
    before = dict(matplotlib.rcParams)
    for picture in pictures():
        assert picture.image().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def test_no_figure_speaks_of_effects(pictures):
    for picture in pictures():
        assert "effect" not in words_of(picture).lower()
