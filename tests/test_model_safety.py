"""A model file from a stranger is data: it is read or refused, within a second."""

from __future__ import annotations

import contextlib
import string
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import carkinetics as ck
from carkinetics.equations import read_expression
from carkinetics.equations.nodes import EquationFault
from carkinetics.errors import ModelFileError
from carkinetics.solve.compiled import compile_system, solve_system
from tests.fuzz_reader import fuzz

SKELETON = """
[model]
title = "t"
summary = "s"
reference = "r"
[subsets]
cell_type = ["total"]
[states.E]
unit = "cells/uL"
scale = "log"
start = "first"
label = "cells"
[constants.first]
unit = "cells/uL"
value = 1
label = "level on day 0"
source = "test"
standing = "choice"
[terms]
{terms}
[equations]
E = "{equation}"
[observed.flow]
unit = "cells/uL"
is = "E"
sigma = "halfnormal(0.4)"
[parameters.{name}]
unit = "1/day"
label = "rate"
prior = "{prior}"
source = "test"
standing = "choice"
"""
FINE = {"terms": "", "equation": "rate * E", "name": "rate", "prior": "lognormal(1, 2)"}


def text_with(**changes):
    """Return a small whole model with some of it replaced."""
    return SKELETON.format(**(FINE | changes))


def refused(text):
    """Read a text that must be refused within a second of CPU; return the message."""
    begin = time.process_time()
    with pytest.raises(ModelFileError) as caught:
        ck.Model.from_text(text, "stranger")
    assert time.process_time() - begin < 1
    return str(caught.value)


def test_the_skeleton_is_fine():
    assert ck.Model.from_text(text_with()).system().parameters == ("rate",)


@pytest.mark.parametrize(
    "equation",
    [
        "__import__('os').system('true') * E",
        "E.__class__",
        "().__class__.__bases__",
        "(lambda: E)()",
        "(x := E)",
        "f'{E}'",
        "E[0]",
        "[E for E in (1, 2)]",
        "E if rate else E",
        "exec(E)",
        "exp(rate=E)",
        "exp(*E)",
        "getattr(E, rate)",
        "rate * E; import os",
        "rate * E\\nimport os",
        "rate * E # comment",
        "\uff45\uff58\uff50(rate) * E",
        "rate \u00d7 E",
        "rate * E * \u221e",
        "1e999 * rate * E",
        "rate * E + nan",
        "print(E)",
    ],
)
def test_attack_strings_are_refused(equation):
    message = refused(text_with(equation=equation))
    assert "equations.E" in message or "cannot be read as TOML" in message


CHAIN = "\n".join(["t0 = 'rate + rate'", *(f"t{i} = 't{i - 1} * t{i - 1}'" for i in range(1, 40))])


@pytest.mark.parametrize(
    "changes",
    [
        {"equation": "9**9**9**9 * rate * E"},
        {"equation": "((9.0**8)**8)**8 * rate * E"},
        {"equation": "2.0**2.0**2.0**2.0**2.0**2.0**2.0 * rate * E"},
        {"equation": "exp(exp(exp(9))) * rate * E"},
        {"equation": "((((rate * E)**100)**100)**100)**100 / E**99"},
        {"equation": "-" * 1900 + "rate * E"},
        {"equation": "(" * 900 + "rate * E" + ")" * 900},
        {"equation": " + ".join(["rate * E"] * 400)},
        {"equation": "min(" * 79 + "rate * E" + ", rate * E)" * 79},
        {"equation": "t39 * E", "terms": CHAIN},
        {"equation": "a * E", "terms": "a = 'b * rate'\nb = 'a'"},
        {"equation": "a * E", "terms": "a = 'a'"},
        {"equation": "rate * E " + "+ 0 * E " * 10_000},
        {"terms": "\n".join(f"u{i} = 'rate'" for i in range(300))},
        {"prior": "lognormal(9**9**9, 2)"},
        {"prior": "lognormal(" + "1+" * 90 + "1, 2)"},
        {"prior": "lognormal(median=1, gsd=__import__('os'))"},
        {"name": "rate.x.y"},
        {"name": '"' + "x" * 5000 + '"'},
    ],
    ids=lambda changes: next(iter(changes.values()))[:24],
)
def test_resource_bombs_are_refused_within_a_second(changes):
    refused(text_with(**changes))


