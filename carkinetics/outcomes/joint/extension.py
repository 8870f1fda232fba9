"""Outcomes as an addition to a fit: variables, priors and terms in the same PyMC model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from carkinetics.inference.extension import CurveRequest, ExtraCurves, Rows
from carkinetics.outcomes.endpoint import ORDINAL, SURVIVAL
from carkinetics.outcomes.joint import priors, terms
from carkinetics.outcomes.joint.data import JointOutcome
from carkinetics.outcomes.joint.latent import Latent
from carkinetics.outcomes.joint.nodes import Nodes, merge, quadrature

WEIBULL, PIECEWISE = "weibull", "piecewise"
LEVEL, AREA = "level", "area"


@dataclass(frozen=True, eq=False)
class JointExtension:
    """The outcomes of a joint model.

    Parameters
    ----------
    latent : Latent
        The exposure.
    center : float
        ln exposure at which slopes count as zero: that of the typical patient.
    followed_center : float
        The same for what a hazard follows along time; NaN without it.
    outcomes : tuple of JointOutcome
        What it is related to.
    hazard : str
        ``"weibull"`` or ``"piecewise"``.
    follow : str
        What hazards follow along time: ``"level"``, ``"area"``, or empty.
    offsets, days : array
        Visits of each patient of the fit [day].
    options : dict
        What was asked for, to be kept with the fit.
    """

    latent: Latent
    center: float
    followed_center: float
    outcomes: tuple[JointOutcome, ...]
    hazard: str
    follow: str
    offsets: np.ndarray
    days: np.ndarray
    options: dict[str, Any]

    @property
    def slope_scale(self) -> float:
        """Factor on the SD of the priors of slopes."""
        return float(self.options.get("slope_scale", 1.0))

    @cached_property
    def nodes(self) -> dict[str, Nodes]:
        """Nodes of quadrature of each survival outcome that follows the curve."""
        cuts = priors.CUTS if self.hazard == PIECEWISE else ()
        return {
            o.name: quadrature(o, self.offsets, self.days, cuts)
            for o in self.outcomes
            if self.follow and o.kind == SURVIVAL
        }

    @property
    def _uses_latent(self) -> bool:
        """Whether any outcome uses the exposure itself, and not what follows the curve."""
        return not self.follow or any(o.kind != SURVIVAL for o in self.outcomes)

    @cached_property
    def _rows(self) -> tuple[CurveRequest, dict[str, np.ndarray]]:
        """Collect all rows, and the places of each asker."""
        n = len(self.offsets) - 1
        own = self.latent.request(n) if self._uses_latent else CurveRequest()
        asked = {"": own.areas if self.latent.is_area else own.levels}
        along = {name: nodes.rows for name, nodes in self.nodes.items()}
        as_area = {"": self.latent.is_area, **dict.fromkeys(along, self.follow == AREA)}
        asked |= along
        places: dict[str, np.ndarray] = {}
        merged: dict[bool, Rows] = {}
        for areas in (False, True):
            names = [name for name in asked if as_area[name] == areas]
            merged[areas], found = merge([asked[name] for name in names] or [Rows()])
            places |= dict(zip(names, found, strict=False))
        request = CurveRequest(merged[False], merged[True], own.peak_of, own.peak_until)
        return request, places

    def request(self) -> CurveRequest:
        """Say what is needed of the curves."""
        return self._rows[0]

    def add(self, curves: ExtraCurves) -> None:
        """Add variables and terms to the current PyMC model."""
        places = self._rows[1]
        scale = pm.Data("prior_scale_slope", self.slope_scale)
        x = self.latent.value(curves, places[""]) - self.center if self._uses_latent else None
        for outcome in self.outcomes:
            slope = pm.Normal(f"slope_{outcome.name}", 0.0, scale * priors.SLOPE_SD[outcome.kind])
            adjustment = _adjustment(outcome)
            if outcome.name in self.nodes:
                values = curves.log_area if self.follow == AREA else curves.log_level
                along = curves.of(values, self.latent.cell_type)[places[outcome.name]]
                found = self._along_time(outcome, slope, adjustment, along)
            else:
                assert x is not None
                found = self._term(outcome, slope * x[outcome.patient] + adjustment)
            pm.Potential(f"log_likelihood_{outcome.name}", found)

    def _term(self, outcome: JointOutcome, linear: Any) -> Any:
        if outcome.kind == ORDINAL:
            probabilities = _probabilities(outcome)
            return terms.ordinal(outcome.value, linear, terms.cut_points_of(probabilities))
        if outcome.kind != SURVIVAL:
            intercept = pm.Normal(f"intercept_{outcome.name}", *priors.INTERCEPT)
            return terms.binary(outcome.value, intercept + linear)
        if self.hazard == PIECEWISE:
            spent, piece = pieces(outcome.entry, outcome.day)
            return terms.piecewise(spent, piece, outcome.value, linear, _walk(outcome))
        entry = outcome.entry
        log_entry = np.log(entry) if (entry > 0).all() else None
        return terms.weibull(
            np.log(outcome.day), outcome.value, linear, *_weibull(outcome), log_entry
        )

    def _along_time(self, outcome: JointOutcome, slope: Any, adjustment: Any, along: Any) -> Any:
        nodes = self.nodes[outcome.name]
        day = nodes.rows.day
        if self.hazard == PIECEWISE:
            baseline = _walk(outcome)[np.searchsorted(priors.CUTS, day)]
        else:
            log_scale, log_shape = _weibull(outcome)
            shape = pt.exp(log_shape)
            baseline = log_shape - log_scale + (shape - 1.0) * (np.log(day) - log_scale)
        log_hazard = baseline + slope * (along - self.followed_center)
        moved = pt.zeros(outcome.n) + adjustment
        return terms.along_time(
            log_hazard[nodes.at_node] + moved[nodes.owner],
            nodes.weights,
            nodes.owner,
            log_hazard[nodes.at_end] + moved,
            outcome.value,
        )

    def prior_texts(self) -> dict[str, str]:
        """Return the priors of these variables in words."""
        found: dict[str, str] = {}
        for o in self.outcomes:
            sd = self.slope_scale * priors.SLOPE_SD[o.kind]
            found[f"slope_{o.name}"] = priors.normal_text(0.0, sd)
            if len(o.covariates.columns):
                found[f"covariates_{o.name}"] = priors.normal_text(0.0, priors.COVARIATE_SD)
            if o.kind == ORDINAL:
                found[f"probabilities_{o.name}"] = "Dirichlet(1) of the grades at the center"
            elif o.kind != SURVIVAL:
                found[f"intercept_{o.name}"] = priors.normal_text(*priors.INTERCEPT)
            elif self.hazard == PIECEWISE:
                found[f"log_hazard_{o.name}"] = priors.normal_text(*priors.LOG_HAZARD)
                found[f"walk_sd_{o.name}"] = f"halfnormal({priors.WALK_SD:g})"
            else:
                found[f"log_scale_{o.name}"] = priors.normal_text(*priors.LOG_SCALE)
                found[f"log_shape_{o.name}"] = priors.normal_text(*priors.LOG_SHAPE)
        return found

    def settings(self) -> dict[str, Any]:
        """Return what is to be kept with the fit."""
        return self.options

    def group(self, posterior: xr.Dataset) -> xr.Dataset:
        """Return the draws of these variables."""
        kinds = (
            "slope", "covariates", "probabilities", "intercept", "log_hazard", "walk_sd", "walk",
            "log_scale", "log_shape",
        )  # fmt: skip
        names = [f"{kind}_{o.name}" for o in self.outcomes for kind in kinds]
        return posterior[[name for name in names if name in posterior]]


def pieces(entry: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell how many days each patient spends at risk in each piece, and the piece of the end.

    Returns
    -------
    spent : array, shape (patient, piece)
        [day].
    piece : array of int, shape (patient,)
        An end on a cut belongs to the piece before it.
    """
    edges = np.array([0.0, *priors.CUTS, np.inf])
    low, high = np.maximum(edges[:-1], entry[:, None]), np.minimum(edges[1:], day[:, None])
    return np.maximum(high - low, 0.0), np.searchsorted(priors.CUTS, day)


