"""Highest, first and last quantifiable sample, each quantity next to its registration."""

from __future__ import annotations

import numpy as np

from carkinetics.noncompartmental.profiles import Column, Profiles, column, sentence
from carkinetics.noncompartmental.rules import Rules
from carkinetics.quantities import Quantity, register
from carkinetics.quantities.registry import SAMPLES

OBSERVED: dict[str, Quantity] = {}

_NEAR_PEAK = 4.0  # days either side of Tmax that count as close to the peak


@register(
    OBSERVED,
    label="Observed Cmax",
    kind="level",
    cdisc="CMAX",
    definition="Largest quantifiable level.",
    source=SAMPLES,
)
def cmax(profiles: Profiles, rules: Rules) -> Column:
    """Take the largest quantifiable level [unit of the profile].

    Missing when nothing is quantifiable; the flag ``observed_cmax_below`` then holds the highest
    limit, under which the peak is known to lie, so that an analysis can treat it as
    left-censored. Other flags: ``cmax_boundary`` (first or last sample), ``n_samples_tmax``
    (samples within 4 days of Tmax) and ``cmax_single_point`` (no other quantifiable sample within
    4 days).
    """
    place, some = profiles.peak(rules.tmax_ties), profiles.missing == ""
    near = np.abs(profiles.day - profiles.at(profiles.day, place)[:, None]) <= _NEAR_PEAK
    near &= profiles.sampled
    edge = (place == 0) | (place == profiles.n - 1)
    limit = np.where(profiles.sampled & profiles.below, profiles.lloq, -np.inf).max(axis=1)
    all_below = (profiles.n > 0) & (profiles.below | ~profiles.sampled).all(axis=1)
    return column(
        profiles,
        profiles.at(profiles.level, place),
        profiles.missing,
        cmax_boundary=some & edge,
        n_samples_tmax=np.where(some, near.sum(axis=1), 0),
        cmax_single_point=some & ((near & profiles.quantified).sum(axis=1) == 1),
        observed_cmax_below=np.where(all_below, limit, np.nan),
    )


@register(
    OBSERVED,
    label="Observed Tmax",
    kind="time",
    cdisc="TMAX",
    definition="Day of the largest quantifiable level, the first one on ties.",
    source=SAMPLES,
)
def tmax(profiles: Profiles, rules: Rules) -> Column:
    """Take the day of the largest quantifiable level [day]."""
    place = profiles.peak(rules.tmax_ties)
    return column(profiles, profiles.at(profiles.day, place), profiles.missing)


@register(
    OBSERVED,
    label="Clast",
    kind="level",
    cdisc="CLST",
    definition="Last quantifiable level.",
    source=SAMPLES,
)
def clast(profiles: Profiles, rules: Rules) -> Column:
    """Take the last quantifiable level [unit of the profile]."""
    return column(profiles, profiles.at(profiles.level, profiles.last), profiles.missing)


@register(
    OBSERVED,
    label="Tlast",
    kind="time",
    cdisc="TLST",
    definition="Day of the last quantifiable level (persistence definition P1).",
    source=SAMPLES,
)
def tlast(profiles: Profiles, rules: Rules) -> Column:
    """Take the day of the last quantifiable level [day]; ends with the sampling at the latest.

    The flag ``tlast_after_new_therapy`` marks one after transplant or new therapy: it no longer
    speaks of the same cells.
    """
    day = profiles.at(profiles.day, profiles.last)
    with np.errstate(invalid="ignore"):
        late = (profiles.missing == "") & (day > profiles.new_cells)
    return column(profiles, day, profiles.missing, tlast_after_new_therapy=late)


@register(
    OBSERVED,
    label="First confirmed day below the limit",
    kind="time",
    cdisc="",
    sponsor="BLQCONF",
    definition=(
        "First of consecutive days below the limit after a quantifiable one; a single one counts "
        "at the end of sampling (persistence definition P2)."
    ),
    source=SAMPLES,
    undefined="never confirmed below the limit while sampled",
)
def blq_confirmed(profiles: Profiles, rules: Rules) -> Column:
    """Take the first of `rules.confirm_blq` consecutive samples below the limit [day].

    Missing where the last sample is quantifiable: the loss lies later (right-censored). The flag
    ``blq_after_new_therapy`` marks a loss first seen after transplant or new therapy.
    """
    low = profiles.sampled & ~profiles.quantified
    width = low.shape[1]
    enough = low.copy()
    for ahead in range(1, rules.confirm_blq):
        later = np.ones_like(low)
        # Beyond the last sample nothing speaks against it.
        later[:, : width - ahead] = (low | ~profiles.sampled)[:, ahead:]
        enough &= later
    enough &= np.arange(width) > profiles.first[:, None]
    value = np.where(
        enough.any(axis=1), profiles.at(profiles.day, enough.argmax(axis=1)), np.nan
    )  # fmt: skip
    censored = (profiles.missing == "") & np.isnan(value)
    last = profiles.last_day
    reason = sentence(
        censored, lambda i: f"not confirmed below the limit by the last sample, day {last[i]:g}"
    )
    with np.errstate(invalid="ignore"):
        late = value > profiles.new_cells
    reason = np.where(profiles.missing != "", profiles.missing, reason)
    return column(profiles, value, reason, blq_after_new_therapy=late)


@register(
    OBSERVED,
    label="Level at the total's peak",
    kind="level",
    cdisc="",
    sponsor="LVLPEAK",
    needs="total",
    definition="Level on the day of the total's largest quantifiable level, or at the own one.",
    source=SAMPLES,
)
def level_at_total_peak(profiles: Profiles, rules: Rules) -> Column:
    """Take the level on the day of the total's peak (rule N-03) [unit of the profile]."""
    if rules.subset_at == "own_peak":
        return cmax(profiles, rules)
    here = profiles.quantified & (profiles.day == profiles.total_tmax[:, None])
    value = profiles.at(profiles.level, here.argmax(axis=1))
    day = profiles.total_tmax
    none = np.where(np.isnan(day), "the total has no peak", "").astype(object)
    absent = ~here.any(axis=1) & ~np.isnan(day)
    reason = sentence(absent, lambda i: f"no quantifiable sample on day {day[i]:g}")
    reason = np.where(profiles.missing != "", profiles.missing, np.where(absent, reason, none))
    return column(profiles, value, reason)


@register(
    OBSERVED,
    label="Share at the total's peak",
    kind="share",
    cdisc="",
    sponsor="SHRPEAK",
    needs="total",
    definition="Level at the total's peak, divided by that of the total.",
    source=SAMPLES,
)
def share_at_total_peak(profiles: Profiles, rules: Rules) -> Column:
    """Divide the level at the peak by that of the total."""
    level = level_at_total_peak(profiles, rules)
    with np.errstate(divide="ignore", invalid="ignore"):
        return column(profiles, level.value / profiles.total_level, level.reason)
