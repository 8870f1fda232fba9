"""What a page says of its joint fits: their checks, what outcomes moved, and what moves them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from carkinetics.errors import DataError, Fault, FitError
from carkinetics.quantities import find_quantity
from carkinetics.report.numbers import between, p_value, percent, ratio
from carkinetics.report.parts import Block, Heading, Items, Section, Table, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from carkinetics.cohort import Cohort
    from carkinetics.outcomes.joint import JointFit
    from carkinetics.plotting import Picture

    Draw = tuple[Callable[[], Picture], str, str]

_MOST = 3  # patients named as the most influential


def joint_fits(joint: JointFit | Sequence[JointFit] | None) -> tuple[JointFit, ...]:
    """Take one joint fit, several, or none, as a tuple."""
    if joint is None:
        return ()
    return tuple(joint) if isinstance(joint, Sequence) else (joint,)


def check_joint(
    joint: Sequence[JointFit], cohort: Cohort, where: str, *, allow_failed: bool
) -> tuple[str, ...]:
    """Refuse joint fits of other data, and those that fail their checks.

    Returns
    -------
    tuple of str
        What failed, where that is allowed.

    Raises
    ------
    DataError
        For a joint fit of another cohort, or two of one exposure.
    FitError
        For one that fails its checks.
    """
    faults, seen = [], set()
    for one in joint:
        if one.kinetics.cohort.data_hash != cohort.data_hash:
            what = f"the joint fit is of {one.kinetics.cohort.name}, with other data"
            faults.append(Fault(where, what, f"Give a joint fit of {cohort.name}."))
        key = (one.exposure, one.cell_type)
        if key in seen:
            what = f"two joint fits of {one.exposure} ({one.cell_type})"
            faults.append(Fault(where, what, "Give one, with all outcomes together."))
        seen.add(key)
    if faults:
        raise DataError(faults)
    problems: list[str] = []
    for one in joint:
        check = one.check()
        if check.passed:
            continue
        if not allow_failed:
            raise FitError(f"{one.title}\n{check}\n    Pass allow_failed=True to write the page.")
        problems += [f"joint fit of {one.exposure}: {problem}" for problem in check.problems]
    return tuple(problems)


def joint_pictures(joint: Sequence[JointFit]) -> dict[str, Draw]:
    """List the figures of joint fits: slopes, and feedback where there is one to see."""
    from carkinetics.plotting import plot_feedback, plot_joint_slopes

    found: dict[str, Draw] = {}
    for one in joint:
        name = f"{one.exposure}_{one.cell_type}"
        label = find_quantity(one.exposure).label
        found[f"joint_slopes_{name}"] = (
            partial(plot_joint_slopes, one),
            f"Slopes of the joint model of {label}",
            "Prior and posterior of each ratio, other priors, and each patient's outcome left out.",
        )
        if one.kinetics_only is not None:
            found[f"feedback_{name}"] = (
                partial(plot_feedback, one),
                f"Feedback: {label} with and without outcomes",
                "How far outcomes move the exposure of each patient.",
            )
    return found


def joint_section(joint: Sequence[JointFit], figures: dict[str, Block]) -> Section | None:
    """Show every joint fit: check, priors and influence, feedback."""
    if not joint:
        return None
    blocks: list[Block] = []
    for one in joint:
        name = f"{one.exposure}_{one.cell_type}"
        check = one.check()
        blocks += [
            Heading(f"{find_quantity(one.exposure).label} ({one.cell_type})"),
            Text(check.verdict, warning=not check.passed),
            *(figures[k] for k in (f"joint_slopes_{name}",) if k in figures),
            _sensitivity(one),
            *_influence(one),
            *_residuals(one),
            *(figures[k] for k in (f"feedback_{name}",) if k in figures),
            Items(tuple(f"{note[0].upper()}{note[1:]}." for note in one.notes), "Notes"),
        ]
        if one.kinetics_only is None:
            blocks.append(
                Text("No fit of the kinetics alone was given: how far outcomes move it is unknown.")
            )
    return Section("joint", "The joint model of kinetics and outcome", tuple(blocks))


def _sensitivity(joint: JointFit) -> Table:
    rows = []
    for row in joint.sensitivity.itertuples():
        slope = joint.slope(row.outcome)
        cells = [f"{slope.outcome.label}: {slope.measure}", percent(max(slope.contraction, 0.0))]
        if row.reason:
            rows.append((*cells, "", "", "", "", row.reason))
            continue
        other = [
            between(ratio(getattr(row, f"{n}_median")), ratio(getattr(row, f"{n}_lower")),
                    ratio(getattr(row, f"{n}_upper")))
            for n in ("half", "twice")
        ]  # fmt: skip
        rows.append((*cells, *other, f"{row.prior:.2f}", f"{row.likelihood:.2f}", row.diagnosis))
    return Table(
        "What the ratios owe to their priors, per doubling of the exposure",
        ("Outcome", "Taken away", "Half the prior SD", "Twice the prior SD", "Prior",
         "Outcome's", "What it means"),
        rows,
        "wrrrrrw",
        ("Taken away: share of the prior variance that the data took away. Half, twice: the ratio "
         "under that prior, by importance sampling. Prior, outcome's: power-scaling diagnostics "
         "(Kallioinen et al. 2024); above 0.05 the posterior depends on that part.",),
    ).without_empty()  # fmt: skip


def _influence(joint: JointFit) -> list[Block]:
    """Name the patients whose outcome moves a ratio most."""
    items = []
    for outcome in joint.outcomes:
        if joint.extension.follow and outcome.kind == "survival":
            continue
        table, all_of_them = joint.influence(outcome.name), joint.slope(outcome.name).ratio(0.5)
        told = ", ".join(
            f"{ratio(row.median)} without {row.patient}" for row in table.head(_MOST).itertuples()
        )
        unsure = [row.patient for row in table.itertuples() if row.reason]
        doubt = f" (not to be relied on for {', '.join(unsure)})" if unsure else ""
        items.append(f"{outcome.label}: {ratio(all_of_them)} with all patients; {told}{doubt}.")
    return [Items(tuple(items), "The ratio with one patient's outcome left out")] if items else []


def _residuals(joint: JointFit) -> list[Block]:
    """Say whether outcomes go together beyond the exposure."""
    told = [
        f"{row.outcomes}: Kendall's tau {ratio(row.tau)}, p = {p_value(row.p_value)} "
        f"({row.n} patients)."
        for row in joint.residual_associations.itertuples()
        if not row.reason
    ]
    if not told:
        return []
    title = "What is left of the outcomes, given the exposure, which the model takes as unrelated"
    return [Items(tuple(told), title)]


def largest_k_hat(joint: Sequence[JointFit]) -> str:
    """Give the largest k-hat of all patients left out, for the footer."""
    found = [
        joint_fit.influence(outcome.name)["k_hat"].max()
        for joint_fit in joint
        for outcome in joint_fit.outcomes
        if not (joint_fit.extension.follow and outcome.kind == "survival")
    ]
    if not found:
        return "not computed: no leave-one-out comparison was made"
    return f"{np.max(found):.2f}, of one patient's outcome left out of the joint model"
