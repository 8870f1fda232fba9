"""`carkinetics models`: list the models, or show one."""

from __future__ import annotations

from typing import Annotated

import typer

from carkinetics.cli.app import app, command


@app.command(short_help="List the models, or show one.")
@command
def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one.")] = None,
) -> None:
    """List the models, or show one: its text is all there is to it.

    \b
    Examples:
        carkinetics models
        carkinetics models cd4_cd8_expansion > my_model.toml
    """
    from carkinetics.library import load_model, model_list

    typer.echo(model_list() if name is None else load_model(name).text.rstrip("\n"))
