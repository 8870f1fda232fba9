"""`trial_report`: every table and figure of a trial on one page."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import pandas as pd

from carkinetics.errors import DataError, Fault, FitError
from carkinetics.outcomes.survival import TRANSFORMS
from carkinetics.report.association_part import association_section
from carkinetics.report.closing_part import footer, words_section
from carkinetics.report.family import Family, declared_family
from carkinetics.report.joint_part import (
    check_joint,
    joint_fits,
    joint_pictures,
    joint_section,
)
from carkinetics.report.parts import Block, Section, Text, embed, reason_of
from carkinetics.report.trial_figures import Draw, trial_pictures
from carkinetics.report.trial_footer import cohort_footer
from carkinetics.report.trial_kinetics import (
    kinetics_section,
    listing_section,
    relapse_section,
    screen_section,
)
from carkinetics.report.trial_parts import (
    drawn,
    kept,
    patients_section,
    response_section,
    survival_section,
    toxicity_section,
)
from carkinetics.report.write import checked_path, summarized, write_whole

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit
    from carkinetics.outcomes.joint import JointFit

EXPOSURES = ("cmax", "auc_0_28")
OUTCOMES = ("ttp", "dor", "crs_grade", "iec_hs")
_FORMATS = ("png", "svg", "pdf")


def trial_report(
    cohort: Cohort,
    fit: Fit | None = None,
    path: str | Path = "trial.html",
    *,
    title: str | None = None,
    not_infused: Mapping[str, int] | pd.DataFrame | None = None,
    dlt: int | None = None,
    acceptable_dlt: float = 0.30,
    attributes: Sequence[str] | pd.DataFrame | None = None,
    exposures: Sequence[str] = EXPOSURES,
    outcomes: Sequence[str] = OUTCOMES,
    joint: JointFit | Sequence[JointFit] | None = None,
    landmark: float = 28.0,
    transform: str = "log-log",
    probability: float = 0.95,
    figures: str | Path | None = None,
    format: str = "png",
    allow_failed: bool = False,
) -> Path:
    """Write every table and figure of a trial into one self-contained HTML page.

    Parameters
    ----------
    cohort : Cohort
        The infused patients.
    fit : Fit, optional
        Of the same cohort; associations then also use its exposures.
    path : path
        The page, ending in ``.html``. An existing one is replaced once the new one is whole.
    title : str, optional
        Headline of the page.
    not_infused : mapping of str to int, or DataFrame, optional
        Patients enrolled but not infused, by reason, see `plot_patient_flow`.
    dlt : int, optional
        Patients with dose-limiting toxicity.
    acceptable_dlt : float
        Highest acceptable rate of it.
    attributes : sequence of str, or DataFrame, optional
        Product attributes to screen by complete response: columns of the table of patients, or
        a table with ``patient`` and one column each.
    exposures, outcomes : sequence of str
        The declared family of associations, see `associate`.
    joint : JointFit, or sequence of JointFit, optional
        From `fit_joint`, one per exposure: the headline of its associations, with its priors, the
        influence of single patients and, where made with ``fit=``, its feedback.
    landmark : float
        Day on which the clock restarts for an association that is refused from the infusion [day].
    transform : str
        Scale of the limits of Kaplan-Meier curves; the page names it.
    probability : float
        Of the intervals of curves, estimates and exposures.
    figures : path, optional
        Folder into which each figure is also written, as a file of its own.
    format : {"png", "svg", "pdf"}
        Of these files.
    allow_failed : bool
        Also with a fit that fails its checks, in red.

    Returns
    -------
    Path
        Where the page is.

    Raises
    ------
    DataError
        If a fit is of another cohort, or an argument means nothing.
    FitError
        If a fit fails its checks, or the page cannot be written.

    Notes
    -----
    What the cohort has no column for is left out; what cannot be drawn says why. Made from
    synthetic data, the page says so on a banner, in every figure and in the footer.
    """
    path = checked_path(path)
    _check(cohort, fit, transform, figures, format)
    joints = joint_fits(joint)
    missed = check_joint(joints, cohort, "trial_report", allow_failed=allow_failed)
    check = None if fit is None else fit.check()
    if check is not None and not check.passed and not allow_failed:
        raise FitError(f"{check}\n    Pass allow_failed=True to write the page all the same.")
    exposure = None
    if fit is not None and check is not None:
        exposure = summarized(fit, check, exposures)
    pictures = trial_pictures(cohort, fit, exposure, not_infused, transform, probability)
    screened = _screened(cohort, attributes, probability, pictures)
    family = _family(cohort, exposure, exposures, outcomes, probability, landmark, joints)
    pictures |= _of_family(family) | joint_pictures(joints)
    blocks = _drawn(pictures, None if figures is None else Path(figures), format)
    sections = kept(
        [
            patients_section(cohort, blocks, not_infused),
            toxicity_section(cohort, blocks, dlt, acceptable_dlt),
            response_section(cohort, blocks, transform),
            survival_section(cohort, blocks, transform),
            kinetics_section(cohort, blocks),
            relapse_section(cohort, blocks),
            _associations(family, blocks, probability),
            joint_section(joints, blocks),
            None if screened is None else screen_section(screened, "complete response", blocks),
            listing_section(cohort, blocks),
            words_section(),
        ]
    )
    if fit is not None and exposure is not None and family is not None:
        closing = footer(fit, exposure, family, probability, joints)
    else:
        closing = cohort_footer(cohort, family, transform, probability, joints)
    failures = (() if check is None else tuple(check.problems)) + missed
    _render(cohort, path, title, sections, closing, failures)
    return path


def _check(
    cohort: Cohort, fit: Fit | None, transform: str, figures: str | Path | None, format: str
) -> None:
    faults = []
    if fit is not None and fit.cohort.data_hash != cohort.data_hash:
        what = f"the fit is of {fit.cohort.name}, with other data than {cohort.name}"
        faults.append(Fault("trial_report", what, "Give fit.cohort, or a fit of this cohort."))
    if transform not in TRANSFORMS:
        what = f"transform {transform!r} is unknown"
        faults.append(Fault("trial_report", what, f"Choose from {', '.join(TRANSFORMS)}."))
    if format not in _FORMATS:
        what = f"format {format!r} is unknown"
        faults.append(Fault("trial_report", what, f"Choose from {', '.join(_FORMATS)}."))
    if figures is not None and Path(figures).is_file():
        faults.append(Fault("trial_report", f"figures={figures} is a file", "Name a folder."))
    if faults:
        raise DataError(faults)


def _screened(
    cohort: Cohort,
    attributes: Sequence[str] | pd.DataFrame | None,
    probability: float,
    pictures: dict[str, Draw],
) -> pd.DataFrame | None:
    """Screen the attributes by complete response, and add the picture."""
    from carkinetics.plotting import plot_screen
    from carkinetics.trial import screen_attributes

    if attributes is None:
        return None
    if "response" not in cohort.patients.columns:
        what = "a screen of attributes needs the response"
        raise DataError(Fault(f"cohort {cohort.name}", what, "Add a column `response`."))
    response = cohort.patients.set_index("patient")["response"]
    table = screen_attributes(cohort, attributes, response == "CR", probability)
    pictures["screen"] = (
        partial(plot_screen, table, synthetic=cohort.synthetic),
        "Screen of product attributes",
        "Every attribute that was screened, by complete response.",
    )
    return table


def _drawn(pictures: dict[str, Draw], folder: Path | None, format: str) -> dict[str, Block]:
    """Draw all figures; say why where the data do not allow one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Block] = {}
    for name, (draw, alt, caption) in pictures.items():
        try:
            picture = draw()
        except DataError as error:
            found[name] = Text(f"{alt} could not be drawn. {reason_of(error)}")
            continue
        if folder is not None:
            picture.save(folder / f"{name}.{format}")
        found[name] = embed(picture, alt, caption)
    return found


