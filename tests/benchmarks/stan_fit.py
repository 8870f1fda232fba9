"""The same fit by Stan: our hierarchical density written in Stan's language, its ODE by Stan.

Data, priors, coordinates and centering are ours; Stan's own transforms of positive numbers and of
numbers between 0 and 1 are those of PyMC, so that a sampler's point is the same vector in both. The
caller compares both densities before it trusts a figure. What a fit can hold beyond the built-in
cohort and the default model (covariates, counted events, heavy tails) is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.stan_program import functions_block

SOLVER, MOST_STEPS = "ode_rk45_tol", 100_000
_HEAD = """
data {
  int patients, effects, rows, width;
  array[patients] int first, on_start, last;
  array[rows] real day;
  array[patients] matrix[effects, effects] data_precision;
  array[patients] vector[effects] data_pull;
  real tolerance;
  int most_steps;
  int flows, shares, copies;
  array[flows] int flow_row, flow_below;
  vector[flows] flow_level;
  array[shares] int share_row;
  vector[shares] share_level;
  array[copies] int qpcr_row, qpcr_below, qpcr_patient, qpcr_known;
  vector[copies] qpcr_level, qpcr_log_wbc, qpcr_per_dna;
  vector[patients] shift_centering;
}
"""
_PATIENTS = """
  vector[effects] location = [LOCATIONS]';
  vector[effects] omega = [OMEGAS]';
  matrix[effects, effects] factor = identity_matrix(effects);
  {
    vector[effects] left = rep_vector(1.0, effects);
    int pair = 0;
    for (j in 1:(effects - 1)) {
      for (i in (j + 1):effects) {
        pair += 1;
        real partial = 2 * partial_correlation_unit[pair] - 1;
        real shape = CORRELATION + (effects - 1 - j) / 2.0;
        partial_correlation_unit[pair] ~ beta(shape, shape);
        factor[i, j] = partial * sqrt(left[i]);
        left[i] *= 1 - square(partial);
      }
    }
    for (i in 1:effects) factor[i, i] = sqrt(left[i]);
  }
  target += -patients * sum(log(diagonal(factor)));
  array[rows] vector[2] level;
  for (i in 1:patients) {
    matrix[effects, effects] root
      = cholesky_decompose(add_diag(quad_form_diag(data_precision[i], omega), 1));
    vector[effects] toward
      = mdivide_left_tri_low(root, omega .* (data_pull[i] - data_precision[i] * location));
    vector[effects] away = mdivide_right_tri_low((x[i] + toward)', root)';
    target += -dot_self(mdivide_left_tri_low(factor, away)) / 2 - sum(log(diagonal(root)));
    vector[effects] own = location + omega .* away;
    vector[width] p = [NATURAL]';
    vector[STATES] begun = start(p);
    for (r in first[i]:on_start[i]) level[r] = log_levels(0.0, begun, p);
    int after = on_start[i] + 1;
    if (after <= last[i]) {
      array[last[i] - on_start[i]] vector[STATES] y = SOLVER(
        rates, begun, 0.0, day[after : last[i]], tolerance, tolerance, most_steps, p);
      for (r in after:last[i]) level[r] = log_levels(day[r], y[r - on_start[i]], p);
    }
  }
"""
_TERMS = """
  vector[rows] total;
  vector[rows] logit_share;
  for (r in 1:rows) {
    total[r] = log_sum_exp(level[r]);
    logit_share[r] = level[r, 2] - level[r, 1];
  }
  for (k in 1:flows) {
    target += flow_below[k] == 1 ? normal_lcdf(flow_level[k] | total[flow_row[k]], sigma_flow)
      : normal_lpdf(flow_level[k] | total[flow_row[k]], sigma_flow);
  }
  share_level ~ student_t(SHARE_FREEDOM, logit_share[share_row], sigma_share);
  vector[patients] spread = exp(shift_centering * log(omega_qpcr_shift));
  x_qpcr_shift ~ normal(0, spread);
  vector[patients] shift = exp((1 - shift_centering) * log(omega_qpcr_shift)) .* x_qpcr_shift;
  for (k in 1:copies) {
    real expected = INTERCEPT + log_copies_per_cell + link_slope * (total[qpcr_row[k]] - LOG_CELLS)
      - WBC_SLOPE * (qpcr_log_wbc[k] - LOG_WBC) + shift[qpcr_patient[k]];
    real sigma = sqrt(square(SIGMA) + qpcr_per_dna[k] * exp(-expected));
    target += qpcr_below[k] == 1 ? normal_lcdf(qpcr_level[k] | expected, sigma)
      : normal_lpdf(qpcr_level[k] | expected, sigma);
  }
}
"""
_CONSTRAINT = {"LogTransform": "<lower=0>", "LogOddsTransform": "<lower=0, upper=1>"}


def program(plan: Any, pymc_model: Any) -> str:
    """Write the density of a fit as a Stan program.

    Raises
    ------
    ValueError
        If the fit holds something that is not translated.
    """
    from carkinetics.likelihood import (
        GENOMES_PER_UG,
        REFERENCE_CELLS,
        REFERENCE_WBC,
        SHARE_DEGREES_OF_FREEDOM,
    )
    from carkinetics.solve.solvable import solvable

    _check(plan)
    names = {v.name for v in pymc_model.free_RVs}
    known = "qpcr_known[k] == 1 ? sigma_qpcr : sigma_qpcr_without_wbc"
    if "sigma_qpcr_without_wbc" not in names:
        known = "sigma_qpcr"
    elif "sigma_qpcr" not in names:
        known = "sigma_qpcr_without_wbc"
    equations = solvable(plan.system)
    words = {
        "LOCATIONS": ", ".join(p.variable for p in plan.varying),
        "OMEGAS": ", ".join(f"omega_{p.name}" for p in plan.varying),
        "CORRELATION": repr(float(plan.correlation_shape)),
        "NATURAL": ", ".join(_natural(plan)),
        "STATES": str(len(equations.states)),
        "SOLVER": SOLVER,
        "SHARE_FREEDOM": repr(SHARE_DEGREES_OF_FREEDOM),
        "INTERCEPT": repr(float(np.log(GENOMES_PER_UG * REFERENCE_CELLS / REFERENCE_WBC))),
        "LOG_CELLS": repr(float(np.log(REFERENCE_CELLS))),
        "LOG_WBC": repr(float(np.log(REFERENCE_WBC))),
        "WBC_SLOPE": "wbc_slope" if "wbc_slope" in names else "0.0",
        "SIGMA": known,
    }
    model = "model {\n" + "\n".join(_priors(plan, names)) + _PATIENTS + _TERMS
    for word, text in words.items():
        model = model.replace(word, text)
    return functions_block(equations) + _HEAD + _parameters(pymc_model) + model


def _check(plan: Any) -> None:
    layout = plan.layout
    untranslated = {
        "covariates": plan.covariates is not None,
        "an extension": plan.extension is not None,
        "inputs of patients": bool(plan.inputs.names),
        "heavy-tailed patients": any(plan.heavy),
        "Student-t residuals": plan.residual != "normal",
        "independent effects": plan.correlation_shape is None,
        "scaled priors": any(factor != 1.0 for factor in plan.prior_scale.values()),
        "counted events": len(layout.split_events) > 0,
        "no samples of an assay": not (len(layout.flow) and len(layout.split) and len(layout.qpcr)),
    }
    if found := [name for name, there in untranslated.items() if there]:
        raise ValueError(f"not translated to Stan: {', '.join(found)}")


def _natural(plan: Any) -> list[str]:
    at = {p.name: k + 1 for k, p in enumerate(plan.varying)}
    to_natural = {"log": "exp({})", "logit": "inv_logit({})", "identity": "{}"}
    return [
        to_natural[p.prior.transform].format(f"own[{at[p.name]}]" if p.name in at else p.variable)
        for p in plan.parameters
    ]


def _parameters(pymc_model: Any) -> str:
    """Declare the parameters in the order of the sampler's point."""
    point = pymc_model.initial_point()
    lines = []
    for variable in pymc_model.free_RVs:
        transform = type(pymc_model.rvs_to_transforms[variable]).__name__
        limits = _CONSTRAINT.get(transform, "")
        shape = np.shape(point[pymc_model.rvs_to_values[variable].name])
        kind = f"real{limits}" if not shape else f"vector{limits}[{shape[-1]}]"
        kind = f"array[{shape[0]}] {kind}" if len(shape) == 2 else kind
        lines.append(f"  {kind} {variable.name};")
    return "\n".join(["parameters {", *lines, "}", ""])


