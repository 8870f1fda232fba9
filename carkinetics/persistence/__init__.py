"""How long cells last in a cohort, from samples that only bound the day of loss."""

from carkinetics.persistence.cohort_curve import CohortPersistence, cohort_persistence
from carkinetics.persistence.intervals import b_cell_aplasia, loss_intervals
from carkinetics.persistence.npmle import Npmle, turnbull
from carkinetics.persistence.weibull import WeibullIntervals, weibull_intervals

__all__ = [
    "CohortPersistence",
    "Npmle",
    "WeibullIntervals",
    "b_cell_aplasia",
    "cohort_persistence",
    "loss_intervals",
    "turnbull",
    "weibull_intervals",
]
