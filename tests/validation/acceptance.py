"""The table of acceptance numbers: what is expected, what carkinetics gives, and how far apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import carkinetics as ck
from carkinetics.outcomes import (
    auroc,
    benjamini_hochberg,
    causes_of_progression,
    clopper_pearson,
    cox,
    cumulative_incidence,
    firth_cox,
    firth_logistic,
    follow_up,
    holm,
    jonckheere_terpstra,
    kaplan_meier,
    kendall,
    log_rank,
    mann_whitney,
    proportional_odds,
    spearman,
)
from tests.validation.page import versions

_REFERENCE = Path(__file__).parents[1] / "reference"

# Check, what it is, expected, obtained, tolerance.
Row = tuple[str, str, float, float, float]


def rows() -> list[Row]:
    """Compute every number of the table."""
    found: list[Row] = []
    for part in (_freireich, _files, _small, _synthetic):
        found += part()
    return found


def _freireich() -> Iterator[Row]:
    drug = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    day = np.array(drug + placebo, dtype=float)
    event = np.repeat([True, False, True], [9, 12, 21])
    group = np.repeat([0.0, 1.0], 21)
    first = group == 0
    yield "C-01", "6-MP, median", 23, kaplan_meier(day[first], event[first]).median, 0
    yield "C-01", "placebo, median", 8, kaplan_meier(day[~first], event[~first]).median, 0
    yield "C-01", "log-rank chi2", 16.7929, log_rank(day, event, group > 0).chi2, 1e-4
    for ties, expected in (("efron", 1.57213), ("breslow", 1.50919), ("exact", 1.62824)):
        fitted = cox(day, event, group, ties=ties)
        yield "C-02", f"Cox, {ties}", expected, float(fitted.coefficients[0]), 1e-4


def _files() -> Iterator[Row]:
    rossi = pd.read_csv(_REFERENCE / "rossi.csv")
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    fitted = cox(rossi["week"], rossi["arrest"].astype(bool), rossi[names])
    expected = (-0.379422, -0.057438, 0.3139, -0.149796, -0.433704, -0.084871, 0.091497)
    for name, value, ours in zip(names, expected, fitted.coefficients, strict=True):
        yield "C-03", f"rossi, {name}", value, float(ours), 1e-5
    yield "C-03", "rossi, log likelihood", -658.74766, fitted.loglik, 1e-4
    endometrial = pd.read_csv(_REFERENCE / "endometrial.csv")
    firth = firth_logistic(endometrial[["NV", "PI", "EH"]], endometrial["HG"])
    for name, value, ours in zip(
        ("NV", "PI", "EH"), (2.929273, -0.034752, -2.604164), firth.coefficients, strict=True
    ):
        yield "D-01", f"endometrial, {name}", value, float(ours), 1e-4


def _small() -> Iterator[Row]:
    ranks = mann_whitney([14, 15, 16, *range(1, 14)], [1] * 3 + [0] * 13)
    yield "D-05", "exact Mann-Whitney, 3 against 13", 2 / 560, ranks.p_value, 1e-12
    two = firth_cox([1.0, 2.0], [1, 0], [1.0, 0.0])
    yield "D-04", "Firth-Cox of two, ratio", 3, float(np.exp(two.coefficients[0])), 1e-6
    yield "D-07", "Kendall of four in order, p", 1 / 12, kendall(range(4), range(4)).p_value, 1e-12
    p = [0.01, 0.02, 0.03, 0.04]
    yield "D-11", "Holm, second", 0.06, float(holm(p)[1]), 1e-12
    yield "D-11", "Benjamini-Hochberg, first", 0.04, float(benjamini_hochberg(p)[0]), 1e-12
    for events, limits in ((3, (4.0, 45.6)), (13, (54.4, 96.0)), (12, (47.6, 92.7))):
        for side, value, ours in zip(
            ("lower", "upper"), limits, clopper_pearson(events, 16), strict=True
        ):
            yield "D-12", f"exact limits of {events}/16, {side} [%]", value, 100 * ours, 0.05


def _synthetic() -> Iterator[Row]:
    cohort = ck.synthetic_cohort()
    table = cohort.patients
    peak = np.log(ck.observed_quantities(cohort, quantities=["cmax"])["observed_cmax"])
    area = np.log(ck.observed_quantities(cohort, quantities=["auc_0_28"])["observed_auc_0_28"])
    day, progressed = table["ttp_day"].to_numpy(float), table["progressed"].to_numpy(bool)
    pfs, pfs_event = table["pfs_day"].to_numpy(float), table["pfs_event"].to_numpy(bool)
    limits = {"log-log": (31, 119), "log": (42, 523), "plain": (42, 119), "logit": (31, 119),
              "arcsine": (42, 119)}  # fmt: skip
    for transform, (low, high) in limits.items():
        curve = kaplan_meier(pfs, pfs_event, transform=transform)
        yield "C-06", f"PFS median, lower, {transform}", low, curve.median_lower, 0
        yield "C-06", f"PFS median, upper, {transform}", high, curve.median_upper, 0
    seen = follow_up(table["os_day"].to_numpy(float), table["died"].to_numpy(bool))
    yield "C-06", "follow-up, plain median", 523, seen.observed_median, 0
    yield "C-06", "follow-up, reverse Kaplan-Meier", 934, seen.reverse_median, 0
    causes = causes_of_progression(cohort)
    share = cumulative_incidence(causes["day"], causes["cause"]).at(180.0, 1)
    yield "C-09", "incidence of progression, day 180", 0.679924, float(share), 1e-3
    naive = 1.0 - float(kaplan_meier(day, progressed).at(180.0))
    yield "C-09", "1 - Kaplan-Meier, day 180", 0.778409, naive, 1e-3
    fitted, penalized = cox(day, progressed, peak), firth_cox(day, progressed, peak)
    yield "F-08", "Cox per unit log peak", -0.739, float(fitted.coefficients[0]), 1e-3
    yield "F-08", "its standard error", 0.408, float(fitted.standard_errors[0]), 1e-3
    yield "F-08", "Firth-Cox per unit log peak", -0.708, float(penalized.coefficients[0]), 1e-3
    yield "F-08", "its p", 0.067, float(penalized.p_values[0]), 1e-3
    later = day > 28
    landmark = cox(day[later] - 28, progressed[later], area[later])
    yield "F-08", "Cox of log AUC0-28, landmark", -0.583, float(landmark.coefficients[0]), 1e-3
    yield "C-10", "patients after the landmark", 14, float(landmark.n), 0
    split = log_rank(day, progressed, peak > np.median(peak))
    yield "F-08", "log-rank chi2, median split", 2.188, split.chi2, 1e-3
    hlh, grade = table["iec_hs"].to_numpy(bool), table["crs_grade"].to_numpy(float)
    yield "D-10", "AUROC, peak and IEC-HS", 0.897436, auroc(peak, hlh).estimate, 1e-6
    yield "D-10", "its DeLong standard error", 0.08632, auroc(peak, hlh).standard_error, 1e-5
    yield "F-08", "Mann-Whitney p, IEC-HS", 0.039, mann_whitney(peak, hlh).p_value, 1e-3
    trend = jonckheere_terpstra(peak, grade).p_asymptotic
    yield "F-08", "Jonckheere-Terpstra, normal p, CRS", 0.093, trend, 1e-3
    yield "F-08", "Kendall tau-b, CRS", 0.343, kendall(peak, grade).estimate, 1e-3
    yield "F-08", "Spearman, peak and AUC0-28", 0.915, spearman(peak, area).estimate, 1e-3
    scaled = (peak - peak.mean()) / peak.std(ddof=1)
    firth = firth_logistic(scaled, hlh)
    yield "F-08", "Firth logistic per SD", 1.361, float(firth.coefficients[0]), 1e-3
    odds = proportional_odds(peak, hlh.astype(float))
    yield "D-09", "two grades, sign of the slope", 1, float(np.sign(odds.coefficients[0])), 0


def page() -> str:
    """Write the page."""
    lines = [
        "# Acceptance numbers",
        "",
        "Each number is computed when this page is written, by the functions that users call. C-…, "
        "D-… and F-… are the names that the tests carry. C-06 to C-10, D-10 and F-08 are of the "
        "built-in cohort: SYNTHETIC, not patient data.",
        "",
        "| check | number | expected | obtained | tolerance | within |",
        "|---|---|---:|---:|---:|---|",
    ]
    for check, what, expected, ours, tolerance in rows():
        within = "yes" if abs(ours - expected) <= tolerance else "**NO**"
        lines.append(
            f"| {check} | {what} | {expected:.7g} | {ours:.7g} | {tolerance:g} | {within} |"
        )
    lines += ["", f"Made by `python -m tests.validation acceptance` with {versions()}.", ""]
    return "\n".join(lines)
