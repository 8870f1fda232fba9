"""What `associate` returns: estimates side by side, each with its method, unit and standing."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.scales import tenfold_from_doubling

if TYPE_CHECKING:
    from carkinetics.outcomes.assumed_power import AssumedPower

SYNTHETIC = "SYNTHETIC, not patient data"

# In the order in which a table shows them; the joint model is the headline.
JOINT = "joint"
POSTERIOR_MEAN = "classical, posterior mean of log exposure"
OBSERVED_VALUE = "classical, observed value"
PROPAGATED = "propagated (cut)"
MODES = (JOINT, POSTERIOR_MEAN, OBSERVED_VALUE, PROPAGATED)

_WIDTH = 110  # letters of a printed line
_DOUBLING, _TENFOLD = "per doubling", "per ten-fold"


@dataclass(frozen=True)
class Estimate:
    """One number that says how exposure goes with outcome.

    Parameters
    ----------
    mode : str
        One of `MODES`: which exposure values went in, and how.
    method : str
        The estimator, such as ``"Cox (Efron)"``.
    measure : str
        What the number is, such as ``"hazard ratio per doubling"``.
    estimate, lower, upper : float
        The number and its limits; NaN where missing, infinite where a limit is open.
    probability : float
        Coverage of the interval; NaN where there is none.
    interval_kind : str
        How the interval was found; empty where there is none.
    p_value : float
        Two-sided; NaN where missing.
    p_kind : str
        Where the p-value comes from, such as ``"likelihood ratio"``.
    statistic : float
        What a rank test counts; NaN for others.
    statistic_name : str
        ``"U"`` (Mann-Whitney, of the patients with the event) or ``"J"`` (Jonckheere-Terpstra).
    p_asymptotic : float
        The p-value that a large-sample approximation would give, for comparison with other
        programs; NaN where there is none.
    asymptotic_kind : str
        Which approximation.
    n, n_events : int
        Patients used, and events among them (grade above the lowest; -1 where there are none to
        speak of).
    note : str
        What to know about this number; the reason where it is missing.
    """

    mode: str
    method: str
    measure: str
    estimate: float
    lower: float = math.nan
    upper: float = math.nan
    probability: float = math.nan
    interval_kind: str = ""
    p_value: float = math.nan
    p_kind: str = ""
    statistic: float = math.nan
    statistic_name: str = ""
    p_asymptotic: float = math.nan
    asymptotic_kind: str = ""
    n: int = 0
    n_events: int = -1
    note: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is no number; `note` then says why."""
        return math.isnan(self.estimate)

    def tenfold(self) -> Estimate:
        """Tell the same ratio per ten-fold exposure instead of per doubling.

        Returns
        -------
        Estimate
            Itself where the measure is not a ratio per doubling.
        """
        if not self.measure.endswith(_DOUBLING):
            return self
        numbers = np.array([self.estimate, self.lower, self.upper])
        estimate, lower, upper = (float(v) for v in tenfold_from_doubling(numbers))
        measure = self.measure.removesuffix(_DOUBLING) + _TENFOLD
        return replace(self, measure=measure, estimate=estimate, lower=lower, upper=upper)


