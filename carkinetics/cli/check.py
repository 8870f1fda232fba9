"""`carkinetics check`: read two tables and list every fault."""

from __future__ import annotations

from typing import Annotated

import typer

from carkinetics.cli.app import app, command
from carkinetics.cli.options import Assays, Flag, Levels, Lloq, Patients, read_tables


@app.command(short_help="Read two tables and list every fault in them.")
@command
def check(
    levels: Levels,
    patients: Patients = None,
    lloq: Lloq = None,
    flag_below_lloq: Flag = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Also see whether this model goes with the data."),
    ] = None,
    assay: Assays = None,
) -> None:
    """Read two tables; print the cohort with its notices, or every fault.

    \b
    Example:
        carkinetics check levels.csv --patients patients.csv --lloq flow=0.5
    """
    cohort = read_tables(levels, patients, lloq, flag_below_lloq)
    typer.echo(str(cohort))
    if model is None:
        return
    from carkinetics.inference.gate import prior_gate, require
    from carkinetics.inference.planning import plan_fit
    from carkinetics.library import load_model

    gate = prior_gate(plan_fit(load_model(model), cohort, assays=assay or None), 0)
    require(gate)
    typer.echo(f"Model {model} goes with these data; {gate}.")
