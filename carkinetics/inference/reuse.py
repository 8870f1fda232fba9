"""Compile once: a fit whose equations and shapes were compiled before takes those over.

Samples, days, limits, factors on priors, centering weights and covariates are data of the PyMC
model, no constants. A model is reused where its density is the same graph, constants included,
and only the data differ; that is compared, not guessed from the settings.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.basic import equal_computations

from carkinetics.inference.build import assemble
from carkinetics.inference.machine_code import compile_model
from carkinetics.inference.planning import Plan
from carkinetics.solve.collection import without_collection

# Compiled models that are kept, the last used first; each holds some megabytes.
_KEPT = 4


@dataclass(frozen=True, eq=False)
class Machine:
    """A compiled model.

    Attributes
    ----------
    pymc_model : pm.Model
        The model, with the data of its present plan.
    log_density : tensor
        Its symbolic log density.
    compiled : nutpie.CompiledModel
        The same, compiled.
    """

    pymc_model: pm.Model
    log_density: Any
    compiled: Any

    def fits(self, other: pm.Model, log_density: Any) -> bool:
        """Whether another model is this one with other data."""
        mine = self.pymc_model
        names = [variable.name for variable in mine.free_RVs]
        if names != [variable.name for variable in other.free_RVs]:
            return False
        if not _same_coords(mine, other):
            return False
        ours, theirs = (_inputs(one) for one in (mine, other))
        if [(v.name, v.type) for v in ours] != [(v.name, v.type) for v in theirs]:
            return False
        return bool(equal_computations([self.log_density], [log_density], ours, theirs))


_kept: list[Machine] = []
_lock = threading.Lock()


@contextmanager
def machine(plan: Plan) -> Iterator[Machine]:
    """Give a compiled model of a plan, compiled now or taken over; nobody else has it meanwhile.

    Parameters
    ----------
    plan : Plan
        What is to be fitted.

    Yields
    ------
    Machine
        With the plan's data.
    """
    found = _found_or_made(plan)
    try:
        yield found
    finally:
        with _lock:
            _kept.insert(0, found)
            del _kept[_KEPT:]


@without_collection()
def _found_or_made(plan: Plan) -> Machine:
    wanted = assemble(plan)
    log_density = wanted.logp()
    found = _take(wanted, log_density)
    if found is not None:
        return _with_data(found, wanted)
    names = [variable.name for variable in wanted.free_RVs]
    return Machine(wanted, log_density, compile_model(wanted, names))


def forget() -> None:
    """Drop every compiled model that is kept."""
    with _lock:
        _kept.clear()


def _take(wanted: pm.Model, log_density: Any) -> Machine | None:
    with _lock:
        for i, found in enumerate(_kept):
            if found.fits(wanted, log_density):
                return _kept.pop(i)
    return None


def _with_data(found: Machine, wanted: pm.Model) -> Machine:
    data = {v.name: v.get_value(borrow=False) for v in wanted.data_vars}
    pm.set_data(data, model=found.pymc_model)
    used = {v.name for v in found.compiled.shared_var_keys}
    mine = {name: value for name, value in data.items() if name in used}
    return Machine(found.pymc_model, found.log_density, found.compiled.with_data(**mine))


def _inputs(model: pm.Model) -> list[Any]:
    """Everything by which two densities may differ and still be one: values and data.

    Lengths of dims too, which are variables of their own in every model; they are equal where the
    coords are.
    """
    values = [model.rvs_to_values[variable] for variable in model.free_RVs]
    return [*values, *model.data_vars, *(model.dim_lengths[name] for name in model.coords)]


def _same_coords(one: pm.Model, other: pm.Model) -> bool:
    a, b = one.coords, other.coords
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
