"""Model how CAR T cells expand, contract and persist in patients."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that holds it; loaded on first use, so that importing stays cheap.
_HOME = {
    "Association": "carkinetics.outcomes",
    "BatchPlan": "carkinetics.batch.plan",
    "Cohort": "carkinetics.cohort",
    "CohortPersistence": "carkinetics.persistence",
    "Covariate": "carkinetics.inference",
    "Exposure": "carkinetics.exposure",
    "Fit": "carkinetics.inference",
    "JointFit": "carkinetics.outcomes.joint",
    "Model": "carkinetics.model",
    "ObservedExposure": "carkinetics.noncompartmental",
    "Power": "carkinetics.outcomes",
    "Runs": "carkinetics.batch.runs",
    "Variants": "carkinetics.batch.variants",
    "associate": "carkinetics.outcomes",
    "batch_report": "carkinetics.report",
    "build_model": "carkinetics.inference",
    "censor_at_transplant": "carkinetics.outcomes",
    "cohort_persistence": "carkinetics.persistence",
    "check_printed": "carkinetics.trial",
    "find_contradictions": "carkinetics.trial",
    "fit": "carkinetics.inference",
    "global_sensitivity": "carkinetics.sensitivity.global_sensitivity",
    "fit_joint": "carkinetics.outcomes.joint",
    "leave_patients_out": "carkinetics.sensitivity.patients_out",
    "list_models": "carkinetics.library",
    "load_fit": "carkinetics.inference",
    "load_joint": "carkinetics.outcomes.joint",
    "load_model": "carkinetics.library",
    "load_runs": "carkinetics.batch.runs",
    "model_curves": "carkinetics.solve.model_curves",
    "nca": "carkinetics.noncompartmental",
    "observed_quantities": "carkinetics.noncompartmental",
    "patients_from_cdisc": "carkinetics.cohort",
    "plot_antigen": "carkinetics.plotting",
    "plot_association": "carkinetics.plotting",
    "plot_cd4_cd8_at_peak": "carkinetics.plotting",
    "plot_cd8_share": "carkinetics.plotting",
    "plot_exposure": "carkinetics.plotting",
    "plot_feedback": "carkinetics.plotting",
    "plot_incidence": "carkinetics.plotting",
    "plot_joint_slopes": "carkinetics.plotting",
    "plot_leave_one_out": "carkinetics.plotting",
    "plot_levels": "carkinetics.plotting",
    "plot_model": "carkinetics.plotting",
    "plot_patient_flow": "carkinetics.plotting",
    "plot_peak_by_progression": "carkinetics.plotting",
    "plot_persistence": "carkinetics.plotting",
    "plot_prior_likelihood": "carkinetics.plotting",
    "plot_profile": "carkinetics.plotting",
    "plot_response": "carkinetics.plotting",
    "plot_screen": "carkinetics.plotting",
    "plot_specification_curve": "carkinetics.plotting",
    "plot_survival": "carkinetics.plotting",
    "plot_swimmer": "carkinetics.plotting",
    "plot_tornado": "carkinetics.plotting",
    "plot_toxicity": "carkinetics.plotting",
    "power": "carkinetics.outcomes",
    "prior_sensitivity": "carkinetics.sensitivity.power_scaling",
    "read_cohort": "carkinetics.cohort",
    "read_plan": "carkinetics.batch.plan_file",
    "run_variants": "carkinetics.batch.runner",
    "relapse_of": "carkinetics.solve.model_curves",
    "share_over_time": "carkinetics.exposure",
    "screen_attributes": "carkinetics.trial",
    "simulate": "carkinetics.simulation",
    "summarize": "carkinetics.exposure",
    "synthetic_cohort": "carkinetics.cohort",
    "trial_report": "carkinetics.report",
    "variants": "carkinetics.batch.variants",
    "write_report": "carkinetics.report",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'carkinetics' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
