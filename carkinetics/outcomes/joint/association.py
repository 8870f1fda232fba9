"""A joint fit as one mode of an association, the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from carkinetics.errors import DataError, Fault
from carkinetics.outcomes.association import JOINT, Association, Estimate
from carkinetics.outcomes.endpoint import ORDINAL, SURVIVAL
from carkinetics.outcomes.joint.data import DEATH_FIRST
from carkinetics.outcomes.joint.result import JointFit

_LEVEL = 0.05  # of the p-value of what is left of two outcomes, below which it is told


@dataclass(frozen=True)
class Asked:
    """What `associate` does beside the joint fit: the same question to the classical methods.

    Parameters
    ----------
    source : Fit or Cohort
        The fit of the kinetics alone; without one, the cohort, for observed values only.
    exposure, cell_type : str
        Of the joint fit.
    landmark : float or None
        Of the joint fit, for survival [day].
    time_dependent, allow_after_day_0 : bool
        Of the joint fit.
    adjust : tuple of str
        Of the joint fit.
    assay : str
        For observed values, where the cohort has none of the assay asked for.
    """

    source: Any
    exposure: str
    cell_type: str
    landmark: float | None
    time_dependent: bool
    allow_after_day_0: bool
    adjust: tuple[str, ...]
    assay: str


def asked_of(joint: JointFit, outcome: str, **given: Any) -> Asked:
    """Take the question from a joint fit; refuse what contradicts it.

    Parameters
    ----------
    joint : JointFit
        The joint fit.
    outcome : str
        One of its outcomes.
    **given
        What the caller of `associate` has chosen: ``exposure``, ``cell_type``, ``landmark``,
        ``adjust``; None or empty where nothing.

    Raises
    ------
    DataError
        If the outcome is not in the joint fit, or something else was chosen there.
    """
    survival = joint.slope(outcome).outcome.kind == SURVIVAL
    options = joint.extension.options
    faults = [
        Fault("associate", f"{name} is {value!r}, and {options[name]!r} in the joint fit",
              "Leave it out, or make a joint fit with it.", section=name)
        for name, value in given.items()
        if value is not None and _plain(value) != _plain(options[name])
    ]  # fmt: skip
    if faults:
        raise DataError(faults)
    return Asked(
        source=joint.kinetics_only or joint.kinetics.cohort,
        exposure=joint.exposure,
        cell_type=joint.cell_type,
        landmark=options["landmark"] if survival else None,
        time_dependent=survival and bool(options["time_dependent"]),
        allow_after_day_0=bool(options["allow_after_day_0"]),
        adjust=tuple(options["adjust"]),
        assay=joint.kinetics.plan.layout.assays[0],
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def with_joint(found: Association, joint: JointFit, probability: float) -> Association:
    """Set the joint estimate of an outcome before the classical ones that were found already.

    Parameters
    ----------
    found : Association
        From the posterior of the kinetics alone, or from samples.
    joint : JointFit
        A joint fit of the same exposure with this outcome.
    probability : float
        Of the interval.

    Returns
    -------
    Association
        Where the joint fit counts time from another day, only a note that says so is added.
    """
    other = _other_clock(found, joint) if found.kind == SURVIVAL else ""
    if other:
        note = f"the joint fit {other}, and is not shown beside time {found.clock}"
        return replace(found, notes=(note, *found.notes))
    notes = tuple(note for note in found.notes if "ck.fit_joint(...)" not in note)
    return replace(
        found,
        estimates=joint_estimates(joint, found.outcome, probability) + found.estimates,
        notes=joint_notes(joint, found.outcome) + notes,
    )


def _other_clock(found: Association, joint: JointFit) -> str:
    day, follow = joint.extension.options["landmark"], joint.extension.follow
    if follow:
        return f"lets the hazard follow the {'level' if follow == 'level' else 'area'} along time"
    start = "from the landmark" + ("" if day is None else f", day {day:g}")
    if found.clock.startswith(start) == (day is not None):
        return ""
    return "counts patients " + ("from the start" if day is None else f"at risk from day {day:g}")


def answers(joint: JointFit, exposure: str, outcome: str, cell_type: str) -> bool:
    """Tell whether a joint fit relates this exposure to this outcome."""
    names = [o.name for o in joint.outcomes]
    return (joint.exposure, joint.cell_type) == (exposure, cell_type) and outcome in names


def joint_estimates(joint: JointFit, outcome: str, probability: float) -> tuple[Estimate, ...]:
    """Tell the slopes of an outcome, of both causes where deaths compete with progression."""
    names = [outcome]
    if outcome == "ttp" and any(o.name == DEATH_FIRST for o in joint.outcomes):
        names.append(DEATH_FIRST)
    return tuple(_estimate(joint, name, probability) for name in names)


def _estimate(joint: JointFit, name: str, probability: float) -> Estimate:
    slope = joint.slope(name)
    lower, upper = slope.interval(probability)
    narrow = slope.interval(0.9)
    how = _method(joint, slope.outcome.kind)
    if name == DEATH_FIRST:
        how += ", death without progression"
    note = (
        f"90 % interval {narrow[0]:.3g} to {narrow[1]:.3g}; P(ratio < 1) = {slope.negative:.3f}; "
        f"the data took away {max(slope.contraction, 0.0):.0%} of the prior variance"
    )
    remark = slope.remark
    return Estimate(
        mode=JOINT,
        method=how,
        measure=f"{slope.measure} per doubling",
        estimate=slope.ratio(0.5),
        lower=lower,
        upper=upper,
        probability=probability,
        interval_kind="credible, equal-tailed; the estimate is the posterior median",
        n=slope.outcome.n,
        n_events=slope.outcome.n_events,
        p_below=slope.negative,
        note=f"{note}; {remark}" if remark else note,
    )


def _method(joint: JointFit, kind: str) -> str:
    adjusted = ", adjusted" if joint.extension.options["adjust"] else ""
    if kind == ORDINAL:
        return f"cumulative logit{adjusted}"
    if kind != SURVIVAL:
        return f"logistic{adjusted}"
    name = "Weibull hazard" if joint.extension.hazard == "weibull" else "piecewise hazard"
    followed = {"level": ", current level", "area": ", area so far"}.get(joint.extension.follow, "")
    return f"{name}{followed}{adjusted}"


def joint_notes(joint: JointFit, outcome: str) -> tuple[str, ...]:
    """Say what a reader has to know of the joint estimates of an outcome."""
    found = [note for note in joint.notes if not _of_another(joint, note, outcome)]
    used = joint.slope(outcome).outcome
    found += [f"joint model, {text}" for text in _left_out(used.left_out)]
    if used.clock:
        found.append(f"joint model: time {used.clock}")
    check = joint.check()
    if not check:
        found.append(f"the joint fit misses its checks: {check.verdict}")
    if joint.kinetics_only is None:
        found.append(
            "no estimates from the posterior of the kinetics alone: pass fit=ck.fit(...) to "
            "fit_joint. The posterior of the joint fit has seen the outcome, and is no exposure "
            "for a second analysis of it"
        )
        return tuple(found)
    moved = joint.feedback[joint.feedback["listed"]]
    if len(moved):
        shown = ", ".join(f"{r.patient} ({r.shift:+.2f})" for r in moved.itertuples())
        found.append(
            f"feedback: outcomes move the mean ln {joint.exposure} of {len(moved)} patient(s) by "
            f"more than 0.5 posterior SD ({shown}): there they rewrite the kinetics; compare with "
            "the propagated estimate"
        )
    else:
        furthest = joint.feedback.loc[joint.feedback["shift"].abs().idxmax()]
        found.append(
            f"feedback: outcomes move no patient's mean ln {joint.exposure} by more than 0.5 "
            f"posterior SD (most: {furthest['patient']}, {furthest['shift']:+.2f})"
        )
    return (*found, *_still_together(joint, outcome))


def _still_together(joint: JointFit, outcome: str) -> tuple[str, ...]:
    """Say with which outcomes this one goes beyond the exposure, which the model rules out."""
    table = joint.residual_associations
    related = table[(table["p_value"] < _LEVEL) & (table["reason"] == "")]
    return tuple(
        f"given the exposure, {' and '.join(row.outcomes.split(', '))} still go together "
        f"(Kendall's tau of what is left {row.tau:+.2f}, p = {row.p_value:.2g}), which the joint "
        "model takes as unrelated: compare with a joint fit of this outcome alone"
        for row in related.itertuples()
        if outcome in row.outcomes.split(", ")
    )


def _of_another(joint: JointFit, note: str, outcome: str) -> bool:
    others = [o.name for o in joint.outcomes if o.name not in (outcome, DEATH_FIRST)]
    return any(note.startswith(f"{name}: ") for name in others)


def _left_out(left_out: dict[str, str]) -> tuple[str, ...]:
    from carkinetics.outcomes.pairing import counted_by_reason

    return counted_by_reason(left_out)
