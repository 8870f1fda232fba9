"""Read equation text into checked nodes: a white list, bounds on size, a caret under the place.

Text from a file never reaches ``eval`` or SymPy's own parser. Python's syntax tree is taken as
the grammar, walked without recursion until its size is known, and converted node by node.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings
from collections.abc import Callable

from carkinetics.equations.functions import hill_number, logistic_number, softplus_number
from carkinetics.equations.nodes import FUNCTIONS, EquationFault, Expression, Node

MAX_CHARACTERS = 2000
MAX_NODES = 500
MAX_DEPTH = 80
MAX_EXPONENT = 100
_FOREIGN = re.compile(r"[^A-Za-z0-9_.+\-*/(),<>=\s]", re.ASCII)
_OPERATORS: dict[type[ast.AST], str] = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"},
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="},
}
_REFUSED: dict[type[ast.AST], str] = {
    ast.Attribute: "a dot after a name is not allowed",
    ast.Compare: "a comparison may only stand first inside where(...)",
    ast.BoolOp: "'and' and 'or' are not allowed; nest where(...) instead",
    ast.IfExp: "'if ... else' is not allowed; write where(condition, then, otherwise)",
    ast.Tuple: "a comma is only allowed between the arguments of a function",
    ast.Starred: "a star before an argument is not allowed",
}
_WHITE_LIST = (
    "allowed are numbers, declared names, + - * / **, where with one comparison, and "
    + ", ".join(FUNCTIONS)
)


def read_expression(text: str) -> Expression:
    """Read one expression.

    Parameters
    ----------
    text : str
        At most 2,000 ASCII characters.

    Returns
    -------
    Expression
        Its checked nodes, constants already folded in double precision.

    Raises
    ------
    EquationFault
        For anything outside the white list or the bounds, with its place in the text.
    """
    if len(text) > MAX_CHARACTERS:
        raise EquationFault(f"{len(text)} characters; at most {MAX_CHARACTERS} are read")
    foreign = _FOREIGN.search(text)
    if foreign:
        hint = "; write ** for a power" if foreign[0] == "^" else ""
        raise EquationFault(f"the character {foreign[0]!a} is not allowed{hint}", foreign.start())
    if not text.strip():
        raise EquationFault("the expression is empty")
    # One line, nothing before it: places in the tree are then places in the text.
    line = re.sub(r"\s", " ", text)
    lead = len(line) - len(line.lstrip())
    tree = _parse(line.strip(), lead)
    _bound(tree)
    return Expression(line, _convert(tree, lead))


def read_constant(text: str) -> float:
    """Read an expression of numbers only, such as ``exp(1.5)``, and return its value."""
    root = read_expression(text).root
    if root.kind != "number":
        node = next((node for node in root.walk() if node.kind == "name"), root)
        raise EquationFault("only numbers may stand here", node.start)
    return root.value


def _parse(line: str, lead: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(line, mode="eval").body
    except SyntaxError as error:
        place = min(max((error.offset or 1) - 1, 0), len(line) - 1)
        word = re.match(r"[A-Za-z_]+", line[place:])
        if word and keyword.iskeyword(word[0]):
            raise EquationFault(f"'{word[0]}' is a reserved word", lead + place) from error
        raise EquationFault("cannot be read from here on", lead + place) from error
    except (ValueError, RecursionError, MemoryError, Warning) as error:
        raise EquationFault("cannot be read") from error


def _bound(tree: ast.expr) -> None:
    # Iterative on purpose: the tree may still be deeper than Python's stack.
    layer: list[ast.AST] = [tree]
    count = depth = 0
    while layer:
        count += len(layer)
        depth += 1
        if count > MAX_NODES:
            raise EquationFault(f"more than {MAX_NODES} parts; split it into [terms]")
        if depth > MAX_DEPTH:
            raise EquationFault(f"nested more than {MAX_DEPTH} deep; split it into [terms]")
        layer = [
            child
            for node in layer
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr | ast.keyword)
        ]


def _convert(tree: ast.expr, lead: int) -> Node:
    start, end = tree.col_offset + lead, (tree.end_col_offset or 0) + lead
    if isinstance(tree, ast.Constant):
        return Node("number", start, end, value=_number(tree.value, start))
    if isinstance(tree, ast.Name):
        return Node("name", start, end, name=tree.id)
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        kind, parts = _OPERATORS[type(tree.op)], [tree.left, tree.right]
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
        if isinstance(tree.op, ast.UAdd):
            return _convert(tree.operand, lead)
        kind, parts = "negate", [tree.operand]
    elif isinstance(tree, ast.Call):
        return _convert_call(tree, lead)
    else:
        raise EquationFault(_REFUSED.get(type(tree), _WHITE_LIST), start)
    children = tuple(_convert(part, lead) for part in parts)
    return _fold(Node(kind, start, end, children))


def _convert_call(tree: ast.Call, lead: int) -> Node:
    start, end = tree.col_offset + lead, (tree.end_col_offset or 0) + lead
    if not isinstance(tree.func, ast.Name) or tree.func.id not in FUNCTIONS:
        what = f"'{tree.func.id}' is not a function" if isinstance(tree.func, ast.Name) else ""
        listed = "functions are " + ", ".join(FUNCTIONS)
        raise EquationFault(f"{what or 'only a named function can be called'}; {listed}", start)
    kind = tree.func.id
    if tree.keywords:
        raise EquationFault(f"{kind}(...) takes no named arguments", start)
    if len(tree.args) != FUNCTIONS[kind]:
        wanted = f"{FUNCTIONS[kind]} argument" + "s" * (FUNCTIONS[kind] > 1)
        raise EquationFault(f"{kind}(...) takes {wanted}, here {len(tree.args)}", start)
    if kind != "where":
        return _fold(Node(kind, start, end, tuple(_convert(part, lead) for part in tree.args)))
    condition = _convert_condition(tree.args[0], lead)
    branches = tuple(_convert(part, lead) for part in tree.args[1:])
    return Node(kind, start, end, (condition, *branches))


def _convert_condition(tree: ast.expr, lead: int) -> Node:
    start, end = tree.col_offset + lead, (tree.end_col_offset or 0) + lead
    if not isinstance(tree, ast.Compare):
        raise EquationFault("where(...) needs a comparison first, such as t < tmax", start)
    if len(tree.ops) > 1:
        raise EquationFault("a chain of comparisons is not allowed; nest where(...)", start)
    kind = _OPERATORS.get(type(tree.ops[0]))
    if kind is None:
        raise EquationFault("a comparison is one of < <= > >=", start)
    sides = (_convert(tree.left, lead), _convert(tree.comparators[0], lead))
    if all(side.kind == "number" for side in sides):
        raise EquationFault("this comparison of numbers never changes; leave out where", start)
    return Node(kind, start, end, sides)


def _number(value: object, place: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EquationFault(_WHITE_LIST, place)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise EquationFault("this number is too large", place)
    return number


def _power(base: float, exponent: float) -> float:
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("a negative number to a broken power")
    return result


_ARITHMETIC: dict[str, Callable[..., float]] = {
    **{"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b},
    **{"/": lambda a, b: a / b, "**": _power, "negate": lambda a: -a},
    **{"min": min, "max": max},
    **{"exp": math.exp, "log": math.log, "sqrt": math.sqrt},
    **{"logistic": logistic_number, "softplus": softplus_number, "hill": hill_number},
}


def _fold(node: Node) -> Node:
    """Compute constants in double precision, so that SymPy never sees a tower of powers."""
    if node.kind == "**" and node.children[1].kind == "number":
        exponent = node.children[1].value
        if abs(exponent) > MAX_EXPONENT:
            raise EquationFault(
                f"an exponent of {exponent:g}; at most {MAX_EXPONENT} is allowed",
                node.children[1].start,
            )
    numbers = [child.value for child in node.children if child.kind == "number"]
    if node.kind not in _ARITHMETIC or len(numbers) < len(node.children):
        return node
    try:
        value = _ARITHMETIC[node.kind](*numbers)
    except (OverflowError, ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise EquationFault("this constant is not a finite real number", node.start)
    return Node("number", node.start, node.end, value=value)
