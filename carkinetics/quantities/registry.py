"""What a quantity is: its name, its meaning and the function that computes it."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

_UNITS = {
    "level": "{unit}",
    "time": "day",
    "area": "{unit}*day",
    "rate": "1/day",
    "probability": "",
    "share": "",
    "percent": "%",
}
LATENT = "latent curve, without assay error"
SAMPLES = "noncompartmental rules of the package documentation"


@dataclass(frozen=True)
class Quantity:
    """A number computed from a curve or from samples, and what has to be said about it.

    Parameters
    ----------
    name : str
        Name in tables, such as ``"cmax"``.
    label : str
        Name in figures, such as ``"Cmax"``.
    kind : str
        Kind of unit: ``"level"``, ``"time"``, ``"area"``, ``"rate"``, ``"share"``,
        ``"percent"`` or ``"probability"``.
    cdisc : str
        CDISC PPTESTCD, empty where the standard has none.
    definition, source : str
        What the number is, in one sentence, and where the definition comes from.
    compute : callable
        The function registered.
    sponsor : str
        Code for tables in the manner of CDISC where the standard has none, at most 8 characters.
    needs : str
        What has to be known beside the levels: ``"limit"``, ``"onset"``, ``"last_sample"``,
        ``"total"`` (the levels of the total), ``"assay"`` (a limit and the assay's error), or
        nothing.
    undefined : str
        Why a usable curve may have no such number; empty where every one has it.
    """

    name: str
    label: str
    kind: str
    cdisc: str
    definition: str
    source: str
    compute: Callable[..., Any]
    sponsor: str = ""
    needs: str = ""
    undefined: str = ""

    @property
    def code(self) -> str:
        """PPTESTCD: that of CDISC, or the sponsor's."""
        return self.cdisc or self.sponsor

    def unit(self, level_unit: str) -> str:
        """Give the unit of the quantity for levels in `level_unit`."""
        return _UNITS[self.kind].format(unit=level_unit)


def register(registry: MutableMapping[str, Quantity], **facts: str) -> Callable[[Any], Any]:
    """Enter the decorated function into a registry of quantities, under its own name.

    Parameters
    ----------
    registry : dict
        Name to `Quantity`.
    **facts : str
        The fields of `Quantity`; ``name`` is the function's unless given.
    """
    if facts["kind"] not in _UNITS:
        raise KeyError(f"kind {facts['kind']!r} is not one of {sorted(_UNITS)}")

    def enter(compute: Any) -> Any:
        entry = Quantity(**({"name": compute.__name__} | facts), compute=compute)
        registry[entry.name] = entry
        return compute

    return enter
