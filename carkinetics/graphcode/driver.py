"""What numba compiles of a program: the order of its pieces, and the calls among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from carkinetics.graphcode.machine import Table, memory_name, stretch_name
from carkinetics.graphcode.views import View
from carkinetics.graphcode.writer import Call, Writer
from carkinetics.solve.written import compiled

_HEAD = """
@compiled
def {name}(table):
    here, numbers = address(table), table.view(np.float64)
"""


def print_driver(writer: Writer, table: Table, name: str) -> str:
    """Print a function that runs all pieces on a filled table; it returns zero if all went well.

    Parameters
    ----------
    writer : Writer
        The program.
    table : Table
        The place of everything.
    name : str
        Of the function.
    """
    lines, held = [], []
    for k, piece in enumerate(writer.pieces):
        if isinstance(piece, Call):
            lines += _call(piece, table)
            held += [f"{view.name}_row" for view in piece.results if view.shape]
            continue
        lines += [
            f"w{k} = np.empty(memory_{k}(here), np.float64)",
            f"table[{table.place(f'w{k}')}] = address(w{k})",
            f"if stretch_{k}(here) != 0:",
            "    return 1",
        ]
        held.append(f"w{k}")
    # Without a use behind the last stretch numba would free them before it.
    lines += [f"hold({one})" for one in held] + ["return 0"]
    return _HEAD.format(name=name) + "".join(f"    {line}\n" for line in lines)


def _call(call: Call, table: Table) -> list[str]:
    pairs = zip(call.arguments, call.scalars, strict=True)
    arguments = ", ".join(_argument(view, scalar, table) for view, scalar in pairs)
    lines = [f"{', '.join(view.name for view in call.results)} = {call.function}({arguments})"]
    for view in call.results:
        if view.shape:
            lines.append(f"{view.name}_row = np.ascontiguousarray({view.name})")
            lines.append(f"table[{table.place(view.name)}] = address({view.name}_row)")
            for k, size in enumerate(view.shape):
                lines.append(f"table[{table.place(size)}] = {view.name}.shape[{k}]")
        else:
            where = "numbers" if view.dtype.startswith("float") else "table"
            lines.append(f"{where}[{table.place(view.name)}] = one_number({view.name})")
    return lines


def _argument(view: View, scalar: bool, table: Table) -> str:
    if view.shape:
        sizes = ", ".join(_size(size, table) for size in view.shape)
        return f"tensor(table[{table.place(view.name)}], ({sizes},), np.{_numpy(view.dtype)})"
    if not view.name.isidentifier() or view.name in ("True", "False", "nan", "inf"):
        value = f"np.{_numpy(view.dtype)}({view.name})"
    elif view.dtype.startswith("float"):
        value = f"numbers[{table.place(view.name)}]"
    else:
        value = f"np.{_numpy(view.dtype)}(table[{table.place(view.name)}])"
    return value if scalar else f"np.asarray({value})"


def _size(size: str, table: Table) -> str:
    return f"np.int64({size})" if size.isdigit() else f"table[{table.place(size)}]"


def _numpy(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype


def functions_of(text: str, prefix: str, writer: Writer) -> dict[str, Callable[..., Any]]:
    """Return the functions of the stretches, for the names that the driver gives them.

    Parameters
    ----------
    text : str
        The module of all stretches in LLVM's language.
    prefix : str
        First part of their names in it.
    writer : Writer
        The program.
    """
    found = {}
    for k, piece in enumerate(writer.pieces):
        if not isinstance(piece, Call):
            found[f"memory_{k}"] = _linked(text, memory_name(prefix, k))
            found[f"stretch_{k}"] = _linked(text, stretch_name(prefix, k))
    return found


def _linked(text: str, name: str) -> Callable[..., Any]:
    """Make a function of LLVM callable in numba: the address of a table -> a whole number."""

    @intrinsic
    def function(typing_context: Any, table: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _link_once(context.active_code_library, text)
            kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
            linked = cgutils.get_or_insert_function(builder.module, kind, name)
            return builder.call(linked, arguments)

        return types.int64(types.int64), generate

    return function


def _link_once(library: Any, text: str) -> None:
    known = library.__dict__.setdefault("_linked_texts", set())
    if text not in known:
        known.add(text)
        library.add_llvm_module(llvm.parse_assembly(text))


@intrinsic
def address(typing_context: Any, array: Any) -> Any:
    """Return where the first element of an array stands."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        inside = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(inside.data, ir.IntType(64))

    return types.int64(array), generate


@intrinsic
def hold(typing_context: Any, array: Any) -> Any:
    """Do nothing, after everything that needs an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_dummy_value()

    return types.none(array), generate


@intrinsic
def _pointer(typing_context: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@compiled
def tensor(place: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return the array at an address."""
    return carray(_pointer(place), shape, dtype)


@compiled
def one_number(value: Any) -> Any:
    """Return the number of an array without dimensions."""
    return np.asarray(value).item()


@compiled
def with_words(size: int, words: np.ndarray) -> np.ndarray:
    """Return a table whose first places are filled; one place more for what nobody reads."""
    table = np.zeros(size + 1, np.int64)
    for i in range(words.size):
        table[i] = words[i]
    return table
