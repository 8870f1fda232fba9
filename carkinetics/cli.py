"""The command line: `carkinetics demo | check | fit | batch | report | trial-report | models`."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carkinetics.errors import CarkineticsError, CarkineticsWarning, FitError

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.inference import Fit

# Everything heavy is imported inside the commands, so that --help is there at once.

_INTERRUPTED = 130  # what a shell expects after Ctrl-C
_DEMO_FILES = {"fit.nc", "report.html"}
_MODEL = "cd4_cd8_expansion"
_QUICK = {"draws": 250, "tune": 500, "chains": 2, "rerun": False}

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


class _CtrlC(BaseException):
    """Ctrl-C; not a KeyboardInterrupt, of which the sampler would keep a torso of draws."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end what is running, wherever it is."""

    def stop(number: int, frame: object) -> None:
        raise _CtrlC

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not in the main thread: Ctrl-C does not come here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _command(function: Callable[..., None]) -> Callable[..., None]:
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
                _say(f"Error: {error}")
                raise typer.Exit(1) from None
            except (_CtrlC, KeyboardInterrupt):
                _say("\nInterrupted; nothing was written.")
                _leave(_INTERRUPTED)

    return run


def _leave(code: int) -> None:
    """End now: threads of the sampler would keep an ordinary exit waiting."""
    if "nutpie" not in sys.modules:
        raise typer.Exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"Warning: {message}")


def _limits(texts: list[str] | None) -> dict[str, float] | None:
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


@app.command(short_help="Read two tables and list every fault in them.")
@_command
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
    r"""Read two tables; print the cohort with its notices, or every fault.

    \b
    Example:
        carkinetics check levels.csv --patients patients.csv --lloq flow=0.5
    """
    cohort = _read(levels, patients, lloq, flag_below_lloq)
    typer.echo(str(cohort))
    if model is None:
        return
    from carkinetics.inference.build import plan_fit
    from carkinetics.inference.gate import prior_gate, require
    from carkinetics.library import load_model

    gate = prior_gate(plan_fit(load_model(model), cohort, assays=assay or None), 0)
    require(gate)
    typer.echo(f"Model {model} goes with these data; {gate}.")


def _read(levels: Path, patients: Path | None, lloq: list[str] | None, flag: bool) -> Cohort:
    from carkinetics.cohort import read_cohort

    return read_cohort(levels, patients=patients, lloq=_limits(lloq), flag_below_lloq=flag)


@app.command(short_help="Fit a model to two tables and save the fit.")
@_command
def fit(
    levels: Levels,
    patients: Patients = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the fit goes: .nc or .zarr.")
    ] = Path("fit.nc"),
    model: Annotated[
        str, typer.Option("--model", help="A name from `carkinetics models`, or a .toml file.")
    ] = _MODEL,
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
    r"""Fit a model to all patients and assays at once, check the fit and save it.

    Exits with 1 where the fit fails its checks; it is saved all the same.

    \b
    Example:
        carkinetics fit levels.csv --patients patients.csv --seed 2026 --output trial.nc
    """
    from carkinetics.library import load_model

    _check_output(output)
    cohort = _read(levels, patients, lloq, flag_below_lloq)
    loaded = load_model(model)
    given = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores,
        "target_accept": target_accept,
        "patient_effects": patient_effects,
        "residual": residual,
        "assays": assay or None,
    }
    chosen: dict[str, Any] = dict(_QUICK) if quick else {}
    chosen |= {name: value for name, value in given.items() if value is not None}
    typer.echo(str(cohort))
    result = _fit(loaded, cohort, seed=seed, prior_check=prior_check, **chosen)
    result.save(output)
    verdict = result.check()
    typer.echo(str(verdict))
    typer.echo(f"Saved as {output}")
    if not verdict.passed:
        _say("The fit was saved, but fails its checks: `carkinetics report` will refuse it.")
        raise typer.Exit(1)


