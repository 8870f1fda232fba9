"""The prior predictive gate: patients drawn from the priors alone must look like CAR T cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carkinetics.errors import Fault, FitError
from carkinetics.inference.curves import curves_of
from carkinetics.inference.planning import Plan
from carkinetics.quantities.measures import level_at, peak
from carkinetics.simulation import draw_prior

DRAWS = 1000
# What CAR T cells have shown in patients so far, wide on purpose.
CMAX_RANGE = {"copies/ug": (1e1, 1e7), "cells/uL": (0.05, 2e4)}
TMAX_RANGE = (4.0, 35.0)
BELOW_DAY, BELOW_RANGE = 90.0, (0.05, 0.95)
NEEDED = 0.95


@dataclass(frozen=True)
class Gate:
    """Shares of patients drawn from the priors alone.

    Attributes
    ----------
    cmax, tmax : float
        Share with a Cmax, a Tmax within the range of CAR T cells seen so far.
    below : float
        Share below the median LLOQ on day 90; NaN where there is no limit.
    failed : float
        Share whose equations could not be solved.
    faults : tuple of Fault
        What is wrong; empty where the priors pass.
    """

    cmax: float
    tmax: float
    below: float
    failed: float
    faults: tuple[Fault, ...]

    @property
    def passed(self) -> bool:
        """Whether the priors pass."""
        return not self.faults

    def __str__(self) -> str:
        below = "" if np.isnan(self.below) else f", below the limit on day 90 {self.below:.0%}"
        return (
            f"priors alone: Cmax plausible {self.cmax:.0%}, Tmax plausible {self.tmax:.0%}{below}"
        )


def prior_gate(plan: Plan, seed: int) -> Gate:
    """Simulate patients from the priors and compare them with what is known of CAR T cells.

    Parameters
    ----------
    plan : Plan
        Shape of the fit.
    seed : int
        Source of randomness.

    Returns
    -------
    Gate
    """
    unit = plan.layout.latent_unit
    rng = np.random.default_rng([seed, 7])
    student_t = plan.patient_effects == "student_t"
    drawn = plan.inputs.of_drawn(draw_prior(plan.model, unit, DRAWS, rng, student_t))
    limit = median_limit(plan)
    curve = curves_of(plan, drawn, BELOW_DAY, limit)
    level, day = (values[..., -1] for values in peak(curve))
    solved = np.isfinite(level)
    if not solved.any():
        return Gate(0.0, 0.0, np.nan, 1.0, tuple(_faults(plan, 0.0, 0.0, np.nan, 1.0, limit)))
    low, high = CMAX_RANGE[unit]
    cmax = float(((level >= low) & (level <= high))[solved].mean())
    tmax = float(((day >= TMAX_RANGE[0]) & (day <= TMAX_RANGE[1]))[solved].mean())
    late = level_at(curve, BELOW_DAY)[..., -1][solved]
    below = float((late < limit).mean()) if np.isfinite(limit) else np.nan
    failed = float(1 - solved.mean())
    return Gate(cmax, tmax, below, failed, tuple(_faults(plan, cmax, tmax, below, failed, limit)))


def require(gate: Gate) -> None:
    """Stop the fit where the priors do not pass."""
    if not gate.passed:
        raise FitError(gate.faults)


def median_limit(plan: Plan, assay: str | None = None) -> float:
    """Give the median LLOQ of an assay, by default that of the latent level; NaN if none."""
    if assay is None:
        assay = "flow" if plan.layout.latent_unit == "cells/uL" else "qpcr"
    samples = plan.layout.flow if assay == "flow" else plan.layout.qpcr
    limits = samples.table["lloq"].to_numpy(float)
    limits = limits[np.isfinite(limits)]
    return float(np.median(limits)) if limits.size else np.nan


def _faults(
    plan: Plan, cmax: float, tmax: float, below: float, failed: float, limit: float
) -> list[Fault]:
    unit, name = plan.layout.latent_unit, plan.model.name
    remedy = (
        "Check the units of the levels and the priors of the model; pass prior_check=False if "
        "these priors are meant."
    )
    low, high = CMAX_RANGE[unit]
    found = []
    if cmax < NEEDED:
        what = f"only {cmax:.0%} of patients drawn from them have a Cmax of {low:g}-{high:g} {unit}"
        found.append(Fault(f"priors of {name}", what, remedy, section="cmax"))
    if tmax < NEEDED:
        first, last = TMAX_RANGE
        what = (
            f"only {tmax:.0%} of patients drawn from them peak between day {first:g} and {last:g}"
        )
        found.append(Fault(f"priors of {name}", what, remedy, section="tmax"))
    if not np.isnan(below) and not BELOW_RANGE[0] <= below <= BELOW_RANGE[1]:
        what = f"{below:.0%} of patients drawn from them are below {limit:g} {unit} on day 90"
        found.append(Fault(f"priors of {name}", what, remedy, section="below"))
    if failed > 0.01:
        what = f"the equations cannot be solved for {failed:.1%} of patients drawn from them"
        found.append(Fault(f"priors of {name}", what, remedy, section="solver"))
    return found
