"""`carkinetics demo`: invented patients, from fit to report."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carkinetics.cli import options
from carkinetics.cli.app import app, command, say
from carkinetics.errors import FitError

if TYPE_CHECKING:
    from carkinetics.inference import Fit

_DEMO_FILES = {"fit.nc", "report.html"}


@app.command(short_help="Analyze invented patients, from fit to report.")
@command
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where fit and report go; replaced when complete.")
    ] = Path("carkinetics-demo"),
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed gives the same draws.")
    ] = 2026,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few draws, one minute; may miss its checks.")
    ] = False,
) -> None:
    """Analyze the built-in cohort of invented patients: fit, report, headline table.

    \b
    Example:
        carkinetics demo --folder carkinetics-demo
    """
    _check_folder(folder)
    from carkinetics.cohort import synthetic_cohort
    from carkinetics.library import load_model

    say("SYNTHETIC: these are invented patients, not patient data.")
    cohort = synthetic_cohort()
    say(str(cohort).splitlines()[0])
    settings: dict[str, Any] = dict(options.QUICK) if quick else {}
    fitted = options.fit_quietly(load_model(options.DEFAULT_MODEL), cohort, seed=seed, **settings)
    say("Writing the report.")
    headline = _write_demo(fitted, folder)
    typer.echo(f"\nSYNTHETIC, not patient data. {fitted.check().verdict}\n")
    typer.echo(f"{headline}\n")
    typer.echo(str((folder / "report.html").resolve()))


def _check_folder(folder: Path) -> None:
    """Refuse to replace a folder that is not an earlier demo."""
    if not folder.parent.is_dir():
        raise FitError(f"{folder}: the folder {folder.parent} does not exist; make it first.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FitError(f"{folder}: is a file; choose another --folder.")
    names = {entry.name for entry in folder.iterdir()}
    if not names <= _DEMO_FILES:
        other = ", ".join(sorted(names - _DEMO_FILES)[:3])
        raise FitError(
            f"{folder}: holds files that are not of a demo ({other}); choose another --folder."
        )


def _write_demo(fitted: Fit, folder: Path) -> str:
    """Write both files next to the folder, then put them in its place; give the headline."""
    from carkinetics.report.exposure_part import headline_table
    from carkinetics.report.write import render, summarized

    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        made = beside / "made"
        made.mkdir()
        fitted.save(made / "fit.nc")
        check = fitted.check()
        exposure = summarized(fitted, check)
        render(fitted, check, exposure, made / "report.html")
        if folder.exists():
            os.replace(folder, beside / "old")
        os.replace(made, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    table = headline_table(exposure)
    return f"{table.caption}\n{table.text()}"
