"""The declared family of associations: every exposure with every outcome, shown whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from carkinetics.cohort import Cohort
from carkinetics.errors import DataError
from carkinetics.outcomes import Association, Estimate, associate, holm
from carkinetics.outcomes.association import JOINT, MODES
from carkinetics.report.parts import reason_of

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure
    from carkinetics.outcomes.joint import JointFit

EXPOSURES = ("cmax", "auc_0_28")
OUTCOMES = ("ttp", "crs_grade", "iec_hs")
COLUMNS = {
    "ttp": ("ttp_day", "progressed"),
    "pfs": ("pfs_day", "pfs_event"),
    "os": ("os_day", "died"),
}

# Duration of response is made from these.
_DURATION = {"dor": ("response", "ttp_day", "progressed")}

# The one test of each kind of outcome that counts in the family; the first that was made.
PRIMARY = {
    "survival": ("Firth-Cox", "Cox (Efron)"),
    "ordinal": ("Jonckheere-Terpstra",),
    "binary": ("Mann-Whitney",),
    "continuous": ("Kendall",),
}
RULE = (
    "One test for each pair and way of taking the exposure counts in the family: for time to "
    "progression the likelihood-ratio test of Cox regression (penalized, after Firth, where events "
    "are fewer than 10 or all in order of exposure), for grades the Jonckheere-Terpstra test, for "
    "yes-or-no outcomes the Mann-Whitney test."
)


@dataclass(frozen=True)
class Primary:
    """The test that counts in the family, with its adjusted p-value.

    Parameters
    ----------
    estimate : Estimate
        The test.
    adjusted : float
        P-value after Holm, over all tests of the family; NaN where there is none.
    """

    estimate: Estimate
    adjusted: float


@dataclass(frozen=True)
class Pair:
    """An exposure and an outcome of the family.

    Parameters
    ----------
    exposure, outcome : str
        Their names.
    association : Association or None
        What was found; None where it was refused.
    refusal : str
        Why the first attempt was refused, or empty.
    landmark : float or None
        Landmark with which it was made after a refusal [day].
    primary : tuple of Primary
        One per way of taking the exposure.
    """

    exposure: str
    outcome: str
    association: Association | None
    refusal: str = ""
    landmark: float | None = None
    primary: tuple[Primary, ...] = ()

    @property
    def joint(self) -> tuple[Estimate, ...]:
        """The headline: estimates of the joint model, without p-values, no tests of the family."""
        return () if self.association is None else self.association.of_mode(JOINT)


@dataclass(frozen=True)
class Family:
    """All pairs, and what the cohort has no column for.

    Parameters
    ----------
    pairs : tuple of Pair
        Exposure by outcome.
    absent : tuple of str
        Outcomes of the declared family that the cohort does not have.
    n_tests : int
        P-values over which was adjusted.
    cell_type : str
        Whose exposure.
    assay : str
        Assay of the observed values.
    """

    pairs: tuple[Pair, ...]
    absent: tuple[str, ...]
    n_tests: int
    cell_type: str
    assay: str

    @property
    def made(self) -> tuple[tuple[Pair, Association], ...]:
        """The pairs that were not refused, with what was found."""
        return tuple((p, p.association) for p in self.pairs if p.association is not None)


def has_outcome(cohort: Cohort, outcome: str) -> bool:
    """Tell whether a cohort has any value of an outcome."""
    columns = (COLUMNS | _DURATION).get(outcome, (outcome,))
    table = cohort.patients
    if not set(columns) <= set(table.columns):
        return False
    return bool(table[list(columns)].notna().all(axis=1).any())


def declared_family(
    exposure: Exposure | Cohort,
    exposures: Sequence[str],
    outcomes: Sequence[str],
    cell_type: str,
    assay: str,
    probability: float,
    landmark: float,
    joint: Sequence[JointFit] = (),
) -> Family:
    """Relate every exposure of the family to every outcome the cohort has.

    Parameters
    ----------
    exposure : Exposure or Cohort
        Posterior exposures, ``tmax`` among them; or a cohort, for observed values only.
    exposures, outcomes : sequence of str
        The family.
    cell_type, assay : str
        Whose exposure, and the assay of observed values.
    probability : float
        Of all intervals.
    landmark : float
        Where the clock restarts for an association that is refused without [day].
    joint : sequence of JointFit
        Joint fits; each is the headline of the pairs that it relates.

    Returns
    -------
    Family
        With p-values adjusted after Holm over all its tests.
    """
    cohort = exposure if isinstance(exposure, Cohort) else exposure.cohort
    present = [outcome for outcome in outcomes if has_outcome(cohort, outcome)]
    pairs = [
        _headed(
            _pair(exposure, name, outcome, cell_type, assay, probability, landmark),
            joint,
            cell_type,
            probability,
        )
        for name in exposures
        for outcome in present
    ]
    tests = [(i, e) for i, pair in enumerate(pairs) for e in _primaries(pair.association)]
    adjusted = holm([estimate.p_value for _, estimate in tests])
    with_tests = tuple(
        Pair(
            pair.exposure,
            pair.outcome,
            pair.association,
            pair.refusal,
            pair.landmark,
            tuple(
                Primary(estimate, float(p))
                for (j, estimate), p in zip(tests, adjusted, strict=True)
                if j == i
            ),
        )
        for i, pair in enumerate(pairs)
    )
    absent = tuple(outcome for outcome in outcomes if outcome not in present)
    return Family(with_tests, absent, int(np.isfinite(adjusted).sum()), cell_type, assay)


def _pair(
    exposure: Exposure | Cohort,
    name: str,
    outcome: str,
    cell_type: str,
    assay: str,
    probability: float,
    landmark: float,
) -> Pair:
    def attempt(day: float | None) -> Association:
        return associate(
            exposure, name, outcome, cell_type, assay, probability=probability, landmark=day
        )

    try:
        return Pair(name, outcome, attempt(None))
    except DataError as error:
        refusal = reason_of(error)
    if outcome not in COLUMNS | _DURATION:
        return Pair(name, outcome, None, refusal)
    try:
        return Pair(name, outcome, attempt(landmark), refusal, landmark)
    except DataError as error:
        return Pair(name, outcome, None, f"{refusal} From day {landmark:g}: {reason_of(error)}")


def _headed(pair: Pair, joint: Sequence[JointFit], cell_type: str, probability: float) -> Pair:
    """Set the joint estimates before the others, where there is a joint fit of this pair."""
    if not joint:
        return pair
    # The joint model brings the sampler along, which a page without one does not need.
    from carkinetics.outcomes.joint.association import answers, with_joint

    fits = [j for j in joint if answers(j, pair.exposure, pair.outcome, cell_type)]
    if pair.association is None or not fits:
        return pair
    return replace(pair, association=with_joint(pair.association, fits[0], probability))


def _primaries(association: Association | None) -> list[Estimate]:
    if association is None:
        return []
    wanted = PRIMARY[association.kind]
    found = []
    for mode in MODES:
        by_method = {e.method: e for e in association.of_mode(mode)}
        chosen = [by_method[method] for method in wanted if method in by_method]
        found += chosen[:1]
    return found
