"""The tables of a trial: flow, baseline, toxicity, response, survival, persistence, relapse."""

from carkinetics.trial.baseline import baseline_columns, baseline_table, manufacturing_table
from carkinetics.trial.contradictions import Contradiction, find_contradictions
from carkinetics.trial.detection import detection_table
from carkinetics.trial.duration import Duration, duration_of_response
from carkinetics.trial.flow import PatientFlow, patient_flow
from carkinetics.trial.kinetics import kinetics_table, peak_days, subset_peak
from carkinetics.trial.listing import patient_listing
from carkinetics.trial.printed import Parts, Printed, Spread, check_printed
from carkinetics.trial.relapse import Relapse, relapse_samples
from carkinetics.trial.response import compare_arms, fate_table, response_table
from carkinetics.trial.roles import ROLES, arms, find_role, role_of
from carkinetics.trial.screen import screen_attributes
from carkinetics.trial.shares import share_table
from carkinetics.trial.survival import (
    Clock,
    causes_of_death,
    clocks,
    death_table,
    trial_follow_up,
)
from carkinetics.trial.toxicity import (
    DoseLimiting,
    dose_limiting,
    onset_incidence,
    onset_table,
    toxicity_table,
)

__all__ = [
    "ROLES",
    "Clock",
    "Contradiction",
    "DoseLimiting",
    "Duration",
    "Parts",
    "PatientFlow",
    "Printed",
    "Relapse",
    "Spread",
    "arms",
    "baseline_columns",
    "baseline_table",
    "causes_of_death",
    "check_printed",
    "clocks",
    "compare_arms",
    "death_table",
    "detection_table",
    "dose_limiting",
    "duration_of_response",
    "fate_table",
    "find_contradictions",
    "find_role",
    "kinetics_table",
    "manufacturing_table",
    "onset_incidence",
    "onset_table",
    "patient_flow",
    "patient_listing",
    "peak_days",
    "relapse_samples",
    "response_table",
    "role_of",
    "screen_attributes",
    "share_table",
    "subset_peak",
    "toxicity_table",
    "trial_follow_up",
]
