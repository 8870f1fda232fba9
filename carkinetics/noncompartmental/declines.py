"""How fast samples rise and fall, each quantity next to its registration."""

from __future__ import annotations

import numpy as np

from carkinetics.noncompartmental.areas import decline, lambda_z_flags, no_slope
from carkinetics.noncompartmental.censored import censored_regression
from carkinetics.noncompartmental.lines import log_points, substituted
from carkinetics.noncompartmental.peaks import OBSERVED
from carkinetics.noncompartmental.profiles import Column, Profiles, column, sentence
from carkinetics.noncompartmental.rules import Rules
from carkinetics.noncompartmental.slopes import Slopes, regression
from carkinetics.quantities import register
from carkinetics.quantities.registry import SAMPLES

_LATE = 28.0  # day from which the decline is called terminal


@register(
    OBSERVED,
    label="lambda z",
    kind="rate",
    cdisc="LAMZ",
    definition="Log-linear decline of the last points after Tmax, as many as fit well.",
    source=SAMPLES,
    undefined="no terminal slope",
)
def lambda_z(profiles: Profiles, rules: Rules) -> Column:
    """Fit the decline that extrapolation uses [1/day]; it need not be an admissible one (N-08).

    Flags (rule N-11): ``lambda_z_points``, ``lambda_z_adjusted_r2``, ``lambda_z_span`` in
    half-lives, and ``lambda_z_span_short`` below two of them.
    """
    slope = decline(profiles, rules)
    reason = np.where(profiles.missing != "", profiles.missing, no_slope(slope, rules))
    return column(profiles, slope.rate, reason, **lambda_z_flags(slope))


@register(
    OBSERVED,
    label="Half-life of lambda z",
    kind="time",
    cdisc="LAMZHL",
    definition="ln 2 over lambda z.",
    source=SAMPLES,
    undefined="no terminal slope",
)
def half_life(profiles: Profiles, rules: Rules) -> Column:
    """Give ln 2 over lambda z [day]; flags as for `lambda_z`."""
    rate = lambda_z(profiles, rules)
    return column(profiles, np.log(2) / rate.value, rate.reason, **rate.flags)


@register(
    OBSERVED,
    label="Contraction half-life",
    kind="time",
    cdisc="",
    sponsor="CONTRHL",
    definition=(
        "ln 2 over the log-linear decline from Tmax to day 28 or the first sample below the limit."
    ),
    source=SAMPLES,
    undefined="no decline after Tmax",
)
def contraction_half_life(profiles: Profiles, rules: Rules) -> Column:
    """Fit the first phase of the decline [day]; never pooled with the terminal one."""
    place = np.arange(profiles.day.shape[1])
    peak = profiles.peak(rules.tmax_ties)[:, None]
    after = (place >= peak) if rules.include_tmax else (place > peak)
    below = profiles.sampled & ~profiles.quantified & (place > peak)
    before_blq = below.cumsum(axis=1) == 0
    used = profiles.quantified & after & before_blq & (profiles.day <= _LATE)
    slope = regression(profiles.day, profiles.level, used)
    return _phase(profiles, rules, slope, "contraction", "between Tmax and day 28")


@register(
    OBSERVED,
    label="Terminal half-life",
    kind="time",
    cdisc="",
    sponsor="TERMHL",
    definition="ln 2 over the log-linear decline from day 28 on.",
    source=SAMPLES,
    undefined="no decline from day 28 on",
)
def terminal_half_life(profiles: Profiles, rules: Rules) -> Column:
    """Fit the late phase of the decline [day]; never pooled with the contraction."""
    after = np.arange(profiles.day.shape[1]) > profiles.peak(rules.tmax_ties)[:, None]
    late = after & (profiles.day >= _LATE) & profiles.sampled
    if rules.blq == "m3":
        slope = censored_regression(
            profiles.day, profiles.level, profiles.lloq, profiles.below, late
        )
    else:
        level = substituted(profiles, rules)
        slope = regression(profiles.day, level, late & log_points(profiles, rules))
    return _phase(profiles, rules, slope, "terminal", "from day 28 on")


def _phase(profiles: Profiles, rules: Rules, slope: Slopes, name: str, where: str) -> Column:
    few = slope.n < rules.min_points
    reason = sentence(few, lambda i: f"only {slope.n[i]} usable points {where}")
    reason = np.where(~few & ~slope.found, f"the points {where} do not decline", reason)
    reason = np.where(profiles.missing != "", profiles.missing, reason)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(2) / slope.rate
    return column(profiles, value, reason, **_fit_flags(slope, name))


def _fit_flags(slope: Slopes, name: str) -> dict[str, np.ndarray]:
    return {
        f"{name}_points": slope.n,
        f"{name}_adjusted_r2": slope.adjusted_r2,
        f"{name}_span_short": slope.span < 2.0,
    }


@register(
    OBSERVED,
    label="Doubling time",
    kind="time",
    cdisc="",
    sponsor="DBLTIME",
    definition="ln 2 over the log-linear rise from the last trough, or first sample, to Tmax.",
    source=SAMPLES,
    undefined="fewer than three points of a rise",
)
def doubling_time(profiles: Profiles, rules: Rules) -> Column:
    """Fit the rise before Tmax [day].

    Missing with fewer points than rule N-12 asks for; the flag ``doubling_time_at_most`` then
    holds the doubling time of the mean rise from the sample before Tmax (its limit, where it is
    below it): some stretch of the rise was at least that fast.
    """
    peak = profiles.peak(rules.tmax_ties)
    rise = _rise(profiles, peak)
    slope = regression(profiles.day, profiles.level, rise)
    few = slope.n < rules.doubling_points
    reason = sentence(few, lambda i: f"only {slope.n[i]} points of a rise to Tmax")
    reason = np.where(profiles.missing != "", profiles.missing, reason)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(2) / -slope.rate
    bound = np.where(few & (profiles.missing == ""), _bound(profiles, peak), np.nan)
    return column(profiles, value, reason, doubling_time_at_most=bound)


def _rise(profiles: Profiles, peak: np.ndarray) -> np.ndarray:
    """Mark the unbroken rise that ends at the peak, shape (profile, sample)."""
    width = profiles.day.shape[1]
    rise = np.zeros(profiles.day.shape, dtype=bool)
    rows = np.arange(len(peak))
    rise[rows, peak] = profiles.quantified[rows, peak]
    with np.errstate(invalid="ignore"):
        lower = profiles.quantified[:, :-1] & (profiles.level[:, :-1] < profiles.level[:, 1:])
    for place in range(width - 2, -1, -1):
        rise[:, place] |= rise[:, place + 1] & lower[:, place]
    return rise


def _bound(profiles: Profiles, peak: np.ndarray) -> np.ndarray:
    before = np.maximum(peak - 1, 0)
    low = np.where(
        profiles.at(profiles.below, before),
        profiles.at(profiles.lloq, before),
        profiles.at(profiles.level, before),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.log(profiles.at(profiles.level, peak) / low)
        width = profiles.at(profiles.day, peak) - profiles.at(profiles.day, before)
        return np.where((peak > 0) & (growth > 0), np.log(2) * width / growth, np.nan)
