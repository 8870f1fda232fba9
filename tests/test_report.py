"""The report says everything a reader needs, and nothing that was not found."""

from __future__ import annotations

import dataclasses
import html
import re
import warnings

import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.report.family import declared_family, has_outcome
from carkinetics.report.parts import Table
from carkinetics.report.write import render, summarized

SECTIONS = [
    "At a glance",
    "The cohort",
    "Data, and samples below the limit",
    "Checks of the fit",
    "Curves, patient by patient",
    "Exposure, patient by patient",
    "Observed next to latent",
    "The cohort in figures",
    "Associations of exposure with outcome",
    "Methods",
    "Words and abbreviations",
]
FOOTER = [
    "Patients (N)",
    "Events",
    "Reliability (lambda), total",
    "Shrinkage, total",
    "BLQ",
    "Clock",
    "Censoring rule",
    "Intervals",
    "Estimator",
    "Divergences",
    "Tests in the family",
    "Largest k-hat",
]
OUTCOMES = pd.DataFrame(
    {
        "ttp_day": [20.0, 60.0, 90.0, 200.0],  # the first comes before day 28
        "progressed": [True, True, False, True],
        "crs_grade": [0, 1, 2, 2],
        "iec_hs": [False, False, False, True],
    }
)


def with_patients(fit: ck.Fit, columns: pd.DataFrame, synthetic: bool = True) -> ck.Fit:
    """Give the patients of a fit other outcomes."""
    patients = fit.cohort.patients[["patient"]].copy()
    for name, values in columns.items():
        patients[name] = values.to_numpy()
    cohort = ck.Cohort(fit.cohort.levels, patients, fit.cohort.name, synthetic)
    return dataclasses.replace(fit, cohort=cohort)


def text_of(page: str) -> str:
    """Return what a reader sees."""
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def made(fit: ck.Fit, path, **options) -> str:
    options = {"patients": fit.patients[:1]} | options  # figures take the time
    assert ck.write_report(fit, path, allow_failed=True, **options) == path
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def fit_with_outcomes(small_fit) -> ck.Fit:
    return with_patients(small_fit, OUTCOMES)


