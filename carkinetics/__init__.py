"""Model how CAR T cells expand, contract and persist in patients."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that holds it; loaded on first use, so that importing stays cheap.
_HOME = {
    "Association": "carkinetics.outcomes",
    "Cohort": "carkinetics.cohort",
    "Exposure": "carkinetics.exposure",
    "Fit": "carkinetics.inference",
    "Model": "carkinetics.model",
    "associate": "carkinetics.outcomes",
    "build_model": "carkinetics.inference",
    "fit": "carkinetics.inference",
    "list_models": "carkinetics.library",
    "load_fit": "carkinetics.inference",
    "load_model": "carkinetics.library",
    "observed_quantities": "carkinetics.nca",
    "plot_association": "carkinetics.plotting",
    "plot_cd4_cd8_at_peak": "carkinetics.plotting",
    "plot_exposure": "carkinetics.plotting",
    "plot_levels": "carkinetics.plotting",
    "plot_peak_by_progression": "carkinetics.plotting",
    "plot_profile": "carkinetics.plotting",
    "read_cohort": "carkinetics.cohort",
    "simulate": "carkinetics.simulation",
    "summarize": "carkinetics.exposure",
    "synthetic_cohort": "carkinetics.cohort",
    "write_report": "carkinetics.report",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'carkinetics' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
