"""Peak of expansion by what became of the antigen at relapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carkinetics.errors import DataError, Fault
from carkinetics.noncompartmental import observed_quantities
from carkinetics.plotting.style import (
    COLORS,
    Picture,
    caption,
    level_label,
    log_levels,
    new_figure,
    picture,
    stamp,
)
from carkinetics.trial import find_role, role_of

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort

_ORDER = ("retained", "dim", "lost", "not_evaluable")


@picture
def plot_antigen(cohort: Cohort, assay: str = "flow", *, width: float = 4.6) -> Picture:
    """Draw the observed peak of patients with disease after infusion, by antigen then.

    Parameters
    ----------
    cohort : Cohort
        With the antigen at relapse (such as ``cd22_at_relapse``).
    assay : str
        Of the peak.
    width : float
        Of the figure [inch].

    Returns
    -------
    Picture
        One strip per state of the antigen. Filled: CAR T cells were detectable at relapse, where
        that is known. A description: groups are small, and nothing is tested.

    Raises
    ------
    DataError
        If the antigen at relapse is not in the table, or nobody has a peak.
    """
    state = role_of(cohort, "antigen_at_relapse")
    if state is None:
        what = "there is no antigen at relapse"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add a column cd22_at_relapse."))
    found = observed_quantities(cohort, assay, "total", ("cmax",)).set_index("patient")
    known = state.dropna().astype(str)
    peak = found["observed_cmax"].astype(float).reindex(known.index)
    present = role_of(cohort, "detectable_at_relapse")
    with_cells = (
        np.zeros(len(known), dtype=bool)
        if present is None
        else (present[known.index].astype("Float64").fillna(0) == 1).to_numpy(bool)
    )
    kept = peak.notna().to_numpy()
    if not kept.any():
        raise DataError(Fault(f"cohort {cohort.name}", "nobody with disease has a peak"))
    names = [n for n in _ORDER if (known == n).any()]
    names += sorted(set(known) - set(names))
    figure, panels = new_figure(width, 0.8 * width + 1.1)
    axes = panels[0]
    for place, name in enumerate(names):
        here = (known == name).to_numpy() & kept
        values, filled = peak.to_numpy()[here], with_cells[here]
        order = np.argsort(values)
        at = place + (np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1))
        for fill in (True, False):
            some = filled[order] == fill
            axes.plot(
                at[some], values[order][some], "o", markersize=5.5, color=COLORS["total"],
                markerfacecolor=COLORS["total"] if fill else "white",
            )  # fmt: skip
    labels = [f"{n.replace('_', ' ')}\nn = {int((known == n).sum())}" for n in names]
    axes.set_xticks(range(len(names)), labels, fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    log_levels(axes, f"Observed peak, {level_label(assay, str(found['unit'].iloc[0]))}")
    axes.set_xlabel(str(find_role(cohort, "antigen_at_relapse")).replace("_", " "), fontsize=8)
    lines = ["A description: groups are small, nothing is tested."]
    if present is not None:
        lines.insert(0, "Filled: CAR T cells detectable then.")
    missing = int((~kept).sum())
    if missing:
        lines.append(f"{missing} patient(s) without a quantifiable peak left out.")
    caption(figure, "\n".join(lines), cohort.synthetic)
    stamp(figure, cohort.synthetic)
    return Picture(figure, panels)
