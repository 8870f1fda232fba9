"""Likelihood terms of a fit: flow total, CD8 share, qPCR through the link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from carkinetics.inference.effects import RESIDUAL_RATE, degrees_of_freedom, freedom_text
from carkinetics.inference.layout import Layout, Samples
from carkinetics.likelihood import (
    REFERENCE_WBC,
    SHARE_DEGREES_OF_FREEDOM,
    censored_log_likelihood,
    link_log_copies,
    split_log_likelihood,
)
from carkinetics.model import Observed
from carkinetics.priors import Prior

# methodology: VCN ~ LogNormal(ln 2, 0.4), slope ~ N(1, 0.25), leukocyte slope ~ N(1, 0.3).
COPIES_PER_CELL = Prior.parse("lognormal(median=2, gsd=1.4918247)")
LINK_SLOPE = Prior.parse("normal(mean=1, sd=0.25)")
WBC_SLOPE = Prior.parse("normal(mean=1, sd=0.3)")
PATIENT_SHIFT = Prior.parse("halfnormal(sd=0.4)")
SHARE_SIGMA = Prior.parse("halfnormal(sd=0.5)")
# Without leukocytes the link has to absorb their change: the residual may be twice as large.
SIGMA_WITHOUT_WBC = Prior.parse("halfnormal(sd=1.0)")
OVERDISPERSION = Prior.parse("beta(1, 50)")


@dataclass(frozen=True, eq=False)
class Scales:
    """Factors on the spread of prior groups, as data, so that a refit does not compile."""

    location: Any
    omega: Any
    residual: Any
    link: Any


def add_flow(samples: Samples, log_total: Any, sigma: Prior, scales: Scales, nu: Any) -> None:
    """Add the likelihood of the flow totals to the current model."""
    residual = sigma.variable("sigma_flow", scale=scales.residual)
    level, below = _levels("flow", samples)
    mean = log_total[_data("flow_row", samples.row)]
    _record("flow", samples, censored_log_likelihood(level, below, mean, residual, nu))


def add_split(samples: Samples, logit_share: Any, scales: Scales) -> None:
    """Add the likelihood of the CD8 shares: logit share ~ Student-t with 4 degrees of freedom."""
    sigma = SHARE_SIGMA.variable("sigma_share", scale=scales.residual)
    residual = pm.StudentT.dist(
        nu=SHARE_DEGREES_OF_FREEDOM,
        mu=logit_share[_data("share_row", samples.row)],
        sigma=sigma,
    )
    _record("share", samples, pm.logp(residual, _data("share_logit", samples.log_level)))


def add_split_events(samples: Samples, logit_share: Any) -> None:
    """Add the likelihood of counted CD8 events: beta-binomial."""
    overdispersion = OVERDISPERSION.variable("overdispersion_share")
    share = pm.math.sigmoid(logit_share[_data("share_events_row", samples.row)])
    events = _data("share_events_all", np.asarray(samples.events, dtype=float))
    cd8 = _data("share_events_cd8", samples.table["events_cd8"].to_numpy(float).round())
    terms = split_log_likelihood(cd8, events, share, overdispersion)
    _record("share_events", samples, terms)


def add_qpcr(
    layout: Layout,
    log_total: Any,
    sigma: Prior,
    scales: Scales,
    nu: Any,
    centering: Any,
    link_slope: float | None = None,
) -> None:
    """Add the likelihood of the transgene levels, through the link where flow is fitted too."""
    samples = layout.qpcr
    wbc, measured = _leukocytes(samples)
    mean = log_total[_data("qpcr_row", samples.row)]
    if layout.linked:
        mean = _linked(samples, mean, wbc, scales, centering, link_slope)
    residual = _qpcr_sigma(sigma, measured, layout.linked, scales)
    dna = samples.table["dna_ug"].to_numpy(float)
    if np.any(dna > 0):
        # Counting error of few copies in a well: variance 1 / copies, none where the amount of
        # DNA is not known (a zero weight, as an infinite amount would spoil the gradient).
        weight = np.divide(1.0, dna, out=np.zeros_like(dna), where=dna > 0)
        residual = pt.sqrt(residual**2 + _data("qpcr_per_dna", weight) * pt.exp(-mean))
    level, below = _levels("qpcr", samples)
    _record("qpcr", samples, censored_log_likelihood(level, below, mean, residual, nu))


def term_priors(
    layout: Layout,
    observed: Mapping[str, Observed],
    residual: str,
    scale: Mapping[str, float],
    link_slope: float | None = None,
) -> dict[str, str]:
    """Return the priors of everything that the likelihood terms add, in words, by variable."""
    priors = group_priors(layout, observed, link_slope)
    found = {
        name: prior.scaled(scale.get(group, 1.0)).text
        for group, members in priors.items()
        for name, prior in members.items()
    }
    heavy = {"nu_residual": freedom_text(RESIDUAL_RATE)}
    return found | (heavy if residual == "student_t" else {})


def group_priors(
    layout: Layout, observed: Mapping[str, Observed], link_slope: float | None = None
) -> dict[str, dict[str, Prior]]:
    """Return the priors of the likelihood terms by group and variable, before any scaling."""
    residual: dict[str, Prior] = {}
    link: dict[str, Prior] = {}
    fixed: dict[str, Prior] = {}
    if len(layout.split):
        residual["sigma_share"] = SHARE_SIGMA
    if len(layout.split_events):
        fixed["overdispersion_share"] = OVERDISPERSION
    if len(layout.flow):
        residual["sigma_flow"] = observed["flow"].sigma
    if len(layout.qpcr):
        linked, (wbc, measured) = layout.linked, _leukocytes(layout.qpcr)
        if linked:
            link["log_copies_per_cell"] = COPIES_PER_CELL
            if link_slope is None:
                link["link_slope"] = LINK_SLOPE
            if np.any(wbc != REFERENCE_WBC):
                link["wbc_slope"] = WBC_SLOPE
            link["omega_qpcr_shift"] = PATIENT_SHIFT
        if measured.any() or not linked:
            residual["sigma_qpcr"] = observed["qpcr"].sigma
        if linked and not measured.all():
            residual["sigma_qpcr_without_wbc"] = SIGMA_WITHOUT_WBC
    return {"residual": residual, "link": link, "fixed": fixed}


def _leukocytes(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Leukocytes of every sample, the reference where they are not known, and whether they are."""
    wbc = samples.table["wbc_per_ul"].to_numpy(float)
    measured = wbc > 0
    return np.where(measured, wbc, REFERENCE_WBC), measured


