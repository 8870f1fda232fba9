"""A piece of work that goes to a process of its own, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from carkinetics.batch.predictive import ELPD
from carkinetics.cohort import Cohort
from carkinetics.model import Model


@dataclass(frozen=True)
class Analysis:
    """One variant, as far as it needs no fit of its own.

    Attributes
    ----------
    key : str
        Under which its result is kept.
    fit : str
        Key of its fit, or of its data where nothing is fitted.
    name, factor, level : str
        Of the variant.
    choices : mapping of str to level
        Of every factor.
    same_samples : bool
        Whether its fit predicts the samples that that of the base case does.
    """

    key: str
    fit: str
    name: str
    factor: str
    level: str
    choices: Mapping[str, Any]
    same_samples: bool = True


@dataclass(frozen=True)
class Watched:
    """What is computed for every variant; see `Variants`."""

    outcomes: tuple[str, ...]
    quantities: tuple[str, ...]
    per: str
    probability: float

    @property
    def exposures(self) -> tuple[str, ...]:
        """Quantities whose geometric mean over patients is watched."""
        return tuple(name for name in self.quantities if name != ELPD)

    @property
    def elpd(self) -> bool:
        """Whether it is watched how well patients are predicted who were left out."""
        return ELPD in self.quantities

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "outcomes": list(self.outcomes),
            "quantities": list(self.quantities),
            "per": self.per,
            "probability": self.probability,
        }


@dataclass(frozen=True)
class Job:
    """One fit with all that is computed from it; the work of one process.

    Attributes
    ----------
    key : str
        Of the fit; of the first analysis where nothing is fitted.
    model : Model or None
        Of its variants, so that a worker needs no file of this machine; None where no fit is made.
    cohort : Cohort
        As it was given.
    analyses : tuple of Analysis
        All of one fit, or any number of them where nothing is fitted; what is finished is left
        out.
    method : str
        ``"samples"``, ``"laplace"`` or ``"nuts"``.
    settings : mapping
        Of the fit, seed included.
    watched : Watched
        What to compute.
    versions : mapping
        Of the packages that the numbers depend on, where the batch was started.
    allow_failed : bool
        Whether a fit that fails its checks is analyzed all the same.
    fit_file : bytes or None
        The finished fit, if there is one.
    cores : int
        Chains that run at the same time.
    reweigh : bool
        Whether the analyses are those of other variants than the fit's, to be made with its
        weighed draws.
    """

    key: str
    model: Model | None
    cohort: Cohort
    analyses: tuple[Analysis, ...]
    method: str
    settings: Mapping[str, Any]
    watched: Watched
    versions: Mapping[str, str]
    allow_failed: bool = False
    fit_file: bytes | None = None
    cores: int = 1
    reweigh: bool = False


@dataclass(frozen=True)
class Finished:
    """What a job gave.

    Attributes
    ----------
    results : mapping of str to dict
        By the key of an analysis: its rows, or the reason why there are none.
    fit_file : bytes or None
        The fit, where one was made.
    fit_facts : mapping
        What is known of it: checks, seconds, hash of its data.
    """

    results: Mapping[str, dict[str, Any]]
    fit_file: bytes | None = None
    fit_facts: Mapping[str, Any] = field(default_factory=dict)
