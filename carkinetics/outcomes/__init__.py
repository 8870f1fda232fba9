"""How exposure goes with outcome: survival, grades, and yes-or-no events."""

from carkinetics.outcomes.adjacent import adjacent_categories
from carkinetics.outcomes.associate import associate
from carkinetics.outcomes.association import Association, Estimate
from carkinetics.outcomes.assumed_power import AssumedPower
from carkinetics.outcomes.binary import auroc, hodges_lehmann, mann_whitney
from carkinetics.outcomes.competing import causes_of_progression
from carkinetics.outcomes.concordance import concordance_index
from carkinetics.outcomes.cut_by_cut import odds_by_cut
from carkinetics.outcomes.cut_point import corrected_p, optimal_cut_point
from carkinetics.outcomes.follow_up import FollowUp, follow_up
from carkinetics.outcomes.hazards import cox
from carkinetics.outcomes.incidence import CumulativeIncidence, cumulative_incidence
from carkinetics.outcomes.multiplicity import benjamini_hochberg, holm
from carkinetics.outcomes.ordinal import logistic, proportional_odds
from carkinetics.outcomes.penalized import firth_cox, firth_logistic
from carkinetics.outcomes.permutation import RankTest
from carkinetics.outcomes.permuted_log_rank import permuted_log_rank
from carkinetics.outcomes.pooling import pool
from carkinetics.outcomes.power import Power, power
from carkinetics.outcomes.proportions import clopper_pearson
from carkinetics.outcomes.restricted import restricted_mean, restricted_mean_difference
from carkinetics.outcomes.scales import (
    doubling_from_tenfold,
    ratio_per_doubling,
    ratio_per_tenfold,
    tenfold_from_doubling,
)
from carkinetics.outcomes.separation import is_monotone, is_separated
from carkinetics.outcomes.survival import KaplanMeier, kaplan_meier, log_rank
from carkinetics.outcomes.time_dependent import cox_so_far
from carkinetics.outcomes.transplant import censor_at_transplant, cox_across_transplant
from carkinetics.outcomes.trend import jonckheere_terpstra, kendall, spearman
from carkinetics.outcomes.weibull import weibull_hazards

__all__ = [
    "Association",
    "AssumedPower",
    "CumulativeIncidence",
    "Estimate",
    "FollowUp",
    "KaplanMeier",
    "Power",
    "RankTest",
    "adjacent_categories",
    "associate",
    "auroc",
    "benjamini_hochberg",
    "causes_of_progression",
    "censor_at_transplant",
    "clopper_pearson",
    "concordance_index",
    "corrected_p",
    "cox",
    "cox_across_transplant",
    "cox_so_far",
    "cumulative_incidence",
    "doubling_from_tenfold",
    "firth_cox",
    "firth_logistic",
    "follow_up",
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
    "odds_by_cut",
    "optimal_cut_point",
    "permuted_log_rank",
    "pool",
    "power",
    "proportional_odds",
    "ratio_per_doubling",
    "ratio_per_tenfold",
    "restricted_mean",
    "restricted_mean_difference",
    "spearman",
    "tenfold_from_doubling",
    "weibull_hazards",
]
