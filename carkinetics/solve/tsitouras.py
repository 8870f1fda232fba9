"""The method of Tsitouras, of order 5 with an estimate of order 4, for lanes.

References
----------
Tsitouras, Ch. (2011). Runge-Kutta pairs of order 5(4) satisfying only the first column
simplifying assumption. Computers & Mathematics with Applications 62, 770-775,
doi 10.1016/j.camwa.2011.06.002 (coefficients and the free interpolant of order 4).
"""

from __future__ import annotations

from typing import Any

from carkinetics.solve.lanes import Array, Table, Value, each, load, store, when

C2, C3, C4, C5 = 0.161, 0.327, 0.9, 0.9800255409045097
A21 = 0.161
A31, A32 = -0.008480655492356989, 0.335480655492357
A41, A42, A43 = 2.8971530571054935, -6.359448489975075, 4.3622954328695815
A51, A52, A53, A54 = (
    5.325864828439257,
    -11.748883564062828,
    7.4955393428898365,
    -0.09249506636175525,
)
A61, A62, A63, A64, A65 = (
    5.86145544294642,
    -12.92096931784711,
    8.159367898576159,
    -0.071584973281401,
    -0.028269050394068383,
)
A71, A72, A73, A74, A75, A76 = (
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
)
E1, E2, E3, E4, E5, E6, E7 = (
    -0.00178001105222577714,
    -0.0008164344596567469,
    0.007880878010261995,
    -0.1447110071732629,
    0.5823571654525552,
    -0.45808210592918697,
    0.015151515151515152,
)
STAGE = Table([0.0, C2, C3, C4, C5, 1.0, 1.0])
# Weights of the slopes at the stages before, for each stage.
WEIGHTS: tuple[tuple[float, ...], ...] = (
    (),
    (A21,),
    (A31, A32),
    (A41, A42, A43),
    (A51, A52, A53, A54),
    (A61, A62, A63, A64, A65),
    (A71, A72, A73, A74, A75, A76),
)


def stage_values(
    n: int,
    members: tuple[int, int],
    stage: Value,
    h: Value,
    y: Array,
    k: Array,
    out: Array,
    first: Any,
) -> None:
    """Set out = y + h * sum(a[stage, j] * k[j]) for some of n vectors, at a stage from 1 to 6.

    They are those from the first of `members` to the one before the second. Each stage is written
    out: what is zero is not multiplied.
    """
    for number, weights in enumerate(WEIGHTS):
        if not weights:
            continue
        with when(stage == number):
            for i in each(*members):
                change: Any = weights[0] * load(k, i)
                for j, weight in enumerate(weights[1:], 1):
                    change = change + weight * load(k, j * n + i)
                store(out, first + i, load(y, i) + h * change)


def slope_cotangents(n: int, stage: Any, h: Value, of_states: Array, of_slopes: Array) -> None:
    """Add h * sum(a[j, stage] * of_states[j]) to the cotangents of the slopes at a stage.

    This is `stage_values` transposed: the slope at a stage from 0 to 5 is seen by all later ones.
    """
    for number in range(len(WEIGHTS) - 1) if isinstance(stage, Value) else (stage,):
        with when(stage == number):
            for i in each(n):
                change: Any = 0.0
                for j in range(number + 1, len(WEIGHTS)):
                    change = change + WEIGHTS[j][number] * load(of_states, j * n + i)
                place = number * n + i
                store(of_slopes, place, load(of_slopes, place) + h * change)


def local_error(n: int, i: Any, h: Value, k: Array) -> Value:
    """Return the estimate of the error that one step of length h makes in state i of n."""
    return h * (
        E1 * load(k, i)
        + E2 * load(k, n + i)
        + E3 * load(k, 2 * n + i)
        + E4 * load(k, 3 * n + i)
        + E5 * load(k, 4 * n + i)
        + E6 * load(k, 5 * n + i)
        + E7 * load(k, 6 * n + i)
    )


def interpolation_weights(x: Value, h: Value, b: Array) -> None:
    """Fill the weights of the seven slopes at the fraction x of a step of length h (order 4)."""
    x2 = x * x
    first = (x - 1.3299890189751412) * (x2 - 1.4364028541716351 * x + 0.7139816917074209)
    store(b, 0, h * (-1.0530884977290216 * x) * first)
    xx = h * x2
    store(b, 1, 0.1017 * xx * (x2 - 2.1966568338249754 * x + 1.2949852507374631))
    store(b, 2, 2.490627285651252793 * xx * (x2 - 2.38535645472061657 * x + 1.57803468208092486))
    store(b, 3, -16.54810288924490272 * xx * (x - 1.21712927295533244) * (x - 0.61620406037800089))
    store(b, 4, 47.37952196281928122 * xx * (x - 1.203071208372362603) * (x - 0.658047292653547382))
    store(b, 5, -34.87065786149660974 * xx * (x - 1.2) * (x - 0.666666666666666667))
    store(b, 6, 2.5 * xx * (x - 1.0) * (x - 0.6))


def interpolate(n: int, b: Array, y: Array, k: Array, out: Array) -> None:
    """Fill n vectors at the place of the weights b."""
    for i in each(n):
        change = load(b, 0) * load(k, i) + load(b, 1) * load(k, n + i)
        change = change + load(b, 2) * load(k, 2 * n + i) + load(b, 3) * load(k, 3 * n + i)
        change = change + load(b, 4) * load(k, 4 * n + i) + load(b, 5) * load(k, 5 * n + i)
        store(out, i, load(y, i) + (change + load(b, 6) * load(k, 6 * n + i)))
