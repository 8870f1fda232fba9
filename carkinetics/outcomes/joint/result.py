"""The frozen result of a joint fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.diagnostics import DEFAULT_LIMITS, Check, Limits
from carkinetics.errors import DataError, Fault
from carkinetics.inference.result import Fit
from carkinetics.outcomes.endpoint import SURVIVAL
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.effects import Slope
from carkinetics.outcomes.joint.feedback import feedback_table
from carkinetics.outcomes.joint.leaving_out import influence_table, sensitivity_row
from carkinetics.outcomes.joint.pointwise import outcome_log_likelihood
from carkinetics.outcomes.joint.residuals import outcome_residuals, residual_table
from carkinetics.outcomes.scales import DOUBLINGS_PER_TENFOLD
from carkinetics.quantities import find_quantity

if TYPE_CHECKING:
    import xarray as xr

    from carkinetics.outcomes.joint.extension import JointExtension

_WIDE, _NARROW = 0.95, 0.9


@dataclass(frozen=True, eq=False, repr=False)
class JointFit:
    """Kinetics and outcomes of a cohort in one posterior.

    Made by `fit_joint` or `load_joint`.

    Parameters
    ----------
    kinetics : Fit
        The fit: the same groups of draws as without outcomes, and ``carkinetics/outcomes``.
    extension : JointExtension
        Exposure, outcomes, and how they are related.
    kinetics_only : Fit or None
        A fit of the same patients without outcomes, for `feedback` and for the classical
        estimates of `associate`.
    """

    kinetics: Fit
    extension: JointExtension
    kinetics_only: Fit | None = None

    @property
    def exposure(self) -> str:
        """Name of the exposure."""
        return self.extension.latent.name

    @property
    def cell_type(self) -> str:
        """Cell type of the exposure."""
        return self.extension.latent.cell_type

    @property
    def outcomes(self) -> tuple[JointOutcome, ...]:
        """The outcomes, with their patients and events."""
        return self.extension.outcomes

    @property
    def synthetic(self) -> bool:
        """Whether the patients are invented."""
        return self.kinetics.synthetic

    def check(self, limits: Limits = DEFAULT_LIMITS) -> Check:
        """Say whether the fit can be trusted, the parameters of outcomes included."""
        return self.kinetics.check(limits)

    def slope(self, outcome: str) -> Slope:
        """Give the draws of the slope of an outcome."""
        for found in self.outcomes:
            if found.name == outcome:
                draws = self.kinetics.data[f"posterior/slope_{outcome}"].values.ravel()
                return Slope(found, draws, self.extension.slope_scale)
        have = ", ".join(o.name for o in self.outcomes)
        what = f"{outcome!r} is not in this joint fit"
        raise DataError(Fault("joint fit", what, f"It has {have}.", section="outcome"))

    def table(self, per: str = "doubling") -> pd.DataFrame:
        """Tell every association as a ratio, one row per outcome.

        Parameters
        ----------
        per : {"doubling", "ten-fold"}
            Unit of exposure.

        Returns
        -------
        DataFrame
            ``outcome``, ``measure``, ``median``, ``lower_90``, ``upper_90``, ``lower_95``,
            ``upper_95`` (equal-tailed credible intervals), ``p_negative`` (posterior probability
            of a ratio below 1), ``contraction`` (share of the prior variance that the data took
            away), ``n``, ``n_events`` and ``remark``.
        """
        if per not in ("doubling", "ten-fold"):
            what = f"per is {per!r}"
            raise DataError(Fault("JointFit.table", what, "Choose 'doubling' or 'ten-fold'."))
        unit = DOUBLINGS_PER_TENFOLD if per == "ten-fold" else 1.0
        rows = []
        for outcome in self.outcomes:
            slope = self.slope(outcome.name)
            narrow, wide = slope.interval(_NARROW, unit), slope.interval(_WIDE, unit)
            rows.append(
                {
                    "outcome": outcome.name,
                    "measure": f"{slope.measure} per {per}",
                    "median": slope.ratio(0.5, unit),
                    "lower_90": narrow[0],
                    "upper_90": narrow[1],
                    "lower_95": wide[0],
                    "upper_95": wide[1],
                    "p_negative": slope.negative,
                    "contraction": slope.contraction,
                    "n": outcome.n,
                    "n_events": outcome.n_events,
                    "remark": slope.remark,
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def feedback(self) -> pd.DataFrame:
        """How far the outcomes move each patient's exposure; see `feedback_table`.

        Raises
        ------
        DataError
            Without a fit of the kinetics alone.
        """
        if self.kinetics_only is None:
            what = "there is no fit of the kinetics alone to compare with"
            raise DataError(Fault("joint fit", what, "Pass fit=ck.fit(...) to fit_joint."))
        return feedback_table(self.draws, _exposure(self, self.kinetics_only), self.exposure)

    @cached_property
    def draws(self) -> xr.DataArray:
        """Draws of the exposure of each patient, dims (chain, draw, patient), natural scale."""
        return _exposure(self, self.kinetics)

    def log_likelihood(self, outcome: str) -> xr.DataArray:
        """Compute the log-likelihood of each patient's outcome, dims (chain, draw, patient).

        Raises
        ------
        DataError
            If the outcome is unknown, or its hazard follows the curve along time.
        """
        found = self.slope(outcome).outcome
        group = self.kinetics.data["carkinetics/outcomes"].to_dataset()
        return outcome_log_likelihood(self.extension, found, group, self.draws)

    def influence(self, outcome: str) -> pd.DataFrame:
        """Tell the ratio with each patient's outcome left out; see `influence_table`.

        Parameters
        ----------
        outcome : str
            One of the outcomes.

        Returns
        -------
        DataFrame
            One row per patient, the most influential first. Only the outcome is left out: the
            kinetics of the patient stay, which say nothing of the slope without it.
        """
        return influence_table(self.slope(outcome), self.log_likelihood(outcome))

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """How far each slope depends on its prior and on the outcome, one row per outcome.

        Power-scaling diagnostics of prior and likelihood, the ratio per doubling under half and
        twice the SD of the prior, and what it means; see `sensitivity_row`. A hazard that follows
        the curve along time has a ``reason`` instead.
        """
        rows: list[dict[str, object]] = []
        for outcome in self.outcomes:
            row: dict[str, object] = {"outcome": outcome.name}
            if self.extension.follow and outcome.kind == SURVIVAL:
                row["reason"] = "the hazard follows the curve along time"
            else:
                terms = self.log_likelihood(outcome.name)
                row |= sensitivity_row(self.slope(outcome.name), terms) | {"reason": ""}
            rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def residual_associations(self) -> pd.DataFrame:
        """Whether outcomes go together beyond the exposure, one row per pair; `residual_table`.

        Outcomes whose hazard follows the curve along time are left out.
        """
        group = self.kinetics.data["carkinetics/outcomes"].to_dataset()
        return residual_table(
            {
                o.name: outcome_residuals(self.extension, o, group, self.draws)
                for o in self.outcomes
                if not (self.extension.follow and o.kind == SURVIVAL)
            }
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know."""
        e = self.extension
        center = float(np.exp(e.center))
        found = [
            f"slopes are per ln {self.exposure} ({self.cell_type}) around {center:.4g} "
            f"{self.exposure_unit}, that of a patient with every parameter at the median of its "
            "prior"
        ]
        if e.follow:
            what = "current level" if e.follow == "level" else "area so far"
            found.append(f"hazards follow the {what} of {self.cell_type} along time")
        if e.latent.name == "cmax":
            found.append(f"the maximum is looked for until day {e.latent.request(1).peak_until:g}")
        for outcome in self.outcomes:
            found += [f"{outcome.name}: {note}" for note in outcome.notes]
            remark = self.slope(outcome.name).remark
            if remark:
                found.append(f"{outcome.name}: {remark}")
        return tuple(found)

    @property
    def exposure_unit(self) -> str:
        """Unit of the exposure."""
        level = self.kinetics.latent_unit
        return f"{level}*day" if self.extension.latent.is_area else level

    def save(self, path: str | Path) -> Path:
        """Write it to a file, as `Fit.save` does; `load_joint` reads it back.

        The fit of the kinetics alone is not written with it.
        """
        return self.kinetics.save(path)

    @property
    def title(self) -> str:
        """One line that names it."""
        mark = " [SYNTHETIC, not patient data]" if self.synthetic else ""
        names = ", ".join(outcome.name for outcome in self.outcomes)
        label = find_quantity(self.exposure).label
        return f"Joint fit of {label} ({self.cell_type}) with {names}: cohort " + (
            f"{self.kinetics.cohort.name}{mark}"
        )

    def _shown(self) -> pd.DataFrame:
        rows = self.table()
        return pd.DataFrame(
            {
                "outcome": rows["outcome"],
                "measure": rows["measure"],
                "median": rows["median"].map("{:.3g}".format),
                "95 % interval": [
                    f"{a:.3g} to {b:.3g}"
                    for a, b in zip(rows["lower_95"], rows["upper_95"], strict=True)
                ],
                "P(ratio < 1)": rows["p_negative"].map("{:.3f}".format),
                "contraction": rows["contraction"].map("{:.0%}".format),
                "n": rows["n"],
                "events": rows["n_events"],
            }
        )

    def __repr__(self) -> str:
        lines = [
            self.title,
            *(f"  {line}" for line in self._shown().to_string(index=False).split("\n")),
        ]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, f"  {self.check().verdict}"])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = self._shown().to_html(index=False, border=0)
        return f"<p><b>{escape(self.title)}</b></p>{table}<ul>{items}</ul>" + (
            self.check()._repr_html_()
        )


def _exposure(joint: JointFit, fit: Fit) -> xr.DataArray:
    from carkinetics.exposure import summarize

    found = summarize(fit, [joint.exposure], allow_failed=True)
    return found.data[joint.exposure].sel(cell_type=joint.cell_type)
