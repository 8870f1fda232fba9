"""Figures of a batch, from its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carkinetics.batch.comparison import compare
from carkinetics.errors import BatchError

if TYPE_CHECKING:
    from carkinetics.batch.runs import Runs
    from carkinetics.plotting import Picture


def tornado(runs: Runs, estimand: str | None = None) -> Picture:
    """Draw how far each factor moves an estimand; see `plot_tornado`."""
    from carkinetics.plotting import plot_tornado

    rows = runs.of(estimand)
    c = compare(runs, rows["estimand"].iloc[0])
    return plot_tornado(rows, null=c.null, log=c.log, n_failed=c.n_failed, synthetic=runs.synthetic)


def specification_curve(runs: Runs, estimand: str | None = None) -> Picture:
    """Draw all variants with the choices behind them; see `plot_specification_curve`."""
    from carkinetics.plotting import plot_specification_curve

    rows = runs.of(estimand)
    c = compare(runs, rows["estimand"].iloc[0])
    choices = runs.choices.loc[rows["analysis_id"], list(runs.varied)]
    return plot_specification_curve(
        rows, choices, null=c.null, log=c.log, n_failed=c.n_failed, synthetic=runs.synthetic
    )


def leave_one_out(runs: Runs, estimand: str | None = None) -> Picture:
    """Draw the estimates without each patient in turn; see `plot_leave_one_out`."""
    from carkinetics.plotting import plot_leave_one_out

    rows = runs.of(estimand)
    left_out = rows[rows["is_base"] | (rows["factor"] == "leave_out")]
    if (left_out["factor"] == "leave_out").sum() < 2:
        raise BatchError('No patient is left out: give leave_out="each" to `variants`.')
    c = compare(runs, rows["estimand"].iloc[0])
    return plot_leave_one_out(left_out, null=c.null, log=c.log, synthetic=runs.synthetic)
