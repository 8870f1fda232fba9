"""Read priors, observed assays, latent units and claims of a model file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from carkinetics.equations.nodes import EquationFault, point_at
from carkinetics.equations.reading import read_constant
from carkinetics.errors import ModelFileError
from carkinetics.model.covariates import read_published_covariates
from carkinetics.model.parts import Case, Claim, Input, Observed, Parameter, PatientClass
from carkinetics.model.published_priors import STANDINGS, published_priors
from carkinetics.model.schema import did_you_mean
from carkinetics.model.sheet import Sheet, read_unit
from carkinetics.model.tables import ModelFile, ParameterTable
from carkinetics.priors import Prior
from carkinetics.units import parse_unit, same_unit


def read_parameters(sheet: Sheet) -> dict[str, Parameter]:
    """Read all parameters; faults are noted on the sheet."""
    return {name: _parameter(sheet, name, t) for name, t in sheet.file.parameters.items()}


def _parameter(sheet: Sheet, name: str, table: ParameterTable) -> Parameter:
    where = f"parameters.{name}"
    _check_parameter(sheet, where, table)
    priors = _priors(sheet, f"{where}.prior", table.prior)
    omegas = _priors(sheet, f"{where}.omega", table.omega)
    widen = sheet.file.published_priors
    if widen is not None and table.value and table.standing in STANDINGS:
        priors, omegas = published_priors(priors, omegas, table.value, table.omega_value, widen)
    return Parameter(
        name=name,
        unit=table.unit,
        label=table.label,
        source=table.source,
        standing=table.standing,
        group=table.group or "location",
        priors=priors,
        omegas=omegas,
        values=table.value or {},
        vary=table.vary,
        over=table.over is not None,
        omega_value=table.omega_value,
        absent=table.absent,
        covariates=read_published_covariates(sheet, where, table),
    )


def _check_parameter(sheet: Sheet, where: str, table: ParameterTable) -> None:
    if table.prior is None and table.value is None and table.absent is None:
        remedy = 'Where no value is known, say why: absent = "...".'
        sheet.fault(where, "needs a prior, or a value if it is fixed", remedy)
    if table.value is not None and table.absent is not None:
        sheet.fault(where, "has a value and says that it is absent; leave out one of them")
    if table.prior is None and table.value is not None and "" not in table.value:
        sheet.fault(f"{where}.value", "a fixed value is one number for every latent unit")
    if (table.vary is None) != (table.omega is None):
        sheet.fault(where, 'vary = "patient" and omega belong together; one of them is missing')
    if table.vary and table.prior is None:
        sheet.fault(where, "a fixed value cannot vary between patients; give it a prior")
    unit = sheet.declared[where.split(".", 1)[1]].unit if where[11:] in sheet.declared else None
    has_level = unit is not None and "level" in unit._units
    if has_level and table.prior is not None and "" in table.prior:
        listed = ", ".join(observed.unit for observed in sheet.file.observed.values())
        sheet.fault(
            f"{where}.prior",
            "has the unit of the latent level, so its prior depends on the assay",
            f"Write a table with one prior per latent unit ({listed}).",
        )


def _priors(sheet: Sheet, where: str, texts: Mapping[str, str] | None) -> dict[str, Prior]:
    found = {}
    for key, text in (texts or {}).items():
        place = f"{where}.{key}" if key else where
        prior = read_prior(sheet, place, text)
        if prior is not None:
            found[key] = prior
        if key:
            _check_latent(sheet, place, key)
    return found


def read_prior(sheet: Sheet, where: str, text: str) -> Prior | None:
    """Read a prior; note the fault where it is none."""
    try:
        return Prior.parse(text)
    except ModelFileError as error:
        sheet.fault(where, error.faults[0].what)
        return None


def _check_latent(sheet: Sheet, where: str, key: str) -> None:
    known = [observed.unit for observed in sheet.file.observed.values()]
    if key not in known:
        sheet.fault(where, f"'{key}' is the unit of no assay{did_you_mean(key, known)}")


def read_observed(sheet: Sheet) -> dict[str, Observed]:
    """Read all observed assays; faults are noted on the sheet."""
    found: dict[str, Observed] = {}
    for name, table in sheet.file.observed.items():
        read_unit(sheet, f"observed.{name}", table.unit)
        sigma = read_prior(sheet, f"observed.{name}.sigma", table.sigma)
        if sigma is not None and sigma.transform != "identity":
            sheet.fault(f"observed.{name}.sigma", "an SD needs a halfnormal or gamma prior")
        found[name] = Observed(
            assay=name,
            unit=table.unit,
            is_=table.is_,
            link=table.link,
            over=table.over is not None,
            error=table.error,
            sigma=sigma or Prior("halfnormal", (1.0,)),
            label=table.label,
        )
    return found


def latent_units(sheet: Sheet) -> tuple[str, ...]:
    """Return the units of assays for which every prior that depends on the unit exists."""
    keyed = [
        list(table)
        for parameter in sheet.file.parameters.values()
        for table in (parameter.prior, parameter.omega)
        if table is not None and "" not in table
    ]
    if not keyed:
        if not sheet.file.observed:
            return ("",)
        own = (table.unit for table in sheet.file.observed.values() if table.is_ is not None)
        return tuple(dict.fromkeys(own))
    units = tuple(unit for unit in keyed[0] if all(unit in keys for keys in keyed))
    if not units:
        sheet.fault("parameters", "no latent unit has all its priors; complete the tables by unit")
    return units


def read_inputs(sheet: Sheet) -> dict[str, Input]:
    """Read what is known of each patient."""
    return {
        name: Input(name, t.unit, t.label, t.source, t.standing, t.default)
        for name, t in sheet.file.inputs.items()
    }


def read_mixture(sheet: Sheet) -> dict[str, PatientClass]:
    """Read the classes of patients; faults are noted on the sheet."""
    if sum(table.share for table in sheet.file.mixture.values()) >= 1:
        sheet.fault("mixture", "the shares leave no patient for the model's own values")
    varying = [name for name, table in sheet.file.parameters.items() if table.prior is not None]
    found = {}
    for name, table in sheet.file.mixture.items():
        for key in table.values:
            if key not in varying:
                hint = did_you_mean(key, varying)
                sheet.fault(f"mixture.{name}", f"'{key[:80]}' is no parameter with a prior{hint}")
        found[name] = PatientClass(
            name, table.label, table.source, table.standing, table.share, table.values
        )
    return found


def read_cases(sheet: Sheet) -> dict[str, Case]:
    """Read the other sets of published numbers; faults are noted on the sheet."""
    known = [*sheet.file.parameters, *sheet.file.constants, *sheet.file.inputs]
    found = {}
    for name, table in sheet.file.cases.items():
        for key in table.values:
            if key not in known:
                what = f"no number is called '{key[:80]}'{did_you_mean(key, known)}"
                sheet.fault(f"cases.{name}", what)
        found[name] = Case(name, table.label, table.source, table.standing, table.values)
    return found


def check_doses(sheet: Sheet) -> None:
    """Note faults of [doses]."""
    states = sheet.file.states
    for name, table in sheet.file.doses.items():
        where = f"doses.{name}"
        if table.into not in states:
            hint = did_you_mean(table.into, list(states))
            sheet.fault(f"{where}.into", f"'{table.into[:80]}' is no state{hint}")
        elif states[table.into].over is not None:
            what = f"'{table.into}' has one value per cell type; a dose enters one state"
            sheet.fault(f"{where}.into", what)
        rising = all(a < b for a, b in zip(table.days, table.days[1:], strict=False))
        if table.days[0] < 0 or not rising:
            sheet.fault(f"{where}.days", "are no rising days from the infusion (day 0) on")
        shares = table.fractions
        if shares is None and len(table.days) > 1:
            sheet.fault(f"{where}.fractions", "say how the amount is split over the days")
        elif shares is not None and (
            len(shares) != len(table.days) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9
        ):
            sheet.fault(f"{where}.fractions", "need one positive share per day; their sum is 1")


def check_derived(sheet: Sheet) -> None:
    """Note faults of [derived] and [published]."""
    solution = sheet.file.solution
    for name, table in sheet.file.derived.items():
        where = f"derived.{name}"
        if (table.is_ is None) == (table.of is None):
            sheet.fault(where, "needs either 'is' or 'of'")
        if table.of is None:
            continue
        if solution is None or getattr(solution, table.of) is None:
            sheet.fault(where, f"[solution] has no '{table.of}'")
        if (table.of in ("level", "auc")) != (table.at is not None):
            sheet.fault(where, "'at', the day, belongs to level and auc only")
        wanted = {"auc": "level*day", "tmax": "day"}.get(table.of, "level")
        if not same_unit(read_unit(sheet, where, table.unit), parse_unit(wanted)):
            sheet.fault(where, f"has unit [{wanted}], declared [{table.unit}]")
    known = list(_claimable(sheet.file))
    for name, claim in sheet.file.published.items():
        where = f"published.{name[:80]}"
        if name not in known:
            sheet.fault(where, f"[derived] has no '{name[:80]}'{did_you_mean(name, known)}")
        try:
            tolerance(claim.within, claim.value)
        except EquationFault as fault:
            sheet.fault(f"{where}.within", f"{fault.what}\n{point_at(claim.within, fault.place)}")


def _claimable(file: ModelFile) -> Iterator[str]:
    for name, table in file.derived.items():
        if table.over is None:
            yield name
        else:
            yield from (f"{name}[{cell}]" for cell in (*file.subsets.cell_type, "total"))


def tolerance(within: str, value: float) -> float:
    """Return the largest difference that ``"2%"`` or ``"0.01"`` allows."""
    share = within.strip().endswith("%")
    size = read_constant(within.strip().removesuffix("%"))
    return size / 100 * abs(value) if share else size


def check_claims(file: ModelFile, derived: Mapping[str, tuple[float, str]]) -> Iterator[Claim]:
    """Put every published number next to the one the model gives."""
    for name, claim in file.published.items():
        if name in derived:
            computed, unit = derived[name]
            allowed = tolerance(claim.within, claim.value)
            within = claim.within.strip()
            yield Claim(
                name, unit, claim.value, allowed, within, computed, claim.source, claim.standing
            )
