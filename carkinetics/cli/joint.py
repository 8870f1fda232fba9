"""`carkinetics joint`: fit kinetics and outcomes in one posterior."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from carkinetics.cli import options
from carkinetics.cli.app import app, command, say
from carkinetics.errors import CarkineticsWarning


@app.command(short_help="Fit kinetics and outcomes in one posterior.")
@command
def joint(
    fit: Annotated[
        Path, typer.Argument(metavar="FIT", help="A saved fit of the kinetics: .nc or .zarr.")
    ],
    exposure: Annotated[
        str, typer.Option("--exposure", help="cmax, auc_0_28 or level_14 (or other days).")
    ] = "cmax",
    outcome: Annotated[
        list[str] | None,
        typer.Option("--outcome", help="ttp, crs_grade, iec_hs …; may be repeated. These three."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the joint fit goes: .nc or .zarr.")
    ] = Path("joint.nc"),
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed gives the same draws.")
    ] = 2026,
    landmark: Annotated[
        float | None, typer.Option("--landmark", help="Patients are at risk from this day on.")
    ] = None,
    adjust: Annotated[
        list[str] | None,
        typer.Option("--adjust", help="Column to adjust for; may be repeated."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A first look with few draws; will often miss its checks."),
    ] = False,
) -> None:
    """Fit the model of a saved fit once more, together with outcomes of the same patients.

    Exits with 1 where the joint fit fails its checks; it is saved all the same.

    \b
    Example:
        carkinetics joint trial.nc --exposure cmax --outcome ttp --outcome iec_hs -o joint.nc
    """
    from carkinetics.inference import load_fit
    from carkinetics.outcomes.joint import fit_joint

    options.check_output(output)
    alone = load_fit(fit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)  # the verdict is printed below, once
        found = fit_joint(
            alone.kinetic_model,
            alone.cohort,
            exposure,
            outcome or ("ttp", "crs_grade", "iec_hs"),
            seed=seed,
            landmark=landmark,
            adjust=adjust or (),
            fit=alone,
            **(options.QUICK if quick else {}),
        )
    found.save(output)
    typer.echo(str(found))
    typer.echo(f"Saved as {output}")
    if not found.check().passed:
        say("The joint fit was saved, but fails its checks: a report will refuse it.")
        raise typer.Exit(1)
