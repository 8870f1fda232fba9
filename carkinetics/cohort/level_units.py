"""Units of levels as users write them, and what one is in the unit we compute in."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNIT_OF = {"flow": "cells/uL", "qpcr": "copies/ug"}
PERCENT_OF_CD3 = "% of CD3"

_FLOW = {
    "cells/ul": 1.0,
    "cell/ul": 1.0,
    "/ul": 1.0,
    "cells/mm3": 1.0,
    "cells/mm^3": 1.0,
    "cells/ml": 1e-3,
    "cells/l": 1e-6,
    "10^6/l": 1.0,
    "10^9/l": 1e3,
    "10^6cells/l": 1.0,
    "10^9cells/l": 1e3,
}
_COPIES = re.compile(
    r"(?:copies|copy)/(?P<amount>\d+(?:\.\d+)?)?(?P<mass>ng|ug)(?:g?dna|genomicdna)?"
)
_PERCENT = re.compile(r"%(?:of)?(?:cd3\+?|t|tcells|cd3\+?tcells)")

ACCEPTED = {
    "flow": "cells/uL, cells/mm3, cells/mL, cells/L, 10^6/L, 10^9/L, or '% of CD3' with a column "
    "cd3_per_ul",
    "qpcr": "copies/ug (of genomic DNA), or copies per another mass such as copies/50 ng",
}


@dataclass(frozen=True)
class LevelUnit:
    """One way to write a level.

    Parameters
    ----------
    name : str
        Spelling that all spellings of this unit share.
    factor : float
        Levels times `factor` are in the unit of the assay; for a percentage, times CD3 cells/uL.
    percent_of_cd3 : bool
        Whether the level is a percentage of the CD3 cells of the same draw.
    """

    name: str
    factor: float
    percent_of_cd3: bool = False


def parse_unit(text: str, assay: str) -> LevelUnit | None:
    """Read a unit of one assay; None where it is not known.

    Examples
    --------
    >>> parse_unit("copies/50 ng", "qpcr").factor
    20.0
    """
    word = re.sub(r"\s", "", text.replace("µ", "u").replace("μ", "u").lower())
    word = word.replace("³", "3").replace("per", "/").replace("\u00d7", "").replace("⁶", "^6")
    if assay == "flow":
        if _PERCENT.fullmatch(word):
            return LevelUnit(PERCENT_OF_CD3, 0.01, percent_of_cd3=True)
        return LevelUnit(word, _FLOW[word]) if word in _FLOW else None
    match = _COPIES.fullmatch(word)
    if match is None:
        return None
    amount = float(match["amount"] or 1.0) * (1e-3 if match["mass"] == "ng" else 1.0)
    return None if amount == 0 else LevelUnit(f"copies/{amount:g} ug", 1.0 / amount)


def why_unknown(text: str, assay: str) -> str:
    """Say what to do about a unit that is not known."""
    if text.strip() == "%" and assay == "flow":
        return "Say of what: '% of CD3', with a column cd3_per_ul."
    other = "qpcr" if assay == "flow" else "flow"
    if parse_unit(text, other) is not None:
        return f"That is a unit of {other}; those of {assay} are {ACCEPTED[assay]}."
    return f"Known units of {assay} are {ACCEPTED[assay]}."
