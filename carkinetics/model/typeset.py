"""Typeset equations: checked nodes -> MathML, which browsers draw without a script."""

from __future__ import annotations

import math
import re
from html import escape

from carkinetics.equations.nodes import COMPARISONS, Node
from carkinetics.equations.reading import read_expression

_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "eps", "zeta", "eta", "theta", "kappa"),
    *("lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
)
_LETTER = {
    **dict(zip(("alpha", "beta", "gamma", "delta", "epsilon", "eps"), "αβγδεε", strict=True)),
    **dict(zip(("zeta", "eta", "theta", "kappa", "lambda", "mu", "nu"), "ζηθκλμν", strict=True)),
    **dict(zip(("xi", "rho", "sigma", "tau", "phi", "chi", "psi"), "ξρστφχψ", strict=True)),
    "omega": "ω",
}
# How tightly each kind binds; parentheses are set where a part binds less than its place asks.
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 4, "negate": 2, "**": 3}
_SIGN = {"<": "&lt;", "<=": "≤", ">": "&gt;", ">=": "≥", "-": "&#8722;", "+": "+"}
_NAMED = {"exp": "exp", "log": "ln", "logistic": "logistic", "softplus": "softplus"}
_NAMED |= {"min": "min", "max": "max", "hill": "hill", "total": "Σ"}

# A letter and capitals after it, such as kB: the capitals are its index.
_INDEXED = re.compile(r"[A-Za-z][A-Z][A-Za-z0-9]{0,3}\Z")
_ABBREVIATIONS = ("IL", "IFN")


def equation(left: str, text: str, side: str = "") -> str:
    """Write an equation as MathML.

    Parameters
    ----------
    left : str
        The name on the left.
    text : str
        The expression on the right, as in a model file.
    side : {"", "rate", "start"}
        What stands on the left: the name itself, its derivative by time, its value on day 0.

    Returns
    -------
    str
        A ``<math>`` element.

    Examples
    --------
    >>> equation("E", "rho * E / 2", "rate").count("<mfrac>")
    2
    """
    name = _name(left)
    if side == "start":
        name = f"<mrow>{name}<mo>(</mo><mn>0</mn><mo>)</mo></mrow>"
    if side == "rate":
        name = f"<mfrac><mrow><mi>d</mi>{name}</mrow><mrow><mi>d</mi><mi>t</mi></mrow></mfrac>"
    right = _math(read_expression(text).root)
    return f'<math display="block"><mrow>{name}<mo>=</mo>{right}</mrow></math>'


def _math(node: Node, place: int = 0) -> str:
    inner = _plain(node)
    return _fenced(inner) if _BINDS.get(node.kind, 5) < place else inner


def _fenced(inner: str) -> str:
    return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"


def _plain(node: Node) -> str:
    kind, parts = node.kind, node.children
    if kind == "number":
        return _number(node.value)
    if kind == "name":
        return _name(node.name)
    if kind == "negate":
        return f"<mrow><mo>&#8722;</mo>{_math(parts[0], 2)}</mrow>"
    if kind in ("+", "-"):
        right = _math(parts[1], 2 if kind == "-" else 1)
        return f"<mrow>{_math(parts[0], 1)}<mo>{_SIGN[kind]}</mo>{right}</mrow>"
    if kind == "*":
        # A thin space, or a dot where a name is a word, so that names do not run together.
        words = any(_math(part).startswith("<mtext>") for part in _factors(node))
        between = "<mo>·</mo>" if words else '<mo>&#8290;</mo><mspace width="0.15em"/>'
        return f"<mrow>{_math(parts[0], 2)}{between}{_math(parts[1], 2)}</mrow>"
    if kind == "/":
        return f"<mfrac>{_math(parts[0])}{_math(parts[1])}</mfrac>"
    if kind == "**":
        return f"<msup>{_base(parts[0])}{_math(parts[1])}</msup>"
    if kind == "sqrt":
        return f"<msqrt>{_math(parts[0])}</msqrt>"
    if kind == "where":
        return _cases(node)
    if kind in COMPARISONS:
        return f"<mrow>{_math(parts[0])}<mo>{_SIGN[kind]}</mo>{_math(parts[1])}</mrow>"
    listed = "<mo>,</mo>".join(_math(part) for part in parts)
    return f"<mrow><mi>{_NAMED[kind]}</mi><mo>(</mo>{listed}<mo>)</mo></mrow>"


def _factors(node: Node) -> tuple[Node, ...]:
    """Return the factors of a product written out without parentheses."""
    if node.kind != "*":
        return (node,)
    return tuple(factor for part in node.children for factor in _factors(part))


def _base(node: Node) -> str:
    # Under an exponent everything but a name or a number needs its parentheses.
    inner = _plain(node)
    if node.kind in ("name", "number"):
        return inner
    return _fenced(inner)


def _cases(node: Node) -> str:
    condition, then, otherwise = node.children
    rows = [
        f"<mtr><mtd>{_math(then)}</mtd><mtd><mtext>if </mtext>{_math(condition)}</mtd></mtr>",
        f"<mtr><mtd>{_math(otherwise)}</mtd><mtd><mtext>otherwise</mtext></mtd></mtr>",
    ]
    return f'<mrow><mo>{{</mo><mtable columnalign="left">{"".join(rows)}</mtable></mrow>'


def _number(value: float) -> str:
    if value == math.log(2):  # constants come folded; this one is in every half-life
        return '<mrow><mi>ln</mi><mspace width="0.15em"/><mn>2</mn></mrow>'
    shown = f"{value:.10g}"
    mantissa, mark, power = shown.partition("e")
    if not mark:
        return f"<mn>{escape(shown)}</mn>"
    ten = f"<msup><mn>10</mn><mn>{int(power)}</mn></msup>"
    return ten if mantissa == "1" else f"<mrow><mn>{mantissa}</mn><mo>·</mo>{ten}</mrow>"


def _name(name: str) -> str:
    """Write a name: Greek letters as letters, what follows an underscore or is a digit below."""
    head, _, below = name.partition("_")
    stem = head.rstrip("0123456789")
    if not below and stem != head and len(stem) <= 5:
        head, below = stem, head[len(stem) :]
    if not below and head not in _LETTER:
        found = next((g for g in sorted(_GREEK, key=len, reverse=True) if head.startswith(g)), "")
        if found and len(head) == len(found) + 1:
            head, below = found, head[len(found) :]
    if not below and _INDEXED.match(head) and not head.startswith(_ABBREVIATIONS):
        head, below = head[0], head[1:]
    if len(head) > 3 and head not in _LETTER:
        return f"<mtext>{escape(name.replace('_', ' '))}</mtext>"
    top = f"<mi>{_LETTER.get(head, escape(head))}</mi>"
    return f"<msub>{top}<mtext>{escape(below.replace('_', ' '))}</mtext></msub>" if below else top
