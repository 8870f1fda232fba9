"""Highest and last quantifiable sample of a profile."""

from __future__ import annotations

import numpy as np

from carkinetics.nca.profile import DEFAULT_RULES, Measured, Profile, Rules
from carkinetics.quantities import Quantity, register

OBSERVED: dict[str, Quantity] = {}

_SPEC = "noncompartmental rules of the package documentation"
_NEAR_PEAK = 4.0  # days either side of Tmax that count as close to the peak


def _peak(profile: Profile) -> int:
    """Find the position of the highest quantifiable sample, the first one on ties."""
    quantified = profile.quantified
    return int(quantified[np.argmax(profile.level[quantified])])


def _cmax_flags(profile: Profile) -> dict[str, object]:
    peak = _peak(profile)
    near = np.abs(profile.day - profile.day[peak]) <= _NEAR_PEAK
    return {
        "cmax_boundary": peak in (0, profile.day.size - 1),
        "n_samples_tmax": int(near.sum()),
        "cmax_single_point": int((near & ~profile.below_lloq).sum()) == 1,
        "observed_cmax_below": np.nan,
    }


@register(
    OBSERVED,
    label="Observed Cmax",
    kind="level",
    cdisc="CMAX",
    definition="Largest quantifiable level.",
    source=_SPEC,
)
def cmax(profile: Profile, rules: Rules = DEFAULT_RULES) -> Measured:
    """Take the largest quantifiable level.

    Parameters
    ----------
    profile : Profile
        Samples of one patient.
    rules : Rules
        Not used; every quantity takes the same arguments.

    Returns
    -------
    Measured
        Level [unit of the profile]. NaN when nothing is quantifiable; the flag
        ``observed_cmax_below`` then holds the lowest limit the peak is known to lie under,
        so that an analysis can treat it as left-censored. Other flags: ``cmax_boundary`` (first
        or last sample), ``n_samples_tmax`` (samples within 4 days of Tmax) and
        ``cmax_single_point`` (no other quantifiable sample within 4 days).

    Examples
    --------
    >>> cmax(Profile(day=[3, 7, 14], level=[1.0, 80.0, 20.0])).value
    80.0
    """
    if profile.missing:
        # The peak of the samples lies under every limit only if under the largest of them.
        limit = float(profile.lloq.max()) if profile.day.size else np.nan
        return Measured(np.nan, profile.missing, {"observed_cmax_below": limit})
    return Measured(float(profile.level[_peak(profile)]), "", _cmax_flags(profile))


@register(
    OBSERVED,
    label="Observed Tmax",
    kind="time",
    cdisc="TMAX",
    definition="Day of the largest quantifiable level, the first one on ties.",
    source=_SPEC,
)
def tmax(profile: Profile, rules: Rules = DEFAULT_RULES) -> Measured:
    """Take the day of the largest quantifiable level, the first one on ties [day]."""
    if profile.missing:
        return Measured(np.nan, profile.missing)
    return Measured(float(profile.day[_peak(profile)]))


@register(
    OBSERVED,
    label="Clast",
    kind="level",
    cdisc="CLST",
    definition="Last quantifiable level.",
    source=_SPEC,
)
def clast(profile: Profile, rules: Rules = DEFAULT_RULES) -> Measured:
    """Take the last quantifiable level [unit of the profile]."""
    if profile.missing:
        return Measured(np.nan, profile.missing)
    return Measured(float(profile.level[profile.quantified[-1]]))


@register(
    OBSERVED,
    label="Tlast",
    kind="time",
    cdisc="TLST",
    definition="Day of the last quantifiable level (persistence definition P1).",
    source=_SPEC,
)
def tlast(profile: Profile, rules: Rules = DEFAULT_RULES) -> Measured:
    """Take the day of the last quantifiable level [day]; ends with the sampling at the latest."""
    if profile.missing:
        return Measured(np.nan, profile.missing)
    return Measured(float(profile.day[profile.quantified[-1]]))
