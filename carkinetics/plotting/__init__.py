"""Figures: one file per picture, each a function that returns a `Picture` and shows nothing."""

from carkinetics.plotting.association import plot_association
from carkinetics.plotting.exposure import plot_exposure
from carkinetics.plotting.levels import plot_levels
from carkinetics.plotting.profile import plot_profile
from carkinetics.plotting.progression import plot_peak_by_progression
from carkinetics.plotting.style import Picture
from carkinetics.plotting.subset_peak import plot_cd4_cd8_at_peak

__all__ = [
    "Picture",
    "plot_association",
    "plot_cd4_cd8_at_peak",
    "plot_exposure",
    "plot_levels",
    "plot_peak_by_progression",
    "plot_profile",
]
