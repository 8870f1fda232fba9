"""Work arrays of the solver, and the order in which patients enter its lanes."""

from __future__ import annotations

import numpy as np

from carkinetics.solve.lanes import LANES
from carkinetics.solve.written import compiled


@compiled
def workspace(vectors):
    """Return zeros for so many vectors, from a place on where a cache line begins."""
    size = vectors * LANES
    buffer = np.zeros(size + 8)
    skip = (8 - (buffer.ctypes.data // 8) % 8) % 8
    return buffer[skip : skip + size]


@compiled
def longest_first(offsets, days):
    """Return the patients that have samples, those followed longest first (a Shell sort).

    Long ones first keeps all lanes busy until the end; a plain loop compiles faster than a
    library sort.
    """
    queue, follow_up, n = np.empty(offsets.shape[0], np.int64), np.empty(offsets.shape[0]), 0
    for i in range(offsets.shape[0] - 1):
        if offsets[i + 1] > offsets[i]:
            queue[n], follow_up[n] = i, days[offsets[i + 1] - 1]
            n += 1
    gap = 1
    while gap < n:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            patient, day, j = queue[i], follow_up[i], i
            while j >= gap and follow_up[j - gap] < day:
                queue[j], follow_up[j] = queue[j - gap], follow_up[j - gap]
                j -= gap
            queue[j], follow_up[j] = patient, day
        gap //= 3
    return queue[:n]
