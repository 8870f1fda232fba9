"""Many runs of a model: parameters in, logarithms of quantities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.inference.curves import curve_days, with_kinks
from carkinetics.model import Model
from carkinetics.quantities import Curve, days_in, find_quantity
from carkinetics.solve.compiled import DEFAULT_TOLERANCE
from carkinetics.solve.curves import latent_levels

_CHUNK = 20_000  # runs solved at once
_REACH = 28.0


@dataclass(frozen=True)
class ModelRuns:
    """A model as a function of its parameters.

    Parameters
    ----------
    model : Model
        The model.
    quantities : tuple of str
        What to compute, see `summarize`; those that are positive are told as logarithms.
    limit : float
        Of persistence and time above [unit of the level]; NaN where none of them is asked for.
    horizon : float
        Last day [day].
    tolerance : float
        Local error of the solver.
    """

    model: Model
    quantities: tuple[str, ...]
    limit: float = np.nan
    horizon: float = _REACH
    tolerance: float = DEFAULT_TOLERANCE

    @property
    def parameters(self) -> tuple[str, ...]:
        """The inputs, in order."""
        return self.model.system().parameters

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Run the model.

        Parameters
        ----------
        values : array, shape (run, parameter)
            On the natural scale.

        Returns
        -------
        array, shape (run, quantity)
            Of all cells together; ln of what has a logarithm (levels, areas, half-lives), the
            number itself for days and shares. NaN where a run failed.
        """
        parts = [
            self._some(values[start : start + _CHUNK]) for start in range(0, len(values), _CHUNK)
        ]
        return np.concatenate(parts)

    def _some(self, values: np.ndarray) -> np.ndarray:
        system = self.model.system()
        days = with_kinks(system, values, curve_days(self.horizon))
        found = latent_levels(system, values, days, tolerance=self.tolerance)
        if days.ndim > 1:
            days = np.broadcast_to(days[:, None], found.log_level.shape)
        curve = Curve(days, found.log_level, found.slope, np.asarray(self.limit))
        columns = []
        for name in self.quantities:
            quantity = find_quantity(name)
            # The total stands last where there are cell types.
            value = np.asarray(quantity.compute(curve), dtype=float)[:, -1]
            if quantity.kind not in ("time", "share", "probability"):
                with np.errstate(divide="ignore", invalid="ignore"):
                    value = np.log(value)
            columns.append(np.where(np.isfinite(value), value, np.nan))
        return np.column_stack(columns)


def model_runs(
    model: Model,
    quantities: Sequence[str],
    *,
    limit: float | None = None,
    horizon: float | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> ModelRuns:
    """Check what is asked for, and make the function of a model's parameters.

    Parameters
    ----------
    model, quantities
        See `ModelRuns`.
    limit : float, optional
        Of persistence and time above [unit of the level].
    horizon : float, optional
        Last day; the last day of the quantities, at least 28, by default [day].
    tolerance : float
        Local error of the solver.

    Returns
    -------
    ModelRuns

    Raises
    ------
    DataError
        For an unknown quantity, or one that needs a limit where there is none.
    """
    if not quantities:
        raise DataError(Fault("quantities", "are none", 'Name some, such as "auc_0_28".'))
    found = [find_quantity(name) for name in quantities]
    lacking = [
        q.name for q in found
        if limit is None and q.name.startswith(("persistence", "time_above", "detectable"))
    ]  # fmt: skip
    if lacking:
        what = f"{', '.join(lacking)} need(s) a limit"
        raise DataError(Fault("quantities", what, "Give limit, in the unit of the level."))
    last = max([_REACH, *(float(day) for name in quantities for day in days_in(name))])
    return ModelRuns(
        model,
        tuple(quantities),
        np.nan if limit is None else float(limit),
        last if horizon is None else float(horizon),
        tolerance,
    )
