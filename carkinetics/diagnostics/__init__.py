"""Whether a fit can be trusted, and what to do where it cannot."""

from carkinetics.diagnostics.check import Check, check_fit
from carkinetics.diagnostics.limits import Limits

__all__ = ["Check", "Limits", "check_fit"]
