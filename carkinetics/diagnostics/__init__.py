"""Whether a fit can be trusted, and what to do where it cannot."""

from carkinetics.diagnostics.check import Check, check_fit
from carkinetics.diagnostics.limits import DEFAULT_LIMITS, Limits

__all__ = ["DEFAULT_LIMITS", "Check", "Limits", "check_fit"]