def _priors(plan: Any, names: set[str]) -> list[str]:
    from carkinetics.inference.planning import observed_sigma
    from carkinetics.inference.terms import (
        COPIES_PER_CELL,
        LINK_SLOPE,
        PATIENT_SHIFT,
        SHARE_SIGMA,
        SIGMA_WITHOUT_WBC,
        WBC_SLOPE,
    )

    priors = {p.variable: p.prior for p in plan.parameters}
    priors |= {f"omega_{p.name}": p.omega for p in plan.varying}
    priors |= {
        "sigma_flow": observed_sigma(plan.model, "flow"),
        "sigma_share": SHARE_SIGMA,
        "sigma_qpcr": observed_sigma(plan.model, "qpcr"),
        "sigma_qpcr_without_wbc": SIGMA_WITHOUT_WBC,
        "log_copies_per_cell": COPIES_PER_CELL,
        "link_slope": LINK_SLOPE,
        "wbc_slope": WBC_SLOPE,
        "omega_qpcr_shift": PATIENT_SHIFT,
    }
    return [f"  {name} ~ {_density(p)};" for name, p in priors.items() if name in names]


def _density(prior: Any) -> str:
    """Write the density on the scale of sampling; of a halfnormal up to its constant."""
    if prior.family in ("gamma", "beta"):
        return f"{prior.family}({prior.values[0]!r}, {prior.values[-1]!r})"
    return f"normal({float(prior.location)!r}, {float(prior.spread)!r})"


