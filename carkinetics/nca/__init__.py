"""Quantities straight from samples, without a model (noncompartmental analysis)."""

from carkinetics.nca.area import auc, mean_level, segment_areas, terminal_slope
from carkinetics.nca.peak import clast, cmax, tlast, tmax
from carkinetics.nca.profile import Measured, Profile, Rules
from carkinetics.nca.table import OBSERVED, observed_quantities, profiles, subset_at_peak
from carkinetics.nca.visits import visit_quantiles

__all__ = [
    "OBSERVED",
    "Measured",
    "Profile",
    "Rules",
    "auc",
    "clast",
    "cmax",
    "mean_level",
    "observed_quantities",
    "profiles",
    "segment_areas",
    "subset_at_peak",
    "terminal_slope",
    "tlast",
    "tmax",
    "visit_quantiles",
]