def _fit(model: Any, cohort: Cohort, **settings: Any) -> Fit:
    """Fit; what the verdict says is printed afterwards, once."""
    from carkinetics.inference import fit as fit_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarkineticsWarning)
        return fit_model(model, cohort, **settings)


def _check_output(path: Path) -> None:
    """Refuse a path that cannot be written now, not after the sampling."""
    if path.suffix not in (".nc", ".zarr"):
        raise FitError(f"{path}: cannot tell the format; end the name with .nc or .zarr.")
    if not path.parent.is_dir():
        raise FitError(f"{path}: the folder {path.parent} does not exist; make it first.")


@app.command(short_help="Run a batch of sensitivity analyses, or go on with one.")
@_command
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
    r"""Run a batch of sensitivity analyses; give the same command to go on after a stop.

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
        _say("SYNTHETIC: these are invented patients, not patient data.")
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
    except (_CtrlC, KeyboardInterrupt):
        _say("\nStopped. What is finished is kept; the same command goes on from there.")
        _leave(_INTERRUPTED)
    page = batch_report(runs)
    typer.echo(str(runs))
    typer.echo(str(page))
    if (runs.table["status"] != "done").any():
        _say("Some variants have no number; the report and table.csv say why.")
        raise typer.Exit(1)


@app.command(short_help="Write a saved fit into one HTML page.")
@_command
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
    allow_failed: Annotated[
        bool,
        typer.Option("--allow-failed", help="Also for a fit that fails its checks; in red."),
    ] = False,
) -> None:
    r"""Write a saved fit into one HTML page that can be mailed and printed.

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
        _say("SYNTHETIC: these are invented patients, not patient data.")
    _say("Computing exposures and figures; this takes a minute or so.")
    path = write_report(
        loaded, output, title=title, patients=patient or None, allow_failed=allow_failed
    )
    typer.echo(str(path))


@app.command("trial-report", short_help="Write every table and figure of a trial.")
@_command
def trial_report(
    levels: Levels,
    patients: Patients = None,
    fit: Annotated[
        Path | None, typer.Option("--fit", metavar="FIT", help="A saved fit of the same tables.")
    ] = None,
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
    r"""Write tables and figures of a trial into one HTML page, with or without a fit.

    \b
    Example:
        carkinetics trial-report levels.csv --patients patients.csv --output trial.html
    """
    from carkinetics.inference import load_fit
    from carkinetics.report import trial_report as write

    cohort = _read(levels, patients, lloq, flag_below_lloq)
    if cohort.synthetic:
        _say("SYNTHETIC: these are invented patients, not patient data.")
    loaded = None if fit is None else load_fit(fit)
    path = write(
        cohort if loaded is None else loaded.cohort,
        loaded,
        output,
        not_infused=_counts(not_infused),
        dlt=dlt,
        attributes=attribute or None,
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


@app.command(short_help="List the models, or show one.")
@_command
def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one.")] = None,
) -> None:
    r"""List the models, or show one: its text is all there is to it.

    \b
    Examples:
        carkinetics models
        carkinetics models cd4_cd8_expansion > my_model.toml
    """
    from carkinetics.library import load_model, model_list

    typer.echo(model_list() if name is None else load_model(name).text.rstrip("\n"))


@app.command(short_help="Analyze invented patients, from fit to report.")
@_command
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
    r"""Analyze the built-in cohort of invented patients: fit, report, headline table.

    \b
    Example:
        carkinetics demo --folder carkinetics-demo
    """
    _check_folder(folder)
    from carkinetics.cohort import synthetic_cohort
    from carkinetics.library import load_model

    _say("SYNTHETIC: these are invented patients, not patient data.")
    cohort = synthetic_cohort()
    _say(str(cohort).splitlines()[0])
    settings: dict[str, Any] = dict(_QUICK) if quick else {}
    fitted = _fit(load_model(_MODEL), cohort, seed=seed, **settings)
    _say("Writing the report.")
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
