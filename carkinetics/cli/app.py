"""The command line itself: its help, its errors, and what Ctrl-C does."""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from carkinetics.errors import CarkineticsError, CarkineticsWarning

# Everything heavy is imported inside the commands, so that --help is there at once.

INTERRUPTED = 130  # what a shell expects after Ctrl-C

app = typer.Typer(
    name="carkinetics",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Model how CAR T cells expand, contract and persist in patients.

    \b
    The usual way from two tables to a report:
        carkinetics check levels.csv --patients patients.csv
        carkinetics fit levels.csv --patients patients.csv --output trial.nc
        carkinetics report trial.nc --output report.html

    To see all of it on invented patients: carkinetics demo
    """,
)


class CtrlC(BaseException):
    """Ctrl-C; not a KeyboardInterrupt, of which the sampler would keep a torso of draws."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end what is running, wherever it is."""

    def stop(number: int, frame: object) -> None:
        raise CtrlC

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not in the main thread: Ctrl-C does not come here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def say(text: str) -> None:
    """Tell the user something that is not output."""
    typer.echo(text, err=True)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Say what a user did wrong without a traceback, and give the shell its code."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal may not know µ or ≥
        with warnings.catch_warnings(), _interruptible():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", CarkineticsWarning)
            warnings.showwarning = _show_warning
            try:
                function(*args, **kwargs)
            except CarkineticsError as error:
                say(f"Error: {error}")
                raise typer.Exit(1) from None
            except (CtrlC, KeyboardInterrupt):
                say("\nInterrupted; nothing was written.")
                leave(INTERRUPTED)

    return run


def leave(code: int) -> None:
    """End now: threads of the sampler would keep an ordinary exit waiting."""
    if "nutpie" not in sys.modules:
        raise typer.Exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"Warning: {message}")