def test_a_million_characters_and_thousands_of_states_are_refused():
    assert "a model file has at most" in refused(text_with(terms="# " + "x" * 1_000_000))
    states = "\n".join(
        f'[states.S{i}]\nunit = "1"\nstart = "0"\nlabel = "s"\n' for i in range(2000)
    )
    refused(text_with() + states)
    assert "at most 100 are solved" in refused(
        text_with() + states[: states.index("[states.S150]")]
    )
    deep = text_with() + "\n[x" + ".x" * 60 + "]\n"
    refused(deep)
    refused("a = " + "[" * 20_000 + "]" * 20_000)
    refused("a = {" + "b = {" * 3_000 + "}" * 3_001)


@pytest.mark.parametrize(
    "name",
    [
        *("y", "p", "c", "s", "t_", "np", "exp_", "lane", "level", "slope", "dy", "njit", "math"),
        *("numpy", "x0", "c0_", "y0_", "p0_", "range", "list", "sympy", "Symbol", "I", "S", "N"),
        *("oo", "zoo", "nan", "inf", "pi", "self", "day", "e", "_", "__class__"),
    ],
)
def test_names_that_generated_code_uses_capture_nothing(name):
    """Either refused, or a parameter like any other: E = exp(0.5 t) after two days."""
    text = text_with(name=name, equation=f"{name} * E")
    if name.startswith("_"):
        assert "a name starts with a letter" in refused(text)
        return
    model = ck.Model.from_text(text)
    curves = ck.model_curves(model, [0.0, 2.0], {name: 0.5})
    assert curves["level"].iloc[1] == pytest.approx(2.718281828459045, rel=1e-8)


def test_names_that_generated_code_uses_are_solved_too():
    """The compiled solver, with five such names at once."""
    text = text_with(name="y", equation="(y + p - np + lane - c0_) * E")
    for name in ("p", "np", "lane", "c0_"):
        more = text_with(name=name)
        text += more[more.index(f"[parameters.{name}]") :]
    model = ck.Model.from_text(text)
    values = np.array([[{"y": 0.5}.get(name, 1.0) for name in model.system().parameters]])
    found = solve_system(
        compile_system(model.system()), values, np.array([0, 2]), np.array([0.0, 2.0])
    )
    assert found.log_level[:, 0] == pytest.approx([0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("name", ["t", "exp", "min", "max", "hill", "total", "where", "lambda"])
def test_names_of_the_equation_language_are_taken(name):
    assert f"parameters.{name}" in refused(text_with(name=name, equation="E"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "t"', "title = 5"),
        ('title = "t"', "title = 2020-01-01"),
        ('title = "t"', 'title = ["t"]'),
        ('cell_type = ["total"]', "cell_type = [1]"),
        ('cell_type = ["total"]', 'cell_type = "total"'),
        ('cell_type = ["total"]', "cell_type = []"),
        ('start = "first"', "start = true"),
        ('start = "first"', "start = inf"),
        ('start = "first"', "start = 1979-05-27T07:32:00Z"),
        ('start = "first"', "start = {a = 1}"),
        ('scale = "log"', "scale = 1"),
        ('prior = "lognormal(1, 2)"', "prior = 1"),
        ('prior = "lognormal(1, 2)"', "prior = [1]"),
        ('prior = "lognormal(1, 2)"', "value = nan"),
        ('prior = "lognormal(1, 2)"', "value = true"),
        ('prior = "lognormal(1, 2)"', 'value = "1"'),
        ('unit = "1/day"', 'unit = "day**999999999"'),
        ('unit = "1/day"', 'unit = "__import__"'),
        ('unit = "1/day"', "unit = 1"),
        ("[terms]", "terms = 5"),
        ("[terms]", "[[terms]]"),
        ("[terms]", "[terms.a]\nb = 1\n[terms]"),
        ("[terms]", '[doses.d]\ninto = "E"\namount = "1"\ndays = ["a"]\n[terms]'),
        ("[terms]", "[values]\nrate = inf\n[terms]"),
        ("[terms]", '[outputs.o]\nunit = "1"\nis = true\nlabel = "o"\n[terms]'),
    ],
)
def test_toml_of_another_type_is_refused(old, new):
    text = text_with()
    assert old in text
    refused(text.replace(old, new, 1))


DOSE = """
[doses.d]
into = "{into}"
amount = "{amount}"
days = {days}
{fractions}
label = "dose"
source = "test"
standing = "choice"
"""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"into": "F"}, "'F' is no state"),
        ({"amount": "5"}, "has unit [1], declared [cells/uL]"),
        ({"amount": "E"}, "'E' is a state and cannot stand here"),
        ({"amount": "t * 0 + 1"}, "t"),
        ({"days": "[1, 1]", "fractions": "fractions = [0.5, 0.5]"}, "no rising days"),
        ({"days": "[-1]"}, "no rising days"),
        ({"days": "[0, 1]"}, "say how the amount is split"),
        ({"days": "[0, 1]", "fractions": "fractions = [0.5, 0.6]"}, "their sum is 1"),
        ({"days": "[0, 1]", "fractions": "fractions = [1.0]"}, "one positive share per day"),
    ],
)
def test_faults_of_doses_are_named(changes, message):
    filled = {"into": "E", "amount": "0 * E", "days": "[0]", "fractions": ""} | changes
    assert message in refused(text_with() + DOSE.format(**filled))