@pytest.fixture(scope="module")
def page(fit_with_outcomes, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return made(fit_with_outcomes, path, patients=None)


def test_every_section_is_there_in_order(page):
    heads = [html.unescape(h) for h in re.findall(r"<h2>\d+\. (.*?)</h2>", page)]
    assert heads == SECTIONS


def test_the_page_needs_no_network_and_runs_no_script(page):
    assert "<script" not in page
    assert "<link" not in page
    references = re.findall(r'(?:src|href|srcset|action)="([^"]{0,40})', page)
    assert references
    assert all(reference.startswith(("data:image/", "#")) for reference in references)
    assert "@import" not in page
    assert "url(" not in page


def test_the_page_fits_a_phone_and_paper(page):
    assert 'name="viewport"' in page
    assert "@media print" in page
    assert page.count("<table>") == page.count('<div class="box"')


def test_synthetic_patients_are_called_so_on_top_and_in_the_footer(page):
    header, footer = page.split("<main>")[0], page.split("<footer>")[1]
    assert "SYNTHETIC" in header
    assert "SYNTHETIC" in footer


def test_patients_that_are_not_synthetic_are_not_called_so(small_fit, tmp_path):
    page = made(with_patients(small_fit, OUTCOMES, synthetic=False), tmp_path / "r.html")
    assert "SYNTHETIC" not in text_of(page)


def test_a_fit_that_fails_is_refused(fit_with_outcomes, tmp_path):
    with pytest.raises(FitError, match="allow_failed=True"):
        ck.write_report(fit_with_outcomes, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_a_fit_that_fails_is_marked_on_top_and_in_the_footer(page, fit_with_outcomes):
    assert not fit_with_outcomes.check().passed
    top, footer = text_of(page.split("<header>")[0]), text_of(page.split("<footer>")[1])
    assert "fails its checks" in top
    assert fit_with_outcomes.check().problems[0] in top
    assert "fails its checks" in footer


@pytest.mark.parametrize("item", FOOTER)
def test_the_footer_holds(page, item):
    assert f"<dt>{item}</dt>" in page.split("<footer>")[1]


def test_nothing_is_said_about_causes(page):
    without_model = re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    seen = re.sub(r"patient_effects\S*", "", text_of(without_model))  # the name of an option
    assert not re.search(r"\b(?:effects?|caus(?:e|es|ed|al|ally)|impacts?)\b", seen, re.I)
    assert "association" in seen.lower()


def test_every_setting_prior_version_and_hash_is_there(page, fit_with_outcomes):
    seen, fit = text_of(page), fit_with_outcomes
    for name, prior in fit.settings["priors"].items():
        assert name in seen
        assert prior in seen
    for name, version in fit.settings["versions"].items():
        assert f"version: {name}" in seen
        assert version in seen
    assert fit.kinetic_model.text_hash in seen
    assert fit.cohort.data_hash in seen
    assert fit.kinetic_model.text in html.unescape(page)


def test_an_association_with_immortal_time_is_refused_and_redone_from_the_landmark(page):
    seen = " ".join(text_of(page).split())
    assert "refused, see below" in seen
    assert "immortal time" in seen
    assert "from the landmark, day 28 (redone from the landmark)" in seen


def test_the_family_is_adjusted_over_all_of_its_tests(fit_with_outcomes):
    fit = fit_with_outcomes
    exposure = summarized(fit, fit.check())
    family = declared_family(
        exposure, ("cmax", "auc_0_28"), ("ttp", "crs_grade", "iec_hs"), "total", "flow", 0.95, 28
    )
    found = [primary for pair in family.pairs for primary in pair.primary]
    p = [f.estimate.p_value for f in found]
    assert len(family.pairs) == 6
    assert family.n_tests == len([x for x in p if x == x])
    smallest = min(found, key=lambda f: f.estimate.p_value)
    assert smallest.adjusted == pytest.approx(min(1, smallest.estimate.p_value * family.n_tests))
    modes = {f.estimate.mode for f in family.pairs[1].primary}
    assert len(modes) == 2


def test_the_headline_agrees_with_the_draws(fit_with_outcomes, page):
    fit = fit_with_outcomes
    exposure = summarized(fit, fit.check())
    draws = exposure.data["cmax"].sel(cell_type="total").median("patient")
    low, middle, high = (float(draws.quantile(q)) for q in (0.025, 0.5, 0.975))
    seen = text_of(page.split('id="headline"')[1].split("</table>")[0])
    shown = re.search(r"Cmax\s+total\s+cells/µL\s+([\d.,]+) \(([\d.,]+) to ([\d.,]+)\)", seen)
    numbers = [float(text.replace(",", "")) for text in shown.groups()]
    assert numbers == pytest.approx([middle, low, high], rel=0.006)


def test_without_outcomes_their_sections_say_so(small_fit, tmp_path):
    bare = with_patients(small_fit, pd.DataFrame())
    seen = text_of(made(bare, tmp_path / "r.html"))
    assert "The table of patients has no outcomes." in seen
    assert "no time to progression, CRS grade, IEC-HS: not related to exposure" in seen
    assert "no time to progression to compare peaks by" in seen


def test_outcomes_that_nobody_has_count_as_absent(small_fit):
    nobody = pd.DataFrame({"crs_grade": pd.array([pd.NA] * 4, dtype="Int64")})
    cohort = with_patients(small_fit, nobody).cohort
    assert not has_outcome(cohort, "crs_grade")
    assert not has_outcome(cohort, "ttp")


def test_names_from_the_tables_cannot_become_markup(small_fit, tmp_path):
    cohort = small_fit.cohort
    named = ck.Cohort(cohort.levels, cohort.patients, "<b>trial</b> & more", True)
    page = made(dataclasses.replace(small_fit, cohort=named), tmp_path / "r.html")
    assert "<b>trial" not in page
    assert "&lt;b&gt;trial&lt;/b&gt; &amp; more" in page


@pytest.mark.parametrize("assay", ["flow", "qpcr"])
def test_a_fit_of_totals_or_of_one_assay_is_reported(assay, tmp_path):
    model = ck.load_model("cd4_cd8_expansion", cell_types=["total"])
    visits = (3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0)
    cohort = ck.simulate(model, 3, seed=3, visits=visits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        fit = ck.fit(
            model, cohort, seed=1, draws=40, tune=100, chains=2, assays=[assay],
            prior_check=False, rerun=False, progress="none",
        )  # fmt: skip
        seen = text_of(made(fit, tmp_path / "r.html"))
    assert "Only total CAR+ T cells were modeled" in seen
    unit = {"flow": "cells/µL", "qpcr": "copies/µg"}[assay]
    assert f"Cmax [{unit}]" in seen


@pytest.mark.parametrize("name", ["report.pdf", "missing/report.html"])
def test_a_path_that_cannot_be_written_is_refused_at_once(small_fit, tmp_path, name):
    with pytest.raises(FitError, match=re.escape(name.split("/")[0])):
        ck.write_report(small_fit, tmp_path / name, allow_failed=True)


def test_an_old_page_stays_where_the_new_one_cannot_be_made(
    fit_with_outcomes, tmp_path, monkeypatch
):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", broken)
    fit = fit_with_outcomes
    check = fit.check()
    with pytest.raises(FitError, match="No space left"):
        render(fit, check, summarized(fit, check), path, patients=fit.patients[:1])
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_table_prints_in_columns():
    table = Table("t", ("what", "n"), [("a", "1"), ("bcdef", "23")], "lr")
    assert table.text() == "what    n\na       1\nbcdef  23"
