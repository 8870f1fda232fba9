"""What was found at relapse: antigen, and CAR T cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from carkinetics.trial.roles import role_of
from carkinetics.trial.shares import share_table

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

NOT_EVALUABLE = ("not_evaluable", "na", "not evaluable", "unknown")
RETAINED = ("retained", "positive", "pos")


@dataclass(frozen=True)
class Relapse:
    """Samples with disease: at relapse, progression or non-response.

    Parameters
    ----------
    antigen : DataFrame
        As `share_table`: antigen lost or down-regulated, each state, of the evaluable.
    with_disease, evaluable : int
        Patients with an entry, and those of them whose antigen could be judged.
    detectable : DataFrame
        ``antigen``, ``patients``: the states among patients with detectable CAR T cells then.
    n_detectable : int
        Patients with detectable CAR T cells then.
    """

    antigen: pd.DataFrame
    with_disease: int
    evaluable: int
    detectable: pd.DataFrame
    n_detectable: int


def relapse_samples(cohort: Cohort, probability: float = 0.95) -> Relapse | None:
    """Describe antigen and CAR T cells in samples with disease.

    Parameters
    ----------
    cohort : Cohort
        With a column of the antigen at relapse (such as ``cd22_at_relapse``: retained, dim, lost,
        not_evaluable).
    probability : float
        Coverage of exact intervals.

    Returns
    -------
    Relapse or None
        None where the antigen at relapse is not in the table. Non-responders count, since they
        have disease; the denominators say so.
    """
    column = role_of(cohort, "antigen_at_relapse")
    if column is None:
        return None
    state = column.dropna().astype(str)
    judged = state[~state.str.lower().isin(NOT_EVALUABLE)]
    changed = ~judged.str.lower().isin(RETAINED)
    counts = [("lost or down-regulated", int(changed.sum()), len(judged))]
    counts += [(s, int((judged == s).sum()), len(judged)) for s in sorted(judged.unique())]
    present = role_of(cohort, "detectable_at_relapse")
    with_cells = (
        state.index[:0]
        if present is None
        else state.index[(present[state.index].astype("Float64").fillna(0) == 1)]
    )
    states = state[with_cells].value_counts().rename_axis("antigen").rename("patients")
    return Relapse(
        share_table(counts, probability),
        len(state),
        len(judged),
        states.reset_index(),
        len(with_cells),
    )
