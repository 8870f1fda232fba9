"""The equation reader takes a small language, and refuses everything else at once."""

import math
import time

import numpy as np
import pytest
import sympy

from carkinetics.equations import (
    NUMERIC,
    hill,
    logistic,
    read_constant,
    read_expression,
    softplus,
    to_sympy,
)
from carkinetics.equations.dimensions import unit_of
from carkinetics.equations.nodes import EquationFault, name_fault, point_at
from carkinetics.units import format_unit, parse_unit

x, y = sympy.symbols("x y", positive=True)


def convert(text):
    return to_sympy(read_expression(text).root, lambda name, _: {"x": x, "y": y}[name], ("a",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + y * 2", x + 2 * y),
        ("-x**2", -(x**2)),
        ("exp(-x) / (1 + y)", sympy.exp(-x) / (1 + y)),
        ("sqrt(x) - log(y)", sympy.sqrt(x) - sympy.log(y)),
        ("logistic(x) * softplus(y) * hill(x, y, 2)", logistic(x) * softplus(y) * hill(x, y, 2)),
        ("where(x < y, x, 0)", sympy.Piecewise((x, x < y), (0, True))),
        ("\n  x\n + y ", x + y),
    ],
)
def test_expressions_mean_what_they_say(text, expected):
    # Analytic: the same expression built by hand, compared at a point.
    point = {x: sympy.Float(0.7), y: sympy.Float(1.3)}
    assert math.isclose(convert(text).subs(point).evalf(), expected.subs(point).evalf())


ATTACKS = [
    "__import__('os').system('true')",
    "E.__class__",
    "().__class__.__bases__",
    "x.real",
    "x[0]",
    "[x for x in (1, 2)]",
    "lambda: x",
    "(x := 1)",
    "f'{x}'",
    "'text'",
    'b"x"',
    "x if y else x",
    "x and y",
    "not x",
    "x < y",
    "where(x < y < 1, x, y)",
    "where(x == y, x, y)",
    "where(x, y, 1)",
    "where(1 < 2, x, y)",
    "x; y",
    "x = y",
    "x, y",
    "*x",
    "exp(*x)",
    "exp(x=1)",
    "exp(x, y)",
    "hill(x, y)",
    "sin(x)",
    "exp",
    "open(x)",
    "x % y",
    "x // y",
    "x @ y",
    "x << 2",
    "~x",
    "x ^ 2",
    "True",
    "None",
    "...",
    "1j",
    "yield x",
    "await x",
    "import os",
    "x\x00y",
    "x # comment",
    "\uff45\uff58\uff50(x)",  # full-width letters, which Python folds to exp
    "x\u00a0+ y",
    "",
    "   ",
    "(",
    "x +",
    "1 if",
    "0x",
    "1__0",
]


@pytest.mark.parametrize("text", [a for a in ATTACKS if a != "exp"])
def test_everything_outside_the_language_is_refused(text):
    with pytest.raises(EquationFault):
        read_expression(text)


BOMBS = {
    "tower of integers": "9**9**9**9",
    "tower of floats": "9.0**9.0**9.0**9.0",
    "left tower": "((((((9**8)**8)**8)**8)**8)**8)**8",
    "tower of small floats": "2.0**2.0**2.0**2.0**2.0**2.0",
    "exponentials": "exp(exp(exp(9)))",
    "exponentials of names that cancel": "exp(exp(exp(x - x + 9)))",
    "towers of names that cancel": "(x-x+9)**(x-x+9)**(x-x+9)**(x-x+9)",
    "powers of powers": "((((2*x)**99)**99)**99)**99",
    "a power in disguise": "exp(387420489*log(exp(387420489*log((x + x)*3))))",
    "a power of a hundred million": "(x + x + x)**100000000",
    "minus signs": "-" * 1900 + "x",
    "parentheses": "(" * 900 + "x" + ")" * 900,
    "nested functions": "exp(" * 150 + "x" + ")" * 150,
    "a million characters": "x+" * 500_000 + "x",
    "a long number": "9" * 1990,
    "a huge number": "1e999",
    "division by zero": "1/0",
    "division by names that cancel": "1/(x - x)",
    "root of a negative number": "sqrt(-1)",
    "negative number to a broken power": "(-8)**(1/3)",
    "log of zero": "log(0)",
    "many parts": "+".join(["x"] * 600),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_resource_bombs_are_refused_within_a_second(text):
    begin = time.perf_counter()
    with pytest.raises(EquationFault):
        convert(text)
    assert time.perf_counter() - begin < 1


def test_the_largest_allowed_expressions_are_read_within_a_second():
    begin = time.perf_counter()
    convert("exp(" * 35 + "x" + ")" * 35)
    convert("+".join(["x*y"] * 70))
    convert("*".join(f"(x + {n})" for n in range(1, 70)))
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    ("text", "place"),
    [("x + y.real", 4), ("x + sin(y)", 4), ("x + 1/0", 4), ("x ^ 2", 2), ("  x + lambda", 6)],
)
def test_a_fault_points_at_its_place(text, place):
    with pytest.raises(EquationFault) as caught:
        read_expression(text)
    assert caught.value.place == place


