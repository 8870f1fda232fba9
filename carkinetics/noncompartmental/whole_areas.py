"""Areas from day 0, to the last sample and beyond, each quantity next to its registration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from carkinetics.noncompartmental.areas import (
    NO_ONSET,
    area_in_window,
    decline,
    lambda_z_flags,
    last_level,
    no_slope,
)
from carkinetics.noncompartmental.lines import points, window_areas
from carkinetics.noncompartmental.peaks import OBSERVED
from carkinetics.noncompartmental.profiles import Column, Profiles, column
from carkinetics.noncompartmental.rules import Rules
from carkinetics.noncompartmental.slopes import Slopes
from carkinetics.quantities import register
from carkinetics.quantities.registry import SAMPLES


@register(
    OBSERVED,
    label="AUClast",
    kind="area",
    cdisc="AUCLST",
    definition="Area from day 0 to the last quantifiable sample.",
    source=SAMPLES,
)
def auclast(profiles: Profiles, rules: Rules) -> Column:
    """Compute the area from day 0 to the last quantifiable sample [unit * day]."""
    end = profiles.at(profiles.day, profiles.last)
    return _whole(profiles, rules, end)


@register(
    OBSERVED,
    label="AUCall",
    kind="area",
    cdisc="AUCALL",
    definition="Area from day 0 to the last sample; the first one below the limit closes it.",
    source=SAMPLES,
)
def aucall(profiles: Profiles, rules: Rules) -> Column:
    """Compute the area from day 0 to the last sample [unit * day]."""
    return _whole(profiles, rules, profiles.last_day)


def _whole(profiles: Profiles, rules: Rules, end: np.ndarray) -> Column:
    day, level, _ = points(profiles, rules)
    area = window_areas(day, level, np.zeros(end.shape), np.nan_to_num(end), rules.interpolation)
    late = (profiles.missing == "") & (day[:, 0] > 0)
    reason = np.where(late, "no sample at or before day 0", profiles.missing)
    return column(profiles, area, reason)


@register(
    OBSERVED,
    label="AUCinf",
    kind="area",
    cdisc="AUCIFO",
    definition="AUClast plus what the terminal slope adds beyond the last quantifiable sample.",
    source=SAMPLES,
    undefined="no terminal slope",
)
def aucinf(profiles: Profiles, rules: Rules) -> Column:
    """Extrapolate AUClast to infinity [unit * day].

    The extrapolated share is a quantity of its own, `auc_extrapolated`; the flag
    ``aucinf_extrap_high`` marks one above the limit of rule N-08.
    """
    last, extra, slope = auclast(profiles, rules), *_beyond(profiles, rules)
    total = last.value + extra
    with np.errstate(invalid="ignore"):
        high = 100 * extra / total > rules.max_extrapolated
    return column(
        profiles,
        total,
        np.where(last.reason != "", last.reason, no_slope(slope, rules)),
        aucinf_extrap_high=high,
        **lambda_z_flags(slope),
    )


@register(
    OBSERVED,
    label="Extrapolated share of AUCinf",
    kind="percent",
    cdisc="AUCPEO",
    definition="Share of AUCinf beyond the last quantifiable sample.",
    source=SAMPLES,
    undefined="no terminal slope",
)
def auc_extrapolated(profiles: Profiles, rules: Rules) -> Column:
    """Give the share of AUCinf that is extrapolated [%]."""
    last, extra, slope = auclast(profiles, rules), *_beyond(profiles, rules)
    with np.errstate(invalid="ignore"):
        value = 100 * extra / (last.value + extra)
    reason = np.where(last.reason != "", last.reason, no_slope(slope, rules))
    return column(profiles, value, reason)


def _beyond(profiles: Profiles, rules: Rules) -> tuple[np.ndarray, Slopes]:
    slope = decline(profiles, rules)
    with np.errstate(divide="ignore", invalid="ignore"):
        return last_level(profiles, rules, slope) / slope.rate, slope


@register(
    OBSERVED,
    label="Mean observed level",
    kind="level",
    cdisc="",
    sponsor="MEANLVL",
    definition="Area from day 0 to the last sample, divided by its day.",
    source=SAMPLES,
)
def mean_level(profiles: Profiles, rules: Rules) -> Column:
    """Average the level over the days observed [unit of the profile].

    An exposure that a short follow-up does not make smaller by itself; it needs no extrapolation.
    """
    last = np.nan_to_num(profiles.last_day)
    whole = area_in_window(profiles, rules, 0.0, last)
    none = np.where(profiles.n == 0, "no samples", "no sample after day 0")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = whole.value / last
        below = whole.flags["auc_below"] / last
    return column(profiles, mean, np.where(last > 0, whole.reason, none), auc_below=below)


@register(
    OBSERVED,
    label="AUC to CRS onset",
    kind="area",
    cdisc="",
    sponsor="AUCONS",
    needs="onset",
    definition="Area from day 0 to the onset of cytokine release syndrome.",
    source=SAMPLES,
    undefined=NO_ONSET,
)
def auc_to_onset(profiles: Profiles, rules: Rules) -> Column:
    """Compute the area from day 0 to the onset of cytokine release syndrome [unit * day]."""
    onset = profiles.onset
    area = area_in_window(profiles, rules, 0.0, np.where(onset > 0, onset, 0.0))
    missing = np.where(onset > 0, area.reason, NO_ONSET)
    return column(profiles, area.value, missing, auc_below=area.flags["auc_below"])


@register(
    OBSERVED,
    label="Predicted Clast",
    kind="level",
    cdisc="",
    sponsor="CLSTPRED",
    definition="Level of the terminal line on the day of the last quantifiable sample.",
    source=SAMPLES,
    undefined="no terminal slope",
)
def clast_predicted(profiles: Profiles, rules: Rules) -> Column:
    """Read the terminal line on the day of the last quantifiable sample [unit]."""
    slope = decline(profiles, rules)
    level = last_level(profiles, replace(rules, clast="predicted"), slope)
    reason = np.where(profiles.missing != "", profiles.missing, no_slope(slope, rules))
    return column(profiles, level, reason)
