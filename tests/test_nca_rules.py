"""Rules of the noncompartmental analysis, bad input, and what must not change the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.noncompartmental import (
    OBSERVED,
    PRESETS,
    VISIT_WINDOWS,
    Profile,
    Rules,
    find_observed,
    measure,
    nca,
    rules_from,
    segment_areas,
    stack,
    window_around,
)

EVERY = [*OBSERVED, "auc_0_28", "level_20", "slope_3_14", "detectable_28", "time_above_5"]
PEAK = Profile([3, 7, 10, 14, 21, 28], [2.0, 20, 60, 100, 30, 9])


def table_of(days, levels, lloq=0.5, patient="A"):
    return pd.DataFrame({"patient": patient, "day": days, "level": levels, "lloq": lloq})


# Each rule.


def test_every_rule_has_a_number_and_says_what_was_chosen():
    table = Rules(interpolation="linear").describe()
    assert table["rule"].tolist() == [f"N-{k:02}" for k in range(1, 15)]
    assert table.set_index("rule").loc["N-04", "chosen"] == "interpolation=linear"
    assert table.query("~default")["rule"].tolist() == ["N-04"]


def test_rules_are_chosen_by_number_by_field_or_by_preset():
    assert rules_from({"N-04": "linear"}) == rules_from({"interpolation": "linear"})
    assert rules_from("pknca-like") is PRESETS["pknca-like"]
    assert rules_from({}) == Rules()
    for wrong in ("phoenix", {"N-15": 1}, {"blq": "bogus"}, {"min_points": 2}, 3):
        with pytest.raises(DataError):
            rules_from(wrong)


def test_n01_level_on_day_0_is_zero_or_must_be_measured():
    assert measure("auc_0_28", PEAK, {"N-01": "zero"}).value > 0
    missing = measure("auc_0_28", PEAK, {"N-01": "measured"})
    assert missing.reason == "no sample at or before day 0"


def test_n02_first_or_last_of_equal_peaks():
    tied = Profile([3, 7, 10], [1.0, 5.0, 5.0])
    assert measure("tmax", tied).value == 7
    assert measure("tmax", tied, {"N-02": "last"}).value == 10


def test_n05_samples_below_the_limit_by_hand():
    """Levels B 10 B 8 B B on days 0 2 4 6 8 10, limit 2; linear, so that areas are plain."""
    below = np.array([True, False, True, False, True, True])
    profile = Profile([0, 2, 4, 6, 8, 10], [np.nan, 10, np.nan, 8, np.nan, np.nan], below, 2.0)
    expected = {
        "default": 10 + 36 + 8,
        "zero": 10 + 10 + 8 + 8,
        "half_lloq": 11 + 11 + 9 + 9 + 2,
        "lloq": 12 + 12 + 10 + 10 + 4,
        "pknca": 10 + 36 + 8,
        "zero_then_drop": 10 + 36,
        "stop_at_first": 10,
        "first_half_lloq": 10 + 36 + 9,
        "m3": 10 + 36 + 8,
    }
    for rule, area in expected.items():
        rules = Rules(blq=rule, interpolation="linear")
        assert measure("auc_0_10", profile, rules).value == pytest.approx(area), rule
    assert measure("auc_0_10", profile, Rules(blq="drop")).value == pytest.approx(
        10 + segment_areas([2, 6], [10.0, 8.0], "lin_up_log_down").sum()
    )


def test_n06_window_may_ask_for_a_sample_at_its_end():
    profile = Profile([0, 27, 30], [0.0, 40.0, 20.0])
    asked = measure("auc_0_28", profile, {"N-06": "sample"})
    assert asked.reason == "no sample on day 28"
    assert measure("auc_0_27", profile, {"N-06": "sample"}).value == 540


def test_n07_last_sample_below_the_limit_completes_the_area_or_not():
    profile = Profile([14, 21], [100.0, np.nan], [False, True], 0.5)
    assert measure("auc_0_28", profile).flags["auc_closed_by_blq"]
    missing = measure("auc_0_28", profile, {"N-07": "missing"})
    assert missing.reason == "sampling ended below the limit on day 21"


def test_n08_extrapolation_may_be_forbidden():
    day = np.array([10.0, 13, 16, 19])
    profile = Profile(day, 100 * np.exp(-0.4 * (day - 10)))
    assert measure("auc_0_28", profile).value > 0
    assert "nothing is extrapolated" in measure("auc_0_28", profile, {"N-08": "missing"}).reason


def test_n09_progression_before_the_end_is_flagged_and_may_make_the_area_missing():
    """VP05 of the built-in cohort progresses on day 28, VP04 dies on day 31."""
    cohort = ck.synthetic_cohort()
    table = nca(cohort, ["auc_0_40"], cell_types="total").wide().set_index("patient")
    assert table.loc["VP05", "auc_event_before_end"]
    strict = nca(cohort, ["auc_0_40"], cell_types="total", rules={"N-09": "missing"})
    reasons = strict.wide().set_index("patient")["observed_auc_0_40_reason"]
    assert reasons["VP05"] == "death or progression on day 28, before day 40"
    assert reasons["VA07"] == ""


def test_n10_clast_is_observed_or_predicted_by_the_line():
    day = np.array([7.0, 10, 14, 21])
    noisy = 100 * np.exp(-0.2 * (day - 7)) * np.array([1, 1.1, 0.9, 1.2])
    line = np.polyfit(day[1:], np.log(noisy[1:]), 1)
    predicted = np.exp(np.polyval(line, 21.0))
    assert measure("clast_predicted", Profile(day, noisy)).value == pytest.approx(predicted)
    gap = predicted / -line[0] - noisy[-1] / -line[0]
    areas = [measure("aucinf", Profile(day, noisy), {"N-10": c}).value
             for c in ("observed", "predicted")]  # fmt: skip
    assert areas[1] - areas[0] == pytest.approx(gap)


def test_n11_contraction_and_terminal_phase_are_never_pooled():
    """Two exact exponentials, of half-life 3 until day 28 and 70 from then on."""
    day = np.array([14.0, 17, 21, 24, 28, 60, 90, 180])
    level = np.where(day <= 28, 2.0 ** (-(day - 14) / 3), 2.0 ** (-14 / 3 - (day - 28) / 70))
    profile = Profile(day, 1000 * level)
    assert measure("contraction_half_life", profile).value == pytest.approx(3)
    assert measure("terminal_half_life", profile).value == pytest.approx(70)


def test_n12_doubling_time_needs_three_points_and_is_a_bound_with_fewer():
    day = np.array([0.0, 2, 4, 6, 9])
    profile = Profile(day, [7.0, 2, 4, 8, 3])
    assert measure("doubling_time", profile).value == pytest.approx(2)
    short = measure("doubling_time", Profile([4, 7, 10], [1.0, 8, 2]))
    assert short.reason == "only 2 points of a rise to Tmax"
    assert short.flags["doubling_time_at_most"] == pytest.approx(1.0)
    hidden = Profile([4, 7, 10], [np.nan, 8, 2], [True, False, False], 1.0)
    assert measure("doubling_time", hidden).flags["doubling_time_at_most"] == pytest.approx(1.0)


def test_n13_summary_is_geometric_for_levels_and_a_median_for_days():
    """Published for theophylline: geometric mean and CV of a lognormal; here two patients."""
    both = pd.concat([table_of([7, 14], [10.0, 4], patient="A"),
                      table_of([7, 14], [40.0, 4], patient="B")])  # fmt: skip
    row = nca(both, ["cmax", "tmax"]).summary().set_index("quantity")
    assert row.loc["cmax", "geometric_mean"] == pytest.approx(20)
    s2 = np.var(np.log([10, 40]), ddof=1)
    assert row.loc["cmax", "gcv_percent"] == pytest.approx(100 * np.sqrt(np.exp(s2) - 1))
    assert np.isnan(row.loc["tmax", "geometric_mean"])
    assert row.loc["tmax", "median"] == 7
    assert row.loc["cmax", "n"] == 2


def test_n14_peak_below_the_limit_is_censored_and_never_half_of_it():
    """The maximum likelihood of a censored Normal lies below the mean of the others."""
    seen = [table_of([7, 14], [level, 0.1], patient=p) for p, level in zip("ABC", (4, 8, 16),
                                                                          strict=True)]  # fmt: skip
    hidden = table_of([7, 14], [0.1, 0.1], patient="D")
    samples = pd.concat([*seen, hidden])
    row = nca(samples, ["cmax"]).summary().iloc[0]
    assert (row["n"], row["n_missing"], row["n_below"]) == (3, 1, 1)
    assert row["geometric_mean"] < 8
    halved = nca(samples, ["cmax"], rules={"N-14": "half_lloq"}).summary().iloc[0]
    assert halved["geometric_mean"] == pytest.approx((4 * 8 * 16 * 0.25) ** 0.25)
    dropped = nca(samples, ["cmax"], rules={"N-14": "drop"}).summary().iloc[0]
    assert dropped["geometric_mean"] == pytest.approx(8)


def test_n14_area_wholly_below_the_limit_is_censored_and_not_left_out():
    """A-09: the area is 0 in the table, and less than that of the limit on the log scale.

    Areas 4, 8, 16 times 14 (triangles over 28 days) and one below 0.5 * 28 = 14.
    """
    seen = [table_of([14, 28], [level, 0.1], patient=p) for p, level in zip("ABC", (4, 8, 16),
                                                                          strict=True)]  # fmt: skip
    samples = pd.concat([*seen, table_of([14, 28], [0.1, 0.1], patient="D")])
    found = nca(samples, ["auc_0_28"])
    assert found.table()["value"].tolist() == pytest.approx([56, 112, 224, 0])
    assert found.wide()["auc_below"].tolist()[-1] == 14
    row = found.summary().iloc[0]
    assert (row["n"], row["n_missing"], row["n_below"], row["n_zero"]) == (3, 0, 1, 0)
    assert row["geometric_mean"] < 112
    dropped = nca(samples, ["auc_0_28"], rules={"N-14": "drop"}).summary().iloc[0]
    assert dropped["geometric_mean"] == pytest.approx(112)


def test_n13_levels_of_zero_are_counted_since_they_have_no_logarithm():
    samples = pd.concat([table_of([7, 28], [4.0, 2.0]), table_of([7, 28], [4.0, 0.1], patient="B")])
    row = nca(samples, ["level_28"]).summary().iloc[0]
    assert (row["n"], row["n_zero"], row["geometric_mean"]) == (2, 1, 2.0)


def test_n11_a_terminal_slope_says_how_good_it_is():
    """Three points that halve every seven days: two half-lives are not short, R-squared is 1."""
    for name in ("lambda_z", "half_life", "aucinf"):
        flags = measure(name, Profile([7, 14, 21, 28], [80.0, 8, 4, 2])).flags
        assert flags["lambda_z_points"] == 3
        assert flags["lambda_z_adjusted_r2"] == pytest.approx(1)
        assert flags["lambda_z_span"] == pytest.approx(2)
    short = measure("lambda_z", Profile([7, 14, 21, 28], [80.0, 8, 7, 6])).flags
    assert short["lambda_z_span_short"]


# Other quantities.


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ([0, 0, 1, 1, 1], 14.0),
        ([0, 0, 1, 0, 1], 28.0),  # a single one at the end of sampling counts
        ([0, 0, 1, 0, 0], np.nan),
        ([1, 0, 0, 1, 1], 21.0),
    ],
)
def test_p2_first_of_two_consecutive_samples_below_the_limit(below, expected):
    below = np.array(below, bool)
    profile = Profile([3, 7, 14, 21, 28], np.where(below, np.nan, 5.0), below, 1.0)
    found = measure("blq_confirmed", profile)
    assert found.value == pytest.approx(expected, nan_ok=True)
    assert bool(found.reason) == np.isnan(expected)


def test_p3_windows_and_what_a_sample_outside_says():
    assert window_around(28) == (25.0, 31.0)
    late = Profile([14, 40], [5.0, 5.0])
    assert measure("detectable_28", late).reason == "no sample from day 25 to day 31"
    assert measure("detectable_28", Profile([14, 26], [5.0, 5.0])).value == 1
    # The visits of the table of a cohort; one quantifiable sample of a visit is enough.
    assert [window_around(day) for day in (28, 90, 180, 365)] == list(VISIT_WINDOWS.values())
    assert window_around(60) == (54.0, 66.0)
    mixed = Profile([14, 26, 28], [5.0, 5.0, np.nan], [False, False, True], 1.0)
    assert measure("detectable_28", mixed).value == 1
    hidden = Profile([14, 30], [5.0, np.nan], [False, True], 1.0)
    assert measure("detectable_28", hidden).value == 0


def test_time_above_a_limit_is_that_of_the_lines():
    """By hand: up a straight line to 8 on day 4, halving every day; above 2 from day 1 to 6."""
    profile = Profile([0, 4, 8], [0.0, 8.0, 0.5])
    assert measure("time_above_2", profile).value == pytest.approx(5.0)


def test_time_above_says_that_it_still_lasts():
    profile = Profile([0, 4, 8], [0.0, 8.0, 4.0])
    assert measure("time_above_2", profile).flags["time_above_censored"]
    assert not measure("time_above_5", profile).flags["time_above_censored"]


def test_level_and_growth_are_read_off_the_samples():
    assert measure("level_28", Profile([27, 30], [40.0, 20.0])).value == pytest.approx(
        40 * 2 ** (-1 / 3)
    )
    assert measure("level_60", PEAK).reason == "the last sample is of day 28"
    assert measure("slope_3_7", PEAK).value == pytest.approx(np.log(10) / 4)


def test_aucall_closes_the_triangle_that_auclast_leaves_open():
    below = np.array([False, False, True])
    profile = Profile([0, 1, 2], [0.0, 1.0, np.nan], below, 0.1)
    assert measure("auclast", profile).value == 0.5
    assert measure("aucall", profile).value == 1.0


def test_exposure_to_onset_stops_there():
    """VA08 of the built-in cohort had its syndrome on day 1, before anything was seen."""
    table = nca(ck.synthetic_cohort(), ["auc_to_onset"], cell_types="total").wide()
    table = table.set_index("patient")
    assert table.loc["VA08", "observed_auc_to_onset"] == 0
    assert table.loc["VP01", "observed_auc_to_onset_reason"].startswith("no day of onset")
    assert (table["observed_auc_to_onset"].dropna() >= 0).all()


def test_n03_subsets_are_read_at_the_peak_of_the_total_or_at_their_own():
    cohort = ck.synthetic_cohort()
    both = [nca(cohort, ["level_at_total_peak", "share_at_total_peak"], rules={"N-03": at})
            for at in ("total_peak", "own_peak")]  # fmt: skip
    at_total, own = (found.wide("CD4").set_index("patient") for found in both)
    levels = "observed_level_at_total_peak"
    assert (own[levels] >= at_total[levels]).all()
    shares = [f.wide(c)["observed_share_at_total_peak"] for f in both[:1] for c in ("CD4", "CD8")]
    assert (shares[0] + shares[1]).to_numpy() == pytest.approx(1.0, abs=1e-9)


# Bad input.

BAD = {
    "two samples share a day": ([3, 7, 7, 14], [1, 5, 6, 2]),
    "a day is not a finite number": ([3, np.inf, 14, 21], [1, 5, 6, 2]),
    "a day lies before the infusion": ([-1, 3, 7, 14], [1, 5, 6, 2]),
    "a level is not a finite number": ([3, 7, 10, 14], [1, np.inf, 6, 2]),
    "a level is negative": ([3, 7, 10, 14], [1, -5, 6, 2]),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("rules", PRESETS)
def test_a_profile_that_makes_no_sense_has_reasons_and_no_numbers(reason, rules):
    days, levels = BAD[reason]
    bad = table_of(np.array(days, float), np.array(levels, float), np.nan)
    good = table_of([3, 7, 14, 21, 28], [1.0, 9, 40, 10, 2], 0.5, patient="B")
    table = nca(pd.concat([bad, good]), EVERY, rules=rules).table().set_index("patient")
    assert table.loc["A", "value"].isna().all()
    assert (table.loc["A", "reason"] == reason).all()
    assert table.loc["B", "value"].notna().any()


def test_decreasing_days_of_a_single_profile_are_refused():
    with pytest.raises(DataError, match="days do not increase"):
        Profile([7, 3], [1.0, 2.0])


@pytest.mark.parametrize(
    ("days", "levels", "reason"),
    [
        ([3, 7, 28], [0.1, 0.1, 0.1], "all samples below the LLOQ"),
        ([3, 7, 28], [0.0, 0.0, 0.0], "all samples below the LLOQ"),
    ],
)
def test_nothing_quantifiable_has_no_peak(days, levels, reason):
    table = nca(table_of(days, levels), EVERY).table().set_index("quantity")
    for name in ("cmax", "tmax", "clast", "tlast", "doubling_time", "half_life"):
        assert np.isnan(table.loc[name, "value"])
        assert table.loc[name, "reason"] == reason
    assert table.loc["cmax", "below"] == 0.5


def test_zeros_without_a_limit_are_no_peak():
    assert measure("cmax", Profile([3, 7], [0.0, 0.0])).reason == "no level above 0"


@pytest.mark.parametrize("name", EVERY)
def test_one_point_gives_a_number_or_a_reason(name):
    found = measure(name, Profile([7], [5.0]))
    assert np.isnan(found.value) == bool(found.reason)


@pytest.mark.parametrize("name", ["auc_0_365", "auc_100_200", "level_365", "detectable_365"])
def test_windows_beyond_the_data_are_missing(name):
    found = measure(name, PEAK)
    assert np.isnan(found.value)
    assert found.reason


def test_a10_mixed_units_and_missing_columns_are_refused():
    mixed = pd.concat([table_of([7], [5.0]).assign(unit=u) for u in ("cells/uL", "copies/ug")])
    with pytest.raises(DataError, match="are mixed"):
        nca(mixed)
    with pytest.raises(DataError, match="no column level"):
        nca(mixed.drop(columns="level"))
    with pytest.raises(DataError, match="no quantity"):
        nca(mixed.head(1), [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": ["<5", "3"]}, "table: level: holds"),
        ({"day": pd.to_datetime(["2020-01-01", "2020-01-02"])}, "table: day: holds"),
        ({"patient": ["A", None]}, "table: patient: is missing"),
        ({"assay": "qpcr"}, "there are no samples"),
    ],
)
def test_a_table_that_is_none_of_numbers_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        nca(table_of([7, 14], [1.0, 2.0]).assign(**changes), ["cmax"])
    with pytest.raises(DataError, match="no cell type 'CD8'"):
        nca(table_of([7, 14], [1.0, 2.0]), ["cmax"], cell_types="CD8")


def test_an_area_that_overflows_is_missing():
    huge = measure("auc_0_14", Profile([7, 14], [1e308, 1e308]))
    assert np.isnan(huge.value)
    assert huge.reason == "the number is too large to compute"


def test_unknown_quantity_is_refused_with_a_suggestion():
    with pytest.raises(DataError, match="did you mean 'aucinf'"):
        find_observed("aucinv")


# What must not change the numbers.

LEVELS = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0.01, 1e4), st.booleans()), min_size=1, max_size=9,
    unique_by=lambda sample: sample[0],
)  # fmt: skip
EASY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def drawn(samples):
    ordered = sorted(samples)
    day = np.array([s[0] for s in ordered], float)
    below = np.array([s[2] for s in ordered])
    level = np.where(below, np.nan, [max(s[1], 0.5) for s in ordered])
    return pd.DataFrame(
        {"patient": "A", "day": day, "level": level, "lloq": 0.5, "below_lloq": below}
    )


def numbers(table, rules="default", names=EVERY):
    return nca(table, names, rules=rules).table().set_index("quantity")["value"]


@EASY
@given(LEVELS, st.sampled_from(sorted(PRESETS)))
def test_every_profile_gives_numbers_or_reasons(samples, rules):
    table = nca(drawn(samples), EVERY, rules=rules).table()
    assert (table["value"].isna() == (table["reason"] != "")).all()
    assert not np.isinf(table["value"]).any()


@EASY
@given(LEVELS, st.randoms())
def test_the_order_of_rows_does_not_matter(samples, random):
    table = drawn(samples)
    order = list(range(len(table)))
    random.shuffle(order)
    pd.testing.assert_series_equal(numbers(table), numbers(table.iloc[order]))


@EASY
@given(LEVELS, st.integers(0, 7), st.sampled_from(["default", "pknca-like", "winnonlin-like"]))
def test_a11_a_sample_on_the_line_leaves_areas_alone(samples, place, rules):
    """Halfway between two quantifiable samples, where the line of the rules passes."""
    table = drawn(samples)
    seen = table.loc[~table["below_lloq"], "day"].to_numpy()
    assume(seen.size > 1)
    place %= seen.size - 1
    at = float(seen[place : place + 2].mean())
    assume(at not in table["day"].to_numpy())
    names = ["auclast", "aucall", f"level_{at:g}"]
    one = numbers(table, rules, names)
    new = pd.DataFrame({"patient": "A", "day": at, "level": one[f"level_{at:g}"], "lloq": 0.5,
                        "below_lloq": False}, index=[0])  # fmt: skip
    other = numbers(pd.concat([table, new]), rules, names)
    for name in names:
        assert other[name] == pytest.approx(one[name], rel=1e-9)


@EASY
@given(LEVELS, st.floats(1e-3, 1e6))
def test_a11_units_scale_levels_and_areas(samples, factor):
    table = drawn(samples)
    scaled = table.assign(level=table["level"] * factor, lloq=table["lloq"] * factor)
    names = [name for name in EVERY if name != "time_above_5"]
    one, other = numbers(table, names=names), numbers(scaled, names=names)
    for name in names:
        expected = factor if find_observed(name).kind in ("level", "area") else 1.0
        assert other[name] == pytest.approx(expected * one[name], rel=1e-6, nan_ok=True)


@EASY
@given(LEVELS)
def test_a_patient_twice_gives_the_same_numbers_twice(samples):
    table = drawn(samples)
    both = pd.concat([table, table.assign(patient="B"), table.assign(patient="C")])
    found = nca(both, EVERY).table()
    for _, rows in found.groupby("quantity"):
        assert rows["value"].nunique(dropna=False) == 1
        assert rows["reason"].nunique() == 1


@EASY
@given(LEVELS, st.integers(1, 30))
def test_later_days_shift_days_and_leave_levels_alone(samples, shift):
    table = drawn(samples)
    later = table.assign(day=table["day"] + shift)
    names = ["cmax", "tmax", "clast", "tlast", "lambda_z", "doubling_time"]
    one, other = numbers(table, names=names), numbers(later, names=names)
    for name in names:
        moved = shift if name in ("tmax", "tlast") else 0
        assert other[name] == pytest.approx(one[name] + moved, rel=1e-6, nan_ok=True)


def test_profiles_at_once_agree_with_one_at_a_time():
    rng = np.random.default_rng(3)
    days = np.array([3.0, 7, 10, 14, 21, 28, 60])
    profiles = []
    for _ in range(40):
        n = int(rng.integers(1, 8))
        below = rng.random(n) < 0.3
        level = np.where(below, np.nan, np.exp(rng.normal(2, 2, n)) + 0.5)
        profiles.append(Profile(days[:n], level, below, 0.5))
    together = stack(profiles)
    for name in EVERY:
        many = find_observed(name).compute(together, Rules())
        for i, profile in enumerate(profiles):
            one = measure(name, profile)
            assert many.value[i] == pytest.approx(one.value, rel=1e-12, nan_ok=True), name
            assert many.reason[i] == one.reason


# Tables.


def test_why_a_number_lists_samples_rules_and_what_each_sample_counts_as():
    cohort = ck.synthetic_cohort()
    why = nca(cohort, ["auc_0_28", "cmax"]).why("VA02", "auc_0_28")
    assert cohort.data_hash in repr(why)
    assert "N-05 blq=default" in repr(why)
    assert "SYNTHETIC" in repr(why)
    assert why.rows["counts_as"].notna().sum() == 8  # of 10: the last two follow the closing zero
    assert "<dl>" in why._repr_html_()
    with pytest.raises(DataError, match="no cell"):
        nca(cohort, ["cmax"]).why("VA02", "auc_0_28")


def test_tables_for_cdisc_carry_codes_reasons_and_limits():
    samples = pd.concat([table_of([7, 14, 21], [10.0, 4, 3]),
                         table_of([7, 14], [0.1, 0.1], patient="B")])  # fmt: skip
    found = nca(samples.assign(unit="cells/uL"), ["cmax", "auc_0_28", "tlast", "blq_confirmed"])
    pp = found.to_pp("TRIAL").set_index(["USUBJID", "PPTESTCD"])
    assert pp.loc[("A", "CMAX"), "PPSTRESN"] == 10
    assert pp.loc[("A", "CMAX"), "PPSTRESU"] == "cells/uL"
    assert pp.loc[("B", "CMAX"), "PPSTRESC"] == "<0.5"
    assert pp.loc[("B", "TLST"), "PPSTAT"] == "NOT DONE"
    assert pp.loc[("B", "TLST"), "PPREASND"] == "all samples below the LLOQ"
    assert pp.loc[("A", "AUCINT"), ["PPSTINT", "PPENINT"]].tolist() == ["P0D", "P28D"]
    assert pp.loc[("A", "BLQCONF"), "OFFICIAL"] == "N"
    assert pp["PPTEST"].str.len().max() <= 40
    assert pp.index.get_level_values("PPTESTCD").str.len().max() <= 8
    adpp = found.to_adpp("TRIAL")
    assert adpp["PARAM"].iloc[0] == "Observed Cmax, total (cells/uL)"
    assert adpp["PARAMCD"].iloc[0] == "CMAXT"
    assert "SYNTHETIC" not in pp.columns
    assert (nca(ck.synthetic_cohort()).to_adpp()["SYNTHETIC"] == "Y").all()


def test_each_param_of_adpp_has_a_code_of_its_own():
    """ADaM: PARAM and PARAMCD go one to one; windows share a PPTESTCD, cell types a quantity."""
    names = ["cmax", "auc_0_28", "auc_0_7", "auc_7_14", "level_7", "level_14", "clast_predicted",
             *(f"detectable_{day}" for day in range(28, 42))]  # fmt: skip
    adpp = nca(ck.synthetic_cohort(), names).to_adpp()
    pairs = adpp[["PARAM", "PARAMCD"]].drop_duplicates()
    assert len(pairs) == 3 * len(names)
    assert pairs["PARAM"].is_unique
    assert pairs["PARAMCD"].is_unique
    assert pairs["PARAMCD"].str.fullmatch(r"[A-Z][A-Z0-9]{0,7}").all()
    one = adpp[adpp["PARAM"] == "Observed Cmax, CD8 (cells/uL)"]
    assert set(one["PARAMCD"]) == {"CMAX8"}
    windows = adpp[adpp["PPTESTCD"] == "AUCINT"]
    assert windows["PARAMCD"].nunique() == 9


def test_summary_is_written_as_latex_and_html():
    found = nca(ck.synthetic_cohort(), ["cmax", "tmax"])
    assert "SYNTHETIC" in found.to_latex()
    assert r"\begin{tabular}{llrrrrrrrrrrrl}" in found.to_latex()  # numbers flush right
    assert "<caption>" in found.to_html()
    assert "Samples of 16 patients" in repr(found)


def test_codes_follow_the_level_that_areas_are_extrapolated_from():
    samples = table_of([7, 14, 21, 28], [80.0, 8, 4, 2])
    for rules, codes in (("default", ["AUCIFO", "AUCPEO"]), ({"N-10": "predicted"}, ["AUCIFP",
                         "AUCPEP"])):  # fmt: skip
        found = nca(samples, ["aucinf", "auc_extrapolated"], rules=rules)
        assert found.to_pp("TRIAL")["PPTESTCD"].tolist() == codes


def test_flags_reach_the_table():
    edge = nca(table_of([3, 7, 14], [1.0, 5.0, 20.0]), ["cmax"]).table().iloc[0]
    assert "cmax_boundary" in edge["flags"]
    assert "cmax_single_point" in edge["flags"]
