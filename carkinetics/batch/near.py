"""Which variants are so near the base case that its draws may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carkinetics.batch.factors import ANALYSIS, DATA, FACTORS

_PRIORS = frozenset(n for n in FACTORS if n.startswith("prior_scale"))
_DATA = frozenset({"blq", "lloq_scale", "blq_cap"})


def same_samples(choices: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Tell whether a variant is fitted to the samples of the base case, as they were measured.

    Leukocytes are no samples of the levels: without them these are still the same.
    """
    names = (n for n, factor in FACTORS.items() if factor.part == DATA and n != "wbc")
    return all(choices[name] == base[name] for name in names)


def can_be_reweighted(choices: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Tell whether the draws of the base case may do for a variant.

    Parameters
    ----------
    choices, base : mapping of str to level
        Of every factor.

    Returns
    -------
    bool
        Where only scales of priors differ, or one patient is left out, or only the rule for
        samples below the limit; analyses may differ in any case.
    """
    if "joint" in (choices["estimator"], base["estimator"]):
        return False
    changed = {
        name for name, factor in FACTORS.items()
        if factor.part != ANALYSIS and choices[name] != base[name]
    }  # fmt: skip
    if changed == {"leave_out"}:
        return base["leave_out"] == "none" and isinstance(choices["leave_out"], str)
    return bool(changed) and (changed <= _PRIORS or changed <= _DATA)