def test_faults_of_classes_cases_inputs_and_values_are_named():
    about = 'label = "x"\nsource = "x"\nstanding = "choice"\n'
    cases = {
        "[mixture.a]\nshare = 0.2\nvalues = {rat = 1.0}\n": "did you mean 'rate'",
        "[mixture.a]\nshare = 1.2\nvalues = {rate = 1.0}\n": "less than 1",
        "[cases.a]\nvalues = {rat = 1.0}\n": "no number is called 'rat'; did you mean 'rate'",
        '[inputs.dose]\nunit = "cells"\n': "inputs.dose: no equation uses it",
    }
    for table, message in cases.items():
        assert message in refused(text_with() + table + about)
    both = '[parameters.two]\nunit = "1"\nvalue = 1\nabsent = "why"\n' + about
    assert "has a value and says that it is absent" in refused(text_with() + both)
    nothing = '[parameters.two]\nunit = "1"\n' + about
    assert "needs a prior, or a value" in refused(text_with() + nothing)
    assert "no number is called 'rat'" in refused(text_with() + "[values]\nrat = 1.0\n")


LETTERS = string.ascii_letters + string.digits + "_.+-*/(),<> \n\"'=[]{}#\\\x00\u00e9"


@settings(max_examples=300, deadline=1000, suppress_health_check=list(HealthCheck))
@given(st.text(LETTERS, max_size=120))
def test_any_text_as_equation_is_read_or_refused(text):
    check_expression(text)


def test_changed_texts_of_the_library_are_read_or_refused():
    """Equations, priors, units and files, changed at random; `tests.fuzz_reader` has them."""
    found = fuzz(1_500, seed=2)
    assert found.total() == 1_500
    assert {kind for kind, _ in found} == {"equation", "prior", "unit", "file"}
    assert found["equation", "read"] > 100


@pytest.mark.slow
def test_a_million_texts_are_read_or_refused():
    """Two minutes of CPU."""
    assert fuzz(1_000_000, seed=1).total() == 1_000_000


PIECES = st.sampled_from(
    [
        *("rate", "E", "t", "2", "0", "1e300", "9", "exp(", "log(", "min(", "where(", "hill("),
        *("total(", "(", ")", ",", "+", "-", "*", "/", "**", "<", ">", " "),
    ]
)


@pytest.mark.slow
@settings(max_examples=30_000, deadline=2000, suppress_health_check=list(HealthCheck))
@given(st.lists(PIECES, max_size=40))
def test_thousands_of_nearly_right_models_are_read_or_refused(pieces):
    with contextlib.suppress(ModelFileError):
        ck.Model.from_text(text_with(equation="".join(pieces)))


def check_expression(text):
    with contextlib.suppress(EquationFault):
        read_expression(text)