def data(plan: Any, pymc_model: Any, tolerance: float) -> dict[str, Any]:
    """Give the data of the program."""
    from carkinetics.likelihood import REFERENCE_WBC

    layout, offsets = plan.layout, plan.layout.offsets
    days = np.maximum(layout.days, 0.0)
    at_start = np.array([int((d <= 0).sum()) for d in np.split(days, offsets[1:-1])])
    flow, share, qpcr = layout.flow, layout.split, layout.qpcr
    wbc = qpcr.table["wbc_per_ul"].to_numpy(float)
    dna = qpcr.table["dna_ug"].to_numpy(float)
    if pymc_model["centering"].get_value().any():
        raise ValueError("Stan's program knows no weights, only what is seen of the patients.")
    pull = pymc_model["data_pull"].get_value()
    return {
        "patients": len(layout.patients),
        "effects": pull.shape[1],
        "rows": len(days),
        "width": len(plan.parameters),
        "first": offsets[:-1] + 1,
        "on_start": offsets[:-1] + at_start,
        "last": offsets[1:],
        "day": days,
        "data_precision": pymc_model["data_precision"].get_value(),
        "data_pull": pull,
        "tolerance": tolerance,
        "most_steps": MOST_STEPS,
        "flows": len(flow),
        "shares": len(share),
        "copies": len(qpcr),
        "flow_row": flow.row + 1,
        "flow_below": flow.below.astype(int),
        "flow_level": flow.log_level,
        "share_row": share.row + 1,
        "share_level": share.log_level,
        "qpcr_row": qpcr.row + 1,
        "qpcr_below": qpcr.below.astype(int),
        "qpcr_patient": qpcr.patient + 1,
        "qpcr_known": (wbc > 0).astype(int),
        "qpcr_level": qpcr.log_level,
        "qpcr_log_wbc": np.log(np.where(wbc > 0, wbc, REFERENCE_WBC)),
        "qpcr_per_dna": np.divide(1.0, dna, out=np.zeros_like(dna), where=dna > 0),
        "shift_centering": pymc_model["centering_qpcr_shift"].get_value(),
    }
