"""The shape of a model file: which tables and keys it has, checked by pydantic."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from carkinetics.errors import Fault

MAX_CHARACTERS = 100_000
MAX_ENTRIES = 200
_MAX_DOTS = 100
_TOML_NAMES = {
    **{"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"},
    **{"dict": "a table", "list": "a list", "NoneType": "nothing"},
    **{"date": "a date", "datetime": "a date", "time": "a time of day"},
}
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

Over = Literal["cell_type"] | None
Standing = Literal["published", "computed", "choice", "reconstruction", "unverified"]


def _as_text(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return value


def _keyed(value: object) -> object:
    """Let a plain text or number stand for a table with the one key ``""``."""
    if isinstance(value, dict):
        wrong = next((key for key, item in value.items() if not isinstance(item, str)), None)
        if wrong is not None:
            raise ValueError(f"must be text in quotes under '{wrong}'")
        return value
    if isinstance(value, str):
        return {"": value}
    raise ValueError(f"must be text or a table of texts, not {_named(value)}")


def _keyed_number(value: object) -> object:
    parts = value if isinstance(value, dict) else {"": value}
    for part in parts.values():
        if isinstance(part, bool) or not isinstance(part, int | float):
            raise ValueError(f"must be a number or a table of numbers, not {_named(part)}")
    return parts


Equation = Annotated[str, BeforeValidator(_as_text)]
Keyed = Annotated[dict[str, str], BeforeValidator(_keyed)]
KeyedNumber = Annotated[dict[str, float], BeforeValidator(_keyed_number)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelTable(_Table):
    """[model]: what the model is and where it comes from."""

    title: str
    summary: str
    reference: str
    time: Literal["day"] = "day"


class SubsetsTable(_Table):
    """[subsets]: the cell types for which an equation is written once."""

    cell_type: list[str] = Field(min_length=1, max_length=10)


class ConstantTable(_Table):
    """[constants]: fixed numbers."""

    value: float
    unit: str
    label: str
    source: str
    standing: Standing


class StateTable(_Table):
    """[states]: what the equations describe."""

    unit: str
    start: Equation
    label: str
    over: Over = None
    scale: Literal["log", "natural"] = "natural"


class CovariateTable(_Table):
    """[parameters.NAME.covariates]: a published coefficient of a covariate term."""

    value: float
    source: str
    standing: Standing
    se: float | None = Field(default=None, gt=0)


class ParameterTable(_Table):
    """[parameters.NAME]: a number with a prior, or a fixed value."""

    unit: str
    label: str
    source: str
    standing: Standing
    prior: Keyed | None = None
    value: KeyedNumber | None = None
    vary: Literal["patient"] | None = None
    omega: Keyed | None = None
    omega_value: float | None = None
    over: Over = None
    group: str | None = None
    covariates: dict[str, CovariateTable] = Field(default={}, max_length=MAX_ENTRIES)


class SolutionTable(_Table):
    """[solution]: the curve itself, where it has a closed form, as a function of t."""

    level: Equation
    auc: Equation | None = None
    cmax: Equation | None = None
    tmax: Equation | None = None
    over: Over = None


class ObservedTable(_Table):
    """[observed.ASSAY]: how an assay sees the model."""

    unit: str
    sigma: str
    error: Literal["lognormal"] = "lognormal"
    is_: Equation | None = Field(default=None, alias="is")
    link: Literal["assay_link"] | None = None
    over: Over = None
    label: str = ""


class DerivedTable(_Table):
    """[derived]: numbers that follow from the parameters."""

    unit: str
    label: str = ""
    is_: Equation | None = Field(default=None, alias="is")
    of: Literal["level", "auc", "cmax", "tmax"] | None = None
    at: float | None = None
    over: Over = None


class ClaimTable(_Table):
    """[published]: a number that the model must give at its typical values."""

    value: float
    within: Equation
    source: str
    standing: Standing = "published"


class ModelFile(_Table):
    """A whole model file."""

    model: ModelTable
    subsets: SubsetsTable
    parameters: dict[str, ParameterTable] = Field(max_length=MAX_ENTRIES)
    observed: dict[Literal["flow", "qpcr"], ObservedTable] = Field(min_length=1)
    constants: dict[str, ConstantTable] = Field(default={}, max_length=MAX_ENTRIES)
    states: dict[str, StateTable] = Field(default={}, max_length=MAX_ENTRIES)
    terms: dict[str, Keyed] = Field(default={}, max_length=MAX_ENTRIES)
    equations: dict[str, Equation] = Field(default={}, max_length=MAX_ENTRIES)
    solution: SolutionTable | None = None
    derived: dict[str, DerivedTable] = Field(default={}, max_length=MAX_ENTRIES)
    published: dict[str, ClaimTable] = Field(default={}, max_length=MAX_ENTRIES)
    published_priors: float | None = Field(default=None, gt=0, le=100)


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
        what = f"must be {_WANTED[kind]}, not {_named(given)}"
    elif kind == "literal_error":
        what = f"must be {item['ctx']['expected']}, not {_named(given)}"
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


def _named(value: object) -> str:
    kind = _TOML_NAMES.get(type(value).__name__, type(value).__name__)
    if isinstance(value, str | int | float | bool):
        shown = repr(value)
        return f"{kind} ({shown if len(shown) <= 40 else shown[:37] + '...'})"
    return kind
