"""The tables of a model file and the keys of each, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_ENTRIES = 200
TOML_NAMES = {
    **{"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"},
    **{"dict": "a table", "list": "a list", "NoneType": "nothing"},
    **{"date": "a date", "datetime": "a date", "time": "a time of day"},
}

Over = Literal["cell_type"] | None
Standing = Literal["published", "computed", "choice", "reconstruction", "unverified"]


def named(value: object) -> str:
    """Say what a value of TOML is, and show it where it is short."""
    kind = TOML_NAMES.get(type(value).__name__, type(value).__name__)
    if isinstance(value, str | int | float | bool):
        shown = repr(value)
        return f"{kind} ({shown if len(shown) <= 40 else shown[:37] + '...'})"
    return kind


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
    raise ValueError(f"must be text or a table of texts, not {named(value)}")


def _keyed_number(value: object) -> object:
    parts = value if isinstance(value, dict) else {"": value}
    for part in parts.values():
        if isinstance(part, bool) or not isinstance(part, int | float):
            raise ValueError(f"must be a number or a table of numbers, not {named(part)}")
    return parts


Equation = Annotated[str, BeforeValidator(_as_text)]
Keyed = Annotated[dict[str, str], BeforeValidator(_keyed)]
KeyedNumber = Annotated[dict[str, float], BeforeValidator(_keyed_number)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelTable(_Table):
    """[model]: what the model is and where it comes from.

    ``data`` says what data can identify it, ``notes`` what was found out about its numbers.
    """

    title: str
    summary: str
    reference: str
    time: Literal["day"] = "day"
    data: str = ""
    notes: str = ""
    stiff: bool = False


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


class InputTable(_Table):
    """[inputs.NAME]: a number known of each patient: a dose, the day of a drug."""

    unit: str
    label: str
    source: str
    standing: Standing
    default: float | None = None


class DoseTable(_Table):
    """[doses.NAME]: cells or a drug that enter a state, at once or in parts on known days."""

    into: str
    amount: Equation
    label: str
    source: str
    standing: Standing
    days: list[float] = Field(default=[0.0], min_length=1, max_length=100)
    fractions: list[float] | None = None


class CovariateTable(_Table):
    """[parameters.NAME.covariates]: a published coefficient of a covariate term."""

    value: float
    source: str
    standing: Standing
    se: float | None = Field(default=None, gt=0)


class MixtureTable(_Table):
    """[mixture.NAME]: a class of patients in whom some parameters have a value of their own."""

    share: float = Field(gt=0, lt=1)
    values: dict[str, float] = Field(min_length=1, max_length=MAX_ENTRIES)
    label: str
    source: str
    standing: Standing


class CaseTable(_Table):
    """[cases.NAME]: published numbers of another patient or experiment, in place of the file's."""

    values: dict[str, float] = Field(min_length=1, max_length=MAX_ENTRIES)
    label: str
    source: str
    standing: Standing


class ParameterTable(_Table):
    """[parameters.NAME]: a number with a prior, a fixed value, or one that is absent.

    ``absent`` says why no value is known; until the user gives one nothing is simulated.
    """

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
    absent: str | None = None
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


class OutputTable(_Table):
    """[outputs.NAME]: a curve to look at that no fit sees: tumor burden, a cytokine."""

    unit: str
    is_: Equation = Field(alias="is")
    label: str


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
    observed: dict[Literal["flow", "qpcr"], ObservedTable] = {}
    outputs: dict[str, OutputTable] = Field(default={}, max_length=MAX_ENTRIES)
    inputs: dict[str, InputTable] = Field(default={}, max_length=MAX_ENTRIES)
    doses: dict[str, DoseTable] = Field(default={}, max_length=MAX_ENTRIES)
    cases: dict[str, CaseTable] = Field(default={}, max_length=20)
    mixture: dict[str, MixtureTable] = Field(default={}, max_length=10)
    constants: dict[str, ConstantTable] = Field(default={}, max_length=MAX_ENTRIES)
    states: dict[str, StateTable] = Field(default={}, max_length=MAX_ENTRIES)
    terms: dict[str, Keyed] = Field(default={}, max_length=MAX_ENTRIES)
    equations: dict[str, Equation] = Field(default={}, max_length=MAX_ENTRIES)
    solution: SolutionTable | None = None
    derived: dict[str, DerivedTable] = Field(default={}, max_length=MAX_ENTRIES)
    published: dict[str, ClaimTable] = Field(default={}, max_length=MAX_ENTRIES)
    published_priors: float | None = Field(default=None, gt=0, le=100)
    values: dict[str, float] = Field(default={}, max_length=MAX_ENTRIES)
    fixed: dict[str, float] = Field(default={}, max_length=MAX_ENTRIES)
