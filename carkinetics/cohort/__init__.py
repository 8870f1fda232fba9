"""Cohorts: two tables of a trial, checked and frozen."""

from carkinetics.cohort.adam import patients_from_cdisc
from carkinetics.cohort.builtin import synthetic_cohort
from carkinetics.cohort.cohort import Cohort
from carkinetics.cohort.notices import Notice
from carkinetics.cohort.reader import read_cohort

__all__ = ["Cohort", "Notice", "patients_from_cdisc", "read_cohort", "synthetic_cohort"]
