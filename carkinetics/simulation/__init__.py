"""Virtual cohorts: patients drawn from a model, sampled by assays with error and limits."""

from carkinetics.simulation.cohort import LLOQ, VISITS, simulate
from carkinetics.simulation.patients import draw_prior, true_parameters

__all__ = ["LLOQ", "VISITS", "draw_prior", "simulate", "true_parameters"]
