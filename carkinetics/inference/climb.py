"""Climb to the maximum of a smooth density with its gradient: L-BFGS in a few lines.

Written here because the one of SciPy calls LAPACK on tiny matrices at every step: where BLAS has
several threads and the processors have other work, that alone took 7 ms a step, thirty times as
long as the density itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]

_MEMORY = 20
_SHRINK, _ARMIJO = 0.5, 1e-4
_SHORTEST = 1e-10


def climb(
    objective: Objective,
    start: np.ndarray,
    *,
    steps: int,
    tolerance: float = 1e-5,
    longest: float = np.inf,
) -> np.ndarray:
    """Maximize a function.

    Parameters
    ----------
    objective : callable
        Point -> value and gradient. A value that is not finite is never accepted.
    start : array, shape (coordinate,)
        Where the value is finite.
    steps : int
        Steps at most.
    tolerance : float
        Stop where no entry of the gradient is larger, or a step gains next to nothing.
    longest : float
        Change of a coordinate in one step, at most.

    Returns
    -------
    array, shape (coordinate,)
        The highest point found.
    """
    x = start
    value, gradient = objective(x)
    if not _usable(value, gradient):
        return x
    pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=_MEMORY)
    for _ in range(steps):
        if np.abs(gradient).max(initial=0.0) < tolerance:
            break
        direction = _direction(gradient, pairs)
        if (gradient * direction).sum() <= 0:
            pairs.clear()
            direction = _direction(gradient, pairs)
        direction *= min(1.0, longest / np.abs(direction).max())
        slope = float((gradient * direction).sum())
        found = _search(objective, x, value, direction, slope)
        if found is None:
            if not pairs:
                break
            pairs.clear()
            continue
        new, new_value, new_gradient = found
        moved, change = new - x, gradient - new_gradient
        curvature = float((moved * change).sum())
        if curvature > 1e-10 * float((change * change).sum()):
            pairs.append((moved, change, curvature))
        gain = new_value - value
        x, value, gradient = new, new_value, new_gradient
        if gain < 1e-4 * tolerance * max(1.0, abs(value)):
            break
    return x


def _direction(
    gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray, float]]
) -> np.ndarray:
    """Two-loop recursion (Nocedal and Wright 2006, algorithm 7.4)."""
    q = gradient.copy()
    if not pairs:
        return q / max(1.0, float(np.sqrt((q * q).sum())))
    parts = []
    for moved, change, curvature in reversed(pairs):
        a = float((moved * q).sum()) / curvature
        parts.append(a)
        q -= a * change
    _, change, curvature = pairs[-1]
    q *= curvature / float((change * change).sum())
    for (moved, change, curvature), a in zip(pairs, reversed(parts), strict=True):
        q += moved * (a - float((change * q).sum()) / curvature)
    return q


def _search(
    objective: Objective, x: np.ndarray, value: float, direction: np.ndarray, slope: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Halve the step until the value rises enough; None where it never does."""
    step = 1.0
    while step > _SHORTEST:
        new = x + step * direction
        new_value, new_gradient = objective(new)
        if _usable(new_value, new_gradient) and new_value >= value + _ARMIJO * step * slope:
            return new, new_value, new_gradient
        step *= _SHRINK
    return None


def _usable(value: float, gradient: np.ndarray) -> bool:
    return bool(np.isfinite(value) and np.isfinite(gradient).all())
