"""The pages of the models say what the model files say, and their figures were drawn from them."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

import carkinetics as ck
from carkinetics.model.page import model_page
from carkinetics.model.typeset import equation
from tests.project.pages import ROOT

FOLDER = ROOT / "docs" / "models"
AGAIN = "run scripts/model_pages.py"


@pytest.mark.parametrize("name", ck.list_models())
def test_a_page_is_the_one_of_its_model(name):
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert page == model_page(ck.load_model(name), f"images/{name}.png"), AGAIN


@pytest.mark.parametrize("name", ck.list_models())
def test_a_figure_was_drawn_from_its_model(name):
    with Image.open(FOLDER / "images" / f"{name}.png") as image:
        assert image.info["Description"] == ck.load_model(name).text_hash, AGAIN


def test_the_list_names_every_model():
    path = ROOT / "scripts" / "model_pages.py"
    spec = importlib.util.spec_from_file_location("model_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (FOLDER / "index.md").read_text(encoding="utf-8") == module.index_page(), AGAIN
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"index"}
    assert pages == set(ck.list_models())


@pytest.mark.parametrize("name", ck.list_models())
def test_a_page_says_what_is_not_published(name):
    model = ck.load_model(name)
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    for parameter in model.parameters.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{parameter.name}` |"))
        assert f"| {parameter.standing} |" in row
        if parameter.absent is not None:
            assert "| absent: " in row
    assert model.data.strip(), "what data can identify it"


@pytest.mark.parametrize("name", ck.list_models())
def test_equations_are_well_formed(name):
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"<math.*?</math>", page)
    assert len(found) >= len(ck.load_model(name).system().states) or ck.load_model(name).closed_form
    for math in found:
        ElementTree.fromstring(math)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - (b - c)", "a\u2212(b\u2212c)"),
        ("a * (b + c)", "a\u2062(b+c)"),
        ("(a + b)**2", "(a+b)2"),
        ("-a * b", "\u2212a\u2062b"),
        ("a / b * c", "ab\u2062c"),
        ("2.5e-12 * k1", "2.5·10-12\u2062k1"),
        ("where(t < a, 0, b)", "{0if t<abotherwise"),
        ("log(rhoC / lambda_decay)", "ln(\u03c1C\u03bbdecay)"),
    ],
)
def test_an_equation_is_set_as_it_is_written(text, expected):
    math = ElementTree.fromstring(equation("x", text))
    assert "".join(math.itertext()) == f"x={expected}"
