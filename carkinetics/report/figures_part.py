"""The figures of the page, as far as the data allow them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from carkinetics.errors import DataError
from carkinetics.report.family import Family
from carkinetics.report.joint_part import joint_pictures
from carkinetics.report.parts import Block, Section, Text, embed, reason_of

if TYPE_CHECKING:
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit
    from carkinetics.outcomes.joint import JointFit
    from carkinetics.plotting import Picture

_TOGETHER = 4  # patients of one figure: half a printed page


def _try(draw: Callable[[], Picture], alt: str, caption: str) -> Block:
    """Draw a figure; say why where the data do not allow it."""
    try:
        return embed(draw(), alt, caption)
    except DataError as error:
        return Text(f"{alt} could not be drawn. {reason_of(error)}")


def curves_section(fit: Fit, patients: Sequence[str] | None) -> Section:
    """Draw samples and posterior curves, some patients to a figure."""
    from carkinetics.plotting import plot_levels

    chosen = fit.select_patients(patients)
    left = len(fit.patients) - len(chosen)
    blocks: list[Block] = []
    if left:
        blocks.append(Text(f"{left} of the {len(fit.patients)} fitted patients are not drawn."))
    for start in range(0, len(chosen), _TOGETHER):
        some = chosen[start : start + _TOGETHER]
        names = ", ".join(some)
        blocks.append(
            embed(
                plot_levels(fit, some),
                f"Levels over time of {names}",
                f"{names}: samples, and the latent level with its bands. Samples scatter around "
                "it by assay error; those below the limit hang from it as open triangles.",
            )
        )
    return Section("curves", "Curves, patient by patient", tuple(blocks))


def exposure_figure(exposure: Exposure) -> Block:
    """Draw the exposure of all patients."""
    from carkinetics.plotting import plot_exposure

    return _try(
        lambda: plot_exposure(exposure),
        "Exposure of each patient",
        "Posterior median and interval of each patient.",
    )


def cohort_figures(fit: Fit, exposure: Exposure, probability: float) -> Section:
    """Draw the profile, the subsets at the peak, and peak by progression."""
    from carkinetics.plotting import plot_cd4_cd8_at_peak, plot_peak_by_progression, plot_profile

    cohort = fit.cohort
    blocks: list[Block] = [
        _try(
            partial(plot_profile, cohort, assay),
            f"Profile of {'flow cytometry' if assay == 'flow' else 'qPCR'} levels",
            "Median and quartiles of the observed levels at each visit.",
        )
        for assay in fit.settings["assays"]
    ]
    if {"CD4", "CD8"} <= set(cohort.cell_types("flow")):
        blocks.append(
            _try(
                lambda: plot_cd4_cd8_at_peak(cohort),
                "CD4 against CD8 at the peak",
                "Observed levels in the sample with the highest total.",
            )
        )
    else:
        blocks.append(Text("CD4 and CD8 were not counted apart, so they are not compared."))
    if {"ttp_day", "progressed"} <= set(cohort.patients.columns):
        blocks.append(
            _try(
                lambda: plot_peak_by_progression(cohort, exposure, probability=probability),
                "Peak by progression",
                "Latent peaks of patients who progressed within three months and of those who did "
                "not. The split is for the eye; what counts is the association with time to "
                "progression, which needs none. Its p-value is outside the declared family.",
            )
        )
    else:
        blocks.append(Text("The table of patients has no time to progression to compare peaks by."))
    return Section("cohort-figures", "The cohort in figures", tuple(blocks))


def association_figures(family: Family) -> dict[tuple[str, str], Block]:
    """Draw every pair that was not refused."""
    from carkinetics.plotting import plot_association

    found: dict[tuple[str, str], Block] = {}
    for pair, association in family.made:
        caption = "Exposure against outcome, patient by patient."
        if pair.landmark is not None:
            caption += f" From the landmark, day {pair.landmark:g}."
        found[(pair.exposure, pair.outcome)] = _try(
            partial(plot_association, association),
            f"{association.exposure_label} and {association.outcome_label}",
            caption,
        )
    return found


def joint_figures(joint: Sequence[JointFit]) -> dict[str, Block]:
    """Draw slopes and feedback of every joint fit."""
    return {name: _try(*drawn) for name, drawn in joint_pictures(joint).items()}
