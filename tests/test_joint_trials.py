"""The repeated trials of docs/validation/joint-model: design, rows, and what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from carkinetics.outcomes import clopper_pearson
from tests.validation.joint_model import ESTIMATORS, SEED, SETTINGS, page
from tests.validation.kinetic_trials import DAYS, LLOQ, Estimators, draw_trial
from tests.validation.rows import collect


def test_trials_are_drawn_as_the_page_says():
    """20,000 patients: medians within 3 % and SDs within 2 % (4 standard errors or more)."""
    trial = draw_trial(np.random.default_rng(1), 20_000, 0.0)
    assert trial.x.std() == pytest.approx(1.0, rel=0.02)
    assert trial.level.shape == (20_000, DAYS.size)
    median = np.sort(trial.day)[10_000]  # hardly anybody is censored before day 120
    assert median == pytest.approx(77.0, rel=0.03)
    with_slope = draw_trial(np.random.default_rng(2), 20_000, -0.7)
    high, low = with_slope.x > 1.0, with_slope.x < -1.0
    assert np.median(with_slope.day[high]) > 3 * np.median(with_slope.day[low])
    peak_day = DAYS[np.argmax(trial.level, axis=1)]
    assert np.median(peak_day) == 10
    below = trial.data["qpcr_below_lloq"] == 1
    assert (trial.data["qpcr_log_level"][below] == np.log(LLOQ)).all()


def test_stopped_trials_go_on_with_the_same_numbers(tmp_path):
    def row(rng, k):
        return {"value": rng.standard_normal()}

    whole = collect(row, tmp_path / "whole.csv", 12, [1, 2], 5.0)
    collect(row, tmp_path / "parts.csv", 5, [1, 2], 5.0)
    parts = collect(row, tmp_path / "parts.csv", 12, [1, 2], 5.0)
    assert list(parts["k"]) == list(range(12))
    np.testing.assert_allclose(parts["value"], whole["value"], rtol=1e-3)  # four digits are kept
    assert len(collect(row, tmp_path / "parts.csv", 20, [1, 2], 0.0)) == 12


def made_up(setting, n=40):
    """Rows whose shares are known: every fourth interval misses, every fifth trial rejects."""
    k = np.arange(n)
    rows = {"k": k, "slope": setting.slope, "events": 14, "divergences": 0, "rhat": 1.0,
            "reliability": 0.8}  # fmt: skip
    for name in ESTIMATORS:
        rows[name] = setting.slope
        rows[f"{name}_low"] = np.where(k % 4 == 0, setting.slope + 0.1, setting.slope - 1.0)
        rows[f"{name}_high"] = setting.slope + 1.0
        rows[f"{name}_p"] = np.where(k % 5 == 0, 0.01, 0.5)
    return pd.DataFrame(rows)


def test_the_page_tells_what_the_rows_say(tmp_path):
    for setting in SETTINGS:
        here = dataclasses.replace(setting, folder=tmp_path)
        made_up(here).to_csv(here.path, index=False)
    text = page(tmp_path)
    assert "40 trials of 400 planned, 14.0 events, reliability 0.80" in text
    joint, mean = (next(line for line in text.splitlines() if line.startswith(f"| {label}"))
                   for label in (ESTIMATORS["joint"], ESTIMATORS["mean"]))  # fmt: skip
    # Without a slope an interval that misses zero rejects; Cox rejects by its p-value.
    assert joint.split(" | ")[1].startswith("**0.250** (")
    assert mean.split(" | ")[1].startswith("**0.200** (")
    assert joint.split(" | ")[2].startswith("**0.750** (")
    assert "-0.70 (-0.70)" in joint
    (verdict,) = [v for v in text.splitlines() if v.startswith("- N = 64, no association")]
    assert "40 trials: coverage **0.750** (0.588 to 0.873), **not as asked,** 90.5% or" in verdict
    assert "type I error **0.250** (0.127 to 0.412), **not as asked,** 7.5% or less" in verdict
    routes = [
        line for line in text.splitlines() if line.startswith("| N = 16") and "| 40 |" in line
    ]
    assert len(routes) == 2
    assert "+0.000 | 0.000" in routes[0]


def test_a_page_without_trials_of_one_kind_leaves_them_out(tmp_path):
    first = dataclasses.replace(SETTINGS[0], folder=tmp_path)
    made_up(first).to_csv(first.path, index=False)
    text = page(tmp_path)
    assert "## 64 patients" not in text
    assert "No trial has been fitted by both routes yet" in text


def rows_of(name):
    setting = next(s for s in SETTINGS if s.name == name)
    if not len(setting.rows):
        pytest.skip(f"no trial of {name} has been made")
    return setting.rows


@pytest.mark.parametrize("name", ["16-none", "64-none"])
def test_trials_so_far_do_not_contradict_the_level_of_the_joint_model(name):
    """At most 7.5 % of intervals leave out zero: the 99.9 % lower limit of the share is below."""
    rows = rows_of(name)
    rejected = (rows["joint_low"] > 0) | (rows["joint_high"] < 0)
    low, _ = clopper_pearson(int(rejected.sum()), len(rows), probability=0.998)
    assert low <= 0.075


@pytest.mark.parametrize("name", [s.name for s in SETTINGS])
def test_trials_so_far_do_not_contradict_the_coverage_of_the_joint_model(name):
    """At least 90.5 % of intervals cover: the 99.9 % upper limit of the share is above."""
    rows = rows_of(name)
    covers = (rows["joint_low"] <= rows["slope"]) & (rows["slope"] <= rows["joint_high"])
    _, high = clopper_pearson(int(covers.sum()), len(rows), probability=0.998)
    assert high >= 0.905


def test_the_page_says_how_many_trials_the_other_estimators_saw(tmp_path):
    first = dataclasses.replace(SETTINGS[0], folder=tmp_path)
    rows = made_up(first)
    others = [c for c in rows if c.startswith(("true", "raw", "mean", "cut", "reliability"))]
    rows.loc[rows["k"] >= 20, others] = np.nan
    rows.to_csv(first.path, index=False)
    text = page(tmp_path)
    assert "40 trials of 400 planned" in text
    assert "the first 20 by the other estimators too" in text
    joint, mean = (next(line for line in text.splitlines() if line.startswith(f"| {label}"))
                   for label in (ESTIMATORS["joint"], ESTIMATORS["mean"]))  # fmt: skip
    assert joint.split(" | ")[1] == "**0.250** (0.127 to 0.412)"  # 10 of 40
    assert mean.split(" | ")[1] == "**0.200** (0.057 to 0.437)"  # 4 of 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["16-none", "16-slope"])
def test_kept_trials_are_what_the_present_code_makes(name):
    """Trial 0 again: data to four digits, slopes within 0.3 posterior SD.

    Two runs of an effective size of 400 or more differ by 0.07 SD, so that a false alarm is four
    standard errors away.
    """
    setting = next(s for s in SETTINGS if s.name == name)
    kept = rows_of(name).iloc[0]
    rng = np.random.default_rng([SEED, setting.n, int(setting.slope != 0), 0])
    again = Estimators(16).row(draw_trial(rng, 16, setting.slope), setting.slope, 0)
    for column in ("events", "true", "true_low", "true_p", "raw", "raw_high"):
        assert again[column] == pytest.approx(kept[column], rel=1e-3), column
    spread = (kept["joint_high"] - kept["joint_low"]) / (2 * 1.96)
    for column in ("joint", "mean", "cut"):
        assert abs(again[column] - kept[column]) < 0.3 * spread, column


@pytest.mark.slow
def test_a_trial_is_estimated_by_every_estimator_and_again_with_the_same_numbers():
    estimators = Estimators(16)
    trial = draw_trial(np.random.default_rng([5, 0]), 16, -0.7)
    row = estimators.row(trial, -0.7, 0)
    assert np.isfinite(list(row.values())).all()
    assert row["rhat"] < 1.05
    assert row["joint_low"] < row["joint"] < row["joint_high"]
    assert abs(row["joint"] - row["true"]) < 1.5  # two posterior SDs
    other = draw_trial(np.random.default_rng([5, 1]), 16, -0.7)
    estimators.row(other, -0.7, 1)
    again = estimators.row(trial, -0.7, 0)
    assert again["joint"] == pytest.approx(row["joint"], abs=1e-12)
