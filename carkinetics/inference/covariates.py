"""Covariates on parameters: what is asked for, and what is made of it for the fitted patients."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carkinetics.cohort.covariate_terms import columns_read, term_values
from carkinetics.errors import Fault, FitError, ModelFileError
from carkinetics.inference.covariate_columns import Column, collinear, columns_of
from carkinetics.model import Model
from carkinetics.model.schema import did_you_mean
from carkinetics.priors import Prior

if TYPE_CHECKING:
    from carkinetics.inference.planning import Quantified

# Prior SD of a coefficient on a log or logit scale, per SD of the term or yes against no.
PRIOR_SD = 0.5
MANY_COLUMNS, FEW_PATIENTS = 3, 50
_WHERE = "covariates"


@dataclass(frozen=True)
class Covariate:
    """A covariate term of `fit`, where its text alone does not say enough.

    Parameters
    ----------
    term : str
        A column of the table of patients, or an expression of columns such as ``"log(dose)"``.
    reference : str, optional
        For a column of text: the value the others are compared with; the most frequent by default.
    center, scale : float, optional
        For numbers: what is subtracted and what it is divided by; mean and SD of the fitted
        patients by default.
    missing : {"refuse", "mean"}
        What to do about patients without a value: stop, or put them at the mean of the others (of
        a yes/no column or a value of text: at its share).
    prior : str, optional
        A normal prior of the coefficient on the transformed scale of the parameter, such as
        ``"normal(mean=0, sd=0.25)"``; N(0, 0.5) by default.

    Raises
    ------
    FitError
        For a scale that is not positive, an unknown `missing`, or a prior that is not normal.
    """

    term: str
    reference: str | None = None
    center: float | None = None
    scale: float | None = None
    missing: str = "refuse"
    prior: str | None = None

    def __post_init__(self) -> None:
        """Check what does not depend on data."""
        where = f"covariate {self.term!r}"
        faults = []
        if not isinstance(self.term, str) or not self.term.strip():
            faults.append(Fault(where, "is no text", "Give a column or an expression of columns."))
        if self.missing not in ("refuse", "mean"):
            faults.append(Fault(where, f"missing={self.missing!r}", "Choose 'refuse' or 'mean'."))
        if self.center is not None and not np.isfinite(self.center):
            faults.append(Fault(where, f"center={self.center!r}", "Give a finite number."))
        if self.scale is not None and not (np.isfinite(self.scale) and self.scale > 0):
            faults.append(Fault(where, f"scale={self.scale!r}", "Give a number above 0."))
        if self.prior is not None:
            faults += _prior_faults(where, self.prior)
        if faults:
            raise FitError(faults)


@dataclass(frozen=True, eq=False)
class Design:
    """The covariates of one parameter.

    Attributes
    ----------
    parameter : str
        Expanded name, such as ``gate_day`` or ``x[CD4]``.
    transform : str
        Scale on which the coefficients add up: ``"log"``, ``"logit"`` or ``"identity"``.
    columns : tuple of Column
        Columns of the matrix.
    priors : tuple of Prior
        Normal prior of each coefficient.
    """

    parameter: str
    transform: str
    columns: tuple[Column, ...]
    priors: tuple[Prior, ...]

    @property
    def variable(self) -> str:
        """Name of the coefficients."""
        return f"beta_{self.parameter}"

    @property
    def dim(self) -> str:
        """Name of their dim."""
        return f"term_{self.parameter}"

    @property
    def data(self) -> str:
        """Name of the matrix."""
        return f"covariates_{self.parameter}"

    @property
    def names(self) -> list[str]:
        """Labels of the columns."""
        return [column.name for column in self.columns]

    @property
    def matrix(self) -> np.ndarray:
        """The columns side by side, shape (patient, term)."""
        return np.stack([column.values for column in self.columns], axis=1)


@dataclass(frozen=True, eq=False)
class CovariateModel:
    """All covariates of a fit.

    Attributes
    ----------
    request : mapping of str to tuple of Covariate
        What was asked for, by parameter.
    designs : tuple of Design
        One for each parameter with covariates.
    left_out : tuple of str
        Published terms without a column in the table of patients, or with one value in all.
    """

    request: Mapping[str, tuple[Covariate, ...]]
    designs: tuple[Design, ...]
    left_out: tuple[str, ...] = ()

    def of(self, parameter: str) -> Design | None:
        """Return the design of a parameter; None where it has no covariates."""
        return next((d for d in self.designs if d.parameter == parameter), None)

    @property
    def typical(self) -> str:
        """Say at which values of the covariates the typical patient stands."""
        columns = (column for design in self.designs for column in design.columns)
        return "; ".join(dict.fromkeys(column.typical for column in columns))

    def settings(self) -> dict[str, Any]:
        """Return everything needed to state and to repeat it, as plain values."""
        return {
            "request": {
                name: [dataclasses.asdict(covariate) for covariate in covariates]
                for name, covariates in self.request.items()
            },
            "columns": {
                design.parameter: [
                    column.as_plain() | {"prior": prior.text}
                    for column, prior in zip(design.columns, design.priors, strict=True)
                ]
                for design in self.designs
            },
            "typical_patient": self.typical,
            "left_out": list(self.left_out),
        }

    def advice(self, n_patients: int) -> list[str]:
        """Say what the user should know before trusting the coefficients."""
        found = []
        if self.left_out:
            found.append(
                "published covariates without a column in the table of patients, or with the same "
                f"value in all fitted patients, are left out: {', '.join(self.left_out)}."
            )
        count = len({column.name for design in self.designs for column in design.columns})
        if count > MANY_COLUMNS and n_patients < FEW_PATIENTS:
            found.append(
                f"{count} covariates with {n_patients} patients: with fewer than {FEW_PATIENTS} "
                f"patients more than {MANY_COLUMNS} cannot be told apart. Choose those with a "
                "reason known beforehand."
            )
        return found


Request = Mapping[str, "str | Covariate | Sequence[str | Covariate]"] | str


def read_covariates(
    request: Request | None,
    model: Model,
    parameters: Sequence[Quantified],
    patients: Sequence[str],
    table: pd.DataFrame,
) -> CovariateModel | None:
    """Check the covariates asked for and compute their columns.

    Parameters
    ----------
    request : mapping, ``"published"`` or None
        Terms by parameter.
    model : Model
        With the published coefficients of its file.
    parameters : sequence of Quantified
        All parameters of the fit.
    patients : sequence of str
        Patients with fitted samples.
    table : DataFrame
        The cohort's table of patients.

    Returns
    -------
    CovariateModel or None
        None where nothing is asked for.

    Raises
    ------
    FitError
        With every fault.
    """
    if request is None or (isinstance(request, Mapping) and not request):
        return None
    left_out: tuple[str, ...] = ()
    rows = table.set_index("patient", drop=False).loc[list(patients)].reset_index(drop=True)
    if request == "published":
        chosen, left_out = _published(model, rows)
    elif isinstance(request, Mapping):
        chosen = {str(name): tuple(_listed(value)) for name, value in request.items()}
    else:
        what = f"{request!r} is neither a mapping of parameter to terms nor 'published'"
        raise FitError(Fault(_WHERE, what, 'Write covariates={"parameter": ["column"]}.'))
    designs: list[Design] = []
    faults: list[Fault] = []
    for name, covariates in chosen.items():
        targets, found = _targets(name, parameters)
        columns, more = _columns(name, covariates, rows)
        faults += [*found, *more]
        designs += [_design(target, columns) for target in targets if columns]
    twice = [d.parameter for d in designs if sum(d.parameter == o.parameter for o in designs) > 1]
    if twice:
        what = f"{', '.join(dict.fromkeys(twice))} is named twice, alone and with its cell type"
        faults.append(Fault(_WHERE, what, "Name it once."))
    if faults:
        raise FitError(faults)
    return CovariateModel(chosen, tuple(designs), left_out) if designs else None


def request_of(settings: Mapping[str, Any] | None) -> dict[str, list[Covariate]] | None:
    """Return what was asked for, from the settings of a fit."""
    if not settings:
        return None
    return {
        name: [Covariate(**entry) for entry in entries]
        for name, entries in settings["request"].items()
    }


def _listed(value: Any) -> Iterable[Covariate]:
    given = (value,) if isinstance(value, str | Covariate) else value
    if not isinstance(given, Sequence):
        what = f"{value!r} is neither a term nor a list of terms"
        raise FitError(Fault(_WHERE, what, 'Write covariates={"parameter": ["column"]}.'))
    for term in given:
        yield term if isinstance(term, Covariate) else Covariate(term)


def _published(
    model: Model, rows: pd.DataFrame
) -> tuple[dict[str, tuple[Covariate, ...]], tuple[str, ...]]:
    """Ask for the published terms whose columns are there, as they were published."""
    chosen: dict[str, tuple[Covariate, ...]] = {}
    left_out = []
    for name, parameter in model.parameters.items():
        for term, known in parameter.covariates.items():
            if not _tells_apart(term, rows):
                left_out.append(term)
                continue
            prior = f"normal(mean={known.value!r}, sd={known.se or PRIOR_SD!r})"
            asked = Covariate(term, center=0.0, scale=1.0, prior=prior)
            chosen[name] = (*chosen.get(name, ()), asked)
    if not chosen:
        what = f"model {model.name} has no published covariates"
        if left_out:
            what = (
                f"no published term of {model.name} has its columns in the table of patients and "
                "more than one value"
            )
        remedy = f"They are {', '.join(left_out)}." if left_out else "Name the terms yourself."
        raise FitError(Fault(_WHERE, what, remedy))
    return chosen, tuple(left_out)


def _tells_apart(term: str, rows: pd.DataFrame) -> bool:
    """Whether a published term has its columns and more than one value; faults are told later."""
    if not set(columns_read(term, rows)) <= set(rows.columns):
        return False
    found, _ = term_values(term, rows, _WHERE)
    return found is None or bool(found.missing.any()) or len(set(found.values)) > 1


def _targets(name: str, parameters: Sequence[Quantified]) -> tuple[list[Quantified], list[Fault]]:
    """Find the expanded parameters that a name means."""
    meant = [p for p in parameters if name in (p.name, p.name.split("[")[0])]
    varying = [p.name for p in parameters if p.omega is not None]
    targets = [p for p in meant if p.omega is not None]
    if targets:
        return targets, []
    what = f"parameter '{name}' does not vary between patients"
    if not meant:
        what = f"no parameter '{name}'{did_you_mean(name, varying)}"
    return [], [Fault(_WHERE, what, f"Those that vary are {', '.join(varying)}.")]


def _columns(
    name: str, covariates: Sequence[Covariate], rows: pd.DataFrame
) -> tuple[list[Column], list[Fault]]:
    columns: list[Column] = []
    faults: list[Fault] = []
    for covariate in covariates:
        found, more = columns_of(covariate, rows, f"{_WHERE} of {name}")
        columns += found
        faults += more
    if not faults:
        faults = collinear(columns, f"{_WHERE} of {name}")
    if not covariates:
        faults.append(Fault(f"{_WHERE} of {name}", "no term", "Name one, or leave it out."))
    return columns, faults


def _design(target: Quantified, columns: Sequence[Column]) -> Design:
    transform = target.prior.transform
    # On a scale with the parameter's own unit a half means nothing: half its expected spread does.
    unit = target.omega.spread if transform == "identity" and target.omega else 1.0
    usual = Prior("normal", (0.0, PRIOR_SD * unit))
    priors = tuple(Prior.parse(c.prior) if c.prior is not None else usual for c in columns)
    return Design(target.name, transform, tuple(columns), priors)


def _prior_faults(where: str, text: str) -> list[Fault]:
    remedy = 'Write "normal(mean=0, sd=0.5)".'
    try:
        prior = Prior.parse(text)
    except ModelFileError as error:
        return [Fault(where, error.faults[0].what, remedy)]
    if prior.family != "normal":
        return [Fault(where, f"the prior {text} is not normal", remedy)]
    return []
