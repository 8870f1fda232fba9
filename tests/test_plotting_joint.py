"""Figures of a joint fit: what they show, and that nothing lies on anything else."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.plotting.style import PHONE_WIDTH
from tests.test_trial_pictures import texts_of, words_of

PLOTS = {"feedback": ck.plot_feedback, "slopes": ck.plot_joint_slopes}


@pytest.fixture(scope="module", params=[None, PHONE_WIDTH], ids=["journal", "phone"])
def drawn(request, small_joint):
    options = {} if request.param is None else {"width": request.param}
    return {name: draw(small_joint, **options) for name, draw in PLOTS.items()}


@pytest.mark.parametrize("name", PLOTS)
def test_every_letter_lies_within_the_page_and_on_no_other(drawn, name):
    page = drawn[name].figure.bbox
    boxes = []
    for text in texts_of(drawn[name]):
        box = text.get_window_extent()
        assert page.x0 - 1 <= box.x0, text.get_text()
        assert box.x1 <= page.x1 + 1, text.get_text()
        assert page.y0 - 1 <= box.y0, text.get_text()
        assert box.y1 <= page.y1 + 1, text.get_text()
        if text.get_text() != "SYNTHETIC":
            boxes.append((text.get_text(), box))
    for (one, box), (other, beside) in itertools.combinations(boxes, 2):
        assert not box.padded(-2).overlaps(beside.padded(-2)), (one, other)


@pytest.mark.parametrize("name", PLOTS)
def test_synthetic_is_written_into_every_panel(drawn, name):
    for axes in drawn[name].axes:
        assert any(text.get_text() == "SYNTHETIC" for text in axes.texts)
    assert "SYNTHETIC, not patient data" in words_of(drawn[name])


def test_feedback_shows_the_numbers_of_its_table(small_joint):
    picture = ck.plot_feedback(small_joint)
    table = small_joint.feedback.set_index("patient")
    axes = picture.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == list(table.sort_values("mean_alone", ascending=False).index)
    for which in ("alone", "joint"):
        (line,) = [line for line in axes.lines if line.get_label() == which]
        np.testing.assert_allclose(
            line.get_xdata(), np.exp(table.loc[names, f"mean_{which}"]), rtol=1e-12
        )
    assert "In no patient is it beyond 0.5" in words_of(picture).replace("\n", " ")


def test_a_patient_whose_kinetics_are_rewritten_is_marked(small_joint):
    moved = dataclasses.replace(small_joint)
    table = small_joint.feedback.copy()
    table.loc[0, ["shift", "listed"]] = [0.83, True]
    moved.__dict__["feedback"] = table
    text = words_of(ck.plot_feedback(moved)).replace("\n", " ")
    assert "+0.83*" in text
    assert "In 1 patient(s) it is beyond 0.5" in text


def test_feedback_needs_the_kinetics_alone(small_joint):
    with pytest.raises(DataError, match=r"fit=ck\.fit"):
        ck.plot_feedback(dataclasses.replace(small_joint, kinetics_only=None))


def test_slopes_show_prior_posterior_and_every_patient(small_joint):
    picture = ck.plot_joint_slopes(small_joint)
    assert len(picture.axes) == 2 * len(small_joint.outcomes)
    for k, outcome in enumerate(small_joint.outcomes):
        right = picture.axes[2 * k + 1]
        names = [label.get_text() for label in right.get_yticklabels()]
        table = small_joint.influence(outcome.name)
        assert names == [f"without {p}" for p in table["patient"]]
        points = [line.get_xdata()[0] for line in right.lines if line.get_marker() == "o"]
        np.testing.assert_allclose(points, table["median"])
    text = words_of(picture).replace("\n", " ")
    assert "of the prior variance" in text
    assert "power-scaling" in text


def test_a_hazard_along_time_has_no_patient_left_out(small_joint):
    follow = dataclasses.replace(
        small_joint, extension=dataclasses.replace(small_joint.extension, follow="level")
    )
    picture = ck.plot_joint_slopes(follow)
    assert not picture.axes[1].axison
    text = words_of(picture).replace("\n", " ")
    assert "the hazard follows the curve along time" in text
