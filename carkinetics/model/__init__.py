"""Kinetic models: a TOML file, checked, and written out as a SymPy system."""

from carkinetics.model.kinetic import Model
from carkinetics.model.parts import Claim, Observed, Parameter
from carkinetics.model.system import System

__all__ = ["Claim", "Model", "Observed", "Parameter", "System"]
