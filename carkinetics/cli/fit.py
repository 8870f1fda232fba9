"""`carkinetics fit`: fit a model to two tables and save the fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from carkinetics.cli import options
from carkinetics.cli.app import app, command, say
from carkinetics.cli.options import Assays, Flag, Levels, Lloq, Patients


@app.command(short_help="Fit a model to two tables and save the fit.")
@command
def fit(
    levels: Levels,
    patients: Patients = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the fit goes: .nc or .zarr.")
    ] = Path("fit.nc"),
    model: Annotated[
        str, typer.Option("--model", help="A name from `carkinetics models`, or a .toml file.")
    ] = options.DEFAULT_MODEL,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed gives the same draws.")
    ] = 2026,
    lloq: Lloq = None,
    flag_below_lloq: Flag = False,
    assay: Assays = None,
    patient_effects: Annotated[
        str | None,
        typer.Option(
            "--patient-effects",
            metavar="normal|student_t",
            help="How patients differ; student_t where some hardly expand.",
        ),
    ] = None,
    residual: Annotated[
        str | None,
        typer.Option(
            "--residual", metavar="normal|student_t", help="How samples scatter around the curve."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="nuts|laplace", help="laplace approximates, in seconds."),
    ] = None,
    draws: Annotated[int | None, typer.Option("--draws", help="Kept draws per chain.")] = None,
    tune: Annotated[int | None, typer.Option("--tune", help="Warm-up draws per chain.")] = None,
    chains: Annotated[int | None, typer.Option("--chains", help="Number of chains.")] = None,
    cores: Annotated[int | None, typer.Option("--cores", help="Chains run at a time.")] = None,
    target_accept: Annotated[
        float | None,
        typer.Option("--target-accept", help="Closer to 1 takes smaller, safer steps."),
    ] = None,
    prior_check: Annotated[
        bool,
        typer.Option("--prior-check/--no-prior-check", help="Stop where the priors are absurd."),
    ] = True,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A first look with few draws; will often miss its checks."),
    ] = False,
) -> None:
    """Fit a model to all patients and assays at once, check the fit and save it.

    Exits with 1 where the fit fails its checks; it is saved all the same.

    \b
    Example:
        carkinetics fit levels.csv --patients patients.csv --seed 2026 --output trial.nc
    """
    from carkinetics.library import load_model

    options.check_output(output)
    cohort = options.read_tables(levels, patients, lloq, flag_below_lloq)
    loaded = load_model(model)
    given = {
        "method": method,
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores,
        "target_accept": target_accept,
        "patient_effects": patient_effects,
        "residual": residual,
        "assays": assay or None,
    }
    chosen: dict[str, Any] = dict(options.QUICK) if quick else {}
    chosen |= {name: value for name, value in given.items() if value is not None}
    typer.echo(str(cohort))
    result = options.fit_quietly(loaded, cohort, seed=seed, prior_check=prior_check, **chosen)
    result.save(output)
    verdict = result.check()
    typer.echo(str(verdict))
    typer.echo(f"Saved as {output}")
    if not verdict.passed:
        say("The fit was saved, but fails its checks: `carkinetics report` will refuse it.")
        raise typer.Exit(1)
