"""Kinetics and outcome in one posterior: the headline estimator."""

from carkinetics.outcomes.joint.fit_joint import fit_joint, load_joint
from carkinetics.outcomes.joint.result import JointFit

__all__ = ["JointFit", "fit_joint", "load_joint"]
