"""Straight numerical Python, translated to LLVM without a type inference.

The language: assignments of single numbers and of elements of flat arrays, loops over ranges,
conditions that end a function, arithmetic, comparisons, and calls of functions of numbers. A number
is a double, a whole number of 64 bits or a truth value, which its first expression decides.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

DOUBLE, INT, BOOL, BYTE = ir.DoubleType(), ir.IntType(64), ir.IntType(1), ir.IntType(8)
# How the elements of arrays are stored, and whether whole numbers have a sign.
STORED: dict[str, tuple[ir.Type, bool]] = {
    "float64": (DOUBLE, True),
    "float32": (ir.FloatType(), True),
    "bool": (BYTE, False),
    **{f"int{n}": (ir.IntType(n), True) for n in (8, 16, 32, 64)},
    **{f"uint{n}": (ir.IntType(n), False) for n in (8, 16, 32, 64)},
}
_FAST = ("contract", "reassoc", "nsz", "arcp")
_NUMBERS = {"inf": float("inf"), "nan": float("nan")}
_COMPARED = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


@dataclass(frozen=True)
class Array:
    """A flat array: the pointer to its first element, and how its elements are stored."""

    pointer: ir.Value
    dtype: str


class Translator:
    """Writes one function.

    Parameters
    ----------
    builder : IRBuilder
        At the place where the function goes on.
    call : callable
        Name of a function and its arguments -> its value.
    failed : Block or None
        Where a condition that does not hold leads to.
    fast : bool
        Whether sums may be taken in another order.
    """

    def __init__(
        self,
        builder: ir.IRBuilder,
        call: Callable[[Translator, str, list[ir.Value]], ir.Value],
        failed: ir.Block | None = None,
        fast: bool = True,
    ) -> None:
        self.builder = builder
        self.names: dict[str, ir.Value | Array] = {}
        self._call = call
        self._failed = failed
        self._flags = _FAST if fast else ()
        self._changing: set[str] = set()
        self._places: dict[str, ir.Value] = {}

    def run(self, body: Sequence[ast.stmt]) -> None:
        """Translate statements; names that are assigned more than once live in memory."""
        counts = Counter(_assigned(body))
        self._changing = {name for name, n in counts.items() if n > 1 or name in self.names}
        for name in self._changing & set(self.names):
            self._assign(ast.Name(name), self.names.pop(name))
        for statement in body:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """Translate one statement."""
        match node:
            case ast.Assign(targets=[target]):
                self._assign(target, self.value(node.value))
            case ast.AugAssign(target=target, op=op):
                self._assign(
                    target, self._arithmetic(op, self.value(target), self.value(node.value))
                )
            case ast.For(target=ast.Name(id=name), iter=ast.Call(args=bounds)):
                self._loop(name, bounds, node.body)
            case ast.If(body=[ast.Raise()]):
                self.stop_if(self.truth(self.value(node.test)))
            case ast.If(body=[*_, ast.Return()], orelse=[]):
                self._way_out(self.truth(self.value(node.test)), node.body)
            case ast.Return(value=ast.expr() as result):
                self.builder.ret(self.double(self.value(result)))
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case _:
                raise NotImplementedError(ast.unparse(node))

    def value(self, node: ast.expr) -> ir.Value:
        """Translate an expression."""
        match node:
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.Name(id=name):
                return self._named(name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(op, self.value(left), self.value(right))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(v) | float(v))):
                return self._constant(-v)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negative(self.value(operand))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.builder.not_(self.truth(self.value(operand)))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._compare(_COMPARED[type(op)], self.value(left), self.value(right))
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                return self._load(name, self.value(index))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(self, name, [self.value(argument) for argument in arguments])
        raise NotImplementedError(ast.unparse(node))

    def variable(self, name: str) -> ir.Value | Array | None:
        """Return what a name stands for now, None where it is unknown."""
        if name in self._places:
            return self.builder.load(self._places[name])
        return self.names.get(name)

    def double(self, value: ir.Value) -> ir.Value:
        """Return a number as a double."""
        if value.type == DOUBLE:
            return value
        convert = self.builder.uitofp if value.type == BOOL else self.builder.sitofp
        return convert(value, DOUBLE)

    def whole(self, value: ir.Value) -> ir.Value:
        """Return a number as a whole number."""
        if value.type == INT:
            return value
        if value.type == BOOL:
            return self.builder.zext(value, INT)
        return self.builder.fptosi(value, INT)

    def truth(self, value: ir.Value) -> ir.Value:
        """Return whether a number is not zero."""
        if value.type == BOOL:
            return value
        return self._compare("!=", value, ir.Constant(value.type, 0))

    def alike(self, *values: ir.Value) -> list[ir.Value]:
        """Return numbers in the widest of their types."""
        kinds = [value.type for value in values]
        if DOUBLE in kinds:
            return [self.double(value) for value in values]
        if INT in kinds:
            return [self.whole(value) for value in values]
        return list(values)

    def _constant(self, value: Any) -> ir.Value:
        kind = {bool: BOOL, int: INT, float: DOUBLE}[type(value)]
        return ir.Constant(kind, value)

    def _named(self, name: str) -> ir.Value:
        if name in _NUMBERS:
            return ir.Constant(DOUBLE, _NUMBERS[name])
        found = self.variable(name)
        if found is None or isinstance(found, Array):
            raise KeyError(name)
        return found

    def _assign(self, target: ast.expr, value: ir.Value) -> None:
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self._store(target.value.id, self.value(target.slice), value)
            return
        if not isinstance(target, ast.Name):
            raise NotImplementedError(ast.unparse(target))
        if target.id not in self._changing:
            self.names[target.id] = value
            return
        if target.id not in self._places:
            with self.builder.goto_entry_block():
                self._places[target.id] = self.builder.alloca(value.type)
        place = self._places[target.id]
        self.builder.store(self._as(value, place.type.pointee), place)

    def _as(self, value: ir.Value, kind: ir.Type) -> ir.Value:
        return {DOUBLE: self.double, INT: self.whole, BOOL: self.truth}[kind](value)

    def _element(self, name: str, index: ir.Value) -> tuple[ir.Value, str]:
        array = self.names[name]
        if not isinstance(array, Array):
            raise TypeError(f"{name} is no array")
        return self.builder.gep(array.pointer, [self.whole(index)], inbounds=True), array.dtype

    def _load(self, name: str, index: ir.Value) -> ir.Value:
        place, dtype = self._element(name, index)
        return self.taken(self.builder.load(place), dtype)

    def _store(self, name: str, index: ir.Value, value: ir.Value) -> None:
        place, dtype = self._element(name, index)
        self.builder.store(self.stored(value, dtype), place)

    def taken(self, value: ir.Value, dtype: str) -> ir.Value:
        """Return what an array of a type holds as a number."""
        kind, signed = STORED[dtype]
        if dtype == "bool":
            return self.builder.icmp_unsigned("!=", value, ir.Constant(BYTE, 0))
        if dtype.startswith("float"):
            return value if kind == DOUBLE else self.builder.fpext(value, DOUBLE)
        if kind == INT:
            return value
        return (self.builder.sext if signed else self.builder.zext)(value, INT)

    def stored(self, value: ir.Value, dtype: str) -> ir.Value:
        """Return a number as an array of a type holds it."""
        kind, _ = STORED[dtype]
        if dtype == "bool":
            return self.builder.zext(self.truth(value), BYTE)
        if dtype.startswith("float"):
            number = self.double(value)
            return number if kind == DOUBLE else self.builder.fptrunc(number, kind)
        number = self.whole(value)
        return number if kind == INT else self.builder.trunc(number, kind)

    def _negative(self, value: ir.Value) -> ir.Value:
        if value.type == DOUBLE:
            return self.builder.fneg(value)
        return self.builder.neg(self.whole(value))

    def _arithmetic(self, op: ast.operator, left: ir.Value, right: ir.Value) -> ir.Value:
        b, kind = self.builder, type(op)
        if kind in (ast.BitAnd, ast.BitOr, ast.BitXor):
            left, right = self.alike(left, right)
            return {ast.BitAnd: b.and_, ast.BitOr: b.or_, ast.BitXor: b.xor}[kind](left, right)
        if kind is ast.Div or DOUBLE in (left.type, right.type):
            float_of = {ast.Add: b.fadd, ast.Sub: b.fsub, ast.Mult: b.fmul, ast.Div: b.fdiv}
            return float_of[kind](self.double(left), self.double(right), flags=self._flags)
        left, right = self.whole(left), self.whole(right)
        if kind is ast.FloorDiv:
            return b.sdiv(left, right)  # of sizes, which are not negative
        return {ast.Add: b.add, ast.Sub: b.sub, ast.Mult: b.mul}[kind](left, right, flags=("nsw",))

    def _compare(self, sign: str, left: ir.Value, right: ir.Value) -> ir.Value:
        left, right = self.alike(left, right)
        if left.type == DOUBLE:
            compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
            return compare(sign, left, right)
        if left.type == BOOL:
            return self.builder.icmp_unsigned(sign, left, right)
        return self.builder.icmp_signed(sign, left, right)

    def stop_if(self, condition: ir.Value) -> None:
        """End the function as a failure where a condition holds."""
        if self._failed is None:
            raise NotImplementedError("a function of numbers cannot fail")
        following = self.builder.append_basic_block("holds")
        self.builder.cbranch(condition, self._failed, following)
        self.builder.position_at_end(following)

    def _way_out(self, condition: ir.Value, body: Sequence[ast.stmt]) -> None:
        inside, following = (self.builder.append_basic_block(part) for part in ("out", "on"))
        self.builder.cbranch(condition, inside, following)
        self.builder.position_at_end(inside)
        for statement in body:
            self.statement(statement)
        self.builder.position_at_end(following)

    def _loop(self, name: str, bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> None:
        values = [self.whole(self.value(bound)) for bound in bounds]
        first = values[0] if len(values) > 1 else ir.Constant(INT, 0)
        last = values[1] if len(values) > 1 else values[0]
        step = values[2] if len(values) > 2 else ir.Constant(INT, 1)
        b, before = self.builder, self.builder.block
        head, inside, after = (b.append_basic_block(part) for part in ("head", "loop", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(INT)
        index.add_incoming(first, before)
        b.cbranch(b.icmp_signed("<", index, last), inside, after)
        b.position_at_end(inside)
        self.names[name] = index
        for statement in body:
            self.statement(statement)
        index.add_incoming(b.add(index, step, flags=("nsw",)), b.block)
        b.branch(head)
        b.position_at_end(after)


def _assigned(body: Sequence[ast.stmt]) -> list[str]:
    """Return every name that is assigned, as often as it is; twice where it is changed."""
    found = []
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.append(node.id)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                found.append(node.target.id)
    return found
