"""Figures of a trial: what they show, and that they stay within their page."""

from __future__ import annotations

import dataclasses
import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.plotting.cd8_share import observed_shares
from carkinetics.plotting.style import PHONE_WIDTH

NOT_INFUSED = {"graft-versus-host disease": 1, "progression": 1, "manufacturing failure": 1}


def screen(cohort, **options):
    table = ck.screen_attributes(cohort, ["mfg_days", "product_cd4_share", "dose"], "iec_hs")
    return ck.plot_screen(table, synthetic=cohort.synthetic, **options)


PLOTS = {
    "flow": lambda c, **o: ck.plot_patient_flow(c, NOT_INFUSED, **o),
    "flow of the infused": ck.plot_patient_flow,
    "swimmer": ck.plot_swimmer,
    "PFS": ck.plot_survival,
    "OS by arm": lambda c, **o: ck.plot_survival(c, "os", by_arm=True, **o),
    "progression": ck.plot_incidence,
    "transplant": lambda c, **o: ck.plot_incidence(c, transplant_competes=True, **o),
    "deaths": lambda c, **o: ck.plot_incidence(c, "death", **o),
    "onset of CRS": lambda c, **o: ck.plot_incidence(c, "crs_grade", **o),
    "onset of IEC-HS": lambda c, **o: ck.plot_incidence(c, "iec_hs", **o),
    "response": ck.plot_response,
    "toxicity": ck.plot_toxicity,
    "antigen": ck.plot_antigen,
    "CD8 share": ck.plot_cd8_share,
    "screen": screen,
    "response duration": lambda c, **o: ck.plot_association(ck.associate(c, outcome="dor"), **o),
    "power": lambda c, **o: ck.plot_association(ck.associate(c, outcome="crs_grade"), **o),
}


def texts_of(picture):
    """Return every text that is drawn, less the stamp behind the panels."""
    figure = picture.figure
    figure.draw_without_rendering()
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (*axis.get_major_ticks(), *axis.get_minor_ticks())
            beyond = [tick for tick in ticks if not low <= tick.get_loc() <= high]
            hidden |= {label for tick in beyond for label in (tick.label1, tick.label2)}
            if not axes.axison:
                hidden |= {t for tick in ticks for t in (tick.label1, tick.label2)}
    texts = set(figure.findobj(matplotlib.text.Text)) - hidden
    return [t for t in texts if t.get_visible() and t.get_text().strip()]


def words_of(picture) -> str:
    return "\n".join(text.get_text() for text in texts_of(picture))


@pytest.fixture(scope="module", params=[None, PHONE_WIDTH], ids=["journal", "phone"])
def drawn(request, synthetic):
    options = {} if request.param is None else {"width": request.param}
    return {name: draw(synthetic, **options) for name, draw in PLOTS.items()}


@pytest.mark.parametrize("name", PLOTS)
def test_every_letter_lies_within_the_page(drawn, name):
    page = drawn[name].figure.bbox
    for text in texts_of(drawn[name]):
        box = text.get_window_extent()
        assert box.x0 >= page.x0 - 1, text.get_text()
        assert box.x1 <= page.x1 + 1, text.get_text()
        assert box.y0 >= page.y0 - 1, text.get_text()
        assert box.y1 <= page.y1 + 1, text.get_text()


@pytest.mark.parametrize("name", PLOTS)
def test_no_text_lies_on_another(drawn, name):
    texts = [t for t in texts_of(drawn[name]) if t.get_text() != "SYNTHETIC"]
    for one, other in itertools.combinations(texts, 2):
        a, b = one.get_window_extent(), other.get_window_extent()
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        tall = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 1 or tall <= 2, f"{one.get_text()!r} on {other.get_text()!r}"


@pytest.mark.parametrize("name", PLOTS)
def test_every_panel_says_synthetic(drawn, name):
    words = words_of(drawn[name])
    assert words.count("SYNTHETIC") >= len(drawn[name].axes) + 1
    assert "not patient data" in words


def test_real_patients_are_not_stamped(synthetic):
    real = dataclasses.replace(synthetic, synthetic=False)
    for draw in PLOTS.values():
        assert "SYNTHETIC" not in words_of(draw(real))


def test_the_interval_of_a_median_is_named(synthetic):
    words = words_of(ck.plot_survival(synthetic, "pfs"))
    assert "77 (31 to 119)" in words
    assert "log-log scale" in words
    other = words_of(ck.plot_survival(synthetic, "pfs", transform="plain"))
    assert "77 (42 to 119)" in other
    assert "plain scale" in other


def test_c07_a_median_where_the_curve_is_flat_at_one_half_is_printed_as_such(synthetic):
    """Eight events on days 1 to 8, eight patients censored on day 20: first day is 8."""
    table = synthetic.patients.assign(
        pfs_day=[*range(1, 9), *[20] * 8], pfs_event=[True] * 8 + [False] * 8
    )
    words = words_of(ck.plot_survival(dataclasses.replace(synthetic, patients=table), "pfs"))
    assert "median [days] 8 " in words
    assert "flat at one half from there" in " ".join(words.split())
    assert "flat at one half" not in words_of(ck.plot_survival(synthetic, "pfs"))


def test_the_band_of_a_curve_holds_until_its_last_day(synthetic):
    """The last patient progresses on day 523: the limits of day 232 bound the curve until then."""
    picture = ck.plot_survival(synthetic, "pfs")
    (band,) = picture.axes[0].collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 0].max() == 523
    last = corners[corners[:, 0] == 523, 1]
    assert 0.3 < last.max() < 0.35
    assert np.any((last > 0) & (last < 0.02))