def residual_degrees_of_freedom(residual: str) -> Any:
    """Return the shared degrees of freedom of Student-t residuals, or None for Normal ones."""
    return degrees_of_freedom("nu_residual", RESIDUAL_RATE) if residual == "student_t" else None


def _linked(
    samples: Samples,
    log_cells: Any,
    wbc: np.ndarray,
    scales: Scales,
    centering: Any,
    held_slope: float | None,
) -> Any:
    copies_per_cell = COPIES_PER_CELL.variable("log_copies_per_cell", scale=scales.link)
    slope: Any = held_slope
    if held_slope is None:
        slope = LINK_SLOPE.variable("link_slope", scale=scales.link)
    varies = np.any(wbc != REFERENCE_WBC)
    wbc_slope = WBC_SLOPE.variable("wbc_slope", scale=scales.link) if varies else 0.0
    spread = PATIENT_SHIFT.variable("omega_qpcr_shift", scale=scales.link)
    x = pm.Normal("x_qpcr_shift", 0.0, spread**centering, dims="patient")
    shift = pm.Deterministic("qpcr_shift", spread ** (1.0 - centering) * x, dims="patient")
    patient = _data("qpcr_patient_row", samples.patient)
    # Without any leukocytes the term is zero, and a constant keeps it out of the graph.
    log_wbc = _data("qpcr_log_wbc", np.log(wbc)) if varies else np.log(wbc)
    return link_log_copies(log_cells, log_wbc, copies_per_cell, slope, wbc_slope, shift[patient])


def _qpcr_sigma(sigma: Prior, measured: np.ndarray, linked: bool, scales: Scales) -> Any:
    if not linked or measured.all():
        return sigma.variable("sigma_qpcr", scale=scales.residual)
    without = SIGMA_WITHOUT_WBC.variable("sigma_qpcr_without_wbc", scale=scales.residual)
    if not measured.any():
        return without
    with_wbc = sigma.variable("sigma_qpcr", scale=scales.residual)
    return pt.switch(_data("qpcr_wbc_known", measured.astype(np.int64)), with_wbc, without)


def _levels(name: str, samples: Samples) -> tuple[Any, Any]:
    """Give levels and flags as data; flags that are all the same leave out half the terms."""
    level = _data(f"{name}_log_level", samples.log_level)
    if samples.below.all() or not samples.below.any():
        return level, samples.below
    return level, _data(f"{name}_below_lloq", samples.below.astype(np.int64))


def _data(name: str, values: np.ndarray) -> Any:
    """Put samples into the model as data, so that other samples need no compiling."""
    return pm.Data(name, values)


def _record(name: str, samples: Samples, terms: Any) -> None:
    """Add the terms to the density of the model."""
    pm.Potential(f"log_likelihood_{name}", terms, dims=f"{name}_sample")
