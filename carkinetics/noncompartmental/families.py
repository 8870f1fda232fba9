"""Quantities of samples with a day or a limit in their name, and the look-up of all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from carkinetics.noncompartmental import (  # noqa: F401  (they register themselves)
    declines,
    whole_areas,
)
from carkinetics.noncompartmental.areas import NO_ONSET, area_in_window
from carkinetics.noncompartmental.lines import days_above, levels_on, points
from carkinetics.noncompartmental.peaks import OBSERVED
from carkinetics.noncompartmental.profiles import Column, Profiles, column, sentence
from carkinetics.noncompartmental.rules import Rules
from carkinetics.noncompartmental.slopes import regression
from carkinetics.quantities import Quantity, family_of, register
from carkinetics.quantities.families import unknown_quantity
from carkinetics.quantities.registry import SAMPLES

# Persistence definition P3: name -> first and last day of a visit.
VISIT_WINDOWS = {"day 28": (25.0, 31.0), "month 3": (77.0, 105.0), "month 6": (154.0, 210.0),
                 "month 12": (319.0, 411.0)}  # fmt: skip
_VISITS = {28.0: "day 28", 90.0: "month 3", 91.0: "month 3", 180.0: "month 6", 182.0: "month 6",
           183.0: "month 6", 364.0: "month 12", 365.0: "month 12"}  # fmt: skip
_LEAST_WINDOW, _WINDOW_SHARE = 3.0, 0.1  # of any other day: days, or its share, either side


def find_observed(name: str) -> Quantity:
    """Look a quantity of samples up by name, windows and days included.

    Parameters
    ----------
    name : str
        A name of `OBSERVED`, ``"auc_<day>_<day>"``, ``"level_<day>"``, ``"slope_<day>_<day>"``,
        ``"detectable_<day>"`` or ``"time_above_<level>"``.

    Returns
    -------
    Quantity
        Its ``compute`` takes `Profiles` and `Rules`.
    """
    if name in OBSERVED:
        return OBSERVED[name]
    found = family_of(name)
    if found is None or found[0] not in _MAKERS:
        raise unknown_quantity(name, list(OBSERVED))
    return _MAKERS[found[0]](name, *found[1])


def window_around(day: float) -> tuple[float, float]:
    """Give the days on which a sample counts for a planned day.

    Those of the visit for day 28 and months 3, 6 and 12 (day 90 or 91, 180 to 183, 364 or 365);
    3 days or a tenth either side of any other day.

    Examples
    --------
    >>> window_around(28), window_around(180), window_around(60)
    ((25.0, 31.0), (154.0, 210.0), (54.0, 66.0))
    """
    if day in _VISITS:
        return VISIT_WINDOWS[_VISITS[day]]
    either = max(_LEAST_WINDOW, _WINDOW_SHARE * day)
    return float(day - either), float(day + either)


def _quantity(
    name: str,
    label: str,
    kind: str,
    code: str,
    definition: str,
    compute: Callable[[Profiles, Rules], Column],
    official: bool = False,
) -> Quantity:
    return Quantity(
        name=name,
        label=label,
        kind=kind,
        cdisc=code if official else "",
        sponsor="" if official else code,
        definition=definition,
        source=SAMPLES,
        compute=compute,
    )


def _auc(name: str, start: float, end: float) -> Quantity:
    return _quantity(
        name,
        f"Observed AUC{start:g}-{end:g}d",
        "area",
        "AUCINT",
        f"Area under the samples from day {start:g} to day {end:g}.",
        lambda profiles, rules: area_in_window(profiles, rules, start, end),
        official=True,
    )


def _level(name: str, day: float) -> Quantity:
    def compute(profiles: Profiles, rules: Rules) -> Column:
        at = np.full(len(profiles), day)
        days, levels, _ = points(profiles, rules)
        value = levels_on(days, levels, at, rules.interpolation)
        with np.errstate(invalid="ignore"):
            late, early = profiles.last_day < day, days[:, 0] > day
        last = profiles.last_day
        reason = sentence(late, lambda i: f"the last sample is of day {last[i]:g}")
        reason = np.where(early, f"no sample at or before day {day:g}", reason)
        return column(profiles, value, np.where(profiles.n == 0, "no samples", reason))

    return _quantity(
        name, f"Observed level on day {day:g}", "level", "LEVEL",
        f"Level on day {day:g}, on the line between samples.", compute,
    )  # fmt: skip


def _growth(profiles: Profiles, start: float, end: np.ndarray) -> Column:
    with np.errstate(invalid="ignore"):
        inside = (profiles.day >= start) & (profiles.day <= end[:, None])
    slope = regression(profiles.day, profiles.level, profiles.quantified & inside)
    reason = sentence(
        slope.n < 2,
        lambda i: f"{slope.n[i]} quantifiable samples from day {start:g} to day {end[i]:g}",
    )
    reason = np.where(profiles.missing != "", profiles.missing, reason)
    return column(profiles, -slope.rate, reason)


@register(
    OBSERVED,
    label="Growth to CRS onset",
    kind="rate",
    cdisc="",
    sponsor="SLPONS",
    needs="onset",
    definition=(
        "Log-linear slope of the quantifiable samples until the onset of cytokine release syndrome."
    ),
    source=SAMPLES,
    undefined=NO_ONSET,
)
def slope_to_onset(profiles: Profiles, rules: Rules) -> Column:
    """Fit the rise until the onset of cytokine release syndrome [1/day]; two samples are enough."""
    known = profiles.onset > 0
    found = _growth(profiles, 0.0, np.where(known, profiles.onset, 0.0))
    return column(profiles, found.value, np.where(known, found.reason, NO_ONSET))


def _slope(name: str, start: float, end: float) -> Quantity:
    def compute(profiles: Profiles, rules: Rules) -> Column:
        return _growth(profiles, start, np.full(len(profiles), end))

    return _quantity(
        name, f"Observed growth, day {start:g}-{end:g}", "rate", "SLOPE",
        f"Log-linear slope of the quantifiable samples from day {start:g} to day {end:g}.", compute,
    )  # fmt: skip


def _detectable(name: str, day: float) -> Quantity:
    low, high = window_around(day)

    def compute(profiles: Profiles, rules: Rules) -> Column:
        inside = profiles.sampled & (profiles.day >= low) & (profiles.day <= high)
        new = profiles.new_cells
        with np.errstate(invalid="ignore"):
            here = inside & ~(profiles.day > new[:, None])
        positive = profiles.detected if rules.detectable == "lod" else profiles.quantified
        value = (here & positive).any(axis=1).astype(float)
        none = f"no sample from day {low:g} to day {high:g}"
        late = sentence(
            inside.any(axis=1) & ~here.any(axis=1),
            lambda i: f"{none} before transplant or new therapy on day {new[i]:g}",
        )
        reason = np.where(late == "", none, late)
        return column(profiles, value, np.where(here.any(axis=1), "", reason))

    return _quantity(
        name, f"Observed detectable, day {day:g}", "probability", "DETECT",
        f"Cells are detectable in a sample of day {low:g} to {high:g}, before transplant or new "
        "therapy (persistence definition P3).",
        compute,
    )  # fmt: skip


def _time_above(name: str, limit: float) -> Quantity:
    def compute(profiles: Profiles, rules: Rules) -> Column:
        return _above(profiles, rules, np.full(len(profiles), limit))

    return _quantity(
        name, f"Observed time above {limit:g}", "time", "TAT",
        f"Days on which the line between samples exceeds {limit:g}.", compute, official=True,
    )  # fmt: skip


def _above(profiles: Profiles, rules: Rules, limit: np.ndarray) -> Column:
    day, level, _ = points(profiles, rules)
    value = days_above(day, level, limit, rules.interpolation)
    reason = np.where(profiles.n == 0, "no samples", "")
    unknown = np.isnan(limit) & (profiles.n > 0)
    with np.errstate(invalid="ignore"):
        lasting = profiles.at(level, np.full(len(profiles), -1)) > limit
    return column(
        profiles,
        value,
        np.where(unknown, "no limit of quantification", reason),
        time_above_censored=lasting & (profiles.n > 0),
    )


@register(
    OBSERVED,
    label="Observed time above the limit",
    kind="time",
    cdisc="TAT",
    needs="limit",
    definition="Days on which the line between samples exceeds the median limit of the profile.",
    source=SAMPLES,
)
def time_above(profiles: Profiles, rules: Rules) -> Column:
    """Add up the days on which the line between samples exceeds the limit [day].

    The flag ``time_above_censored`` says that the last sample still lies above it.
    """
    known = np.isfinite(profiles.lloq).any(axis=1)
    limit = np.full(len(profiles), np.nan)
    if known.any():
        limit[known] = np.nanmedian(profiles.lloq[known], axis=1)
    return _above(profiles, rules, limit)


_MAKERS: dict[str, Callable[..., Quantity]] = {
    "auc_<day>_<day>": _auc,
    "level_<day>": _level,
    "slope_<day>_<day>": _slope,
    "detectable_<day>": _detectable,
    "time_above_<level>": _time_above,
}
