"""The frozen pieces of a model: parameters, observed assays, published claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carkinetics.errors import ModelFileError
from carkinetics.model.covariates import PublishedCovariate
from carkinetics.priors import Prior


@dataclass(frozen=True)
class Input:
    """A number known of each patient, such as a dose or the day of a drug.

    Parameters
    ----------
    name, unit, label, source, standing : str
        As in the file.
    default : float or None
        Used where a patient has none; None where the user has to give it.
    """

    name: str
    unit: str
    label: str
    source: str
    standing: str
    default: float | None


@dataclass(frozen=True)
class Case:
    """Published numbers of another patient or experiment; see ``Model.with_values``.

    Parameters
    ----------
    name, label, source, standing : str
        As in the file.
    values : mapping of str to float
        In place of the numbers of the file.
    """

    name: str
    label: str
    source: str
    standing: str
    values: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True)
class PatientClass:
    """A class of a mixture: patients in whom some parameters have a value of their own.

    Parameters
    ----------
    name, label, source, standing : str
        As in the file.
    share : float
        Share of all patients.
    values : mapping of str to float
        Parameters and their value in every patient of the class.
    """

    name: str
    label: str
    source: str
    standing: str
    share: float
    values: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True)
class Parameter:
    """A number of the model, with its prior and where it comes from.

    Parameters
    ----------
    name, unit, label, source, standing, group : str
        ``standing`` is published, computed, choice, reconstruction or unverified.
    priors, omegas : mapping of str to Prior
        By latent unit; under the key ``""`` where one holds for every latent unit.
    values : mapping of str to float
        Published typical values, keyed like `priors`.
    vary : {"patient", None}
        Whether it differs between patients.
    over : bool
        Whether there is one per cell type.
    omega_value : float, optional
        Published between-patient SD on the transformed scale.
    absent : str, optional
        Why no value is known; None where there is one, or where the user gave one.
    covariates : mapping of str to PublishedCovariate
        Published coefficients by the text of their term.
    """

    name: str
    unit: str
    label: str
    source: str
    standing: str
    group: str
    priors: Mapping[str, Prior] = field(hash=False)
    omegas: Mapping[str, Prior] = field(hash=False)
    values: Mapping[str, float] = field(hash=False)
    vary: str | None = None
    over: bool = False
    omega_value: float | None = None
    absent: str | None = None
    covariates: Mapping[str, PublishedCovariate] = field(default_factory=dict, hash=False)

    @property
    def prior(self) -> Prior | None:
        """The prior (the first one, where it depends on the latent unit)."""
        return next(iter(self.priors.values()), None)

    @property
    def omega(self) -> Prior | None:
        """Prior of the between-patient SD (the first one, where it depends on the unit)."""
        return next(iter(self.omegas.values()), None)

    @property
    def value(self) -> float | None:
        """Published typical value (the first one, where it depends on the latent unit)."""
        return next(iter(self.values.values()), None)

    @property
    def fixed(self) -> bool:
        """Whether it is a value without a prior."""
        return not self.priors

    def prior_for(self, unit: str) -> Prior:
        """Return the prior that holds when the latent level has this unit."""
        return _chosen(self.priors, unit, f"prior of {self.name}")

    def omega_for(self, unit: str) -> Prior:
        """Return the prior of the between-patient SD for this latent unit."""
        return _chosen(self.omegas, unit, f"omega of {self.name}")

    def typical(self, unit: str) -> float:
        """Return the published value where there is one for this latent unit, else the median."""
        if unit in self.values or "" in self.values:
            return self.values.get(unit, self.values.get("", 0.0))
        return self.prior_for(unit).median


def _chosen(table: Mapping[str, Prior], unit: str, what: str) -> Prior:
    if unit in table:
        return table[unit]
    if "" in table:
        return table[""]
    known = " and ".join(table)
    raise ModelFileError(
        f"{what}: none for the latent unit '{unit}'; the model file has {known or 'none at all'}"
    )


@dataclass(frozen=True)
class Observed:
    """How an assay sees the model.

    Parameters
    ----------
    assay, unit : str
        ``flow`` or ``qpcr``, and the unit of its levels.
    is_ : str or None
        Its expression in the file; None where it is reached through `link`.
    link : {"assay_link", None}
        ``"assay_link"``: from the total of the other assay, or directly the latent level where
        this assay is alone.
    over : bool
        Whether there is one level per cell type.
    error : str
        ``"lognormal"``.
    sigma : Prior
        Prior of the residual SD on the log scale.
    """

    assay: str
    unit: str
    is_: str | None
    link: str | None
    over: bool
    error: str
    sigma: Prior
    label: str = ""


@dataclass(frozen=True)
class Claim:
    """A number that the model must give at its typical values.

    Parameters
    ----------
    name, unit : str
        The derived quantity.
    value : float
        What the source says.
    tolerance : float
        Largest difference allowed, in the same unit.
    within : str
        The tolerance as written in the file.
    computed : float
        What the model gives.
    source, standing : str
        Where `value` comes from.
    """

    name: str
    unit: str
    value: float
    tolerance: float
    within: str
    computed: float
    source: str
    standing: str

    def holds(self) -> bool:
        """Say whether the model gives the claimed number."""
        return abs(self.computed - self.value) <= self.tolerance

    def describe(self) -> str:
        """Return one sentence: what the model gives and what was claimed.

        Examples
        --------
        >>> Claim("doubling", "day", 0.78, 0.0156, "2%", 0.8, "Discussion", "published").describe()
        'doubling: 0.8 day, published 0.78 +/- 2% (Discussion)'
        """
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.name}: {self.computed:.6g}{unit}, {self.standing} {self.value:.6g} "
            f"+/- {self.within} ({self.source})"
        )
