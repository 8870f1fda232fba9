"""Every public name can be imported, is described, and stands on the reference page."""

from __future__ import annotations

import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import carkinetics
from tests.project.pages import ROOT

NAMES = [name for name in carkinetics.__all__ if name != "__version__"]
REFERENCE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

# numpydoc's codes; `ruff` checks the layout. Not asked for: long summaries, See Also, examples.
SENTENCE = {"GL06", "GL07", "GL08", "GL10", "SS01", "SS02", "SS03", "SS05", "SS06"}
PARAMETERS = {"PR01", "PR02", "PR03", "PR04", "PR07", "PR10"}
RESULT = {"RT01", "RT03", "YD01"}


def faults_of(thing: object, name: str) -> list[str]:
    """Return what numpydoc finds, less what we allow."""
    found = dict(validate(f"{thing.__module__}.{name}")["errors"])
    text = NumpyDocString(inspect.getdoc(thing) or "")
    wanted = SENTENCE | PARAMETERS | (RESULT if inspect.isfunction(thing) else set())
    if " ".join(text["Summary"]).startswith("Return"):
        wanted = wanted - {"RT01"}  # the sentence has said it
    if "." in name and not text["Parameters"]:
        wanted = wanted - {"PR01", "RT01"}  # a short method may be one sentence
    if inspect.isclass(thing) and re.fullmatch(
        r"(Parameters \{('_\w+'(, )?)+\} .*)", found.get("PR01", "")
    ):
        wanted = wanted - {"PR01"}  # fields with an underscore are nobody's business
    return [f"{name}: {code} {message}" for code, message in found.items() if code in wanted]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_described(name):
    thing = getattr(carkinetics, name)
    faults = faults_of(thing, thing.__qualname__)
    if inspect.isclass(thing):
        for key, member in vars(thing).items():
            if inspect.isfunction(member) and not key.startswith("_"):
                faults += faults_of(member, member.__qualname__)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_stands_on_the_reference_page(name):
    kind = "class" if name[0].isupper() else "function"
    assert f".. auto{kind}:: {name}\n" in REFERENCE


def test_the_reference_page_has_no_other_names():
    listed = re.findall(r"\.\. auto(?:class|function):: (\w+)", REFERENCE)
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_function_has_type_hints(name):
    thing = getattr(carkinetics, name)
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
        assert not bare, f"{name} has no type for {bare}"
        assert signature.return_annotation is not signature.empty


def test_dir_lists_the_public_names_and_a_wrong_name_is_named():
    assert set(dir(carkinetics)) == set(carkinetics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'read_kohort'"):
        carkinetics.read_kohort  # noqa: B018