@dataclass(frozen=True, repr=False, eq=False)
class Association:
    """How an exposure goes with an outcome, by several estimators.

    Parameters
    ----------
    exposure, outcome, cell_type : str
        What was related, such as ``"cmax"``, ``"ttp"``, ``"total"``.
    exposure_label, outcome_label, unit : str
        The same for figures; `unit` is that of the exposure.
    kind : str
        Kind of outcome: ``"survival"``, ``"ordinal"``, ``"binary"`` or ``"continuous"``.
    estimates : tuple of Estimate
        All of them, whatever they say: the family of tests.
    data : DataFrame
        One row per patient: ``patient``; ``posterior_mean`` (geometric mean of the draws),
        ``posterior_lower``, ``posterior_upper`` and ``observed`` [unit] (NaN where missing; at the
        limit where ``observed_below_lloq``); ``day`` (on the clock used) and ``event``, or
        ``outcome``; and ``left_out``, the reason why the outcome was not used, or empty.
    notes : tuple of str
        What a reader has to know: patients left out, order in time, reliability.
    clock : str
        Where time starts, such as ``"from infusion"``; empty without survival.
    reliability, shrinkage : float
        Of the posterior means (see the notes); NaN where there are none.
    synthetic : bool
        Whether the patients are invented.
    cohort : str
        Name of the cohort.
    power : AssumedPower or None
        Where the first p-value is above 0.05: how often that test would have found an association
        of a size stated in advance.
    approximate : bool
        Whether the exposures come from an approximate fit.
    """

    exposure: str
    outcome: str
    cell_type: str
    exposure_label: str
    outcome_label: str
    unit: str
    kind: str
    estimates: tuple[Estimate, ...]
    data: pd.DataFrame
    notes: tuple[str, ...] = field(default=())
    clock: str = ""
    reliability: float = math.nan
    shrinkage: float = math.nan
    synthetic: bool = False
    cohort: str = ""
    power: AssumedPower | None = None
    approximate: bool = False

    def of_mode(self, mode: str) -> tuple[Estimate, ...]:
        """Give the estimates of one mode (see `MODES`)."""
        return tuple(estimate for estimate in self.estimates if estimate.mode == mode)

    def table(self, per: str = "doubling") -> pd.DataFrame:
        """Put all estimates in a table, one row each.

        Parameters
        ----------
        per : {"doubling", "ten-fold"}
            Unit in which ratios are told.

        Returns
        -------
        DataFrame
            The fields of `Estimate` as columns.
        """
        if per not in ("doubling", "ten-fold"):
            what = f"per is {per!r}"
            raise DataError(Fault("Association.table", what, "Choose 'doubling' or 'ten-fold'."))
        rows = [vars(e.tenfold() if per == "ten-fold" else e) for e in self.estimates]
        return pd.DataFrame(rows, columns=list(Estimate.__dataclass_fields__))

    @property
    def title(self) -> str:
        """One line that names the association and its cohort."""
        mark = f" [{SYNTHETIC}]" if self.synthetic else ""
        mark += " [APPROXIMATE: Laplace, not MCMC]" if self.approximate else ""
        clock = f", {self.clock}" if self.clock else ""
        what = f"{self.exposure_label} ({self.cell_type}) and {self.outcome_label}{clock}"
        return f"Association of {what}: cohort {self.cohort}{mark}"

    def __repr__(self) -> str:
        lines = [self.title]
        for mode in MODES:
            found = self.of_mode(mode)
            if found:
                lines.append(f"  {mode}")
                lines += [f"    {line}" for line in _as_text(_shown(found, brief=True))]
                lines += [_folded(f"    {e.method}: {_how(e)}") for e in found if _how(e)]
        lines += [_folded(f"  note: {note}") for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><strong>{escape(self.title)}</strong></p>"]
        for mode in MODES:
            found = self.of_mode(mode)
            if found:
                shown = _shown(found).assign(note=[_remark(e) for e in found])
                parts.append(f"<p>{escape(mode)}</p>{shown.to_html(index=False, border=0)}")
        if self.notes:
            items = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
            parts.append(f"<ul>{items}</ul>")
        return "<div>" + "".join(parts) + "</div>"


def _shown(estimates: tuple[Estimate, ...], brief: bool = False) -> pd.DataFrame:
    """Round estimates for reading; brief leaves out where intervals and p-values come from."""
    return pd.DataFrame(
        [
            {
                "method": e.method,
                "measure": e.measure,
                "estimate": "missing" if e.missing else f"{e.estimate:.3g}",
                "interval": _interval(e, brief),
                "p": _p(e, brief),
                "statistic": f"{e.statistic_name} = {e.statistic:g}" if e.statistic_name else "",
                "n": e.n,
                "events": e.n_events if e.n_events >= 0 else "",
            }
            for e in estimates
        ]
    )


def _as_text(shown: pd.DataFrame) -> list[str]:
    """Align words to the left and numbers to the right; leave out columns without entries."""
    empty = [name for name in shown.columns if (shown[name] == "").all()]
    shown = shown.drop(columns=empty).astype(str)
    lines = [list(shown.columns), *shown.to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [name in ("estimate", "n", "events") for name in shown.columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def _folded(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _how(e: Estimate) -> str:
    """Say where the interval and the p-value come from, and what else there is to know."""
    parts = (
        f"{e.probability:.0%} interval: {e.interval_kind}" if e.interval_kind else "",
        f"p: {e.p_kind}" if e.p_kind else "",
        e.note,
    )
    return "; ".join(filter(None, parts))


def _remark(e: Estimate) -> str:
    asymptotic = f"asymptotic p {e.p_asymptotic:.3g} ({e.asymptotic_kind})"
    return "; ".join(filter(None, (e.note, "" if math.isnan(e.p_asymptotic) else asymptotic)))


def _interval(e: Estimate, brief: bool) -> str:
    if math.isnan(e.lower) and math.isnan(e.upper):
        return ""
    ends = f"{e.lower:.3g} to {e.upper:.3g}"
    return ends if brief else f"{ends} ({e.probability:.0%}, {e.interval_kind})"


def _p(e: Estimate, brief: bool) -> str:
    if math.isnan(e.p_value):
        return ""
    value = "<0.001" if e.p_value < 0.001 else f"{e.p_value:.3f}"
    return value if brief else f"{value} ({e.p_kind})"
