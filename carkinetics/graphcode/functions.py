"""Functions that printed code may call, in LLVM.

Those of `helpers` are translated from their own text. Exponentials and the like are LLVM's, or
those of the mathematical library.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache

from llvmlite import ir

from carkinetics.graphcode import helpers
from carkinetics.graphcode.translate import DOUBLE, INT, STORED, Translator

_LIBRARY = ("expm1", "log1p", "erf", "erfc", "lgamma")
_OF_LLVM = {
    "exp": "exp", "log": "log", "sqrt": "sqrt", "abs": "fabs", "power": "pow", "floor": "floor",
}  # fmt: skip


def call_function(t: Translator, name: str, arguments: list[ir.Value]) -> ir.Value:
    """Write the call of a function of numbers by its name."""
    module = t.builder.module
    if name == "select":
        return t.builder.select(t.truth(arguments[0]), *t.alike(*arguments[1:]))
    if name in STORED:
        return t.taken(t.stored(arguments[0], name), name)
    if name in ("larger", "smaller") and all(a.type == INT for a in arguments):
        first = t.builder.icmp_signed(">" if name == "larger" else "<", *arguments)
        return t.builder.select(first, *arguments)
    if name == "element":
        return _element(t, *(t.whole(a) for a in arguments))
    if name in ("isnan", "isinf"):
        return _is_special(t, name, t.double(arguments[0]))
    numbers = [t.double(a) for a in arguments]
    if name in _OF_LLVM:
        function = module.declare_intrinsic(f"llvm.{_OF_LLVM[name]}", [DOUBLE])
        if name == "power":
            kind = ir.FunctionType(DOUBLE, [DOUBLE, DOUBLE])
            function = module.declare_intrinsic("llvm.pow", [DOUBLE], kind)
        return t.builder.call(function, numbers)
    return t.builder.call(_function(module, name, len(numbers)), numbers)


def _function(module: ir.Module, name: str, n: int) -> ir.Function:
    """Return a function of the library, or of `helpers`, in a module."""
    kind = ir.FunctionType(DOUBLE, [DOUBLE] * n)
    if name in _LIBRARY:
        return module.globals.get(name) or ir.Function(module, kind, name)
    local = f"helper.{name}"
    if local in module.globals:
        return module.globals[local]
    function = ir.Function(module, kind, local)
    function.linkage = "internal"
    function.attributes.add("alwaysinline")
    translator = Translator(
        ir.IRBuilder(function.append_basic_block("entry")), call_function, fast=False
    )
    definition = _definitions()[name]
    for argument, value in zip(definition.args.args, function.args, strict=True):
        translator.names[argument.arg] = value
    for constant in ("ROOT_OF_PI", "LOG_HALF", "FAR"):
        translator.names[constant] = ir.Constant(DOUBLE, getattr(helpers, constant))
    translator.run(definition.body)
    return function


@cache
def _definitions() -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(helpers))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _element(t: Translator, index: ir.Value, size: ir.Value) -> ir.Value:
    """Return the place of an element, from the end where negative; stop where there is none."""
    b, zero = t.builder, ir.Constant(INT, 0)
    place = b.select(b.icmp_signed("<", index, zero), b.add(index, size), index)
    t.stop_if(b.icmp_unsigned(">=", place, size))
    return place


def _is_special(t: Translator, name: str, value: ir.Value) -> ir.Value:
    if name == "isnan":
        return t.builder.fcmp_unordered("uno", value, value)
    size = t.builder.call(t.builder.module.declare_intrinsic("llvm.fabs", [DOUBLE]), [value])
    return t.builder.fcmp_ordered("==", size, ir.Constant(DOUBLE, float("inf")))
