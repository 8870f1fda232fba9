"""`batch_report`: what a batch of variants says, on one page."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from carkinetics.errors import CarkineticsError
from carkinetics.report.parts import Block, Folded, Items, Section, Table, Text, embed
from carkinetics.report.write import checked_path, write_whole

if TYPE_CHECKING:
    import pandas as pd

    from carkinetics.batch.runs import Runs
    from carkinetics.plotting import Picture

_TEMPLATE = "page.html.jinja"
_NAME = "batch_report.html"
_MOST_ROWS = 500
_MOST_CURVE = 2000  # analyses that a specification curve can show


def batch_report(runs: Runs, path: str | Path | None = None, *, title: str | None = None) -> Path:
    """Write the comparison of a batch into one self-contained HTML page.

    Parameters
    ----------
    runs : Runs
        From `run_variants` or `load_runs`; it need not be finished.
    path : path, optional
        The page, ending in ``.html``; ``batch_report.html`` in the folder of the batch by
        default. An existing one is replaced once the new one is whole.
    title : str, optional
        Headline of the page.

    Returns
    -------
    Path
        Where the page is.

    Raises
    ------
    FitError
        If the page cannot be written.
    """
    import jinja2

    import carkinetics

    path = checked_path(runs.folder / _NAME if path is None else path)
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    sections = [_glance(runs), *(_estimand(runs, name) for name in runs.estimands)]
    others = (_predictive(runs), _without(runs), _listing(runs), _setup(runs))
    sections += [section for section in others if section]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("carkinetics.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template(_TEMPLATE).render(
        title=title or f"Sensitivity analyses of {runs.facts['cohort']}",
        lead=f"{_total(runs):,} variants. Written {made}.",
        version=carkinetics.__version__,
        synthetic=runs.synthetic,
        failures=(),
        sections=sections,
        footer=_footer(runs),
    )
    write_whole(page, path)
    return path


def _glance(runs: Runs) -> Section:
    counts = runs.table.drop_duplicates("analysis_id")["status"].value_counts()
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    blocks: list[Block] = [Text(f"{_total(runs):,} variants: {told}.")]
    if sentences := runs.sentences():
        blocks.append(Items(tuple(sentences)))
    else:
        blocks.append(Text("No variant has a number; the reasons are below.", warning=True))
    blocks.append(
        Text(
            "Robust means: at least 95 % of the variants on the same side of no association, and "
            "estimates that swing by less than half a standard deviation of the base case. These "
            "are associations. No count of intervals that exclude the null is a test."
        )
    )
    return Section("glance", "At a glance", tuple(blocks))


def _estimand(runs: Runs, name: str) -> Section:
    blocks: list[Block] = []
    for draw, alt, caption in _figures(runs, name):
        try:
            blocks.append(embed(draw(name), f"{alt} of {name}", caption))
        except CarkineticsError as error:
            blocks.append(Text(f"{alt} could not be drawn. {' '.join(str(error).split())}"))
    return Section(f"estimand-{runs.estimands.index(name)}", name, tuple(blocks))


def _figures(runs: Runs, name: str) -> list[tuple[Callable[[str], Picture], str, str]]:
    rows = runs.of(name)
    found: list[tuple[Callable[[str], Picture], str, str]] = []
    if runs.facts["declared"]["design"] != "crossed" and len(rows) > 1:
        found.append(
            (runs.tornado, "Tornado", "How far each factor moves the estimate, the largest on top.")
        )
    if 1 < len(rows) <= _MOST_CURVE and runs.varied:
        caption = "All variants in the order of their estimates, with the choices behind each."
        found.append((runs.specification_curve, "Specification curve", caption))
    if (rows["factor"] == "leave_out").sum() > 1:
        caption = "The estimate without each patient in turn."
        found.append((runs.leave_one_out, "Leave-one-patient-out plot", caption))
    return found


def _predictive(runs: Runs) -> Section | None:
    table = runs.predictive()
    if len(table) < 2:
        return None
    cells = [
        [row.analysis_id, f"{row.elpd:.1f}", f"{row.difference:+.1f}", f"{row.standard_error:.1f}",
         f"{row.n}", row.verdict]
        for row in table.itertuples()
    ]  # fmt: skip
    columns = ("variant", "elpd [nat]", "difference [nat]", "SE over patients", "n", "verdict")
    notes = (
        "How well each variant predicts a patient left out, against the base case, patient by "
        "patient. Variants with other samples cannot be compared and are not here. Below 4 nat or "
        "2 standard errors there is no preference.",
    )
    listed = Table("Prediction of a patient left out.", columns, cells, "lrrrrl", notes)
    return Section("prediction", "Prediction", (listed,))


def _without(runs: Runs) -> Section | None:
    """List every variant without a number: failures are rows, not gaps."""
    rows = runs.table[runs.table["status"] != "done"]
    if rows.empty:
        return None
    cells = [
        [row.analysis_id, row.estimand, row.status, row.reason or "not computed yet"]
        for row in rows.head(_MOST_ROWS).itertuples()
    ]
    table = Table(
        "Variants without a number.", ("variant", "estimand", "status", "reason"), cells, "llnw",
        _cut(rows),
    )  # fmt: skip
    return Section("without", "Without a number", (table.without_empty(),))


def _listing(runs: Runs) -> Section | None:
    rows = runs.table[runs.table["status"] == "done"]
    if rows.empty:
        return None
    columns = ("variant", "estimand", "estimate", "interval", "p", "P(direction)", "n", "events",
               "how", "k-hat", "divergences", "seconds")  # fmt: skip
    cells = [
        [
            row.analysis_id,
            row.estimand,
            f"{row.estimate:.3g}",
            f"{row.lo:.3g} to {row.hi:.3g}" if np.isfinite(row.probability) else "",
            _number(row.p_value, ".3f"),
            _number(row.p_dir, ".3f"),
            _number(row.n, ".0f"),
            _number(row.events, ".0f") if row.events >= 0 else "",
            row.how,
            _number(row.khat_max, ".2f"),
            _number(row.divergences, ".0f"),
            _number(row.seconds, ".1f"),
        ]
        for row in rows.head(_MOST_ROWS).itertuples()
    ]
    kinds = [kind for kind in rows["interval_kind"].unique() if kind]
    notes = (f"Intervals: {runs.facts['declared']['probability']:.0%}, {'; '.join(kinds)}.",)
    table = Table("All variants with a number.", columns, cells, "llrnrrrrlrrr", notes + _cut(rows))
    return Section("table", "Table", (table.without_empty(),))


def _setup(runs: Runs) -> Section:
    facts = runs.facts
    settings = ", ".join(f"{k} {v}" for k, v in facts["settings"].items()) or "none"
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    blocks: list[Block] = [
        Text(f"Exposures: {_METHODS[facts['method']]} Settings of the fits: {settings}."),
        Text("The base case: " + "; ".join(f"{k} {v}" for k, v in _changed(runs).items()) + "."),
        Text(f"Versions: {versions}."),
    ]
    if facts["model_text"]:
        blocks.append(Folded(f"Text of the model {facts['model']}", facts["model_text"]))
    return Section("setup", "What was run", tuple(blocks))


_METHODS = {
    "samples": "from samples, without a model; they carry assay and sampling error.",
    "laplace": "from Laplace approximations, one per variant.",
    "nuts": "from full fits by NUTS, one per variant.",
}


def _changed(runs: Runs) -> dict[str, str]:
    """Give the levels of the base case of everything that was varied or set."""
    from carkinetics.batch.words import in_words

    names = [*runs.facts["declared"]["factors"], *runs.facts["declared"]["base"]]
    names += [n for c in runs.facts["declared"]["listed"] for n in c]
    return {n: in_words(runs.facts["base"][n]) for n in dict.fromkeys(names)}


def _footer(runs: Runs) -> tuple[tuple[str, str], ...]:
    table, facts = runs.table, runs.facts
    done = table[table["status"] == "done"]
    divergences = done["divergences"].max()
    khat = done["khat_max"].max()
    return (
        ("Patients (N)", str(facts["n_patients"])),
        ("Variants without a number", f"{(table['status'] != 'done').sum():,} rows"),
        ("Obtained by", ", ".join(sorted(set(done["how"]))) or "nothing yet"),
        ("Largest number of divergences", "no sampler" if np.isnan(divergences)
         else f"{divergences:.0f}"),
        ("Largest k-hat", "nothing was reweighted" if np.isnan(khat) else f"{khat:.2f}"),
        ("Data", f"hash {facts['data_hash'][:16]}"),
        ("Code", ", ".join(sorted(set(done["code_version"]))) or facts["code_version"]),
        ("Folder", runs.folder.name),
        ("Claim", "associations only; this page does not say why things went together"),
    )  # fmt: skip


def _total(runs: Runs) -> int:
    return int(runs.table["analysis_id"].nunique())


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form)


def _cut(rows: pd.DataFrame) -> tuple[str, ...]:
    if len(rows) <= _MOST_ROWS:
        return ()
    return (f"The first {_MOST_ROWS} of {len(rows):,} rows; table.csv has all of them.",)
