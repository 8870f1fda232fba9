"""The words explained, and the footer that every report prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carkinetics.diagnostics.sampler import divergences
from carkinetics.report.cohort_part import blq_line
from carkinetics.report.exposure_part import reliability_line
from carkinetics.report.family import COLUMNS, Family, has_outcome
from carkinetics.report.parts import Section, Terms

if TYPE_CHECKING:
    from carkinetics.cohort import Cohort
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

_WORDS = (
    ("AUC0-28d", "area under the latent curve from day 0 to day 28, on the linear scale"),
    ("AUROC", "area under the receiver operating characteristic: the chance that a patient with "
     "the event has the higher exposure"),
    ("BLQ", "below the limit of quantification"),
    ("CAR", "chimeric antigen receptor"),
    ("Cmax, Tmax", "highest level of the latent curve, and its day"),
    ("Cox, Firth", "regression of the event rate on exposure, and its penalized form for few "
     "events"),
    ("CRS", "cytokine release syndrome, graded after ASTCT (American Society for Transplantation "
     "and Cellular Therapy) 2019"),
    ("CR, PR, SD, PD", "complete and partial response, stable and progressive disease"),
    ("DeLong SE", "standard error of the AUROC"),
    ("E-BFMI", "energy Bayesian fraction of missing information: low where the sampler moves "
     "slowly"),
    ("ESS", "effective sample size: how many independent draws the chains are worth; bulk for the "
     "center, tail for the ends of intervals"),
    ("ICANS", "immune effector cell-associated neurotoxicity syndrome"),
    ("IEC-HS", "immune effector cell-associated hemophagocytic lymphohistiocytosis-like syndrome"),
    ("k-hat", "how unstable a leave-one-out calculation is"),
    ("landmark", "a day after the infusion on which the clock restarts, for patients still at "
     "risk"),
    ("Laplace's approximation", "a Gaussian in place of the posterior: fast, and not exact"),
    ("latent", "belonging to the model's curve, free of assay error; the opposite of observed"),
    ("LKJ", "prior of correlations (Lewandowski, Kurowicka and Joe 2009)"),
    ("LLOQ", "lower limit of quantification of a sample"),
    ("NUTS", "no-U-turn sampler, the Markov chain method that makes the draws"),
    ("OS, PFS, TTP", "overall survival, progression-free survival, time to progression"),
    ("posterior, prior", "what is known of a quantity after the data, and what was assumed before"),
    ("qPCR", "quantitative polymerase chain reaction: copies of the CAR gene per µg of DNA"),
    ("R-hat", "agreement of the chains; 1 where they agree"),
    ("SHA-256", "a fingerprint: the same for the same text only"),
)  # fmt: skip


def words_section() -> Section:
    """Explain every abbreviation once."""
    return Section("words", "Words and abbreviations", (Terms(_WORDS),))


def footer(
    fit: Fit, exposure: Exposure, family: Family, probability: float
) -> tuple[tuple[str, str], ...]:
    """Collect what every report has to say of itself."""
    reliability, shrinkage = reliability_line(exposure, probability, family.cell_type)
    return (
        ("Patients (N)", f"{len(fit.patients)} fitted of {fit.cohort.n_patients}"),
        ("Events", events_line(fit.cohort)),
        (f"Reliability (lambda), {family.cell_type}", reliability),
        (f"Shrinkage, {family.cell_type}", shrinkage),
        ("BLQ", f"{blq_line(fit)}; likelihood of censored samples (M3)"),
        ("Clock", clock_line(family)),
        (
            "Censoring rule",
            "as coded in the table of patients: without the event, a patient is censored on the "
            "day given; nothing was censored by this analysis",
        ),
        (
            "Intervals",
            f"{probability:.0%}; exposure: equal-tailed posterior quantiles; regressions: profile "
            "likelihood on the log-ratio scale; Kaplan-Meier: log(-log); shares: exact",
        ),
        (
            "Estimator",
            "classical, with the posterior mean of log exposure (EBE, empirical Bayes estimate) "
            "and with the observed (raw) value; no joint model of kinetics and outcome",
        ),
        ("Divergences", _divergence_line(fit)),
        ("Tests in the family", f"{family.n_tests}, adjusted after Holm"),
        ("Largest k-hat", "not computed: no leave-one-out comparison was made"),
        ("Claim", "associations only; this page does not say why things went together"),
    )


def _divergence_line(fit: Fit) -> str:
    if fit.approximate:
        return "none can occur: the posterior was approximated (Laplace), not sampled"
    draws = int(fit.data["sample_stats"]["diverging"].size)
    energy, failed = divergences(fit.data["sample_stats"].to_dataset())
    return f"{energy} of {draws} draws; {failed} failed evaluations"


def events_line(cohort: Cohort) -> str:
    """Count the events of every outcome on one line."""
    table, parts = cohort.patients, []
    for name, (days, event) in COLUMNS.items():
        if has_outcome(cohort, name):
            known = table[[days, event]].dropna()
            parts.append(f"{name.upper()} {int(known[event].astype(bool).sum())} of {len(known)}")
    if has_outcome(cohort, "crs_grade"):
        grades = table["crs_grade"].dropna()
        parts.append(f"CRS {int((grades > 0).sum())} of {len(grades)}")
    if has_outcome(cohort, "iec_hs"):
        said = table["iec_hs"].dropna().astype(bool)
        parts.append(f"IEC-HS {int(said.sum())} of {len(said)}")
    return "; ".join(parts) or "no outcomes in the table of patients"


def clock_line(family: Family) -> str:
    """Name the clock of every association in time on one line."""
    clocks = [
        f"{association.exposure_label} and {association.outcome_label} {association.clock}"
        for _, association in family.made
        if association.clock
    ]
    return "; ".join(clocks) or "days from the infusion; no time-to-event association was made"
