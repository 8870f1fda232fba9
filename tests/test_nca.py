"""Quantities from samples: checked against closed forms, hand calculation and other software."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carkinetics.cohort import read_cohort, synthetic_cohort
from carkinetics.errors import DataError
from carkinetics.noncompartmental import (
    OBSERVED,
    Profile,
    Rules,
    auc,
    find_observed,
    measure,
    nca,
    observed_quantities,
    segment_areas,
    subset_at_peak,
    terminal_slope,
    visit_quantiles,
)

REFERENCE = Path(__file__).parent / "reference"
LINEAR = Rules(interpolation="linear")


@pytest.fixture(scope="module")
def cohort():
    return synthetic_cohort()


@pytest.fixture(scope="module")
def published():
    """Exposures that came with the synthetic cohort, computed apart from this package."""
    table = pd.read_csv(REFERENCE / "virtual_cd22_nca.csv", comment="#")
    return table.set_index("patient_id")


def stein(day: np.ndarray) -> np.ndarray:
    """Evaluate the curve of A-05: Cmax 100, Tmax 14, doubling 1 d, alpha .2, F_B .01, beta .01."""
    day = np.asarray(day, float)
    tail = 99 * np.exp(-0.2 * (day - 14)) + np.exp(-0.01 * (day - 14))
    return np.where(day <= 14, 100 * 2.0 ** (day - 14), tail)


def test_a01_exponential_decline_has_its_exact_area():
    """A-01, closed form 100/0.1 (1 - exp(-2.8)); the linear rule by hand."""
    day = np.arange(0, 29, 7.0)
    profile = Profile(day, 100 * np.exp(-0.1 * day))
    assert auc(profile).value == pytest.approx(939.1899374, rel=1e-9)
    assert auc(profile).value == pytest.approx(1000 * -np.expm1(-2.8), rel=1e-12)
    assert auc(profile, LINEAR).value == pytest.approx(977.2306, abs=5e-5)


@pytest.mark.parametrize("rules", [Rules(), LINEAR])
def test_a02_triangle_has_its_area_under_both_rules(rules):
    """A-02, geometry."""
    assert auc(Profile([0, 14, 28], [0.0, 100.0, 0.0]), rules).value == 1400.0


@pytest.mark.real_data
def test_a03_theophylline_subject_1_agrees_with_noncompart_and_pknca(real_data):
    """A-03, values published for NonCompart and PKNCA, recomputed for the reference set."""
    with (real_data / "reference_sets" / "Theoph.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["Subject"] == "1"]
    profile = Profile([float(r["Time"]) for r in rows], [float(r["conc"]) for r in rows])
    last = profile.day[-1]
    slope = terminal_slope(profile.day[profile.day > 1.12], profile.level[profile.day > 1.12])
    log_down = auc(profile, Rules(), 0.0, last).value
    assert (measure("cmax", profile).value, measure("tmax", profile).value) == (10.5, 1.12)
    assert auc(profile, LINEAR, 0.0, last).value == pytest.approx(148.92305, rel=1e-6)
    assert log_down == pytest.approx(147.2347485, rel=1e-6)
    assert slope.n == 3
    assert slope.rate == pytest.approx(0.048456997, rel=1e-6)
    assert np.log(2) / slope.rate == pytest.approx(14.304378, rel=1e-6)
    assert log_down + measure("clast", profile).value / slope.rate == pytest.approx(
        214.92363, rel=1e-6
    )
    whole = measure("aucinf", profile)
    assert whole.value == pytest.approx(214.92363, rel=1e-6)
    assert whole.flags["lambda_z_points"] == 3
    assert measure("auclast", profile, LINEAR).value == pytest.approx(148.92305, rel=1e-6)
    assert measure("half_life", profile).value == pytest.approx(14.304378, rel=1e-6)
    assert measure("auc_extrapolated", profile).value == pytest.approx(
        100 * (1 - 147.2347485 / 214.92363), rel=1e-6
    )


@pytest.mark.real_data
def test_a03_all_twelve_theophylline_subjects_agree_with_the_recomputed_table(real_data):
    """Values recomputed for the reference set, independently of this package."""
    folder = real_data / "reference_sets"
    samples = pd.read_csv(folder / "Theoph.csv").rename(
        columns={"Subject": "patient", "Time": "day", "conc": "level"}
    )
    wanted = ["cmax", "tmax", "auclast", "half_life", "aucinf"]
    table = nca(samples.assign(cell_type="total"), wanted).wide().set_index("patient")
    expected = pd.read_csv(folder / "Theoph_nca_recomputed.csv").set_index("Subject")
    expected.index = expected.index.astype(str)
    expected = expected.reindex(table.index)
    for ours, theirs in {
        "cmax": "cmax", "tmax": "tmax", "auclast": "auclast_linuplogdown",
        "half_life": "half_life", "aucinf": "aucinf_obs",
    }.items():  # fmt: skip
        assert table[f"observed_{ours}"].to_numpy() == pytest.approx(expected[theirs], abs=1.1e-4)


@pytest.mark.parametrize(
    ("level", "rules", "end", "expected"),
    [
        ([0, 1, 1], Rules(), 2, 1.5),
        ([0, 1, 0], Rules(), 1, 0.5),
        ([0, 1, 0], Rules(), 2, 1.0),
        ([0, 2, 0, 1, 2, 1], Rules(interpolation="linear", blq="zero"), 5, 5.5),
        ([0, 2, 0, 1, 2, 1], Rules(blq="zero"), 5, 4 + 1 / np.log(2)),
        ([0, 2, 0, 1, 2, 1, 0, 0], LINEAR, 5, 7.0),
        ([0, 2, 0, 1, 2, 1, 0, 0], Rules(), 5, 6.8281),
        ([0, 2, 0, 1, 2, 1, 0, 0], LINEAR, 7, 7.5),
    ],
)
def test_a04_small_cases_agree_with_pknca(level, rules, end, expected):
    """A-04, from the tests of PKNCA 0.12; zeros there are samples below the limit here."""
    level = np.array(level, float)
    profile = Profile(np.arange(level.size), level, level == 0, 0.1)
    assert auc(profile, rules, 0.0, end).value == pytest.approx(expected, abs=2e-5)


def test_a04_terminal_slope_agrees_with_pknca():
    """A-04, PKNCA 0.12: half-lives 1.000346 with and 1.000577 without the first point."""
    day, level = np.arange(4.0), np.array([1, 0.5, 0.25, 0.1251])
    assert terminal_slope(day, level).rate == pytest.approx(0.6929073, rel=1e-6)
    assert np.log(2) / terminal_slope(day[1:], level[1:]).rate == pytest.approx(1.000577, rel=1e-6)


def test_a05_dense_samples_of_the_stein_curve_give_its_area():
    """A-05, closed form 622.2238940; the linear rise costs less than 1e-4 at 1,000 points."""
    day = np.union1d(np.linspace(0, 28, 1000), 14.0)
    profile = Profile(day, stein(day))
    assert auc(profile).value == pytest.approx(622.2238940, rel=1e-4)
    assert measure("tmax", profile).value == 14.0


def test_a07_window_that_ends_between_samples_is_closed_on_the_falling_line():
    """A-07, 40 * 2^(-1/3) = 31.748 on day 28."""
    profile = Profile([0, 27, 30], [0.0, 40.0, 20.0])
    to_27 = auc(profile, Rules(), 0.0, 27.0).value
    last_day = (40 - 40 * 2 ** (-1 / 3)) / (np.log(2) / 3)
    assert auc(profile).value - to_27 == pytest.approx(last_day, rel=1e-9)
    exact = Profile([0, 27, 28], [0.0, 40.0, 40 * 2 ** (-1 / 3)])
    assert auc(profile).value == pytest.approx(auc(exact).value, rel=1e-12)


def test_a08_area_is_missing_with_a_reason_when_two_points_follow_the_peak():
    """A-08."""
    measured = auc(Profile([3, 7, 14, 17, 21], [1, 20, 100, 60, 30.0]))
    assert np.isnan(measured.value)
    assert "day 21" in measured.reason
    assert "2 points" in measured.reason


def test_area_is_extrapolated_along_an_admissible_slope():
    """By hand: decline of 0.4 per day from 100 on day 10; area to day 28 in closed form."""
    day = np.array([10.0, 13, 16, 19])
    profile = Profile(day, 100 * np.exp(-0.4 * (day - 10)))
    measured = auc(profile)
    assert measured.value == pytest.approx(500 + 250 * -np.expm1(-0.4 * 18), rel=1e-12)
    extra = 250 * (np.exp(-3.6) - np.exp(-7.2))
    assert measured.flags["auc_extrap_pct"] == pytest.approx(100 * extra / measured.value)


def test_extrapolation_stops_at_the_limit():
    """By hand: the same decline meets a limit of 1 on day 10 + ln(100)/0.4 = 21.5."""
    day = np.array([10.0, 13, 16, 19])
    profile = Profile(day, 100 * np.exp(-0.4 * (day - 10)), None, 1.0)
    assert auc(profile).value == pytest.approx(500 + 250 * 0.99, rel=1e-12)


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        ([100, 90, 81, 73, 65.0], "half-lives"),
        ([100, 20, 70, 15, 40.0], "R-squared"),
        ([100, 40, 50, 60, 70.0], "none declines"),
    ],
)
def test_area_is_missing_when_the_slope_is_poor(level, reason):
    """The limits are those of the rules: 3 points, adjusted R-squared .80, 1.5 half-lives."""
    measured = auc(Profile([10, 12, 14, 16, 18], level))
    assert np.isnan(measured.value)
    assert reason in measured.reason


def test_area_is_missing_when_too_much_would_be_extrapolated():
    """By hand: decline of 0.18 per day; exp(-1.17) = 31 % of the area lies after day 6.5."""
    day = np.array([0, 0.5, 3.5, 6.5])
    measured = auc(Profile(day, 100 * np.exp(-0.18 * day)))
    assert np.isnan(measured.value)
    assert "extrapolated" in measured.reason
    share = (np.exp(-1.17) - np.exp(-5.04)) / -np.expm1(-5.04)
    assert measured.flags["auc_extrap_pct"] == pytest.approx(100 * share)


def test_last_sample_below_the_limit_completes_the_area():
    """By hand: triangle 14 * 100 / 2, then straight to 0 on day 21, nothing afterwards."""
    measured = auc(Profile([14, 21], [100.0, np.nan], [False, True], 0.5))
    assert measured.value == 700 + 350
    assert measured.flags["auc_closed_by_blq"]


def test_a09_profile_below_the_limit_has_a_censored_peak_and_no_area():
    """A-09."""
    profile = Profile([3, 7, 28], [np.nan] * 3, [True] * 3, [0.5, 0.5, 0.8])
    peak = measure("cmax", profile)
    assert np.isnan(peak.value)
    assert peak.reason == "all samples below the LLOQ"
    assert peak.flags["observed_cmax_below"] == 0.8
    for quantity in ("tmax", "clast", "tlast"):
        assert np.isnan(measure(quantity, profile).value)
        assert measure(quantity, profile).reason == peak.reason
    assert auc(profile).value == 0.0
    assert auc(profile).flags["auc_all_blq"]


def test_a10_samples_below_a_limit_that_is_not_given_are_refused():
    """A-10; one unit per assay is checked where the cohort is read."""
    with pytest.raises(DataError, match="State the LLOQ"):
        Profile([3, 7], [np.nan, 4.0], [True, False])


def test_every_fault_of_a_profile_is_named_at_once():
    with pytest.raises(DataError) as caught:
        Profile([-1, 7, 7], [1.0, -2.0, np.inf])
    assert len(caught.value.faults) == 4


def test_unknown_rule_is_refused_with_the_choices():
    with pytest.raises(DataError, match="lin_up_log_down"):
        Rules(interpolation="cubic")


@pytest.mark.parametrize("name", [*OBSERVED, "auc_0_28", "level_20", "slope_7_14"])
def test_a11_levels_and_areas_scale_with_the_unit(name):
    """A-11; days do not."""
    day, level = np.array([3, 7, 14, 21, 30]), np.array([0.1, 20, 100, 30, 4.0])
    below = np.array([True, False, False, False, False])
    per_ul = measure(name, Profile(day, level, below, 0.5)).value
    per_ml = measure(name, Profile(day, 1000 * level, below, 500.0)).value
    factor = 1000.0 if find_observed(name).kind in ("level", "area") else 1.0
    assert per_ml == pytest.approx(factor * per_ul, rel=1e-11, nan_ok=True)


@pytest.mark.parametrize("at", [5.0, 12.5, 20.0, 25.0])
def test_a11_sample_on_the_interpolated_line_leaves_the_area_unchanged(at):
    """A-11."""
    day, level = np.array([0, 7, 14, 21, 30.0]), np.array([0, 20, 100, 30, 4.0])
    i = np.searchsorted(day, at)
    share = (at - day[i - 1]) / (day[i] - day[i - 1])
    rises = level[i] >= level[i - 1]
    straight = level[i - 1] + share * (level[i] - level[i - 1])
    new = straight if rises else level[i - 1] * (level[i] / level[i - 1]) ** share
    more = Profile(np.insert(day, i, at), np.insert(level, i, new))
    assert auc(more).value == pytest.approx(auc(Profile(day, level)).value, rel=1e-12)


def test_almost_equal_levels_keep_their_digits():
    """By hand: the area tends to the rectangle."""
    area = segment_areas([0, 1], [1.0, 1.0 - 1e-13], "lin_up_log_down")
    assert area[0] == pytest.approx(1.0, rel=1e-12)


def test_peak_is_flagged_at_the_edge_and_when_alone():
    edge = measure("cmax", Profile([3, 7, 14], [1.0, 5.0, 20.0])).flags
    assert edge["cmax_boundary"]
    assert edge["cmax_single_point"]
    inside = measure("cmax", Profile([3, 7, 10, 14], [1.0, 5.0, 20.0, 8.0])).flags
    assert not inside["cmax_boundary"]
    assert inside["n_samples_tmax"] == 3


def test_first_of_equal_peaks_counts():
    assert measure("tmax", Profile([3, 7, 10], [1.0, 5.0, 5.0])).value == 7


def test_mean_level_needs_no_extrapolation():
    """By hand: triangle of 14 days and 100 at its top."""
    assert measure("mean_level", Profile([0, 14], [0.0, 100.0])).value == 50.0


@pytest.mark.parametrize("rules", [Rules(), Rules(blq="zero")])
def test_all_16_exposures_of_the_synthetic_cohort_are_reproduced(cohort, published, rules):
    """The file sets samples below the limit to 0 and stops at day 28.

    The default rules give the same, since every patient has a sample on day 28 and none has a
    sample below the limit between quantifiable ones.
    """
    table = observed_quantities(cohort, rules=rules).set_index("patient")
    assert len(table) == 16
    assert (table["unit"] == "cells/uL").all()
    for ours, theirs in [("cmax", "peak_total"), ("tmax", "tmax"), ("tlast", "tlast")]:
        expected = published[theirs].reindex(table.index)
        assert table[f"observed_{ours}"].to_numpy() == pytest.approx(expected, abs=1e-9)
    expected = published["auc0_28"].reindex(table.index)
    assert table["observed_auc_0_28"].to_numpy() == pytest.approx(expected, abs=5.1e-4)
    assert (table.filter(like="_reason") == "").all(axis=None)


def test_qpcr_peaks_of_the_synthetic_cohort_are_reproduced(cohort, published):
    table = observed_quantities(cohort, assay="qpcr", quantities=["cmax", "tmax"])
    expected = published.reindex(table["patient"])
    assert table["observed_cmax"].to_numpy() == pytest.approx(expected["qpcr_peak"], abs=0.051)
    assert table["observed_tmax"].to_numpy() == pytest.approx(expected["qpcr_tmax"])


def test_s16_median_day_of_the_peak_is_14(cohort):
    """S-16, published."""
    assert observed_quantities(cohort)["observed_tmax"].median() == 14


def test_s17_medians_of_cd8_and_cd4_at_the_peak_are_98_and_9(cohort, published):
    """S-17, published; patient by patient against the file of the cohort."""
    table = subset_at_peak(cohort)
    expected = published.reindex(table["patient"])
    assert table["CD8"].to_numpy() == pytest.approx(expected["peak_cd8"])
    assert table["CD4"].to_numpy() == pytest.approx(expected["peak_cd4"])
    assert round(table["CD8"].median(), 1) == 98.0
    assert round(table["CD4"].median(), 1) == 9.0


def test_own_peak_is_never_below_the_level_at_the_peak_of_the_total(cohort):
    own, total = subset_at_peak(cohort, at="own_peak"), subset_at_peak(cohort)
    for name in ("CD4", "CD8"):
        assert (own[name] >= total[name]).all()
        observed = observed_quantities(cohort, cell_type=name)["observed_cmax"]
        assert own[name].to_list() == observed.to_list()


def test_subset_counts_as_below_the_limit_where_its_total_does(cohort):
    """The limit of 0.5 stands on the total rows only."""
    flow = cohort.levels.query("assay == 'flow' and cell_type == 'total'")
    below = flow.groupby("patient")["below_lloq"].sum()
    table = observed_quantities(cohort, cell_type="CD8").set_index("patient")
    assert table["n_blq"].to_dict() == below.to_dict()


def test_patient_without_samples_has_a_row_with_the_reason(tmp_path):
    levels = "patient,day,assay,cell_type,level,unit,lloq\n"
    levels += "A,7,flow,total,10,cells/uL,1\nA,28,flow,total,5,cells/uL,1\n"
    (tmp_path / "levels.csv").write_text(levels)
    (tmp_path / "patients.csv").write_text("patient,age\nA,50\nB,60\n")
    table = observed_quantities(read_cohort(tmp_path / "levels.csv", tmp_path / "patients.csv"))
    assert table["patient"].to_list() == ["A", "B"]
    assert table["observed_cmax_reason"].to_list() == ["", "no samples"]
    assert table["observed_auc_0_28"].isna().to_list() == [False, True]


def test_baseline_samples_are_left_out(tmp_path):
    levels = "patient,day,assay,cell_type,level,unit,lloq\n"
    levels += "A,-1,flow,total,90,cells/uL,1\nA,7,flow,total,10,cells/uL,1\n"
    (tmp_path / "levels.csv").write_text(levels)
    table = observed_quantities(read_cohort(tmp_path / "levels.csv"))
    assert table["observed_cmax"].to_list() == [10.0]
    assert table["n_samples"].to_list() == [1]


def test_unknown_names_are_refused_with_the_choices(cohort):
    with pytest.raises(DataError, match="mean_level"):
        observed_quantities(cohort, quantities=["peak"])
    with pytest.raises(DataError, match="no samples"):
        observed_quantities(cohort, assay="qpcr", cell_type="CD4")
    with pytest.raises(DataError, match="own_peak"):
        subset_at_peak(cohort, at="peak")


# Visits.


def visits_of(days):
    """Return a cohort in which every patient has samples on the days given."""
    rows = [
        (patient, day, "flow", "total", 5.0 + i, "cells/uL", 0.5)
        for patient, its in days.items()
        for i, day in enumerate(its)
    ]
    columns = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq"]
    return read_cohort(pd.DataFrame(rows, columns=columns))


@pytest.mark.parametrize(
    ("days", "first", "last", "n"),
    [
        # The same patient never counts twice in a visit.
        ({"A": [7, 8], "B": [7]}, [7, 8], [7, 8], [2, 1]),
        # Planned on day 14, taken from day 11 to day 15.
        ({"A": [11], "B": [12], "C": [13], "D": [14], "E": [15]}, [11], [15], [5]),
        # Two patients, two plans: days 3 and 7 are different visits.
        ({"A": [3], "B": [7]}, [3, 7], [3, 7], [1, 1]),
        # Late visits are taken further apart.
        ({"A": [88], "B": [95], "C": [99]}, [88, 99], [95, 99], [2, 1]),
        # A week of consecutive days ends.
        ({p: [d] for d, p in enumerate("ABCDEFGH", 1)}, [1, 8], [7, 8], [7, 1]),
    ],
)
def test_neighboring_days_make_a_visit(days, first, last, n):
    table = visit_quantiles(visits_of(days))
    assert table["first_day"].tolist() == first
    assert table["last_day"].tolist() == last
    assert table["n"].tolist() == n


def test_planned_days_take_the_nearest_samples():
    cohort = visits_of({"A": [6, 15], "B": [8, 13], "C": [7, 11]})
    table = visit_quantiles(cohort, visits=[7, 14])
    assert table["n"].tolist() == [3, 3]
    assert table["day"].tolist() == [7, 13]


def test_quantiles_among_samples_below_the_limit_are_bounds():
    levels = pd.DataFrame(
        {
            "patient": list("ABCD"),
            "day": 7,
            "assay": "flow",
            "cell_type": "total",
            "level": [0.1, 0.1, 2.0, 8.0],
            "unit": "cells/uL",
            "lloq": 0.5,
        }
    )
    row = visit_quantiles(read_cohort(levels, flag_below_lloq=True)).iloc[0]
    assert (row["n"], row["n_blq"]) == (4, 2)
    assert row[["lower_below", "median_below", "upper_below"]].tolist() == [True, True, False]
    assert (row["lower"], row["median"], row["upper"]) == (0.5, 1.25, 3.5)