def _family(
    cohort: Cohort,
    exposure: Exposure | None,
    exposures: Sequence[str],
    outcomes: Sequence[str],
    probability: float,
    landmark: float,
    joint: Sequence[JointFit],
) -> Family | None:
    """Relate exposures to outcomes, with the fit if there is one; None without total levels."""
    assay = "flow" if "flow" in cohort.assays else "qpcr"
    if assay not in cohort.assays or "total" not in cohort.cell_types(assay):
        return None
    source = cohort if exposure is None else exposure
    return declared_family(
        source, exposures, outcomes, "total", assay, probability, landmark, joint
    )


def _of_family(family: Family | None) -> dict[str, Draw]:
    """List the figures of the associations that were not refused."""
    from carkinetics.plotting import plot_association

    found: dict[str, Draw] = {}
    for pair, association in () if family is None else family.made:
        caption = "Exposure against outcome, patient by patient."
        if pair.landmark is not None:
            caption += f" From the landmark, day {pair.landmark:g}."
        alt = f"{association.exposure_label} and {association.outcome_label}"
        name = f"{pair.exposure}_{pair.outcome}"
        found[name] = (partial(plot_association, association), alt, caption)
    return found


def _associations(
    family: Family | None, blocks: Mapping[str, Block], probability: float
) -> Section | None:
    if family is None:
        return None
    figures = {(p.exposure, p.outcome): blocks[f"{p.exposure}_{p.outcome}"] for p, _ in family.made}
    section = association_section(family, figures, probability)
    first = drawn(blocks, "peak_by_progression")
    return Section(section.name, section.title, (*section.blocks, *first))


def _render(
    cohort: Cohort,
    path: Path,
    title: str | None,
    sections: tuple[Section, ...],
    closing: tuple[tuple[str, str], ...],
    failures: Sequence[str],
) -> None:
    import carkinetics

    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("carkinetics.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("page.html.jinja").render(
        title=title or f"Tables and figures of {cohort.name}",
        lead=f"{cohort.n_patients} patients. Written {made}.",
        version=carkinetics.__version__,
        synthetic=cohort.synthetic,
        failures=failures,
        sections=sections,
        footer=closing,
    )
    write_whole(page, path)
