"""Functions of lanes: what Python writes once is computed for every lane."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit, types

from carkinetics.solve.fastmath import exp, log, maximum, minimum, softplus
from carkinetics.solve.lanes import (
    LANES,
    Layout,
    Table,
    any_lane,
    each,
    load,
    local,
    select,
    sqrt,
    store,
    when,
)
from carkinetics.solve.written import inlined, inlined_with

SQUARES = Table(np.arange(12.0).reshape(3, 4) ** 2)


def called(function, *arguments):
    """Call a function of lanes from compiled code."""
    return njit(lambda *found: function(*found))(*arguments)


def lanes(*rows):
    return np.array(rows, dtype=float).ravel()


def test_a_vector_and_a_number_may_stand_on_either_side():
    @inlined
    def function(x, y):
        v = load(x, 0)
        store(y, 0, 2.0 - v)
        store(y, 1, 6.0 / v + 1)
        store(y, 2, -abs(v) * 3)
        store(y, 3, select((v > 0.0) & ~(v >= 3.0), v, sqrt(v * v)))

    v, out = np.arange(1.0, LANES + 1), np.zeros(4 * LANES)
    v[::2] *= -1
    called(function, v, out)
    expected = [2 - v, 6 / v + 1, -abs(v) * 3, np.abs(v)]
    np.testing.assert_array_equal(out, lanes(*expected))


def test_loops_and_conditions_are_decided_when_the_function_runs():
    @inlined
    def function(n, x):
        total = local(1)
        store(total, 0, 0.0)
        for i in each(1, n):
            with when(i != 2):
                store(total, 0, load(total, 0) + load(x, i) * SQUARES[i - 1, 3])
        store(x, 0, load(total, 0))

    x = lanes(*[[k] * LANES for k in range(4)])
    called(function, 4, x)
    assert x[:LANES].tolist() == [1 * 9 + 3 * 121] * LANES


def test_numbers_known_beforehand_are_numbers():
    """Elementary functions of constants, as equations may hold them."""

    @inlined
    def function(x):
        store(x, 0, exp(-2.0) + log(3.0) + softplus(0.5))
        store(x, 1, minimum(1.0, 2.0) + maximum(1.0, 2.0) + SQUARES[2, 1])

    x = np.zeros(2 * LANES)
    called(function, x)
    expected = np.exp(-2) + np.log(3) + np.log1p(np.exp(0.5))
    np.testing.assert_allclose(x, np.repeat([expected, 84.0], LANES), rtol=1e-15)


def test_compiled_code_learns_whether_any_lane_is_meant():
    @inlined_with(types.boolean)
    def function(x):
        return any_lane(load(x, 0) != load(x, 0))

    x = np.zeros(LANES)
    assert not called(function, x)
    x[-1] = np.nan
    assert called(function, x)


def test_python_cannot_decide_what_is_known_only_later():
    @inlined
    def function(x):
        if load(x, 0) > 0.0:
            store(x, 0, 1.0)

    with pytest.raises(TypeError, match="use select, when or each"):
        called(function, np.zeros(LANES))


def test_arrays_of_a_layout_lie_one_after_the_other():
    layout = Layout(first=2, second=1)

    @inlined
    def function(room):
        at = layout.arrays(room)
        store(at.first, 1, 1.0)
        store(at.second, 0, 2.0)

    room = np.zeros(layout.size * LANES)
    called(function, room)
    assert room.reshape(-1, LANES).tolist() == [[0.0] * LANES, [1.0] * LANES, [2.0] * LANES]
    assert layout.place("second") == 2 * LANES
