"""Read a batch from a TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carkinetics.batch.factors import FACTORS, SAMPLES
from carkinetics.batch.variants import Variants, variants
from carkinetics.cohort import Cohort, read_cohort, synthetic_cohort
from carkinetics.errors import BatchError, CarkineticsError, Fault
from carkinetics.library import load_model
from carkinetics.model import Model

_LARGEST = 1_000_000  # bytes
_SYNTHETIC = "synthetic"
_TABLES = {
    "data": {"cohort", "levels", "patients", "lloq", "flag_below_lloq", "name"},
    "run": None,  # settings of the fit, checked with the plan
    "watch": {"outcomes", "quantities", "per", "probability"},
    "base": set(FACTORS),
    "factors": set(FACTORS),
}
_TOP = (*_TABLES, "design", "variants")
_DEFAULT_MODEL = "cd4_cd8_expansion"


@dataclass(frozen=True, eq=False)
class PlanFile:
    """A batch as a file says it.

    Attributes
    ----------
    model : Model or None
        None where exposures come from samples.
    cohort : Cohort
        Read, and checked.
    variants : Variants
        What to change.
    options : mapping
        Arguments of `run_variants`: method, settings of the fit and of the run.
    """

    model: Model | None
    cohort: Cohort
    variants: Variants
    options: Mapping[str, Any]


def read_plan(path: str | Path) -> PlanFile:
    """Read a plan.

    Parameters
    ----------
    path : path
        A TOML file with the tables ``[data]``, ``[run]``, ``[watch]``, ``[base]``, ``[factors]``
        and any number of ``[[variants]]``, and the key ``design``. Paths in it are relative to
        the file.

    Returns
    -------
    PlanFile
        ``model``, ``cohort`` and ``variants`` for `run_variants`, and ``options``, its other
        arguments.

    Raises
    ------
    BatchError
        With every fault of the file.
    DataError
        With every fault of the tables it names.
    """
    path = Path(path)
    content = _content(path)
    faults = _shape_faults(content)
    run = content.get("run", {}) if isinstance(content.get("run", {}), Mapping) else {}
    options = {name: value for name, value in run.items() if name != "model"}
    options.setdefault("method", "nuts")
    declared, cohort, model = None, None, None
    if not faults:
        try:
            declared = variants(
                **{"design": content["design"]} if "design" in content else {},
                base=_beside(content.get("base", {}), path.parent),
                listed=[_beside(changes, path.parent) for changes in content.get("variants", [])],
                **content.get("watch", {}),
                **_beside(content.get("factors", {}), path.parent),
            )
        except BatchError as error:
            faults += error.faults
        data_faults, cohort = _cohort(content.get("data", {}), path.parent)
        faults += data_faults
        if options["method"] != SAMPLES:
            model_faults, model = _model(run.get("model", _DEFAULT_MODEL), path.parent)
            faults += model_faults
    if faults or declared is None or cohort is None:
        raise BatchError([_placed(fault, path) for fault in faults])
    return PlanFile(model, cohort, declared, options)


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise BatchError(Fault(str(path), "is larger than 1 MB", "Is this a plan?"))
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise BatchError(Fault(str(path), f"cannot be read ({reason})", file=str(path))) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        what = f"cannot be read as TOML: {error}"
        raise BatchError(Fault(str(path), what, file=str(path))) from error


def _shape_faults(content: Mapping[str, Any]) -> list[Fault]:
    faults = [_unknown(name, "table", _TOP) for name in content if name not in _TOP]
    for name, keys in _TABLES.items():
        table = content.get(name, {})
        if not isinstance(table, Mapping):
            faults.append(Fault(name, "is no table", f"Write [{name}]."))
        elif keys is not None:
            faults += [_unknown(key, f"key of [{name}]", keys) for key in table if key not in keys]
    listed = content.get("variants", [])
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        faults.append(Fault("variants", "are no tables", "Write [[variants]] before each."))
    if "data" not in content:
        remedy = f'Give levels and patients in [data], or cohort = "{_SYNTHETIC}".'
        faults.append(Fault("data", "is missing", remedy))
    return faults


def _cohort(data: Mapping[str, Any], folder: Path) -> tuple[list[Fault], Cohort | None]:
    if "cohort" in data:
        if data["cohort"] != _SYNTHETIC or len(data) > 1:
            what = f"cohort is {data['cohort']!r}, with {len(data) - 1} more key(s)"
            remedy = f'Give cohort = "{_SYNTHETIC}" alone, or levels and patients.'
            return [Fault("data", what, remedy)], None
        return [], synthetic_cohort()
    if not isinstance(data.get("levels"), str):
        return [Fault("data", "has no levels", 'Give a file, such as levels = "levels.csv".')], None
    options = {name: data[name] for name in ("lloq", "flag_below_lloq", "name") if name in data}
    patients = data.get("patients")
    try:
        return [], read_cohort(
            folder / data["levels"],
            patients=None if patients is None else folder / patients,
            **options,
        )
    except CarkineticsError as error:
        return list(error.faults) or [Fault("data", str(error))], None


def _model(name: Any, folder: Path) -> tuple[list[Fault], Model | None]:
    if isinstance(name, str) and name.endswith(".toml"):
        name = str(folder / name)
    try:
        return [], load_model(name)
    except CarkineticsError as error:
        return [Fault("run, model", str(error))], None


def _beside(choices: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Take model files of a factor from the folder of the plan."""

    def found(level: Any) -> Any:
        is_file = isinstance(level, str) and level.endswith(".toml")
        return str(folder / level) if is_file else level

    if "model" not in choices:
        return dict(choices)
    level = choices["model"]
    levels = [found(one) for one in level] if isinstance(level, list) else found(level)
    return {**choices, "model": levels}


def _placed(fault: Fault, path: Path) -> Fault:
    from dataclasses import replace

    return replace(fault, where=f"{path}, {fault.where}", file=fault.file or str(path))


def _unknown(name: str, kind: str, known: Any) -> Fault:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return Fault(kind, f"{name!r} is unknown{hint}", f"Known are {', '.join(sorted(known))}.")
