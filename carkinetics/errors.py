"""Exceptions, warnings and solver outcomes, each with the sentence its user reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_SHOWN = 10


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input: where it is, what it is, what to do.

    Parameters
    ----------
    where : str
        The place, such as ``"levels.csv, row 41 (patient P07, day 14, qpcr)"``.
    what : str
        What is wrong there.
    remedy : str
        What the user can do about it; may be empty where the fault says it all.
    file, section, patient : str, optional
        The same place in parts, so that no caller has to parse the sentence.
    row : int, optional
        Line of the file, the header being line 1.
    """

    where: str
    what: str
    remedy: str = ""
    file: str | None = None
    section: str | None = None
    patient: str | None = None
    row: int | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text}\n    {self.remedy}" if self.remedy else text


class CarkineticsError(ValueError):
    """Base of all errors raised by carkinetics.

    Parameters
    ----------
    faults : str or Fault or iterable of Fault
        All faults found; the message shows the first ten.
    """

    def __init__(self, faults: str | Fault | Iterable[Fault]) -> None:
        if isinstance(faults, str):
            self.faults: tuple[Fault, ...] = ()
            super().__init__(faults)
            return
        self.faults = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__(_describe(self.faults))


class ModelFileError(CarkineticsError):
    """A model file (or a model built in Python) cannot be used."""


class UnitError(ModelFileError):
    """Units do not agree."""


class DataError(CarkineticsError):
    """A data table cannot be used."""


class SolverError(CarkineticsError):
    """The differential equations could not be solved."""


class FitError(CarkineticsError):
    """A fit cannot be made, loaded, or trusted."""


class BatchError(CarkineticsError):
    """A batch of variants cannot be run."""


class CarkineticsWarning(UserWarning):
    """Something the user should know that does not stop the work."""


class SolverOutcome(Enum):
    """How the integration of one patient ended; the value is the sentence shown to the user."""

    SOLVED = "solved"
    TOO_MANY_STEPS = (
        "the solver reached its limit of steps; the rates are extreme or the model is stiff. "
        "Tighten the priors of the rates."
    )
    NOT_FINITE = (
        "a state or a derivative stopped being a finite number; a parameter lies outside the "
        "range the equations allow. Tighten its prior."
    )


def _describe(faults: tuple[Fault, ...]) -> str:
    lines = [str(fault) for fault in faults[:_SHOWN]]
    if len(faults) > 1:
        lines.insert(0, f"{len(faults)} faults found:")
    if len(faults) > _SHOWN:
        lines.append(f"... and {len(faults) - _SHOWN} more.")
    return "\n".join(lines)
