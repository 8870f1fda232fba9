"""The columns of the table of a batch: one row per variant and estimand."""

from __future__ import annotations

# What each column holds; the order is that of the table.
COLUMNS = {
    "analysis_id": "name of the variant",
    "factor": "what differs from the base case",
    "level": "and how",
    "estimand": "what was estimated",
    "estimate": "the number; missing where the analysis failed",
    "lo": "lower limit of the interval",
    "hi": "upper limit",
    "p_dir": "posterior probability that the association has the sign of the estimate",
    "p_value": "two-sided, of a classical test",
    "n": "patients",
    "events": "events among them; -1 where there are none to speak of",
    "khat_max": "largest Pareto k-hat, where the row was reweighted",
    "divergences": "divergent draws of the fit; missing where there was no sampler",
    "seconds": "computing time of the fit and the analysis [s]",
    "data_hash": "hash of the data after the change",
    "code_version": "version of carkinetics, with the start of a hash of its source",
    "how": "how the row was obtained",
    "status": "done or failed",
    "reason": "why there is no number",
    "is_base": "whether it is the base case",
    "method": "the estimator",
    "p_kind": "where the p-value comes from",
    "probability": "coverage of the interval",
    "interval_kind": "how the interval was found",
    "fit": "key of the fit",
}
DONE, FAILED = "done", "failed"
