"""What the page says of the fit: its checks, its settings, its priors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from carkinetics.report.covariate_part import covariate_blocks, covariate_sentence
from carkinetics.report.numbers import percent
from carkinetics.report.parts import Block, Folded, Items, Section, Table, Text

if TYPE_CHECKING:
    from carkinetics.diagnostics import Check
    from carkinetics.exposure import Exposure
    from carkinetics.inference import Fit

_DISTRIBUTIONS = {"normal": "a Normal", "student_t": "a Student-t"}


def check_section(check: Check) -> Section:
    """Show every check with its limit, and what failed."""
    rows = [
        ("passed" if row.passed else "FAILED", row.check, f"{row.value:.4g}", row.limit, row.where)
        for row in check.table.itertuples()
    ]
    blocks: list[Block] = [
        Text(check.verdict, warning=not check.passed),
        Table(
            "Checks of the approximation" if check.approximate else "Checks of the sampler",
            ("Result", "Check", "Value", "Limit", "Worst parameter"),
            rows,
            "nwrrl",
        ),
        _coverage(check),
    ]
    if check.problems:
        blocks.append(Items(check.problems, "What failed, and what to do"))
    if check.advice:
        blocks.append(Items(check.advice, "What passed but deserves a look"))
    return Section("checks", "Checks of the fit", tuple(blocks))


def _coverage(check: Check) -> Table:
    rows = []
    for row in check.coverage.itertuples():
        limited = bool(row.with_limit)
        rows.append(
            (
                row.assay,
                str(row.quantified),
                percent(row.inside),
                percent(row.below_observed) if limited else "no limit",
                percent(row.below_predicted) if limited else "no limit",
            )
        )
    return Table(
        "The samples against what the fit predicts for them",
        ("Assay", "Quantified samples", "Inside their 90 % interval", "BLQ observed",
         "BLQ predicted"),
        rows,
        "lrrrr",
        (
            "Predictions use the same samples that were fitted, so that somewhat more than 90 % "
            "inside is expected; far fewer would say that the curves have the wrong shape.",
        ),
    )  # fmt: skip


def methods_section(fit: Fit, exposure: Exposure, probability: float, made: str) -> Section:
    """Say how every number was made, in words that can go into a paper, with every setting."""
    settings, model = fit.settings, fit.kinetic_model
    blocks: list[Block] = [
        Text(_paragraph(fit, exposure, probability)),
        Text(f"Model: {model.title}. {model.summary} Source: {model.reference}"),
        *covariate_blocks(fit, probability),
        _priors(settings["priors"]),
        _settings(fit, made),
        Folded(f"Text of the model ({model.name})", model.text),
    ]
    return Section("methods", "Methods", tuple(blocks))


def _paragraph(fit: Fit, exposure: Exposure, probability: float) -> str:
    s = fit.settings
    assays = " and ".join({"flow": "flow cytometry", "qpcr": "qPCR"}[a] for a in s["assays"])
    held = f" held at {s['link_slope']:g}" if "link_slope" in s else ""
    link = (
        f" The two assays are joined by a link on the log scale with a slope{held}, copies per "
        "cell, the leukocyte count where given, and an offset for each patient."
        if len(s["assays"]) > 1
        else ""
    )
    correlated = "correlated with each other (LKJ prior)" if s["correlated"] else "independent"
    shared = f"; all patients share {' and '.join(s['common'])}" if s["common"] else ""
    where = exposure.data["cmax"].attrs["units"]
    limit = "persistence is missing, since no sample has a limit of quantification"
    if math.isfinite(exposure.limit):
        limit = (
            f"the limit of persistence is {exposure.limit:g} {where}, its horizon day "
            f"{exposure.horizon:g}"
        )
    return (
        f"A kinetic model ({fit.kinetic_model.name}) was fitted to the levels of "
        f"{len(fit.patients)} patients at once, measured by {assays}.{link} Parameters differ "
        f"between patients by {_DISTRIBUTIONS[s['patient_effects']]} distribution on the "
        f"transformed scale, {correlated}{shared}; samples scatter around the curve by "
        f"{_DISTRIBUTIONS[s['residual']]} distribution on the log scale.{covariate_sentence(fit)} "
        "Samples below the limit of quantification enter as the probability of a level below the "
        "limit (M3). The "
        f"posterior was {_computed(fit)}, seed "
        f"{s['seed']}; the equations were solved to a relative tolerance of {s['tolerance']:g}. "
        f"Cmax, Tmax, AUC0-28d and persistence are those of the latent curve in {where}, computed "
        f"on every draw and summarized by the median and the {probability:.0%} equal-tailed "
        f"interval; {limit}. Associations with outcome use classical estimators with the "
        "posterior mean of the log exposure, and with the observed value for comparison; "
        "p-values are adjusted after Holm over the whole declared family."
    )


def _computed(fit: Fit) -> str:
    s = fit.settings
    if fit.approximate:
        return (
            "NOT sampled but APPROXIMATED by Laplace's method: each patient's parameters, given "
            "what all patients share, by a Gaussian at their mode, what they share by a Gaussian "
            "at the optimum of the approximate marginal density (Tierney and Kadane 1986); "
            f"{s['chains'] * s['draws']} independent draws of the approximation"
        )
    return (
        f"sampled by NUTS (nutpie): {s['chains']} chains of {s['draws']} draws after {s['tune']} "
        f"for warm-up, target acceptance {s['target_accept']:.3g}"
    )


def _priors(priors: Mapping[str, str]) -> Table:
    return Table(
        "Priors",
        ("Parameter", "Prior"),
        [(name, text) for name, text in priors.items()],
        "ll",
        (
            "A name that begins with log_ or logit_ is sampled on that scale; its prior is told on "
            "the natural one. omega: standard deviation between patients; sigma: of samples "
            "around the curve; gsd: geometric standard deviation. Reasons and sources stand in the "
            "text of the model.",
        ),
    )


def _settings(fit: Fit, made: str) -> Table:
    skip = {"priors", "versions", "prior_check", "covariates"}
    rows = [(name, _plainly(value)) for name, value in fit.settings.items() if name not in skip]
    gate = fit.settings.get("prior_check", {})
    rows += [(f"prior check: {name}", _plainly(value)) for name, value in gate.items()]
    rows += [(f"version: {name}", str(v)) for name, v in fit.settings["versions"].items()]
    rows += [
        ("SHA-256 of the model text", fit.kinetic_model.text_hash),
        ("SHA-256 of the data", fit.cohort.data_hash),
        ("page written", made),
    ]
    rows += [("read with other software", text) for text in fit.differences]
    return Table("Every setting, version and hash", ("Setting", "Value"), rows, "ll")


def _plainly(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {item}" for name, item in value.items())
    return "none" if value is None else str(value)
