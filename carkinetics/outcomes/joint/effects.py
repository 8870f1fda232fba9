"""The slopes of a joint model, told as ratios, with what the data added to the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carkinetics.outcomes.endpoint import ORDINAL, SURVIVAL
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.priors import SLOPE_SD

# Below this contraction the posterior of a slope is mostly its prior.
DOMINATED = 0.5
_MEASURES = {SURVIVAL: "hazard ratio", ORDINAL: "odds ratio of a higher grade"}


@dataclass(frozen=True, eq=False)
class Slope:
    """Draws of the slope of one outcome, per unit of ln exposure.

    Parameters
    ----------
    outcome : JointOutcome
        The outcome.
    draws : array, shape (draw,)
        Log ratio per e-fold of exposure.
    prior_scale : float
        Factor on the SD of its prior.
    """

    outcome: JointOutcome
    draws: NDArray[np.float64]
    prior_scale: float = 1.0

    @property
    def measure(self) -> str:
        """What the ratio is."""
        return _MEASURES.get(self.outcome.kind, "odds ratio")

    @property
    def prior_sd(self) -> float:
        """SD of its Normal prior around 0."""
        return self.prior_scale * SLOPE_SD[self.outcome.kind]

    @property
    def negative(self) -> float:
        """Posterior probability that more exposure goes with less risk."""
        return float((self.draws < 0).mean())

    @property
    def contraction(self) -> float:
        """Share of the prior variance that the data took away: 1 - posterior / prior variance."""
        return 1.0 - float(self.draws.var(ddof=1)) / self.prior_sd**2

    @property
    def dominated(self) -> bool:
        """Whether the posterior is mostly the prior."""
        return self.contraction < DOMINATED

    def ratio(self, quantile: float, doublings: float = 1.0) -> float:
        """Give a quantile of the ratio per so many doublings of exposure."""
        return float(np.exp2(doublings * np.quantile(self.draws, quantile)))

    def interval(self, probability: float, doublings: float = 1.0) -> tuple[float, float]:
        """Give the equal-tailed credible interval of the ratio per so many doublings."""
        tail = (1.0 - probability) / 2.0
        return self.ratio(tail, doublings), self.ratio(1.0 - tail, doublings)

    @property
    def remark(self) -> str:
        """What to know about this slope."""
        o, found = self.outcome, []
        if not o.n_events:
            found.append("no patient had it")
        elif o.n_events == o.n and o.kind != SURVIVAL:
            found.append("every patient had it")
        if o.kind == ORDINAL and len(np.unique(o.value)) == 1:
            found.append("all patients have the same grade")
        if self.dominated:
            found.append(
                f"prior-dominated: the data took away {max(self.contraction, 0):.0%} of the prior "
                "variance, so that this says little beyond the prior"
            )
        return "; ".join(found)
