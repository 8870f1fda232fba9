"""Write the tables of `quantities.md` from the registries, so that the page cannot go stale.

From the folder of the project: python docs/make_quantities.py
"""

from collections.abc import Mapping
from pathlib import Path

from carkinetics.noncompartmental import OBSERVED, find_observed
from carkinetics.quantities import QUANTITIES, Quantity, find_quantity

PAGE = Path(__file__).with_name("quantities.md")
LATENT = (
    "auc_0_28", "level_28", "slope_3_7", "share_14", "time_above_5", "detectable_28",
    "quantifiable_28",
)  # fmt: skip
SAMPLED = ("auc_0_28", "level_28", "slope_3_7", "time_above_5", "detectable_28")
_MARK = "<!-- {}: written by make_quantities.py -->"


def table(quantities: Mapping[str, Quantity]) -> str:
    """Give one row per quantity: name, definition, unit, code."""
    rows = ["| quantity | definition | unit | code |", "|---|---|---|---|"]
    for name, quantity in quantities.items():
        unit = quantity.unit("level") or "1"
        code = quantity.code if quantity.cdisc else f"{quantity.code} (sponsor's)"
        rows.append(f"| `{name}` | {quantity.definition} | {unit} | {code} |")
    return "\n".join(rows)


def tables() -> dict[str, str]:
    """Give both tables, by the name of their mark."""
    curves = dict(QUANTITIES) | {name: find_quantity(name) for name in LATENT}
    samples = dict(OBSERVED) | {name: find_observed(name) for name in SAMPLED}
    return {"of curves": table(curves), "of samples": table(samples)}


def filled(page: str) -> str:
    """Put the tables between their marks and the next empty line after them."""
    for name, text in tables().items():
        before, after = page.split(_MARK.format(name) + "\n", 1)
        rest = after.split("\n\n", 1)[1]
        page = f"{before}{_MARK.format(name)}\n{text}\n\n{rest}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
