"""`cohort_persistence`: how long cells last in a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.persistence.intervals import LOST, STILL, loss_intervals
from carkinetics.persistence.npmle import Npmle, turnbull
from carkinetics.persistence.weibull import WeibullIntervals, weibull_intervals
from carkinetics.trial.detection import detection_table

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

DAYS = (28.0, 90.0, 180.0, 365.0)


@dataclass(frozen=True, eq=False, repr=False)
class CohortPersistence:
    """How long cells last in a cohort.

    Made by `cohort_persistence`.

    Parameters
    ----------
    intervals : DataFrame
        Where each patient's loss lies, and what ended sampling; see `loss_intervals`.
    turnbull : Npmle
        Distribution of the day of loss, sampling that ended otherwise being censored.
    weibull : WeibullIntervals
        The same as a Weibull distribution.
    competing : Npmle
        Loss and every event that ended sampling as competing causes: only patients still sampled
        at the end are censored.
    detection : DataFrame
        Shares with detectable cells on day 28 and in months 3, 6 and 12, of those who could be
        seen, with exact intervals (definition P3).
    name, assay, cell_type : str
        Of the cohort and the samples.
    synthetic : bool
        Whether the patients are invented.
    detectable : str
        What counts as detectable, in words.
    """

    intervals: pd.DataFrame
    turnbull: Npmle
    weibull: WeibullIntervals
    competing: Npmle
    detection: pd.DataFrame
    name: str
    assay: str
    cell_type: str
    synthetic: bool
    detectable: str = ""

    def table(self, days: tuple[float, ...] = DAYS, probability: float = 0.95) -> pd.DataFrame:
        """Give the share lost by some days, each way of counting.

        Parameters
        ----------
        days : tuple of float
            Days [day].
        probability : float
            Of the limits of the Weibull distribution.

        Returns
        -------
        DataFrame
            One row per day and method: ``"Turnbull, end of sampling censored"`` and ``"Turnbull,
            end of sampling competes"`` (``lower`` and ``upper`` are what the intervals leave
            open, no confidence limits; the second is never above the first), ``"Weibull, end of
            sampling censored"`` (``estimate`` with confidence limits), and, for each event that
            ended sampling, its own share.
        """
        rows = []
        free = self.turnbull.incidence(days, LOST)
        rows += _open(free, "Turnbull, end of sampling censored", LOST)
        for cause in dict.fromkeys([LOST, *self.causes]):
            part = self.competing.incidence(days, cause)
            rows += _open(part, "Turnbull, end of sampling competes", cause)
        if not self.weibull.reason:
            fitted = self.weibull.survival(days, probability)
            rows += [
                ("Weibull, end of sampling censored", LOST, r.day, 1 - r.estimate, 1 - r.upper,
                 1 - r.lower, probability)
                for r in fitted.itertuples()
            ]  # fmt: skip
        columns = ["method", "what", "day", "estimate", "lower", "upper", "probability"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def causes(self) -> tuple[str, ...]:
        """Events that ended sampling before a loss."""
        ends = dict.fromkeys(self.intervals["end"])
        return tuple(end for end in ends if end not in (LOST, STILL))

    def _lines(self) -> list[str]:
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        ends = self.intervals["end"].value_counts()
        low, high = self.turnbull.median(LOST)
        median = f"in ({low:g}, {high:g}]" if np.isfinite(high) else "not reached"
        fitted = self.weibull.reason or "{:.0f} ({:.0f} to {:.0f})".format(*self.weibull.median())
        return [
            f"Persistence of {self.cell_type} cells by {self.assay} in {len(self.intervals)} "
            f"patients of {self.name}{mark}",
            f"detectable: {self.detectable}",
            "; ".join(f"{end}: {count}" for end, count in ends.items()),
            f"median day of loss, end of sampling censored: Turnbull {median}; Weibull {fitted}",
        ]

    def __repr__(self) -> str:
        return "\n".join([*self._lines(), self.detection.to_string(index=False)])

    def _repr_html_(self) -> str:
        return f"<p>{'<br>'.join(self._lines())}</p>" + self.detection.to_html(index=False)


def _open(part: pd.DataFrame, method: str, what: str) -> list[tuple[object, ...]]:
    known = np.where(part["lower"] == part["upper"], part["lower"], np.nan)
    return [
        (method, what, r.day, value, r.lower, r.upper, np.nan)
        for r, value in zip(part.itertuples(), known, strict=True)
    ]


def cohort_persistence(
    cohort: Cohort,
    assay: str = "flow",
    cell_type: str = "total",
    *,
    confirm: int = 2,
    detectable: str = "lod",
    probability: float = 0.95,
) -> CohortPersistence:
    """Estimate how long cells last in a cohort, from samples that bound the day of loss.

    Parameters
    ----------
    cohort : Cohort
        Levels and patients.
    assay, cell_type : str
        Which samples.
    confirm : int
        Samples without detectable cells in a row that confirm a loss; fewer do at the end of
        sampling.
    detectable : {"lod", "lloq"}
        Cells seen below the limit of quantification are detectable, where the cohort tells
        detection from quantification (columns ``lod`` or ``detected``); or only quantifiable
        samples are. The result says in words which it was.
    probability : float
        Of the exact intervals of shares.

    Returns
    -------
    CohortPersistence
        With sampling that ended for another reason counted both ways: as censoring, which says
        how long cells would last if such an end told nothing about them; and as competing events.

    Notes
    -----
    Kaplan-Meier curves of the last detectable or of the first undetectable day are biased by
    the gaps between visits; neither is given.
    """
    found = loss_intervals(cohort, assay, cell_type, confirm, detectable)
    left, right = found["left"].to_numpy(float), found["right"].to_numpy(float)
    lost = np.isfinite(right)
    return CohortPersistence(
        intervals=found,
        turnbull=turnbull(left, right, np.where(lost, LOST, "")),
        weibull=weibull_intervals(left, right),
        competing=_competing(found),
        detection=detection_table(cohort, assay, cell_type, probability, detectable),
        name=cohort.name,
        assay=assay,
        cell_type=cell_type,
        synthetic=cohort.synthetic,
        detectable=_in_words(cohort, assay, cell_type, detectable),
    )


def _in_words(cohort: Cohort, assay: str, cell_type: str, detectable: str) -> str:
    """Say what counted as detectable, and how many samples below the LLOQ that took in."""
    rows = cohort.samples(assay, cell_type)
    if "detected" not in rows:
        return "quantifiable (the cohort does not tell detection from quantification)"
    seen = int((rows["detected"] & rows["below_lloq"]).sum())
    if detectable == "lloq":
        return f"quantifiable ({seen} samples in which cells were seen below the LLOQ do not count)"
    return f"cells seen, quantifiable or not ({seen} samples below the LLOQ count)"


def _competing(found: pd.DataFrame) -> Npmle:
    """Count every event that ended sampling on its day; only the others are censored."""
    left, right = found["left"].to_numpy(float), found["right"].to_numpy(float)
    ended = ~found["end"].isin([LOST, STILL]).to_numpy(bool)
    day = found["end_day"].to_numpy(float)
    left, right = np.where(ended, day, left), np.where(ended, day, right)
    return turnbull(left, right, found["end"].to_numpy(str))
