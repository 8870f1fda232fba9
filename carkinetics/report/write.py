"""`write_report`: from a fit to one page."""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from carkinetics.errors import FitError
from carkinetics.report.association_part import association_section
from carkinetics.report.closing_part import footer, words_section
from carkinetics.report.cohort_part import cohort_section, data_section
from carkinetics.report.exposure_part import (
    QUANTITIES,
    exposure_section,
    headline_table,
    observed_section,
)
from carkinetics.report.family import EXPOSURES, OUTCOMES, declared_family
from carkinetics.report.figures_part import (
    association_figures,
    cohort_figures,
    curves_section,
    exposure_figure,
)
from carkinetics.report.fit_part import check_section, methods_section
from carkinetics.report.parts import Block, Section, Text

if TYPE_CHECKING:
    from carkinetics.diagnostics import Check
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

_TEMPLATE = "page.html.jinja"


def write_report(
    fit: Fit,
    path: str | Path = "report.html",
    *,
    title: str | None = None,
    patients: Sequence[str] | None = None,
    exposures: Sequence[str] = EXPOSURES,
    outcomes: Sequence[str] = OUTCOMES,
    landmark: float = 28.0,
    probability: float = 0.95,
    allow_failed: bool = False,
) -> Path:
    """Write everything about a fit into one self-contained HTML page.

    Parameters
    ----------
    fit : Fit
        From `fit` or `load_fit`.
    path : path
        The page, ending in ``.html``. An existing one is replaced once the new one is whole.
    title : str, optional
        Headline of the page.
    patients : sequence of str, optional
        Patients whose curves are drawn; all fitted ones by default.
    exposures, outcomes : sequence of str
        The declared family of associations, see `associate`; outcomes that the cohort does not
        have are left out, and the page says so.
    landmark : float
        Day on which the clock restarts for an association that is refused from the infusion,
        because the exposure is not known before some patient's event [day].
    probability : float
        Of all intervals.
    allow_failed : bool
        Write the page for a fit that fails its checks, with a red banner.

    Returns
    -------
    Path
        Where the page is.

    Raises
    ------
    FitError
        For a fit that fails its checks, or a path that cannot be written.

    Notes
    -----
    The page needs neither a network nor scripts, and can be mailed and printed. Made from
    synthetic data it says so on a banner, in every figure and in the footer.
    """
    path = checked_path(path)
    check = fit.check()
    if not check.passed and not allow_failed:
        raise FitError(f"{check}\n    Pass allow_failed=True to write a report all the same.")
    exposure = summarized(fit, check, exposures)
    return render(
        fit, check, exposure, path, title, patients, exposures, outcomes, landmark, probability
    )


def summarized(fit: Fit, check: Check, exposures: Sequence[str] = EXPOSURES) -> Exposure:
    """Compute the quantities of a report, whatever the checks say."""
    from carkinetics.exposure import summarize

    wanted = list(dict.fromkeys((*QUANTITIES, *exposures)))
    return summarize(fit, wanted, allow_failed=not check.passed)


def render(
    fit: Fit,
    check: Check,
    exposure: Exposure,
    path: Path,
    title: str | None = None,
    patients: Sequence[str] | None = None,
    exposures: Sequence[str] = EXPOSURES,
    outcomes: Sequence[str] = OUTCOMES,
    landmark: float = 28.0,
    probability: float = 0.95,
) -> Path:
    """Lay out the page and write it; see `write_report`."""
    import jinja2

    import carkinetics

    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    assay = "flow" if fit.latent_unit == "cells/uL" else "qpcr"
    family = declared_family(
        exposure, exposures, outcomes, fit.cell_types[-1], assay, probability, landmark
    )
    sections = (
        _headline(fit, check, exposure, probability),
        cohort_section(fit, probability),
        data_section(fit),
        check_section(check),
        curves_section(fit, patients),
        exposure_section(exposure, probability, exposure_figure(exposure)),
        observed_section(fit, exposure, probability),
        cohort_figures(fit, exposure, probability),
        association_section(family, association_figures(family), probability),
        methods_section(fit, exposure, probability, made),
        words_section(),
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("carkinetics.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template(_TEMPLATE).render(
        title=title or f"CAR T cell kinetics of {fit.cohort.name}",
        lead=_lead(fit, made),
        version=carkinetics.__version__,
        synthetic=fit.synthetic,
        failures=check.problems,
        sections=sections,
        footer=footer(fit, exposure, family, probability),
    )
    write_whole(page, path)
    return path


def checked_path(path: str | Path) -> Path:
    """Refuse a path that could not be written, before any work is done."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise FitError(f"{path}: a report is a page of HTML; end the name with .html.")
    if not path.parent.is_dir():
        raise FitError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise FitError(f"{path}: is a folder; give the name of a file.")
    return path


def _lead(fit: Fit, made: str) -> str:
    assays = " and ".join(
        {"flow": "flow cytometry", "qpcr": "qPCR"}[a] for a in fit.settings["assays"]
    )
    approximate = "APPROXIMATE fit (Laplace), not MCMC. " if fit.approximate else ""
    return (
        f"{len(fit.patients)} patients, measured by {assays}. Model {fit.kinetic_model.name}, "
        f"seed {fit.settings['seed']}. {approximate}Written {made}."
    )


def _headline(fit: Fit, check: Check, exposure: Exposure, probability: float) -> Section:
    blocks: list[Block] = [
        Text(check.verdict, warning=not check.passed),
        headline_table(exposure, probability),
    ]
    if len(fit.cell_types) == 1:
        blocks.append(
            Text("Only total CAR+ T cells were modeled: there are no CD4 and CD8 quantities.")
        )
    return Section("headline", "At a glance", tuple(blocks))


def write_whole(page: str, path: Path) -> None:
    """Write to a temporary name and rename, so that a page is whole or not there."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise FitError(f"{path}: cannot be written ({error.strerror or error}).") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise FitError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)