def test_numbers_at_risk_are_counted(synthetic):
    picture = ck.plot_survival(synthetic, "pfs")
    at_risk = [t for t in texts_of(picture) if t.get_text().isdigit() and t.get_fontsize() == 7.5]
    found = sorted((int(t.get_text()) for t in at_risk), reverse=True)
    days = synthetic.patients["pfs_day"]
    ticks = [t for t in picture.axes[0].get_xticks() if t <= days.max()]
    assert found == [int((days >= tick).sum()) for tick in ticks]


def test_the_incidence_names_what_one_minus_kaplan_meier_would_say(synthetic):
    words = words_of(ck.plot_incidence(synthetic)).replace("\n", " ")
    assert "By day 180: 68.0% progressed" in words
    assert "would say 77.8%" in words


def test_s09_the_swimmer_draws_every_patient_and_sorts_by_arm_and_length(synthetic):
    axes = ck.plot_swimmer(synthetic).axes[0]
    rows = [label.get_text().split() for label in axes.get_yticklabels()]
    assert len(rows) == 16
    table = synthetic.patients.set_index("patient")
    names = [row[0] for row in rows]
    days = table.loc[names, "os_day"].to_numpy()
    assert [row[1] for row in rows] == list(table.loc[names, "response"])
    assert names[0].startswith("VA")
    assert (np.diff(days[:8]) <= 0).all()
    assert (np.diff(days[8:]) <= 0).all()


def test_the_cd8_share_leaves_out_samples_below_the_limit(synthetic):
    shares = observed_shares(synthetic)
    assert shares["share"].between(0, 1).all()
    samples = synthetic.samples("flow", "total")
    below = samples.loc[samples["below_lloq"], ["patient", "day"]].apply(tuple, axis=1)
    assert not set(shares[["patient", "day"]].apply(tuple, axis=1)) & set(below)


def test_s18_a_fit_adds_the_band_of_the_typical_patient(small_fit):
    plain = ck.plot_cd8_share(small_fit.cohort, until=28)
    banded = ck.plot_cd8_share(small_fit.cohort, small_fit, until=28)
    assert len(banded.axes[-1].collections) == len(plain.axes[-1].collections) + 1
    assert "typical patient of the fit, 95 % band" in words_of(banded).replace("\n", " ")


def test_s18_the_product_stands_beside_the_blood(synthetic):
    product, blood = ck.plot_cd8_share(synthetic).axes
    shares = 1 - synthetic.patients["product_cd4_share"]
    assert sorted(product.lines[0].get_ydata()) == pytest.approx(sorted(shares))
    # CD4-predominant in the product, CD8-predominant in the blood.
    assert shares.median() < 0.5 < np.min(blood.lines[-1].get_ydata())


def without(cohort, *columns):
    return dataclasses.replace(cohort, patients=cohort.patients.drop(columns=list(columns)))


@pytest.mark.parametrize(
    ("draw", "lost", "message"),
    [
        (ck.plot_swimmer, ["died"], "needs died"),
        (ck.plot_survival, ["pfs_day", "pfs_event"], "no survival outcome 'pfs'"),
        (ck.plot_incidence, ["progressed"], "needs progressed"),
        (ck.plot_response, ["response"], "there is no response"),
        (ck.plot_toxicity, ["crs_grade", "icans_grade", "iec_hs"], "no crs_grade"),
        (ck.plot_antigen, ["cd22_at_relapse"], "no antigen at relapse"),
        (lambda c: ck.plot_survival(c, by_arm=True), ["cohort"], "no two arms"),
        (lambda c: ck.plot_incidence(c, "hlh"), [], "no event 'hlh'"),
    ],
)
def test_what_cannot_be_drawn_says_why(synthetic, draw, lost, message):
    with pytest.raises(DataError, match=message):
        draw(without(synthetic, *lost))


def test_a_cohort_of_totals_has_no_cd8_share(synthetic):
    levels = synthetic.levels[synthetic.levels["cell_type"] == "total"]
    cohort = dataclasses.replace(synthetic, levels=levels)
    with pytest.raises(DataError, match="not counted apart"):
        ck.plot_cd8_share(cohort)


def test_a_screen_without_a_number_is_refused(synthetic):
    table = ck.screen_attributes(
        synthetic, ["mfg_days"], pd.Series(False, index=synthetic.patient_ids)
    )
    assert table["reason"].iloc[0] == "no patient of 16 had the event"
    with pytest.raises(DataError, match="no attribute could be tested"):
        ck.plot_screen(table)


def test_outcomes_at_their_edges_are_drawn(synthetic):
    """One arm, nobody dead, everybody in response, nobody with toxicity."""
    edge = dataclasses.replace(
        without(synthetic, "cohort"),
        patients=synthetic.patients.drop(columns="cohort").assign(
            died=False, response="CR", crs_grade=0, crs_onset_day=np.nan, progressed=False,
            pfs_event=False, death_cause=None,
        ),
    )  # fmt: skip
    for draw in (ck.plot_swimmer, ck.plot_survival, ck.plot_incidence, ck.plot_response,
                 ck.plot_toxicity, lambda c: ck.plot_survival(c, "os"),
                 lambda c: ck.plot_incidence(c, "crs_grade")):  # fmt: skip
        assert words_of(draw(edge))
