"""What is written down of a plan, and of a variant without a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carkinetics.batch.factors import SAMPLES
from carkinetics.batch.keys import code_version, versions
from carkinetics.batch.rows import FAILED

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan


def plan_record(plan: BatchPlan) -> dict[str, Any]:
    """Write down a plan: enough to read the table again without model and data."""
    model = plan.model
    return {
        "declared": plan.declared.as_dict(),
        "base": plan.declared.base_choices(plan.method),
        "method": plan.method,
        "settings": dict(plan.settings),
        "allow_failed": plan.allow_failed,
        "cohort": plan.cohort.name,
        "n_patients": plan.cohort.n_patients,
        "synthetic": plan.cohort.synthetic,
        "data_hash": plan.cohort.data_hash,
        "model": None if model is None or plan.method == SAMPLES else model.name,
        "model_hash": None if model is None else model.text_hash,
        "model_text": None if model is None or plan.method == SAMPLES else model.text,
        "versions": versions(),
        "code_version": code_version(),
        "keys": [[v.name, plan.keys[v.name]] for v in plan.variants],
    }


def failed_record(plan: BatchPlan, name: str, reason: str, *, lost: bool) -> dict[str, Any]:
    """Write down a variant without a number.

    Parameters
    ----------
    plan : BatchPlan
        The batch.
    name : str
        Of the variant.
    reason : str
        Why there is none.
    lost : bool
        Whether another run may find one: it is then tried again.

    Returns
    -------
    dict
    """
    variant = plan.by_name[name]
    row = {
        "estimand": "",
        "status": FAILED,
        "reason": reason,
        "how": "lost" if lost else "refused",
        "code_version": code_version(),
    }
    return {
        "analysis_id": name,
        "factor": variant.factor,
        "level": variant.level,
        "choices": dict(variant.choices),
        "method": plan.method,
        "lost": lost,
        "rows": [row],
    }
