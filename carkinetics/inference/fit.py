"""`fit`: from a model and a cohort to posterior draws, checked."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from carkinetics.cohort import Cohort
from carkinetics.diagnostics import Check
from carkinetics.errors import CarkineticsWarning, FitError
from carkinetics.inference.approximate import METHOD as LAPLACE
from carkinetics.inference.approximate import approximate_plan
from carkinetics.inference.covariates import Request
from carkinetics.inference.described import describe
from carkinetics.inference.gate import Gate, prior_gate, require
from carkinetics.inference.patient_inputs import Request as InputRequest
from carkinetics.inference.planning import Plan, plan_fit, rounded
from carkinetics.inference.progress import Reporter
from carkinetics.inference.result import Fit
from carkinetics.inference.reuse import machine
from carkinetics.inference.sampling import (
    Prepared,
    SamplerSettings,
    otherwise_centered,
    prepare,
    ready_to_run,
    sample,
)
from carkinetics.inference.tree import build_tree
from carkinetics.model import Model
from carkinetics.solve.compiled import DEFAULT_TOLERANCE

NUTS = "nuts"
_DRAWS = {NUTS: SamplerSettings.draws, LAPLACE: 500}  # per chain


def fit(
    model: Model,
    cohort: Cohort,
    *,
    seed: int,
    method: str = NUTS,
    draws: int | None = None,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float | None = None,
    assays: Sequence[str] | None = None,
    covariates: Request | None = None,
    inputs: InputRequest | None = None,
    patient_effects: str = "normal",
    residual: str = "normal",
    correlated: bool = True,
    common: Sequence[str] = (),
    tolerance: float = DEFAULT_TOLERANCE,
    link_slope: float | None = None,
    prior_scale: Mapping[str, float] | None = None,
    prior_check: bool = True,
    rerun: bool = True,
    progress: str = "auto",
) -> Fit:
    """Fit a model to all patients and assays of a cohort at once.

    Parameters
    ----------
    model : Model
        From `load_model`.
    cohort : Cohort
        From `read_cohort`; samples before the infusion are not fitted.
    seed : int
        The same seed, data, model and package versions give the same draws.
    method : {"nuts", "laplace"}
        ``"nuts"`` samples the posterior. ``"laplace"`` approximates it by nested Gaussians, in
        seconds; the result says everywhere that it is approximate.
    draws, tune, chains : int
        Kept draws and warm-up draws per chain, and chains. By default 3,000 draws of NUTS, 500
        of Laplace's approximation, whose draws are independent.

    Returns
    -------
    Fit
        Posterior draws with their checks.

    Other Parameters
    ----------------
    cores : int, optional
        Chains run at the same time; as many as there are processors by default.
    target_accept : float, optional
        Acceptance probability of the sampler; closer to 1 takes smaller steps. By default 0.9, and
        0.95 where the data determine less than 0.7 of the patients' effects in the mean.
    assays : sequence of str, optional
        Fit only these: ``"flow"``, ``"qpcr"``. With qPCR alone, levels are in copies/ug.
    covariates : mapping of str to terms, or "published", optional
        For a parameter that varies between patients, what goes with it: columns of the table of
        patients, expressions of them such as ``"log(dose)"``, or `Covariate`. Numbers are centered
        at their mean and divided by their SD over the fitted patients; text is compared with its
        most frequent value; yes/no columns stay 0 and 1. ``"published"``: the terms of the model
        file, with their published values as centers of the priors.
    inputs : mapping of str to str or float, optional
        For an input of the model (``model.inputs``), such as the day of the first tocilizumab: the
        column of the table of patients to read, or one number for all. A column with the name of
        an input is read without asking. An empty cell is the model's default.
    patient_effects : {"normal", "student_t"}
        How patients differ in the height of their curve; Student-t where some hardly expand.
    residual : {"normal", "student_t"}
        Residual error of both assays on the log scale.
    correlated : bool
        Correlated patient effects: LKJ(4) under 25 patients, else LKJ(2).
    common : sequence of str
        Parameters that all patients share in this fit, though the model lets them vary: those of
        which the visits say nothing, such as memory cells where the last sample is on day 28.
    tolerance : float
        Local error of the solver, relative.
    link_slope : float, optional
        Hold the slope of ln copies/ug on ln cells/uL at this number; estimated by default. 1:
        levels of the two assays are proportional.
    prior_scale : mapping of str to float, optional
        Factors on the spread of groups of priors, for sensitivity analyses: ``"location"``,
        ``"omega"``, ``"correlation"``, ``"residual"``, ``"link"``.
    prior_check : bool
        Stop where patients drawn from the priors alone look like no CAR T cells seen so far.
    rerun : bool
        Sample once more, at stricter settings, where the sampler misses its checks; after
        divergences with the effects of few patients centered by weights instead.
    progress : {"auto", "bar", "notebook", "log", "none"}
        How to tell how far the fit is, on standard error.

    Raises
    ------
    FitError
        Where model, data or settings do not go together.

    Notes
    -----
    Before sampling, a deterministic fit finds starting points and how far to center each
    patient effect. Sampling is NUTS by nutpie with gradients from the solver's own
    sensitivities. Read ``fit.check()`` before anything else.

    Laplace's approximation (Tierney and Kadane 1986, doi 10.1080/01621459.1986.10478240) takes
    each patient's parameters, given what all patients share, as a Gaussian at their mode, and
    what they share as a Gaussian at the optimum of the density that this leaves. Draws of each
    patient are then corrected by Metropolis steps on that patient's own samples. The
    ``chains * draws`` draws are independent; ``tune``, ``cores``, ``target_accept`` and ``rerun``
    are not used. Nothing in it can show that the posterior of what patients share is skewed or
    has a second mode.
    """
    if method not in (NUTS, LAPLACE):
        raise FitError(f"method={method!r}: choose {NUTS!r} or {LAPLACE!r}.")
    draws = _DRAWS[method] if draws is None else draws
    settings = sampler_settings(draws, tune, chains, cores, target_accept, seed, tolerance)
    reporter = Reporter(progress)
    plan = plan_fit(
        model,
        cohort,
        assays=assays,
        patient_effects=patient_effects,
        residual=residual,
        correlated=correlated,
        common=common,
        tolerance=tolerance,
        link_slope=link_slope,
        covariates=covariates,
        prior_scale=prior_scale,
        inputs=inputs,
    )
    for text in plan.covariates.advice(len(plan.layout.patients)) if plan.covariates else ():
        warnings.warn(f"covariates: {text}", CarkineticsWarning, stacklevel=2)
    if method == LAPLACE:
        return approximate_fit(plan, cohort, settings, seed, prior_check, reporter)
    return fit_plan(plan, cohort, settings, seed, prior_check, rerun, reporter)


def fit_plan(
    plan: Plan,
    cohort: Cohort,
    settings: SamplerSettings,
    seed: int,
    prior_check: bool,
    rerun: bool,
    reporter: Reporter,
) -> Fit:
    """Fit what has been planned; see `fit`."""
    gate = _told_gate(plan, seed, prior_check, reporter)
    with ExitStack() as kept:
        with reporter.step("Compiling, and looking for starting points"):
            prepared = prepare(ready_to_run(plan, kept.enter_context(machine(plan))))
        suited = settings.suited(prepared)
        return _sampled(cohort, prepared, suited, gate, seed, rerun, reporter)


def _told_gate(plan: Plan, seed: int, prior_check: bool, reporter: Reporter) -> Gate:
    """Say what the priors alone predict, and stop where that is absurd."""
    gate = prior_gate(plan, seed)
    reporter.say(str(gate))
    if prior_check:
        require(gate)
    return gate


def approximate_fit(
    plan: Plan,
    cohort: Cohort,
    settings: SamplerSettings,
    seed: int,
    prior_check: bool,
    reporter: Reporter,
) -> Fit:
    """Approximate what has been planned; see `fit`."""
    gate = _told_gate(plan, seed, prior_check, reporter)
    with ExitStack() as kept:
        with reporter.step("Compiling"):
            ready = ready_to_run(plan, kept.enter_context(machine(rounded(plan))))
        started = time.monotonic()
        with reporter.step("Approximating the posterior"):
            prepared, drawn = approximate_plan(ready, settings.chains, settings.draws, seed)
    seconds = time.monotonic() - started
    with reporter.step("Computing curves and checks"):
        how = {
            "method": LAPLACE,
            "approximate": True,
            "draws": settings.draws,
            "chains": settings.chains,
        }
        described = describe(plan, how, gate, seed, 1, seconds)
        result = Fit(plan.source, cohort, build_tree(prepared, drawn, seed), described, plan)
        if not (check := result.check()).passed:
            warnings.warn(str(check), CarkineticsWarning, stacklevel=3)
    return result


def _sampled(
    cohort: Cohort,
    prepared: Prepared,
    settings: SamplerSettings,
    gate: Gate,
    seed: int,
    rerun: bool,
    reporter: Reporter,
) -> Fit:
    """Sample, and once more at stricter settings where the sampler misses its checks."""
    result, check = _attempt(cohort, prepared, settings, gate, seed, 1, reporter)
    if rerun and not check.table["passed"].all():
        reporter.say("The sampler missed its checks: " + " ".join(check.problems))
        reporter.say("Sampling once more at stricter settings.")
        diverged = _diverged(check)
        stricter = settings.stricter(smaller_steps=diverged)
        prepared = otherwise_centered(prepared) if diverged else prepared
        result, check = _attempt(cohort, prepared, stricter, gate, seed + 1, 2, reporter)
    if not check.passed:
        warnings.warn(str(check), CarkineticsWarning, stacklevel=4)
    return result


def _diverged(check: Check) -> bool:
    """Whether the sampler lost its way, rather than being stopped too early."""
    kinds = check.table.set_index("check")["passed"]
    lost = [name for name in kinds.index if "divergences" in name or "evaluations" in name]
    return not bool(kinds[lost].all())


def _attempt(
    cohort: Cohort,
    prepared: Prepared,
    settings: SamplerSettings,
    gate: Gate,
    seed: int,
    attempt: int,
    reporter: Reporter,
) -> tuple[Fit, Check]:
    started = time.monotonic()
    sampled = sample(prepared, settings, seed, reporter)
    seconds = time.monotonic() - started
    with reporter.step("Computing curves and checks"):
        how = {"method": NUTS, "approximate": False, **dataclasses.asdict(settings)}
        described = describe(prepared.plan, how, gate, seed, attempt, seconds)
        tree = build_tree(prepared, sampled, seed)
        result = Fit(prepared.plan.source, cohort, tree, described, prepared.plan)
        return result, result.check()


def sampler_settings(
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    target_accept: float | None,
    seed: int,
    tolerance: float,
) -> SamplerSettings:
    """Collect the settings of a fit; raises `FitError` for what cannot be used."""
    used = SamplerSettings().cores if cores is None else cores
    settings = SamplerSettings(draws, tune, chains, used, target_accept)
    _check_settings(settings, seed, tolerance)
    return settings


def _check_settings(settings: SamplerSettings, seed: int, tolerance: float) -> None:
    wrong = [
        f"{name}={value!r} (a whole number, at least {least})"
        for name, value, least in (
            ("draws", settings.draws, 4),
            ("tune", settings.tune, 50),
            ("chains", settings.chains, 1),
            ("cores", settings.cores, 1),
            ("seed", seed, 0),
        )
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least
    ]
    target = settings.target_accept
    if target is not None and not 0.5 <= target < 1:
        wrong.append(f"target_accept={target!r} (from 0.5 to below 1)")
    if not 0 < tolerance < 0.1:
        wrong.append(f"tolerance={tolerance!r} (above 0, below 0.1)")
    if wrong:
        raise FitError(f"fit: cannot use {', '.join(wrong)}.")
