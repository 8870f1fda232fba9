"""`carkinetics trial-report`: write every table and figure of a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carkinetics.cli.app import app, command, say
from carkinetics.cli.options import Flag, Joint, Levels, Lloq, Patients, read_joint, read_tables


@app.command("trial-report", short_help="Write every table and figure of a trial.")
@command
def trial_report(
    levels: Levels,
    patients: Patients = None,
    fit: Annotated[
        Path | None, typer.Option("--fit", metavar="FIT", help="A saved fit of the same tables.")
    ] = None,
    joint: Joint = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "trial.html"
    ),
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="FOLDER", help="Also write each figure as a file."),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", metavar="png|svg|pdf", help="Of these files.")
    ] = "png",
    not_infused: Annotated[
        list[str] | None,
        typer.Option(
            "--not-infused",
            metavar="REASON=COUNT",
            help="Patients enrolled but not infused; may be repeated.",
        ),
    ] = None,
    dlt: Annotated[
        int | None, typer.Option("--dlt", help="Patients with dose-limiting toxicity.")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", help="Product attribute to screen; may be repeated."),
    ] = None,
    lloq: Lloq = None,
    flag_below_lloq: Flag = False,
    allow_failed: Annotated[
        bool,
        typer.Option("--allow-failed", help="Also with a fit that fails its checks; in red."),
    ] = False,
) -> None:
    """Write tables and figures of a trial into one HTML page, with or without a fit.

    \b
    Example:
        carkinetics trial-report levels.csv --patients patients.csv --output trial.html
    """
    from carkinetics.inference import load_fit
    from carkinetics.report import trial_report as write

    cohort = read_tables(levels, patients, lloq, flag_below_lloq)
    if cohort.synthetic:
        say("SYNTHETIC: these are invented patients, not patient data.")
    loaded = None if fit is None else load_fit(fit)
    path = write(
        cohort if loaded is None else loaded.cohort,
        loaded,
        output,
        not_infused=_counts(not_infused),
        dlt=dlt,
        attributes=attribute or None,
        joint=read_joint(joint, loaded),
        figures=figures,
        format=format,
        allow_failed=allow_failed,
    )
    typer.echo(str(path))


def _counts(texts: list[str] | None) -> dict[str, int] | None:
    """Read ``progression=1`` into a mapping."""
    found: dict[str, int] = {}
    for text in texts or []:
        reason, _, count = text.partition("=")
        if not (reason.strip() and count.strip().isdigit()):
            raise typer.BadParameter(
                f"{text!r} is not REASON=COUNT, such as progression=1", param_hint="'--not-infused'"
            )
        found[reason.strip()] = int(count)
    return found or None
