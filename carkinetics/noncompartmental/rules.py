"""The rules behind every number taken from samples, each by name, and their presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault

_CHOICES = {
    "c0": ("zero", "measured"),
    "tmax_ties": ("first", "last"),
    "subset_at": ("total_peak", "own_peak"),
    "interpolation": ("lin_up_log_down", "linear"),
    "blq": ("default", "zero", "half_lloq", "lloq", "drop", "pknca", "zero_then_drop",
            "stop_at_first", "first_half_lloq", "m3"),
    "window_end": ("interpolate", "sample"),
    "blq_tail": ("complete", "missing"),
    "short_tail": ("extrapolate", "missing"),
    "after_event": ("as_short_tail", "missing"),
    "clast": ("observed", "predicted"),
    "include_tmax": (False, True),
    "summary": ("geometric", "arithmetic"),
    "all_blq": ("censored", "half_lloq", "drop"),
    "detectable": ("lod", "lloq"),
}  # fmt: skip

# Rule of the specification -> its fields, and what it decides.
_RULES = {
    "N-01": (("c0",), "level on day 0 where none was measured"),
    "N-02": (("tmax_ties",), "which of equal highest samples is the peak"),
    "N-03": (("subset_at",), "day on which CD4 and CD8 are read"),
    "N-04": (("interpolation",), "line between samples"),
    "N-05": (("blq", "detectable"), "samples below the limit of quantification"),
    "N-06": (("window_end",), "end of a window between samples"),
    "N-07": (("blq_tail",), "window that outlasts a last sample below the limit"),
    "N-08": (
        ("short_tail", "min_adjusted_r2", "min_span", "max_extrapolated"),
        "window that outlasts a quantifiable last sample",
    ),
    "N-09": (("after_event",), "the same where the patient died or progressed before its end"),
    "N-10": (("clast",), "last level from which areas are extrapolated"),
    "N-11": (("min_points", "include_tmax", "r2_per_point"), "points of a log-linear decline"),
    "N-12": (("doubling_points", "confirm_blq"), "points of the log-linear rise; samples below "
             "the limit in a row that end persistence"),
    "N-13": (("summary",), "center and spread over patients"),
    "N-14": (("all_blq",), "log analysis of a profile wholly below the limit"),
}  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """The choices behind every number taken from samples.

    Parameters
    ----------
    c0 : {"zero", "measured"}
        N-01. ``"zero"``: the level at day 0 is 0 unless measured. ``"measured"``: nothing is added.
    interpolation : {"lin_up_log_down", "linear"}
        N-04. Between samples: straight where the level rises or is 0 at either end, exponential
        where it falls; or straight everywhere.
    blq : {"default", "zero", "half_lloq", "lloq", "drop", "pknca", "zero_then_drop", ...}
        N-05. Samples below the limit. ``"default"``: 0 before the first quantifiable sample,
        dropped between quantifiable ones, 0 for the first one after the last quantifiable, the
        rest ignored. ``"pknca"``: 0 before and after, dropped between. ``"zero_then_drop"``: 0
        before the first quantifiable sample, dropped afterwards. ``"stop_at_first"``: the same,
        and nothing counts from the first one after a quantifiable sample on.
        ``"first_half_lloq"``: as the default, with half the limit in place of the last 0.
        ``"m3"``: as the default for areas; in the terminal half-life a likelihood of censored
        samples. Otherwise every one is set to 0, half the limit, the limit, or dropped. Half the
        limit and the limit enter the terminal half-life too; zeros do not, having no logarithm.
    detectable : {"lod", "lloq"}
        N-05, persistence P3. Below the limit of quantification a sample in which cells were seen is
        detectable, where the data tell detection from quantification; or only quantifiable samples
        are. No other number reads it: what cannot be quantified is below the limit there.
    tmax_ties : {"first", "last"}
        N-02. Which of equal highest samples is the peak.
    subset_at : {"total_peak", "own_peak"}
        N-03. Day on which CD4 and CD8 are read.
    window_end : {"interpolate", "sample"}
        N-06. A window that ends between samples is closed on the line, or needs a sample there.
    blq_tail : {"complete", "missing"}
        N-07. After a last sample below the limit the level is 0, or the area is missing.
    short_tail : {"extrapolate", "missing"}
        N-08. After a quantifiable last sample the area is extrapolated if admissible, or missing.
    after_event : {"as_short_tail", "missing"}
        N-09. The same where the patient died or progressed before the end of the window.
    min_points, min_adjusted_r2, min_span : int, float, float
        N-08, N-11. Points, adjusted R-squared and half-lives an admissible slope needs.
    max_extrapolated : float
        N-08. Largest extrapolated part of an area [%].
    clast : {"observed", "predicted"}
        N-10. Level from which areas are extrapolated.
    include_tmax : bool
        N-11. Whether the peak belongs to the points of the decline.
    r2_per_point : float
        N-11. Adjusted R-squared that a longer tail may lose.
    doubling_points, confirm_blq : int
        N-12 and persistence P2.
    summary : {"geometric", "arithmetic"}
        N-13. For levels and areas.
    all_blq : {"censored", "half_lloq", "drop"}
        N-14. What a profile wholly below the limit counts as on the log scale.
    """

    c0: str = "zero"
    interpolation: str = "lin_up_log_down"
    blq: str = "default"
    tmax_ties: str = "first"
    subset_at: str = "total_peak"
    window_end: str = "interpolate"
    blq_tail: str = "complete"
    short_tail: str = "extrapolate"
    after_event: str = "as_short_tail"
    min_points: int = 3
    min_adjusted_r2: float = 0.80
    min_span: float = 1.5
    max_extrapolated: float = 20.0
    clast: str = "observed"
    include_tmax: bool = False
    r2_per_point: float = 1e-4
    doubling_points: int = 3
    confirm_blq: int = 2
    summary: str = "geometric"
    all_blq: str = "censored"
    detectable: str = "lod"

    def __post_init__(self) -> None:
        faults = [
            Fault(f"rule {name}", f"{getattr(self, name)!r} is unknown", _remedy(name, allowed))
            for name, allowed in _CHOICES.items()
            if getattr(self, name) not in allowed
        ]
        for name, least in (("min_points", 3), ("doubling_points", 2), ("confirm_blq", 1)):
            if not getattr(self, name) >= least:
                what = f"is {getattr(self, name)}"
                faults.append(Fault(f"rule {name}", what, f"Give at least {least}."))
        if faults:
            raise DataError(faults)

    def describe(self) -> pd.DataFrame:
        """List every rule with what was chosen.

        Returns
        -------
        DataFrame
            ``rule`` (N-01 to N-14), ``decides``, ``chosen``, ``default``.
        """
        own, usual = asdict(self), asdict(DEFAULT_RULES)
        rows = []
        for rule, (fields, decides) in _RULES.items():
            said, default = (
                ", ".join(f"{f}={values[f]}" for f in fields) for values in (own, usual)
            )
            rows.append((rule, decides, said, said == default))
        return pd.DataFrame(rows, columns=["rule", "decides", "chosen", "default"])


def _remedy(name: str, allowed: tuple[Any, ...]) -> str:
    return f"Choose from {allowed}."


DEFAULT_RULES = Rules()
# After the defaults of PKNCA, and after what is commonly set in Phoenix WinNonlin, which has no
# rule of its own for samples below the limit and keeps every slope.
PRESETS = {
    "default": DEFAULT_RULES,
    "pknca-like": Rules(blq="pknca", min_adjusted_r2=0.9, min_span=2.0),
    "winnonlin-like": Rules(
        interpolation="linear",
        blq="zero_then_drop",
        min_adjusted_r2=-np.inf,
        min_span=0.0,
        max_extrapolated=np.inf,
    ),
}


def rules_from(rules: object) -> Rules:
    """Read rules given as such, as the name of a preset, or as changes to the default.

    Parameters
    ----------
    rules : Rules, str or mapping
        ``"default"``, ``"pknca-like"``, ``"winnonlin-like"``; or field names, or rules such as
        ``"N-04"`` that have one field, with what they shall be.

    Returns
    -------
    Rules

    Examples
    --------
    >>> rules_from({"N-04": "linear"}).interpolation
    'linear'
    """
    if isinstance(rules, Rules):
        return rules
    if isinstance(rules, str):
        if rules not in PRESETS:
            known = f"Choose from {', '.join(PRESETS)}."
            raise DataError(Fault("rules", f"{rules!r} is unknown", known))
        return PRESETS[rules]
    if not isinstance(rules, Mapping):
        what = f"{rules!r} are no rules"
        raise DataError(Fault("rules", what, "Give Rules, the name of a preset, or a mapping."))
    changes = {_field(str(name)): value for name, value in rules.items()}
    unknown = [name for name in changes if name not in asdict(DEFAULT_RULES)]
    if unknown:
        known = f"Choose from {', '.join([*_RULES, *asdict(DEFAULT_RULES)])}."
        raise DataError([Fault(f"rule {name}", "is unknown", known) for name in unknown])
    return replace(DEFAULT_RULES, **changes)


def _field(name: str) -> str:
    return _RULES[name][0][0] if name in _RULES else name
