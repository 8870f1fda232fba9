"""`carkinetics batch`: run a batch of sensitivity analyses, or go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from carkinetics.cli.app import INTERRUPTED, CtrlC, app, command, leave, say


@app.command(short_help="Run a batch of sensitivity analyses, or go on with one.")
@command
def batch(
    plan: Annotated[
        Path | None, typer.Argument(metavar="PLAN.TOML", help="What to vary, on which data.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where results are kept; the same one goes on.")
    ] = Path("runs"),
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="A dask cluster to work on."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Fits at the same time here.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the plan and say what it takes; run nothing.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Say how far the batch in the folder is.")
    ] = False,
) -> None:
    """Run a batch of sensitivity analyses; give the same command to go on after a stop.

    Exits with 1 where variants have no number; the table says why.

    \b
    Examples:
        carkinetics batch plan.toml --folder runs
        carkinetics batch --folder runs --status
    """
    if status:
        from carkinetics.batch.status import status_text

        typer.echo(status_text(folder))
        return
    if plan is None:
        raise typer.BadParameter("is missing; only --status goes without", param_hint="PLAN.TOML")
    from carkinetics.batch.plan_file import read_plan
    from carkinetics.batch.runner import run_variants
    from carkinetics.report import batch_report

    read = read_plan(plan)
    if read.cohort.synthetic:
        say("SYNTHETIC: these are invented patients, not patient data.")
    options: dict[str, Any] = dict(read.options)
    if workers is not None:
        options["n_workers"] = workers
    if dry_run:
        of_run = {"retries", "time_limit"}
        planned = {name: value for name, value in options.items() if name not in of_run}
        typer.echo(str(read.variants.plan(read.model, read.cohort, folder=folder, **planned)))
        return
    try:
        runs = run_variants(
            read.model, read.cohort, read.variants, folder=folder, scheduler=scheduler, **options
        )
    except (CtrlC, KeyboardInterrupt):
        say("\nStopped. What is finished is kept; the same command goes on from there.")
        leave(INTERRUPTED)
    page = batch_report(runs)
    typer.echo(str(runs))
    typer.echo(str(page))
    if (runs.table["status"] != "done").any():
        say("Some variants have no number; the report and table.csv say why.")
        raise typer.Exit(1)