def _adjustment(outcome: JointOutcome) -> Any:
    names = [str(name) for name in outcome.covariates.columns]
    if not names:
        return 0.0
    model = pm.modelcontext(None)
    if "covariate" not in model.coords:
        model.add_coord("covariate", names)
    effect = pm.Normal(f"covariates_{outcome.name}", 0.0, priors.COVARIATE_SD, dims="covariate")
    return pt.dot(outcome.covariates.to_numpy(float), effect)


def _probabilities(outcome: JointOutcome) -> Any:
    model, dim = pm.modelcontext(None), f"grade_of_{outcome.name}"
    model.add_coord(dim, list(range(outcome.n_grades)))
    return pm.Dirichlet(f"probabilities_{outcome.name}", np.ones(outcome.n_grades), dims=dim)


def _weibull(outcome: JointOutcome) -> tuple[Any, Any]:
    return (
        pm.Normal(f"log_scale_{outcome.name}", *priors.LOG_SCALE),
        pm.Normal(f"log_shape_{outcome.name}", *priors.LOG_SHAPE),
    )


def _walk(outcome: JointOutcome) -> Any:
    """Make the log hazards of all pieces: a random walk from piece to piece."""
    model = pm.modelcontext(None)
    if "cut" not in model.coords:
        model.add_coord("cut", [f"day {cut:g}" for cut in priors.CUTS])
    first = pm.Normal(f"log_hazard_{outcome.name}", *priors.LOG_HAZARD)
    spread = pm.HalfNormal(f"walk_sd_{outcome.name}", priors.WALK_SD)
    steps = pm.Normal(f"walk_{outcome.name}", 0.0, 1.0, dims="cut")
    return pt.concatenate([first[None], first + spread * pt.cumsum(steps)])
