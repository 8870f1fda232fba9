"""The frozen Model: a kinetic model read from text, ready to be solved and fitted."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy

from carkinetics.errors import Fault, ModelFileError, UnitError
from carkinetics.model.checks import check, dynamic_names
from carkinetics.model.parts import Case, Claim, Input, Observed, Parameter, PatientClass
from carkinetics.model.pieces import (
    check_claims,
    check_derived,
    check_doses,
    latent_units,
    read_cases,
    read_inputs,
    read_mixture,
    read_observed,
    read_parameters,
)
from carkinetics.model.schema import check_shape, read_toml
from carkinetics.model.sheet import Sheet, declare
from carkinetics.model.system import System, write_system
from carkinetics.model.tables import ModelFile
from carkinetics.model.values import apply_values, text_with_values


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A kinetic model.

    Made by :func:`carkinetics.load_model` or :meth:`Model.from_text`, never directly.

    Parameters
    ----------
    name, title, summary, reference : str
        What the model is and where it comes from.
    text : str
        The model file.
    cell_types : tuple of str
        The cell types for which it is written out.
    parameters : mapping of str to Parameter
        Those that an equation uses, in the order of the file.
    observed : mapping of str to Observed
        By assay: ``flow``, ``qpcr``.
    constants : mapping of str to float
        Fixed numbers.
    latent_units : tuple of str
        The units in which the latent level of a fit can be stated; ``("",)`` where no assay
        observes the model.
    inputs : mapping of str to Input
        What is known of each patient.
    mixture : mapping of str to PatientClass
        Classes of patients with values of their own, beside the others.
    cases : mapping of str to Case
        Published numbers of other patients or experiments, for `with_values`.
    data, notes : str
        What data can identify it; what was found out about its numbers.
    stiff : bool
        Whether an explicit solver would need very many steps.
    """

    name: str
    title: str
    summary: str
    reference: str
    text: str
    cell_types: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    observed: Mapping[str, Observed]
    constants: Mapping[str, float]
    latent_units: tuple[str, ...]
    inputs: Mapping[str, Input]
    mixture: Mapping[str, PatientClass]
    cases: Mapping[str, Case]
    data: str
    notes: str
    stiff: bool
    _sheet: Sheet
    _system: System

    @classmethod
    def from_text(
        cls, text: str, name: str = "model", cell_types: Sequence[str] | None = None
    ) -> Model:
        """Read a model from TOML text.

        Parameters
        ----------
        text : str
            A model file.
        name : str
            The name under which fits and reports show it.
        cell_types : sequence of str, optional
            Write it out for these: some of the file's own, or ``("total",)`` for one population.

        Returns
        -------
        Model
            The checked model.

        Raises
        ------
        ModelFileError
            With every fault found, each with its place; a :class:`UnitError` where all of
            them are about units.
        """
        tables, faults = read_toml(text)
        file = None
        if not faults:
            file, faults = check_shape(tables)
        if file is None:
            raise ModelFileError(replace(fault, file=name) for fault in faults)
        return _build(cls, file, faults, text, name, cell_types)

    @property
    def text_hash(self) -> str:
        """SHA-256 of the model text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def closed_form(self) -> bool:
        """Whether the curve is given directly, with nothing to integrate."""
        return self._system.closed_form

    @cached_property
    def published(self) -> tuple[Claim, ...]:
        """The published numbers, each next to what the model gives at its typical values."""
        # A claim is about the numbers of the source, not about those of a user.
        own = self._file.values or self._file.fixed
        return () if own else tuple(check_claims(self._file, self.derived()))

    @property
    def absent(self) -> dict[str, str]:
        """What has no known value, and why: nothing is simulated before the user gives one."""
        names = {name: p.absent for name, p in self.parameters.items() if p.absent is not None}
        return names | {
            name: "differs between patients; there is no default"
            for name, table in self.inputs.items()
            if table.default is None
        }

    def require_values(self, but_not: Collection[str] = ()) -> None:
        """Refuse a model with numbers that nobody has given.

        Parameters
        ----------
        but_not : collection of str
            Names that may be absent here.

        Raises
        ------
        ModelFileError
            Naming each, and why it is absent.
        """
        absent = {name: why for name, why in self.absent.items() if name not in but_not}
        if absent:
            listed = ", ".join(f"{name} ({why})" for name, why in absent.items())
            shown = ", ".join(f"'{name}': ..." for name in absent)
            remedy = f"Give them: values={{{shown}}}."
            raise ModelFileError(Fault(self.name, f"has no value for {listed}", remedy))

    @property
    def outputs(self) -> dict[str, str]:
        """Curves beside the level, with their units."""
        return {name: unit for name, (_, unit) in self._system.outputs.items()}

    @property
    def output_labels(self) -> dict[str, str]:
        """What each output is, in words."""
        return {name: table.label for name, table in self._file.outputs.items()}

    def unit_of_state(self, name: str) -> str:
        """Return the unit of a state, ``"E"`` or ``"E[CD4]"``."""
        return self._file.states[name.split("[")[0]].unit

    @property
    def _file(self) -> ModelFile:
        return self._sheet.file

    def with_cell_types(self, cell_types: Sequence[str]) -> Model:
        """Return the model written out for other cell types.

        Parameters
        ----------
        cell_types : sequence of str
            Some of the file's own, or ``("total",)`` for one population. Parameters that no
            equation uses then drop out.
        """
        if tuple(cell_types) == self.cell_types:
            return self
        return Model.from_text(self.text, self.name, cell_types)

    def with_published_priors(self, widen: float = 2.0) -> Model:
        """Return the model with its published numbers as weakly informative priors.

        Parameters
        ----------
        widen : float
            The prior of a typical value is centered on the published one, with an SD, on the
            transformed scale, of ``widen`` times a quarter of the between-patient SD: ``widen``
            times the standard error of a trial of 16 patients.

        Returns
        -------
        Model
            Its text says so in a first line, ``published_priors = 2.0``, so that it is saved,
            hashed and shown like any other. A published between-patient SD becomes the scale of a
            half-normal prior. Parameters and latent units without a published number keep theirs.

        Raises
        ------
        ModelFileError
            Where no parameter has a published value, or `widen` is not above 0 and at most 100.

        Examples
        --------
        >>> from carkinetics.library import load_model
        >>> model = load_model("stein_2019")
        >>> model.parameters["alpha"].prior_for("copies/ug").text
        'lognormal(median=0.16, gsd=1.64872)'
        >>> model.with_published_priors().parameters["alpha"].prior_for("copies/ug").text
        'lognormal(median=0.16, gsd=1.57617)'
        """
        from carkinetics.model.published_priors import STANDINGS, text_with_published_priors

        if not any(
            p.values and p.priors and p.standing in STANDINGS for p in self.parameters.values()
        ):
            what = "no parameter has a published value to center a prior on"
            raise ModelFileError(Fault(self.name, what, "Fit it with the priors of its file."))
        text = text_with_published_priors(self.text, float(widen))
        return Model.from_text(text, self.name, self.cell_types)

    def with_values(self, values: Mapping[str, float]) -> Model:
        """Return the model with some of its numbers replaced.

        Parameters
        ----------
        values : mapping of str to float
            Constants, parameters (the typical value of those that vary) and inputs (their
            default), each in its unit. They are written at the end of the model's text.

        Raises
        ------
        ModelFileError
            For a name the model does not have.
        """
        if not values:
            return self
        text = text_with_values(self.text, self._file, values)
        return Model.from_text(text, self.name, self.cell_types)

    def with_fixed(self, values: Mapping[str, float]) -> Model:
        """Return the model with some parameters held at values: a fit does not estimate them.

        For what the data at hand cannot see: in a fit it would stay at its prior, and carry the
        width of that prior, and its odd corners, into everything else.

        Parameters
        ----------
        values : mapping of str to float
            Parameters with a prior, each in its unit: the value that all patients have. They are
            written at the end of the model's text, as those of `with_values`.

        Raises
        ------
        ModelFileError
            For a name that is no parameter of the model.

        Examples
        --------
        >>> from carkinetics.library import load_model
        >>> model = load_model("stein_2019").with_fixed({"beta": 0.0032})
        >>> "beta" in model.system().parameters
        False
        """
        if not values:
            return self
        text = text_with_values(self.text, self._file, {}, values)
        return Model.from_text(text, self.name, self.cell_types)

    def system(
        self,
        cell_types: Sequence[str] | None = None,
        *,
        open_inputs: bool = False,
        rounding: float = 0.0,
    ) -> System:
        """Return the scalar SymPy equations.

        Parameters
        ----------
        cell_types : sequence of str, optional
            See `with_cell_types`.
        open_inputs : bool
            Leave `inputs` as symbols; else they are numbers, their defaults.
        rounding : float
            Round the kinks of the curve (``min``, ``max``, ``where`` of the time) over this many
            days; 0: as written.
        """
        chosen = self if cell_types is None else self.with_cell_types(cell_types)
        if rounding:
            return write_system(chosen._sheet, open_inputs and bool(chosen.inputs), rounding)
        return chosen._open_system if open_inputs else chosen._system

    @cached_property
    def _open_system(self) -> System:
        return write_system(self._sheet, open_inputs=True) if self.inputs else self._system

    def published_omegas(self, read_as: str = "sd") -> dict[str, float]:
        """Return the published between-patient SDs on the transformed scale.

        Parameters
        ----------
        read_as : {"sd", "variance"}
            What the printed number is: tables of parameters do not always say. Read as a
            variance, the SD is its square root.
        """
        if read_as not in ("sd", "variance"):
            raise ModelFileError(Fault("read_as", f"is {read_as!r}", "Choose 'sd' or 'variance'."))
        power = 1.0 if read_as == "sd" else 0.5
        return {
            name: parameter.omega_value**power
            for name, parameter in self.parameters.items()
            if parameter.omega_value is not None
        }

    def typical(self, unit: str | None = None) -> dict[str, float]:
        """Return a value for every parameter of the system: published, else the prior's median.

        Parameters
        ----------
        unit : str, optional
            Latent unit; the first of `latent_units` by default.
        """
        unit = unit or self.latent_units[0]
        return {name: self.parameters[name.split("[")[0]].typical(unit) for name in self._names()}

    def derived(self, values: Mapping[str, float] | None = None) -> dict[str, tuple[float, str]]:
        """Return the derived numbers and their units, by default at the typical values."""
        chosen = self.typical() | dict(values or {})
        numbers = {
            symbol: sympy.Float(chosen[name])
            for name, symbol in zip(self._names(), self._system.parameter_symbols, strict=True)
        }
        found = {
            name: (sympy.N(expression.subs(numbers)), unit)
            for name, (expression, unit) in self._system.derived.items()
        }
        # What depends on an absent number has no value.
        return {
            name: (float(value), unit)
            for name, (value, unit) in found.items()
            if not value.free_symbols
        }

    def _names(self) -> tuple[str, ...]:
        return self._system.parameters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, tuple[str, ...]]:
        return self.name, self.text, self.cell_types

    def __reduce__(self) -> tuple[Any, ...]:
        # Read again rather than pickled: the text is the model.
        return Model.from_text, (self.text, self.name, self.cell_types)

    def __repr__(self) -> str:
        kind = "closed form" if self.closed_form else f"{len(self._system.states)} states"
        lines = [
            f"Model {self.name}: {self.title}",
            f"cell types {', '.join(self.cell_types)}; {kind}; "
            f"{len(self._system.parameters)} parameters: {', '.join(self._system.parameters)}",
        ]
        for parameter in self.parameters.values():
            if parameter.covariates:
                shown = "; ".join(f"{c.term} {c.value:+g}" for c in parameter.covariates.values())
                lines.append(f"published covariates of {parameter.name}: {shown}")
        return "\n    ".join(lines)


def _build(
    cls: type[Model],
    file: ModelFile,
    faults: list[Fault],
    text: str,
    name: str,
    cell_types: Sequence[str] | None,
) -> Model:
    chosen = tuple(cell_types or file.subsets.cell_type)
    known = (*file.subsets.cell_type, "total")
    alone = "total" not in chosen or len(chosen) == 1
    # Those of the file itself are checked with the rest of it.
    if cell_types and not (set(chosen) <= set(known) and alone and len(set(chosen)) == len(chosen)):
        listed = ", ".join(file.subsets.cell_type)
        raise ModelFileError(
            Fault(name, f"cannot be written out for {', '.join(chosen)}; it has {listed} and total")
        )
    file, unknown = apply_values(file)
    sheet = declare(file, chosen)
    check(sheet)
    parameters = read_parameters(sheet)
    observed = read_observed(sheet)
    units = latent_units(sheet)
    check_derived(sheet)
    check_doses(sheet)
    mixture, cases = read_mixture(sheet), read_cases(sheet)
    faults = [replace(fault, file=name) for fault in (*faults, *unknown, *sheet.faults)]
    if faults:
        raise (UnitError if sheet.unit_faults == len(faults) else ModelFileError)(faults)
    used = dynamic_names(sheet)
    return cls(
        name=name,
        title=file.model.title,
        summary=file.model.summary,
        reference=file.model.reference,
        text=text,
        cell_types=chosen,
        parameters={key: item for key, item in parameters.items() if key in used},
        observed=observed,
        constants={key: table.value for key, table in file.constants.items()},
        latent_units=units,
        inputs={key: item for key, item in read_inputs(sheet).items() if key in used},
        mixture=mixture,
        cases=cases,
        data=file.model.data,
        notes=file.model.notes,
        stiff=file.model.stiff,
        _sheet=sheet,
        _system=write_system(sheet),
    )