def test_the_caret_stands_under_the_place_in_long_and_foreign_text():
    text = "x + " * 100 + "\x1b[31m" + "y"
    shown = point_at(text, 400)
    line, caret = shown.splitlines()
    assert len(line) <= 76
    assert line[caret.index("^")] == "?"
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "name", ["t", "exp", "total", "lambda", "None", "_x", "2x", "x y", "\u03b1", "x" * 61, ""]
)
def test_names_that_equations_cannot_use_are_refused(name):
    assert name_fault(name)


@pytest.mark.parametrize("name", ["y", "np", "E", "I", "S", "N", "math", "numba", "O", "Q", "pi"])
def test_names_known_to_sympy_or_numpy_are_plain_names(name):
    assert name_fault(name) is None
    symbol = sympy.Symbol(name, real=True)
    root = read_expression(f"2 * {name}").root
    assert to_sympy(root, lambda *_: symbol, ()) == 2.0 * symbol


def test_constants_are_computed_in_double_precision():
    assert read_constant("exp(1.5)") == math.exp(1.5)
    assert read_constant("logistic(-4.8)") == pytest.approx(1 / (1 + math.exp(4.8)), rel=1e-15)
    with pytest.raises(EquationFault, match="only numbers"):
        read_constant("x")


@pytest.mark.parametrize("function", [logistic, softplus])
@pytest.mark.parametrize("at", [-800.0, -30.0, -0.3, 0.0, 0.3, 30.0, 800.0])
def test_smooth_functions_and_derivatives_never_overflow(function, at):
    # Analytic: softplus(x) -> 0 and x, logistic(x) -> 0 and 1; derivative of softplus is logistic.
    value, slope = function(x), function(x).diff(x)
    numbers = [float(e.subs(x, at).evalf()) for e in (value, slope)]
    assert np.isfinite(numbers).all()
    exact = 1 / (1 + math.exp(-at)) if at > -700 else 0.0
    expected = exact if function is logistic else max(at, 0) + math.log1p(math.exp(-abs(at)))
    assert numbers[0] == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert NUMERIC[function.__name__](at) == pytest.approx(expected, rel=1e-12, abs=1e-300)
    expected_slope = exact * (1 - exact) if function is logistic else exact
    assert numbers[1] == pytest.approx(expected_slope, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("argument", range(3))
def test_hill_derivatives_agree_with_finite_differences(argument):
    names = sympy.symbols("a b c", positive=True)
    point, step = [0.8, 1.7, 2.4], 1e-6
    slope = hill(*names).diff(names[argument]).subs(dict(zip(names, point, strict=True)))
    up, down = list(point), list(point)
    up[argument] += step
    down[argument] -= step
    difference = (NUMERIC["hill"](*up) - NUMERIC["hill"](*down)) / (2 * step)
    assert float(slope.evalf()) == pytest.approx(float(difference), rel=1e-7)


UNITS = {
    **{"level": parse_unit("level"), "rate": parse_unit("1/day"), "day": parse_unit("day")},
    **{"week": parse_unit("week"), "share": parse_unit("1"), "cells": parse_unit("cells/uL")},
}


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("rate * level", "level/day"),
        ("log(2) / day + rate", "1/day"),
        ("level * exp(-rate * day)", "level"),
        ("where(day < 3, level, 0)", None),
        ("where(day < 1 / rate, level, 0)", "level"),
        ("hill(level, level, 2) * share", "1"),
        ("sqrt(level * level)", "level"),
        ("share ** share", "1"),
        ("log(level / level)", "1"),
        ("0 + level", "level"),
    ],
)
def test_units_follow_the_expression(text, unit):
    if unit is None:
        with pytest.raises(EquationFault, match="cannot compare 'day' \\[day\\] with '3' \\[1\\]"):
            unit_of(read_expression(text), UNITS)
    else:
        assert format_unit(unit_of(read_expression(text), UNITS)) == unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate + level", "cannot add 'rate' [1/day] to 'level' [level]"),
        ("day - week", "cannot subtract 'week' [week] from 'day' [day]; 1 day is 0.142857 week"),
        ("exp(day)", "exp(...) needs a number without unit, 'day' has [day]"),
        ("log(level)", "log(...) needs a ratio, 'level' has [level]"),
        ("level ** share", "'level' has [level]; only a number without unit"),
        ("2 ** day", "an exponent needs a number without unit"),
        ("hill(level, cells, 2)", "[level]"),
        ("logistic(level)", "logistic(...) needs"),
    ],
)
def test_units_that_do_not_agree_are_named(text, message):
    with pytest.raises(EquationFault) as caught:
        unit_of(read_expression(text), UNITS)
    assert message in caught.value.what
