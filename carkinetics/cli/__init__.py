"""The command line, one file per command: `carkinetics demo | check | fit | joint | report | …`."""

from carkinetics.cli import batch, check, demo, fit, joint, models, report, trial_report
from carkinetics.cli.app import app

__all__ = ["app", "batch", "check", "demo", "fit", "joint", "models", "report", "trial_report"]
