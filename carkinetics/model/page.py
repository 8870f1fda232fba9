"""The page of a model: equations, numbers with their standing, what identifies it, citation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from carkinetics.model.kinetic import Model
from carkinetics.model.parts import Case, Parameter, PatientClass
from carkinetics.model.tables import ConstantTable
from carkinetics.model.typeset import equation

STANDINGS = {
    "published": "printed in the paper, its model file or a public transcription of it",
    "computed": "calculated from published numbers",
    "choice": "chosen by this project",
    "reconstruction": "built by this project; not claimed to be the authors' own",
    "unverified": "not checked against a source",
}


def kind_of(model: Model) -> str:
    """Say in a few words how a model is solved.

    Examples
    --------
    >>> from carkinetics.library import load_model
    >>> kind_of(load_model("singh_2021"))
    '8 states, stiff'
    """
    if model.closed_form:
        return "closed form"
    count = len(model.system().states)
    return f"{count} state{'s' * (count > 1)}{', stiff' if model.stiff else ''}"


def model_page(model: Model, image: str) -> str:
    """Write the page of a model in Markdown.

    Parameters
    ----------
    model : Model
        As loaded.
    image : str
        Path of its figure, from the page.

    Returns
    -------
    str
        The page. It depends on the model file alone.
    """
    parts = [
        f"# `{model.name}`",
        f"**{model.title}**",
        model.summary.strip(),
        f"Source: {model.reference.strip()}",
        _facts(model),
        f"![Typical patient and virtual patients]({image})",
        "## Equations",
        *_equations(model),
        "## Numbers",
        *_numbers(model),
        "## What data can identify it",
        model.data.strip() or "No assay of this package identifies it.",
    ]
    if model.notes:
        parts += ["## Notes", model.notes.strip()]
    parts += _claims(model)
    parts += ["## Use it", f"```python\nimport carkinetics as ck\n\n{_example(model)}\n```"]
    return "\n\n".join(parts) + "\n"


def _facts(model: Model) -> str:
    seen = [f"{name} ({o.unit})" for name, o in model.observed.items()]
    outputs = [f"{name} ({unit})" for name, unit in model.outputs.items()]
    rows = [
        ("solved as", kind_of(model)),
        ("cell types", ", ".join(model.cell_types)),
        ("assays", ", ".join(seen) or "none: it is drawn, not fitted"),
        ("other curves", ", ".join(outputs) or "none"),
        ("differ between patients", ", ".join(varying(model)) or "no number"),
        ("absent numbers", ", ".join(model.absent) or "none"),
    ]
    return _table(("", ""), rows)


def varying(model: Model) -> list[str]:
    """Return the parameters that differ between patients."""
    return [name for name, parameter in model.parameters.items() if parameter.vary]


def _equations(model: Model) -> Iterator[str]:
    file = model._file
    shown = [(name, text, "rate") for name, text in file.equations.items()]
    if file.solution is not None:
        shown = [("level", file.solution.level, "")]
    for name, text, side in shown:
        yield _block(equation(name, text, side))
    terms = [
        (name + (f"_{cell}" if cell else ""), text)
        for name, texts in file.terms.items()
        for cell, text in texts.items()
    ]
    if terms:
        yield "where"
    for name, text in terms:
        yield _block(equation(name, text))
    if file.states:
        yield "and on day 0"
    for name, state in file.states.items():
        yield _block(equation(name, state.start, "start"))
    for dose in file.doses.values():
        when = ", ".join(f"{day:g}" for day in dose.days)
        shares = ", ".join(f"{100 * share:g} %" for share in dose.fractions or [1.0])
        yield f"`{dose.amount}` enters `{dose.into}` on day {when} ({shares}): {dose.label}."
    seen = [(f"{n} [{o.unit}]", o.is_, o.label) for n, o in file.observed.items() if o.is_]
    seen += [(f"{n} [{o.unit}]", o.is_, o.label) for n, o in file.outputs.items()]
    rows = [(name, f"`{' '.join(text.split())}`", label) for name, text, label in seen]
    if rows:
        yield _table(("seen as", "is", "what it is"), rows)
    if file.states:
        labels = [(f"`{n}`", s.unit, s.label) for n, s in file.states.items()]
        yield _table(("state", "unit", "what it is"), labels)


def _block(math: str) -> str:
    return f'<div class="equation" style="margin: 1em 0; overflow: auto hidden">{math}</div>'


def _numbers(model: Model) -> Iterator[str]:
    rows = [
        (f"`{p.name}`", p.label, _value(p), p.unit, _spread(p), p.standing, _source(p))
        for p in model.parameters.values()
    ]
    yield _table(
        ("number", "what it is", "value", "unit", "omega", "standing", "source"),
        rows + [_constant(name, table) for name, table in model._file.constants.items()],
    )
    priors = [
        (f"`{p.name}`", _priors(p), "; ".join(f"`{o.text}`" for o in p.omegas.values()))
        for p in model.parameters.values()
        if p.values and p.priors
    ]
    if priors and model.observed:
        yield "A fit does not hold these to their values; it begins from priors:"
        yield _table(
            ("number", "prior of the typical value", "prior of its SD between patients"), priors
        )
    if model.inputs:
        yield "Known of each patient:"
        yield _table(
            ("input", "what it is", "default", "unit", "source"),
            [
                (f"`{i.name}`", i.label, _plain(i.default), i.unit, i.source)
                for i in model.inputs.values()
            ],
        )
    effects = [
        (f"`{p.name}`", f"`{c.term}`", f"{c.value:+g}", c.standing, c.source)
        for p in model.parameters.values()
        for c in p.covariates.values()
    ]
    if effects:
        yield "Published covariates, on the scale on which the parameter varies:"
        yield _table(("number", "term", "effect", "standing", "source"), effects)
    sets: dict[str, Mapping[str, Case] | Mapping[str, PatientClass]] = {
        "Classes of patients": model.mixture,
        "Other cases": model.cases,
    }
    for title, items in sets.items():
        if items:
            yield f"{title}:"
            yield _table(
                ("name", "what it is", "numbers", "standing", "source"),
                [_set(item) for item in items.values()],
            )
    used = {row[5] for row in rows} | {t.standing for t in model._file.constants.values()}
    yield "\n".join(f"- *{name}*: {what}" for name, what in STANDINGS.items() if name in used)


def _constant(name: str, table: ConstantTable) -> tuple[str, ...]:
    value = _plain(table.value)
    return f"`{name}`", table.label, value, table.unit, "", table.standing, table.source


def _set(item: Case | PatientClass) -> tuple[str, ...]:
    values = ", ".join(f"{name} = {value:g}" for name, value in item.values.items())
    label = item.label
    if isinstance(item, PatientClass):
        label += f"; {100 * item.share:g} % of patients"
    return f"`{item.name}`", label, values, item.standing, item.source


def _value(parameter: Parameter) -> str:
    if parameter.values:
        return "; ".join(_plain(v) + (f" {k}" if k else "") for k, v in parameter.values.items())
    if parameter.absent is not None:
        prior = f"; prior {_priors(parameter)}" if parameter.priors else ""
        return f"absent: {parameter.absent}{prior}"
    return f"prior {_priors(parameter)}"


def _priors(parameter: Parameter) -> str:
    return "; ".join(
        f"`{prior.text}`" + (f" {unit}" if unit else "") for unit, prior in parameter.priors.items()
    )


def _spread(parameter: Parameter) -> str:
    if parameter.vary is None:
        return ""
    if parameter.omega_value is not None:
        return f"{parameter.omega_value:g}"
    return "prior " + "; ".join(f"`{omega.text}`" for omega in parameter.omegas.values())


def _source(parameter: Parameter) -> str:
    return " ".join(parameter.source.split())


def _plain(value: float | None) -> str:
    return "none: to be given" if value is None else f"{value:g}"


def _claims(model: Model) -> Iterator[str]:
    if not model.published:
        return
    yield "## Checked against"
    rows = [
        (
            f"`{c.name}`",
            f"{c.computed:.6g} {c.unit if c.unit != '1' else ''}".strip(),
            f"{c.value:.6g} ± {c.within}",
            c.standing,
            c.source,
        )
        for c in model.published
    ]
    yield _table(("number", "this file", "source says", "standing", "source"), rows)


def _example(model: Model) -> str:
    lines = [f'model = ck.load_model("{model.name}")']
    if model.absent:
        given = ", ".join(f'"{name}": ...' for name in model.absent)
        lines.append(f"values = {{{given}}}  # your numbers")
        lines.append("curves = ck.model_curves(model, [0, 7, 14, 28], values)")
    else:
        lines.append("curves = ck.model_curves(model, [0, 7, 14, 28])")
    if model.observed and not model.absent:
        lines.append("cohort = ck.simulate(model, 16, seed=1)")
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in row) + " |" for row in lines)


def _cell(text: str) -> str:
    # Two stars would begin bold text.
    return " ".join(text.replace("|", "\\|").replace("**", "^").split())
