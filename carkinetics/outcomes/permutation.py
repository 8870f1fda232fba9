"""Null distributions of rank statistics, given the ties in the data.

Under the null hypothesis every assignment of the outcomes to the patients is equally likely. A
statistic that sums over blocks of equal exposure is counted through exactly, block by block, by
dynamic programming over how many patients of each outcome group have been used; where that is
too large, assignments are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Counts = tuple[int, ...]
# (block number, patients used before per group, patients of the block per group) -> increment
Increment = Callable[[int, Counts, Counts], int]

EXACT = "exact permutation"
DRAWS = 20_000
_MOST_WORK = 6e8  # array elements touched: about a second
_MOST_STEPS = 5e4  # turns of the Python loop: half a second
_CHUNK = 2_000


@dataclass(frozen=True)
class RankTest:
    """A rank statistic and its two-sided p-values.

    Parameters
    ----------
    statistic : float
        U, J, tau-b or rho, as the function that made it says.
    estimate : float
        The statistic as a size: a probability or a correlation.
    p_value : float
        From the permutation distribution given the ties; two-sided by distance from its mean.
    p_kind : str
        ``"exact permutation"`` or ``"permutation (20,000 draws)"``.
    p_asymptotic : float
        From the large-sample approximation.
    asymptotic_kind : str
        Which approximation.
    n : int
        Patients.
    reason : str
        Why the numbers are missing; empty where they are not.
    """

    statistic: float
    estimate: float
    p_value: float
    p_kind: str
    p_asymptotic: float
    asymptotic_kind: str
    n: int
    reason: str = ""

    @classmethod
    def missing(cls, reason: str, n: int) -> RankTest:
        """Make a result without numbers that says why."""
        return cls(np.nan, np.nan, np.nan, "", np.nan, "", n, reason)


@dataclass(frozen=True)
class Blocks:
    """Patients sorted into blocks of equal exposure and groups of equal outcome.

    Parameters
    ----------
    exposure, outcome : array, shape (patient,)
        Number of the block and of the group of each patient, from 0 upwards in order.
    sizes : tuple of int
        Patients per block.
    groups : tuple of int
        Patients per group.
    """

    exposure: NDArray[np.intp]
    outcome: NDArray[np.intp]
    sizes: Counts
    groups: Counts

    @classmethod
    def of(cls, x: Array, grade: Array) -> Blocks:
        """Sort patients by exposure `x` and outcome `grade`; minus infinity is lowest."""
        _, exposure, sizes = np.unique(x, return_inverse=True, return_counts=True)
        _, outcome, groups = np.unique(grade, return_inverse=True, return_counts=True)
        return cls(exposure, outcome, tuple(sizes.tolist()), tuple(groups.tolist()))

    @property
    def midranks(self) -> tuple[Array, Array]:
        """Average ranks of exposure and of outcome, shape (patient,) each."""
        return stats.rankdata(self.exposure), stats.rankdata(self.outcome)


def concordance(blocks: Blocks) -> tuple[int, int]:
    """Count pairs of patients of different groups.

    Returns
    -------
    doubled, pairs : int
        Twice the pairs in which the higher group has the higher exposure (equal exposures
        count once), and all pairs with different outcomes.
    """
    higher_outcome = blocks.outcome[:, None] > blocks.outcome[None, :]
    difference = np.sign(blocks.exposure[:, None] - blocks.exposure[None, :])
    return int((difference + 1)[higher_outcome].sum()), int(higher_outcome.sum())


def concordance_increment(_: int, used: Counts, chosen: Counts) -> int:
    """Give what a block adds to the doubled count of concordant pairs."""
    below = lower_used = lower_chosen = 0
    for before, here in zip(used, chosen, strict=True):
        below += here * (2 * lower_used + lower_chosen)
        lower_used += before
        lower_chosen += here
    return below


def exact_distribution(
    blocks: Blocks, increment: Increment, largest: int
) -> tuple[Array, Array] | None:
    """Count the permutation distribution of a sum over blocks.

    Parameters
    ----------
    blocks : Blocks
        The ties and the group sizes.
    increment : callable
        What one block adds: a whole number, 0 or more.
    largest : int
        An upper bound of the sum.

    Returns
    -------
    support, probability : array, shape (value,)
        Or None where counting would take too long.
    """
    others = len(blocks.groups) - 1
    allocations = sum(math.comb(size + others, others) for size in blocks.sizes)
    states = math.prod(group + 1 for group in blocks.groups)
    steps = states * allocations / len(blocks.sizes)
    if steps > _MOST_STEPS or steps * (largest + 1) > _MOST_WORK:
        return None
    layer: dict[Counts, Array] = {(0,) * len(blocks.groups): np.eye(1, largest + 1)[0]}
    for number, size in enumerate(blocks.sizes):
        following: dict[Counts, Array] = {}
        for used, ways in layer.items():
            left = tuple(g - u for g, u in zip(blocks.groups, used, strict=True))
            for chosen in _compositions(size, left):
                shift = increment(number, used, chosen)
                weight = _multinomial(chosen)
                state = tuple(u + c for u, c in zip(used, chosen, strict=True))
                target = following.setdefault(state, np.zeros(largest + 1))
                target[shift:] += weight * ways[: largest + 1 - shift]
        layer = following
    counts = layer[blocks.groups]
    return np.arange(largest + 1, dtype=float), counts / counts.sum()


def _compositions(size: int, most: Counts) -> Iterator[Counts]:
    """List the ways to take `size` patients from groups that have `most` left."""
    if len(most) == 1:
        if size <= most[0]:
            yield (size,)
        return
    for first in range(min(size, most[0]) + 1):
        for rest in _compositions(size - first, most[1:]):
            yield (first, *rest)


def _multinomial(chosen: Counts) -> float:
    total = math.factorial(sum(chosen))
    return float(total // math.prod(math.factorial(count) for count in chosen))


def two_sided(support: Array, probability: Array, observed: float) -> float:
    """Sum the probability of values at least as far from the mean as the one observed."""
    mean = float(support @ probability)
    # Statistics are whole or half numbers; the margin only absorbs rounding of the mean.
    far = np.abs(support - mean) >= abs(observed - mean) - 1e-6
    return min(float(probability[far].sum()), 1.0)


def drawn_p(
    statistic: Callable[[NDArray[np.intp]], Array], observed: float, n: int, seed: int
) -> float:
    """Estimate a two-sided p-value by drawing permutations.

    Parameters
    ----------
    statistic : callable
        Permutations, shape (draw, patient), to a statistic with null mean 0, shape (draw,).
    observed : float
        The statistic of the data.
    n : int
        Patients.
    seed : int
        Makes the p-value reproducible.

    Returns
    -------
    float
        (1 + draws at least as extreme) / (1 + draws); its standard error is below 0.0036.
    """
    rng = np.random.default_rng(seed)
    extreme = 0
    for _ in range(DRAWS // _CHUNK):
        order = rng.permuted(np.tile(np.arange(n), (_CHUNK, 1)), axis=1)
        extreme += int((np.abs(statistic(order)) >= abs(observed) - 1e-9).sum())
    return (1 + extreme) / (1 + DRAWS)


DRAWN = f"permutation ({DRAWS:,} draws)"
