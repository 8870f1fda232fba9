"""Transplant in remission: censoring, a competing event, or a hazard that changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.outcomes import (
    causes_of_progression,
    cox,
    cox_across_transplant,
    cumulative_incidence,
    kaplan_meier,
)


def with_patients(cohort, **columns):
    return dataclasses.replace(cohort, patients=cohort.patients.assign(**columns))


def followed_on(synthetic):
    """The patient with a transplant on day 98, followed on to a relapse on day 300."""
    people = synthetic.patients
    grafted = people["hct_day"].notna()
    return with_patients(
        synthetic,
        ttp_day=people["ttp_day"].mask(grafted, 300), progressed=people["progressed"] | grafted,
        pfs_day=people["pfs_day"].mask(grafted, 300), pfs_event=people["pfs_event"] | grafted,
    )  # fmt: skip


def test_s14_follow_up_can_end_at_transplant(synthetic):
    """The built-in cohort ends it there already; one that goes on is brought back to it."""
    same = ck.censor_at_transplant(synthetic)
    pd.testing.assert_frame_equal(same.patients, synthetic.patients, check_dtype=False)
    assert same.notices[-1].text.endswith("0 patient(s) (nobody)")
    back = ck.censor_at_transplant(followed_on(synthetic))
    columns = ["ttp_day", "progressed", "pfs_day", "pfs_event"]
    pd.testing.assert_frame_equal(
        back.patients[columns].astype(float), synthetic.patients[columns].astype(float)
    )
    assert back.notices[-1].patients == ("VP03",)
    ours, theirs = (ck.associate(c, "cmax", "pfs").estimates[0] for c in (back, synthetic))
    assert ours == theirs


def test_s14_transplant_can_compete_with_progression(synthetic):
    """By hand: one of sixteen, on day 98, when seven or fewer are still at risk."""
    table = causes_of_progression(followed_on(synthetic), transplant_competes=True)
    assert table.loc["VP03"].tolist() == [98, 3]
    assert table["cause"].value_counts().to_dict() == {1: 11, 2: 2, 0: 2, 3: 1}
    curve = cumulative_incidence(table["day"], table["cause"])
    before = kaplan_meier(table["day"], table["cause"] > 0).at(97)
    at_risk = int((table["day"] >= 98).sum())
    assert curve.at(200, 3) == pytest.approx(before / at_risk, abs=1e-12)
    total = curve.incidence.sum(axis=0) + curve.survival
    np.testing.assert_allclose(total, 1.0, atol=1e-12)
    picture = ck.plot_incidence(synthetic, transplant_competes=True)
    legend = [t.get_text() for t in picture.figure.legends[0].get_texts()]
    assert legend[:3] == ["progression", "death before it", "transplant before it"]
    with pytest.raises(DataError, match="goes with progression"):
        ck.plot_incidence(synthetic, "death", transplant_competes=True)


def test_a_progression_before_transplant_stays_one(synthetic):
    day = synthetic.patients["hct_day"].fillna(1000.0)
    table = causes_of_progression(with_patients(synthetic, hct_day=day), transplant_competes=True)
    assert (table["cause"] == 1).sum() == 11


def simulated(n, rng, slope=-0.7, after=-1.0):
    """Exponential times; a third has a transplant, which multiplies the hazard by exp(after)."""
    x = rng.standard_normal(n)
    hazard = 0.01 * np.exp(slope * x)
    graft = np.where(rng.random(n) < 0.4, rng.uniform(10, 60, n), np.nan)
    time = rng.exponential(1 / hazard)
    late = time > np.nan_to_num(graft, nan=np.inf)
    time = np.where(late, graft + (time - graft) / np.exp(after), time)
    end = rng.uniform(100, 600, n)
    return np.minimum(time, end), time <= end, x, graft


def test_s14_transplant_over_time_is_a_cox_model_of_split_follow_up():
    """Partial likelihood by hand, in patients without ties: its gradient is zero at the fit."""
    time, event, x, graft = simulated(60, np.random.default_rng(3))
    found = cox_across_transplant(time, event, x, graft)

    def loglik(b):
        total = 0.0
        for i in np.flatnonzero(event):
            at_risk = time >= time[i]
            linear = b[0] * x + b[1] * (graft < time[i])
            total += linear[i] - np.log(np.exp(linear[at_risk]).sum())
        return total

    best = found.coefficients
    assert loglik(best) == pytest.approx(found.loglik, abs=1e-8)
    for j in (0, 1):
        step = np.eye(2)[j] * 1e-4
        assert loglik(best) >= max(loglik(best + step), loglik(best - step))
        assert found.lower[j] < best[j] < found.upper[j]


def test_s14_transplant_over_time_finds_what_it_was_drawn_with():
    """2,000 patients; four standard errors, a false alarm in about 1 of 8,000."""
    time, event, x, graft = simulated(2000, np.random.default_rng(4))
    found = cox_across_transplant(time, event, x, graft)
    error = 4 * found.standard_errors
    assert abs(found.coefficients[0] + 0.7) < error[0]
    assert abs(found.coefficients[1] + 1.0) < error[1]
    # A fixed covariate "had a transplant" credits patients with the days it took to get there.
    fixed = cox(time, event, np.column_stack([x, np.isfinite(graft) & (graft < time)]))
    assert fixed.coefficients[1] < found.coefficients[1] - error[1]


def test_associate_adds_the_estimate_or_its_reason(synthetic):
    found = ck.associate(synthetic, "cmax", "pfs", transplant_over_time=True)
    (one,) = [e for e in found.estimates if "transplant" in e.method]
    assert one.missing
    assert "no event comes after a transplant" in one.note
    found = ck.associate(followed_on(synthetic), "cmax", "pfs", transplant_over_time=True)
    (one,) = [e for e in found.estimates if "transplant" in e.method]
    assert (one.n, one.n_events) == (16, 14)
    assert one.lower < one.estimate < one.upper
    assert "hazard ratio after transplant" in one.note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcome": "iec_hs"}, "needs a survival outcome"),
        ({"outcome": "pfs", "adjust": ["age_years"]}, "cannot be combined"),
        ({"outcome": "pfs", "time_dependent": True}, "cannot be combined"),
    ],
)
def test_what_does_not_go_together_is_refused(synthetic, options, message):
    with pytest.raises(DataError, match=message):
        ck.associate(synthetic, "cmax", transplant_over_time=True, **options)


def test_a_cohort_without_days_of_transplant_says_so(synthetic):
    table = synthetic.patients.drop(columns="hct_day")
    with pytest.raises(DataError, match="hct_day or transplant_day"):
        ck.censor_at_transplant(dataclasses.replace(synthetic, patients=table))


def test_s11_deaths_of_each_cause_add_up_to_one_minus_survival(synthetic):
    """Ten deaths: six of disease, two of infection, two related to treatment."""
    from carkinetics.trial import causes_of_death

    table, names = causes_of_death(synthetic)
    assert table["cause"].value_counts().to_dict() == {0: 6, 1: 6, 2: 2, 3: 2}
    assert names[0] == "disease"
    curve = cumulative_incidence(table["day"], table["cause"])
    people = synthetic.patients
    alive = kaplan_meier(people["os_day"], people["died"].astype(bool))
    for day in (50, 200, 523, 640):
        total = sum(curve.at(day, cause) for cause in (1, 2, 3))
        assert total == pytest.approx(1 - alive.at(day), abs=1e-12)
    picture = ck.plot_incidence(synthetic, "death")
    legend = [t.get_text() for t in picture.figure.legends[0].get_texts()]
    assert legend == [name.replace("_", " ") for name in names]


def test_deaths_of_nobody_are_drawn_and_said(synthetic):
    cohort = with_patients(synthetic, died=False)
    picture = ck.plot_incidence(cohort, "death")
    assert any("nobody died" in t.get_text() for t in picture.figure.texts)
