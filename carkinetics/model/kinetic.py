"""The frozen Model: a kinetic model read from text, ready to be solved and fitted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy

from carkinetics.errors import Fault, ModelFileError, UnitError
from carkinetics.model.checks import check, dynamic_names
from carkinetics.model.parts import Claim, Observed, Parameter
from carkinetics.model.pieces import (
    check_claims,
    check_derived,
    latent_units,
    read_observed,
    read_parameters,
)
from carkinetics.model.schema import ModelFile, check_shape, read_toml
from carkinetics.model.sheet import declare
from carkinetics.model.system import System, write_system


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
        The units in which the latent level of a fit can be stated.
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
    _file: ModelFile
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
        return tuple(check_claims(self._file, self.derived()))

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
        """
        from carkinetics.model.published_priors import STANDINGS, text_with_published_priors

        if not any(
            p.values and p.priors and p.standing in STANDINGS for p in self.parameters.values()
        ):
            what = "no parameter has a published value to center a prior on"
            raise ModelFileError(Fault(self.name, what, "Fit it with the priors of its file."))
        text = text_with_published_priors(self.text, float(widen))
        return Model.from_text(text, self.name, self.cell_types)

    def system(self, cell_types: Sequence[str] | None = None) -> System:
        """Return the scalar SymPy equations."""
        return self._system if cell_types is None else self.with_cell_types(cell_types)._system

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
        return {
            name: (float(sympy.N(expression.subs(numbers))), unit)
            for name, (expression, unit) in self._system.derived.items()
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
    sheet = declare(file, chosen)
    check(sheet)
    parameters = read_parameters(sheet)
    observed = read_observed(sheet)
    units = latent_units(sheet)
    check_derived(sheet)
    faults = [replace(fault, file=name) for fault in (*faults, *sheet.faults)]
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
        _file=file,
        _system=write_system(sheet),
    )
