"""Quantities straight from samples, without a model (noncompartmental analysis)."""

from carkinetics.noncompartmental.analysis import (
    auc,
    measure,
    nca,
    observed_quantities,
    subset_at_peak,
)
from carkinetics.noncompartmental.families import VISIT_WINDOWS, find_observed, window_around
from carkinetics.noncompartmental.lines import segment_areas
from carkinetics.noncompartmental.peaks import OBSERVED
from carkinetics.noncompartmental.profile import Measured, Profile
from carkinetics.noncompartmental.profiles import Profiles, from_table, stack
from carkinetics.noncompartmental.result import ObservedExposure
from carkinetics.noncompartmental.rules import DEFAULT_RULES, PRESETS, Rules, rules_from
from carkinetics.noncompartmental.select import cohort_profiles, profiles
from carkinetics.noncompartmental.slopes import terminal_slope
from carkinetics.noncompartmental.visits import visit_quantiles

__all__ = [
    "DEFAULT_RULES",
    "OBSERVED",
    "PRESETS",
    "VISIT_WINDOWS",
    "Measured",
    "ObservedExposure",
    "Profile",
    "Profiles",
    "Rules",
    "auc",
    "cohort_profiles",
    "find_observed",
    "from_table",
    "measure",
    "nca",
    "observed_quantities",
    "profiles",
    "rules_from",
    "segment_areas",
    "stack",
    "subset_at_peak",
    "terminal_slope",
    "visit_quantiles",
    "window_around",
]
