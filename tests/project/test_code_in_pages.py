"""The code on the pages is what the package accepts."""

from __future__ import annotations

import ast
import re

import pytest

import carkinetics as ck
from tests.project.calls import CallChecker
from tests.project.pages import ROOT, blocks, name_of, pages, prose, python_of

# What the README tells, in this order: from two tables to an association.
STORY = [
    'ck.read_cohort("levels.csv", patients="patients.csv")',
    'ck.load_model("cd4_cd8_expansion")',
    "ck.fit(model, cohort, seed=2026)",
    "fit.check()",
    'ck.summarize(fit, ["cmax", "tmax", "auc_0_28", "persistence"])',
    'exposure.table(by="cell_type")',
    'ck.plot_levels(fit, patients=["P03", "P11"])',
    'ck.associate(fit, exposure="cmax", outcome="crs_grade")',
]
COMMAND = re.compile(r"carkinetics ((?:[a-z][a-z-]* ?\| ?)*[a-z][a-z-]*)")


def code_of(page) -> str:
    """Return what stands in code on a page: commands in lines and in shell blocks."""
    inline = re.findall(r"`([^`]+)`", prose(page))
    return "\n".join([*inline, *(block.text for block in blocks(page, "sh"))])


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_python_block_calls_the_package_as_it_is_defined(page):
    checker = CallChecker(name_of(page))
    for _, tree in python_of(page):
        checker.read(tree)
    assert not checker.faults, "\n".join(checker.faults)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("ck.load_model()", "missing a required argument: 'name'"),
        ("ck.load_model('x', colour=1)", "unexpected keyword argument 'colour'"),
        ("ck.load_modell('x')", "ck.load_modell is not a public name"),
        ("cohort = ck.synthetic_cohort()\ncohort.sample()", "Cohort has no 'sample'"),
        ("ck.synthetic_cohort().samples(cell='CD4')", "unexpected keyword argument 'cell'"),
        ("ck.synthetic_cohort().levels", None),
        ("model = ck.load_model('x')\nmodel = other()\nmodel.anything()", None),
    ],
)
def test_a_wrong_call_on_a_page_would_be_found(code, fault):
    checker = CallChecker("page")
    checker.read(ast.parse(code))
    if fault is None:
        assert not checker.faults
    else:
        assert any(fault in found for found in checker.faults), checker.faults


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_name_of_the_package_in_the_prose_exists(page):
    named = set(re.findall(r"\bck\.(\w+)", prose(page)))
    assert named <= set(ck.__all__)


def test_the_readme_tells_the_story():
    (block,) = blocks(ROOT / "README.md", "python")
    calls = {
        ast.unparse(node): node.lineno
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.Call)
    }
    wanted = [ast.unparse(ast.parse(text, mode="eval")) for text in STORY]
    missing = [text for text in wanted if text not in calls]
    assert not missing, f"the story in README.md lacks {missing}"
    lines = [calls[text] for text in wanted]
    assert lines == sorted(lines)


def test_the_model_file_in_the_guide_loads(tmp_path):
    block, *_ = blocks(ROOT / "docs" / "how-to" / "write-a-model.md", "toml")
    path = tmp_path / "my_model.toml"
    path.write_text(block.text, encoding="utf-8")
    assert ck.load_model(path).cell_types == ("total",)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_command_on_a_page_exists(page):
    named = {
        word.strip()
        for group in re.findall(r"^ *" + COMMAND.pattern, code_of(page), re.MULTILINE)
        for word in group.split("|")
    }
    if named:
        from typer.main import get_command

        from carkinetics.cli import app

        assert named <= set(get_command(app).commands)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_make_target_on_a_page_exists(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    named = set(re.findall(r"^ *make ([a-z]+)", code_of(page), re.MULTILINE))
    assert named <= set(targets)
