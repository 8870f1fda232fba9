"""What the page says of exposure and outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carkinetics.outcomes.association import JOINT, MODES, OBSERVED_VALUE, POSTERIOR_MEAN
from carkinetics.report.family import RULE, Family, Pair
from carkinetics.report.numbers import between, p_value, ratio
from carkinetics.report.parts import Block, Heading, Items, Section, Table, Text

if TYPE_CHECKING:
    from carkinetics.outcomes import Association, Estimate

_MODES = {JOINT: "joint model", POSTERIOR_MEAN: "posterior mean", OBSERVED_VALUE: "observed"}
_LABELS = {"ttp": "time to progression", "crs_grade": "CRS grade", "iec_hs": "IEC-HS",
           "pfs": "progression-free survival", "os": "overall survival",
           "dor": "duration of response"}  # fmt: skip


def association_section(
    family: Family, figures: dict[tuple[str, str], Block], probability: float
) -> Section:
    """Show the whole family, then every estimator and every note."""
    title = "Associations of exposure with outcome"
    blocks: list[Block] = []
    if family.absent:
        names = ", ".join(_LABELS.get(name, name) for name in family.absent)
        blocks.append(Text(f"The table of patients has no {names}: not related to exposure."))
    if not family.pairs:
        return Section("associations", title, tuple(blocks))
    blocks += [
        Text(
            "An association says that two things went together in these patients. It does not say "
            "why, and with few patients a large p-value does not say that there is none."
        ),
        Text(_declared(family)),
        *_headlines(family, probability),
        _family_table(family, probability),
        *_refusals(family),
    ]
    for pair, association in family.made:
        landmark = " (redone from the landmark)" if pair.landmark is not None else ""
        blocks.append(Heading(f"{_exposure(pair)} and {_outcome(pair)}{landmark}"))
        figure = figures.get((pair.exposure, pair.outcome))
        if figure is not None:
            blocks.append(figure)
        blocks.append(_all_estimators(association, probability))
        blocks.append(Items(tuple(_sentence(note) for note in association.notes), "Notes"))
    return Section("associations", title, tuple(blocks))


def _declared(family: Family) -> str:
    exposures = " and ".join(dict.fromkeys(_exposure(pair) for pair in family.pairs))
    outcomes = ", ".join(dict.fromkeys(_LABELS.get(p.outcome, p.outcome) for p in family.pairs))
    return (
        f"The declared family: {exposures} ({family.cell_type} CAR+ T cells), each with "
        f"{outcomes}; each exposure taken {_taken(family)}. {RULE} Holm's adjustment is "
        f"over all {family.n_tests} tests. "
        f"{_STRICT if _has_posterior(family) else ''}Nothing was selected: all of the family is "
        "shown."
    )


_STRICT = (
    "Both ways of taking the exposure ask the same question, so that this is stricter than needed. "
)


def _has_posterior(family: Family) -> bool:
    return any(a.of_mode(POSTERIOR_MEAN) for _, a in family.made)


def _taken(family: Family) -> str:
    observed = f"as observed ({family.assay})"
    if not _has_posterior(family):
        return observed
    return f"as the posterior mean of its log and {observed}"


def _exposure(pair: Pair) -> str:
    return pair.association.exposure_label if pair.association else pair.exposure


def _outcome(pair: Pair) -> str:
    label = _LABELS.get(pair.outcome, pair.outcome)
    if pair.association is None or not pair.association.clock:
        return label
    return f"{label}, {pair.association.clock}"


def _family_table(family: Family, probability: float) -> Table:
    rows = []
    for pair in family.pairs:
        if pair.refusal:
            label = f"{_LABELS.get(pair.outcome, pair.outcome)}, as declared"
            rows.append((_exposure(pair), label, *[""] * 2, "refused, see below", *[""] * 4))
        for found in pair.primary:
            e = found.estimate
            rows.append(
                (_exposure(pair), _outcome(pair), _MODES.get(e.mode, e.mode), e.method, e.measure,
                 _number(e), _events(e), p_value(e.p_value), p_value(found.adjusted))
            )  # fmt: skip
    return Table(
        "The declared family: one test per pair and way of taking the exposure",
        ("Exposure", "Outcome", "Exposure taken as", "Test", "Measure",
         f"Estimate ({probability:.0%} interval)", "Events of patients", "p", "p, Holm"),
        rows,
        "nlllwrrrr",
        (
            f"Ratios per doubling of the exposure. p: two-sided, unadjusted; p, Holm: adjusted "
            f"over the {family.n_tests} tests of this table. Rank tests of grades have no "
            "interval.",
        ),
    )  # fmt: skip


def _headlines(family: Family, probability: float) -> list[Block]:
    """Set the joint estimates beside the classical and the propagated ones."""
    with_joint = [(pair, a) for pair, a in family.made if pair.joint]
    if not with_joint:
        return []
    tables = [(pair, a.side_by_side()) for pair, a in with_joint]
    modes = [mode for mode in MODES if any(mode in table for _, table in tables)]
    rows = []
    for pair, table in tables:
        cells = ["" if mode not in table else _ratio_of(table[mode]) for mode in modes]
        kind = str(table[JOINT]["measure"]).removesuffix(" per doubling")
        chance = f"{table[JOINT]['p_below']:.3f}"
        what = f"{_exposure(pair)}, {_LABELS.get(pair.outcome, pair.outcome)}: {kind}"
        rows.append((what, cells[0], chance, *cells[1:]))
    heads = [_MODES.get(mode, mode).capitalize() for mode in modes]
    note = (
        "The joint model fits kinetics and outcome in one posterior: median and equal-tailed "
        "credible interval. The others are sensitivity analyses: regressions on the posterior mean "
        "and on the observed value, and on draws made without the outcome (propagated). "
        "P(ratio < 1) is a posterior probability of the joint model, no p-value."
    )
    return [
        Table(
            "The headline: the joint model, and beside it the other estimators; ratios per "
            f"doubling of the exposure ({probability:.0%} intervals)",
            ("Exposure, outcome", heads[0], "P(ratio < 1)", *heads[1:]),
            rows,
            f"w{'r' * (len(modes) + 1)}",
            (note,),
        )
    ]


def _ratio_of(column: pd.Series) -> str:
    return between(ratio(column["estimate"]), ratio(column["lower"]), ratio(column["upper"]))


def _refusals(family: Family) -> list[Block]:
    found: list[Block] = []
    for pair in family.pairs:
        if not pair.refusal:
            continue
        what = f"{_exposure(pair)} and {_LABELS.get(pair.outcome, pair.outcome)}: refused. "
        redone = (
            f" It was redone from the landmark, day {pair.landmark:g}, which is what the tables "
            "show: it speaks of patients without event or censoring until then only."
            if pair.landmark is not None
            else ""
        )
        found.append(Text(what + pair.refusal + redone, warning=True))
    return found


def _all_estimators(association: Association, probability: float) -> Table:
    rows, methods = [], []
    for e in (e for mode in MODES for e in association.of_mode(mode)):
        rows.append(
            (_MODES.get(e.mode, e.mode), e.method, e.measure, _number(e), p_value(e.p_value),
             p_value(e.p_asymptotic), _events(e), _statistic(e))
        )  # fmt: skip
        methods.append(_how(e))
    return Table(
        "Every estimator",
        ("Exposure taken as", "Method", "Measure", f"Estimate ({probability:.0%} interval)", "p",
         "p, large samples", "Events of patients", "Statistic"),
        rows,
        "nnwrrrrr",
        tuple(dict.fromkeys(filter(None, methods))),
    ).without_empty()  # fmt: skip


def _how(e: Estimate) -> str:
    parts = (
        f"interval: {e.interval_kind}" if e.interval_kind else "",
        f"p: {e.p_kind}" if e.p_kind else "",
        f"p, large samples: {e.asymptotic_kind}, for comparison with other programs"
        if np.isfinite(e.p_asymptotic)
        else "",
        e.note,
    )
    said = "; ".join(filter(None, parts))
    return f"{_sentence(e.method, '')}: {said}." if said else ""


def _number(e: Estimate) -> str:
    return between(ratio(e.estimate), ratio(e.lower), ratio(e.upper))


def _events(e: Estimate) -> str:
    return f"{e.n_events} of {e.n}" if e.n_events >= 0 else f"of {e.n}"


def _statistic(e: Estimate) -> str:
    return f"{e.statistic_name} = {e.statistic:g}" if e.statistic_name else ""


def _sentence(text: str, end: str = ".") -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else end}"
