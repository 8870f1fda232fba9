"""Questions that a classical analysis would answer wrongly, refused or flagged."""

from __future__ import annotations

import math
from numbers import Real

import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.endpoint import SURVIVAL, Endpoint
from carkinetics.quantities import days_in, family_of

DEFAULT_WINDOW = 28.0

# Settled by the peak, which the window bounds.
_AT_PEAK = (
    "cmax", "tmax", "doubling_time", "auc_to_onset", "slope_to_onset", "level_at_total_peak",
    "share_at_total_peak",
)  # fmt: skip


def known_by(exposure: str, window: float = DEFAULT_WINDOW) -> float:
    """Give the day by which an exposure has been settled.

    Parameters
    ----------
    exposure : str
        Name of a quantity.
    window : float
        Day by which peak and Tmax have been reached [day].

    Returns
    -------
    float
        The day [day]; infinite where no day settles it: persistence, the last level, a time above
        a limit, areas up to the last sample, and half-lives of the decline depend on how long a
        patient is followed.

    Examples
    --------
    >>> known_by("auc_0_28"), known_by("slope_28_60"), known_by("terminal_half_life")
    (28.0, 60.0, inf)
    """
    if exposure in _AT_PEAK:
        return window
    return max(days_in(exposure), default=math.inf)


def check_clock(
    endpoint: Endpoint,
    exposure: str,
    *,
    landmark: float | None,
    window: float,
    allow_after_day_0: bool,
    cohort: str,
) -> tuple[str, ...]:
    """Refuse an exposure that is defined after the clock of a survival outcome starts.

    Whoever has the event early has less time to reach a high value, so that exposure looks
    protective without any true association (immortal time): in simulations of 16 patients up to
    65 % false positives where no event precedes day 28, and more where some do.

    Parameters
    ----------
    endpoint : Endpoint
        The outcome, on its final clock.
    exposure : str
        Name of a quantity.
    landmark : float or None
        Day on which the clock starts, if not at infusion [day].
    window : float
        Day by which peak and Tmax have been reached [day].
    allow_after_day_0 : bool
        Whether the user has decided to go on regardless.
    cohort : str
        Name for messages.

    Returns
    -------
    tuple of str
        Notes for the reader.

    References
    ----------
    Giobbie-Hurder et al. 2013, doi 10.1200/JCO.2013.49.5283.
    """
    settled = known_by(exposure, window)
    if endpoint.kind != SURVIVAL:
        return _followed_up(exposure) if math.isinf(settled) else ()
    starts = endpoint.starts
    if (starts >= settled).all():
        return ()
    if math.isinf(settled) and landmark is not None:
        return (
            f"{exposure} looks past the landmark: whoever is followed longer can show more of "
            "it. The presence of cells on the landmark itself (detectable_28 with landmark=28) "
            "has no such bias.",
        )
    ends = endpoint.used["day"] + starts
    early = ends[(starts < settled) & (ends < settled)]
    always = math.isinf(settled) or exposure == "tmax" or _is_on_a_day(exposure)
    if not always and early.empty:
        return ()
    reason = _reason(exposure, settled, early, float(starts.min()))
    if allow_after_day_0:
        return (
            f"by explicit choice (allow_after_day_0=True) the clock was kept although {reason}; "
            "immortal time can make exposure look protective without any true association",
        )
    raise DataError(
        Fault(
            f"cohort {cohort}, {exposure} and {endpoint.name}",
            f"{reason}, so that patients with early events cannot show a high value "
            "(immortal time)",
            _remedy(settled, landmark),
            section=exposure,
        )
    )


def _is_on_a_day(exposure: str) -> bool:
    """Tell whether an exposure is the state on one day, which only those seen then can have."""
    found = family_of(exposure)
    return found is not None and len(found[1]) == 1


def _followed_up(exposure: str) -> tuple[str, ...]:
    """Say what an exposure without an end makes of patients who were not followed as long."""
    return (
        f"{exposure} depends on how long a patient is sampled: where sampling ends at relapse, "
        "other therapy or death, it is short in those who did badly",
    )


def _reason(exposure: str, settled: float, early: pd.Series, start: float) -> str:
    if math.isinf(settled):
        return f"{exposure} is defined by what happens after day {start:g}"
    if early.empty:
        return f"{exposure} is defined after day {start:g} (known by day {settled:g})"
    days = ", ".join(f"{patient} on day {day:g}" for patient, day in early.head(5).items())
    more = f" and {len(early) - 5} more" if len(early) > 5 else ""
    return (
        f"{exposure} is known by day {settled:g} only, and {len(early)} event(s) or censoring(s) "
        f"come before ({days}{more})"
    )


