"""Decide the shape of a fit: parameters, samples, solver, priors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from carkinetics.cohort import Cohort
from carkinetics.errors import FitError
from carkinetics.inference.centering import given_before
from carkinetics.inference.covariates import CovariateModel, Request, read_covariates
from carkinetics.inference.effects import (
    EFFECT_RATE,
    freedom_text,
    lkj_shape,
)
from carkinetics.inference.extension import Extension
from carkinetics.inference.layout import Layout, lay_out
from carkinetics.inference.patient_inputs import PatientInputs, read_inputs
from carkinetics.inference.patient_inputs import Request as InputRequest
from carkinetics.inference.prior_scale import read_prior_scale, scaled_shape
from carkinetics.inference.terms import (
    PATIENT_SHIFT,
    term_priors,
)
from carkinetics.model import Model, Parameter, System
from carkinetics.model.schema import did_you_mean
from carkinetics.priors import Prior
from carkinetics.solve.compiled import DEFAULT_TOLERANCE, CompiledSystem, compile_system

PREFIX = {"log": "log_", "logit": "logit_", "identity": ""}
# Name of a patient's own offset between qPCR and flow, an effect of the assay link.
SHIFT = "qpcr_shift"
# Over how many days `rounded` rounds kinks: narrow against the time between visits.
_ROUNDING = 0.25


@dataclass(frozen=True)
class Quantified:
    """One expanded parameter of a fit: how it is drawn and where it stands.

    Attributes
    ----------
    name : str
        Expanded name, such as ``gate_day`` or ``x[CD4]``.
    variable : str
        Name of its population variable, on the transformed scale.
    parameter : Parameter
        Its declaration.
    prior : Prior
        Prior of the population value, for the latent unit of this fit.
    omega : Prior or None
        Prior of the between-patient SD, where it varies.
    """

    name: str
    variable: str
    parameter: Parameter
    prior: Prior
    omega: Prior | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything decided before sampling: model, samples, parameters, solver.

    Attributes
    ----------
    source : Model
        The model as it was given.
    model : Model
        The same, expanded over the layout's cell types.
    system : System
        Its scalar equations.
    compiled : CompiledSystem or None
        The solver; None for a closed form.
    layout : Layout
        Samples of the fit.
    parameters : tuple of Quantified
        In the order of the solver's columns.
    patient_effects, residual : str
        ``"normal"`` or ``"student_t"``.
    correlated : bool
        Whether patient effects are correlated.
    common : tuple of str
        Parameters that all patients share, though the model lets them vary.
    tolerance : float
        Local error of the solver.
    link_slope : float or None
        Slope of ln copies on ln cells where it is held; None where it is estimated.
    extension : Extension or None
        What is added to the fit, such as outcomes.
    covariates : CovariateModel or None
        Covariates on parameters.
    prior_scale : mapping of str to float
        Factor on the spread of the priors of a group, where it is not 1; the priors of
        `parameters` have it already.
    inputs : PatientInputs
        Inputs of the model that differ between patients; after the parameters in the columns of
        the solver.
    """

    source: Model
    model: Model
    system: System
    compiled: CompiledSystem | None
    layout: Layout
    parameters: tuple[Quantified, ...]
    patient_effects: str
    residual: str
    correlated: bool
    common: tuple[str, ...]
    tolerance: float
    link_slope: float | None = None
    extension: Extension | None = None
    covariates: CovariateModel | None = None
    prior_scale: Mapping[str, float] = field(default_factory=dict)
    inputs: PatientInputs = field(default_factory=PatientInputs)

    @property
    def varying(self) -> tuple[Quantified, ...]:
        """Parameters that vary between patients, heavy-tailed ones last.

        In the order of the Cholesky factor an effect moves those after it: a patient far out in
        a heavy tail must not drag every other parameter along.
        """
        found = [p for p in self.parameters if p.omega is not None]
        return tuple(sorted(found, key=self._is_heavy))

    def prior_texts(self) -> dict[str, str]:
        """Return every prior in words, by the name of its variable."""
        found = {p.variable: p.prior.text for p in self.parameters}
        found |= {f"omega_{p.name}": p.omega.text for p in self.varying if p.omega is not None}
        for design in self.covariates.designs if self.covariates else ():
            texts = dict.fromkeys(prior.text for prior in design.priors)
            found[design.variable] = "; ".join(texts)
        if self.patient_effects == "student_t":
            found["nu_patients"] = freedom_text(EFFECT_RATE)
        if self.correlation_shape is not None:
            found["partial_correlation_unit"] = f"those of an LKJ({self.correlation_shape:g})"
        found |= term_priors(
            self.layout, self.model.observed, self.residual, self.prior_scale, self.link_slope
        )
        return found | (self.extension.prior_texts() if self.extension else {})

    @property
    def given_before(self) -> bool:
        """Whether effects are centered given those before them; see `centering`."""
        return given_before(len(self.layout.patients), self.correlation_shape is not None)

    @property
    def correlation_shape(self) -> float | None:
        """LKJ shape of the correlation of patient effects; None where they are independent."""
        if not self.correlated or len(self.varying) < 2:
            return None
        shape = lkj_shape(len(self.layout.patients))
        return scaled_shape(shape, self.prior_scale.get("correlation", 1.0))

    @property
    def heavy(self) -> tuple[bool, ...]:
        """Which of the varying parameters have Student-t effects: how high levels rise.

        Patients who hardly expand are far below the others in level. Of their other parameters
        their data say nothing, and a heavy tail there would only let the sampler wander.
        """
        return tuple(self._is_heavy(p) for p in self.varying)

    def _is_heavy(self, quantified: Quantified) -> bool:
        return self.patient_effects == "student_t" and quantified.parameter.unit == "level"

    @property
    def shift_scale(self) -> float:
        """Scale of the prior of the SD of `SHIFT`."""
        return PATIENT_SHIFT.spread


