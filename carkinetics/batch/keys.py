"""What decides whether work is already done: hashes of all that a number depends on."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from carkinetics.batch.factors import ANALYSIS, FACTORS, default_of
from carkinetics.batch.words import frozen, in_words

# Besides those on which draws depend: tables and classical estimates depend on these.
_MORE = ("pandas", "statsmodels")
_LETTERS = 32


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of everything that numbers of a batch depend on."""
    from carkinetics.inference.versions import package_versions

    return package_versions() | {name: metadata.version(name) for name in _MORE}


@functools.cache
def code_version() -> str:
    """Return the version of carkinetics and the start of a hash of its source."""
    import carkinetics

    root = Path(carkinetics.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{carkinetics.__version__}+{digest.hexdigest()[:8]}"


def fit_key(
    model: tuple[str, str, tuple[str, ...]] | None,
    data_hash: str,
    choices: Mapping[str, Any],
    method: str,
    settings: Mapping[str, Any],
) -> str:
    """Give the key of a fit.

    Parameters
    ----------
    model : tuple of str, str and tuple of str, or None
        Name, hash of the text and cell types.
    data_hash : str
        Of the cohort before any change.
    choices : mapping of str to level
        Of all factors; those of the analysis, and levels that change nothing, do not count.
    method : str
        How the fit is made.
    settings : mapping
        Seed and settings of the fit.

    Returns
    -------
    str
        Hexadecimal; the same in every process and on every machine.
    """
    changed = {
        name: choices[name]
        for name, factor in FACTORS.items()
        if factor.part != ANALYSIS and choices[name] != default_of(name, method)
    }
    if "model" in changed:
        # What is in a file is in the hash of its text; where it lies changes nothing.
        changed["model"] = in_words(changed["model"])
    return _hash(
        {
            "model": model,
            "data": data_hash,
            "choices": changed,
            "method": method,
            "settings": settings,
            "versions": versions(),
        }
    )


def analysis_key(of_fit: str, choices: Mapping[str, Any], watched: Mapping[str, Any]) -> str:
    """Give the key of what is computed from a fit.

    Parameters
    ----------
    of_fit : str
        Key of the fit.
    choices : mapping of str to level
        Of all factors; only those of the analysis count.
    watched : mapping
        Outcomes, quantities, unit and probability.

    Returns
    -------
    str
    """
    chosen = {name: choices[name] for name, f in FACTORS.items() if f.part == ANALYSIS}
    return _hash({"fit": of_fit, "choices": chosen, "watched": watched})


def _hash(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(frozen(parts).encode()).hexdigest()[:_LETTERS]
