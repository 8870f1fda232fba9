"""What a batch can change: every factor with its levels, in one list."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from carkinetics.batch.changes import FIT_BLQ, SAMPLE_BLQ, parse_subset
from carkinetics.batch.exposures import parse_exposure
from carkinetics.batch.outcomes import CENSORED, OVER_TIME, RECORDED, TRANSPLANT_DAY, outcome_fault
from carkinetics.cohort import Cohort
from carkinetics.errors import CarkineticsError
from carkinetics.model import Model

DATA, FIT, ANALYSIS = "data", "fit", "analysis"
SAMPLES = "samples"
FREE = "free"  # an assay link whose slope is estimated
ESTIMATORS = ("posterior mean", "observed", "cut", "joint")
PRIOR_GROUPS = ("location", "omega", "correlation", "residual", "link")
_LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class Context:
    """What levels are checked against: the model, the cohort and how exposures are found."""

    model: Model | None
    cohort: Cohort
    method: str


@dataclass(frozen=True)
class Factor:
    """One assumption that a batch can change.

    Attributes
    ----------
    name : str
        As it is written in a plan.
    part : str
        What it changes: ``"data"``, ``"fit"`` or ``"analysis"``.
    default : object
        Level where nothing is said.
    label : str
        For figures.
    takes : str
        What a level may be, for messages.
    fault : callable
        Of a level and a `Context`: what is wrong, or nothing.
    """

    name: str
    part: str
    default: Any
    label: str
    takes: str
    fault: Callable[[Any, Context], str]


def _one_of(*allowed: Any) -> Callable[[Any, Context], str]:
    def fault(level: Any, context: Context) -> str:
        if any(type(level) is type(known) and level == known for known in allowed):
            return ""
        return f"is {level!r}; choose from {', '.join(map(str, allowed))}"

    return fault


def _positive(level: Any, context: Context) -> str:
    if isinstance(level, bool) or not isinstance(level, int | float):
        return f"is {level!r}; give a number above 0"
    good = 0 < level <= _LARGEST_SCALE
    return "" if good else f"is {level:g}; give a number above 0, at most {_LARGEST_SCALE:g}"


def _blq(level: Any, context: Context) -> str:
    if context.method == SAMPLES:
        return _one_of(*SAMPLE_BLQ)(level, context)
    if level in SAMPLE_BLQ and level not in FIT_BLQ:
        return (
            f"is {level!r}, which sets levels to 0: a fit works on logarithms; choose from "
            f"{', '.join(FIT_BLQ)}"
        )
    return _one_of(*FIT_BLQ)(level, context)


def _count_or_all(level: Any, context: Context) -> str:
    if level == "all" or (isinstance(level, int) and not isinstance(level, bool) and level >= 1):
        return ""
    return f"is {level!r}; give a whole number from 1 on, or 'all'"


def _cell_types(level: Any, context: Context) -> str:
    if level == "total" and not (context.cohort.levels["cell_type"] == "total").any():
        return "is 'total', of which the cohort has no sample"
    return _one_of("all", "total")(level, context)


def _left_out(level: Any, context: Context) -> str:
    if level in ("none", "each"):
        return ""
    names = (level,) if isinstance(level, str) else level
    if not isinstance(names, list | tuple) or not names:
        return f"is {level!r}; give a patient, a list of patients, 'each' or 'none'"
    known = context.cohort.patient_ids
    unknown = [_unknown(str(name), known) for name in names if name not in known]
    if len(set(names)) >= len(known):
        return "leaves no patient"
    return f"names no patient of the cohort: {', '.join(unknown)}" if unknown else ""


def _visits(level: Any, context: Context) -> str:
    if level == "all":
        return ""
    days = level if isinstance(level, list | tuple) else ()
    if not days or not all(_is_number(day) and day >= 0 for day in days):
        return f"is {level!r}; give a list of days from 0 on, or 'all'"
    return ""


def _model(level: Any, context: Context) -> str:
    from carkinetics.library import load_model

    if level == "given":
        return ""
    if not isinstance(level, str):
        return f"is {level!r}; give the name of a model, or the path of a .toml file"
    try:
        load_model(level)
    except CarkineticsError as error:
        return f"is {level!r}: {error}"
    return ""


def _link_slope(level: Any, context: Context) -> str:
    if level == FREE:
        return ""
    if fault := _positive(level, context):
        return fault
    assays = set(context.cohort.assays)
    return "" if {"flow", "qpcr"} <= assays else "needs samples of both flow and qPCR"


def _covariates(level: Any, context: Context) -> str:
    if level in ("none", "published"):
        return ""
    if not isinstance(level, Mapping) or not level:
        return (
            f"is {level!r}; give parameters with their terms, such as "
            '{ level_at_gate = ["cohort"] }, "published" or "none"'
        )
    known = () if context.model is None else tuple(context.model.parameters)
    unknown = [_unknown(str(name), known) for name in level if name not in known]
    if unknown:
        return f"names no parameter of the model: {', '.join(unknown)}"
    wrong = [name for name, terms in level.items() if not _is_texts(terms)]
    return f"has no list of terms for {', '.join(wrong)}" if wrong else ""


def _exposure(level: Any, context: Context) -> str:
    try:
        found = parse_exposure(level)
    except CarkineticsError as error:
        return str(error)
    return found.fault(context.cohort, context.method == SAMPLES)


def _estimator(level: Any, context: Context) -> str:
    if context.method == SAMPLES and level != "observed":
        return f"is {level!r}, which needs a fit; from samples there is only 'observed'"
    if level == "joint" and context.method != "nuts":
        return "is 'joint', which needs method 'nuts'"
    return _one_of(*ESTIMATORS)(level, context)


def _outcome(level: Any, context: Context) -> str:
    return outcome_fault(context.cohort, level)


def _landmark(level: Any, context: Context) -> str:
    return "" if _is_number(level) and level >= 0 else f"is {level!r}; give a day from 0 on"


def _transplant(level: Any, context: Context) -> str:
    if level in (CENSORED, OVER_TIME) and TRANSPLANT_DAY not in context.cohort.patients.columns:
        return f"is {level!r}, which needs the column {TRANSPLANT_DAY} in the table of patients"
    return _one_of(RECORDED, CENSORED, OVER_TIME)(level, context)


def _subset(level: Any, context: Context) -> str:
    try:
        kept = parse_subset(level, context.cohort)
    except CarkineticsError as error:
        return str(error)
    return "" if len(kept) >= 3 else f"is {level!r}, which keeps {len(kept)} patient(s)"


def _adjust(level: Any, context: Context) -> str:
    if level == "none":
        return ""
    names = (level,) if isinstance(level, str) else level
    if not _is_texts(names):
        return f"is {level!r}; give a column of the table of patients, a list of them, or 'none'"
    known = tuple(map(str, context.cohort.patients.columns))
    unknown = [_unknown(name, known) for name in names if name not in known]
    return f"is no column of the table of patients: {', '.join(unknown)}" if unknown else ""


def _text(level: Any, context: Context) -> str:
    return "" if isinstance(level, str) and level else f"is {level!r}; give a name"


def _is_number(level: Any) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool) and math.isfinite(level)


def _is_texts(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(name, str) for name in value)
    )


def _unknown(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name!r}" + (f" (did you mean {close[0]!r}?)" if close else "")


def _scale(group: str) -> Factor:
    what = "all priors" if not group else f"prior of the {group} group"
    name = f"prior_scale_{group}" if group else "prior_scale"
    return Factor(name, FIT, 1, f"scale of the {what}", "a factor above 0", _positive)


_ALL = (
    Factor("blq", DATA, "m3", "samples below the limit", "a rule", _blq),
    Factor("lloq_scale", DATA, 1, "limit of quantification, times", "a factor", _positive),
    Factor("blq_cap", DATA, "all", "samples below the limit in a row kept", "a count",
           _count_or_all),
    Factor("assay", DATA, "all", "assay", "an assay", _one_of("all", "flow", "qpcr")),
    Factor("wbc", DATA, "measured", "leukocytes", "a rule", _one_of("measured", "ignored")),
    Factor("cell_types", DATA, "all", "cells", "which", _cell_types),
    Factor("visits", DATA, "all", "visits", "days", _visits),
    Factor("leave_out", DATA, "none", "patient left out", "a patient", _left_out),
    Factor("model", FIT, "given", "model", "a model", _model),
    _scale(""),
    *(_scale(group) for group in PRIOR_GROUPS),
    # The draws of a joint fit are weighed: no fit of its own.
    Factor("prior_scale_slope", ANALYSIS, 1, "scale of the prior of the slope", "a factor above 0",
           _positive),
    Factor("patient_effects", FIT, "normal", "patient effects", "a family",
           _one_of("normal", "student_t")),
    Factor("residual", FIT, "normal", "residual error", "a family", _one_of("normal", "student_t")),
    Factor("correlated", FIT, True, "correlated patient effects", "true or false",
           _one_of(True, False)),
    Factor("link_slope", FIT, FREE, "slope of the assay link", "a number above 0, or 'free'",
           _link_slope),
    Factor("covariates", FIT, "none", "covariates of the kinetics", "terms", _covariates),
    Factor("exposure", ANALYSIS, "cmax", "exposure", "a quantity", _exposure),
    Factor("estimator", ANALYSIS, "", "estimator", "an estimator", _estimator),
    Factor("outcome", ANALYSIS, "ttp", "endpoint", "an outcome", _outcome),
    Factor("landmark", ANALYSIS, 0, "landmark [day]", "a day", _landmark),
    Factor("transplant", ANALYSIS, RECORDED, "transplant", "a rule", _transplant),
    Factor("subset", ANALYSIS, "all", "patients", "a condition", _subset),
    Factor("adjust", ANALYSIS, "none", "adjusted for", "a column", _adjust),
    Factor("test", ANALYSIS, "", "test", "a method", _text),
)  # fmt: skip
FACTORS: dict[str, Factor] = {factor.name: factor for factor in _ALL}


def default_of(name: str, method: str) -> Any:
    """Give the level of a factor where nothing is said."""
    if name == "estimator":
        return "observed" if method == SAMPLES else "posterior mean"
    if name == "blq" and method == SAMPLES:
        return "default"
    return FACTORS[name].default


def factor_fault(name: str, level: Any, context: Context) -> str:
    """Say what is wrong with a level, or nothing."""
    factor = FACTORS[name]
    if context.method == SAMPLES and factor.part == FIT and level != factor.default:
        return f"is {level!r}, which needs a fit; choose method 'nuts' or 'laplace'"
    if level == default_of(name, context.method) and name in ("estimator", "test"):
        return ""
    return factor.fault(level, context)
