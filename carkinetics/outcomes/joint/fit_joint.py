"""`fit_joint`: kinetics and outcomes of a cohort in one posterior."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError, Fault
from carkinetics.inference import load_fit
from carkinetics.inference.described import kinetic_choices
from carkinetics.inference.fit import fit_plan, sampler_settings
from carkinetics.inference.planning import Plan, plan_fit
from carkinetics.inference.progress import Reporter
from carkinetics.inference.result import Fit
from carkinetics.model import Model
from carkinetics.outcomes.guards import DEFAULT_WINDOW, check_numbers
from carkinetics.outcomes.joint.data import Clock, read_outcomes
from carkinetics.outcomes.joint.extension import AREA, LEVEL, PIECEWISE, WEIBULL, JointExtension
from carkinetics.outcomes.joint.latent import FOLLOWED_FROM, Latent, latent_exposure
from carkinetics.outcomes.joint.result import JointFit

_KINETICS = (
    "assays", "covariates", "patient_effects", "residual", "correlated", "common", "tolerance",
    "link_slope", "inputs",
)  # fmt: skip


def fit_joint(
    model: Model,
    cohort: Cohort,
    exposure: str = "cmax",
    outcomes: Sequence[str] = ("ttp", "crs_grade", "iec_hs"),
    *,
    seed: int,
    cell_type: str = "total",
    hazard: str = "weibull",
    landmark: float | None = None,
    time_dependent: bool | str = False,
    competing: bool = False,
    adjust: Sequence[str] = (),
    slope_scale: float = 1.0,
    fit: Fit | None = None,
    window: float = DEFAULT_WINDOW,
    allow_after_day_0: bool = False,
    draws: int = 2500,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float | None = None,
    prior_check: bool = True,
    rerun: bool = True,
    progress: str = "auto",
    **kinetics: Any,
) -> JointFit:
    """Fit kinetics and outcomes at once, so that neither is taken for known.

    Parameters
    ----------
    model : Model
        From `load_model`.
    cohort : Cohort
        From `read_cohort`, with outcomes in its table of patients.
    exposure : str
        ``"cmax"``, ``"auc_0_<day>"`` or ``"level_<day>"``: of the latent curve, as natural log.
    outcomes : sequence of str
        Survival (``"ttp"``, ``"pfs"``, ``"os"``, ``"dor"``), grades (``"crs_grade"``), and yes or
        no (``"iec_hs"``). All of them share the same latent exposure.
    seed : int
        The same seed, data, model and package versions give the same draws.

    Returns
    -------
    JointFit
        `associate` sets its estimates beside the classical ones. Patients without an outcome stay
        in the kinetics; patients without levels are left out, and counted.

    Other Parameters
    ----------------
    cell_type : str
        ``"total"``, or a cell type of the model.
    hazard : {"weibull", "piecewise"}
        Baseline hazard: Weibull, or constant between days 28, 60, 120 and 365 with a random walk
        of its logarithm.
    landmark : float, optional
        Survival only: patients are at risk from this day on (left truncation); those whose event
        or censoring comes by then are left out. Days are counted from the infusion all the same.
    time_dependent : {False, "level", "area"}
        Survival only: let the hazard follow the ln level of the day, or the ln area so far,
        instead of the exposure. A patient is at risk from the first sample after the infusion.
    competing : bool
        Give death without progression a hazard and a slope of its own, beside progression.
    adjust : sequence of str
        Columns of the table of patients: numbers per SD, yes and no, or two words.
    slope_scale : float
        Factor on the SD of the priors of slopes, for sensitivity analyses.
    fit : Fit, optional
        A fit of the same model and cohort without outcomes, for ``JointFit.feedback`` and the
        classical estimates.
    window : float
        Day by which the peak has been reached [day].
    allow_after_day_0 : bool
        Go on where the exposure is defined after the clock starts, and say so in the notes.
    draws, tune, chains, cores : int
        See `fit`.
    target_accept : float, optional
        See `fit`.
    prior_check, rerun : bool
        See `fit`.
    progress : {"auto", "bar", "notebook", "log", "none"}
        See `fit`.
    **kinetics
        ``assays``, ``covariates`` (of kinetic parameters; those of outcomes are `adjust`),
        ``patient_effects``, ``residual``, ``correlated``, ``common``, ``tolerance``,
        ``link_slope``, ``inputs``; see `carkinetics.fit`. As in the fit given by `fit`, where
        there is one.

    Raises
    ------
    FitError, DataError
        Where model, data or settings do not go together, or the exposure is defined after the
        clock starts.

    Notes
    -----
    Priors per e-fold of exposure: Normal(0, 1) for log hazard ratios, Normal(0, 1.5) for log odds
    ratios; Normal(0, 0.5) for covariates; ln Weibull scale Normal(ln 110 days, 1), ln shape
    Normal(0, 0.5); Dirichlet(1) for the probabilities of grades; Normal(logit 0.15, 1) for the log
    odds of a yes-or-no outcome. ``JointFit.table`` tells how much the data added to them.

    References
    ----------
    Rizopoulos 2012, doi 10.1201/b12208 (joint models of a trajectory and an event).
    """
    check_numbers(0.95, window, landmark)
    options: dict[str, Any] = {
        "exposure": exposure, "outcomes": _names(outcomes), "cell_type": cell_type,
        "hazard": hazard, "landmark": landmark, "time_dependent": time_dependent or "",
        "competing": competing, "adjust": _names(adjust), "window": window,
        **({} if slope_scale == 1 else {"slope_scale": slope_scale}),
        "allow_after_day_0": allow_after_day_0,
    }  # fmt: skip
    chosen = _kinetics(kinetics, fit)
    plan = plan_fit(model, cohort, **chosen)
    _check_same(plan, fit)
    extension = make_extension(plan, cohort, **options)
    settings = sampler_settings(draws, tune, chains, cores, target_accept, seed, plan.tolerance)
    planned = dataclasses.replace(plan, extension=extension)
    found = fit_plan(planned, cohort, settings, seed, prior_check, rerun, Reporter(progress))
    return JointFit(found, extension, fit)


def load_joint(path: str | Path, *, fit: Fit | None = None) -> JointFit:
    """Read a joint fit back from a file written by `JointFit.save`.

    Parameters
    ----------
    path : path
        The file.
    fit : Fit, optional
        The fit of the kinetics alone.

    Returns
    -------
    JointFit
        As it was saved.

    Raises
    ------
    DataError
        If the file holds a fit without outcomes.
    """
    kinetics = load_fit(path)
    if "joint" not in kinetics.settings:
        raise DataError(Fault(str(path), "holds a fit without outcomes", "Use load_fit."))
    extension = make_extension(kinetics.plan, kinetics.cohort, **kinetics.settings["joint"])
    plan = dataclasses.replace(kinetics.plan, extension=extension)
    return JointFit(dataclasses.replace(kinetics, _plan=plan), extension, fit)


def make_extension(
    plan: Plan,
    cohort: Cohort,
    *,
    exposure: str,
    outcomes: Sequence[str],
    cell_type: str,
    hazard: str,
    landmark: float | None,
    time_dependent: str,
    competing: bool,
    adjust: Sequence[str],
    window: float,
    allow_after_day_0: bool,
    slope_scale: float = 1.0,
) -> JointExtension:
    """Turn what was asked for into an addition to a planned fit; see `fit_joint`."""
    options = {k: v for k, v in locals().items() if k not in ("plan", "cohort")}
    if isinstance(slope_scale, bool) or not 0 < slope_scale < 100:
        what = f"slope_scale is {slope_scale!r}"
        raise DataError(Fault("fit_joint", what, "Give a number above 0 and below 100."))
    _check_choice("hazard", hazard, (WEIBULL, PIECEWISE))
    _check_choice("time_dependent", time_dependent, ("", LEVEL, AREA))
    latent = latent_exposure(plan, exposure, cell_type)
    layout = plan.layout
    clock = Clock(landmark, bool(time_dependent), window, allow_after_day_0)
    found = read_outcomes(
        cohort,
        layout.patients,
        outcomes,
        exposure,
        clock,
        competing=competing,
        adjust=adjust,
        first_sample=_first_samples(layout.offsets, layout.days),
    )
    followed = np.nan
    if time_dependent:
        day = f"{FOLLOWED_FROM:g}"
        name = f"level_{day}" if time_dependent == LEVEL else f"auc_0_{day}"
        followed = Latent(name, cell_type).typical(plan)
    return JointExtension(
        latent=latent,
        center=latent.typical(plan),
        followed_center=followed,
        outcomes=found,
        hazard=hazard,
        follow=time_dependent,
        offsets=layout.offsets,
        days=layout.days,
        options=options,
    )


def _first_samples(offsets: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Give the first day after the infusion with a sample; NaN without any."""
    found = np.full(len(offsets) - 1, np.nan)
    for i in range(found.size):
        after = days[offsets[i] : offsets[i + 1]]
        after = after[after > 0]
        found[i] = after[0] if after.size else np.nan
    return found


def _names(names: Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        shown = ", ".join(repr(c) if c else "False" for c in choices)
        what = f"{name} is {value!r}"
        raise DataError(Fault("fit_joint", what, f"Choose from {shown}.", section=name))


def _kinetics(given: dict[str, Any], fit: Fit | None) -> dict[str, Any]:
    unknown = sorted(set(given) - set(_KINETICS))
    if unknown:
        what = f"unknown argument(s) {', '.join(unknown)}"
        raise DataError(
            Fault("fit_joint", what, f"Beside the others there are {', '.join(_KINETICS)}.")
        )
    before: dict[str, Any] = {}
    if fit is not None:
        before = {n: c for n, c in kinetic_choices(fit.settings).items() if n in _KINETICS}
    return before | given


def _check_same(plan: Plan, fit: Fit | None) -> None:
    if fit is None:
        return
    if fit.kinetic_model.text == plan.source.text and fit.patients == plan.layout.patients:
        return
    what = "the fit given by fit= is of another model or of other patients"
    raise DataError(Fault("fit_joint", what, "Fit this model to this cohort first."))
