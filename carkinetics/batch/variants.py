"""`variants`: what a batch changes, declared before there are data."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carkinetics.batch.factors import FACTORS, default_of
from carkinetics.batch.words import frozen, in_words, same_level
from carkinetics.errors import BatchError, Fault

if TYPE_CHECKING:
    from carkinetics.batch.plan import BatchPlan
    from carkinetics.cohort import Cohort
    from carkinetics.model import Model

ONE_AT_A_TIME, CROSSED, LISTED = "one_at_a_time", "crossed", "listed"
DESIGNS = (ONE_AT_A_TIME, CROSSED, LISTED)
UNITS = ("doubling", "ten-fold", "sd")
BASE = "base"


@dataclass(frozen=True)
class Variant:
    """One set of assumptions.

    Parameters
    ----------
    name : str
        ``"base"``, or what differs from it: ``"blq=drop"``.
    factor, level : str
        Names of the factors that differ from the base case, and their levels, in words.
    choices : mapping of str to level
        Of every factor.
    """

    name: str
    factor: str
    level: str
    choices: Mapping[str, Any]


@dataclass(frozen=True)
class Variants:
    """What a batch changes: factors with their levels, and how they are combined.

    Made by `variants` or `read_plan`.

    Parameters
    ----------
    factors : mapping of str to tuple
        Levels of each factor, without that of the base case in a one-at-a-time design.
    base : mapping of str to level
        Where the base case differs from the defaults.
    design : str
        ``"one_at_a_time"``, ``"crossed"`` or ``"listed"``.
    listed : tuple of mapping
        Variants given one by one, each by what differs from the base case.
    outcomes : tuple of str
        Outcomes watched in every variant.
    quantities : tuple of str
        Quantities whose geometric mean over patients is watched in every variant; ``"elpd"``:
        how well a patient left out is predicted.
    per : str
        Unit in which ratios are told.
    probability : float
        Of all intervals.
    """

    factors: Mapping[str, tuple[Any, ...]]
    base: Mapping[str, Any] = field(default_factory=dict)
    design: str = ONE_AT_A_TIME
    listed: tuple[Mapping[str, Any], ...] = ()
    outcomes: tuple[str, ...] = ("ttp",)
    quantities: tuple[str, ...] = ()
    per: str = "doubling"
    probability: float = 0.95

    def plan(
        self,
        model: Model | None,
        cohort: Cohort,
        *,
        method: str = "nuts",
        folder: str | Path | None = None,
        n_workers: int | None = None,
        **settings: Any,
    ) -> BatchPlan:
        """Check every variant against model and cohort, and say what the batch will take.

        Parameters
        ----------
        model : Model or None
            As for `run_variants`.
        cohort : Cohort
            As for `run_variants`.
        method : {"nuts", "laplace", "samples"}
            As for `run_variants`.
        folder : path, optional
            Where it will run: what is finished there is not counted again, and gives the
            estimate of time.
        n_workers : int, optional
            As for `run_variants`.
        **settings
            As for `run_variants`.

        Returns
        -------
        BatchPlan
            Prints the number of variants and of fits and an estimate of time.

        Raises
        ------
        BatchError
            With every fault found.
        """
        from carkinetics.batch.plan import plan_batch

        return plan_batch(
            model, cohort, self, method=method, folder=folder, n_workers=n_workers, **settings
        )

    def base_choices(self, method: str) -> dict[str, Any]:
        """Give the level of every factor in the base case."""
        found = {name: default_of(name, method) for name in FACTORS}
        if not self.outcomes and not self._has_outcomes():
            found["outcome"] = ""  # quantities alone are watched
        found |= self.base
        if self.design == CROSSED:
            for name, levels in self.factors.items():
                if name not in self.base and found[name] not in levels:
                    found[name] = levels[0]
        return found

    def _has_outcomes(self) -> bool:
        return any("outcome" in names for names in (self.factors, self.base, *self.listed))

    def expand(self, cohort: Cohort, method: str) -> Iterator[Variant]:
        """List the variants, the base case first.

        Parameters
        ----------
        cohort : Cohort
            Gives the patients where each is left out in turn.
        method : str
            Gives the defaults.

        Yields
        ------
        Variant
        """
        base = self.base_choices(method)
        yield Variant(BASE, BASE, BASE, base)
        seen = {frozen(base)}
        for changes in self._changes(cohort):
            choices = base | changes
            if (known := frozen(choices)) not in seen:
                seen.add(known)
                yield _named(choices, base)

    def _changes(self, cohort: Cohort) -> Iterator[dict[str, Any]]:
        levels = {
            name: tuple(cohort.patient_ids) if name == "leave_out" and tuple(given) == ("each",)
            else given
            for name, given in self.factors.items()
        }  # fmt: skip
        if self.design == CROSSED:
            for combination in itertools.product(*levels.values()):
                yield dict(zip(levels, combination, strict=True))
        else:
            for name, given in levels.items():
                for level in given:
                    yield {name: level}
        yield from (dict(changes) for changes in self.listed)

    def as_dict(self) -> dict[str, Any]:
        """Give the declaration as plain data, to be written as JSON."""
        return {
            "factors": {name: list(levels) for name, levels in self.factors.items()},
            "base": dict(self.base),
            "design": self.design,
            "listed": [dict(changes) for changes in self.listed],
            "outcomes": list(self.outcomes),
            "quantities": list(self.quantities),
            "per": self.per,
            "probability": self.probability,
        }

    def __repr__(self) -> str:
        lines = [f"Variants, {self.design.replace('_', ' ')}"]
        lines += [
            f"{name}: {', '.join(map(in_words, levels))}" for name, levels in self.factors.items()
        ]
        if self.listed:
            lines.append(f"{len(self.listed)} listed one by one")
        if self.base:
            lines.append("base: " + ", ".join(f"{k}={in_words(v)}" for k, v in self.base.items()))
        return "\n    ".join(lines)


def variants(
    *,
    design: str = ONE_AT_A_TIME,
    base: Mapping[str, Any] | None = None,
    listed: Sequence[Mapping[str, Any]] = (),
    outcomes: Sequence[str] = ("ttp",),
    quantities: Sequence[str] = (),
    per: str = "doubling",
    probability: float = 0.95,
    **factors: Any,
) -> Variants:
    """Declare the variants of a batch of sensitivity analyses.

    Parameters
    ----------
    design : {"one_at_a_time", "crossed"}
        Change one factor at a time, or combine every level with every other.
    base : mapping, optional
        Levels of the base case, where they differ from the defaults.
    listed : sequence of mapping
        Further variants one by one, each by what differs from the base case.
    outcomes : sequence of str
        Outcomes watched in every variant, unless ``outcome`` is itself a factor.
    quantities : sequence of str
        Quantities whose geometric mean over patients is watched as well. ``"elpd"``: the log
        predictive density of each patient given the others, summed, for comparing models; then
        nothing is reweighted, and patients with k-hat above 0.7 are fitted without.
    per : {"doubling", "ten-fold", "sd"}
        Unit in which ratios are told. ``"sd"``, one SD of the log exposure over all patients, is
        for comparing exposures of different units only.
    probability : float
        Of all intervals.
    **factors
        Levels, one or a list, of: ``blq`` (``"m3"``, ``"drop"``, ``"first_half_lloq"``, ...),
        ``lloq_scale``, ``blq_cap``, ``assay``, ``wbc`` (``"ignored"``), ``cell_types``
        (``"total"``), ``visits`` (lists of days), ``leave_out`` (patients, or ``"each"``);
        ``model`` (names, or files), ``prior_scale`` and ``prior_scale_<group>`` (``location``,
        ``omega``, ``correlation``, ``residual``, ``link``; ``slope`` of the joint model),
        ``patient_effects``, ``residual``, ``correlated``, ``link_slope`` (a number at which the
        slope of qPCR on flow is held, or ``"free"``), ``covariates``; ``exposure``
        (``"cmax"``, ``"cmax CD8"``, ``"cmax qpcr"``), ``estimator`` (``"posterior mean"``,
        ``"observed"``, ``"cut"``, ``"joint"``), ``outcome``, ``landmark``, ``transplant``
        (``"censor"``, ``"time_dependent"``), ``subset`` (``"response == CR"``), ``adjust``,
        ``test``.

    Returns
    -------
    Variants
        For `run_variants`; what depends on model and data is checked there, before the first
        fit, or by its method ``plan``.

    Raises
    ------
    BatchError
        For a factor that does not exist, or a design that is none.

    Examples
    --------
    >>> variants(blq=["m3", "drop"], prior_scale=[0.5, 2], landmark=28)
    Variants, one at a time
        blq: m3, drop
        prior_scale: 0.5, 2
        landmark: 28
    """
    given = {name: same_level(level) for name, level in dict(base or {}).items()}
    listed = [{name: same_level(level) for name, level in changes.items()} for changes in listed]
    faults = [_unknown(name, "factor") for name in factors if name not in FACTORS]
    faults += [_unknown(name, "factor of the base case") for name in given if name not in FACTORS]
    for place, changes in enumerate(listed, start=1):
        names = [name for name in changes if name not in FACTORS]
        faults += [_unknown(name, f"factor of listed variant {place}") for name in names]
        if not changes:
            what = f"listed variant {place} changes nothing"
            faults.append(Fault("variants", what, "Name at least one factor."))
    if design not in (ONE_AT_A_TIME, CROSSED):
        faults.append(
            Fault("variants", f"design is {design!r}", f"Choose {ONE_AT_A_TIME!r} or {CROSSED!r}.")
        )
    if per not in UNITS:
        faults.append(Fault("variants", f"per is {per!r}", f"Choose from {', '.join(UNITS)}."))
    if isinstance(probability, bool) or not 0.5 <= probability < 1:
        faults.append(
            Fault("variants", f"probability is {probability!r}", "Give one from 0.5 to below 1.")
        )
    watched = (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)
    if "outcome" in factors or "outcome" in given or any("outcome" in c for c in listed):
        if watched != ("ttp",):
            what = "outcome is a factor and outcomes are watched"
            faults.append(Fault("variants", what, "Give one or the other."))
        watched = ()
    if not watched and not quantities and "outcome" not in {*factors, *given} and not listed:
        faults.append(Fault("variants", "nothing is watched", "Name outcomes or quantities."))
    levels = {name: same_level(_levels(name, value)) for name, value in factors.items()}
    faults += [
        Fault("variants", f"{name} has no level", "Give at least one.", section=name)
        for name, found in levels.items()
        if not found
    ]
    if faults:
        raise BatchError(faults)
    return Variants(
        factors=levels,
        base=given,
        design=design if levels or not listed else LISTED,
        listed=tuple(listed),
        outcomes=watched,
        quantities=(quantities,) if isinstance(quantities, str) else tuple(quantities),
        per=per,
        probability=float(probability),
    )


def _named(choices: dict[str, Any], base: Mapping[str, Any]) -> Variant:
    changed = [name for name in choices if choices[name] != base[name]]
    words = [in_words(choices[name]) for name in changed]
    name = ", ".join(f"{name}={word}" for name, word in zip(changed, words, strict=True))
    return Variant(name, ", ".join(changed), ", ".join(words), choices)


def _levels(name: str, value: Any) -> tuple[Any, ...]:
    """Give the levels of a factor as a tuple; one list of days is one level."""
    if name == "visits" and isinstance(value, list | tuple) and value:
        nested = [isinstance(level, list | tuple | str) for level in value]
        return tuple(value) if any(nested) else (value,)
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,)


def _unknown(name: str, kind: str) -> Fault:
    close = difflib.get_close_matches(name, FACTORS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    what = f"no {kind} is called {name!r}{hint}"
    return Fault("variants", what, f"Choose from {', '.join(FACTORS)}.", section=name)
