"""Contradictions among printed numbers: counts, percentages, parts and ranges of a publication."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from carkinetics.trial.contradictions import Contradiction

_MOST_PATIENTS = 60  # denominators tried to explain a percentage


@dataclass(frozen=True)
class Printed:
    """A count with its percentage, as printed.

    Parameters
    ----------
    what : str
        What was counted.
    n, of : int
        Count and denominator.
    percent : float
        As printed [%].
    """

    what: str
    n: int
    of: int
    percent: float


@dataclass(frozen=True)
class Parts:
    """A count and the disjoint counts it is said to consist of.

    Parameters
    ----------
    what : str
        What was counted.
    total : int
        The whole.
    parts : tuple of int
        The parts.
    """

    what: str
    total: int
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """A median with its range, in one place of a publication.

    Parameters
    ----------
    what, place : str
        The quantity, and where it stands ("results", "table 1").
    lowest, highest : float
        The range.
    median : float or None
        Where it is printed.
    """

    what: str
    place: str
    lowest: float
    highest: float
    median: float | None = None


Claim = Printed | Parts | Spread


def check_printed(claims: Iterable[Claim]) -> tuple[Contradiction, ...]:
    """Look for printed numbers that cannot all be true.

    Parameters
    ----------
    claims : iterable of Printed, Parts or Spread
        The numbers of a publication.

    Returns
    -------
    tuple of Contradiction
        Percentages that do not follow from their counts (with the denominator that would), parts
        that do not add up, one quantity with two ranges, and two durations that share median
        and maximum but not the minimum, so that they have no common origin.

    Examples
    --------
    >>> print(*check_printed([Printed("prior CD19 therapy", 13, 16, 72)]))
    percentages follow from counts: prior CD19 therapy: 13/16 is 81 %, printed 72 %; 13/18 is 72 %
    """
    claims = tuple(claims)
    spreads = [claim for claim in claims if isinstance(claim, Spread)]
    found: list[Contradiction] = []
    for claim in claims:
        if isinstance(claim, Printed):
            found += _percentage(claim)
        elif isinstance(claim, Parts):
            found += _sum(claim)
    for one, other in combinations(spreads, 2):
        found += _ranges(one, other)
    return tuple(found)


def _percentage(claim: Printed) -> Iterator[Contradiction]:
    rule = "percentages follow from counts"
    if claim.n > claim.of:
        yield Contradiction(rule, f"{claim.what}: {claim.n} of {claim.of}")
        return
    exact = 100 * claim.n / claim.of
    # Half a unit of the last digit printed, and a little for rounding of halves.
    slack = 0.5001 if float(claim.percent).is_integer() else 0.05001
    if abs(exact - claim.percent) <= slack:
        return
    fits = [
        of for of in range(max(claim.n, 1), _MOST_PATIENTS)
        if abs(100 * claim.n / of - claim.percent) <= slack
    ]  # fmt: skip
    hint = f"; {claim.n}/{fits[0]} is {claim.percent:g} %" if fits else ""
    what = f"{claim.what}: {claim.n}/{claim.of} is {exact:.0f} %, printed {claim.percent:g} %{hint}"
    yield Contradiction(rule, what)


def _sum(claim: Parts) -> Iterator[Contradiction]:
    if sum(claim.parts) != claim.total:
        parts = " + ".join(map(str, claim.parts))
        what = f"{claim.what}: {parts} = {sum(claim.parts)}, printed {claim.total}"
        yield Contradiction("parts add up", what)


def _ranges(one: Spread, other: Spread) -> Iterator[Contradiction]:
    ends = (one.lowest, one.highest), (other.lowest, other.highest)
    if one.what == other.what:
        if ends[0] != ends[1]:
            shown = [f"{s.lowest:g}-{s.highest:g} ({s.place})" for s in (one, other)]
            yield Contradiction("one quantity has one range", f"{one.what}: {' and '.join(shown)}")
        return
    same = one.median is not None and one.median == other.median and one.highest == other.highest
    if same and one.lowest != other.lowest:
        what = (
            f"{one.what} and {other.what} share median {one.median:g} and maximum "
            f"{one.highest:g}, but their minima are {one.lowest:g} and {other.lowest:g}: no common "
            "shift of the origin does that"
        )
        yield Contradiction("durations of the same patients have one origin", what)
