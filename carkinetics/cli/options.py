"""Arguments and options that several commands share, and how they are read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carkinetics.errors import CarkineticsWarning, FitError

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.inference import Fit
    from carkinetics.outcomes.joint import JointFit

DEFAULT_MODEL = "cd4_cd8_expansion"
QUICK: dict[str, Any] = {"draws": 250, "tune": 500, "chains": 2, "rerun": False}

Levels = Annotated[Path, typer.Argument(metavar="LEVELS.CSV", help="One row per sample.")]
Patients = Annotated[
    Path | None,
    typer.Option("--patients", metavar="PATIENTS.CSV", help="One row per patient: outcomes."),
]
Lloq = Annotated[
    list[str] | None,
    typer.Option(
        "--lloq",
        metavar="ASSAY=LEVEL",
        help="Limit of samples that have none [cells/uL, copies/ug]; may be given twice.",
    ),
]
Flag = Annotated[
    bool,
    typer.Option("--flag-below-lloq", help="Flag levels below their limit that are not flagged."),
]
Assays = Annotated[
    list[str] | None,
    typer.Option("--assay", metavar="flow|qpcr", help="Fit this one only; all by default."),
]

Joint = Annotated[
    list[Path] | None,
    typer.Option(
        "--joint",
        metavar="JOINT",
        help="A saved joint fit of the same tables, the headline; may be repeated.",
    ),
]


def read_joint(paths: list[Path] | None, fit: Fit | None) -> list[JointFit]:
    """Read joint fits back, each with the fit of the kinetics alone."""
    from carkinetics.outcomes.joint import load_joint

    return [load_joint(path, fit=fit) for path in paths or []]


def read_limits(texts: list[str] | None) -> dict[str, float] | None:
    """Read ``flow=0.5`` into a mapping."""
    found: dict[str, float] = {}
    for text in texts or []:
        assay, equals, level = text.partition("=")
        try:
            found[assay.strip()] = float(level)
        except ValueError:
            equals = ""
        if not equals:
            raise typer.BadParameter(
                f"{text!r} is not ASSAY=LEVEL, such as flow=0.5", param_hint="'--lloq'"
            )
    return found or None


def read_tables(levels: Path, patients: Path | None, lloq: list[str] | None, flag: bool) -> Cohort:
    """Read the two tables into a cohort."""
    from carkinetics.cohort import read_cohort

    return read_cohort(levels, patients=patients, lloq=read_limits(lloq), flag_below_lloq=flag)


def fit_quietly(model: Any, cohort: Cohort, **settings: Any) -> Fit:
    """Fit; what the verdict says is printed afterwards, once."""
    from carkinetics.inference import fit as fit_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        return fit_model(model, cohort, **settings)


def check_output(path: Path) -> None:
    """Refuse a path that cannot be written now, not after the sampling."""
    if path.suffix not in (".nc", ".zarr"):
        raise FitError(f"{path}: cannot tell the format; end the name with .nc or .zarr.")
    if not path.parent.is_dir():
        raise FitError(f"{path}: the folder {path.parent} does not exist; make it first.")
