"""What runs a program: its pieces one after another, as one operation of numba.

The stretches are functions of LLVM already. Around them stand a few instructions, written here and
not typed by numba: memory for the arrays of each stretch, and what each call needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from carkinetics.graphcode.call_code import CallCode
from carkinetics.graphcode.machine import Table, memory_name, stretch_name
from carkinetics.graphcode.places import INT, Places, owner
from carkinetics.graphcode.writer import Call, Writer
from carkinetics.solve.written import compiled

# The function for numba.
TEXT = """
@compiled
def {name}(table):
    return run_pieces(address(table))
"""
_ALIGNED = 32  # bytes, as numba's own arrays: one vector of four numbers


def make_driver(text: str, prefix: str, writer: Writer, table: Table) -> Callable[[int], int]:
    """Return a function for compiled code that runs all pieces of a program.

    Parameters
    ----------
    text : str
        The module of all stretches in LLVM's language.
    prefix : str
        First part of their names in it.
    writer : Writer
        The program.
    table : Table
        The place of everything; those of what keeps memory alive are added.

    Returns
    -------
    callable
        The address of a filled table -> zero, or one where a stretch failed.
    """
    held = _held(writer)
    for name in [*map(owner, held), *_of_calls(writer)]:
        table.place(name)

    @intrinsic
    def run_pieces(typing_context: Any, here: Any) -> Any:
        calls = {
            k: CallCode(piece, writer.functions[piece.function], typing_context)
            for k, piece in enumerate(writer.pieces)
            if isinstance(piece, Call)
        }

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _link_once(context.active_code_library, text)
            places = Places(context, builder, arguments[0], table)
            code = cgutils.alloca_once_value(builder, ir.Constant(INT, 1))
            end = builder.append_basic_block("end")
            for name in held:
                places.own_nothing(name)
            for k in range(len(writer.pieces)):
                if k in calls:
                    calls[k].write(places)
                else:
                    _run_stretch(places, prefix, k, end)
            builder.store(ir.Constant(INT, 0), code)
            builder.branch(end)
            builder.position_at_end(end)
            for name in held:
                places.release(name)
            return builder.load(code)

        return types.int64(types.int64), generate

    return run_pieces


def _held(writer: Writer) -> list[str]:
    """Name what needs memory until the last piece has run."""
    held = []
    for k, piece in enumerate(writer.pieces):
        if isinstance(piece, Call):
            held += [view.name for view in piece.results if view.shape]
        else:
            held.append(f"w{k}")
    return held


def _of_calls(writer: Writer) -> list[str]:
    """Name what calls take out of the table and put into it; literal numbers are among it."""
    found = []
    for piece in writer.pieces:
        if isinstance(piece, Call):
            for view in [*piece.arguments, *piece.results]:
                found += [view.name, *view.shape]
    return found


def _run_stretch(places: Places, prefix: str, k: int, failed: ir.Block) -> None:
    builder, context = places.builder, places.context
    kind = ir.FunctionType(INT, [INT])
    tell, run = (
        cgutils.get_or_insert_function(builder.module, kind, name(prefix, k))
        for name in (memory_name, stretch_name)
    )
    size = builder.mul(builder.call(tell, [places.here]), ir.Constant(INT, 8))
    memory = context.nrt.meminfo_alloc_aligned(builder, size, _ALIGNED)
    places.own(f"w{k}", memory)
    places.store(f"w{k}", context.nrt.meminfo_data(builder, memory))
    code = builder.call(run, [places.here])
    following = builder.append_basic_block("went_well")
    builder.cbranch(builder.icmp_signed("!=", code, ir.Constant(INT, 0)), failed, following)
    builder.position_at_end(following)


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


@compiled
def with_words(size: int, words: np.ndarray) -> np.ndarray:
    """Return a table whose first places are filled; one place more for what nobody reads."""
    table = np.zeros(size + 1, np.int64)
    for i in range(words.size):
        table[i] = words[i]
    return table
