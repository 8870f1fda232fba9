"""A public CD22 trial, read as a user would: numbers that its readers computed independently.

The data are not part of this project. These tests need the folder `cd22_nci_2021` in the one that
the environment names, and are skipped without it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.outcomes import spearman

pytestmark = pytest.mark.real_data

# Below the smallest level that is not zero, 0.041 cells/uL; the trial states no limit.
LIMIT = {"flow": 0.04}


@pytest.fixture(scope="module")
def folder(real_data) -> Path:
    folder = real_data / "cd22_nci_2021"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not in the folder of real data")
    return folder


@pytest.fixture(scope="module")
def tables(folder, trial_example) -> tuple[pd.DataFrame, pd.DataFrame]:
    return trial_example.trial_tables(folder)


@pytest.fixture(scope="module")
def cohort(tables) -> ck.Cohort:
    return ck.read_cohort(*tables, lloq=LIMIT, name="cd22_nci_2021")


def found_by(association: ck.Association, method: str):
    return next(e for e in association.estimates if e.method == method)


def test_zeros_without_a_stated_limit_are_refused(tables):
    with pytest.raises(DataError) as caught:
        ck.read_cohort(*tables)
    assert len(caught.value.faults) == 34
    message = str(caught.value)
    assert "34 faults found" in message
    assert "(patient 1639, day -1, flow): level is 0 and no LLOQ is given" in message
    assert "lloq={'flow': <limit in cells/uL>}" in message
    assert "never read as 0" in message


def test_the_cohort_has_the_documented_counts(cohort):
    assert cohort.n_patients == 59
    assert not cohort.synthetic
    assert cohort.assays == ("flow",)
    assert cohort.cell_types("flow") == ("total",)
    samples = cohort.samples(fitted=False)
    assert (len(samples), samples["below_lloq"].sum()) == (182, 34)
    assert samples["patient"].nunique() == 55
    assert (samples.loc[~samples["below_lloq"], "level"] > 0.04).all()
    notices = {notice.kind: notice for notice in cohort.notices}
    assert notices["baseline_samples"].count == 4
    assert len(notices["all_below_lloq"].patients) == 2
    assert len(notices["without_levels"].patients) == 4


def test_outcomes_have_the_documented_counts(cohort):
    patients = cohort.patients
    assert patients["crs_grade"].value_counts().to_dict() == {0: 7, 1: 26, 2: 21, 3: 3, 4: 2}
    astct = patients["crs_grade_astct"].value_counts().to_dict()
    assert astct == {0: 7, 1: 21, 2: 19, 3: 10, 4: 2}
    assert (patients["crs_grade"] != patients["crs_grade_astct"]).sum() == 14
    assert patients["iec_hs"].sum() == 21
    assert patients["toci"].sum() == 24
    assert patients["toci"].count() == 58


def test_observed_peaks_have_the_documented_medians(cohort):
    peaks = ck.observed_quantities(cohort, quantities=["cmax"]).set_index("patient")
    below = peaks["observed_cmax_below"].notna()
    assert (peaks["observed_cmax"].notna().sum(), below.sum()) == (53, 2)
    logs = np.log(peaks["observed_cmax"].dropna())
    assert np.exp(logs.median()) == pytest.approx(574, abs=0.5)
    assert logs.std() == pytest.approx(2.40, abs=5e-3)
    peak = peaks["observed_cmax"].mask(below, 0.0)
    grade = cohort.patients.set_index("patient")["crs_grade"]
    medians = peak.groupby(grade).median()
    assert medians.round(2).iloc[0] == 1.98
    assert medians.round().tolist()[1:] == [608, 845, 919, 2859]


def test_peak_and_crs_grade(cohort):
    association = ck.associate(cohort, exposure="cmax", outcome="crs_grade")
    rho = found_by(association, "Spearman")
    assert rho.n == 55
    assert rho.estimate == pytest.approx(0.461, abs=5e-4)
    assert rho.p_asymptotic == pytest.approx(3.9e-4, abs=5e-6)
    assert rho.p_value < 0.002
    assert any("4 patient(s) left out, no samples" in note for note in association.notes)
    assert any("CRS grade began before the observed peak" in note for note in association.notes)
    assert any("below the limit of quantification in 2" in note for note in association.notes)


def test_peak_and_hlh(cohort):
    association = ck.associate(cohort, exposure="cmax", outcome="iec_hs")
    ranks = found_by(association, "Mann-Whitney")
    assert (ranks.n, ranks.n_events) == (55, 19)
    assert (ranks.statistic_name, ranks.statistic) == ("U", 456)
    assert ranks.p_asymptotic == pytest.approx(0.0445, abs=5e-5)
    assert "continuity" in ranks.asymptotic_kind
    assert 0.041 <= ranks.p_value <= 0.044
    assert found_by(association, "AUROC").estimate == pytest.approx(0.667, abs=5e-4)
    assert "U = 456" in repr(association)


def test_peak_and_complete_response(cohort):
    association = ck.associate(cohort, exposure="cmax", outcome="complete_response")
    ranks = found_by(association, "Mann-Whitney")
    assert (ranks.n, ranks.n_events, ranks.statistic) == (55, 40, 550)
    assert ranks.p_asymptotic == pytest.approx(2.4e-6, abs=5e-8)
    assert ranks.p_value < 1e-5
    assert any("1 patient(s) left out, no complete_response: 6941" in n for n in association.notes)


def test_two_patients_below_the_limit_do_not_depend_on_the_limit_stated(cohort, tables):
    lower = ck.read_cohort(*tables, lloq={"flow": 0.01}, name="cd22_nci_2021")
    ours, theirs = (
        found_by(ck.associate(some, outcome="iec_hs"), "Mann-Whitney") for some in (cohort, lower)
    )
    assert (ours.statistic, ours.p_value) == (theirs.statistic, theirs.p_value)


def test_ranks_of_the_samples_as_published_agree(cohort, tables):
    """The same number without a cohort in between: zeros rank lowest."""
    levels, patients = tables
    peak = levels.groupby("patient")["level"].max()
    grade = patients.set_index("patient")["crs_grade"].loc[peak.index]
    ours = found_by(ck.associate(cohort, outcome="crs_grade"), "Spearman").estimate
    assert spearman(peak, grade).estimate == pytest.approx(ours, rel=1e-12)


def test_nothing_is_marked_synthetic(cohort):
    association = ck.associate(cohort, outcome="iec_hs")
    assert "SYNTHETIC" not in repr(cohort) + repr(association)
