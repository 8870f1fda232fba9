"""Vectors of patients for numba: what is written for one number is computed for all lanes.

A value of type `Lanes` is a SIMD vector of LLVM, one number for each of `LANES` patients. The
generated code is straight lines over such values: no loop that a compiler may or may not turn into
vector code, no check whether arrays overlap. A processor with shorter vectors works through it in
parts. Arrays that hold lanes are flat, ``[index * LANES + lane]``; `load` and `store` count in
whole vectors.

`select`, `bits`, `from_bits`, `maximum`, `minimum` and `sqrt` take single numbers too, so that a
function written with them serves both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
# Functions of lanes are compiled into those that call them.
inlined = njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
_CONTRACT = ("contract",)  # a * b + c may become one fused instruction


class LanesType(types.Type):
    """The type of vectors: of doubles, of 64-bit integers, or of truth values."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(name=f"Lanes{LANES}_{kind}")


_ELEMENT = {"double": ir.DoubleType(), "int": ir.IntType(64), "bool": ir.IntType(1)}
_SCALAR = {"double": types.float64, "int": types.int64, "bool": types.boolean}
Lanes, IntLanes, Mask = LanesType("double"), LanesType("int"), LanesType("bool")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: LanesType) -> None:
        super().__init__(manager, of, _vector(of.kind))


def _vector(kind: str) -> ir.VectorType:
    return ir.VectorType(_ELEMENT[kind], LANES)


def _spread(context: Any, builder: Any, value: Any, of: types.Type, kind: str) -> Any:
    """Return a vector: the value itself, or a single number in every lane."""
    if isinstance(of, LanesType):
        return value
    number = context.cast(builder, value, of, _SCALAR[kind])
    nothing = ir.Constant(_vector(kind), ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, order)


def _operator(
    function: Callable[..., Any], kind: str, result: LanesType, emit: Callable[..., Any]
) -> None:
    """Let an operator of Python take vectors of a kind, one of two perhaps a single number."""

    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            kinds = {a.kind for a in args if isinstance(a, LanesType)}
            single = all(isinstance(a, (LanesType, types.Number, types.Boolean)) for a in args)
            return signature(result, *args) if kinds == {kind} and single else None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = [_spread(context, builder, v, a, kind) for v, a in zip(args, sig.args, strict=True)]
        return emit(builder, *found)

    of = _KINDS[kind]
    lower_builtin(function, of)(lower)
    lower_builtin(function, of, of)(lower)
    lower_builtin(function, of, types.Number)(lower)
    lower_builtin(function, types.Number, of)(lower)


def _compare(sign: str) -> Callable[..., Any]:
    # False where a number is missing (NaN); "not equal" is true there.
    def emit(builder: Any, a: Any, b: Any) -> Any:
        compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        return compare(sign, a, b)

    return emit


_KINDS = {"double": Lanes, "int": IntLanes, "bool": Mask}
_operator(operator.add, "double", Lanes, lambda b, x, y: b.fadd(x, y, flags=_CONTRACT))
_operator(operator.sub, "double", Lanes, lambda b, x, y: b.fsub(x, y, flags=_CONTRACT))
_operator(operator.mul, "double", Lanes, lambda b, x, y: b.fmul(x, y, flags=_CONTRACT))
_operator(operator.truediv, "double", Lanes, lambda b, x, y: b.fdiv(x, y))
_operator(operator.neg, "double", Lanes, lambda b, x: b.fneg(x))
_operator(abs, "double", Lanes, lambda b, x: _call(b, "fabs", x))
for _function, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
    (operator.ne, "!="),
):
    _operator(_function, "double", Mask, _compare(_sign))
_operator(operator.add, "int", IntLanes, lambda b, x, y: b.add(x, y))
_operator(operator.lshift, "int", IntLanes, lambda b, x, y: b.shl(x, y))
_operator(operator.rshift, "int", IntLanes, lambda b, x, y: b.ashr(x, y))
_operator(operator.and_, "int", IntLanes, lambda b, x, y: b.and_(x, y))
_operator(operator.or_, "int", IntLanes, lambda b, x, y: b.or_(x, y))
_operator(operator.and_, "bool", Mask, lambda b, x, y: b.and_(x, y))
_operator(operator.or_, "bool", Mask, lambda b, x, y: b.or_(x, y))
_operator(operator.invert, "bool", Mask, lambda b, x: b.not_(x))


def _call(builder: Any, name: str, value: Any) -> Any:
    """Call a function that LLVM knows for vectors and single numbers."""
    suffix = f"v{LANES}f64" if isinstance(value.type, ir.VectorType) else "f64"
    of = ir.FunctionType(value.type, [value.type])
    function = cgutils.get_or_insert_function(builder.module, of, f"llvm.{name}.{suffix}")
    return builder.call(function, [value])


def _address(context: Any, builder: Any, array: Any, of: types.Array, index: Any) -> Any:
    data = context.make_array(of)(context, builder, array).data
    first = builder.mul(index, ir.Constant(index.type, LANES))
    return builder.bitcast(builder.gep(data, [first]), _vector("double").as_pointer())


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Return vector number `index` of an array."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        at = context.cast(builder, arguments[1], sig.args[1], types.intp)
        value = builder.load(_address(context, builder, arguments[0], sig.args[0], at))
        value.align = 8
        return value

    return Lanes(array, index), emit


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Put a vector, or a single number for all lanes, at place number `index` of an array."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        at = context.cast(builder, arguments[1], sig.args[1], types.intp)
        address = _address(context, builder, arguments[0], sig.args[0], at)
        value = _spread(context, builder, arguments[2], sig.args[2], "double")
        builder.store(value, address).align = 8
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def select(typing_context: Any, condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where the condition holds, else `no`."""
    result = Lanes if isinstance(condition, LanesType) else types.float64

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        if result is Lanes:
            values = [
                _spread(context, builder, v, a, "double")
                for v, a in zip(arguments[1:], sig.args[1:], strict=True)
            ]
        else:
            values = [
                context.cast(builder, v, a, types.float64)
                for v, a in zip(arguments[1:], sig.args[1:], strict=True)
            ]
        return builder.select(arguments[0], *values)

    return result(condition, yes, no), emit


@intrinsic
def any_lane(typing_context: Any, mask: Any) -> Any:
    """Return whether a condition holds in any lane."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        whole = builder.bitcast(arguments[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", whole, ir.Constant(whole.type, 0))

    return types.boolean(mask), emit


@intrinsic
def spread(typing_context: Any, number: Any) -> Any:
    """Return a vector with the same number in every lane."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return _spread(context, builder, arguments[0], sig.args[0], "double")

    return Lanes(number), emit


@intrinsic
def bits(typing_context: Any, x: Any) -> Any:
    """Return the 64 bits of a double as an integer."""
    result = IntLanes if isinstance(x, LanesType) else types.int64

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(result))

    return result(x), emit


@intrinsic
def from_bits(typing_context: Any, x: Any) -> Any:
    """Return the double with these 64 bits."""
    result = Lanes if isinstance(x, LanesType) else types.float64

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(result))

    return result(x), emit


@intrinsic
def sqrt(typing_context: Any, x: Any) -> Any:
    """Return the square root, NaN of a negative number."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return _call(builder, "sqrt", arguments[0])

    return x(x), emit
