"""Everything that can be wrong with a batch, found before the first fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from carkinetics.batch.changes import changed_cohort
from carkinetics.batch.factors import FACTORS, FIT, SAMPLES, Context, default_of, factor_fault
from carkinetics.batch.predictive import ELPD
from carkinetics.batch.variants import Variants
from carkinetics.batch.words import frozen
from carkinetics.errors import BatchError, CarkineticsError, Fault
from carkinetics.model import Model

METHODS = ("nuts", "laplace", SAMPLES)
# Arguments of `fit` that a batch decides itself, or that are factors.
_NOT_SETTINGS = {
    "model", "cohort", "cores", "progress", "assays", "method", "prior_check", "prior_scale",
    "covariates", "patient_effects", "residual", "correlated", "link_slope",
}  # fmt: skip


def setting_faults(
    model: Model | None, method: str, n_workers: int | None, settings: Mapping[str, Any]
) -> list[Fault]:
    """Say what is wrong with the arguments of a run."""
    faults = []
    if method not in METHODS:
        what = f"method is {method!r}"
        faults.append(Fault("run_variants", what, f"Choose from {', '.join(METHODS)}."))
    if model is None and method != SAMPLES:
        what = f"method {method!r} needs a model"
        faults.append(Fault("run_variants", what, "Give one, or choose method 'samples'."))
    if n_workers is not None and (
        isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1
    ):
        what = f"n_workers is {n_workers!r}"
        faults.append(Fault("run_variants", what, "Give a whole number from 1 on."))
    allowed = {"seed"} if method == SAMPLES else _settings()
    for name in settings:
        if name not in allowed:
            remedy = f"Choose from {', '.join(sorted(allowed))}."
            if name in FACTORS:
                remedy = f'It is a factor: give it as base={{"{name}": ...}} of the variants.'
            faults.append(Fault("run_variants", f"no setting is called {name!r}", remedy))
    return faults


def _settings() -> set[str]:
    from carkinetics.inference import fit

    return set(inspect.signature(fit).parameters) - _NOT_SETTINGS


def level_faults(declared: Variants, context: Context) -> list[Fault]:
    """Check every level once, wherever it is given."""
    given = [(name, level) for name, levels in declared.factors.items() for level in levels]
    given += list(declared.base.items())
    given += [pair for changes in declared.listed for pair in changes.items()]
    faults, seen = [], set()
    for name, level in given:
        known = frozen([name, level])
        if known in seen:
            continue
        seen.add(known)
        # A level that is the same as the default of the method needs no check.
        if level == default_of(name, context.method) and FACTORS[name].part == FIT:
            continue
        if what := factor_fault(name, level, context):
            faults.append(Fault(f"variants, {name}", what, section=name))
    for outcome in declared.outcomes:
        if what := factor_fault("outcome", outcome, context):
            faults.append(Fault("variants, outcomes", what, section="outcomes"))
    for quantity in declared.quantities:
        if quantity == ELPD:
            if context.method == SAMPLES:
                what = "'elpd' needs a fit; choose method 'nuts' or 'laplace'"
                faults.append(Fault("variants, quantities", what, section="quantities"))
            continue
        if what := factor_fault("exposure", quantity, context):
            faults.append(Fault("variants, quantities", what, section="quantities"))
    faults += _base_faults(declared, context)
    return faults


def _base_faults(declared: Variants, context: Context) -> list[Fault]:
    """Check that the base case keeps samples to work with."""
    base = declared.base_choices(context.method)
    try:
        if base["leave_out"] == "each":
            raise BatchError(Fault("variants, leave_out", "of the base case is 'each'",
                                   "Give it as a factor."))  # fmt: skip
        cohort = changed_cohort(context.cohort, base, for_fit=context.method != SAMPLES)
    except CarkineticsError as error:
        return list(error.faults)
    except (KeyError, TypeError, ValueError):
        return []  # the level itself is at fault, and is told
    if cohort.levels.empty:
        return [Fault("variants, base", "keeps no sample", "Choose other data for the base case.")]
    return []
