"""The shape of a model file: which tables and keys it has, checked by pydantic."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from carkinetics.errors import Fault
from carkinetics.model.tables import ModelFile, named

MAX_CHARACTERS = 100_000
_MAX_DOTS = 100
_WANTED = {
    **{"string_type": "text in quotes", "float_type": "a number", "list_type": "a list"},
    **{"dict_type": "a table", "model_type": "a table", "finite_number": "a finite number"},
    **{"model_attributes_type": "a table"},
}
# Keys on which no equation depends, with something to go on with where they are at fault.
_STAND_INS = {
    **{"title": "", "summary": "", "reference": "", "label": "", "source": ""},
    **{"standing": "choice"},
}


def read_toml(text: str) -> tuple[dict[str, Any], list[Fault]]:
    """Read TOML text within bounds; faults instead of a table where it is none."""
    if len(text) > MAX_CHARACTERS:
        what = f"{len(text):,} characters; a model file has at most {MAX_CHARACTERS:,}"
        return {}, [Fault("file", what, "Is this a model file?")]
    # A key of thousands of dotted parts costs the TOML reader quadratic time.
    for row, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _MAX_DOTS:
            return {}, [Fault(f"line {row}", f"more than {_MAX_DOTS} dots in one line", row=row)]
    try:
        return tomllib.loads(text), []
    except tomllib.TOMLDecodeError as error:
        return {}, [Fault("file", f"cannot be read as TOML: {error}")]
    except (RecursionError, ValueError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        return {}, [Fault("file", f"cannot be read as TOML: {what}")]


def check_shape(tables: Mapping[str, Any]) -> tuple[ModelFile | None, list[Fault]]:
    """Check tables against the shape of a model file.

    Unknown keys are reported and left out, and what no equation depends on (a label, a source)
    is filled in, so that the equations are checked in the same run; after any other fault there
    is no file to go on with.
    """
    try:
        return ModelFile.model_validate(tables), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    except RecursionError:
        return None, [Fault("file", "nested too deep")]
    faults = [_fault(item) for item in found]
    prose = [item["loc"] for item in found if item["loc"][-1] in _STAND_INS]
    unknown = {tuple(item["loc"]) for item in found if item["type"] == "extra_forbidden"}
    if len(prose) + len(unknown) < len(found):
        return None, faults
    rest = _without(tables, unknown)
    for place in prose:
        _table_at(rest, place[:-1])[place[-1]] = _STAND_INS[str(place[-1])]
    try:
        return ModelFile.model_validate(rest), faults
    except ValidationError:
        # What was filled in is not prose after all: a parameter called 'label', say.
        return None, faults


def _table_at(tables: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        tables = tables[part]
    return tables


def _without(table: Any, places: set[tuple[Any, ...]], here: tuple[Any, ...] = ()) -> Any:
    if not isinstance(table, Mapping):
        return table
    return {
        key: _without(item, places, (*here, key))
        for key, item in table.items()
        if (*here, key) not in places
    }


def _fault(item: Mapping[str, Any]) -> Fault:
    place = [str(part)[:80] for part in item["loc"] if part != "[key]"]
    kind, given = item["type"], item.get("input")
    if kind in ("extra_forbidden", "missing"):
        above, name = ".".join(place[:-1]) or "file", place[-1]
        what = f"'{name}' is missing"
        if kind == "extra_forbidden":
            known = _keys_at(item["loc"][:-1])
            what = f"unknown key '{name}'{did_you_mean(name, known)}"
        return Fault(above, what, section=above)
    if kind in _WANTED:
        what = f"must be {_WANTED[kind]}, not {named(given)}"
    elif kind == "literal_error":
        what = f"must be {item['ctx']['expected']}, not {named(given)}"
        if "[key]" in item["loc"]:
            what = f"unknown key '{place[-1]}'; it must be {item['ctx']['expected']}"
    elif kind == "too_long":
        what = f"more than {item['ctx']['max_length']} entries"
    elif kind == "too_short":
        what = "must not be empty"
    else:
        what = item["msg"].removeprefix("Value error, ")
    where = ".".join(place)
    return Fault(where, what, section=where)


def _keys_at(place: tuple[Any, ...]) -> list[str]:
    """Return the keys that the table at a place may have."""
    table: Any = ModelFile
    parts = list(place)
    while parts:
        fields = {f.alias or name: f.annotation for name, f in table.model_fields.items()}
        kind = fields.get(parts.pop(0))
        table = next((part for part in (kind, *get_args(kind)) if _is_table(part)), None)
        if table is None:
            return []
        if get_origin(kind) is dict and parts:
            # A name of the author's own, not a key.
            parts.pop(0)
    return [field.alias or name for name, field in table.model_fields.items()]


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or what is known where nothing is near."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known are {', '.join(known)}" if known and len(known) <= 12 else ""
