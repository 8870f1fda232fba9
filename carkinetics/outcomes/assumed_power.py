"""What a p-value above 0.05 is worth: the power at an association stated in advance.

Never the power at the association observed, which only repeats the p-value in other words
(Hoenig and Heisey 2001, doi 10.1198/000313001300339897).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carkinetics.outcomes.assumed_outcomes import (
    ASSUMED_RATIO,
    draw_events,
    draw_grades,
    draw_times,
)
from carkinetics.outcomes.endpoint import BINARY, SURVIVAL
from carkinetics.outcomes.light_tests import (
    COX,
    FIRTH_COX,
    JONCKHEERE,
    MANN_WHITNEY,
    cox_p,
    mann_whitney_p,
    ordinal_tests,
)
from carkinetics.outcomes.penalized import firth_cox_p
from carkinetics.outcomes.scales import LOG
from carkinetics.outcomes.survival import kaplan_meier

if TYPE_CHECKING:
    from carkinetics.outcomes.association import Estimate
    from carkinetics.outcomes.pairs import Pairs

Array = NDArray[np.float64]

LEVEL = 0.05
REPEATS = 400
_ENOUGH = 10  # events from which Cox needs no penalty
_FEWEST = 5  # patients


@dataclass(frozen=True)
class AssumedPower:
    """How often a test would have seen an association of stated size in these patients.

    Parameters
    ----------
    method : str
        The test.
    measure : str
        What the ratio is.
    ratio : float
        Assumed, per doubling of exposure.
    power : float
        Share of simulated trials with p below 0.05.
    repeats, n : int
        Simulated trials, and patients in each.
    """

    method: str
    measure: str
    ratio: float
    power: float
    repeats: int
    n: int

    @property
    def sentence(self) -> str:
        """One sentence, without a full stop."""
        error = np.sqrt(self.power * (1.0 - self.power) / self.repeats)
        return (
            f"with these {self.n} patients and their exposures, {self.method} would find an "
            f"assumed {self.measure} of {self.ratio:g} per doubling (stated in advance, not the "
            f"one observed) in {self.power:.0%} of trials ({self.repeats} simulated, "
            f"± {2 * error:.0%})"
        )


def is_unsure(estimates: tuple[Estimate, ...]) -> bool:
    """Tell whether the first p-value of an analysis is above the level."""
    first = next((e.p_value for e in estimates if not np.isnan(e.p_value)), 0.0)
    return first > LEVEL


def assumed_power(
    kind: str, pairs: Pairs, ratio: float | None = None, repeats: int = REPEATS
) -> AssumedPower | None:
    """Simulate the outcome of the same patients under an assumed association.

    Parameters
    ----------
    kind : str
        Kind of outcome; a continuous one gives None.
    pairs : Pairs
        Exposure and outcome. The exposures stay as they are; outcomes are drawn with as many
        events, grades and censorings as were seen, on average.
    ratio : float, optional
        Hazard or odds ratio per doubling; 0.6 and 1.7 by default.
    repeats : int
        Simulated trials.

    Returns
    -------
    AssumedPower or None
        None where there is nothing to simulate from: no event, or one outcome only.
    """
    keep = pairs.regressed
    x, outcome = pairs.x[keep], pairs.outcome[keep]
    if kind not in ASSUMED_RATIO or x.size < _FEWEST or np.ptp(x) == 0 or pairs.scale != LOG:
        return None
    wanted = ASSUMED_RATIO[kind] if ratio is None else ratio
    rng = np.random.default_rng([pairs.seed, 7])
    if kind == SURVIVAL:
        return _survival(rng, x, pairs.day[keep], outcome.astype(bool), wanted, repeats)
    if np.ptp(outcome) == 0:
        return None
    if kind == BINARY:
        draws = draw_events(rng, np.tile(x, (repeats, 1)), wanted, float(outcome.mean()))
        p = [mann_whitney_p(x, row) if row.any() and not row.all() else 1.0 for row in draws]
        return _result(MANN_WHITNEY, "odds ratio", wanted, p, x.size)
    _, codes = np.unique(outcome, return_inverse=True)
    shares = np.bincount(codes) / codes.size
    grades = draw_grades(rng, np.tile(x, (repeats, 1)), wanted, shares.tolist())
    p = [ordinal_tests(x, row)[JONCKHEERE] for row in grades.astype(float)]
    return _result(JONCKHEERE, "odds ratio of a higher grade", wanted, p, x.size)


def _survival(
    rng: np.random.Generator, x: Array, day: Array, event: NDArray[np.bool_], ratio: float,
    repeats: int,
) -> AssumedPower | None:  # fmt: skip
    if not event.any():
        return None
    method = COX if event.sum() >= _ENOUGH else FIRTH_COX
    rate = event.sum() / day.sum()
    censoring = _censoring(rng, day, event, (repeats, x.size))
    times, events = draw_times(rng, np.tile(x, (repeats, 1)), ratio, rate, censoring)
    test = cox_p if method == COX else firth_cox_p
    p = [test(x, t, e) for t, e in zip(times, events, strict=True)]
    return _result(method, "hazard ratio", ratio, p, x.size)


def _censoring(
    rng: np.random.Generator, day: Array, event: NDArray[np.bool_], shape: tuple[int, int]
) -> Array:
    """Draw ends of follow-up from the reverse Kaplan-Meier curve; what is left, from its end."""
    curve = kaplan_meier(day, ~event)
    steps = -np.diff(np.concatenate([[1.0], curve.survival]))
    steps[-1] += max(1.0 - steps.sum(), 0.0)
    return np.asarray(rng.choice(curve.day, size=shape, p=steps / steps.sum()))


def _result(method: str, measure: str, ratio: float, p: list[float], n: int) -> AssumedPower:
    power = float((np.array(p) < LEVEL).mean())
    return AssumedPower(method, measure, ratio, power, len(p), n)
