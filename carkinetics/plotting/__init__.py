"""Figures: one file per picture, each a function that returns a `Picture` and shows nothing."""

from carkinetics.plotting.antigen import plot_antigen
from carkinetics.plotting.association import plot_association
from carkinetics.plotting.cd8_share import plot_cd8_share
from carkinetics.plotting.exposure import plot_exposure
from carkinetics.plotting.feedback import plot_feedback
from carkinetics.plotting.incidence import plot_incidence
from carkinetics.plotting.joint_slopes import plot_joint_slopes
from carkinetics.plotting.leave_one_out import plot_leave_one_out
from carkinetics.plotting.levels import plot_levels
from carkinetics.plotting.model import plot_model
from carkinetics.plotting.patient_flow import plot_patient_flow
from carkinetics.plotting.persistence import plot_persistence
from carkinetics.plotting.prior_likelihood import plot_prior_likelihood
from carkinetics.plotting.profile import plot_profile
from carkinetics.plotting.progression import plot_peak_by_progression
from carkinetics.plotting.screen import plot_screen
from carkinetics.plotting.shares import plot_response, plot_toxicity
from carkinetics.plotting.specification_curve import plot_specification_curve
from carkinetics.plotting.style import Picture
from carkinetics.plotting.subset_peak import plot_cd4_cd8_at_peak
from carkinetics.plotting.survival import plot_survival
from carkinetics.plotting.swimmer import plot_swimmer
from carkinetics.plotting.tornado import plot_tornado

__all__ = [
    "Picture",
    "plot_antigen",
    "plot_association",
    "plot_cd4_cd8_at_peak",
    "plot_cd8_share",
    "plot_exposure",
    "plot_feedback",
    "plot_incidence",
    "plot_joint_slopes",
    "plot_leave_one_out",
    "plot_levels",
    "plot_model",
    "plot_patient_flow",
    "plot_peak_by_progression",
    "plot_persistence",
    "plot_prior_likelihood",
    "plot_profile",
    "plot_response",
    "plot_screen",
    "plot_specification_curve",
    "plot_survival",
    "plot_swimmer",
    "plot_tornado",
    "plot_toxicity",
]
