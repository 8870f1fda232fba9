"""`carkinetics report`: write a saved fit into one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carkinetics.cli.app import app, command, say
from carkinetics.cli.options import Joint, read_joint
from carkinetics.errors import FitError


@app.command(short_help="Write a saved fit into one HTML page.")
@command
def report(
    fit: Annotated[Path, typer.Argument(metavar="FIT", help="A saved fit: .nc or .zarr.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    title: Annotated[str | None, typer.Option("--title", help="Headline of the page.")] = None,
    patient: Annotated[
        list[str] | None,
        typer.Option("--patient", help="Draw the curve of this patient only; may be repeated."),
    ] = None,
    joint: Joint = None,
    allow_failed: Annotated[
        bool,
        typer.Option("--allow-failed", help="Also for a fit that fails its checks; in red."),
    ] = False,
) -> None:
    """Write a saved fit into one HTML page that can be mailed and printed.

    \b
    Example:
        carkinetics report trial.nc --output report.html
    """
    from carkinetics.inference import load_fit
    from carkinetics.report import write_report
    from carkinetics.report.write import checked_path

    checked_path(output)
    loaded = load_fit(fit)
    verdict = loaded.check()
    if not verdict.passed and not allow_failed:
        raise FitError(f"{verdict}\n    Pass --allow-failed to write a report all the same.")
    if loaded.synthetic:
        say("SYNTHETIC: these are invented patients, not patient data.")
    say("Computing exposures and figures; this takes a minute or so.")
    path = write_report(
        loaded,
        output,
        title=title,
        patients=patient or None,
        joint=read_joint(joint, loaded),
        allow_failed=allow_failed,
    )
    typer.echo(str(path))
