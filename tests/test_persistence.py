"""Persistence over a cohort: hand-made intervals, other software, simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.outcomes import kaplan_meier
from carkinetics.persistence import (
    b_cell_aplasia,
    loss_intervals,
    turnbull,
    weibull_intervals,
)

# Intervals of the built-in cohort by flow (SYNTHETIC), as they are listed in its samples.
LEFT = np.array([21, 28, 21, 105, 112, 232, 270, 28, 28, 28, 90, 21, 28, 21, 28, 21.0])
RIGHT = np.array([28, 42, 28, np.inf, np.inf, np.inf, 365, 42, np.inf, 42, np.inf, 28, np.inf, 28,
                  42, 28.0])  # fmt: skip
LOST = "lost"
VISITS = np.array([0, 7, 14, 21, 28, 60, 90, 180, 270, 365.0])


@pytest.fixture(scope="module")
def found(synthetic):
    return ck.cohort_persistence(synthetic)


def simulated(rng, n):
    """Draw design A.3: exponential loss (median 60 d), sampling ends after 120-420 days."""
    loss = np.maximum(rng.exponential(60 / np.log(2), n), 1.0)
    end = rng.uniform(120, 420, n)
    place = np.searchsorted(VISITS, loss)
    right = np.where(place < VISITS.size, VISITS[np.minimum(place, VISITS.size - 1)], np.inf)
    right = np.where(right <= end, right, np.inf)
    last = VISITS[np.searchsorted(VISITS, end, side="right") - 1]
    left = np.where(np.isfinite(right), VISITS[place - 1], np.minimum(VISITS[place - 1], last))
    return left, right


# Intervals.


def test_intervals_of_the_built_in_cohort_are_those_listed_by_hand(found):
    assert found.intervals["left"].to_numpy() == pytest.approx(LEFT)
    assert found.intervals["right"].to_numpy() == pytest.approx(RIGHT)
    ends = found.intervals.set_index("patient")["end"]
    assert ends["VP03"] == "transplant"
    assert ends["VA04"] == "progression"
    assert ends.value_counts().to_dict() == {"lost": 10, "progression": 5, "transplant": 1}


def cohort_of(samples, people=None):
    rows = [
        (patient, day, "flow", "total", None if low else 5.0, "cells/uL", 1.0, low)
        for patient, its in samples.items()
        for day, low in its
    ]
    columns = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq", "below_lloq"]
    table = pd.DataFrame(rows, columns=columns)
    return ck.read_cohort(table, people) if people is not None else ck.read_cohort(table)


@pytest.mark.parametrize(
    ("samples", "left", "right", "note"),
    [
        ([(7, False), (14, False), (28, True), (60, True)], 14, 28, ""),
        ([(7, False), (14, False)], 14, np.inf, ""),
        (
            [(7, False), (28, True)],
            7,
            28,
            "the only sample without detectable cells is the last one",
        ),
        ([(7, False), (14, True), (28, False), (60, True), (90, True)], 28, 60, ""),
        ([(7, False), (14, True), (28, True), (60, False)], 60, np.inf, "again after a confirmed"),
        ([(7, True), (28, True)], 0, 7, "never detectable"),
    ],
)
def test_p4_loss_lies_between_the_last_detectable_and_the_next_sample(samples, left, right, note):
    row = loss_intervals(cohort_of({"A": samples})).iloc[0]
    assert (row["left"], row["right"]) == (left, right)
    assert note in row["note"]


def test_samples_after_a_transplant_are_left_out_and_far_events_do_not_end_sampling():
    people = pd.DataFrame({"patient": ["A", "B"], "hct_day": [20, None], "os_day": [400, 90],
                           "died": [True, True]})  # fmt: skip
    samples = {"A": [(7, False), (14, False), (28, True)], "B": [(7, False), (28, False)]}
    table = loss_intervals(cohort_of(samples, people)).set_index("patient")
    assert table.loc["A", ["left", "right", "end", "end_day"]].tolist() == [
        14, np.inf, "transplant", 20,
    ]  # fmt: skip
    assert table.loc["B", "end"] == "sampling ended"


DETECTED = [
    # patient, day, level, below the LLOQ of 1, detected (LOD 0.2)
    ("A", 7, 5.0, False, None), ("A", 14, 0.5, True, None), ("A", 27, 0.1, True, None),
    ("A", 60, None, True, None),
    ("B", 7, 5.0, False, None), ("B", 14, None, True, True), ("B", 30, None, True, True),
    ("B", 90, None, True, False),
    ("C", 7, 5.0, False, None), ("C", 28, None, True, None),
]  # fmt: skip


def detection_cohort():
    columns = ["patient", "day", "level", "below_lloq", "detected"]
    table = pd.DataFrame(DETECTED, columns=columns).assign(
        assay="flow", cell_type="total", unit="cells/uL", lloq=1.0, lod=0.2
    )
    return ck.read_cohort(table)


@pytest.mark.parametrize(
    ("detectable", "left", "right", "day_28"),
    [("lod", [14, 30, 7], [27, 90, 28], (1, 3)), ("lloq", [7, 7, 7], [14, 14, 28], (0, 3))],
)
def test_p3_p4_seen_below_the_limit_of_quantification_is_detectable_or_not(
    detectable, left, right, day_28
):
    """By hand; nothing said of a sample without a level, it counts as not detected."""
    cohort = detection_cohort()
    found = ck.cohort_persistence(cohort, detectable=detectable)
    assert found.intervals["left"].tolist() == left
    assert found.intervals["right"].tolist() == right
    visit = found.detection.set_index("what").loc["day 28"]
    assert (visit["patients"], visit["of"]) == day_28
    assert "3 samples" in repr(found)
    observed = ck.nca(cohort, ["detectable_28", "cmax", "tlast"], rules={"detectable": detectable})
    table = observed.wide()
    assert table["observed_detectable_28"].sum() == day_28[0]
    # What cannot be quantified is below the limit for every other number.
    assert table["observed_tlast"].tolist() == [7, 7, 7]


def test_p3_without_a_limit_of_detection_detectable_is_quantifiable(found):
    assert "does not tell detection from quantification" in repr(found)
    with pytest.raises(DataError, match="detectable: 'seen' is unknown"):
        ck.cohort_persistence(detection_cohort(), detectable="seen")


def test_p3_of_samples_is_that_of_the_cohort(synthetic, found):
    """Visit by visit: the same patients in numerator and denominator, therapy included."""
    days = {"day 28": 28, "month 3": 90, "month 6": 180, "month 12": 365}
    observed = ck.nca(synthetic, [f"detectable_{d}" for d in days.values()]).wide()
    table = found.detection.set_index("what")
    for visit, day in days.items():
        values = observed[f"observed_detectable_{day}"]
        assert values.sum() == table.loc[visit, "patients"]
        assert values.notna().sum() == table.loc[visit, "of"]


def test_p3_samples_after_a_transplant_or_new_therapy_do_not_count():
    people = pd.DataFrame({"patient": ["A", "B", "C"], "hct_day": [80, None, 26],
                           "new_therapy_day": [None, 160, 400]})  # fmt: skip
    visits = [(7, False), (27, False), (90, False), (180, True), (200, False)]
    cohort = cohort_of(dict.fromkeys("ABC", visits), people)
    names = ["detectable_28", "detectable_90", "detectable_180", "tlast"]
    found = ck.nca(cohort, names).wide().set_index("patient")
    by_hand = {"A": [1, np.nan, np.nan], "B": [1, 1, np.nan], "C": [np.nan, np.nan, np.nan]}
    for patient, values in by_hand.items():
        own = found.loc[patient, [f"observed_{n}" for n in names[:3]]].astype(float)
        assert own.tolist() == pytest.approx(values, nan_ok=True)
    assert found.loc["A", "observed_detectable_90_reason"] == (
        "no sample from day 77 to day 105 before transplant or new therapy on day 80"
    )
    assert found["tlast_after_new_therapy"].all()
    table = ck.cohort_persistence(cohort).detection.set_index("what")
    assert table.loc[["day 28", "month 3", "month 6"], "of"].tolist() == [2, 1, 0]


def test_p3_p4_other_therapy_may_be_told_by_the_end_of_progression_free_survival():
    people = pd.DataFrame({"patient": ["A", "B"], "pfs_day": [40, 95], "pfs_event": [False, True],
                           "pfs_end_type": ["alternative_therapy", "relapse"]})  # fmt: skip
    visits = [(7, False), (27, False), (90, False)]
    cohort = cohort_of(dict.fromkeys("AB", visits), people)
    found = ck.nca(cohort, ["detectable_90"]).wide()["observed_detectable_90"]
    assert found.tolist() == pytest.approx([np.nan, 1], nan_ok=True)
    lasting = ck.cohort_persistence(cohort)
    assert lasting.detection.set_index("what").loc["month 3", "of"] == 1
    ends = lasting.intervals.set_index("patient")
    assert ends.loc["A", ["left", "end", "end_day"]].tolist() == [27, "new therapy", 40]


def test_p6_b_cell_aplasia_ends_between_two_counts():
    table = pd.DataFrame(
        {
            "patient": ["A"] * 4 + ["B"] * 2 + ["C"],
            "day": [60, 0, 28, 90, 28, 180, 28],
            "b_cells_per_ul": [2.0, 100, 0, 40, 0, 1, np.nan],
        }
    )
    found = b_cell_aplasia(table, 10.0).set_index("patient")
    assert found.loc["A", ["left", "right"]].tolist() == [60, 90]
    assert found.loc["B", ["left", "right"]].tolist() == [180, np.inf]
    assert "C" not in found.index
    with pytest.raises(DataError, match="b_cells_per_ul"):
        b_cell_aplasia(table[["patient", "day"]], 10.0)


# Turnbull.


def test_turnbull_of_exact_and_censored_days_is_kaplan_meier():
    """Aalen-Johansen and Kaplan-Meier are its special cases; freireich, 6-MP arm."""
    events = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    left = np.array(events + censored, float)
    right = np.concatenate([np.array(events, float), np.full(len(censored), np.inf)])
    curve = turnbull(left, right)
    km = kaplan_meier(left, np.isfinite(right))
    days = np.array([5.0, 6, 7, 10, 16, 23])
    share = curve.incidence(days, "event")
    assert share["lower"].tolist() == share["upper"].tolist()
    assert 1 - share["lower"].to_numpy() == pytest.approx([km.at(d) for d in days], rel=1e-12)
    assert 1 - share["lower"].iloc[-1] == pytest.approx(0.448179, abs=1e-5)


def test_c08_competing_exact_days_are_aalen_johansen():
    """C-08, by hand: days 1 to 5, causes 1, 2, 1, censored, 2."""
    left = np.arange(1.0, 6)
    right = np.where(left == 4, np.inf, left)
    curve = turnbull(left, right, np.array(["1", "2", "1", "", "2"]))
    assert curve.incidence([3.0], "1")["lower"][0] == pytest.approx(0.40, abs=1e-12)
    assert curve.incidence([5.0], "2")["lower"][0] == pytest.approx(0.60, abs=1e-12)


def test_c09_incidence_of_progression_in_the_built_in_cohort(synthetic):
    """C-09, Aalen-Johansen by lifelines 0.30.3: 0.679924 by day 180."""
    people = synthetic.patients
    day = people["ttp_day"].to_numpy(float)
    cause = np.where(people["progressed"], "progression", "")
    died = people["pfs_event"].to_numpy(bool) & ~people["progressed"].to_numpy(bool)
    cause = np.where(died, "death", cause)
    right = np.where(cause == "", np.inf, day)
    share = turnbull(day, right, cause).incidence([180.0], "progression")["lower"][0]
    assert share == pytest.approx(0.679924, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_turnbull_reaches_the_maximum_of_the_likelihood(seed):
    """The same likelihood over the same intervals, maximized by SciPy (SLSQP)."""
    left, right = simulated(np.random.default_rng(seed), 24)
    curve = turnbull(left, right)
    inside = (curve.left >= left[:, None]) & (curve.right <= right[:, None])

    def loss(mass):
        beyond = np.where(np.isinf(right), 1 - mass.sum(), 0.0)
        return -np.log(np.maximum(inside @ mass + beyond, 1e-300)).sum()

    k = curve.mass.size
    best = optimize.minimize(
        loss, np.full(k, 0.9 / k), bounds=[(0, 1)] * k,
        constraints={"type": "ineq", "fun": lambda m: 1 - m.sum()}, method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    assert loss(curve.mass) <= best.fun + 1e-9
    assert curve.gap < 1e-12


@pytest.mark.parametrize("n", [16, 64, 200])
def test_turnbull_meets_the_conditions_of_a_maximum_with_days_of_all_kinds(n):
    """Visits of other days for every patient, where self-consistency alone takes 10,000 rounds.

    The slope of the mean log likelihood by a mass is 1 where there is mass, and no place that may
    hold mass has a larger one: conditions of Kuhn and Tucker, necessary and sufficient.
    """
    rng = np.random.default_rng(n)
    left, right = simulated(rng, n)
    left = np.where(left > 0, left + rng.normal(0, 2, n), 0)
    right = np.maximum(right + rng.normal(0, 2, n), left + 1)
    curve = turnbull(left, right)
    beyond = 1 - curve.mass.sum()
    inside = (curve.left >= left[:, None]) & (curve.right <= right[:, None])
    of_patient = inside @ curve.mass + np.where(np.isinf(right), beyond, 0.0)
    slopes = (inside / of_patient[:, None]).mean(axis=0)
    assert slopes[curve.mass > 1e-6] == pytest.approx(1.0, abs=1e-6)
    for day in np.unique(right[np.isfinite(right)]):
        inner = (left < day) & (day <= right)
        assert (inner / of_patient).mean() <= 1 + 1e-9


def test_c06_c07_medians_of_exact_days(synthetic):
    """C-06: progression-free survival 77 days. C-07: a flat half is reached on its first day."""
    people = synthetic.patients
    day = people["pfs_day"].to_numpy(float)
    right = np.where(people["pfs_event"].to_numpy(bool), day, np.inf)
    assert turnbull(day, right).median("event") == (77, 77)
    day = np.array([*range(1, 9), *[20] * 8], float)
    right = np.where(day < 20, day, np.inf)
    assert turnbull(day, right).median("event") == (8, 8)


def test_inside_an_interval_nothing_is_known():
    curve = turnbull(np.array([0.0, 10]), np.array([20.0, 30]))
    share = curve.incidence([5.0, 12.0, 20.0], "event")
    assert (curve.left, curve.right) == (10.0, 20.0)
    assert share["lower"].tolist() == [0, 0, 1]
    assert share["upper"].tolist() == [0, 1, 1]
    assert curve.median("event") == (10, 20)


def test_intervals_that_make_no_sense_are_refused():
    for left, right in (([], []), ([2.0], [1.0]), ([np.nan], [1.0]), ([1.0], [2.0, 3.0])):
        with pytest.raises(DataError, match="intervals"):
            turnbull(np.array(left), np.array(right))


def test_a_patient_twice_changes_no_share():
    one, two = turnbull(LEFT, RIGHT), turnbull(np.tile(LEFT, 2), np.tile(RIGHT, 2))
    assert two.mass == pytest.approx(one.mass, abs=1e-4)
    order = np.random.default_rng(0).permutation(LEFT.size)
    assert turnbull(LEFT[order], RIGHT[order]).mass == pytest.approx(one.mass, abs=1e-4)


# Weibull.


def test_weibull_agrees_with_lifelines():
    """Pinned from lifelines 0.30.3, WeibullFitter.fit_interval_censoring."""
    fit = weibull_intervals(LEFT, RIGHT)
    assert fit.scale == pytest.approx(117.33154485653189, rel=1e-4)
    assert fit.shape == pytest.approx(0.9181110903147076, rel=1e-4)
    assert fit.log_likelihood == pytest.approx(-32.72706720637054, abs=1e-6)
    assert fit.median()[0] == pytest.approx(78.71237656090486, rel=1e-4)
    assert np.sqrt(fit.covariance[0, 0]) * fit.scale == pytest.approx(40.585523, rel=1e-3)
    assert np.sqrt(fit.covariance[1, 1]) * fit.shape == pytest.approx(0.219061, rel=1e-3)


def test_weibull_of_exact_days_agrees_with_scipy():
    days = stats.weibull_min(1.4, scale=50).rvs(200, random_state=5)
    shape, _, scale = stats.weibull_min.fit(days, floc=0)
    fit = weibull_intervals(days, days)
    assert (fit.scale, fit.shape) == (
        pytest.approx(scale, rel=1e-4),
        pytest.approx(shape, rel=1e-4),
    )


def test_weibull_scales_with_the_unit_of_time():
    days, weeks = weibull_intervals(LEFT, RIGHT), weibull_intervals(LEFT / 7, RIGHT / 7)
    assert weeks.scale == pytest.approx(days.scale / 7, rel=1e-4)
    assert weeks.shape == pytest.approx(days.shape, rel=1e-4)


def test_weibull_limits_hold_the_estimate():
    table = weibull_intervals(LEFT, RIGHT).survival([0.0, 28, 90, 365])
    assert table["estimate"].iloc[0] == 1
    assert (table["lower"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["upper"]).all()


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ([28.0, 60], [np.inf, np.inf], "only 0 patients"),
        ([28.0, 60], [40.0, np.inf], "only 1 patients"),
        ([20.0, 20, 20], [21.0, 21, 21], "no maximum"),
    ],
)
def test_weibull_without_a_maximum_says_why(left, right, reason):
    fit = weibull_intervals(np.array(left), np.array(right))
    assert np.isnan(fit.scale)
    assert reason in fit.reason


@pytest.mark.slow
def test_a13_weibull_is_unbiased_and_tlast_is_not():
    """A-13: 64 patients, 100 cohorts, true median 60 days.

    The mean of 100 medians of RMSE 10 has a standard error of 1 day: 57 is 4 of them below 61,
    the published mean, 65 as many above. The mean of Kaplan-Meier on Tlast, published 46 with an
    RMSE of 22 (a bias of 14, so an SD of 17), has one of 1.7: 52 lies 3.5 above.
    """
    rng = np.random.default_rng(60)
    fitted, naive = [], []
    for _ in range(100):
        left, right = simulated(rng, 64)
        fitted.append(weibull_intervals(left, right).median()[0])
        naive.append(kaplan_meier(np.maximum(left, 0.5), np.isfinite(right)).median)
    assert 57 <= np.mean(fitted) <= 65
    assert np.mean(naive) < 52
    assert np.sqrt(np.mean((np.array(fitted) - 60) ** 2)) == pytest.approx(10, abs=4)


# The cohort.


def test_s24_five_persist_beyond_day_28_and_two_are_detectable_at_six_months(found):
    """S-24, published; with denominators and exact intervals."""
    table = found.detection.set_index("what")
    assert table.loc["any time after day 28", "patients"] == 5
    assert table.loc["month 6", "patients"] == 2
    assert (table["of"] <= 16).all()
    assert ((table["lower"] <= table["share"]) & (table["share"] <= table["upper"])).all()


def test_both_ways_of_counting_the_end_of_sampling_are_shown(found):
    """With competition a share lost is never above that with censoring; all ways add up to one."""
    table = found.table((28.0, 90.0, 365.0))
    ways = table.groupby(["method", "what", "day"])["lower"].first()
    for day in (28.0, 90.0, 365.0):
        censored = ways["Turnbull, end of sampling censored", LOST, day]
        competes = ways["Turnbull, end of sampling competes", LOST, day]
        assert competes <= censored + 1e-6
    total = ways["Turnbull, end of sampling competes"].groupby("day").sum()
    assert total[365.0] == pytest.approx(1.0, abs=1e-5)
    assert found.causes == ("progression", "transplant")
    assert table.query("method.str.startswith('Weibull')")["probability"].eq(0.95).all()


def test_it_prints_what_it_is(found):
    text = repr(found)
    assert "SYNTHETIC" in text
    assert "lost: 10; progression: 5; transplant: 1" in text
    assert "<table" in found._repr_html_()


def test_figure_says_what_it_shows(found):
    picture = ck.plot_persistence(found)
    words = " ".join(t.get_text() for t in picture.figure.findobj(lambda o: hasattr(o, "get_text")))
    for text in ("Turnbull", "Weibull", "SYNTHETIC", "sampling ended by progression", "at risk"):
        assert text in words
    assert len(picture.axes) == 2


def test_cohort_that_loses_nothing_is_drawn_all_the_same():
    cohort = cohort_of({p: [(7, False), (28, False)] for p in "ABC"})
    found = ck.cohort_persistence(cohort)
    assert found.turnbull.mass.size == 0
    assert found.turnbull.median(LOST) == (np.inf, np.inf)
    assert found.weibull.reason
    assert "not reached" in repr(found)
    ck.plot_persistence(found, width=3.6)


def test_a_level_of_zero_is_not_detectable():
    """CD8 cells may be 0 in a sample whose total is quantifiable: no limit says so."""
    rows = [
        ("A", day, "flow", cell, level, "cells/uL", lloq)
        for day, cells in ((7, (4.0, 6.0)), (28, (3.0, 0.0)), (60, (2.0, 0.0)))
        for cell, level, lloq in (
            ("CD4", cells[0], np.nan), ("CD8", cells[1], np.nan), ("total", sum(cells), 1.0)
        )
    ]  # fmt: skip
    columns = ["patient", "day", "assay", "cell_type", "level", "unit", "lloq"]
    cohort = ck.read_cohort(pd.DataFrame(rows, columns=columns))
    found = ck.cohort_persistence(cohort, cell_type="CD8")
    assert found.intervals[["left", "right"]].to_numpy().tolist() == [[7, 28]]
    assert found.detection.set_index("what").loc["day 28", "patients"] == 0
    assert ck.cohort_persistence(cohort).intervals["right"].tolist() == [np.inf]