def _remedy(settled: float, landmark: float | None) -> str:
    day = DEFAULT_WINDOW if math.isinf(settled) else settled
    if landmark is not None and landmark >= day:
        return "Choose an exposure that is known at the landmark, or pass allow_after_day_0=True."
    return (
        f"Pass landmark={day:g} (patients with an event by then are left out, the clock "
        "restarts), time_dependent=True for the exposure so far (peak and area), or "
        "allow_after_day_0=True if you accept the bias."
    )


def check_numbers(
    probability: float, window: float, landmark: float | None, ratio: float | None = None
) -> None:
    """Refuse numbers that mean nothing, all at once."""
    checks = (
        ("probability", probability, 0.0, 1.0, "Give a number between 0 and 1, such as 0.95."),
        ("window", window, 0.0, math.inf, "Give a day after 0, such as 28."),
        ("landmark", landmark, 0.0, math.inf, "Give a day after 0, such as 28."),
        ("assumed_ratio", ratio, 0.0, math.inf, "Give a ratio per doubling, such as 0.6."),
    )
    faults = [
        Fault("associate", f"{name} is {value!r}", remedy, section=name)
        for name, value, low, high, remedy in checks
        if value is not None and not (isinstance(value, Real) and low < value < high)
    ]
    if faults:
        raise DataError(faults)


def check_landmark(endpoint: Endpoint, landmark: float | None, cohort: str) -> None:
    """Refuse a landmark where there is no clock."""
    if landmark is None or endpoint.kind == SURVIVAL:
        return
    what = "a landmark belongs to a survival outcome (ttp, pfs, os)"
    where = f"cohort {cohort}, {endpoint.name}"
    raise DataError(Fault(where, what, "Leave landmark out.", section="landmark"))


def check_time_dependent(
    endpoint: Endpoint, landmark: float | None, wanted: bool, cohort: str
) -> None:
    """Refuse an exposure that follows the clock where there is no clock, or a later one."""
    if not wanted or (endpoint.clock == "from infusion" and landmark is None):
        return
    what = "an exposure so far belongs to a survival outcome on the clock from infusion"
    remedy = "Leave time_dependent (or the landmark) out, or choose ttp, pfs or os."
    where = f"cohort {cohort}, {endpoint.name}"
    raise DataError(Fault(where, what, remedy, section="time_dependent"))


def is_before(endpoint: Endpoint, exposure: str, window: float) -> bool:
    """Tell whether an exposure is settled before most onsets of an outcome."""
    if exposure.endswith("_to_onset"):
        return True
    return known_by(exposure, window) < float(endpoint.onset.median())


def order_in_time(endpoint: Endpoint, tmax: pd.Series, source: str) -> tuple[str, ...]:
    """Flag an outcome that began before the peak was reached.

    Parameters
    ----------
    endpoint : Endpoint
        The outcome; ``onset`` holds the days it began.
    tmax : Series
        Day of the peak; index patient [day].
    source : str
        Which peak: ``"observed"`` or ``"posterior"``.

    Returns
    -------
    tuple of str
        A note, or nothing where the outcome followed the peak in every patient.
    """
    both = pd.DataFrame({"onset": endpoint.onset, "tmax": tmax}).dropna()
    if both.empty or not (both["onset"] < both["tmax"]).any():
        return ()
    before = int((both["onset"] < both["tmax"]).sum())
    return (
        f"{endpoint.label} began before the {source} peak in {before} of {len(both)} patients "
        f"(median onset day {both['onset'].median():g}, median Tmax day "
        f"{both['tmax'].median():.3g}): an association in which the outcome may come first, or "
        "its treatment may have changed the peak",
    )


def late_peaks(
    endpoint: Endpoint, exposure: str, tmax: pd.Series, settled: float, source: str
) -> tuple[str, ...]:
    """Flag patients whose peak came after the day by which it counts as known.

    Parameters
    ----------
    endpoint : Endpoint
        The outcome; only survival has a clock.
    exposure : str
        Name of a quantity; only the peak and its day are concerned.
    tmax : Series
        Day of the peak; index patient [day].
    settled : float
        Day by which the peak counts as known [day].
    source : str
        Which peak: ``"observed"`` or ``"posterior"``.

    Returns
    -------
    tuple of str
        A note, or nothing.
    """
    late = tmax.index[tmax > settled]
    if endpoint.kind != SURVIVAL or exposure not in ("cmax", "tmax") or late.empty:
        return ()
    shown = ", ".join(map(str, late[:5])) + (", ..." if len(late) > 5 else "")
    return (
        f"the {source} peak comes after day {settled:g} in {len(late)} patient(s) ({shown}): "
        f"their {exposure} was not known by then",
    )
