"""What the operations that solve for log levels have in common."""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt
from pytensor.graph.op import Op


class SolverOp(Op):
    """An operation on parameters, offsets and days that carries only the hash of its solver.

    Parameters
    ----------
    source_hash : str
        Hash of the generated solver.
    tolerance : float
        Local error per step.
    max_steps : int
        Steps allowed before a solve counts as failed.
    """

    __props__: tuple[str, ...] = ("max_steps", "source_hash", "tolerance")

    def __init__(self, source_hash: str, tolerance: float, max_steps: int) -> None:
        self.source_hash = source_hash
        self.tolerance = tolerance
        self.max_steps = max_steps


def solver_inputs(params: Any, offsets: Any, days: Any) -> list[Any]:
    """Return the inputs as tensors: parameters (patient, parameter), offsets, days (row,)."""
    return [
        pt.as_tensor_variable(params, dtype="float64"),
        # A model keeps whole numbers in 32 bits: the solver would be compiled for them anew.
        pt.as_tensor_variable(offsets).astype("int64"),
        pt.as_tensor_variable(days, dtype="float64"),
    ]
