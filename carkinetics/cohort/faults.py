"""Collects every fault of both tables, so that they can be raised together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from carkinetics.errors import DataError, Fault

# A million rows with one mistake are one mistake: the first rows are named, the rest counted.
_NAMED_PER_KIND = 200


class FaultList:
    """Faults in the order found, each with its kind."""

    def __init__(self) -> None:
        """Start with no fault."""
        self._faults: list[tuple[str, Fault]] = []

    def add(self, kind: str, fault: Fault) -> None:
        """Add one fault."""
        self._faults.append((kind, fault))

    def extend(self, other: FaultList, but_not: Iterable[str] = ()) -> None:
        """Add the faults of another list, those of some sections left out."""
        left_out = set(but_not)
        self._faults += [item for item in other._faults if item[1].section not in left_out]

    def add_rows(self, kind: str, positions: np.ndarray, fault_at: Callable[[int], Fault]) -> None:
        """Add one fault per position (row of a table, from 0), up to a bound per kind."""
        for position in positions[:_NAMED_PER_KIND]:
            self.add(kind, fault_at(int(position)))
        rest = len(positions) - _NAMED_PER_KIND
        if rest > 0:
            first = fault_at(int(positions[0]))
            what = f"{rest} further rows have the same fault ({kind})"
            self.add(
                kind,
                Fault(
                    first.file or first.where,
                    what,
                    first.remedy,
                    file=first.file,
                    section=first.section,
                ),
            )

    def __iter__(self) -> Iterator[Fault]:
        """Yield one of each kind first, then the second of each kind, and so on.

        A message shows ten faults; in this order it shows as many kinds as it can.
        """
        seen: dict[str, int] = {}
        ranked = []
        for order, (kind, fault) in enumerate(self._faults):
            seen[kind] = seen.get(kind, 0) + 1
            ranked.append((seen[kind], order, fault))
        return iter(fault for _, _, fault in sorted(ranked, key=lambda item: item[:2]))

    def raise_if_any(self) -> None:
        """Raise all faults as one error.

        Raises
        ------
        DataError
            If there is any fault.
        """
        if self._faults:
            raise DataError(tuple(self))
