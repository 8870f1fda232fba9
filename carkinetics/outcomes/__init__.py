"""How exposure goes with outcome: survival, grades, and yes-or-no events."""

from carkinetics.outcomes.associate import associate
from carkinetics.outcomes.association import Association, Estimate
from carkinetics.outcomes.binary import auroc, hodges_lehmann, mann_whitney
from carkinetics.outcomes.hazards import cox
from carkinetics.outcomes.multiplicity import benjamini_hochberg, holm
from carkinetics.outcomes.ordinal import logistic, proportional_odds
from carkinetics.outcomes.penalized import firth_cox, firth_logistic
from carkinetics.outcomes.proportions import clopper_pearson
from carkinetics.outcomes.scales import (
    doubling_from_tenfold,
    ratio_per_doubling,
    ratio_per_tenfold,
    tenfold_from_doubling,
)
from carkinetics.outcomes.separation import is_monotone, is_separated
from carkinetics.outcomes.survival import kaplan_meier, log_rank
from carkinetics.outcomes.trend import jonckheere_terpstra, kendall, spearman

__all__ = [
    "Association",
    "Estimate",
    "associate",
    "auroc",
    "benjamini_hochberg",
    "clopper_pearson",
    "cox",
    "doubling_from_tenfold",
    "firth_cox",
    "firth_logistic",
    "hodges_lehmann",
    "holm",
    "is_monotone",
    "is_separated",
    "jonckheere_terpstra",
    "kaplan_meier",
    "kendall",
    "log_rank",
    "logistic",
    "mann_whitney",
    "proportional_odds",
    "ratio_per_doubling",
    "ratio_per_tenfold",
    "spearman",
    "tenfold_from_doubling",
]
