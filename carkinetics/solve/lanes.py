"""Vectors of patients: what is written for one number is computed for all lanes.

A vector is a SIMD vector of LLVM, one number for each of `LANES` patients. A function of lanes is
ordinary Python that runs once, while it is compiled, on values that stand for these vectors: each
operation writes the instruction that will do it. Numba spends no time on its types and variables,
and what comes out is straight lines over vectors: no loop that a compiler may or may not turn into
vector code, no check whether arrays overlap. A processor with shorter vectors works through it in
parts.

Arrays of lanes are flat, ``[index * LANES + lane]``; `load` and `store` count in whole vectors.
What is known when the function is compiled, such as a plain ``range``, is written out; `each`
writes a loop and `when` a condition. Single numbers take part as well.

`carkinetics.solve.written` hands functions of lanes to numba.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

LANES = 8
DOUBLE, INT, TRUTH = ir.DoubleType(), ir.IntType(64), ir.IntType(1)
_VECTOR = {of: ir.VectorType(of, LANES) for of in (DOUBLE, INT, TRUTH)}
_CONTRACT = ("contract",)  # a * b + c may become one fused instruction
_writer = threading.local()


@contextmanager
def written_by(builder: Any) -> Iterator[None]:
    """Let an LLVM builder write what functions of lanes do that are called meanwhile."""
    before = getattr(_writer, "builder", None)
    _writer.builder = builder
    try:
        yield
    finally:
        _writer.builder = before


@functools.lru_cache(maxsize=4096)
def _constant(of: Any, number: float, is_vector: bool) -> ir.Constant:
    number = float(number) if of == DOUBLE else int(number)
    return ir.Constant(_VECTOR[of], [number] * LANES) if is_vector else ir.Constant(of, number)


class Value:
    """A double, an integer or a truth value of the compiled function, or a vector of them."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, llvm: Any) -> None:
        self.llvm = llvm
        self.is_vector = isinstance(llvm.type, ir.VectorType)
        self.of = llvm.type.element if self.is_vector else llvm.type

    def __bool__(self) -> bool:
        raise TypeError("known only when the function runs: use select, when or each")

    def __add__(self, other: Any) -> Value:
        return _written("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return _written("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return _written("sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return _written("sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return _written("mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return _written("mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return _written("div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return _written("div", other, self)

    def __neg__(self) -> Value:
        return _written("neg", self)

    def __abs__(self) -> Value:
        return _written("abs", self)

    def __lshift__(self, other: Any) -> Value:
        return _written("shl", self, other)

    def __rshift__(self, other: Any) -> Value:
        return _written("shr", self, other)

    def __and__(self, other: Any) -> Value:
        return _written("and", self, other)

    def __or__(self, other: Any) -> Value:
        return _written("or", self, other)

    def __invert__(self) -> Value:
        return _written("not", self)

    def __lt__(self, other: Any) -> Value:
        return _compared("<", self, other)

    def __le__(self, other: Any) -> Value:
        return _compared("<=", self, other)

    def __gt__(self, other: Any) -> Value:
        return _compared(">", self, other)

    def __ge__(self, other: Any) -> Value:
        return _compared(">=", self, other)

    def __eq__(self, other: object) -> Value:  # type: ignore[override]
        return _compared("==", self, other)

    def __ne__(self, other: object) -> Value:  # type: ignore[override]
        return _compared("!=", self, other)


def converted(of: Any, is_vector: bool, value: Any) -> Any:
    """Return the LLVM value of a number or a `Value` in a type; a single number in every lane."""
    if not isinstance(value, Value):
        return _constant(of, value, is_vector)
    builder, llvm = _writer.builder, value.llvm
    if value.of == INT and of == DOUBLE:
        llvm = builder.sitofp(llvm, _VECTOR[of] if value.is_vector else of)
    if value.is_vector or not is_vector:
        return llvm
    nothing = ir.Constant(_VECTOR[of], ir.Undefined)
    first = builder.insert_element(nothing, llvm, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, everywhere)


def _alike(*values: Any) -> tuple[Any, list[Any]]:
    """Return a common type, and the LLVM values in it: vectors if one of them is a vector."""
    own = [value for value in values if isinstance(value, Value)]
    of = DOUBLE if any(value.of == DOUBLE for value in own) else own[0].of
    is_vector = any(value.is_vector for value in own)
    return of, [converted(of, is_vector, value) for value in values]


_INSTRUCTIONS: dict[tuple[str, Any], Callable[..., Any]] = {
    ("add", DOUBLE): lambda b, x, y: b.fadd(x, y, flags=_CONTRACT),
    ("sub", DOUBLE): lambda b, x, y: b.fsub(x, y, flags=_CONTRACT),
    ("mul", DOUBLE): lambda b, x, y: b.fmul(x, y, flags=_CONTRACT),
    ("div", DOUBLE): lambda b, x, y: b.fdiv(x, y),
    ("neg", DOUBLE): lambda b, x: b.fneg(x),
    ("abs", DOUBLE): lambda b, x: _call("fabs", x),
    ("add", INT): lambda b, x, y: b.add(x, y),
    ("sub", INT): lambda b, x, y: b.sub(x, y),
    ("mul", INT): lambda b, x, y: b.mul(x, y),
    ("shl", INT): lambda b, x, y: b.shl(x, y),
    ("shr", INT): lambda b, x, y: b.ashr(x, y),
    ("and", INT): lambda b, x, y: b.and_(x, y),
    ("or", INT): lambda b, x, y: b.or_(x, y),
    ("and", TRUTH): lambda b, x, y: b.and_(x, y),
    ("or", TRUTH): lambda b, x, y: b.or_(x, y),
    ("not", TRUTH): lambda b, x: b.not_(x),
}


def _written(name: str, *values: Any) -> Value:
    of, found = _alike(*values)
    return Value(_INSTRUCTIONS[name, of](_writer.builder, *found))


def _compared(sign: str, *values: Any) -> Value:
    builder, (of, found) = _writer.builder, _alike(*values)
    if of == INT:
        return Value(builder.icmp_signed(sign, *found))
    # False where a number is missing (NaN); "not equal" is true there.
    compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
    return Value(compare(sign, *found))


def _call(name: str, value: Any) -> Any:
    """Call a function that LLVM knows for vectors and single numbers."""
    suffix = f"v{LANES}f64" if isinstance(value.type, ir.VectorType) else "f64"
    of = ir.FunctionType(value.type, [value.type])
    module = _writer.builder.module
    function = cgutils.get_or_insert_function(module, of, f"llvm.{name}.{suffix}")
    return _writer.builder.call(function, [value])


class Array:
    """Memory of vectors, from a place on that is counted in vectors."""

    def __init__(self, pointer: Any, first: int = 0) -> None:
        self.pointer = _writer.builder.bitcast(pointer, _VECTOR[DOUBLE].as_pointer())
        self.first = first

    def part(self, first: int) -> Array:
        """Return the same memory from another place on."""
        part = copy.copy(self)
        part.first = self.first + first
        return part

    def address(self, index: Any) -> Any:
        """Return the address of vector number `index`."""
        place = converted(INT, False, self.first + index)
        return _writer.builder.gep(self.pointer, [place])


def load(array: Array, index: Any) -> Value:
    """Return vector number `index` of an array."""
    address = array.address(index)
    return Value(_writer.builder.load(address, align=8))


def store(array: Array, index: Any, value: Any) -> None:
    """Put a vector, or a single number for all lanes, at place number `index` of an array."""
    address = array.address(index)
    _writer.builder.store(converted(DOUBLE, True, value), address, align=8)


def local(vectors: int) -> Array:
    """Make an array that lives as long as the call."""
    return Array(cgutils.alloca_once(_writer.builder, _VECTOR[DOUBLE], vectors))


def select(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where the condition holds, else `no`."""
    if not isinstance(condition, Value):
        return yes if condition else no
    own = [value for value in (condition, yes, no) if isinstance(value, Value)]
    is_vector = any(value.is_vector for value in own)
    # A single condition may choose between vectors.
    found = [converted(DOUBLE, is_vector, value) for value in (yes, no)]
    return Value(_writer.builder.select(condition.llvm, *found))


def any_lane(mask: Value) -> Value:
    """Return whether a condition holds in any lane."""
    whole = _writer.builder.bitcast(mask.llvm, ir.IntType(LANES))
    return Value(_writer.builder.icmp_unsigned("!=", whole, ir.Constant(whole.type, 0)))


def _bitcast(value: Any, before: Any, after: Any) -> Value:
    is_vector = isinstance(value, Value) and value.is_vector
    target = _VECTOR[after] if is_vector else after
    return Value(_writer.builder.bitcast(converted(before, is_vector, value), target))


def bits(x: Any) -> Value:
    """Return the 64 bits of a double as an integer."""
    return _bitcast(x, DOUBLE, INT)


def from_bits(x: Any) -> Value:
    """Return the double with these 64 bits."""
    return _bitcast(x, INT, DOUBLE)


def sqrt(x: Any) -> Value:
    """Return the square root, NaN of a negative number."""
    is_vector = isinstance(x, Value) and x.is_vector
    return Value(_call("sqrt", converted(DOUBLE, is_vector, x)))


def each(*bounds: Any) -> Iterator[Value]:
    """Write a loop over ``range(*bounds)``, whose body runs only once while it is written."""
    first, last = bounds if len(bounds) == 2 else (0, *bounds)
    first, last = converted(INT, False, first), converted(INT, False, last)
    with cgutils.for_range(_writer.builder, last, start=first) as loop:
        yield Value(loop.index)


@contextmanager
def when(condition: Any) -> Iterator[None]:
    """Write what is done only where a single condition holds."""
    with _writer.builder.if_then(converted(TRUTH, False, condition)):
        yield


class Table:
    """Constants that compiled functions look up by numbers known only when they run."""

    def __init__(self, numbers: Any) -> None:
        self._numbers = np.asarray(numbers, np.float64)

    def __getitem__(self, place: Any) -> Any:
        place = place if isinstance(place, tuple) else (place,)
        if not any(isinstance(number, Value) for number in place):
            return float(self._numbers[place])
        index: Any = 0
        for number, size in zip(place, self._numbers.shape, strict=True):
            index = index * size + number
        builder = _writer.builder
        name = f"table.{id(self)}"
        values = ir.Constant(
            ir.ArrayType(DOUBLE, self._numbers.size), self._numbers.ravel().tolist()
        )
        known = builder.module.globals.get(name)
        table = known or cgutils.global_constant(builder.module, name, values)
        address = builder.gep(table, [INT(0), converted(INT, False, index)])
        return Value(builder.load(address))


class Layout:
    """Where arrays of lanes lie in one flat array.

    Parameters
    ----------
    **vectors : int
        Name and size of each, in vectors.
    """

    def __init__(self, **vectors: int) -> None:
        self.first = dict(zip(vectors, np.cumsum([0, *vectors.values()]).tolist(), strict=False))
        self.size = sum(vectors.values())

    def arrays(self, whole: Array) -> SimpleNamespace:
        """Return the arrays by their names."""
        return SimpleNamespace(**{name: whole.part(first) for name, first in self.first.items()})

    def place(self, name: str) -> int:
        """Return where an array begins in the flat array, counted in numbers."""
        return self.first[name] * LANES
