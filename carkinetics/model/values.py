"""Numbers that a user sets in a model: they are written into its text, as two tables.

``[values]`` replaces numbers; ``[fixed]`` holds parameters at values, which a fit then does not
estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from carkinetics.errors import Fault, ModelFileError
from carkinetics.model.schema import did_you_mean
from carkinetics.model.tables import ModelFile

# What a parameter no longer has that is held at a value.
_HELD: dict[str, Any] = {
    **{"prior": None, "omega": None, "omega_value": None, "vary": None, "absent": None},
    "covariates": {},
}
# All that stands below this line was written here and can be written again.
_MARK = "# --- numbers set by the user, in place of those above ---"


def text_with_values(
    text: str,
    file: ModelFile,
    values: Mapping[str, float],
    fixed: Mapping[str, float] | None = None,
) -> str:
    """Return the text of a model with tables of the user's numbers at its end.

    The text stays the whole model: what is saved with a fit or shown in a report holds them.
    """
    own, mark, _ = text.partition(f"\n{_MARK}\n")
    if (file.values or file.fixed) and not mark:
        where = f"values of {file.model.title}"
        raise ModelFileError(Fault(where, "stand in the file itself", "Change them there."))
    lines = [own, _MARK]
    for table, before, new in (("values", file.values, values), ("fixed", file.fixed, fixed or {})):
        wrong = [name for name, value in new.items() if not math.isfinite(value)]
        if wrong:
            raise ModelFileError(Fault(table, f"{wrong} are no finite numbers"))
        merged = {**before, **{name: float(value) for name, value in new.items()}}
        if merged:
            lines.append(f"[{table}]")
            lines += [f"{_quoted(name)} = {value!r}" for name, value in merged.items()]
    return "\n".join([*lines, ""])


def _quoted(name: str) -> str:
    # A name is checked when the text is read; until then it must not end its own quotes.
    safe = name.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in safe) + '"'


def apply_values(file: ModelFile) -> tuple[ModelFile, list[Fault]]:
    """Put the numbers of both tables in their places; a fault for every name that has none."""
    faults, changed = [], {}
    sections = {
        name: {key: table for key, table in getattr(file, name).items()}
        for name in ("parameters", "constants", "inputs")
    }
    for name, value in file.values.items():
        home = next((section for section, tables in sections.items() if name in tables), None)
        if home is None:
            known = [key for tables in sections.values() for key in tables]
            what = f"no number is called '{name[:80]}'{did_you_mean(name, known)}"
            faults.append(Fault("values", what, section="values"))
            continue
        changed[home] = True
        new = {"parameters": {"value": {"": value}, "absent": None}, "inputs": {"default": value}}
        update = new.get(home, {"value": value})
        sections[home][name] = sections[home][name].model_copy(update=update)
    for name, value in file.fixed.items():
        table = sections["parameters"].get(name)
        if table is None:
            hint = did_you_mean(name, list(file.parameters))
            what = f"no parameter is called '{name[:80]}'{hint}"
            faults.append(Fault("fixed", what, section="fixed"))
            continue
        changed["parameters"] = True
        sections["parameters"][name] = table.model_copy(update={**_HELD, "value": {"": value}})
    return file.model_copy(update={name: sections[name] for name in changed}), faults
