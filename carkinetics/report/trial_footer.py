"""What the page of a trial without a fit has to say of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from carkinetics.report.closing_part import clock_line, estimators_line, events_line
from carkinetics.report.family import Family
from carkinetics.report.joint_part import largest_k_hat

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.outcomes.joint import JointFit


def cohort_footer(
    cohort: Cohort,
    family: Family | None,
    transform: str,
    probability: float,
    joint: Sequence[JointFit] = (),
) -> tuple[tuple[str, str], ...]:
    """Collect the footer of a page that rests on observed values only."""
    samples = cohort.samples(cell_type="total")
    below = int(samples["below_lloq"].sum())
    blq = f"{below} of {len(samples)} samples of the total" if len(samples) else "no samples"
    return (
        ("Patients (N)", str(cohort.n_patients)),
        ("Events", events_line(cohort)),
        ("Reliability (lambda), shrinkage", "not known without a fit: observed values only"),
        ("BLQ", f"{blq}; lowest in rank tests, never zero"),
        ("Clock", "from the infusion" if family is None else clock_line(family)),
        (
            "Censoring rule",
            "as coded in the table of patients: without the event, a patient is censored on the "
            "day given; nothing was censored by this analysis",
        ),
        (
            "Intervals",
            f"{probability:.0%}; regressions: profile likelihood on the log-ratio scale; "
            f"Kaplan-Meier: {transform}; cumulative incidence: log(-log); shares: exact",
        ),
        ("Estimator", estimators_line(joint, with_fit=False)),
        (
            "Tests in the family",
            "none" if family is None else f"{family.n_tests}, adjusted after Holm",
        ),
        *((("Largest k-hat", largest_k_hat(joint)),) if joint else ()),
        *(() if joint else (("Divergences, largest k-hat", "none: no fit"),)),
        ("Claim", "associations only; this page does not say why things went together"),
    )
