"""Write the Gaussian elimination of a sparse matrix as straight lines of source.

Which entries are zero is known from the equations, so the order of elimination is chosen once (the
fewest new entries, after Markowitz), and nothing that is zero is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Elimination:
    """The order of elimination, and where its factors are kept.

    Attributes
    ----------
    order : tuple of int
        Rows in the order in which they are eliminated.
    place : mapping of (int, int) to int
        Number of each factor: on the diagonal the inverse of a pivot.
    """

    order: tuple[int, ...]
    place: Mapping[tuple[int, int], int]


def plan_elimination(n: int, entries: Iterable[tuple[int, int]]) -> Elimination:
    """Choose the order of elimination of an n by n matrix with these entries."""
    filled = set(entries) | {(i, i) for i in range(n)}
    left, order = set(range(n)), []

    def cost(k: int) -> tuple[int, int]:
        below = sum((i, k) in filled for i in left) - 1
        right = sum((k, j) in filled for j in left) - 1
        return below * right, k

    while left:
        k = min(left, key=cost)
        left.discard(k)
        order.append(k)
        filled |= {(i, j) for i in left if (i, k) in filled for j in left if (k, j) in filled}
    return Elimination(tuple(order), {pair: number for number, pair in enumerate(sorted(filled))})


def elimination_lines(plan: Elimination, entries: Mapping[tuple[int, int], str]) -> list[str]:
    """Write the factorization of ``shift * I - J``; `entries` are the expressions of J."""
    known, lines = set(), []
    for (i, j), text in entries.items():
        lines.append(f"a_{i}_{j} = {'shift ' if i == j else ''}- ({text})")
        known.add((i, j))
    for i in plan.order:
        if (i, i) not in known:
            lines.append(f"a_{i}_{i} = shift")
            known.add((i, i))
    for position, k in enumerate(plan.order):
        later = plan.order[position + 1 :]
        lines.append(f"a_{k}_{k} = 1.0 / a_{k}_{k}")
        for i in (i for i in later if (i, k) in known):
            lines.append(f"a_{i}_{k} = a_{i}_{k} * a_{k}_{k}")
            for j in (j for j in later if (k, j) in known):
                begin = f"a_{i}_{j} " if (i, j) in known else ""
                lines.append(f"a_{i}_{j} = {begin}- a_{i}_{k} * a_{k}_{j}")
                known.add((i, j))
    stored = ((i, j) for i, j in plan.place if (i, j) in known)
    return [*lines, *(f"store(factors, {plan.place[i, j]}, a_{i}_{j})" for i, j in stored)]


def solution_lines(plan: Elimination, places: Mapping[int, str]) -> list[str]:
    """Write the solution for one right side in place.

    Parameters
    ----------
    plan : Elimination
        From `plan_elimination`.
    places : mapping of int to str
        Where the rows of the right side stand; a row that is not listed is zero, before and after.
    """
    lines = [f"x_{i} = load(k, {place})" for i, place in places.items()]

    def factor(i: int, j: int) -> str:
        return f"load(factors, {plan.place[i, j]})"

    rows = [i for i in plan.order if i in places]
    for position, k in enumerate(rows):
        lines += [
            f"x_{i} = x_{i} - {factor(i, k)} * x_{k}"
            for i in rows[position + 1 :]
            if (i, k) in plan.place
        ]
    for position, k in reversed(list(enumerate(rows))):
        lines += [
            f"x_{k} = x_{k} - {factor(k, j)} * x_{j}"
            for j in rows[position + 1 :]
            if (k, j) in plan.place
        ]
        lines.append(f"x_{k} = x_{k} * {factor(k, k)}")
    return [*lines, *(f"store(k, {place}, x_{i})" for i, place in places.items())]
