"""Figures of a cohort without a model: what they show, and that they stay within their page."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.plotting.style import PHONE_WIDTH, plain

PLOTS = {
    "profile": ck.plot_profile,
    "profile of subsets": lambda cohort, **options: ck.plot_profile(
        cohort, cell_types=("CD4", "CD8"), **options
    ),
    "CD4 and CD8": ck.plot_cd4_cd8_at_peak,
    "progression": ck.plot_peak_by_progression,
}
OF_QPCR = {
    "profile": lambda cohort, **options: ck.plot_profile(cohort, assay="qpcr", **options),
    "progression": lambda cohort, **options: ck.plot_peak_by_progression(
        cohort, assay="qpcr", **options
    ),
}


def real_cohort(synthetic, patients=None):
    """Return the same rows without the mark, as if they were of patients."""
    levels = synthetic.levels.drop(columns=["baseline", "row"])
    table = synthetic.patients.drop(columns="synthetic")
    cohort = ck.read_cohort(levels, table, name="trial")
    return cohort if patients is None else cohort.select(patients)


def small_cohort(peaks, ttp_day, progressed):
    """Return three samples per patient, CD4 one fifth of the total; a peak of None is below."""
    rows = []
    for patient, peak in peaks.items():
        for day, share in ((3, 0.1), (10, 1.0), (24, 0.2)):
            level = 0.1 if peak is None else share * peak
            for name, part, lloq in (("CD4", 0.2, None), ("CD8", 0.8, None), ("total", 1.0, 0.5)):
                rows.append((patient, day, "flow", name, part * level, "cells/uL", lloq))
    columns = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq"]
    patients = {"patient": list(peaks), "ttp_day": ttp_day, "progressed": progressed}
    levels = pd.DataFrame(rows, columns=columns)
    return ck.read_cohort(levels, pd.DataFrame(patients), flag_below_lloq=True)


def texts_of(picture):
    """Return every text that is drawn."""
    figure = picture.figure
    figure.draw_without_rendering()
    not_drawn = set()
    for axes in picture.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (*axis.get_major_ticks(), *axis.get_minor_ticks())
            beyond = [tick for tick in ticks if not low <= tick.get_loc() <= high]
            not_drawn |= {label for tick in beyond for label in (tick.label1, tick.label2)}
    texts = set(figure.findobj(matplotlib.text.Text)) - not_drawn
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def words_of(picture) -> str:
    return "\n".join(text.get_text() for text in texts_of(picture))


@pytest.fixture(scope="module")
def real(synthetic):
    return real_cohort(synthetic)


@pytest.mark.parametrize("width", [None, PHONE_WIDTH])
@pytest.mark.parametrize("name", PLOTS)
def test_every_letter_lies_within_the_page(synthetic, name, width):
    picture = PLOTS[name](synthetic, **({} if width is None else {"width": width}))
    page = picture.figure.bbox
    if width is not None:
        assert picture.figure.get_size_inches()[0] == width
    for text in texts_of(picture):
        box = text.get_window_extent()
        assert box.x0 >= page.x0 - 1, text.get_text()
        assert box.x1 <= page.x1 + 1, text.get_text()
        assert box.y0 >= page.y0 - 1, text.get_text()
        assert box.y1 <= page.y1 + 1, text.get_text()


@pytest.mark.parametrize("width", [None, PHONE_WIDTH])
@pytest.mark.parametrize("name", OF_QPCR)
def test_long_labels_lie_within_the_page(synthetic, name, width):
    picture = OF_QPCR[name](synthetic, **({} if width is None else {"width": width}))
    picture.figure.draw_without_rendering()
    box = picture.axes[0].yaxis.label.get_window_extent()
    page = picture.figure.bbox
    assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert page.x0 <= box.x0


@pytest.mark.parametrize("width", [None, PHONE_WIDTH])
@pytest.mark.parametrize("name", PLOTS)
def test_labels_do_not_lie_on_each_other(synthetic, name, width):
    picture = PLOTS[name](synthetic, **({} if width is None else {"width": width}))
    inside = set(picture.axes[0].texts)
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts_of(picture) if t not in inside]
    assert len(boxes) > 8
    for i, (text, box) in enumerate(boxes):
        for other, its in boxes[i + 1 :]:
            assert not box.padded(-0.5).overlaps(its.padded(-0.5)), (text, other)


@pytest.mark.parametrize("name", PLOTS)
def test_synthetic_is_written_into_the_panel_and_under_the_figure(synthetic, name):
    words = [text.get_text() for text in texts_of(PLOTS[name](synthetic))]
    assert "SYNTHETIC" in words
    assert "SYNTHETIC, not patient data" in words


@pytest.mark.parametrize("name", PLOTS)
def test_figures_of_patients_are_not_marked(real, name):
    assert "SYNTHETIC" not in words_of(PLOTS[name](real))


@pytest.mark.parametrize("name", PLOTS)
def test_settings_of_matplotlib_stay_as_they_were(synthetic, name, tmp_path):
    before = dict(matplotlib.rcParams)
    picture = PLOTS[name](synthetic)
    picture.save(tmp_path / "figure.png")
    picture.image("svg")
    assert dict(matplotlib.rcParams) == before


def test_no_window_and_no_pyplot_is_needed():
    code = (
        "import sys, carkinetics as ck; cohort = ck.synthetic_cohort();"
        "[plot(cohort).image() for plot in"
        " (ck.plot_profile, ck.plot_cd4_cd8_at_peak, ck.plot_peak_by_progression)];"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_a_figure_is_saved_in_the_format_of_its_ending(synthetic, tmp_path, ending, start):
    path = ck.plot_cd4_cd8_at_peak(synthetic).save(tmp_path / f"figure.{ending}")
    assert path.read_bytes().startswith(start)


def test_an_svg_of_the_same_data_is_the_same_to_the_byte(synthetic):
    first, second = (ck.plot_profile(synthetic).image("svg") for _ in range(2))
    assert first == second


def test_a_notebook_shows_the_figure(synthetic):
    assert ck.plot_profile(synthetic)._repr_png_().startswith(b"\x89PNG")


# What the figures show. Values: README of the source data of the synthetic cohort.


def test_the_profile_shows_medians_and_counts_samples(synthetic):
    picture = ck.plot_profile(synthetic, until=28)
    axes = picture.axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "total: median")
    days, medians = line.get_data()
    assert list(days) == [3, 7, 10, 14, 17, 21, 28]
    flow = synthetic.samples("flow", "total")
    on_14 = flow[flow["day"] == 14]
    assert medians[3] == pytest.approx(on_14["level"].median())
    counts = [text.get_text() for text in axes.texts if text.get_text() != "SYNTHETIC"]
    assert counts == ["16"] * 7
    assert axes.get_xlim()[1] == pytest.approx(28 * 1.04)


def test_a_median_below_the_limit_is_an_open_triangle_at_the_limit(synthetic):
    axes = ck.plot_profile(synthetic).axes[0]
    hidden = [
        line for line in axes.get_lines() if line.get_marker() == "v" and len(line.get_xdata())
    ]
    assert [list(line.get_xdata()) for line in hidden] == [[3, 42]]
    assert set(hidden[0].get_ydata()) == {0.5}
    assert hidden[0].get_markerfacecolor() == "white"


def test_a_single_cell_type_may_be_given_as_text(synthetic):
    picture = ck.plot_profile(synthetic, cell_types="CD8")
    assert "CD8 CAR+ cells [cells/µL]" in words_of(picture)


def test_cd4_and_cd8_at_the_peak_show_their_medians(synthetic):
    words = words_of(ck.plot_cd4_cd8_at_peak(synthetic))
    assert "median\n98" in words
    assert "median\n9" in words
    assert "16 patients" in words
    assert "At the peak of the total" in words
    levels = {
        str(line.get_color()): len(line.get_xdata())
        for line in ck.plot_cd4_cd8_at_peak(synthetic).axes[0].get_lines()
        if line.get_marker() == "o"
    }
    assert list(levels.values()) == [16, 16]


def test_the_interval_of_the_ratio_is_students(synthetic):
    from scipy import stats

    table = ck.observed_quantities(synthetic)  # the days of the peaks of the total
    flow = synthetic.levels[synthetic.levels["assay"] == "flow"]
    at_peak = flow.merge(table[["patient", "observed_tmax"]], on="patient")
    at_peak = at_peak[at_peak["day"] == at_peak["observed_tmax"]]
    level = at_peak.pivot(index="patient", columns="cell_type", values="level")
    logs = np.log(level["CD8"] / level["CD4"])
    low, high = np.exp(stats.t.interval(0.95, 15, logs.mean(), stats.sem(logs)))
    words = words_of(ck.plot_cd4_cd8_at_peak(synthetic))
    assert f"CD8/CD4, geometric mean: {np.exp(logs.mean()):.1f}" in words
    assert f"95 % interval {low:.1f} to {high:.1f}" in words


def test_peak_by_progression_shows_the_exact_p_and_who_is_left_out(synthetic):
    words = words_of(ck.plot_peak_by_progression(synthetic))
    assert "Mann-Whitney p = 0.041 (exact permutation)" in words
    assert words.count("n = 6") == 2
    assert "Left out: 4 censored or dead without progression by" in words
    assert "triangles" not in words


def test_a_peak_below_the_limit_hangs_from_the_limit_and_is_explained():
    peaks = {"A": 5.0, "B": 9.0, "C": 50.0, "D": None, "E": 7.0}
    cohort = small_cohort(peaks, [30, 40, 200, 50, 300], [1, 1, 1, 1, 0])
    picture = ck.plot_peak_by_progression(cohort)
    marks = [line for line in picture.axes[0].get_lines() if line.get_marker() == "v"]
    assert [list(line.get_ydata()) for line in marks] == [[0.5], []]
    words = words_of(picture)
    assert "triangles: below the LLOQ" in words
    assert "Left out" not in words


def test_posterior_peaks_are_drawn_with_their_intervals(synthetic):
    peak = ck.observed_quantities(synthetic)["observed_cmax"].to_numpy()
    draws = (peak * np.array([0.5, 1.0, 2.0])[:, None])[None, :, :, None]
    data = xr.Dataset(
        {"cmax": (("chain", "draw", "patient", "cell_type"), draws)},
        coords={"patient": list(synthetic.patient_ids), "cell_type": ["total"]},
    )
    data["cmax"].attrs["units"] = "cells/uL"
    picture = ck.plot_peak_by_progression(synthetic, SimpleNamespace(data=data))
    words = words_of(picture)
    assert "Peak, median and 95 % interval" in words
    assert "p = 0.041" in words
    bars = [c for c in picture.axes[0].collections if len(c.get_segments())]
    ends = np.concatenate([c.get_segments() for c in bars])[:, :, 1]
    assert len(ends) == 12
    # 2.5 % and 97.5 % of three draws.
    assert ends[:, 1] / ends[:, 0] == pytest.approx(np.full(12, 1.95 / 0.525), rel=1e-9)


# What cannot be drawn says why.


def test_one_group_alone_is_drawn_without_a_comparison():
    cohort = small_cohort({"A": 5.0, "B": 9.0, "C": 50.0}, [30, 40, 50], [1, 1, 1])
    assert "No comparison: all patients are in one group" in words_of(
        ck.plot_peak_by_progression(cohort)
    ).replace("\n", " ")


def test_levels_that_are_all_alike_get_room_on_both_sides():
    cohort = small_cohort(dict.fromkeys("ABC"), [30, 40, 150], [1, 1, 0])
    low, high = ck.plot_profile(cohort).axes[0].get_ylim()
    assert low < 0.3
    assert high > 0.8


@pytest.mark.parametrize(
    ("plot", "cohort", "message"),
    [
        (
            ck.plot_peak_by_progression,
            small_cohort({"A": 5.0, "B": 9.0}, [30, 40], [0, 0]),
            "no patient has both a peak and a known state on day 91\n.*another day",
        ),
        (
            ck.plot_profile,
            small_cohort({"A": 5.0, "B": 9.0}, [30, 40], [0, 0]),
            "no visit has 3 flow samples, the fewest that have quartiles",
        ),
        (
            ck.plot_cd4_cd8_at_peak,
            small_cohort({"A": None, "B": None}, [30, 40], [0, 0]),
            "no patient has both CD4 and CD8 quantified",
        ),
    ],
)
def test_nothing_to_draw_says_why(plot, cohort, message):
    with pytest.raises(DataError, match=message):
        plot(cohort)


def test_missing_samples_and_outcomes_are_named(synthetic):
    with pytest.raises(DataError, match=r"qpcr, CD4: there are no samples\n.*flow, CD4; flow, CD8"):
        ck.plot_cd4_cd8_at_peak(synthetic, assay="qpcr")
    rows = pd.DataFrame(
        [("A", 7, "flow", "total", 5.0, "cells/uL")],
        columns=["patient", "day", "assay", "cell_type", "level", "unit"],
    )
    with pytest.raises(DataError, match="has no progressed and no ttp_day"):
        ck.plot_peak_by_progression(ck.read_cohort(rows))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "0.05"), (9, "9"), (57.27, "57.3"), (1234.5, "1,230"), (98.04, "98"), (0, "0")],
)
def test_numbers_are_written_plainly(value, text):
    assert plain(value) == text
