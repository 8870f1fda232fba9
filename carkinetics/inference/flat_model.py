"""A PyMC model as a sampler sees it: a log density of one vector of unbounded numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.initial_point import make_initial_point_expression
from pymc.pytensorf import compile as compile_graph
from pymc.pytensorf import replace_rng_nodes
from pytensor.compile.mode import Mode
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.rewriting.utils import rewrite_graph

from carkinetics.graphcode import tell_graph

# The rewriting of PyTensor for plain operations: each result in an array of its own.
PLAIN = Mode(
    linker="py",
    optimizer=RewriteDatabaseQuery(
        include=["fast_run"], exclude=["inplace", "BlasOpt", "scan", "cxx_only"]
    ),
)
_IN_PYTHON = Mode(linker="py", optimizer=None)


@dataclass(frozen=True, eq=False)
class FlatModel:
    """A model and what is to be kept of every draw.

    Attributes
    ----------
    model : pm.Model
        The model.
    kept : sequence of str
        Names of its variables to keep beside the vector itself.
    """

    model: pm.Model
    kept: Sequence[str]

    @cached_property
    def places(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Place in the vector and shape of every free variable on its unbounded scale."""
        point = first_point(self.model)
        return _in_a_row({v.name: point[v.name].shape for v in self.model.value_vars})

    @cached_property
    def size(self) -> int:
        """How many numbers the vector has."""
        return sum(math.prod(shape) for _, shape in self.places.values())

    @cached_property
    def log_density(self) -> Any:
        """The log density as PyMC writes it, of one variable for each free variable."""
        return self.model.logp()

    @cached_property
    def transformed(self) -> list[str]:
        """Names of the free variables that are sampled on another scale than their own."""
        transforms = self.model.rvs_to_transforms
        pairs = [(self.model.rvs_to_values[v].name, transforms.get(v)) for v in self.model.free_RVs]
        return [name for name, transform in pairs if transform is not None]

    @cached_property
    def extra(self) -> list[Any]:
        """The variables to keep that are not part of the vector."""
        return [
            v
            for v in self.model.unobserved_value_vars
            if v.name in self.kept and v.name not in self.places
        ]

    @cached_property
    def outputs(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Place and shape of everything that is kept: the vector, then the extra variables."""
        shapes = {name: shape for name, (_, shape) in self.places.items()}
        known = self._shapes_of_variables()
        return _in_a_row(shapes | {v.name: known[v.name] for v in self.extra})

    def told(self) -> str | None:
        """Return a hash of what density and kept values are, None where that cannot be told.

        Data are told by their names and types alone.
        """
        text = tell_graph(self.model.value_vars, [self.log_density, *self.extra])
        if text is None:
            return None
        shapes = [(name, shape) for name, (_, shape) in self.places.items()]
        parts = [text, str(shapes), str(self.model.check_bounds), str(self.transformed)]
        return sha256("\n".join(parts).encode()).hexdigest()

    def density(self) -> Any:
        """Compile the graph of log density and gradient to a PyTensor function."""
        values, point = self.model.value_vars, self._point()
        rewrites = ["canonicalize", "stabilize"]
        if not self.model.check_bounds:
            rewrites.append("local_remove_check_parameter")
        density = rewrite_graph(self.log_density, include=rewrites)
        slopes = pt.concatenate([slope.ravel() for slope in pt.grad(density, values)])
        found = clone_replace([density, slopes], self._from(point))
        with self.model:
            return compile_graph((point,), found, mode=PLAIN)

    def values(self) -> Any:
        """Compile the graph of everything that is kept to a PyTensor function."""
        point = self._point()
        found = clone_replace([v.ravel() for v in self.extra], self._from(point))
        with self.model:
            return compile_graph((point,), [pt.concatenate([point, *found])], mode=PLAIN)

    def _point(self) -> Any:
        return pt.TensorType("float64", shape=(self.size,))(name="_unconstrained_point")

    def _from(self, point: Any) -> dict[Any, Any]:
        """Return what stands for every free variable."""
        found = {}
        for variable in self.model.value_vars:
            place, shape = self.places[variable.name]
            found[variable] = point[place].reshape(shape).astype(variable.dtype)
        return found

    def _shapes_of_variables(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the variables to keep; one transformed by element keeps its own."""
        model, found = self.model, {}
        for variable in model.free_RVs:
            transform = model.rvs_to_transforms.get(variable)
            if transform is None or getattr(transform, "ndim_supp", 1) == 0:
                found[variable.name] = self.places[model.rvs_to_values[variable].name][1]
        if any(v.name not in found for v in self.extra):
            found |= {name: tuple(s) for name, s in model.eval_rv_shapes().items()}
        return found


def first_point(model: pm.Model) -> dict[str, np.ndarray]:
    """Return where every free variable starts on its unbounded scale, by the names of its values.

    As `pm.Model.initial_point` without a seed, but computed in plain Python: for the same numbers
    that has the C compiler make a part of PyTensor first.
    """
    values = make_initial_point_expression(
        free_rvs=model.free_RVs,
        rvs_to_transforms=model.rvs_to_transforms,
        initval_strategies=model.rvs_to_initial_values,
        return_transformed=True,
    )
    function = compile_graph([], replace_rng_nodes(values), mode=_IN_PYTHON)
    pairs = zip(model.value_vars, function(), strict=True)
    return {variable.name: np.asarray(value) for variable, value in pairs}


def _in_a_row(
    shapes: dict[str, tuple[int, ...]],
) -> dict[str, tuple[slice, tuple[int, ...]]]:
    places, first = {}, 0
    for name, shape in shapes.items():
        places[name] = slice(first, first + math.prod(shape)), tuple(shape)
        first += math.prod(shape)
    return places