def plan_fit(
    model: Model,
    cohort: Cohort,
    *,
    assays: Sequence[str] | None = None,
    patient_effects: str = "normal",
    residual: str = "normal",
    correlated: bool = True,
    common: Sequence[str] = (),
    tolerance: float = DEFAULT_TOLERANCE,
    link_slope: float | None = None,
    covariates: Request | None = None,
    prior_scale: Mapping[str, float] | None = None,
    inputs: InputRequest | None = None,
) -> Plan:
    """Decide the shape of a fit; raises `FitError` where data and model do not go together."""
    for name, value in (("patient_effects", patient_effects), ("residual", residual)):
        if value not in ("normal", "student_t"):
            raise FitError(f"{name}={value!r}: choose 'normal' or 'student_t'.")
    if not 0 < tolerance < 0.1:
        raise FitError(f"tolerance={tolerance!r}: give a number above 0 and below 0.1.")
    scale = read_prior_scale(prior_scale)
    layout = lay_out(cohort, model, assays)
    _check_link_slope(link_slope, layout)
    expanded = model.with_cell_types(layout.cell_types)
    known = read_inputs(inputs, expanded, layout.patients, cohort.patients)
    system = expanded.system(open_inputs=bool(known.names))
    for assay in layout.assays:
        observed_sigma(expanded, assay)
    _check_common(expanded, common)
    if system.absent:
        listed = ", ".join(system.absent)
        raise FitError(f"no value for {listed}; give them with model.with_values(...)")
    if system.event_inputs and not system.closed_form:
        raise FitError(
            f"model {model.name}: {', '.join(system.event_inputs)} sets the day of an event for "
            "each patient; a model with differential equations is fitted with one day for all. "
            "Give it in with_values(...), and leave the column out."
        )
    parameters = tuple(
        _quantified(expanded, name, layout.latent_unit, common, scale) for name in system.parameters
    )
    if not any(p.omega is not None for p in parameters):
        raise FitError(
            f"model {model.name}: no parameter varies between patients. Give at least one of "
            'them vary = "patient" and an omega, and do not name them all in common=(...).'
        )
    plan = Plan(
        source=model,
        model=expanded,
        system=system,
        compiled=None if system.closed_form else compile_system(system),
        layout=layout,
        parameters=parameters,
        patient_effects=patient_effects,
        residual=residual,
        correlated=correlated,
        common=tuple(common),
        tolerance=tolerance,
        link_slope=None if link_slope is None else float(link_slope),
        covariates=read_covariates(
            covariates, expanded, parameters, layout.patients, cohort.patients
        ),
        prior_scale=scale,
        inputs=known,
    )
    if scale:
        plan.prior_texts()  # a prior that cannot be as wide is told now
    return plan


def rounded(plan: Plan) -> Plan:
    """Round the kinks that a closed form has on estimated days, such as that of its peak.

    A Gaussian approximation needs a density that is smooth over its own width; where a day falls
    on a visit, that of an abrupt change has an edge. Differential equations say themselves how
    abrupt a change is.
    """
    if not plan.system.closed_form:
        return plan
    smooth = plan.model.system(open_inputs=bool(plan.inputs.names), rounding=_ROUNDING)
    return dataclasses.replace(plan, system=smooth)


def observed_sigma(model: Model, assay: str) -> Prior:
    """Return the prior of an assay's residual SD; raises `FitError` where it is not observed."""
    if assay not in model.observed:
        known = ", ".join(sorted(model.observed))
        raise FitError(
            f"model {model.name} does not observe {assay!r} (it observes: {known}). "
            f"Add [observed.{assay}] to its file, or fit with assays={sorted(model.observed)!r}."
        )
    return model.observed[assay].sigma


def _check_link_slope(slope: float | None, layout: Layout) -> None:
    if slope is None:
        return
    if isinstance(slope, bool) or not isinstance(slope, int | float) or not 0 < slope < 10:
        raise FitError(f"link_slope={slope!r}: give a number above 0 and below 10, such as 1.")
    if not layout.linked:
        raise FitError("link_slope: there is no link without both flow and qPCR samples.")


def _check_common(model: Model, common: Sequence[str]) -> None:
    if isinstance(common, str):
        raise FitError(f"common={common!r}: give a list of names, such as common=[{common!r}].")
    varying = [name for name, p in model.parameters.items() if p.vary == "patient"]
    wrong = [f"{name!r}{did_you_mean(name, varying)}" for name in common if name not in varying]
    if wrong:
        raise FitError(
            f"common: model {model.name} has no parameter that varies between patients under "
            f"the name {' or '.join(wrong)}"
        )


def _quantified(
    model: Model, name: str, unit: str, common: Sequence[str], scale: Mapping[str, float]
) -> Quantified:
    base = name.split("[")[0]
    parameter = model.parameters[base]
    prior = parameter.prior_for(unit)
    varies = parameter.vary == "patient" and base not in common
    omega = parameter.omega_for(unit) if varies else None
    prior = prior.scaled(scale["location"]) if "location" in scale else prior
    omega = omega.scaled(scale["omega"]) if omega and "omega" in scale else omega
    return Quantified(name, PREFIX[prior.transform] + name, parameter, prior, omega)
