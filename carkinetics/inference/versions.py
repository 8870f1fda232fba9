"""Versions of the packages on which draws depend."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("numpy", "scipy", "numba", "pytensor", "pymc", "nutpie", "arviz", "xarray", "sympy")


def package_versions() -> dict[str, str]:
    """Return the versions of Python, carkinetics and what it computes with."""
    import carkinetics

    found = {"python": platform.python_version(), "carkinetics": carkinetics.__version__}
    return found | {name: metadata.version(name) for name in PACKAGES}
